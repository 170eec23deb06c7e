"""LongHealth (Adams et al. 2024, arXiv 2401.14490): long records of invented patients, each with questions of five
options, asked in three ways.

`longhealth/benchmark_v5.json` under RAGMED_DATA, as github.com/kbressem/LongHealth publishes it; an invented record:

    {"patient_01": {"name": "…", "birthday": "…", "diagnosis": "…", "texts": {"text_0": "Dear colleague, …", …},
      "questions": [{"No": 0, "question": "Which drug was stopped?", "answer_a": "…", …, "answer_e": "…",
                     "correct": "…", "answer_location": {"text_0": {"start": [0.12], "end": [0.15]}}}]}}

`correct` is the text of an option; `answer_location` names the texts that hold the answer, with places as fractions of
a text's length, which are not needed here.

    longhealth_1   all of the patient's documents, in their order: the answer is among them
    longhealth_2   the documents that hold the answer, among ten of other patients; a sixth option says that the
                   question cannot be answered
    longhealth_3   the same ten documents of other patients alone: the sixth option is right, others are made up

As published, but for what is drawn: the ten documents, and the order of all, come from a hash of the patient and the
question, so that all models and all arms see the same, and tasks 2 and 3 differ in the documents with the answer alone.
(The published scripts draw anew for each run, and shorten what is shown with each model's own tokenizer.)

Gold documents are those of `answer_location`. Questions on one patient are one group. The retriever is asked the
question. A document's `date` is the last one in its first lines, where it can be read in one way only. The set has no
split for few-shot examples. Its texts carry a canary and must never be published again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ragmed.errors import DataError
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import write_text
from ragmed.tasks.loading import as_given, data_file, id_of, json_object, made, text_of
from ragmed.tasks.task import Split, Task
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

FILE = "benchmark_v5.json"
BLOB = "76bf80d37f321408a0e3f421a2e2d7ef59e97c1e"
"""The git blob id of the published file."""
UNANSWERED = "Question cannot be answered with provided documents"
OTHERS = 10
"""Documents of other patients in tasks 2 and 3."""
_LETTERS = "ABCDE"
_DATE = re.compile(r"(?<!\d)(?:(\d{4})-(\d{2})-(\d{2})|(\d{1,2})([./])(\d{1,2})\5(\d{4}))(?!\d)")
_HEAD = 400
"""Characters of a document in which its date is looked for: a letter opens with the stay that it reports."""

Way = Literal[1, 2, 3]


@dataclass(frozen=True, slots=True)
class _Asked:
    patient: str
    number: str
    question: str
    options: Mapping[str, str]
    gold: str
    documents: tuple[str, ...]


def _reader(way: Way) -> Callable[[Workspace], Split]:
    def load(workspace: Workspace) -> Split:
        path = data_file(workspace, "longhealth", FILE, of="LongHealth")
        texts: dict[str, dict[str, ContextDocument]] = {}
        asked: list[_Asked] = []
        unused: list[str] = []
        for patient, record in json_object(path, "LongHealth file").items():
            where = f"LongHealth file '{path}', patient '{patient}'"
            texts[patient] = made(_documents, record, where)
            for question in made(lambda given: list(given["questions"]), record, where):
                one = made(lambda given, name=patient: _asked(given, name, texts[name]), question, where)  # type: ignore[misc]
                if one.gold and (one.documents or way == 3):
                    asked.append(one)
                else:
                    unused.append(f"{one.patient}-{one.number}")
        examples = tuple(_example(one, texts, way) for one in asked)
        return Split(examples, notes=tuple(_notes(path, unused)))

    return load


def blob_id(data: bytes) -> str:
    """
    >>> blob_id(b"hello\\n")
    'ce013625030ba8dba906f756967f9e9ca394464a'

    The id that git gives to a file of these bytes.
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _notes(path: Path, unused: Sequence[str]) -> Iterator[str]:
    yield "LongHealth's texts carry a canary: keep samples and pages of this run off the open web."
    found = blob_id(path.read_bytes())
    if found != BLOB:
        yield (
            f"{path.name} is not the published file: its git blob id is {found}, that of the published one {BLOB}; "
            "scores are those of this copy."
        )
    if unused:
        yield (
            f"{counted(len(unused), 'question')} {verb(len(unused), 'is', 'are')} "
            f"left out, whose right answer is no option, or "
            "whose answer_location names no "
            f"text of the patient: {', '.join(unused)}."
        )


