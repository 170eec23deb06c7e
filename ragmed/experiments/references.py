"""Where an arm's passages come from: its retriever, the indexes behind it, and the gold passages that these hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.arms import TREC, Arm
from ragmed.augmentation import Augmenter, FromRecord, FromReferences, FromRun, LetThrough, Replayed
from ragmed.errors import MismatchError
from ragmed.experiments.config import Experiment
from ragmed.files import sha256_file, user_path
from ragmed.index.store import Index
from ragmed.machine import total
from ragmed.models.present import folder_files
from ragmed.queries import Asked, Queries
from ragmed.records import Passage
from ragmed.retrieval import Retriever
from ragmed.retrieval.filtered import FilteredRetriever
from ragmed.retrieval.filters import OF_THE_QUESTION, dated, rule_of
from ragmed.retrieval.named import index_folder, open_index
from ragmed.retrieval.narrowed import require_passing
from ragmed.retrieval.parts import parts_took
from ragmed.retrieval.record import RecordRetriever, Records, cut_of, make_record_retriever
from ragmed.retrieval.spec import RetrieverSpec, indexes_of, make_retriever, of_record
from ragmed.retrieval.trec_run import read_nothing, read_texts, read_trec_run
from ragmed.runs import Run, find_run
from ragmed.tasks import BoundTask
from ragmed.text_table import plural, verb
from ragmed.workspace import Workspace


@dataclass(frozen=True, slots=True)
class References:
    """What one name of a config's arms stands for, opened: `indexes` by name, all those that the retriever searches."""

    name: str
    retriever: Retriever
    indexes: Mapping[str, Index]

    def augmenter(self, arm: Arm, *, seed: int, recorded: Mapping[str, Asked] | None = None) -> FromReferences:
        """What shows an arm's passages. `recorded`: queries that the arm's model wrote before, by example."""
        return FromReferences(arm, self.retriever, self, seed=seed, queries=Queries(arm.query, recorded or {}))

    def replayed(self, arm: Arm, bound: BoundTask, *, workspace: Workspace) -> tuple[Augmenter, str]:
        """What shows the passages that `arm.replay` names for a task, and the hash of what tells them: samples, or a
        TREC run file. What the arm's own filter would not let be found is refused when it comes."""
        made, digest = self._replayed(arm, bound.name, workspace)
        if not isinstance(self.retriever, FilteredRetriever):
            return made, digest
        self.require_filter(arm, bound)
        return LetThrough(arm, made, self.retriever), digest

    def _replayed(self, arm: Arm, task: str, workspace: Workspace) -> tuple[Augmenter, str]:
        if arm.replay.startswith(TREC):
            path = trec_file(arm, task)
            ranked, texts = read_trec_run(path), read_texts(path)
            keys = sorted({one.id.rpartition("#")[0] for found in ranked.values() for one in found})
            held = {p.id: p for found in self.passages_of(keys, ids="").values() for p in found}
            made = FromRun(ranked, held, self, k=arm.k, texts=texts, nothing=read_nothing(path))
            return made, sha256_file(path)
        stored, replayed = replayed_run(arm, task, workspace=workspace)
        samples = list(stored.samples_of(replayed, task))
        documents = sorted({passage.document for sample in samples for passage in sample.passages})
        passages = {p.id: p for found in self.passages_of(documents, ids="").values() for p in found}
        return Replayed(samples, passages, k=arm.k), stored.samples_hash(replayed, task)

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora, of any index, whose documents are named by such ids."""
        return frozenset().union(*(index.naming(ids) for index in self.indexes.values()))

    def passages_of(self, names: Sequence[str], *, ids: str) -> dict[str, list[Passage]]:
        """The passages of documents by name, each passage once however many indexes hold it."""
        kept: dict[str, dict[str, Passage]] = {name: {} for name in names}
        for index in self.indexes.values():
            for name, passages in index.passages_of(names, ids=ids).items():
                kept[name] |= {passage.id: passage for passage in passages if passage.id not in kept[name]}
        return {name: list(passages.values()) for name, passages in kept.items()}

    def require_documents(self, arm: Arm, bound: BoundTask) -> None:
        """MismatchError for gold documents that are misnamed, with the nearest names that are there.

        A name that is one of the index but for its suffix, case, Unicode form, blanks or a `.0` is misnamed whatever
        the arm; one that nothing is near to only where the arm shows gold documents, and these are named as the corpora
        name them: of published ids (`ids: pmid`) an index may hold a part, though not none.
        """
        task = bound.task
        self.require_filter(arm, bound)
        names = sorted({name for example in bound.examples for name in example.documents})
        if not names or not task.gold_documents or (task.ids and not self.naming(task.ids)):
            return
        found = self.passages_of(names, ids=task.ids)
        absent = [name for name in names if not found[name]]
        if not absent or (task.ids and len(absent) < len(names)):
            return
        known = {} if task.ids else self._spellings()
        near = {name: known[same] for name in absent if (same := _bare(name)) in known}
        if not near and arm.context not in ("oracle", "conflict"):
            return  # an index of something else: what it holds of the questions is unknown, as it may be
        shown = [f"'{name}'" + (_there_is(near[name], name) if name in near else "") for name in (near or absent)]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        remedy = "name them as `ragmed search` shows them" if near else "correct the names, or leave the arm out"
        raise MismatchError(
            f"arm '{arm.name}' on task '{bound.name}': {len(absent)} of {len(names)} gold "
            f"{plural('document', len(names))} {verb(len(absent), 'is', 'are')} not in "
            f"'{arm.references}': {', '.join(shown[:3])}{more}; {remedy}"
        )

    def require_filter(self, arm: Arm, bound: BoundTask) -> None:
        """MismatchError where a filter looks at what the task's examples have not, or leaves nothing for all."""
        if arm.context in ("oracle", "conflict") or not isinstance(self.retriever, FilteredRetriever):
            return
        filter_, where = self.retriever.filter, f"arm '{arm.name}' on task '{bound.name}'"
        named = bound.task.gold_documents and not bound.task.record and self.naming(bound.task.ids)
        if filter_.exclude and not (named and any(example.documents for example in bound.examples)):
            raise MismatchError(
                f"{where}: filter.exclude: source takes out the documents that an example was made from, and this task "
                f"names none that a corpus of '{arm.references}' would know; leave it out"
            )
        if filter_.before != OF_THE_QUESTION:
            return
        undated = [example.id for example in bound.examples if not dated(example.date)]
        if undated:
            raise MismatchError(
                f"{where}: filter.before: question needs the date of every example, and {len(undated)} of "
                f"{len(bound.examples)} {verb(len(undated), 'has', 'have')} none ('{undated[0]}'); date them, or write "
                "a date: before: 2015-01-01"
            )
        last = max((example.date for example in bound.examples), key=lambda date: filter_.at(date).before)
        require_passing(filter_.at(last), self.retriever.passing(last))

    def _spellings(self) -> dict[str, str]:
        """The documents of all indexes, by what is left of their names without what is easily mistaken."""
        return {_bare(p.document): p.document for index in self.indexes.values() for p in index}

    def record(self) -> dict[str, Any]:
        """What the comparison needs to know: the corpora behind it, and what building its indexes cost, with what the
        retriever keeps beside them (postings, weights of words)."""
        manifests = [index.manifest for index in self.indexes.values()]
        parts = [took for index in self.indexes.values() for took in parts_took(index, self.retriever.identity)]
        cards = [total(m.seconds.gpu for m in manifests), *(took.gpu for took in parts)]
        held = [seconds for seconds in cards if seconds is not None]
        corpora = {
            corpus.sha256: {"name": corpus.name, "sha256": corpus.sha256}
            for manifest in manifests
            for corpus in manifest.corpora
        }
        passing = {"filter": _filter_record(self.retriever)} if isinstance(self.retriever, FilteredRetriever) else {}
        return {
            **passing,
            "indexes": list(self.indexes),
            "corpora": list(corpora.values()),
            "passages": sum(m.counts.passages for m in manifests),
            "seconds": sum(took.wall for took in (*(m.seconds for m in manifests), *parts)),
            "cpu_seconds": total(took.cpu for took in (*(m.seconds for m in manifests), *parts)),
            "gpu_seconds": sum(held) if held else None,  # what held no card was a processor's, beside it
            "device": ", ".join(dict.fromkeys(m.device for m in manifests)),
            "searched_on": {name: index.device for name, index in self.indexes.items()},
            "taken_over": sum(m.counts.taken_over for m in manifests),
        }


