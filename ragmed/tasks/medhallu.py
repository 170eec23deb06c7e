"""MedHallu (Pandit et al. 2025, arXiv 2502.14302): a question and an answer -> is the answer hallucinated?

`medhallu/pqa_labeled_dev.jsonl` under RAGMED_DATA, one question of PubMedQA a line, with the columns of the published
set (here the rows of the half that is for development):

    {"Question": "Does tea lower blood pressure?", "Knowledge": ["We asked whether …", "…"],
     "Ground Truth": "It does not, in these patients.", "Difficulty Level": "hard",
     "Hallucinated Answer": "It does, by 12 mmHg.", "Category of Hallucination": "Incomplete Information"}

A row gives two examples, one with the true answer and one with the hallucinated one; they are one group. `medhallu`
shows the question's `Knowledge` (the abstract, without its conclusion), `medhallu_closed` does not. Half of the answers
are hallucinated, so that to call all of them so scores an F1 of 0.667 and an accuracy of 0.5. True answers are
authors' conclusions and longer (273 characters against 202 on average): length alone tells something.

The retriever is asked two things, the question and the answer. The set has no split of its own: about one question in
PARTS, by a hash of its words, is held out for few-shot examples, with both of its answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.files import sha256_json
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_lines
from ragmed.tasks.loading import data_file, examples_of, json_records
from ragmed.tasks.splits import split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import LABEL
from ragmed.workspace import Workspace

OPTIONS = {"A": "hallucinated", "B": "factual"}
ANSWERS = {"A": "Hallucinated Answer", "B": "Ground Truth"}
"""Option -> the field of the answer for which it is right."""
PARTS = 32
ANSWER, KNOWLEDGE = "Answer", "Knowledge"
"""Titles of an example's own material: the answer to be judged, and what is known."""


def load(workspace: Workspace, *, knowledge: bool) -> Split:
    """DataError names the file, the line and the field where a row cannot be used."""
    path = data_file(workspace, "medhallu", "pqa_labeled_dev.jsonl", of="MedHallu")
    examples = examples_of(json_records(path, "MedHallu rows"), partial(_pair, knowledge=knowledge))
    return split_by_hash(examples, of="medhallu", parts=PARTS)


def _pair(record: Mapping[str, Any], *, knowledge: bool) -> tuple[Example, Example]:
    texts = {field: record[field] for field in ("Question", *ANSWERS.values())}
    for field, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"'{field}' is empty or no text")
    known = record["Knowledge"]
    if not isinstance(known, list) or not known or not all(isinstance(part, str) for part in known):
        raise DataError("'Knowledge' is no list of texts")
    question = texts["Question"]
    group = " ".join(question.casefold().split())
    material = (ContextDocument("\n".join(known), KNOWLEDGE),) if knowledge else ()

    def example(letter: str) -> Example:
        answer = ContextDocument(texts[ANSWERS[letter]], ANSWER)
        key = sha256_json(group)[:12]
        return Example(f"{key}-{OPTIONS[letter]}", question, (*material, answer), OPTIONS, letter, group=group)

    return example("A"), example("B")


def invent(folder: Path) -> None:
    """Sixty questions, some of which are held out; each gives two examples."""
    rows = []
    for n in range(60):
        drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n // 5]
        rows.append(
            {
                "Question": f"Does {drug} help with {ill}?",
                "Knowledge": [f"We asked {n + 90} people with {ill}.", f"Half of them were given {drug}."],
                "Ground Truth": f"It did not help {n + 90} people.",
                "Difficulty Level": "hard",
                "Hallucinated Answer": f"It healed all but {n + 1} of them.",
                "Category of Hallucination": "Incomplete Information",
            }
        )
    write_lines(folder / "medhallu" / "pqa_labeled_dev.jsonl", rows)


def queries(example: Example) -> tuple[str, ...]:
    """The question, and the answer to be judged."""
    return (example.question, *(part.text for part in example.context if part.title == ANSWER))


MEDHALLU = Task(
    name="medhallu",
    title="MedHallu: is the answer to a medical question hallucinated? The question's knowledge is shown",
    kind="choice",
    instruction=(
        "You are given a medical question, what is known about it, and an answer. Tell whether the answer is "
        "hallucinated (it sounds right but is false, or is not borne out by what is known) or factual."
    ),
    load=partial(load, knowledge=True),
    source="MedHallu pqa_labeled, github.com/askerlee/MedHallu (Pandit et al. 2025, arXiv 2502.14302)",
    license="MIT",
    metrics=("detection_f1", "accuracy"),
    form=LABEL,
    query=queries,
    few_shot="one-per-class",
    context_label="Material",
    get=(
        "Open: the rows of pqa_labeled (the data set UTAustin-AIHealth/MedHallu on the Hugging Face hub, or "
        "github.com/askerlee/MedHallu) as JSON Lines, as `to_json` of the datasets library writes them, into "
        "medhallu/pqa_labeled_dev.jsonl under RAGMED_DATA."
    ),
    invent=invent,
)
MEDHALLU_CLOSED = replace(
    MEDHALLU,
    name="medhallu_closed",
    title="MedHallu: is the answer to a medical question hallucinated? Nothing is shown but question and answer",
    instruction=(
        "You are given a medical question and an answer. Tell whether the answer is hallucinated (it sounds right but "
        "is false) or factual."
    ),
    load=partial(load, knowledge=False),
)
