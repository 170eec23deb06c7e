"""MEDEC (Ben Abacha et al. 2025, ACL 2025.findings-acl.1159, arXiv 2412.19260): a clinical note -> its planted error.

The MS validation file in `medec/` under RAGMED_DATA, FILE, with a header and one note a row:

    Text ID,Text,Sentences,Error Flag,Error Type,Error Sentence ID,Error Sentence,Corrected Sentence,Corrected Text
    ms-val-0,"He has a fever. …","0 He has a fever.
    1 Culture tests indicate gonorrhoea.",1,causalOrganism,1,Culture tests indicate gonorrhoea.,Culture …,"He has …"
    ms-val-1,"He has a fever. …","0 He has a fever. …",0,NA,-1,NA,NA,NA

A note is shown with its numbered sentences (`Sentences`); a line that does not open with the next number goes on with
the sentence before it. The answer is JSON with the three fields of the shared task's submissions: flag, id (-1 where
there is no error), corrected sentence ("NA"). What they score: `ragmed.metrics.corrections`.

Most notes stand twice, once with an error and once without: notes that share SHARED words in a row are one group. The
file has no split of its own: about one note in PARTS is held out for few-shot examples, by a hash of its first words,
where its whole group is. The retriever is asked the note in pieces of a few sentences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.metrics.corrections import FIELDS, NO_CORRECTION, NO_SENTENCE
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_rows
from ragmed.tasks.loading import csv_records, data_file, examples_of
from ragmed.tasks.splits import linked, split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import PromptForm
from ragmed.workspace import Workspace

FILE = "MEDEC-MS-ValidationSet-with-GroundTruth-and-ErrorType.csv"
COLUMNS = (
    "Text ID", "Text", "Sentences", "Error Flag", "Error Type", "Error Sentence ID", "Error Sentence",
    "Corrected Sentence", "Corrected Text",
)  # fmt: skip
SHARED = 20
PARTS = 16
QUERY_SENTENCES = 3
_NUMBERED = re.compile(r"(\d{1,9})(?: (.*))?")  # Python reads no number of thousands of digits


def load(workspace: Workspace) -> Split:
    """DataError names the file, the row and the column where a note cannot be used."""
    path = data_file(workspace, "medec", FILE, of="MEDEC")
    rows = list(csv_records(path, "MEDEC notes", needs=COLUMNS))
    notes = examples_of(rows, _example)
    words = [row["Text"].casefold().split() for _, row in rows]
    groups = linked([{tuple(own[i : i + SHARED]) for i in range(max(1, len(own) - SHARED + 1))} for own in words])
    examples = [replace(note, group=notes[first].id) for note, first in zip(notes, groups, strict=True)]
    return split_by_hash(examples, of="medec", parts=PARTS, keys=[" ".join(own[:SHARED]) for own in words])


def _example(row: Mapping[str, Any]) -> Example:
    sentences = numbered(row["Sentences"])
    flag, sentence_id = row["Error Flag"].strip(), row["Error Sentence ID"].strip()
    corrected = " ".join(row["Corrected Sentence"].split())
    if flag not in ("0", "1"):
        raise DataError(f"'Error Flag' is '{flag}', neither 0 nor 1")
    if flag == "0" and (sentence_id, corrected) != (NO_SENTENCE, NO_CORRECTION):
        raise DataError(
            f"a note without an error has 'Error Sentence ID' {NO_SENTENCE} and 'Corrected Sentence' {NO_CORRECTION}, "
            f"found '{sentence_id}' and '{corrected[:60]}'"
        )
    if flag == "1" and not (re.fullmatch(r"\d{1,9}", sentence_id) and int(sentence_id) < len(sentences)):
        raise DataError(f"'Error Sentence ID' is '{sentence_id}', and the note has sentences 0 to {len(sentences) - 1}")
    if flag == "1" and corrected in ("", NO_CORRECTION):
        raise DataError("'Corrected Sentence' is empty, and the note has an error")
    for name in ("Text ID", "Text"):
        if not row[name].strip():
            raise DataError(f"'{name}' is empty")
    note = "\n".join(f"{number} {sentence}" for number, sentence in enumerate(sentences))
    gold = dict(zip(FIELDS, ((flag,), (sentence_id,), (corrected,)), strict=True))
    return Example(row["Text ID"].strip(), "", (ContextDocument(note),), gold=gold)


def numbered(text: str) -> list[str]:
    """
    >>> numbered("0 He has a fever.\\n1 He was given\\n12 mg of it.\\n2 He is well.")
    ['He has a fever.', 'He was given 12 mg of it.', 'He is well.']

    The sentences of a note, by their numbers from 0 on. DataError where it does not begin with 0.
    """
    sentences: list[str] = []
    for line in text.splitlines():
        match = _NUMBERED.fullmatch(line)
        if match and int(match[1]) == len(sentences):
            sentences.append(match[2] or "")
        elif sentences:
            sentences[-1] += f" {line}"
        elif line.strip():
            raise DataError(f"'Sentences' begins with '{line[:40]}', not with sentence 0")
    if not sentences:
        raise DataError("'Sentences' is empty")
    return [" ".join(sentence.split()) for sentence in sentences]


def queries(example: Example) -> tuple[str, ...]:
    """The note in pieces of QUERY_SENTENCES sentences, in order."""
    sentences = numbered(example.context[0].text)
    return tuple(" ".join(sentences[i : i + QUERY_SENTENCES]) for i in range(0, len(sentences), QUERY_SENTENCES))


def invent(folder: Path) -> None:
    """Forty-eight notes on 24 people, each once right and once with an error; some are held out. Nobody was ill."""
    rows = []
    for n in range(24):
        drug, wrong, ill = DRUGS[n % len(DRUGS)], DRUGS[(n + 1) % len(DRUGS)], AILMENTS[n // 2]
        seen = f"A person of {n + 20} years was seen in ward {n} with {ill} after a long walk in the rain by the sea."
        right, error = (f"{name} was begun at {n + 5} mg a day." for name in (drug, wrong))
        for flag, said in enumerate((right, error)):
            text, sentences = f"{seen} {said}", f"0 {seen}\n1 {said}"
            found = ("management", 1, error, right, f"{seen} {right}") if flag else ("NA", -1, "NA", "NA", "NA")
            rows.append((f"ms-val-{2 * n + flag}", text, sentences, flag, *found))
    write_rows(folder / "medec" / FILE, COLUMNS, rows)


def _gold(example: Example) -> str:
    assert isinstance(example.gold, Mapping)
    flag, sentence_id, corrected = (example.gold[name][0] for name in FIELDS)
    return json.dumps(dict(zip(FIELDS, (int(flag), int(sentence_id), corrected), strict=True)), ensure_ascii=False)


CORRECTION = PromptForm("correction", lambda _: "Answer with one JSON object only.", _gold, "json")
MEDEC = Task(
    name="medec",
    title="MEDEC: does a clinical note hold a medical error, in which sentence, and what would be right?",
    kind="text",
    instruction=(
        "You are given a clinical note, a sentence a line, each after its number. It is either right or holds one "
        "medical error, in its diagnosis, management, treatment, drugs or causal organism. Tell whether it holds one "
        "(error_flag: 1 or 0), the number of the sentence (error_sentence_id, -1 without an error), and how that "
        'sentence should read (corrected_sentence, "NA" without an error), as {"error_flag": ..., '
        '"error_sentence_id": ..., "corrected_sentence": "..."}.'
    ),
    load=load,
    source=(
        "MEDEC MS validation set, github.com/abachaa/MEDEC (Ben Abacha et al. 2025, arXiv 2412.19260); evaluation of "
        "MEDIQA-CORR 2024"
    ),
    license="CC BY 4.0",
    metrics=("error_flag_f1", "error_flag_accuracy", "error_sentence_accuracy", "correction_rouge_1"),
    further=("correction_bertscore",),
    form=CORRECTION,
    query=queries,
    max_tokens=256,
    context_label="Note",
    get=f"Open: {FILE} of github.com/abachaa/MEDEC, into medec/ under RAGMED_DATA.",
    invent=invent,
)
