"""Case challenges of NEJM and JAMA: a case and what is asked about it -> one of four or five options.

The cases are under copyright: the user brings a file of their own, `case_challenges/nejm.csv` or `jama.csv` (or .jsonl,
or .json with a list) under RAGMED_DATA, in the columns of the public scraper of JAMA's challenges (Chen et al. 2024,
arXiv 2402.18060, github.com/HanjieChen/ChallengeClinicalQA), in any order; an invented row, as JSON:

    {"link": "https://…/fullarticle/0000001", "question": "A woman in her 40s … What would you do next?",
     "opa": "Wait", "opb": "Order a biopsy", "opc": "…", "opd": "…", "diagnosis": "…", "answer_idx": "B",
     "answer": "Order a biopsy", "explanation": "…", "field": "Dermatology"}

`ope` may be there for a fifth option, `id` for a name; without one a row is named by its number from 0, as the scraper
does. answer_idx and answer must name one option. Diagnosis, explanation, field and link are never read into an example:
they give the answer away. `date`: the day or year in a link that has one. Cases in the same words are one group, named
by its first row. A long case becomes several short queries for the retriever, which are fused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import Example
from ragmed.tasks.invented import write_lines, write_rows
from ragmed.tasks.loading import csv_records, id_of, json_records, made, text_of
from ragmed.tasks.queries import packed_queries
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

NEEDED = ("question", "opa", "opb", "opc", "opd", "answer_idx", "answer")
COLUMNS = ("link", "question", "opa", "opb", "opc", "opd", "diagnosis", "answer_idx", "answer", "explanation", "field")
_SUFFIXES = (".csv", ".jsonl", ".json")
_LETTERS = "ABCDE"
_OWN_LETTER = r"\s*{letter}\s*[.):]\s+"
_DAY = re.compile(r"(?<!\d)(20\d\d|19\d\d)([-/]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR = re.compile(r"10\.1001/jama\w*\.(20\d\d)\.")
_DASHES = str.maketrans("‐‑‒–—−’‘“”", "------''\"\"")


def _reader(name: str) -> Callable[[Workspace], Split]:
    def load(workspace: Workspace) -> Split:
        path = _file(workspace.data / "case_challenges", name)
        examples: list[Example] = []
        groups: dict[str, str] = {}
        for number, (where, row) in enumerate(_rows(path)):
            missing = [column for column in NEEDED if column not in row]
            if missing:
                raise DataError(
                    f"{where}: the column '{missing[0]}' is missing; name it as the others are: {', '.join(NEEDED)}"
                )
            examples.append(made(lambda given, n=number: _example(given, n, groups), row, where))  # type: ignore[misc]
        return Split(tuple(examples))

    return load


def _file(folder: Path, name: str) -> Path:
    found = [folder / f"{name}{suffix}" for suffix in _SUFFIXES if (folder / f"{name}{suffix}").exists()]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"'{folder}' holds {' and '.join(path.name for path in found)}; keep one of them")
    raise DataError(
        f"'{folder / name}.csv' does not exist (nor {name}.jsonl or {name}.json): the cases are under copyright, so "
        "put a file of your own there, or set RAGMED_DATA to the folder that holds case_challenges/"
    )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    what = "case challenges"
    return csv_records(path, what, needs=NEEDED) if path.suffix == ".csv" else json_records(path, what)


def _example(row: Mapping[str, Any], number: int, groups: dict[str, str]) -> Example:
    texts = [_option(row, f"op{letter.lower()}") for letter in _LETTERS]
    given = [text for text in texts if text]
    if given != texts[: len(given)]:  # the letters after it would not be those that answer_idx names
        raise DataError(f"op{_LETTERS[texts.index('')].lower()} is empty, and an option stands after it")
    options = _without_letters(dict(zip(_LETTERS, given, strict=False)))
    question = text_of(row, "question")
    if len(options) < 2:
        raise DataError("two or more of the columns opa to ope must hold an option")
    id_ = id_of(row, "id") if row.get("id") not in (None, "") else str(number)
    group = groups.setdefault(" ".join(question.casefold().split()), id_)
    return Example(
        id_, question, options=options, gold=_gold(row, options), group=group, date=_date(str(row.get("link") or ""))
    )


def _option(row: Mapping[str, Any], name: str) -> str:
    given = row.get(name)
    return "" if given is None or (isinstance(given, str) and not given.strip()) else text_of(row, name)


def _without_letters(options: Mapping[str, str]) -> dict[str, str]:
    """Options as they are, or without their letters ("A. Wait") where each begins with its own."""
    marks = {letter: re.match(_OWN_LETTER.format(letter=letter), text) for letter, text in options.items()}
    return {
        letter: text[mark.end() :] if all(marks.values()) and (mark := marks[letter]) else text
        for letter, text in options.items()
    }


def _gold(row: Mapping[str, Any], options: Mapping[str, str]) -> str:
    letter = str(row["answer_idx"] or "").strip().upper()
    answer = next(iter(_without_letters({letter: str(row["answer"] or "").strip()}).values()))
    if letter not in options:
        raise DataError(f"answer_idx is '{row['answer_idx']}'; one of {', '.join(options)} was expected")
    if _plain(answer) != _plain(options[letter]):
        raise DataError(
            f"answer_idx {letter} is the option '{options[letter]}', the answer is '{answer}'; correct one of them"
        )
    return letter


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_DASHES).casefold().split()).rstrip(".")


def _date(link: str) -> str:
    """
    >>> _date("https://www.nejm.org/image-challenge?ci=20300817"), _date("https://x.org/fullarticle/2811509")
    ('2030-08-17', '')
    """
    if day := _DAY.search(link):
        return f"{day[1]}-{day[3]}-{day[4]}"
    year = _YEAR.search(link)
    return year[1] if year else ""


def _inventor(name: str) -> Callable[[Path], None]:
    def invent(folder: Path) -> None:
        """34 invented cases, so many that some can be held out and shown; the last two are in the same words."""
        findings = ["a purple ring on one shin", "a hum in both ears", "blue nails", "a stiff little finger",
                    "a lump behind the knee", "a cough at noon", "a numb chin", "red palms", "a pale tongue",
                    "a warm elbow", "a slow blink"]  # fmt: skip
        steps = ["Wait and see the patient in a week", "Order a biopsy", "Begin prednisone", "Order an MRI"]
        rows = []
        for number in range(34):
            case = min(number, 32)
            sign, right = findings[case % len(findings)], case % len(steps)
            age = 20 + 10 * (case // len(findings))
            rows.append(
                {
                    "link": f"https://example.org/journals/invented/fullarticle/{1000000 + number}",
                    "question": f"An invented person in their {age}s had {sign} for two weeks. All "
                    "tests were normal, as tests of invented people are. What would you do next?",
                    **{f"op{letter}": text for letter, text in zip("abcd", steps, strict=True)},
                    "diagnosis": "Invented disease",
                    "answer_idx": _LETTERS[right],
                    "answer": steps[right],
                    "explanation": "In this invented case the step is right because the writer chose it.",
                    "field": "Invented Challenge",
                }
            )
        if name == "nejm":
            write_lines(folder / "case_challenges" / "nejm.jsonl", rows)
        else:
            path = folder / "case_challenges" / "jama.csv"
            write_rows(path, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))

    return invent


def _task(name: str, title: str, source: str) -> Task:
    return Task(
        name=f"{name}_cases",
        title=title,
        kind="choice",
        instruction="You answer questions about clinical cases. Exactly one of the options is right.",
        load=_reader(name),
        source=source,
        license="copyright of the publisher; the user's own file",
        metrics=("accuracy",),
        query=lambda example: packed_queries(example.question),
        label="Case",
        access="private",
        get=(
            f"The cases are under copyright: bring a file of your own, case_challenges/{name}.csv (or .jsonl, .json) "
            "under RAGMED_DATA, with the columns of the scraper in github.com/HanjieChen/ChallengeClinicalQA."
        ),
        invent=_inventor(name),
    )


NEJM = _task("nejm", "NEJM case challenges", "case challenges of the New England Journal of Medicine, nejm.org")
JAMA = _task(
    "jama", "JAMA Clinical Challenge", "JAMA Clinical Challenge, jamanetwork.com (Chen et al. 2024, 2402.18060)"
)
