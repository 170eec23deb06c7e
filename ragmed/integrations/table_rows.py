"""Rows of tables in, entries out: what one arm answered to one question, cell by cell, and the rows that say nothing.

Nothing is decided here about right and wrong, and no two rows are held against each other: see `table`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import parse_json
from ragmed.integrations.foreign import lettered
from ragmed.integrations.table_files import Row, TableFile, text_of
from ragmed.integrations.table_settings import ARM, Columns, Source, TableImport

TRUE = ("true", "1", "yes", "correct", "right", "t", "y")
FALSE = ("false", "0", "no", "incorrect", "wrong", "f", "n")
_GROUPS = ("arm", "task", "repeat", "group", "printed")
_MARK = re.compile(r"(?:^|(?<=[\s;,.?:]))[(\[]?([A-J])[.):\]]\s*(?=\S)")
LEAST = 5e-324
"""What a probability of 0 counts as: no logarithm of 0 can be stored."""
_LABELS_AND_TEXTS = (("label", "text"), ("key", "value"), ("label", "value"), ("letter", "text"), ("id", "text"))
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_LONGEST = 100_000  # characters of a cell that is read as a list


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says of one arm and one question. `where`: file and line. `answer`, `output`, `correct`: None where
    the table has no such column; '' where the cell is empty. `gold`: as it stands there. `scores`: without those whose
    cell is empty."""

    where: str
    arm: str
    task: str
    id: str
    question: str
    gold: Any
    options: Mapping[str, str]
    output: str | None
    answer: str | None
    correct: bool | None
    group: str
    repeat: str
    scores: Mapping[str, float]
    log_probabilities: Mapping[str, float]


@dataclass(slots=True)
class Entries:
    """`rows`: of all files. `refused`: reason -> the places of the rows that were not taken. `left_out`: arm that the
    settings do not take -> rows. `printed`: (arm, task) -> shares that the files print of themselves. `empty_scores`:
    metric -> cells without a number."""

    found: list[Entry] = field(default_factory=list)
    rows: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)
    printed: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)
    empty_scores: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    _places: set[str] = field(default_factory=set)

    def refuse(self, reason: str, where: str) -> None:
        """A row is counted once, under the first reason, however many arms it is about."""
        if where not in self._places:
            self._places.add(where)
            self.refused.setdefault(reason, []).append(where)


class BadCell(ValueError):
    """A row that is not taken, and why."""


class _LeftOut(Exception):
    """A row of an arm that the settings do not take."""


def entries_of(tables: Sequence[tuple[Source, TableFile]], settings: TableImport) -> Entries:
    """
        entries_of([(Source("a.csv"), table)], settings).found[0].arm

    Raises UnknownNameError for a column that no file has, UsageError where arms cannot be told.
    """
    check_columns(tables, settings)
    made = Entries()
    for source, table in tables:
        known = _of_path(source, table)
        made.rows += len(table.rows) + len(table.refused)
        for line, reason in table.refused:
            made.refuse(_plain(reason), f"{table.file}, line {line}")
        arms = _arms(settings, known, table)
        begun = len(made.found)
        for row in table.rows:
            where = f"{table.file}, line {row.line}"
            try:
                taken = _of_row(row, arms, settings)
                made.found += [_entry(row, where, arm, known, settings, made) for arm in taken]
            except _LeftOut as arm:
                made.left_out[str(arm)] = made.left_out.get(str(arm), 0) + 1
            except BadCell as error:
                made.refuse(str(error), where)
        printed = known.get("printed") or table.printed.get(source.printed)
        keys = {(entry.arm, entry.task) for entry in made.found[begun:]}
        if printed is not None and len(keys) == 1 and len(made.found) > begun:
            made.printed.setdefault(keys.pop(), []).append((len(made.found) - begun, float(printed)))
    return made


def check_columns(tables: Sequence[tuple[Source, TableFile]], settings: TableImport) -> None:
    """A column of one row's own must be in every file; what belongs to the question, in one of them."""
    columns = settings.columns
    some = [columns.gold, columns.group, *_option_columns(columns)]
    if settings.key == "question" or not columns.id:
        every = [columns.question]
        some.append(columns.id)
    else:
        every = [columns.id]
        some.append(columns.question)
    every += [columns.answer, columns.output, columns.correct, columns.arm, columns.task, columns.repeat]
    for source, table in tables:
        arms = _arms(settings, _of_path(source, table), table)
        for name in filter(None, every):
            _require(name, arms, table.columns, f"table '{table.file}'")
    everywhere = list(dict.fromkeys(name for _, table in tables for name in table.columns))
    for arm in settings.arms if _is_wide(columns) else ():
        wanted = [
            name.replace(ARM, arm) for name in (*_answer_columns(columns), *_option_columns(columns)) if ARM in name
        ]
        if not any(name in everywhere for name in wanted):
            raise UnknownNameError("column", wanted[0], everywhere, f"the tables, for the arm '{arm}'")
    scores = [score.column for score in columns.scores.values()]
    for name in filter(None, [*some, *scores]):
        _require(name, list(settings.arms), everywhere, "the tables")