def _documents(record: Mapping[str, Any]) -> dict[str, ContextDocument]:
    if not isinstance(record["texts"], Mapping) or not record["texts"]:
        raise DataError("there are no texts")
    texts = {name: as_given(record["texts"], name) for name in record["texts"]}
    born = _dates(str(record.get("birthday", "")))
    return {name: ContextDocument(text, date=_date(text, born), id=name) for name, text in texts.items()}


def _asked(record: Mapping[str, Any], patient: str, texts: Mapping[str, ContextDocument]) -> _Asked:
    options = {letter: text_of(record, f"answer_{letter.lower()}") for letter in _LETTERS}
    correct = _plain(text_of(record, "correct"))
    right = [letter for letter, text in options.items() if _plain(text) == correct]
    documents = tuple(name for name in texts if name in record["answer_location"])
    if len(documents) < len(record["answer_location"]):
        documents = ()
    gold = right[0] if right else ""
    return _Asked(patient, id_of(record, "No"), as_given(record, "question"), options, gold, documents)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def _example(one: _Asked, texts: Mapping[str, Mapping[str, ContextDocument]], way: Way) -> Example:
    own = texts[one.patient]
    id_ = f"{one.patient}-{one.number}"
    if way == 1:
        return Example(
            id_, one.question, tuple(own.values()), one.options, one.gold, documents=one.documents, group=one.patient
        )
    others = [
        ContextDocument(document.text, date=document.date, id=f"{patient}/{name}")
        for patient, documents in texts.items()
        if patient != one.patient
        for name, document in documents.items()
    ]
    drawn = sorted(others, key=lambda document: _hash("drawn", id_, document.id))[:OTHERS]
    shown = drawn + ([own[name] for name in one.documents] if way == 2 else [])
    shown.sort(key=lambda document: _hash("order", id_, document.id))
    return Example(
        id_,
        one.question,
        tuple(shown),
        {**one.options, "F": UNANSWERED},
        one.gold if way == 2 else "F",
        documents=one.documents if way == 2 else (),
        group=one.patient,
    )


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\x00".join(("longhealth", *parts)).encode()).digest()


def _date(text: str, born: Sequence[str]) -> str:
    """The last date of the first lines that is not the patient's birthday; the year alone where day and month could be
    either way round.
    """
    found = [given for given in _dates(text[:_HEAD]) if given not in born]
    latest = max(found, default="")
    return latest[:4] if latest[:4] in found else latest


def _dates(text: str) -> list[str]:
    found = []
    for year, month, day, first, mark, second, after in _DATE.findall(text):
        if year:
            numbers = [(int(year), int(month), int(day))]
        elif mark == "." or int(first) > 12:  # a full stop stands between day, month and year
            numbers = [(int(after), int(second), int(first))]
        elif int(second) > 12 or first == second:
            numbers = [(int(after), int(first), int(second))]
        else:
            found.append(after)
            continue
        for one in numbers:
            try:
                found.append(date(*one).isoformat())
            except ValueError:  # 31.02.2031 is no date
                continue
    return found


