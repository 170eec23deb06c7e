"""What an arm shows beside the question: examples in, the passages meant for each out, before the budget.

An augmenter is asked window by window, with the model at hand, so that it may look at what the model writes. Those that
need no model are asked for all examples first (`Prepared`), so that embedder and index are let go before a language
model is loaded; `Replayed` shows what another run showed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragmed.arms import Arm
from ragmed.errors import MismatchError, UsageError
from ragmed.machine import Stopwatch
from ragmed.matching.similarity import copies_any
from ragmed.models import Model
from ragmed.records import RECORD, Example, Hit, Passage, Sample
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.record import RecordRetriever, Records, whole_documents
from ragmed.retrieval.trec_run import Ranked
from ragmed.tasks import BoundTask

VERSION = 1
"""Raised with every change of the rules below that can change which passages are shown."""
DISTRACTOR_DEPTH = 4  # distractors are taken from the first k + this many hits, times this, once gold ones are out


class GoldPassages(Protocol):
    """Passages by the names of their documents (`ids` declares what kind of names: PMIDs, or the corpus's own)."""

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora whose documents are named by such ids."""

    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]: ...


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The passages meant for one example, best first, before the budget; `note` records what was out of the ordinary.

    `gold`: passage id -> whether it is of a gold document; None where its corpus does not name documents as the task
    does, so that it is unknown. `seconds`: this example's share of the time that finding them took, and
    of processors and cards; `cpu_seconds` None: they were found elsewhere, nobody knows at what cost.
    """

    hits: tuple[Hit, ...] = ()
    note: str = ""
    gold: Mapping[str, bool | None] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float | None = field(default=0.0, compare=False)
    gpu_seconds: float | None = field(default=None, compare=False)


class Augmenter(Protocol):
    """
    An arm's passages for some examples of a task:

        ClosedBook().augment(bound, bound.examples[:2], model=None)   # [Augmentation(), Augmentation()]
    """

    needs_model: bool
    """Whether it asks the arm's own model, so that it cannot be asked before that is loaded."""

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        """One augmentation for each example, in order."""


class ClosedBook:
    """No passages."""

    needs_model = False

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        return [Augmentation() for _ in examples]


class WholeRecord:
    """Each example's record: all of its documents, in its order, the last of which are dropped where they do not fit.

    The rule looks at neither question nor gold, so that all questions on one record see the same of it, and what is
    lost is what a prompt that is cut at its end would lose, though never half a document.
    """

    needs_model = False

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        return [self._one(bound, example) for example in examples]

    def _one(self, bound: BoundTask, example: Example) -> Augmentation:
        documents = whole_documents(example.context)
        hits = tuple(Hit(document, 0.0, rank) for rank, document in enumerate(documents, 1))
        note = "" if hits else "it has no record: asked without one"
        return Augmentation(hits, note, _gold_in_record(bound, example, documents))


class FromRecord:
    """Passages of each example's own record: what the retriever ranks first, those of gold documents, or of others.

    `oracle` takes the first k passages of the gold documents, and those without a word of the query last. `distractor`
    takes the best-ranked passages of the other documents that share no text with a gold one (notes are copied from
    visit to visit). An example that names no document has neither: it is asked without passages, which is noted.
    MismatchError where an example names a document that its record has not.
    """

    needs_model = False

    def __init__(self, arm: Arm, retriever: RecordRetriever, records: Records) -> None:
        self._arm, self._retriever, self._records = arm, retriever, records

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        found: list[Augmentation] = []
        for example in examples:
            watch = Stopwatch()
            made = self._one(bound, example)
            spent = watch.spent()
            found.append(replace(made, seconds=spent.wall, cpu_seconds=spent.cpu, gpu_seconds=spent.gpu))
        return found

    def _one(self, bound: BoundTask, example: Example) -> Augmentation:
        record = self._records.of(self._retriever.cut, example.context)
        gold = _gold_in_record(bound, example, record.passages)
        if not record.passages:
            return Augmentation(note="its record holds no text: asked without passages")
        if self._arm.context != "retrieved" and True not in gold.values():
            return Augmentation(note="no document of its record is known to hold the answer: asked without passages")
        rankings = self._retriever.rank(list(bound.task.query(example)), record)
        hits = rankings[0] if len(rankings) == 1 else _fused(rankings, len(record.passages))
        right = [passage for passage in record.passages if gold[passage.id]]
        if self._arm.context == "oracle":
            ranked = [hit for hit in hits if gold[hit.passage.id]]
            known = {hit.passage.id for hit in ranked}
            ranked += [Hit(passage, 0.0, 0) for passage in right if passage.id not in known]
            hits = [replace(hit, rank=rank) for rank, hit in enumerate(ranked, 1)]
        if self._arm.context == "distractor":
            return _distractors(self._arm, hits, right, frozenset({RECORD}), named=True)
        shown = tuple(hits[: self._arm.k])
        return Augmentation(shown, _few(self._arm, shown), {hit.passage.id: gold[hit.passage.id] for hit in shown})


def _gold_in_record(bound: BoundTask, example: Example, passages: Sequence[Passage]) -> dict[str, bool | None]:
    """Passage id -> whether its document is one that holds the answer; None where the example names none."""
    names = set(example.documents) if bound.task.gold_documents else set()
    absent = sorted(names - {document.id for document in example.context})
    if absent:
        raise MismatchError(
            f"task '{bound.name}', example '{example.id}': its gold document '{absent[0]}' is none of its record's; "
            "name gold documents as the record names them"
        )
    return {passage.id: passage.document in names if names else None for passage in passages}


class Prepared:
    """The cached form of an augmenter that needs no model: all examples of a task are augmented at once, and kept."""

    needs_model = False

    def __init__(self, augmenter: Augmenter, bound: BoundTask) -> None:
        made = augmenter.augment(bound, bound.examples, model=None)
        self._kept = {example.id: one for example, one in zip(bound.examples, made, strict=True)}

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        return [self._kept[example.id] for example in examples]


class Replayed:
    """The first `k` passages that stored samples were shown, in the same ranks: another model then reads the very same
    ones. `passages`: by id, as an index holds them. MismatchError where a sample's passage is not among them, or where
    an example has no sample.
    """

    needs_model = False

    def __init__(self, samples: Sequence[Sample], passages: Mapping[str, Passage], *, k: int) -> None:
        self._samples = {sample.example.id: sample for sample in samples}
        self._passages, self._k = passages, k

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        return [self._one(example) for example in examples]

    def _one(self, example: Example) -> Augmentation:
        if example.id not in self._samples:
            raise MismatchError(f"no passages are recorded for example '{example.id}'; replay a run that asked it")
        shown = sorted(self._samples[example.id].passages, key=lambda passage: passage.rank)[: self._k]
        missing = [passage.id for passage in shown if passage.id not in self._passages]
        if missing:
            raise MismatchError(
                f"passage '{missing[0]}', shown for example '{example.id}', is not in the index any more; replay over "
                "the index of that run"
            )
        hits = tuple(Hit(self._passages[p.id], p.score or 0.0, p.rank, p.parts) for p in shown)
        return Augmentation(hits, gold={passage.id: passage.gold for passage in shown}, cpu_seconds=None)


class FromRun:
    """The first `k` passages that a TREC run file ranks for each example, judged as retrieved ones are: two models then
    read the very same ones. `passages`: by id, as an index holds them. MismatchError where one is not among them, or
    where the file ranks nothing for an example, which would make it a closed-book one.
    """

    needs_model = False

    def __init__(
        self, ranked: Mapping[str, Sequence[Ranked]], passages: Mapping[str, Passage], gold: GoldPassages, *, k: int
    ) -> None:
        self._ranked, self._passages, self._gold, self._k = ranked, passages, gold, k

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        named = bound.task.gold_documents and not bound.task.record
        naming = self._gold.naming(bound.task.ids) if named else frozenset()
        names = sorted({name for example in examples for name in example.documents})
        by_document = self._gold.passages_of(names, ids=bound.task.ids) if naming else {}
        made = []
        for example in examples:
            hits = self._hits(example)
            right = [passage for name in example.documents for passage in by_document.get(name, ())]
            gold = _judged(hits, right, naming, _known(example, right, bound.task.ids))
            short = f"only {len(hits)} of {self._k} passages are ranked" if len(hits) < self._k else ""
            made.append(Augmentation(tuple(hits), short, gold, cpu_seconds=None))
        return made

    def _hits(self, example: Example) -> list[Hit]:
        if example.id not in self._ranked:
            raise MismatchError(f"the TREC run file ranks no passage for example '{example.id}'; retrieve for it, too")
        first = self._ranked[example.id][: self._k]
        missing = [one.id for one in first if one.id not in self._passages]
        if missing:
            raise MismatchError(
                f"passage '{missing[0]}', ranked for example '{example.id}', is not in the index; replay over the "
                "index that was searched"
            )
        return [Hit(self._passages[one.id], one.score, rank) for rank, one in enumerate(first, 1)]


class FromReferences:
    """Passages of an index: what the retriever ranks first, those of gold documents, or those of none.

    `oracle` takes the first k passages of the gold documents, those that the retriever ranks highest first.
    `distractor` takes the best-ranked passages that are of no gold document and share no text with one (another corpus
    may hold the same abstract). Where the gold documents are unknown, because the task names none or they are not in
    the index, it takes those retrieved for another of the task's questions (a seeded rotation), since a passage
    retrieved for the question itself might hold the answer. MismatchError for an oracle over an index without such ids.
    """

    needs_model = False

    def __init__(self, arm: Arm, retriever: Retriever | None, gold: GoldPassages | None, *, seed: int) -> None:
        if retriever is None or gold is None:
            raise UsageError(f"arm '{arm.name}' shows passages and needs an index")
        self._arm, self._retriever, self._gold, self._seed = arm, retriever, gold, seed

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        if not examples:
            return []
        watch = Stopwatch()
        augmentations = self._augment(bound, examples)
        each = watch.spent().of_each(len(examples))
        return [
            replace(found, seconds=each.wall, cpu_seconds=each.cpu, gpu_seconds=each.gpu) for found in augmentations
        ]

    def _augment(self, bound: BoundTask, examples: Sequence[Example]) -> list[Augmentation]:
        named = bound.task.gold_documents and not bound.task.record  # a record's documents are in no index
        naming = self._gold.naming(bound.task.ids) if named else frozenset()
        names = sorted({name for example in examples for name in example.documents})
        by_document = self._gold.passages_of(names, ids=bound.task.ids) if naming else {}
        right = [tuple(p for name in e.documents for p in by_document.get(name, ())) for e in examples]
        if self._arm.context == "oracle":
            self._require_names(bound, naming)
            return self._oracle(bound, examples, right)
        if self._arm.context == "retrieved":
            found = self._retrieved(bound, examples, self._arm.k)
            return [
                Augmentation(
                    tuple(hits),
                    _few(self._arm, hits),
                    _judged(hits, passages, naming, _known(e, passages, bound.task.ids)),
                )
                for e, hits, passages in zip(examples, found, right, strict=True)
            ]
        return self._distracted(bound, examples, right, naming)

    def _require_names(self, bound: BoundTask, naming: frozenset[str]) -> None:
        if not naming:
            raise MismatchError(
                f"arm '{self._arm.name}' on task '{bound.name}': its gold documents are named by '{bound.task.ids}' "
                f"ids, and no corpus of '{self._arm.references}' declares `ids: {bound.task.ids}`; add that line to "
                "the recipe of the one whose document ids they are, or leave the arm out"
            )

    def _oracle(
        self, bound: BoundTask, examples: Sequence[Example], right: Sequence[tuple[Passage, ...]]
    ) -> list[Augmentation]:
        missing = "none of its gold documents is in the index: asked without passages"
        if not isinstance(self._retriever, Ranker):
            raise UsageError(
                f"arm '{self._arm.name}': its retriever cannot order given passages, as an oracle needs; name another"
            )
        ranked = self._retriever.rank([" ".join(bound.task.query(example)) for example in examples], right)
        return [
            Augmentation(tuple(hits[: self._arm.k]), "" if hits else missing, {hit.passage.id: True for hit in hits})
            for hits in ranked
        ]

    def _retrieved(self, bound: BoundTask, examples: Sequence[Example], depth: int) -> list[list[Hit]]:
        """The first hits of each example; those of several queries of one example are fused by their ranks."""
        queries = [bound.task.query(example) for example in examples]
        flat = iter(self._retriever.retrieve([query for several in queries for query in several], k=depth))
        hits = []
        for several in queries:
            rankings = [next(flat) for _ in several]
            hits.append(rankings[0] if len(rankings) == 1 else _fused(rankings, depth))
        return hits

    def _distracted(
        self,
        bound: BoundTask,
        examples: Sequence[Example],
        right: Sequence[tuple[Passage, ...]],
        naming: frozenset[str],
    ) -> list[Augmentation]:
        depth = DISTRACTOR_DEPTH * (self._arm.k + DISTRACTOR_DEPTH)
        partners = _partners(bound, self._seed)
        others = [partners.get(example.id) for example in examples]
        asked = {e.id: e for e in (*examples, *(p for p, passages in zip(others, right) if p and not passages))}
        ranked = dict(zip(asked, self._retrieved(bound, list(asked.values()), depth), strict=True))
        made = []
        for example, partner, passages in zip(examples, others, right, strict=True):
            hits = ranked[example.id] if passages else []
            if partner and not passages:
                own = {hit.passage.id for hit in ranked[example.id]}
                hits = [hit for hit in ranked[partner.id] if hit.passage.id not in own]
            made.append(_distractors(self._arm, hits, passages, naming, bound.task.gold_documents))
        return made


def _few(arm: Arm, hits: Sequence[Hit]) -> str:
    """What is to be said where fewer passages were found than are to be shown: by words, those that share one."""
    short = arm.context == "retrieved" and len(hits) < arm.k
    return f"only {len(hits)} of {arm.k} passages were found" if short else ""


def _fused(lists: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    from ragmed.retrieval.fusion import fuse

    return fuse({f"query {number}": hits for number, hits in enumerate(lists, 1)})[:k]


def _known(example: Example, right: Sequence[Passage], ids: str) -> bool:
    """Whether it is known of a passage that it is not gold: the example names its documents, and the index holds
    them, or holds documents that are named in the same declared way.
    """
    return bool(right) or bool(example.documents and ids)


def _judged(
    hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str], known: bool
) -> dict[str, bool | None]:
    ids = {passage.id for passage in right}
    return {
        hit.passage.id: True if hit.passage.id in ids else False if hit.passage.corpus in naming and known else None
        for hit in hits
    }


def _partners(bound: BoundTask, seed: int) -> dict[str, Example]:
    """For each example of the task another one of it: all are rotated by one seeded number of places."""
    examples = bound.examples
    if len(examples) < 2:
        return {}
    digest = hashlib.sha256(f"{seed}\x00distractors".encode()).digest()
    step = 1 + int.from_bytes(digest[:8], "big") % (len(examples) - 1)
    return {e.id: partner for e, partner in zip(examples, (*examples[step:], *examples[:step]), strict=True)}


def _distractors(
    arm: Arm, hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str], named: bool
) -> Augmentation:
    kept = [hit for hit in hits if not _holds_gold(hit.passage, right)][: arm.k]
    notes = [f"only {len(kept)} of {arm.k} distractors were to be had"] if len(kept) < arm.k else []
    if named and not right:
        notes.append("none of its gold documents is known in the index: distractors come from another question")
    return Augmentation(
        tuple(replace(hit, rank=i) for i, hit in enumerate(kept, 1)),
        "; ".join(notes),
        _judged(kept, right, naming, bool(right)),
    )


def _holds_gold(passage: Passage, right: Sequence[Passage]) -> bool:
    """Whether it is a gold passage, or shares much of its text with one: another corpus may hold the same document."""
    if any(passage.id == gold.id or passage.document_key == gold.document_key for gold in right):
        return True
    return copies_any(passage.text, (gold.text for gold in right))
