"""MTS-Dialog (Ben Abacha et al. 2023, ACL 2023.eacl-main.168): a doctor's talk with a patient -> a section of the note.

`mts-dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv` and `mts-dialog/MTS-Dialog-TrainingSet.csv` under RAGMED_DATA, as
published:

    ID,section_header,section_text,dialogue
    0,ALLERGY,No known drug allergies.,"Doctor: Any allergies? Patient: None that I know of."

Which section is meant is said in words, as its question; the published task has it guessed too. An example's id holds
the header (`test-ALLERGY-0`), so that a section can be a task of its own:

    tasks: {mts_dialog: {}, allergies: {task: mts_dialog, only: "test-ALLERGY-*"}}

Few-shot examples come from the training file. Equal dialogues are one group. The retriever is asked sentences of the
dialogue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_rows
from ragmed.tasks.loading import csv_records, data_file, examples_of, text_of
from ragmed.tasks.queries import short_queries
from ragmed.tasks.splits import apart, text_key
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace

COLUMNS = ("ID", "section_header", "section_text", "dialogue")
FILES = {"test": "MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv", "train": "MTS-Dialog-TrainingSet.csv"}
SECTIONS = {
    "GENHX": "history of present illness", "FAM/SOCHX": "family and social history",
    "PASTMEDICALHX": "past medical history", "CC": "chief complaint", "PASTSURGICAL": "past surgical history",
    "ALLERGY": "allergies", "ROS": "review of systems", "MEDICATIONS": "medications", "ASSESSMENT": "assessment",
    "EXAM": "physical examination", "DIAGNOSIS": "diagnosis", "DISPOSITION": "disposition", "PLAN": "plan",
    "EDCOURSE": "emergency department course", "IMMUNIZATIONS": "immunizations", "IMAGING": "imaging",
    "GYNHX": "gynecologic history", "PROCEDURES": "procedures", "OTHER_HISTORY": "other history", "LABS": "laboratory",
}  # fmt: skip
"""The 20 headers of the set (its paper, table 2), in words."""


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line of a row that cannot be used."""
    return apart(_read(workspace, "test"), _read(workspace, "train"), of="mts_dialog")


def _read(workspace: Workspace, side: str) -> list[Example]:
    def example(row: Any) -> Example:
        header, dialogue = text_of(row, "section_header"), text_of(row, "dialogue")
        if header not in SECTIONS:
            raise DataError(f"section_header '{header}'; known: {', '.join(SECTIONS)}")
        return Example(
            f"{side}-{header}-{text_of(row, 'ID')}",
            SECTIONS[header],
            (ContextDocument(dialogue),),
            gold=text_of(row, "section_text"),
            group=text_key(dialogue),
        )

    path = data_file(workspace, "mts-dialog", FILES[side], of="MTS-Dialog")
    return examples_of(csv_records(path, "MTS-Dialog", needs=COLUMNS), example)


def invent(folder: Path) -> None:
    """Twelve dialogues to score and six to show; nobody spoke them."""
    for side, count, first in (("test", 12, 0), ("train", 6, 20)):
        rows = []
        for n, header in enumerate(list(SECTIONS)[:count]):
            drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n % len(AILMENTS)]
            asked = f"Doctor: What brings you here today?\nPatient: I have had {ill} for {first + n + 2} days."
            rows.append((n, header, f"{ill.capitalize()} for {first + n + 2} days, on {drug}.",
                         f"{asked}\nDoctor: Any medicines?\nPatient: I take {drug}, every day."))  # fmt: skip
        write_rows(folder / "mts-dialog" / FILES[side], COLUMNS, rows)


MTS_DIALOG = Task(
    name="mts_dialog",
    title="MTS-Dialog: one section of a note from the dialogue of doctor and patient",
    kind="text",
    instruction=(
        "You are given a dialogue of a doctor with a patient and the name of a section of a clinical note. Write that "
        "section as the doctor would, from what is said in the dialogue alone. Answer with its text only."
    ),
    load=load,
    source="MTS-Dialog, github.com/abachaa/MTS-Dialog (Ben Abacha et al. 2023, ACL 2023.eacl-main.168)",
    license="CC BY 4.0",
    metrics=("rouge_l", "rouge_1", "rouge_2"),
    further=("bertscore", "concept_f1", "unsupported"),
    form=TEXT,
    query=lambda example: short_queries(example.context[0].text),
    max_tokens=512,
    label="Section",
    context_label="Dialogue",
    get="Open: put the csv files of Main-Dataset in github.com/abachaa/MTS-Dialog into mts-dialog/ under RAGMED_DATA.",
    invent=invent,
)
