"""ACI-Bench (Yim et al. 2023, arXiv 2306.02022): a doctor's talk with a patient -> the whole note of the visit.

`aci-bench/clinicalnlp_taskB_test1.csv` and `aci-bench/train.csv` under RAGMED_DATA, as published:

    dataset,encounter_id,dialogue,note
    aci,D2N999,"[doctor] hi . [patient] my knee hurts .","CHIEF COMPLAINT

    Knee pain."

The 40 visits of test 1 are scored, few-shot examples come from the 67 training visits. A visit is a group. The note is
scored as a whole and by its divisions, each a metric (`rouge_l_subjective`, …) of the one answer: tasks of their own
would have every note written four times, and would not see a finding under the wrong heading. The retriever is asked
sentences of the dialogue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragmed.metrics.sections import HEADINGS
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_rows
from ragmed.tasks.loading import csv_records, data_file, examples_of, text_of
from ragmed.tasks.queries import short_queries
from ragmed.tasks.splits import apart, text_key
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace

COLUMNS = ("dataset", "encounter_id", "dialogue", "note")


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line of a visit that cannot be used."""
    return apart(_read(workspace, "clinicalnlp_taskB_test1.csv"), _read(workspace, "train.csv"), of="aci_bench")


def _read(workspace: Workspace, name: str) -> list[Example]:
    def example(row: Any) -> Example:
        dialogue = text_of(row, "dialogue")
        return Example(
            text_of(row, "encounter_id"),
            "",
            (ContextDocument(dialogue),),
            gold=text_of(row, "note"),
            group=text_key(dialogue),
        )

    path = data_file(workspace, "aci-bench", name, of="ACI-Bench")
    return examples_of(csv_records(path, "ACI-Bench", needs=COLUMNS), example)


def invent(folder: Path) -> None:
    """Eight visits to score and four to show; nobody was there."""
    for name, count, first in (("clinicalnlp_taskB_test1.csv", 8, 0), ("train.csv", 4, 20)):
        rows = []
        for n in range(first, first + count):
            drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n % len(AILMENTS)]
            talk = (
                f"[doctor] what brings you here ? [patient] i have had {ill} for {n + 2} days . [doctor] any tests ? "
            )
            talk += f"[patient] yes , they were normal . [doctor] take {drug} then ."
            note = f"CHIEF COMPLAINT\n\n{ill.capitalize()}.\n\nPHYSICAL EXAM\n\nWell, day {n + 2}.\n\nRESULTS\n\n"
            rows.append(("aci", f"D2N{n:03}", talk, f"{note}Normal.\n\nASSESSMENT AND PLAN\n\n{ill}: {drug}."))
        write_rows(folder / "aci-bench" / name, COLUMNS, rows)


ACI_BENCH = Task(
    name="aci_bench",
    title="ACI-Bench: the note of a visit from the dialogue of doctor and patient",
    kind="text",
    instruction=(
        "You are given the dialogue of a doctor with a patient. Write the clinical note of the visit, from what is "
        "said in the dialogue alone, under headings on lines of their own: CHIEF COMPLAINT, HISTORY OF PRESENT "
        "ILLNESS, REVIEW OF SYSTEMS, PHYSICAL EXAMINATION, RESULTS, ASSESSMENT AND PLAN. Answer with the note only."
    ),
    load=load,
    source="ACI-Bench, github.com/wyim/aci-bench (Yim et al. 2023, arXiv 2306.02022)",
    license="CC BY 4.0",
    metrics=("rouge_l", "rouge_1", "rouge_2", *(f"rouge_l_{division}" for division in HEADINGS)),
    further=(
        "bertscore", "concept_f1", "unsupported",
        *(f"{measured}_{division}" for measured in ("bertscore", "concept_f1") for division in HEADINGS),
    ),
    form=TEXT,
    query=lambda example: short_queries(example.context[0].text),
    max_tokens=1536,
    context_label="Dialogue",
    get="Open: the csv files of data/challenge_data in github.com/wyim/aci-bench go into aci-bench/ under RAGMED_DATA.",
    invent=invent,
)  # fmt: skip