def _require(name: str, arms: Sequence[str], columns: Sequence[str], where: str) -> None:
    """The column, or one for at least one of the arms: what a third party printed has numbers, and no texts."""
    wanted = [name.replace(ARM, arm) for arm in arms] if ARM in name else [name]
    if not any(column in columns for column in wanted):
        raise UnknownNameError("column", (wanted or [name])[0], columns, where)


def _option_columns(columns: Columns) -> list[str]:
    given: list[str] = []
    for named in (columns.options, columns.probabilities, columns.log_probabilities):
        given += [named] if isinstance(named, str) else [*(named.values() if isinstance(named, Mapping) else named)]
    return given


def _of_path(source: Source, table: TableFile) -> dict[str, str]:
    """Arm, task and so on, as far as the settings or the file's path give them."""
    known: dict[str, str] = {}
    if source.pattern:
        try:
            match = re.search(source.pattern, table.file)
        except re.error as error:
            raise UsageError(f"pattern '{source.pattern}' is no regular expression: {error}") from error
        if not match:
            raise UsageError(
                f"pattern '{source.pattern}' does not match '{table.file}'; change it, or name the files with only"
            )
        groups = {name: found or "" for name, found in match.groupdict().items()}
        known = {name: found for name, found in groups.items() if name in _GROUPS and found}
        for name, template in (("arm", source.arm), ("task", source.task)):
            if "{" in template:
                try:
                    known[name] = " ".join(template.format_map(groups).split())
                except (KeyError, ValueError, IndexError) as error:
                    raise UsageError(
                        f"{name}: '{template}' names a group that the pattern has not ({error})"
                    ) from error
    return {
        **{name: value for name, value in (("arm", source.arm), ("task", source.task)) if value and "{" not in value},
        **known,
    }


def _is_wide(columns: Columns) -> bool:
    return any(ARM in name for name in (*_answer_columns(columns), *_option_columns(columns)))


def _answer_columns(columns: Columns) -> list[str]:
    scores = (score.column for score in columns.scores.values())
    return [name for name in (columns.output, columns.answer, columns.correct, *scores) if name]


def _arms(settings: TableImport, known: Mapping[str, str], table: TableFile) -> list[str]:
    """The arms of a file; empty where a column names them."""
    if _is_wide(settings.columns):
        if not settings.arms:
            raise UsageError(f"columns with {ARM} stand for one column an arm: name the arms with --arms")
        return list(settings.arms)
    if settings.columns.arm:
        return []
    stem = table.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    arm = known.get("arm") or stem
    return [arm]


def _of_row(row: Row, arms: Sequence[str], settings: TableImport) -> Sequence[str]:
    """The arms that a row is about; _LeftOut where the settings do not take it."""
    if not arms:
        arm = text_of(row.cells.get(settings.columns.arm))
        if not arm:
            raise BadCell(f"column '{settings.columns.arm}' is empty: nobody knows which arm answered")
        arms = [arm]
    if settings.arms and arms[0] not in settings.arms:
        raise _LeftOut(arms[0])
    return arms


