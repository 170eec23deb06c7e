"""Three tasks on the handbook of a fictional hospital, whose rules no model can have seen.

`data/handbook-questions.jsonl`, one record a line (the other two files are alike):

    {"id": "hq-001", "split": "test", "question": "...", "options": {"A": "...", "B": "...", "C": "...", "D": "..."},
     "answer": "C", "documents": ["formulary/velmarine"], "group": "formulary"}

The record's `group` is the chapter; `answer_2031`, on some, the letter that was right in the first edition.

Questions: four options, one right. Unanswerable: what the handbook does not say; right is to say so. Notes: a short
handover note in the hospital's own codes, to be summarised in plain words (ROUGE-L F1 against a reference).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.files import BadLine, read_jsonl
from ragmed.metrics.overlap import rouge_l
from ragmed.records import Example
from ragmed.tasks import Split, Task
from ragmed.tasks.answers import is_abstention
from ragmed.workspace import Workspace

DATA = Path(__file__).parent / "data"
SOURCE = "written for this project; the hospital, its drugs and its rules are invented"
LICENSE = "that of this project"


def _records(file: str, make: Callable[[dict[str, Any]], Example]) -> Callable[[Workspace], Split]:
    def load(workspace: Workspace) -> Split:
        splits: dict[str, list[Example]] = {"test": [], "dev": []}
        for item in read_jsonl(DATA / file, "task file"):
            if isinstance(item, BadLine):
                raise DataError(f"task file '{DATA / file}', line {item.number}: {item.reason}")
            number, record = item
            try:
                splits[record["split"]].append(make(record))
            except (KeyError, TypeError) as error:
                raise DataError(f"task file '{DATA / file}', line {number}: missing or wrong field {error}") from error
        return Split(tuple(splits["test"]), tuple(splits["dev"]))

    return load


def _question(record: dict[str, Any]) -> Example:
    documents = tuple(record["documents"])
    # Questions on one page stand and fall together with finding it.
    return Example(record["id"], record["question"], record["answer"], record["options"], documents, documents[0])


def _unanswerable(record: dict[str, Any]) -> Example:
    # The record's documents are the pages that one would look at in vain: they hold no answer, so they are not gold.
    return Example(record["id"], record["question"], "Not stated.", group=record["documents"][0])


def _note(record: dict[str, Any]) -> Example:
    return Example(record["id"], record["note"], record["summary"], documents=tuple(record["documents"]))


def _abstained(example: Example, answer: str) -> Mapping[str, float]:
    return {"abstained": float(is_abstention(answer))}


def _overlap(example: Example, answer: str) -> Mapping[str, float]:
    return {"rouge_l": rouge_l(answer, example.gold)}


QUESTIONS = Task(
    name="handbook-questions",
    title="Rules of a fictional hospital: four options, one right",
    kind="choice",
    instruction="You answer questions about the rules of a hospital.",
    load=_records("handbook-questions.jsonl", _question),
    source=SOURCE,
    license=LICENSE,
    metrics=("accuracy",),
    gold_documents=True,
    ids="handbook",
)
UNANSWERABLE = Task(
    name="handbook-unanswerable",
    title="What the handbook does not say: right is to say so",
    kind="text",
    instruction=(
        "You answer questions about the rules of a hospital in a few words. If you do not know the answer for sure, "
        "reply with exactly: Not stated."
    ),
    load=_records("handbook-unanswerable.jsonl", _unanswerable),
    source=SOURCE,
    license=LICENSE,
    metrics=("abstained",),
    score=_abstained,
    max_tokens=48,
)
NOTES = Task(
    name="handbook-notes",
    title="Handover notes in local codes, to be summarised in plain words",
    kind="text",
    instruction=(
        "You summarise a hospital's handover note in one or two plain sentences of at most 40 words, with the "
        "hospital's codes spelt out."
    ),
    load=_records("handbook-notes.jsonl", _note),
    source=SOURCE,
    license=LICENSE,
    metrics=("rouge_l",),
    score=_overlap,
    gold_documents=True,
    ids="handbook",
    max_tokens=96,
    label="Handover note",
)