def _filter_record(retriever: FilteredRetriever) -> dict[str, Any]:
    """What a reader must know of a filter: its rule, and what it lets through whatever the example."""
    found = retriever.passing().values()
    return {
        "rule": rule_of(retriever.filter),
        "documents": sum(one.documents for one in found),
        "passing": sum(one.passing for one in found),
        "undated": sum(one.undated for one in found),
    }


@dataclass(frozen=True, slots=True)
class RecordReferences:
    """What stands for an example's own record where arms search that, beside the references of other arms."""

    name: str
    retriever: RecordRetriever
    records: Records
    indexes: Mapping[str, Index] = field(default_factory=dict)  # none, ever

    def augmenter(self, arm: Arm, *, seed: int, recorded: Mapping[str, Asked] | None = None) -> FromRecord:
        """What shows an arm's passages; nothing is drawn."""
        return FromRecord(arm, self.retriever, self.records, Queries(arm.query, recorded or {}))

    def record(self) -> dict[str, Any]:
        """What the comparison needs to know: no corpus, and nothing that was built before the first question."""
        return {"indexes": [], "corpora": [], "passages": 0, "seconds": 0.0, "cpu_seconds": 0.0, "of_record": True}


def _there_is(near: str, name: str) -> str:
    """What the index holds instead; two that look alike are told apart by their code points."""
    if unicodedata.normalize("NFC", near) == unicodedata.normalize("NFC", name):
        return f" (there is '{near}', in another Unicode form: {near!a}, not {name!a})"
    return f" (there is '{near}')"


