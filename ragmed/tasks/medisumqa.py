"""MeDiSumQA (Dada et al., arXiv 2404.04067): a patient's question about a discharge summary -> a short answer.

One `.json` or `.jsonl` file in `medisumqa/` under RAGMED_DATA, as PhysioNet publishes it or CLUE's scripts write it
(credentials needed), a JSON list or one record a line, whatever its name ends in:

    {"note_id": "10000000-DS-2", "discharge_summary": "…", "Question": "Why?", "Answer": "You had …"}

Where a record has no `discharge_summary`, `without_discharge_summary` is the letter: the one from which the words to
the patient, that the answers were written from, are taken out. `with_discharge_summary` still holds them, and is read
only where there is neither, which is noted.

A patient (the number before `-DS-`) is a group; an example's id is its note and its place among the note's questions.
The set has no split of its own: few-shot examples (CLUE shows one) are of the patients whose numbers hash into one part
of 16, never scored. The retriever is asked the question.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, write_lines
from ragmed.tasks.loading import id_of, json_records, made, text_of
from ragmed.tasks.splits import split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

LETTERS = ("discharge_summary", "without_discharge_summary", "with_discharge_summary")
PARTS = 16


def load(workspace: Workspace) -> Split:
    """DataError names the file and the place of a record that cannot be used, or that occurs twice."""
    folder = workspace.data / "medisumqa"
    files = sorted((*folder.glob("*.json"), *folder.glob("*.jsonl")))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise DataError(
            f"one file of MeDiSumQA (.json or .jsonl) was expected in '{folder}', found {names}: put it there, or set "
            "RAGMED_DATA to the folder that holds medisumqa/"
        )
    examples: list[Example] = []
    seen: set[tuple[str, str]] = set()
    questions: Counter[str] = Counter()
    whole = 0
    for where, record in json_records(files[0], "MeDiSumQA"):
        example = made(_example, record, where)
        if (example.id, example.question) in seen:
            raise DataError(f"{where}: note '{example.id}' has this question twice; keep one")
        seen.add((example.id, example.question))
        questions[example.id] += 1
        whole += _letter(record) == LETTERS[-1]
        examples.append(replace(example, id=f"{example.id}#{questions[example.id]}"))
    split = split_by_hash(examples, of="medisumqa", parts=PARTS)
    of = f"{whole:,} of {counted(len(examples), 'letter')} still {verb(whole, 'holds', 'hold')}"
    told = f"medisumqa: {of} the words to the patient that answers come from."
    return replace(split, notes=(told,)) if whole else split


def _letter(record: Any) -> str:
    found = next((name for name in LETTERS if name in record), "")
    if not found:
        raise DataError(f"there is no letter: one of {', '.join(LETTERS)} is needed")
    return found


def _example(record: Any) -> Example:
    note = id_of(record, "note_id")
    letter = ContextDocument(text_of(record, _letter(record)))
    patient = note.partition("-DS-")[0]
    return Example(note, text_of(record, "Question"), (letter,), gold=text_of(record, "Answer"), group=patient)


def invent(folder: Path) -> None:
    """Twenty-four questions on letters of twelve patients, two of them to be shown, by their numbers; none was ill."""
    records = []
    for number, ill in enumerate(AILMENTS[:6] * 2):
        drug = ("rest", "a new medicine", "surgery")[number % 3]
        letter = (
            f"Name: ___\nChief Complaint:\nInvented.\n\nBrief Hospital Course:\nPatient {number} had {ill}: {drug}."
        )
        said = {"Why was I in hospital?": f"You had {ill}.", "How was I treated?": f"You were treated with {drug}."}
        records += [
            {
                "note_id": f"{number + 84:08}-DS-2", "with_discharge_summary": f"{letter}\nYou had {ill}.",
                "without_discharge_summary": letter, "Question": question, "Answer": answer,
            }
            for question, answer in said.items()
        ]  # fmt: skip
    write_lines(folder / "medisumqa" / "MeDiSumQA.json", records)


MEDISUMQA = Task(
    name="medisumqa",
    title="MeDiSumQA: a patient's questions about the discharge summary",
    kind="text",
    instruction=(
        "You are given a discharge letter and a question of the patient about it. Answer briefly, in words that a "
        "patient understands; say what measured values mean rather than what they are. Answer the question only."
    ),
    load=load,
    source="MeDiSumQA, physionet.org (Dada et al., CLUE, arXiv 2404.04067), from MIMIC-IV-Note 2.2",
    license="PhysioNet Credentialed Health Data License 1.5.0",
    metrics=("rouge_l", "rouge_1", "rouge_2"),
    further=("bertscore", "concept_f1", "unsupported"),
    form=TEXT,
    max_tokens=512,
    context_label="Discharge letter",
    access="credentialed",
    get=(
        "PhysioNet credentials and the data use agreement of MeDiSumQA, or of MIMIC-IV-Note 2.2 and CLUE's scripts, "
        "which make it; put its one file into medisumqa/ under RAGMED_DATA."
    ),
    invent=invent,
)
