"""MedQuAD's other names of a health topic (Ben Abacha and Demner-Fushman 2019): a topic in, one of four names out.

`data/medquad-names.jsonl`, one record a line, in the order of MedQuAD's files:

    {"id": "4_MPlus_Health_Topics_QA/0000002", "split": "test", "question": "Which of these is another name for the
     health topic Abdominal Pain?", "options": {"A": "Bellyache", "B": "Halitosis", "C": "The trots", "D": "Dyspepsia"},
     "answer": "A", "documents": ["4_MPlus_Health_Topics_QA/0000002/1"]}

Topics and names are MedQuAD's (its <Focus> and <Synonym>, CC BY 4.0); that one is asked for among three others is our
change. The corpus `medquad-topics` writes a topic's names into its text, as "Also called: Bellyache"; no text of the
corpus asks for them, or answers in the words of the question, so that what a model is trained on is the name.

How the questions were made, once, from the set at commit 577bd37b: a name is asked for that cannot be read off the
topic (the two share no word, no four letters at the start of a word and no five within, neither stands for the other's
initials, and it is no mere abbreviation). Wrong names are such names of other topics, of a kindred UMLS semantic type
where there are three, whose pages and the topic's own do not speak of each other; of these, names of about the same
length, some shorter, some longer, so that length gives nothing away. All was drawn by hashes of ids. A fifth of the
topics (`dev`) may be shown or trained on, the others are scored. MedlinePlus lists under a topic also what readers look
up there, so that a name may be narrower than its topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.records import Example
from ragmed.tasks.loading import split_of
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

FILE = Path(__file__).parent / "data" / "medquad-names.jsonl"


def load(workspace: Workspace) -> Split:
    """The questions, those of one topic a group; DataError names a line that cannot be read."""
    return split_of([FILE], "task file", _example)


def _example(record: Mapping[str, Any]) -> Example:
    return Example(
        record["id"], record["question"], options=record["options"], gold=record["answer"],
        documents=tuple(record["documents"]), group=record["id"],
    )  # fmt: skip


NAMES = Task(
    name="medquad-names",
    title="Other names of MedlinePlus's health topics: four names, one right",
    kind="choice",
    instruction="You answer questions about the names of diseases, symptoms, tests and treatments.",
    load=load,
    source=(
        "made from MedQuAD 4_MPlus_Health_Topics_QA, github.com/abachaa/MedQuAD (Ben Abacha and Demner-Fushman 2019)"
    ),
    license="CC BY 4.0",
    metrics=("accuracy",),
    gold_documents=True,
    ids="medquad",
)