def _bare(name: str) -> str:
    """
    >>> _bare("Sepsis.MD"), _bare("12.0")
    ('sepsis', '12')
    """
    text = " ".join(unicodedata.normalize("NFC", name).casefold().split())
    return re.sub(r"\.(0|md|txt|html?|pdf|xml|jsonl?)$", "", text)


def trec_file(arm: Arm, task: str) -> Path:
    """The TREC run file that an arm replays on a task: the one that it names, or TASK.txt in the folder it names."""
    path = user_path(arm.replay.removeprefix(TREC))
    return path / f"{task}.txt" if path.is_dir() else path


def replay_hash(arm: Arm, task: str, *, workspace: Workspace) -> str:
    """Of what tells which passages an arm replays on a task, seen to hold what it takes; opens no index.

    Raises what `replayed_run` and `read_trec_run` raise, and MismatchError where a file ranks fewer passages.
    """
    if not arm.replay.startswith(TREC):
        stored, replayed = replayed_run(arm, task, workspace=workspace)
        return stored.samples_hash(replayed, task)
    path = trec_file(arm, task)
    most = max(len(found) for found in read_trec_run(path).values())
    if most < arm.k:
        raise MismatchError(
            f"arm '{arm.name}', replay: '{path}' ranks {most} passages, and k {arm.k} asks for more; write k: {most}"
        )
    return sha256_file(path)


def replayed_run(arm: Arm, task: str, *, workspace: Workspace) -> tuple[Run, str]:
    """The run and the arm whose passages an arm shows again, seen to hold what it takes; opens no index.

    Raises what `find_run` raises, and MismatchError where that arm was not asked the task, or was shown fewer passages.
    """
    name, _, replayed = arm.replay.rpartition("/")
    run = find_run(workspace.runs, name)
    where = f"arm '{arm.name}', replay: arm '{replayed}' of run '{name}'"
    if not run.samples_file(replayed, task).exists():
        raise MismatchError(f"{where} was not asked '{task}'")
    stored = run.info().get("identity", {})
    shown = stored.get("arms", {}).get(replayed, {})
    of_its_record = stored.get("references", {}).get(shown.get("retriever", ""), {}).get("record")
    if shown.get("context") == "full" or of_its_record:
        what = "passages of each example's own record" if of_its_record else "each example's own record whole"
        raise MismatchError(f"{where} was shown {what}; leave replay out, every model is shown the same of a record")
    most = shown.get("k", 0)
    most += {"poisoned": shown.get("planted", 0), "conflict": 1}.get(str(shown.get("context")), 0)
    if most < arm.k:
        raise MismatchError(f"{where} was shown {most} passages, and k {arm.k} asks for more; write k: {most}")
    return run, replayed


