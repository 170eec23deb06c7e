"""The border of a run folder: JSON in, typed records or the first thing that is wrong out; records in, lines out.

Files of a run can be damaged, or changed by hand, and stay valid JSON: every record has a checksum (`checksums.py`).
What is wrong is found here once, when they are read, and named by its place, so that nothing after it has to wonder. A
message never repeats a sample's text: samples may hold what nobody but their owner may see.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    NotRequired,  # pydantic wants these on Python 3.11
    TypeVar,
)

from typing_extensions import TypedDict

from ragmed.checked import parse
from ragmed.checksums import KEY as CHECKSUM
from ragmed.checksums import broken_object, broken_seal, fields_of, sealed_line, sealed_object
from ragmed.errors import DamagedError, MismatchError
from ragmed.files import BadLine, read_json, read_jsonl
from ragmed.metrics import MetricFacts
from ragmed.records import Sample, Score

Record = TypeVar("Record")
SCHEMA = 3
"""Of run.json and of what lies beside it; 3: every record has its checksum."""
INFO_REMEDY = (
    "restore it from a copy, or ask again with `ragmed eval --restart`, which keeps this folder under another name"
)


@dataclass(frozen=True, slots=True)
class ScoresHeader:
    """The first line of a scores file: what the scores were made of, and by what.

    `samples`: sha256 of the samples file; other samples, other scores. `metrics`: name -> version. `resources`: of
    those that need a model or a file, name -> its hash.
    """

    samples: str
    reader: str
    reader_version: int
    metrics: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)


class TaskRecord(TypedDict):
    """What run.json keeps of a task; `metrics`: the primary one first. `readers`: of the arms whose answers are read by
    another reader than the task's. `asked`: hash of the examples, of a run of ours.
    """

    examples: int
    asked: NotRequired[str]
    reader: str
    readers: NotRequired[dict[str, str]]
    metrics: list[MetricFacts]
    source: NotRequired[str]
    license: NotRequired[str]
    held_out: NotRequired[int]


class _Arm(TypedDict, total=False):
    model: str
    context: str
    index: str | None
    retriever: str | None
    k: int | None
    passage_order: str
    context_tokens: int
    tasks: list[str]
    cot: bool
    cot_tokens: int
    planted: int


class _TaskSettings(TypedDict, total=False):
    task: str | None
    scoring: str | None
    normalise: str | None
    options: str | None
    file: str | None


class _Experiment(TypedDict):
    models: dict[str, dict[str, Any]]
    arms: dict[str, _Arm]
    tasks: dict[str, _TaskSettings]
    comparison: dict[str, Any]


class _Corpus(TypedDict, total=False):
    name: str
    sha256: str
    documents: int


class _Adapter(TypedDict, total=False):
    name: str
    corpora: list[_Corpus]
    tokens: float
    seconds: float | None
    rows: dict[str, Any]
    overlap: dict[str, Any]
    search: dict[str, Any] | None
    losses: list[dict[str, Any]]


class _Index(TypedDict, total=False):
    corpora: list[_Corpus]
    passages: int
    seconds: float
    taken_over: int
    device: str
    of_record: bool
    filter: _Passing


class _Passing(TypedDict):
    rule: str
    documents: int
    passing: int
    undated: int


class _Cell(TypedDict):
    retriever: NotRequired[str]
    index: NotRequired[str]
    query: NotRequired[str]
    k: int
    context_tokens: int
    score: float


class _Search(TypedDict):
    cells: list[_Cell]
    chosen: int
    n: int
    task: str


class _Memory(TypedDict):
    peak_bytes: int
    of: str


class _SupportError(TypedDict):
    labelled: str
    hallucinated: int
    flagged: int
    true: int
    passed: int
    of: dict[str, Any]


class _MeasuredWith(TypedDict):
    """What a metric is measured with. `error`: of a support score, how often it errs; `unmeasured`: why that is not
    known."""

    settings: dict[str, Any]
    root: str
    sha256: str
    error: NotRequired[_SupportError]
    unmeasured: NotRequired[str]


class _References(TypedDict, total=False):
    adapters: dict[str, _Adapter]
    indexes: dict[str, _Index]
    memory: dict[str, _Memory]
    corrected: dict[str, list[str]]
    not_asked: dict[str, str]
    not_retrieved: dict[str, str]
    search: _Search
    metrics: dict[str, _MeasuredWith]


class _Imported(TypedDict, total=False):
    kind: str
    notes: list[str]


class RunInfo(TypedDict):
    """run.json; see `ragmed.runs`."""

    schema: int
    name: str
    experiment: _Experiment
    identity: dict[str, dict[str, Any]]
    tasks: dict[str, TaskRecord]
    access: NotRequired[str]
    references: NotRequired[_References]
    imported: NotRequired[_Imported]
    software: NotRequired[dict[str, Any]]
    hardware: NotRequired[dict[str, Any] | None]


class _Audited(TypedDict):
    example: str
    findings: list[dict[str, Any]]


class _AuditedTask(TypedDict):
    task: str
    examples: list[_Audited]


class Audit(TypedDict):
    """audit.json; see `ragmed.audit`."""

    tasks: list[_AuditedTask]


SAMPLE_REMEDY = (
    "delete the line, and `ragmed eval` asks that question again (of a run that was imported: import it again)"
)


def record_line(record: Any) -> str:
    """A record as a line of JSON with its checksum. ValueError for NaN and infinity, which JSON has not."""
    return sealed_line(fields_of(record))


def read_info(path: Path) -> dict[str, Any]:
    """A run.json, without its checksum. DataError where it is none; MismatchError where it is of another version,
    DamagedError where it is not what was written."""
    info = read_json(path, "run file", finite=True)
    if info.get("schema") != SCHEMA:
        raise MismatchError(
            f"run file '{path}' has schema {info.get('schema')}, this version reads {SCHEMA}; read it with the ragmed "
            f"that wrote it, or ask again: `ragmed eval CONFIG --restart` keeps this one as '{path.parent.name}.1'"
        )
    if wrong := broken_object(info):
        raise DamagedError(f"run file '{path}': {wrong}; {INFO_REMEDY}")
    info.pop(CHECKSUM, None)
    return info


def info_text(info: Mapping[str, Any]) -> str:
    """run.json with its checksum. ValueError for NaN and infinity."""
    return json.dumps(sealed_object(info), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file, streamed; DamagedError names the line and what in it is wrong."""
    for _, sample in numbered_samples(path):
        yield sample


