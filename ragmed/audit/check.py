"""An experiment in, audit.json out: every example compared with all that the arms look up or were trained on.

    {"schema": 1, "experiment": NAME, "made": "2031-05-01T10:00:00Z", "seconds": 1.5,
     "settings": {"ngram": 8, "threshold": 0.5, "similarity": 0.9, "embeddings": true, "seed": 0},
     "sources": [{"kind": "index" | "adapter", "name", "corpora": [NAME], "tasks": [NAME], "texts": 200}],
     "tasks": [{"task", "n": 100, "leaked": 3, "examples": [{"example", "findings": [Finding]}]}], "notes": [TEXT]}

Only examples with findings are listed; `leaked` counts those of which a finding counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ragmed.audit import dates, identity
from ragmed.audit.findings import Findings
from ragmed.audit.nearest import nearest_passages, nearest_questions
from ragmed.audit.sources import (
    SourceText,
    Tuning,
    indexes_of,
    texts_of_passages,
    texts_of_training,
    trained_on,
    tunings_of,
)
from ragmed.audit.words import WordAudit
from ragmed.errors import DataError, MismatchError, RagmedError
from ragmed.experiments.binding import access_of, bind_tasks
from ragmed.experiments.config import Experiment
from ragmed.files import write_json
from ragmed.index.sources import Sources
from ragmed.index.store import Index
from ragmed.progress import Bar, open_bar
from ragmed.records import Access, strictest
from ragmed.retrieval.named import DEFAULT_EMBEDDER, open_index
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.runs import Run
from ragmed.stored import read_info
from ragmed.tasks import BoundTask
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

SCHEMA = 1
FILE = "audit.json"
UNSEEN = (
    "what the base models read before is not known here: an example that is not listed may still have been in their "
    "training data"
)


Near = dict[tuple[str, str], dict[str, bool]]
"""(task, example) -> keys of documents near it -> whether the example names it as holding its answer."""
LookUp = Callable[[Sequence[str], str], identity.Register]


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`ngram`: words an n-gram. `threshold`: the share of a question's n-grams in one text from which it counts as
    standing there. `similarity`: the cosine from which a neighbour is shown. `embeddings`: whether neighbours are
    looked for.
    """

    ngram: int = 8
    threshold: float = 0.5
    similarity: float = 0.9
    embeddings: bool = True


@dataclass(slots=True)
class _Audit:
    """What is at hand while an audit runs, and what it has found so far."""

    bound: Mapping[str, BoundTask]
    settings: AuditSettings
    workspace: Workspace
    findings: Findings = field(default_factory=Findings)
    sources: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tiers: list[Access] = field(default_factory=list)
    words: dict[tuple[str, ...], WordAudit] = field(default_factory=dict)


def audit_experiment(
    experiment: Experiment,
    *,
    workspace: Workspace,
    output: Path | None = None,
    settings: AuditSettings | None = None,
    tasks: tuple[str, ...] = (),
    limit: float = 0,
) -> tuple[dict[str, Any], Path]:
    """
        audit, path = audit_experiment(experiment, workspace=Workspace.find())
        [(task["task"], task["leaked"]) for task in audit["tasks"]]  # [('handbook-questions-2031', 0)]

    What audit.json holds, and where it was written: in the folder in which `ragmed eval` keeps the run of the same
    experiment, `tasks` and `limit`. Calls no model; indexes that are missing are built. For its owner alone where
    anything that was read is. Raises what opening an index or reading a task raises.
    """
    settings = settings or AuditSettings()
    started = time.monotonic()
    chosen = replace(experiment, search=None).only((), tasks, limit)
    run_folder = output or workspace.runs / (f"{experiment.name}-limit-{limit:g}" if limit else experiment.name)
    if run_folder.exists() and not run_folder.is_dir():
        raise DataError(f"run folder '{run_folder}' is a file; choose another --output")
    bound = {name: _without_records(task) for name, task in bind_tasks(chosen, workspace).items()}
    state = _Audit(bound, settings, workspace)
    state.tiers.append(access_of(chosen, state.bound, workspace))
    for name, asked in indexes_of(chosen, workspace).items():
        _index(state, name, asked)
    for tuning in tunings_of(chosen, workspace):
        _adapter(state, tuning)
    result = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - started, 1),
        "settings": {**asdict(settings), "seed": chosen.seed},
        "sources": state.sources,
        "tasks": [_task(state, name) for name in state.bound],
        "notes": list(dict.fromkeys([*state.notes, *_limits(state, experiment)])),
    }
    return result, _write(result, run_folder, state.tiers)