def _entry(row: Row, where: str, arm: str, known: Mapping[str, str], settings: TableImport, made: Entries) -> Entry:
    columns, cells = settings.columns, row.cells

    def cell(name: str) -> Any:
        return cells.get(name.replace(ARM, arm)) if name else None

    def maybe(name: str) -> str | None:
        column = name.replace(ARM, arm)
        return text_of(cells.get(column)) if name and column in cells else None

    facts = settings.arms.get(arm)
    task = text_of(cell(columns.task)) or known.get("task", "") or settings.task
    if columns.task and not text_of(cell(columns.task)):
        raise BadCell(f"column '{columns.task}' is empty: nobody knows which task it is")
    question, options = text_of(cell(columns.question)), _options(cells, columns, arm)
    if settings.options_in_question and question:
        question, options = split_options(question, columns.question)
    if settings.labels:
        options = lettered(settings.labels)
    id_ = text_of(cell(columns.id))
    by_id = bool(columns.id) and settings.key != "question"
    if not (id_ if by_id else question):
        raise BadCell(
            f"column '{columns.id if by_id else columns.question}' is empty: nobody knows which question it is"
        )
    scores = {}
    for metric, score in columns.scores.items():
        if score.column.replace(ARM, arm) not in cells:
            continue
        number = _number(cell(score.column), score.column.replace(ARM, arm))
        if number is None:
            made.empty_scores[metric] = made.empty_scores.get(metric, 0) + 1
        else:
            scores[metric] = number
    return Entry(
        where=where,
        arm=(facts.name if facts else "") or arm,
        task=settings.tasks.get(task, task),
        id=id_,
        question=question,
        gold=cell(columns.gold),
        options=options,
        output=_raw(cells, columns.output.replace(ARM, arm)),
        answer=_chosen(cells, columns.answer.replace(ARM, arm)),
        correct=_correct(maybe(columns.correct), columns.correct.replace(ARM, arm)),
        group=text_of(cell(columns.group)) or known.get("group", ""),
        repeat=text_of(cell(columns.repeat)) or known.get("repeat", ""),
        scores=scores,
        log_probabilities=_log_probabilities(cells, columns, arm),
    )


def _chosen(cells: Mapping[str, Any], column: str) -> str | None:
    """What was chosen; the one thing that a list holds. BadCell for a list of several."""
    if not column or column not in cells:
        return None
    cell = cells[column]
    if isinstance(cell, str) and cell.strip().startswith("[") and cell.strip().endswith("]"):
        with suppress(BadCell):
            cell = listed(cell, column)
    if not isinstance(cell, list | tuple):
        return text_of(cell)
    if len(cell) > 1:
        raise BadCell(f"column '{column}' holds several answers to one question; give one, or whether it is --correct")
    return text_of(cell[0]) if cell else ""


def _raw(cells: Mapping[str, Any], column: str) -> str | None:
    """What a model wrote, with its blanks and lines; None where the table has no such column."""
    if not column or column not in cells:
        return None
    cell = cells[column]
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    return cell if isinstance(cell, str) else text_of(cell)


def _plain(reason: str) -> str:
    """A reason without what is of one row alone, so that rows of one kind are counted together."""
    reason = re.sub(
        r"has \d+ cells, the header has (\d+)", r"has more or fewer cells than the \1 of the header", reason
    )
    return re.sub(r"0x[0-9a-f]{2} at offset \d+|line \d+ column \d+ \(char \d+\)", "…", reason)


def _number(cell: Any, column: str) -> float | None:
    text = text_of(cell)
    if not text or text.casefold() in ("nan", "na", "n/a", "null", "none"):
        return None
    if _DECIMAL_COMMA.fullmatch(text):
        raise BadCell(f"column '{column}' holds a number with a comma; write decimals with a point")
    try:
        number = float(cell) if isinstance(cell, int | float) else float(text)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadCell(f"column '{column}' holds what is no number")
    return number


def _correct(text: str | None, column: str) -> bool | None:
    if not text:
        return None
    word = text.casefold()
    if word not in (*TRUE, *FALSE):
        raise BadCell(
            f"column '{column}' holds what is neither right nor wrong; true and false, or 1 and 0, are read (a column "
            "of right answers is named with --gold)"
        )
    return word in TRUE


def _options(cells: Mapping[str, Any], columns: Columns, arm: str) -> dict[str, str]:
    named = columns.options
    if isinstance(named, Mapping):
        given = {letter: text_of(cells.get(column)) for letter, column in named.items()}
    elif not isinstance(named, str):
        given = dict(zip(lettered(named), (text_of(cells.get(column)) for column in named), strict=True))
    elif not named or not text_of(cells.get(named)):
        return {}
    else:
        given = options_in(listed(cells[named], named))
    return {letter: text for letter, text in given.items() if text}


