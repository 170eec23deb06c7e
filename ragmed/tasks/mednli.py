"""MedNLI (Romanov and Shivade 2018, arXiv 1808.06752): a sentence of a note and a statement -> what the one does to
the other.

`mednli/mli_test_v1.jsonl` and `mednli/mli_dev_v1.jsonl` under RAGMED_DATA, as PhysioNet publishes them (credentials
needed), one pair a line; other keys, such as parses, are passed over:

    {"pairID": "23eb94b8-…", "sentence1": "…", "sentence2": "…", "gold_label": "entailment"}

Few-shot examples come from the development pairs, one a class; CLUE shows three (Dada et al., arXiv 2404.04067). Pairs
on one sentence (there are three) are one group. The sentence is the example's own material, the statement its question,
and the sentence is what a retriever is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import write_lines
from ragmed.tasks.loading import data_file, examples_of, id_of, json_records, text_of
from ragmed.tasks.splits import apart
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import LABEL
from ragmed.workspace import Workspace

LABELS = {"A": "entailment", "B": "neutral", "C": "contradiction"}
LETTERS = {label: letter for letter, label in LABELS.items()}


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line where a pair cannot be used."""
    scored, shown = (
        examples_of(json_records(data_file(workspace, "mednli", name, of="MedNLI"), "MedNLI pairs"), _example)
        for name in ("mli_test_v1.jsonl", "mli_dev_v1.jsonl")
    )
    return apart(scored, shown, of="mednli")


def _example(record: Mapping[str, Any]) -> Example:
    premise, statement, label = (text_of(record, key) for key in ("sentence1", "sentence2", "gold_label"))
    if label not in LETTERS:
        raise DataError(f"label '{label}'; known: {', '.join(LETTERS)}")
    return Example(
        id_of(record, "pairID"),
        statement,
        (ContextDocument(premise),),
        options=LABELS,
        gold=LETTERS[label],
        group=premise,
    )


def invent(folder: Path) -> None:
    """Twelve pairs to score and six to show; no sentence is of a patient."""
    pairs = [
        ("The patient has never smoked.", ("He does not use tobacco.", "He has asthma.", "He smokes a pack a day.")),
        ("Her potassium was 2.9 on arrival.", ("She was hypokalemic.", "She vomited.", "Her potassium was normal.")),
        ("He walks with a cane since his stroke.", ("He had a stroke.", "He lives alone.", "He never had a stroke.")),
        ("The wound is dry and closed.", ("The wound does not drain.", "It hurts.", "Pus drains from the wound.")),
        ("She takes 5 mg of warfarin.", ("She takes a blood thinner.", "Her INR is 2.", "She takes no medicine.")),
        ("No fever was noted overnight.", ("He had no fever at night.", "He slept well.", "He had a fever at night.")),
    ]
    for name, first, last in (("mli_test_v1.jsonl", 0, 4), ("mli_dev_v1.jsonl", 4, 6)):
        records = [
            {"pairID": f"{name[4:8]}{i}-{n}", "sentence1": said, "sentence2": text, "gold_label": label}
            for i, (said, texts) in enumerate(pairs[first:last])
            for n, (text, label) in enumerate(zip(texts, LETTERS, strict=True))
        ]
        write_lines(folder / "mednli" / name, records)


MEDNLI = Task(
    name="mednli",
    title="MedNLI: does a note's sentence entail a statement, contradict it, or neither?",
    kind="choice",
    instruction=(
        "You are given a sentence from a patient's notes and a statement about the patient. Tell whether the statement "
        "follows from the sentence (entailment), contradicts it (contradiction), or may or may not be true (neutral)."
    ),
    load=load,
    source="MedNLI 1.0.0, physionet.org/content/mednli (Romanov and Shivade 2018, arXiv 1808.06752)",
    license="PhysioNet Credentialed Health Data License 1.5.0",
    metrics=("accuracy",),
    form=LABEL,
    query=lambda example: (example.context[0].text,),
    few_shot="one-per-class",
    label="Statement",
    context_label="Sentence",
    access="credentialed",
    get=(
        "PhysioNet credentials and the data use agreement of MedNLI 1.0.0; put mli_test_v1.jsonl and mli_dev_v1.jsonl "
        "into mednli/ under RAGMED_DATA."
    ),
    invent=invent,
)
