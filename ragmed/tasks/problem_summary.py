"""Problem list summarisation (BioNLP 2023 task 1A, Gao et al. 2023, arXiv 2306.05270): a progress note -> its problems.

`problem_summary/BioNLP2023-1A-Test.csv` and `problem_summary/BioNLP2023-1A-Train.csv` under RAGMED_DATA, as PhysioNet
publishes them (credentials needed); the first release names its columns otherwise (`File ID`, `Subjective Sections`),
and is read alike; other columns are passed over:

    Subjectives,Assessment,Summary
    "Short of breath overnight.","81F with lung disease and new hypoxia.","Hypoxia; Lung disease"

As in CLUE (Dada et al., arXiv 2404.04067) the subjective part and the assessment are the input, the test notes are
scored by ROUGE, and three examples are shown, which here come from the training file. Beside these the lists are
compared entry by entry (`problem_f1`). Notes with the same words are one group. The retriever is asked sentences of the
assessment first, then of the subjective part.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import write_rows
from ragmed.tasks.loading import csv_records, data_file, examples_of, text_of
from ragmed.tasks.queries import short_queries
from ragmed.tasks.splits import apart, text_key
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace

FILES = {"test": "BioNLP2023-1A-Test.csv", "train": "BioNLP2023-1A-Train.csv"}
SUBJECTIVES = ("Subjectives", "Subjective Sections")


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line of a note that cannot be used."""
    return apart(_read(workspace, "test"), _read(workspace, "train"), of="problem_summary")


def _read(workspace: Workspace, side: str) -> list[Example]:
    path = data_file(workspace, "problem_summary", FILES[side], of="BioNLP 2023 task 1A")
    number = count(1)
    rows = csv_records(path, "progress notes", needs=("Assessment", "Summary"))
    return examples_of(rows, lambda row: _example(row, side=side, number=next(number)))


def _example(row: Any, *, side: str, number: int) -> Example:
    named = [name for name in SUBJECTIVES if name in row]
    if len(named) != 1:
        raise DataError(f"one column of {' and '.join(SUBJECTIVES)} was expected, found {len(named)}")
    # A note may have nothing subjective; without an assessment there is nothing to summarise.
    parts = (("Subjective", row[named[0]].strip()), ("Assessment", text_of(row, "Assessment")))
    documents = tuple(ContextDocument(text, title=title) for title, text in parts if text)
    name = row.get("File ID", "").strip() or str(number)
    group = text_key("\n".join(document.text for document in documents))
    return Example(f"{side}-{name}", "", documents, gold=text_of(row, "Summary").rstrip("; "), group=group)


def _queries(example: Example) -> tuple[str, ...]:
    return short_queries(*(document.text for document in reversed(example.context)))


def invent(folder: Path) -> None:
    """Ten notes to score and four to show; no note is of a patient."""
    notes = [
        ("Coughed all night.", "70M with emphysema, now with fever and a new infiltrate.", "Pneumonia; Emphysema"),
        ("Slept well, no pain.", "45F after removal of the gall bladder, stable.", "Cholecystitis"),
        ("", "60M with cirrhosis, confused since the morning.", "# Encephalopathy:; Cirrhosis"),
        ("Says that he is thirsty.", "33M with type 1 diabetes, pH 7.1, glucose 512.", "DKA; Type 1 diabetes;"),
        ("Black stool twice.", "58F on warfarin, INR 7.2, Hct 21.", "GI bleed; Supratherapeutic INR; Anemia"),
        ("Dizzy on standing.", "81F on three drugs for hypertension, BP 84/50.", "Hypotension"),
        ("Chest pain is gone.", "66M with a stent to the LAD yesterday.", "NSTEMI; Coronary artery disease"),
        ("Not passing urine.", "72M, creatinine 4.1 from 1.0, large prostate.", "Acute renal failure; BPH"),
        ("Shaking in the left arm.", "29F with known epilepsy, missed her doses.", "Seizures"),
        ("Itching after the dose.", "50M with cellulitis, rash on vancomycin.", "Cellulitis; Drug reaction"),
        ("Ankles swollen.", "77F with EF of 20 %, weight up by 5 kg.", "Heart failure"),
        ("Headache, worse by light.", "22M with stiff neck, CSF with 900 cells.", "Meningitis"),
        ("Cannot swallow.", "64M with a stroke of the brain stem.", "Stroke; Dysphagia"),
        ("Short of breath.", "38F, clot in the right lung, on heparin.", "Pulmonary embolism"),
    ]
    for side, part in (("test", notes[:10]), ("train", notes[10:])):
        write_rows(folder / "problem_summary" / FILES[side], ("Subjectives", "Assessment", "Summary"), part)


PROBLEM_SUMMARY = Task(
    name="problem_summary",
    title="BioNLP 2023 task 1A: the problem list of a progress note",
    kind="text",
    instruction=(
        "You are given the subjective part and the assessment of a hospital's progress note. List the diagnoses and "
        "problems that the patient is in hospital for, separated by semicolons. Answer with the list only."
    ),
    load=load,
    source=(
        "BioNLP Workshop 2023 Shared Task 1A, physionet.org/content/bionlp-workshop-2023-task-1a (Gao et al. 2023, "
        "arXiv 2306.05270)"
    ),
    license="PhysioNet Credentialed Health Data License 1.5.0",
    metrics=("rouge_l", "rouge_1", "rouge_2", "problem_f1"),
    further=("bertscore", "concept_f1", "concept_precision", "concept_recall", "unsupported"),
    form=TEXT,
    query=_queries,
    max_tokens=512,
    context_label="Progress note",
    access="credentialed",
    get=(
        "PhysioNet credentials and the data use agreement of bionlp-workshop-2023-task-1a 2.0.0; put "
        "BioNLP2023-1A-Train.csv and BioNLP2023-1A-Test.csv into problem_summary/ under RAGMED_DATA."
    ),
    invent=invent,
)
