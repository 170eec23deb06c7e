"""MedQA, US (Jin et al. 2021, Applied Sciences 11(14):6421, arXiv 2009.13081): the development questions.

`medqa/dev.jsonl` (five options) and `medqa/dev_4_options.jsonl` (the same questions with four) under RAGMED_DATA, one
question a line; other keys, such as metamap_phrases, are passed over:

    {"question": "A 5-year-old girl is brought to …", "answer": "Cyclic vomiting syndrome",
     "options": {"A": "Cyclic vomiting syndrome", "B": "Gastroenteritis", …}, "answer_idx": "A", "meta_info": "step2&3"}

A question is named by its line (`dev-1`), the same in both files; questions in the same words are one group. None of
them is in MIRAGE's `medqa`, which is the test set, so that the few-shot examples of that task come from the file with
four options. Where these questions are scored themselves, few-shot examples are taken out of scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_lines
from ragmed.tasks.loading import data_file, json_records, made, text_of
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

FOLDER = "medqa"
FOUR_OPTIONS = "dev_4_options.jsonl"


def development(workspace: Workspace, name: str) -> tuple[Example, ...]:
    """The questions of a file, in its order; DataError names the line of one that cannot be used."""
    path = data_file(workspace, FOLDER, name, of="MedQA")
    examples: list[Example] = []
    groups: dict[str, str] = {}
    for number, (where, record) in enumerate(json_records(path, "MedQA questions"), 1):
        id_ = f"dev-{number}"
        question, options, gold = made(_read, record, where)
        group = groups.setdefault(" ".join(question.casefold().split()), id_)
        examples.append(Example(id_, question, options=options, gold=gold, group=group))
    return tuple(examples)


def _read(record: Mapping[str, Any]) -> tuple[str, dict[str, str], str]:
    question, gold = text_of(record, "question"), text_of(record, "answer_idx")
    given = record["options"]
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for text in given.values()):
        raise DataError("'options' is no object of letters and texts")
    options = {letter: text.strip() for letter, text in given.items()}
    if options.get(gold) != text_of(record, "answer"):
        raise DataError(f"answer_idx '{gold}' and answer '{record['answer']}' do not name the same option")
    return question, options, gold


def invent(folder: Path) -> None:
    """Both files, 36 questions each: so many that some can be held out and shown."""
    for name, letters in (("dev.jsonl", "ABCDE"), (FOUR_OPTIONS, "ABCD")):
        records = []
        for n in range(36):
            options = {letter: f"{DRUGS[(n + i) % len(DRUGS)]}, {n + 5} mg" for i, letter in enumerate(letters)}
            gold = letters[n % 4]
            asked = f"An invented person of {20 + n} years has {AILMENTS[n % len(AILMENTS)]}. What is given?"
            records.append({"question": asked, "answer": options[gold], "options": options, "answer_idx": gold})
        write_lines(folder / FOLDER / name, records)


def _reader(name: str) -> Callable[[Workspace], Split]:
    return lambda workspace: Split(development(workspace, name))


def _task(name: str, file: str, options: str) -> Task:
    return Task(
        name=name,
        title=f"MedQA (US), development set with {options} options: licensing examination vignettes",
        kind="choice",
        instruction="You answer medical questions. Exactly one of the options is right.",
        load=_reader(file),
        source=f"MedQA (US) {file}, github.com/jind11/MedQA (Jin et al. 2021, arXiv 2009.13081)",
        license="MIT",
        metrics=("accuracy",),
        get=f"From github.com/jind11/MedQA, data_clean/questions/US; put {file} into medqa/ under RAGMED_DATA.",
        invent=invent,
    )


MEDQA_DEV = _task("medqa_dev", "dev.jsonl", "five")
MEDQA_DEV_4 = _task("medqa_dev_4", FOUR_OPTIONS, "four")