def options_in(value: Sequence[Any] | Mapping[str, Any]) -> dict[str, str]:
    """
    >>> options_in({"label": ["A", "B"], "text": ["10 mg", "40 mg"]})
    {'A': '10 mg', 'B': '40 mg'}
    >>> options_in([{"key": "A", "value": "10 mg"}, {"key": "B", "value": "40 mg"}])
    {'A': '10 mg', 'B': '40 mg'}

    Letter -> text, of a list, an object, lists of labels and texts beside each other, or objects with both.
    """
    if isinstance(value, Mapping):
        for labels, texts in _LABELS_AND_TEXTS:
            names, said = value.get(labels), value.get(texts)
            if isinstance(names, list | tuple) and isinstance(said, list | tuple) and len(names) == len(said):
                return {text_of(label): text_of(text) for label, text in zip(names, said, strict=True)}
        return {str(letter): text_of(text) for letter, text in value.items()}
    for label, text in _LABELS_AND_TEXTS:
        if all(isinstance(one, Mapping) and label in one and text in one for one in value):
            return {text_of(one[label]): text_of(one[text]) for one in value}
    return lettered([text_of(text) for text in value])


def listed(cell: Any, column: str) -> Sequence[Any] | Mapping[str, Any]:
    """
    >>> listed("['10 mg', '40 mg']", "options")
    ['10 mg', '40 mg']

    A list or an object, also as text: as JSON, or as Python and pandas write one. BadCell where it is none.
    """
    if isinstance(cell, str) and len(cell) <= _LONGEST:
        for read in (parse_json, ast.literal_eval):  # literals alone: nothing is run
            try:
                cell = read(cell)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
    if isinstance(cell, list | tuple | dict) and cell:
        return cell
    raise BadCell(f"column '{column}' holds no list of options; a JSON list or object was expected")


def split_options(question: str, column: str) -> tuple[str, dict[str, str]]:
    """
    >>> split_options("Which dose?\\nA. 10 mg\\nB. 40 mg", "question")
    ('Which dose?', {'A': '10 mg', 'B': '40 mg'})

    A question without the options at its end, and the options. BadCell where there are no two.
    """
    marks = list(_MARK.finditer(question))
    for start in (place for place in range(len(marks) - 1, -1, -1) if marks[place][1] == "A"):
        run = [marks[start]]
        for mark in marks[start + 1 :]:
            if mark[1] == chr(ord("A") + len(run)):
                run.append(mark)
        if len(run) > 1:
            ends = [*(mark.start() for mark in run[1:]), len(question)]
            texts = [question[mark.end() : end].strip(" \t\r\n;,") for mark, end in zip(run, ends, strict=True)]
            if all(texts):
                return question[: run[0].start()].strip(), lettered(texts)
    raise BadCell(f"column '{column}' holds no options at the end of the question (A. ... B. ...)")


def _log_probabilities(cells: Mapping[str, Any], columns: Columns, arm: str) -> dict[str, float]:
    """Of the options that have one, from either column."""
    found: dict[str, float] = {}
    for letter, number, column in _by_letter(cells, columns.log_probabilities, arm):
        if number > 1e-6:
            raise BadCell(f"column '{column}' holds a logarithm of a probability that is above 0")
        found[letter] = min(number, 0.0)
    for letter, number, column in _by_letter(cells, columns.probabilities, arm):
        if not 0 <= number <= 1 + 1e-6:
            raise BadCell(
                f"column '{column}' holds a probability that is not between 0 and 1; logarithms are log_probabilities"
            )
        found[letter] = math.log(max(min(number, 1.0), LEAST))
    return found


def _by_letter(cells: Mapping[str, Any], named: str | Mapping[str, str], arm: str) -> Iterator[tuple[str, float, str]]:
    """Letter, number and column of every cell that holds a number."""
    given: dict[Any, tuple[Any, str]] = {}
    if isinstance(named, Mapping):
        columns = {letter: name.replace(ARM, arm) for letter, name in named.items()}
        given = {letter: (cells.get(name), name) for letter, name in columns.items()}
    elif named and text_of(cells.get(column := named.replace(ARM, arm))):
        value = listed(cells[column], column)
        letters = value if isinstance(value, Mapping) else lettered([""] * len(value))
        in_order = value.values() if isinstance(value, Mapping) else value
        given = {letter: (one, column) for letter, one in zip(letters, in_order, strict=True)}
    for letter, (cell, column) in given.items():
        first = (
            cell[0] if isinstance(cell, list | tuple) and cell else cell
        )  # lm-eval: with whether it is the likeliest
        number = _number(first, column)
        if number is not None:
            yield str(letter), number, column


def refuse_nothing(made: Entries) -> None:
    """DataError where no row could be taken, with the commonest reason."""
    if made.found:
        return
    reasons = sorted(made.refused.items(), key=lambda found: -len(found[1]))
    why = f"; most often: {reasons[0][0]} ({reasons[0][1][0]})" if reasons else ""
    raise DataError(f"none of the {made.rows:,} rows can be taken{why}")
