"""A table whose columns nobody named in, which is which out, by names that are usual and by what stands in them.

What is guessed is said, and only what is plain is guessed: two candidates for one thing are a UsageError with the
option that decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.errors import UnknownNameError, UsageError
from ragmed.integrations.table_files import TableFile, text_of
from ragmed.integrations.table_questions import option_named
from ragmed.integrations.table_rows import FALSE, TRUE, BadCell, listed, options_in
from ragmed.integrations.table_settings import ARM, ArmFacts, Columns, TableImport

USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "qid", "sample_id", "example_id", "item_id", "idx", "index", "doc_id", "case_id"),
    "question": ("question", "question_text", "prompt_question", "query", "stem"),
    "gold": (
        "gold", "answer_idx", "ground_truth", "groundtruth", "correct_answer", "gold_answer", "label", "target",
        "reference", "truth", "expected", "right_answer", "key_answer",
    ),
    "arm": ("arm", "model", "system", "model_name", "method", "condition"),
    "answer": ("prediction", "pred", "preds", "predicted", "chosen", "choice", "model_answer", "predicted_answer"),
    "output": ("output", "outputs", "response", "completion", "generation", "raw", "raw_output", "model_output"),
    "correct": ("correct", "is_correct", "iscorrect", "accuracy"),
    "options": ("options", "choices"),
    "task": ("task", "dataset", "benchmark"),
    "group": ("group", "patient", "patient_id", "subject_id", "case"),
    "repeat": ("repeat", "seed", "run", "epoch", "sample"),
}  # fmt: skip
_ASKED = ("id", "question", "gold", "arm", "answer", "output", "correct", "options", "task", "group", "repeat")
_NUMBERED = ("nr", "nr.", "no", "no.", "number", "#", "item", "row", "unnamed:_0")
"""What the id is called where nothing else tells what a row is about."""
_LETTERS = ("A", "B", "C", "D", "E", "F", "G")
_ENOUGH = 0.5
"""The share of a column's cells that must be gold answers or options for it to be an arm's answers."""


def complete(settings: TableImport, tables: Sequence[TableFile]) -> tuple[TableImport, list[str]]:
    """
        settings, said = complete(TableImport(files=(Source("answers.csv"),)), read_tables(Path("answers.csv")))

    The settings with the columns that are not named, and a line that says what was taken for what ('' where all were
    named). UsageError, with the columns that there are and the option to give, where it cannot be told.
    """
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    columns, guessed = settings.columns, dict[str, str]()
    taken = _named(columns)
    for name in taken:
        if ARM not in name and name not in names:
            raise UnknownNameError("column", name, names, "the tables")
    for what in _ASKED:
        if getattr(columns, what):
            continue
        found = [name for name in names if name not in taken and _plain(name) in USUAL[what]]
        if what == "id" and not found and not any(_plain(name) in USUAL["question"] for name in names):
            found = [name for name in names if name not in taken and _plain(name) in _NUMBERED]
        if what == "answer" and not found and (columns.gold or guessed.get("gold") or settings.gold):
            found = [name for name in names if name not in taken and _plain(name) == "answer"]
        if what == "gold" and not found and not settings.gold:
            found = [name for name in names if name not in taken and _plain(name) == "answer"]
        if len(found) > 1:
            raise UsageError(
                f"columns {' and '.join(map(repr, found))} could each be the {what}; say which with --{what} COLUMN"
            )
        if found and not (what == "arm" and settings.arms):
            guessed[what] = found[0]
            taken.append(found[0])
    if "options" not in guessed and not columns.options and not settings.labels:
        letters = [letter for letter in _LETTERS if letter in names and letter not in settings.arms]
        if letters[:2] == ["A", "B"]:
            columns = replace(columns, options=tuple(letters))
            taken += letters
            guessed["options"] = ", ".join(letters)
    named: dict[str, Any] = {what: name for what, name in guessed.items() if what != "options" or name in names}
    columns = replace(columns, **named)
    if not columns.id and not columns.question:
        raise UsageError(
            f"which column says what a row is about? name it with --id or --question; there are: {_shown(names)}"
        )
    if not columns.gold and not settings.gold and not columns.correct and not columns.scores:
        arms = [name for name in settings.arms or names if name not in taken and _marks(name, tables)]
        if len(arms) < 2 or (settings.arms and len(arms) < len(settings.arms)):
            raise UsageError(
                "which column holds the right answer? name it with --gold COLUMN, or known questions with --gold "
                "mirage:SET; where columns hold right or wrong (1 and 0), --correct COLUMN, or --arms A,B --correct "
                f"'{ARM}' with one an arm; there are: {_shown(names)}"
            )
        settings = replace(settings, arms={arm: settings.arms.get(arm, ArmFacts()) for arm in arms})
        columns = replace(columns, answer="", correct=ARM)
        guessed["right or wrong"] = ", ".join(arms)
        taken += arms
    settings = replace(settings, columns=columns)
    if not (columns.answer or columns.output or columns.correct or columns.scores or _likelihoods(columns)):
        settings, arms = _wide(settings, tables, [name for name in names if name not in taken])
        guessed["arms"] = ", ".join(arms)
        taken += arms
    both = [name for name in _named(Columns(options=settings.columns.options)) if name in settings.arms]
    if both and ARM in (settings.columns.answer, settings.columns.correct, settings.columns.output):
        raise UsageError(
            f"column '{both[0]}' cannot be both an option and an arm's answers; name others with --options or --arms"
        )
    said = [f"Taken for: {', '.join(f'{what} = {name}' for what, name in guessed.items())}."] if guessed else []
    left = [name for name in names if name not in taken]
    if left and ("arms" in guessed or "right or wrong" in guessed):
        said.append(f"Not taken: {_shown(left)}. Name the arms with --arms where one of these columns is an arm's.")
    return settings, said


def _likelihoods(columns: Columns) -> object:
    return columns.probabilities or columns.log_probabilities


def _named(columns: Columns) -> list[str]:
    given: list[str] = []
    for named in (getattr(columns, what) for what in _ASKED):
        given += [named] if isinstance(named, str) else [*(named.values() if isinstance(named, Mapping) else named)]
    return [name for name in given if name]


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _shown(names: Sequence[str]) -> str:
    names = [name or "(a column without a name; give it one)" for name in names]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _wide(settings: TableImport, tables: Sequence[TableFile], left: Sequence[str]) -> tuple[TableImport, list[str]]:
    """One column an arm: those whose cells are, for the most part, gold answers or options."""
    arms = list(settings.arms)
    if not arms:
        arms = [name for name in left if _answers(name, tables, settings)]
    if not arms:
        named = settings.columns.options
        letters = f" ({', '.join(named)} were taken for options)" if isinstance(named, tuple) and named else ""
        raise UsageError(
            "which columns hold the arms' answers? name them with --arms COLUMN,COLUMN (one column an arm; with --raw "
            f"'{ARM}' where they hold texts to be read), or with --answer or --raw (one row, or one file, an arm); "
            f"there are: {_shown(left or ['none left'])}{letters}"
        )
    facts = {arm: settings.arms.get(arm, ArmFacts()) for arm in arms}
    return replace(settings, columns=replace(settings.columns, answer=ARM), arms=facts), arms


def _marks(name: str, tables: Sequence[TableFile]) -> bool:
    """Whether a column says right or wrong of every row that it says anything of."""
    cells = {text_of(row.cells.get(name)).casefold() for table in tables for row in table.rows} - {""}
    return bool(cells) and (cells <= {*TRUE, *FALSE})


def _answers(name: str, tables: Sequence[TableFile], settings: TableImport) -> bool:
    columns = settings.columns
    golds = {text_of(row.cells.get(columns.gold)).casefold() for table in tables for row in table.rows} - {""}
    cells, named = 0, 0
    for table in tables:
        for row in table.rows:
            text = text_of(row.cells.get(name))
            if text:
                cells += 1
                options = _options(row.cells, columns) or ({} if golds else dict.fromkeys(_LETTERS, ""))
                named += text.casefold() in golds or option_named(text, options, None) is not None
    return bool(cells) and named >= _ENOUGH * cells


def _options(cells: Mapping[str, object], columns: Columns) -> dict[str, str]:
    if isinstance(columns.options, str):
        if not columns.options:
            return {}
        try:
            given = listed(cells.get(columns.options), columns.options)
        except BadCell:
            return {}
        return options_in(given)
    named = columns.options if isinstance(columns.options, Mapping) else {name: name for name in columns.options}
    return {letter: text_of(cells.get(column)) for letter, column in named.items()}