def spec_of(arm: Arm, experiment: Experiment) -> RetrieverSpec:
    """How an arm retrieves: the retriever that it names, else dense search of its index."""
    return experiment.retrievers[arm.retriever] if arm.retriever else RetrieverSpec(index=arm.index)


def index_names(experiment: Experiment, workspace: Workspace, arms: Sequence[Arm] | None = None) -> list[str]:
    """The indexes behind the arms that show passages, each once, in the arms' order."""
    asked = [*experiment.arms.values(), *experiment.tried()] if arms is None else arms
    specs = [spec_of(arm, experiment) for arm in asked if arm.shows_passages]
    names = [name for spec in specs for name in indexes_of(spec, experiment.retrievers, workspace=workspace)]
    return list(dict.fromkeys(names))


def reads_record(arm: Arm, experiment: Experiment) -> bool:
    """Whether an arm's passages come from each example's own record."""
    return arm.shows_passages and of_record(spec_of(arm, experiment), experiment.retrievers)


def record_embedders(experiment: Experiment, arms: Sequence[Arm]) -> list[str]:
    """The embedders by which arms cut and search records, each once."""
    specs = [spec_of(arm, experiment) for arm in arms if reads_record(arm, experiment)]
    return list(dict.fromkeys(cut for spec in specs if (cut := cut_of(spec, experiment.retrievers))))


def retrieval_models(experiment: Experiment, arms: Sequence[Arm]) -> list[str]:
    """The models that read passages for arms, beside embedders (sparse encoders, rerankers, what an evidence filter
    judges by), each once."""
    names = [spec.model for spec in specs_behind(experiment, arms)]
    names += [arm.evidence_filter.model for arm in arms if arm.evidence_filter]
    return list(dict.fromkeys(name for name in names if name))


def specs_behind(experiment: Experiment, arms: Sequence[Arm]) -> list[RetrieverSpec]:
    """How arms retrieve, and the parts of that, each once; a part that names an index is dense search of it."""
    specs = [spec_of(arm, experiment) for arm in arms if arm.shows_passages]
    for spec in specs:  # which grows while it is walked
        parts = (experiment.retrievers.get(part) or RetrieverSpec(index=part) for part in spec.of)
        specs.extend(part for part in parts if part not in specs)
    return list(dict.fromkeys(specs))


def path_folder(name: str) -> Path | None:
    """Where an embedder or another model of retrieval must lie; None where its name says that it never changes, or is
    fetched."""
    return user_path(name.removeprefix("path:")) if name.startswith("path:") else None


def lying_files(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The files, by their hashes, of those models of retrieval that lie in a folder of the user's."""
    folders = {name: path_folder(name) for name in names}
    return {name: folder_files(folder) for name, folder in folders.items() if folder is not None and folder.is_dir()}


def open_references(
    arm: Arm, experiment: Experiment, *, workspace: Workspace, records: Records
) -> References | RecordReferences:
    """The references of an arm; an index that is missing is built first, but for one that is fused: a part of a fusion
    must be there. Raises what `make_retriever` raises. `records`: the records that arms asked beside this one share.
    """
    spec = spec_of(arm, experiment)
    if of_record(spec, experiment.retrievers):
        made = make_record_retriever(spec, specs=experiment.retrievers, records=records)
        return RecordReferences(arm.references, made, records)
    names = indexes_of(spec, experiment.retrievers, workspace=workspace)
    for name in names if spec.of else ():
        index_folder(name, workspace)
    indexes = {name: open_index(name, workspace=workspace) for name in names}
    retriever = make_retriever(spec, workspace=workspace, specs=experiment.retrievers, indexes=indexes)
    return References(arm.references, retriever, indexes)


def used_retrievers(experiment: Experiment) -> list[str]:
    """The retrievers that arms name, and the parts of those, each once."""
    names = [arm.retriever for arm in experiment.arms.values() if arm.retriever]
    for name in names:  # which grows while it is walked
        parts = (part for part in experiment.retrievers[name].of if part in experiment.retrievers)
        names.extend(part for part in parts if part not in names)
    return list(dict.fromkeys(names))