def invent(folder: Path) -> None:
    """Three invented patients with four or five documents and eight questions in all."""
    people = [
        ("patient_01", "Wilma Probe", "1961-03-30", "Invented fever", [
            "Dear colleague, Mrs. Probe was with us from 2031-02-01 to 2031-02-09. She had a fever of 39.1 and a "
            "swollen left knee. The knee was aspirated; ceftriaxone was begun.",
            "Laboratory of 2031-02-03: leukocytes 17.2, CRP 212. Blood cultures grew Streptococcus dysgalactiae.",
            "Operation note, 02/14/2031: the left knee was washed out, and 30 ml of pus were removed.",
            "Clinic letter of 15.03.2031: the knee bends to 110 degrees. Amoxicillin ends on March 28th.",
        ], [
            ("Which joint was swollen?", ["right knee", "left knee", "left hip", "right wrist", "none"], 1, [0, 2]),
            ("What grew from the blood?", ["nothing", "E. coli", "Streptococcus dysgalactiae", "S. aureus",
                                          "Candida"], 2, [1]),
            ("How far did the knee bend?", ["30 degrees", "60 degrees", "90 degrees", "110 degrees",
                                           "140 degrees"], 3, [3]),
        ]),
        ("patient_02", "Otto Muster", "1948-11-02", "Invented heart failure", [
            "Dear colleague, Mr. Muster was admitted on 2030-07-11 with swollen legs. His weight was 91 kg.",
            "Echocardiogram, 2030-07-12: ejection fraction 32 %, left atrium large, no effusion.",
            "Medication at discharge: torasemide 20 mg, bisoprolol 2.5 mg, ramipril 2.5 mg. Verapamil was stopped.",
            "Discharge letter, 2030-07-21: weight 84 kg. A defibrillator is to be discussed in three months.",
            "Visit of 2030-10-20: ejection fraction 45 %; no defibrillator for now.",
        ], [
            ("Which drug was stopped?", ["torasemide", "ramipril", "verapamil", "bisoprolol", "digoxin"], 2, [2]),
            ("How much weight was lost?", ["7 kg", "1 kg", "3 kg", "10 kg", "none"], 0, [0, 3]),
            ("What was the last ejection fraction?", ["32 %", "38 %", "40 %", "41 %", "45 %"], 4, [1, 4]),
        ]),
        ("patient_03", "Ida Beispiel", "1985-06-17", "Invented thyroiditis", [
            "Dear colleague, Ms. Beispiel came on 2032-01-04 with palpitations. TSH was below 0.01.",
            "Scintigraphy, 2032-01-08: uptake 0.3 %, which is low.",
            "Letter of 2032-04-02: TSH 11.4; levothyroxine 50 µg was begun. The antibodies are negative.",
            "Letter of 2032-08-30: TSH 1.9 without levothyroxine, which had ended in June.",
        ], [
            ("What was the uptake?", ["0.3 %", "3 %", "12 %", "35 %", "not measured"], 0, [1]),
            ("Which drug was begun in April?", ["thiamazole", "propranolol", "prednisone", "levothyroxine",
                                               "iodine"], 3, [2]),
        ]),
    ]  # fmt: skip
    written = {
        patient: {
            "name": name,
            "birthday": birthday,
            "diagnosis": diagnosis,
            "texts": {f"text_{n}": text for n, text in enumerate(texts)},
            "questions": [
                {
                    "No": number,
                    "question": question,
                    **{f"answer_{letter.lower()}": text for letter, text in zip(_LETTERS, options, strict=True)},
                    "correct": options[right],
                    "answer_location": {f"text_{n}": {"start": [0.1], "end": [0.9]} for n in places},
                }
                for number, (question, options, right, places) in enumerate(questions)
            ],
        }
        for patient, name, birthday, diagnosis, texts, questions in people
    }
    write_text(folder / "longhealth" / FILE, json.dumps(written, ensure_ascii=False, indent=1))


def _task(way: Way, title: str) -> Task:
    return Task(
        name=f"longhealth_{way}",
        title=f"LongHealth, task {way}: {title}",
        kind="choice",
        instruction="You answer questions about a patient from documents. Exactly one of the options is right.",
        load=_reader(way),
        source="LongHealth benchmark_v5.json, github.com/kbressem/LongHealth (Adams et al. 2024, arXiv 2401.14490)",
        license="as its repository says; its texts carry a canary: never publish them again",
        metrics=("accuracy",),
        gold_documents=way != 3,
        context_label="Documents",
        ids="longhealth" if way != 3 else "",
        record=True,
        get=(
            "From github.com/kbressem/LongHealth, data/benchmark_v5.json; put it into longhealth/ under RAGMED_DATA. "
            "Its texts must not be published again."
        ),
        invent=invent,
    )


ANSWERED = _task(1, "the answer is in the patient's documents")
AMONG_OTHERS = _task(2, "the answer is among documents of other patients")
UNANSWERABLE = _task(3, "only documents of other patients, the question cannot be answered")