def numbered_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """The same, each with the number of its line."""
    for number, record in lines_of(path, "samples file", remedy=SAMPLE_REMEDY):
        where = f"samples file '{path}', line {number}"
        yield number, parse(Sample, record, where, error=DamagedError, quote=False, remedy=SAMPLE_REMEDY)


def read_scores(path: Path) -> tuple[ScoresHeader, list[Score]]:
    """What the scores were made of, and the scores, in the order of their samples."""

    def record_of(kind: type[Record], number: int, record: Any) -> Record:
        where = f"scores file '{path}', line {number}"
        return parse(kind, record, where, error=DamagedError, quote=False, remedy=again)

    again = "run `ragmed score` to make it again, or, where its scores came with an import, import the run again"
    lines = lines_of(path, "scores file", remedy=again)
    header = next((record_of(ScoresHeader, number, record) for number, record in lines), None)
    if header is None:
        raise DamagedError(f"scores file '{path}' is empty; {again}")
    return header, [record_of(Score, number, record) for number, record in lines]


def scores_text(header: ScoresHeader, scores: Iterable[Score]) -> str:
    return "".join(map(record_line, (header, *scores)))


def lines_of(path: Path, what: str, *, remedy: str) -> Iterator[tuple[int, Any]]:
    """The records of a file of ours with their line numbers, without their checksums; DamagedError for a line that is
    none, or is not what was written.
    """
    for item in read_jsonl(path, what, finite=True, wrong=broken_seal):
        if isinstance(item, BadLine):
            raise DamagedError(f"{what} '{path}', line {item.number}: {item.reason}; {remedy}")
        number, record = item
        del record[CHECKSUM]
        yield number, record


def misfit(kind: Any, value: Any) -> str:
    """
    >>> misfit(Audit, {"tasks": [{"task": "medqa", "examples": [5]}]})
    'tasks.0.examples.0: input should be a valid dictionary'

    What is wrong in a mapping of ours, by its dotted name; '' where nothing is. Keys that it does not know are left.
    """
    from pydantic import ValidationError

    try:
        _mapping_adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        location, message = ".".join(map(str, first["loc"])), str(first["msg"])
        return f"{location}: {message[:1].lower()}{message[1:]}" if location else message
    return ""


@functools.cache
def _mapping_adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
