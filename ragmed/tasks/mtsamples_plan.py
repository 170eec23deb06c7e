"""MTSamples (mtsamples.com): a transcribed sample note without its plan -> the plan. The open counterpart of problem
lists.

`mtsamples/mtsamples.tar.xz` under RAGMED_DATA, or its text files anywhere in `mtsamples/`, one note a file:

    Medical Specialty:Podiatry
    Sample Name: Heel Pain
    Description: Pain of the left heel.
    (Medical Transcription Sample Report)
    SUBJECTIVE: The heel hurts.OBJECTIVE: It is tender.PLAN: Rest.
    Keywords: podiatry, heel,

The reference is the note's PLAN section, or its SUMMARY, or its FINDINGS, in this order: all sections of that kind
(ASSESSMENT AND PLAN is a plan), which are taken out of the input. So are the description and the keywords, which were
made of the whole note. Headings are words in capitals before a colon, also in the middle of a line, as the transcripts
have them. Of 828 notes 359 have a reference and something beside it; the others are passed over, which is noted.

Notes with the same body are one group. There is no split: few-shot examples are the groups that hash into one part of
16, never scored. The retriever is asked sentences of the chief complaint, the assessment and the like first, then of
all.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ragmed.errors import DataError
from ragmed.files import not_text
from ragmed.metrics.overlap import has_words
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_text
from ragmed.tasks.queries import short_queries
from ragmed.tasks.splits import split_by_hash, text_key
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

ARCHIVE = "mtsamples.tar.xz"
PARTS = 16
MOST_BYTES = 1024 * 1024  # of one note; the longest published one has some 20,000
MARKER = "(Medical Transcription Sample Report)"
FIELDS = ("Medical Specialty", "Sample Name", "Description", "Keywords")

# A heading begins a line or follows the end of a sentence, with or without a blank, or a word in small letters that it
# was run on to. Of less than four letters it has to be one that notes use, so that "CV:" or "IV:" opens no section.
_HEADING = re.compile(
    r"(?:^|(?<=[\s.;:!?)\]%a-z0-9]))"
    r"(?P<name>(?=[A-Z0-9 /&,'()-]*[A-Z]{4}|(?:HPI|CC|PE|ROS|PMH|PSH|DX)\s*:)[A-Z][A-Z0-9 /&,'()-]*[A-Z)])[ \t]*:"
    r"|(?:^|(?<=[\s.;:!?)\]%a-z]))(?P<bare>PLAN|SUMMARY|FINDINGS)(?=\d{1,2}\.|[A-Z][a-z]|[ \t]*$)",
    re.MULTILINE,
)
_KINDS = {
    "PLAN": re.compile(
        r"(?:(?:ASSESSMENT|IMPRESSION|RECOMMENDATIONS?|DISCUSSION|EVALUATION|TREATMENT|DISCHARGE|POSTOPERATIVE|POST-OP)"
        r"(?: AND | & |[ /,]+)?)*PLANS?"
        r"(?: AND | OF | & |[ /,]+)?(?:PROGNOSIS|RECOMMENDATIONS?|SUGGESTION|TREATMENT|CARE)?"
    ),
    "SUMMARY": re.compile(r"(?:IN )?SUMMARY(?: AND (?:CONCLUSIONS?|RECOMMENDATIONS?))?"),
    "FINDINGS": re.compile(r"(?:(?:GROSS|OPERATIVE|INTRAOPERATIVE|SURGICAL|MAJOR|ENDOSCOPIC) )*FINDINGS?"),
}
_FIRST_ASKED = re.compile(r"CHIEF COMPLAINT|\bCC\b|REASON FOR|ASSESSMENT|IMPRESSION|DIAGNOS|INDICATION")


def load(workspace: Workspace) -> Split:
    """DataError names the file of a note that cannot be used."""
    examples, read = [], 0
    for name, text in _notes(workspace):
        read += 1
        if example := _example(name, text):
            examples.append(example)
    split = split_by_hash(examples, of="mtsamples_plan", parts=PARTS)
    left = read - len(examples)
    of = f"{left:,} of {counted(read, 'note')} {verb(left, 'has', 'have')}"
    told = f"mtsamples_plan: {of} no plan, summary or findings beside other text; none is asked."
    return replace(split, notes=(told,)) if left else split


def _notes(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """The name and the text of every note, in the order of their names."""
    folder = workspace.data / "mtsamples"
    found: dict[str, bytes] = {}
    paths = sorted(folder.rglob("*.txt"))
    if paths:
        named = [(path.stem, path.read_bytes()) for path in paths if path.stat().st_size <= MOST_BYTES]
        if len(named) < len(paths):
            raise DataError(f"'{folder}' holds a text file of more than {MOST_BYTES} bytes; MTSamples has no such note")
    elif (folder / ARCHIVE).exists():
        named = list(_members(folder))
    else:
        raise DataError(
            f"neither {ARCHIVE} nor text files are in '{folder}': put MTSamples there, or set RAGMED_DATA to the "
            "folder that holds mtsamples/"
        )
    for name, data in named:
        if name in found:
            raise DataError(f"MTSamples: two notes are called '{name}'; keep one")
        if reason := not_text(data):
            raise DataError(f"MTSamples note '{name}': {reason}")
        found[name] = data
    for name in sorted(found):
        yield name, found[name].decode("utf-8-sig")


def _members(folder: object) -> Iterator[tuple[str, bytes]]:
    path = f"{folder}/{ARCHIVE}"
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".txt"):
                    if member.size > MOST_BYTES:
                        raise DataError(f"'{path}': '{member.name}' has more than {MOST_BYTES} bytes, and is no note")
                    stream = archive.extractfile(member)
                    yield PurePosixPath(member.name).stem, stream.read() if stream else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); fetch it again") from error


def _example(name: str, text: str) -> Example | None:
    lines = text.splitlines()
    fields = Counter(field for line in lines for field in FIELDS if line.startswith(f"{field}:"))
    if fields["Medical Specialty"] != 1 or MARKER not in text:
        raise DataError(f"MTSamples note '{name}': the line 'Medical Specialty:' or '{MARKER}' is missing")
    specialty = next(line.partition(":")[2].strip() for line in lines if line.startswith("Medical Specialty:"))
    kept = [line for line in lines if line.strip() != MARKER and not line.startswith(tuple(f"{f}:" for f in FIELDS))]
    body = "\n".join(kept).strip()
    sections = list(note_parts(body))
    for kind in _KINDS.values():
        chosen = [(heading, part) for heading, part in sections if kind.fullmatch(heading) and has_words(part)]
        rest = [(heading, part) for heading, part in sections if not kind.fullmatch(heading)]
        shown = "\n".join(f"{heading}: {part}" if heading else part for heading, part in rest if part)
        if chosen and has_words(shown):
            gold = "\n".join(part for _, part in chosen)
            return Example(name, "", (ContextDocument(shown, title=specialty),), gold=gold, group=text_key(body))
    return None


def note_parts(body: str) -> Iterator[tuple[str, str]]:
    """
    >>> list(note_parts("Seen today.PLAN: Rest.CV: stable.ALLERGIES: None."))
    [('', 'Seen today.'), ('PLAN', 'Rest.CV: stable.'), ('ALLERGIES', 'None.')]

    The headings of a transcript with the text under each; '' before the first one.
    """
    found = list(_HEADING.finditer(body))
    ends = [match.start() for match in found] + [len(body)]
    if before := body[: ends[0]].strip():
        yield "", before
    for match, end in zip(found, ends[1:], strict=True):
        yield " ".join((match["name"] or match["bare"]).split()), body[match.end() : end].strip()


def _queries(example: Example) -> tuple[str, ...]:
    text = example.context[0].text
    first = [part for heading, part in note_parts(text) if _FIRST_ASKED.search(heading)]
    return short_queries(*first, text)


def invent(folder: Path) -> None:
    """Forty-eight notes, some of which are held out, one text file each; nobody was ill."""
    for n in range(48):
        drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n // 4]
        head = f"Medical Specialty:Podiatry\nSample Name: Visit {n}\nDescription: {ill}, {drug}.\n{MARKER}\n"
        body = f"CHIEF COMPLAINT: {ill.capitalize()} for {n + 2} days.OBJECTIVE: Well, {n + 70} kg.PLAN: Take {drug}."
        text = f"{head}{body}\nKeywords: podiatry, {ill},\n"
        write_text(folder / "mtsamples" / f"{n + 1000}.txt", text)


MTSAMPLES_PLAN = Task(
    name="mtsamples_plan",
    title="MTSamples: the plan, summary or findings of a note from the rest of it",
    kind="text",
    instruction=(
        "You are given a clinical note from which one section is taken out: its plan or, where it has none, its "
        "summary or findings. Write that section. Answer with its text only."
    ),
    load=load,
    source="MTSamples, mtsamples.com, one text file a note, github.com/raulista1997/benchmarkdata",
    license="none stated; read it, do not republish it",
    metrics=("rouge_l", "rouge_1", "rouge_2"),
    further=("bertscore", "concept_f1", "unsupported"),
    form=TEXT,
    query=_queries,
    max_tokens=512,
    context_label="Note",
    get=(
        "Open to read, under no stated licence, so it is not passed on here: put the text files of mtsamples_processed "
        "in github.com/raulista1997/benchmarkdata, or a mtsamples.tar.xz of them, into mtsamples/ under RAGMED_DATA."
    ),
    invent=invent,
)