def _without_records(bound: BoundTask) -> BoundTask:
    """A task as its questions alone where it has records: a record is not what is asked, and its documents are named as
    those of no index are.
    """
    if not bound.task.record:
        return bound
    return replace(bound, examples=tuple(replace(e, context=(), documents=()) for e in bound.examples))


def _index(state: _Audit, name: str, tasks: tuple[str, ...]) -> None:
    index = open_index(name, workspace=state.workspace)
    source = f"index {name}"

    def look_up(names: Sequence[str], ids: str) -> identity.Register:
        try:
            return identity.in_index(index, names, ids=ids)
        except MismatchError as error:
            state.notes.append(f"{source}: which documents questions name is not known, and was not checked: {error}")
            return {}

    near = _documents(state, tasks, source, look_up)
    count = _scan(state, tasks, texts_of_passages(iter(index)), source, total=len(index), gold=near)
    if state.settings.embeddings:
        _nearest(state, tasks, index, name, near=near)
    corpora = [corpus.name for corpus in index.manifest.corpora]
    _dates(state, tasks, near, corpora, source)
    record = {"kind": "index", "name": name, "corpora": corpora, "tasks": list(tasks), "texts": count}
    state.sources.append(record)


def _nearest(state: _Audit, tasks: tuple[str, ...], index: Index, name: str, *, near: Near) -> None:
    """The passages nearest to each question; their documents join those near it."""
    source = f"index {name}"
    if not index.manifest.embedder.cosine:
        state.notes.append(f"{source}: its embedder gives no cosines, so the nearest passages were not looked for")
        return
    retriever = make_retriever(RetrieverSpec(index=name), workspace=state.workspace, indexes={name: index})
    for task in tasks:
        hits = nearest_passages(
            retriever,
            state.bound[task],
            source=source,
            similarity=state.settings.similarity,
            findings=state.findings,
        )
        for example, found in hits.items():
            for hit in found:
                near.setdefault((task, example), {}).setdefault(str(hit.passage.document_key), False)


def _adapter(state: _Audit, tuning: Tuning) -> None:
    known = trained_on(tuning, state.workspace)
    source, tasks = f"adapter {tuning.name}", tuning.tasks
    state.tiers.append(known.access)
    state.notes.extend(known.notes)
    near = _documents(
        state, tasks, source, lambda names, ids: identity.in_texts(known.texts, known.corpora, names, ids=ids)
    )
    count = _scan(state, tasks, texts_of_training(known.texts), source, total=len(known.texts), gold=near)
    if state.settings.embeddings and known.texts:
        nearest_questions(
            known.texts,
            {task: state.bound[task].examples for task in tasks},
            source=source,
            embedder=DEFAULT_EMBEDDER,
            similarity=state.settings.similarity,
            findings=state.findings,
        )
    _dates(state, tasks, near, list(known.corpora), source)
    record = {"kind": "adapter", "name": tuning.name, "corpora": list(known.corpora), "tasks": list(tasks)}
    state.sources.append({**record, "texts": count})


def _documents(state: _Audit, tasks: tuple[str, ...], source: str, look_up: LookUp) -> Near:
    """Findings of the documents that examples name; the keys of those that hold an example's answer."""
    near: Near = {}
    for task in tasks:
        bound, named = state.bound[task], identity.named_pmids(state.bound[task])
        register = look_up(identity.names_of(bound.examples), bound.task.ids)
        identity.gold_documents(bound, register, task, source, state.findings)
        identity.named_documents(named, look_up(sorted(named), "pmid"), task, source, state.findings)
        for example in bound.examples:
            keys = [passage.key for name in example.documents for passage in register.get(name, ())]
            if keys:
                near[task, example.id] = dict.fromkeys(keys, True)
    return near


