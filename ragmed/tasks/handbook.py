"""Tasks on the handbook of a fictional hospital, whose rules no model can have seen.

`data/handbook-questions.jsonl`, one record a line (the other files are alike):

    {"id": "hq-001", "split": "test", "question": "...", "options": {"A": "...", "B": "...", "C": "...", "D": "..."},
     "answer": "C", "documents": ["formulary/velmarine"], "group": "formulary"}

The record's `group` is the chapter; `answer_2031`, on some, the letter that was right in the first edition.

Questions: four options, one right. Unanswerable: what the handbook does not say; right is to say so. Notes: a short
handover note in the hospital's own codes, to be summarised in plain words (ROUGE-L F1 against a reference).

The handbook has two editions, and so a model or an index may be out of date. `handbook-questions-2031` asks the same
questions with the answers of the first edition. `handbook-changed` asks only for what differs between the editions,
with the answers of the second, `handbook-changed-2031` the same with those of the first: the questions of the first
file that have an `answer_2031`, and those of `handbook-changed.jsonl`, which ask for the same facts in other words.
Both answers are always among the options. Questions on one page are one group, so that three on one fact count once.
The page of the other edition contradicts the gold one: `contradictions`, which the arm `conflict` shows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.records import ContextDocument, Example
from ragmed.tasks.loading import split_of
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace

DATA = Path(__file__).parent / "data"
SOURCE = "written for this project; the hospital, its drugs and its rules are invented"
LICENSE = "that of this project"


Make = Callable[[Mapping[str, Any]], Example]


def _records(make: Make, *files: str, changed: bool = False) -> Callable[[Workspace], Split]:
    """`changed`: scored are the records alone whose answer differs between the editions."""
    paths = [DATA / file for file in files]
    return lambda workspace: split_of(
        paths, "task file", make, keep=lambda record: not changed or "answer_2031" in record
    )


def _question(record: Mapping[str, Any]) -> Example:
    documents = tuple(record["documents"])
    # Questions on one page stand and fall together with finding it.
    return Example(
        record["id"], record["question"], options=record["options"], gold=record["answer"], documents=documents,
        group=documents[0],
    )  # fmt: skip


def _first_edition(record: Mapping[str, Any]) -> Example:
    if "answer_2031" not in record:
        return _question(record)
    now, before = record["answer"], record["answer_2031"]
    return _contradicted({**record, "answer": before}, "handbook", now)


def _second_edition(record: Mapping[str, Any]) -> Example:
    return (
        _contradicted(record, "handbook-2031", record["answer_2031"]) if "answer_2031" in record else _question(record)
    )


def _contradicted(record: Mapping[str, Any], edition: str, answer: str) -> Example:
    """A question on a changed rule: the page of the other edition, a corpus of its own, gives the other answer."""
    example = _question(record)
    return replace(example, contradictions={f"{edition}:{page}": answer for page in example.documents})


def _unanswerable(record: Mapping[str, Any]) -> Example:
    # The record's documents are the pages that one would look at in vain: they hold no answer, so they are not gold.
    return Example(record["id"], record["question"], gold="Not stated.", group=record["documents"][0])


def _note(record: Mapping[str, Any]) -> Example:
    note = (ContextDocument(record["note"]),)
    return Example(record["id"], "", note, gold=record["summary"], documents=tuple(record["documents"]))


def _choice(name: str, title: str, load: Callable[[Workspace], Split]) -> Task:
    return Task(
        name=name,
        title=title,
        kind="choice",
        instruction="You answer questions about the rules of a hospital.",
        load=load,
        source=SOURCE,
        license=LICENSE,
        metrics=("accuracy",),
        gold_documents=True,
        ids="handbook",
    )


QUESTIONS = _choice(
    "handbook-questions",
    "Rules of a fictional hospital: four options, one right",
    _records(_second_edition, "handbook-questions.jsonl"),
)
QUESTIONS_2031 = _choice(
    "handbook-questions-2031",
    "The same questions with the answers of the handbook's first edition",
    _records(_first_edition, "handbook-questions.jsonl"),
)
CHANGED = _choice(
    "handbook-changed",
    "Rules that changed with the handbook's second edition: its answers",
    _records(_second_edition, "handbook-questions.jsonl", "handbook-changed.jsonl", changed=True),
)
CHANGED_2031 = _choice(
    "handbook-changed-2031",
    "Rules that changed with the handbook's second edition: the answers before it",
    _records(_first_edition, "handbook-questions.jsonl", "handbook-changed.jsonl", changed=True),
)
UNANSWERABLE = Task(
    name="handbook-unanswerable",
    title="What the handbook does not say: right is to say so",
    kind="text",
    instruction=(
        "You answer questions about the rules of a hospital in a few words. If you do not know the answer for sure, "
        "reply with exactly: Not stated."
    ),
    load=_records(_unanswerable, "handbook-unanswerable.jsonl"),
    source=SOURCE,
    license=LICENSE,
    metrics=("abstained",),
    form=TEXT,
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
    load=_records(_note, "handbook-notes.jsonl"),
    source=SOURCE,
    license=LICENSE,
    metrics=("rouge_l",),
    further=("unsupported",),
    form=TEXT,
    gold_documents=True,
    ids="handbook",
    max_tokens=96,
    context_label="Handover note",
)