def _scan(
    state: _Audit, tasks: tuple[str, ...], texts: Iterable[SourceText], source: str, *, total: int, gold: Near
) -> int:
    if tasks not in state.words:
        examples = {task: state.bound[task].examples for task in tasks}
        state.words[tasks] = WordAudit(examples, length=state.settings.ngram, share=state.settings.threshold)
    words = state.words[tasks]
    for task, count in words.unfindable.items():
        state.notes.append(
            f"{task}: {count} of {counted(len(state.bound[task].examples), 'question')} "
            f"{verb(count, 'is', 'are')} too short for n-grams, or {verb(count, 'holds', 'hold')} none "
            "that other questions of the task do not hold, too; only identity and vectors can find them"
        )
    with open_bar(total=total, desc=source, unit="texts") as bar:
        return words.scan(_counted(texts, bar), source, state.findings, gold=gold)


def _counted(texts: Iterable[SourceText], bar: Bar) -> Iterator[SourceText]:
    for text in texts:
        yield text
        bar.update()


def _dates(
    state: _Audit,
    tasks: tuple[str, ...],
    near: Near,
    corpora: Sequence[str],
    source: str,
) -> None:
    """Dates of documents are read from the corpora, which passages do not say, and only where questions have some."""
    candidates: dict[str, dict[str, dict[str, bool]]] = {task: {} for task in tasks}
    for task in tasks:
        for example in (example for example in state.bound[task].examples if example.date):
            keys = dict(near.get((task, example.id), {}))
            for slot, finding in state.findings.slots(task, example.id):
                if finding.source == source and slot in ("question", "same"):
                    keys[finding.document] = True
            candidates[task][example.id] = keys
    wanted = {key for some in candidates.values() for keys in some.values() for key in keys}
    if not wanted:
        return
    try:
        known = dates.dates_of(Sources(corpora, workspace=state.workspace, rejected=None).documents(), wanted)
    except RagmedError as error:
        state.notes.append(f"{source}: its corpora cannot be read, so that dates were not compared: {error}")
        return
    state.notes.append(
        f"{source}: of {counted(len(wanted), 'document')} near dated questions, {len(known)} "
        f"{verb(len(known), 'has', 'have')} a date"
    )
    for task, by_example in candidates.items():
        dates.later_documents(task, state.bound[task].examples, by_example, known, source, state.findings)


def _task(state: _Audit, name: str) -> dict[str, Any]:
    examples: list[dict[str, Any]] = [
        {"example": example, "findings": [finding.as_dict() for finding in findings]}
        for example, findings in sorted(state.findings.of(name))
    ]
    leaked = sum(any(finding["counts"] for finding in example["findings"]) for example in examples)
    return {"task": name, "n": len(state.bound[name].examples), "leaked": leaked, "examples": examples}


def _limits(state: _Audit, experiment: Experiment) -> list[str]:
    """What this audit did not look at, or could not."""
    limits = []
    missing = [name for name in experiment.tasks if name not in state.bound]
    if missing:
        limits.append(f"not audited: {', '.join(missing)}")
    if not state.sources:
        limits.append("no arm looks anything up and no model is known to be tuned: there was nothing to compare with")
    if not state.settings.embeddings:
        limits.append("nearest passages were left out: the same question in other words was not looked for")
    if not any(example.date for bound in state.bound.values() for example in bound.examples):
        limits.append("no question has a date, so that dates were not compared")
    return [*limits, UNSEEN]


def _write(result: Mapping[str, Any], folder: Path, tiers: Sequence[Access]) -> Path:
    there = folder / "run.json"
    known: Access = read_info(there).get("access", "private") if there.is_file() else "open"
    run = Run(folder, access=strictest([*tiers, known]))
    folder.mkdir(parents=True, exist_ok=True, mode=run.folder_mode)
    write_json(folder / FILE, result, mode=run.file_mode)
    return folder / FILE
