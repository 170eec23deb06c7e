"""What an arm shows beside the question: examples in, the passages meant for each out, before the budget.

An augmenter is asked window by window, with the model at hand, so that it may look at what the model writes. Those that
need no model are asked for all examples first (`Prepared`), so that embedder and index are let go before a language
model is loaded; `Replayed` shows what another run showed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragmed.arms import Arm
from ragmed.errors import MismatchError, UsageError
from ragmed.files import sha256_json
from ragmed.machine import Stopwatch
from ragmed.matching.similarity import copies_any
from ragmed.models import Model
from ragmed.planted import drawn, planted_again, planted_passages
from ragmed.prompts import as_shown, passages_shown
from ragmed.queries import Asked, Queries
from ragmed.records import PLANTED, RECORD, Example, Hit, Passage, Sample, Step
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.filtered import FilteredRetriever
from ragmed.retrieval.record import RecordRetriever, Records, whole_documents
from ragmed.retrieval.trec_run import Ranked
from ragmed.tasks import BoundTask
from ragmed.text_table import counted, verb

VERSION = 2
"""Raised with every change of the rules below that can change which passages are shown."""
FUSED_DEPTH = 100
"""Hits of each of an example's queries that are fused, however few are shown: the first 10 of 32 are then the 10."""
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
    does, so that it is unknown. `error`: why nothing can be asked: what was to be shown could not be found, and an arm
    that is shown nothing is another arm; `lost`: because an answer did not come back, which it may another time.
    `queries`: by which the passages were sought, where they are not the task's own; `left_out`: documents that the
    example names, which would have been among the first hits and were kept out (`exclude: source`); `steps`: what was
    done after the first retrieval (`ragmed.steps`). `input_tokens`, `output_tokens`: what the arm's own model read and
    wrote for queries and steps. `seconds`: this example's share of the time that finding them took, and of processors
    and cards; `cpu_seconds` None: they were found elsewhere, nobody knows at what cost.
    """

    hits: tuple[Hit, ...] = ()
    note: str = ""
    gold: Mapping[str, bool | None] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float | None = field(default=0.0, compare=False)
    gpu_seconds: float | None = field(default=None, compare=False)
    error: str = ""
    lost: bool = False
    queries: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    left_out: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


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

    def __init__(self, arm: Arm, retriever: RecordRetriever, records: Records, queries: Queries | None = None) -> None:
        self._arm, self._retriever, self._records = arm, retriever, records
        self._queries = queries or Queries(arm.query)
        self.needs_model = self._queries.needs_model

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        found: list[Augmentation] = []
        for example in examples:
            watch = Stopwatch()
            made = self._one(bound, example, self._queries.of(bound, [example], model)[0])
            spent = watch.spent()
            found.append(replace(made, seconds=spent.wall, cpu_seconds=spent.cpu, gpu_seconds=spent.gpu))
        return found

    def _one(self, bound: BoundTask, example: Example, asked: Asked) -> Augmentation:
        if asked.error:
            return _as_asked(Augmentation(), self._arm, asked)
        record = self._records.of(self._retriever.cut, example.context)
        gold = _gold_in_record(bound, example, record.passages)
        if not record.passages:
            return Augmentation(note="its record holds no text: asked without passages")
        if self._arm.context != "retrieved" and True not in gold.values():
            return Augmentation(note="no document of its record is known to hold the answer: asked without passages")
        rankings = self._retriever.rank(list(asked.queries), record)
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
        judged = {hit.passage.id: gold[hit.passage.id] for hit in shown}
        return _as_asked(Augmentation(shown, few(self._arm, shown), judged), self._arm, asked)


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

    def why_nothing(self) -> str:
        """Why nothing was found for any question; '' where something was, be it dropped by a step after."""
        return why_nothing(list(self._kept.values()))


def why_nothing(found: Sequence[Augmentation]) -> str:
    """Why nothing was found for any of these; '' where something was, be it dropped by a step after."""
    if not found or any(one.steps or _not_planted(one.hits) for one in found):
        return ""
    said = next((one.error or one.note for one in found if one.error or one.note), "")
    return f"no passage was found for any of {counted(len(found), 'question')}" + (f" ({said})" if said else "")


class Replayed:
    """The first `k` passages that stored samples were shown, in the same ranks: another model then reads the very same
    ones. `passages`: by id, as an index holds them; planted ones are made again. A sample that was shown none is noted;
    one that was not asked, because its passages could not be found, is not asked here either. MismatchError where a
    sample's passage is not among them, or says something else now than in the sample's prompt, or where an example has
    no sample. A sample without a prompt cannot be held against anything, which is noted.
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
        stored = self._samples[example.id]
        if _nothing_to_show(stored):
            return Augmentation(error=f"not asked in the run that is replayed: {stored.error}", cpu_seconds=None)
        shown = sorted(stored.passages, key=lambda passage: passage.rank)[: self._k]
        ids = [passage.id for passage in shown]
        again = _planted(ids, example)
        if again != _planted(ids, stored.example):
            raise MismatchError(
                f"example '{example.id}' has other options now than in the run that is replayed, and its planted "
                "passages name one of them; ask it with the same options"
            )
        held = {**self._passages, **again}
        missing = [passage.id for passage in shown if passage.id not in held]
        if missing:
            raise MismatchError(
                f"passage '{missing[0]}', shown for example '{example.id}', is not in the index any more; replay over "
                "the index of that run"
            )
        told = passages_shown(stored)
        changed = [p.id for p in shown if told is not None and as_shown(held[p.id]) not in told]
        if changed:
            raise MismatchError(
                f"passage '{changed[0]}' says something else in the index now than what was shown for example "
                f"'{example.id}'; build the index of that run's corpora again, or ask that run again"
            )
        hits = tuple(Hit(held[p.id], p.score or 0.0, p.rank, p.parts) for p in shown)
        note = "" if hits else "no passage was shown in the run that is replayed: asked without passages"
        if hits and told is None:
            note = "the run that is replayed holds no prompt: whether its passages say the same now is not known"
        return Augmentation(hits, note, {passage.id: passage.gold for passage in shown}, cpu_seconds=None)


def _nothing_to_show(sample: Sample) -> bool:
    """Whether what was to be shown could not be found, so that nothing was asked: no query or no passage, or a step
    that failed half way."""
    failed = any(one.finish == "error" for step in sample.steps for one in step.completions)
    never_asked = sample.finish == "error" and sample.completion is None
    return never_asked and (failed or not (sample.passages or sample.dropped))


class FromRun:
    """The first `k` passages that a TREC run file ranks for each example, judged as retrieved ones are: two models then
    read the very same ones. `passages`: by id, as an index holds them; `texts`: what they said where they were found,
    as `text_hash` by id, as far as it is known; `nothing`: the examples for which nothing was found, which are asked
    without passages, and noted. MismatchError where a passage is not among them or says something else, or where the
    file ranks nothing for another example, which would make it a closed-book one.
    """

    needs_model = False

    def __init__(
        self,
        ranked: Mapping[str, Sequence[Ranked]],
        passages: Mapping[str, Passage],
        gold: GoldPassages,
        *,
        k: int,
        texts: Mapping[str, str] | None = None,
        nothing: Collection[str] = (),
    ) -> None:
        self._ranked, self._passages, self._gold, self._k = ranked, passages, gold, k
        self._texts, self._nothing = texts or {}, nothing

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        named = bound.task.gold_documents and not bound.task.record
        naming = self._gold.naming(bound.task.ids) if named else frozenset()
        names = sorted({name for example in examples for name in example.documents})
        by_document = self._gold.passages_of(names, ids=bound.task.ids) if naming else {}
        made = []
        for example in examples:
            hits = self._hits(example)
            right = _of_gold(example, by_document)
            gold = _judged(hits, right, naming, _known(example, right, bound.task.ids))
            short = (
                f"only {len(hits)} of {counted(self._k, 'passage')} {verb(len(hits), 'is', 'are')} ranked"
                if len(hits) < self._k
                else ""
            )
            made.append(Augmentation(tuple(hits), short, gold, cpu_seconds=None))
        return made

    def _hits(self, example: Example) -> list[Hit]:
        if example.id not in self._ranked and example.id in self._nothing:
            return []
        if example.id not in self._ranked:
            raise MismatchError(f"the TREC run file ranks no passage for example '{example.id}'; retrieve for it, too")
        first = self._ranked[example.id][: self._k]
        held = {**self._passages, **_planted([one.id for one in first], example)}
        missing = [one.id for one in first if one.id not in held]
        if missing:
            raise MismatchError(
                f"passage '{missing[0]}', ranked for example '{example.id}', is not in the index; replay over the "
                "index that was searched"
            )
        changed = [one.id for one in first if self._texts.get(one.id, "") not in ("", text_hash(held[one.id]))]
        if changed:
            raise MismatchError(
                f"passage '{changed[0]}', ranked for example '{example.id}', says something else in the index than "
                "where it was found; replay over the index that was searched, or retrieve again"
            )
        return [Hit(held[one.id], one.score, rank) for rank, one in enumerate(first, 1)]


def text_hash(passage: Passage) -> str:
    """sha256 of what a prompt says of a passage."""
    return sha256_json(as_shown(passage))


class LetThrough:
    """What is shown again, held to the filter of the arm that shows it: the results say of it that it holds.

    MismatchError where a passage could not be found through that filter for its example.
    """

    needs_model = False

    def __init__(self, arm: Arm, base: Augmenter, retriever: FilteredRetriever) -> None:
        self._arm, self._base, self._retriever = arm, base, retriever

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        found = self._base.augment(bound, examples, model=model)
        for example, one in zip(examples, found, strict=True):
            for hit in _not_planted(one.hits):
                source = bool(self._retriever.filter.exclude and one.gold.get(hit.passage.id))
                if source or not self._retriever.lets_through(hit.passage, example.date):
                    why = "is of a document that it was made from" if source else "does not pass"
                    raise MismatchError(
                        f"arm '{self._arm.name}': passage '{hit.passage.id}', replayed for example '{example.id}', "
                        f"{why}, and the filter of '{self._arm.references}' would not find it; replay what was found "
                        "through that filter, or name the index instead of the retriever"
                    )
        return found


def _planted(ids: Sequence[str], example: Example) -> dict[str, Passage]:
    """The planted ones among the passages of an example, made again from their ids."""
    return {id_: planted_again(id_, example) for id_ in ids if id_.startswith(f"{PLANTED}:")}


class FromReferences:
    """Passages of an index: what the retriever ranks first, those of gold documents, or those of none.

    `oracle` takes the first k passages of the gold documents, those that the retriever ranks highest first.
    `distractor` takes the best-ranked passages that are of no gold document and share no text with one (another corpus
    may hold the same abstract). Where the gold documents are unknown, because the task names none or they are not in
    the index, it takes those retrieved for another of the task's questions (a seeded rotation), since a passage
    retrieved for the question itself might hold the answer. MismatchError for an oracle over an index without such ids.
    What a filter lets through for an example is all that is retrieved for it; where that is nothing, nothing is asked.
    `conflict` takes the oracle's passages and, of the documents that the example names as contradicting them, the
    passage that the retriever ranks highest and that no gold document holds word for word; MismatchError where the
    index has either not. `poisoned` puts `planted` passages that give a wrong option among the retrieved ones. At which
    place a contradicting or planted passage stands is drawn by a hash of seed and example.
    """

    def __init__(
        self,
        arm: Arm,
        retriever: Retriever | None,
        gold: GoldPassages | None,
        *,
        seed: int,
        queries: Queries | None = None,
    ) -> None:
        if retriever is None or gold is None:
            raise UsageError(f"arm '{arm.name}' shows passages and needs an index")
        self._queries = queries or Queries(arm.query)
        self.needs_model = self._queries.needs_model
        self._arm, self._retriever, self._gold, self._seed = arm, retriever, gold, seed

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        if not examples:
            return []
        watch = Stopwatch()
        asked = self._queries.of(bound, examples, model)
        made = self._augment(bound, examples, asked)
        each = watch.spent().of_each(len(examples))
        out: Sequence[tuple[str, ...]] = [()] * len(examples)
        if self._arm.context in ("retrieved", "poisoned"):  # counted after the watch: asking does not cost it
            by_which = [(example, one.queries) for example, one in zip(examples, asked, strict=True)]
            out = self.kept_out(bound, by_which, k=self._arm.k)
        return [
            replace(found, seconds=each.wall, cpu_seconds=each.cpu, gpu_seconds=each.gpu, left_out=left)
            for found, left in zip(made, out, strict=True)
        ]

    def _augment(self, bound: BoundTask, examples: Sequence[Example], asked: Sequence[Asked]) -> list[Augmentation]:
        right, naming = self._right(bound, examples)
        if self._arm.context == "oracle":
            self._require_names(bound, naming)
            return self._oracle(bound, examples, right)
        if self._arm.context == "conflict":
            self._require_names(bound, naming)
            return self._conflict(bound, examples, right)
        if self._arm.context in ("retrieved", "poisoned"):
            found = self._found(examples, [one.queries for one in asked], right, self._arm.k)
            nothing = ["" if hits else self._nothing() for hits in found]
            if self._arm.context == "poisoned":
                found = [
                    hits if why else self._poisoned(e, hits)
                    for e, hits, why in zip(examples, found, nothing, strict=True)
                ]
            return [
                _as_asked(
                    Augmentation(
                        tuple(hits),
                        few(self._arm, hits),
                        _judged(hits, passages, naming, _known(e, passages, bound.task.ids)),
                        error=why,
                    ),
                    self._arm,
                    query,
                )
                for e, hits, why, passages, query in zip(examples, found, nothing, right, asked, strict=True)
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
        if not isinstance(self._retriever, Ranker):
            raise UsageError(
                f"arm '{self._arm.name}': its retriever cannot order given passages, as an oracle needs; name another"
            )
        ranked = self._retriever.rank([" ".join(bound.task.query(example)) for example in examples], right)
        made = []
        for example, hits in zip(examples, ranked, strict=True):
            why = "none of its gold documents is in the index" if example.documents else "it names no gold document"
            note = "" if hits else f"{why}: asked without passages"
            made.append(Augmentation(tuple(hits[: self._arm.k]), note, {hit.passage.id: True for hit in hits}))
        return made

    def _nothing(self) -> str:
        """Why an example for which nothing was found is not asked; '' where no filter decided what could be."""
        if not isinstance(self._retriever, FilteredRetriever):
            return ""
        return f"the filter of '{self._arm.references}' leaves no passage that could be found for it: not asked"

    def _conflict(
        self, bound: BoundTask, examples: Sequence[Example], right: Sequence[tuple[Passage, ...]]
    ) -> list[Augmentation]:
        gold = self._oracle(bound, examples, right)
        keys = sorted({key for example in examples for key in example.contradictions})
        held = self._gold.passages_of(keys, ids="")
        against = []
        for example, passages in zip(examples, right, strict=True):
            same = {passage.text for passage in passages}
            named = [passage for key in example.contradictions for passage in held.get(key, ())]
            against.append([passage for passage in named if passage.text not in same])
        assert isinstance(self._retriever, Ranker)  # seen by `_oracle`
        ranked = self._retriever.rank([" ".join(bound.task.query(example)) for example in examples], against)
        made = []
        for example, shown, others in zip(examples, gold, ranked, strict=True):
            if not shown.hits or not others:
                what = "passage that contradicts its gold" if shown.hits else "gold passage"
                raise MismatchError(
                    f"arm '{self._arm.name}' on task '{bound.name}': '{self._arm.references}' holds no {what} of "
                    f"example '{example.id}', so that nothing conflicts; search an index over the corpora of both "
                    f"({', '.join(sorted(example.contradictions)) or 'none is named'})"
                )
            hits = _placed(shown.hits, others[:1], example, seed=self._seed)
            made.append(Augmentation(hits, gold={**shown.gold, others[0].passage.id: False}))
        return made

    def _poisoned(self, example: Example, hits: Sequence[Hit]) -> list[Hit]:
        planted = planted_passages(example, count=self._arm.planted, seed=self._seed)
        return list(_placed(hits, [Hit(passage, 0.0, 0) for passage in planted], example, seed=self._seed))

    def _retrieved(self, bound: BoundTask, examples: Sequence[Example], depth: int) -> list[list[Hit]]:
        """The first hits of each example."""
        queries = [bound.task.query(example) for example in examples]
        return self._found(examples, queries, [()] * len(examples), depth)

    def _found(
        self,
        examples: Sequence[Example],
        queries: Sequence[tuple[str, ...]],
        right: Sequence[Sequence[Passage]],
        depth: int,
    ) -> list[list[Hit]]:
        """The first hits of each example; those of several queries of one example are fused by their ranks.

        `right`: the passages of the documents that it names, which a filter may keep from being found.
        """
        read = [depth if len(several) == 1 else max(depth, FUSED_DEPTH) for several in queries]
        found: list[list[Hit]] = [[] for _ in examples]
        for deep in sorted(set(read)):
            mine = [place for place, one in enumerate(read) if one == deep]
            asked = [(examples[place], query, right[place]) for place in mine for query in queries[place]]
            flat = iter(self._search(asked, deep))
            for place in mine:
                rankings = [next(flat) for _ in queries[place]]
                found[place] = rankings[0] if len(rankings) == 1 else _fused(rankings, depth)
        return found

    def _search(self, asked: Sequence[tuple[Example, str, Sequence[Passage]]], depth: int) -> list[list[Hit]]:
        assert self._retriever is not None
        queries = [query for _, query, _ in asked]
        if isinstance(self._retriever, FilteredRetriever):
            dates = [example.date for example, _, _ in asked]
            sources = [frozenset(one.document_key for one in right) for _, _, right in asked]
            without = sources if self._retriever.filter.exclude else None
            return self._retriever.retrieve_at(queries, dates, k=depth, without=without)
        return self._retriever.retrieve(queries, k=depth)

    def search(self, bound: BoundTask, asked: Sequence[tuple[Example, str]], *, k: int) -> list[list[Hit]]:
        """What further queries find, each with the example that it is asked for: its first k hits."""
        examples = [example for example, _ in asked]
        right, _ = self._right(bound, examples)
        return self._found(examples, [(query,) for _, query in asked], right, k)

    def kept_out(
        self, bound: BoundTask, asked: Sequence[tuple[Example, Sequence[str]]], *, k: int
    ) -> list[tuple[str, ...]]:
        """The documents that each example names and `exclude: source` keeps from being found, of those that would be
        among the first k hits of its queries: it is searched once more, with them."""
        out: list[tuple[str, ...]] = [() for _ in asked]
        if not (isinstance(self._retriever, FilteredRetriever) and self._retriever.filter.exclude):
            return out
        right, _ = self._right(bound, [example for example, _ in asked])
        some = [place for place, passages in enumerate(right) if passages and asked[place][1]]
        examples = [asked[place][0] for place in some]
        found = self._found(examples, [tuple(asked[place][1]) for place in some], [()] * len(some), k)
        for place, hits in zip(some, found, strict=True):
            sources = {passage.document_key for passage in right[place]}
            among = [h.passage.document_key for h in hits if h.passage.document_key in sources]
            out[place] = tuple(dict.fromkeys(map(str, among)))
        return out

    def judged(
        self, bound: BoundTask, examples: Sequence[Example], found: Sequence[Sequence[Hit]]
    ) -> list[dict[str, bool | None]]:
        """Of each example's hits, passage id -> whether it is gold."""
        right, naming = self._right(bound, examples)
        return [
            _judged(hits, passages, naming, _known(example, passages, bound.task.ids))
            for example, hits, passages in zip(examples, found, right, strict=True)
        ]

    def _right(self, bound: BoundTask, examples: Sequence[Example]) -> tuple[list[tuple[Passage, ...]], frozenset[str]]:
        """The passages of each example's gold documents, and the corpora whose documents the task's names are of."""
        named = bound.task.gold_documents and not bound.task.record  # a record's documents are in no index
        naming = self._gold.naming(bound.task.ids) if named else frozenset()
        names = sorted({name for example in examples for name in example.documents})
        by_document = self._gold.passages_of(names, ids=bound.task.ids) if naming else {}
        return [_of_gold(example, by_document) for example in examples], naming

    def _distracted(
        self,
        bound: BoundTask,
        examples: Sequence[Example],
        right: Sequence[tuple[Passage, ...]],
        naming: frozenset[str],
    ) -> list[Augmentation]:
        depth = DISTRACTOR_DEPTH * (self._arm.k + DISTRACTOR_DEPTH)
        partners = _partners(bound, self._seed)
        # What is found for another question is as old as a filter lets it be for this one.
        others = [(p := partners.get(e.id)) and replace(p, date=e.date) for e in examples]
        wanted = (*examples, *(p for p, passages in zip(others, right, strict=True) if p and not passages))
        asked = {(e.id, e.date): e for e in wanted}
        ranked = dict(zip(asked, self._retrieved(bound, list(asked.values()), depth), strict=True))
        made = []
        for example, partner, passages in zip(examples, others, right, strict=True):
            mine = ranked[example.id, example.date]
            hits = mine if passages else []
            if partner and not passages:
                own = {hit.passage.id for hit in mine}
                hits = [hit for hit in ranked[partner.id, partner.date] if hit.passage.id not in own]
            one = _distractors(self._arm, hits, passages, naming, bound.task.gold_documents)
            made.append(one if one.hits else replace(one, error=self._nothing()))
        return made


def _as_asked(made: Augmentation, arm: Arm, asked: Asked) -> Augmentation:
    """What was found, with the queries by which, where they are not the task's own."""
    return replace(
        made,
        error=asked.error or made.error,
        lost=asked.lost,
        queries=() if arm.query == "question" else asked.queries,
        input_tokens=asked.input_tokens,
        output_tokens=asked.output_tokens,
    )


def few(arm: Arm, hits: Sequence[Hit]) -> str:
    """What is to be said where fewer passages were found than are to be shown: by words, those that share one."""
    found = len(_not_planted(hits))
    short = arm.context in ("retrieved", "poisoned") and found < arm.k
    return f"only {found} of {counted(arm.k, 'passage')} {verb(found, 'was', 'were')} found" if short else ""


def _not_planted(hits: Sequence[Hit]) -> list[Hit]:
    return [hit for hit in hits if hit.passage.corpus != PLANTED]


def _placed(hits: Sequence[Hit], others: Sequence[Hit], example: Example, *, seed: int) -> tuple[Hit, ...]:
    """`others` among `hits`, whose order stays, at places that are drawn, so that a place tells nothing of what stands
    there. Ranks are those of the whole.
    """
    count = len(hits) + len(others)
    by_lot = sorted(range(count), key=lambda place: drawn(seed, "place", example.id, str(place)))
    places = set(by_lot[: len(others)])
    mine, theirs = iter(hits), iter(others)
    return tuple(replace(next(theirs) if place in places else next(mine), rank=place + 1) for place in range(count))


def _of_gold(example: Example, by_document: Mapping[str, Sequence[Passage]]) -> tuple[Passage, ...]:
    """The passages of an example's gold documents: of two corpora with one way of naming, not those that contradict."""
    named = (passage for name in example.documents for passage in by_document.get(name, ()))
    return tuple(passage for passage in named if str(passage.document_key) not in example.contradictions)


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
    ids, told = {passage.id for passage in right}, naming | {PLANTED}
    return {
        hit.passage.id: True if hit.passage.id in ids else False if hit.passage.corpus in told and known else None
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
    notes = (
        [f"only {len(kept)} of {counted(arm.k, 'distractor')} {verb(len(kept), 'was', 'were')} to be had"]
        if len(kept) < arm.k
        else []
    )
    if named and not right:
        notes.append("no gold document of it is known in the index: distractors come from another question")
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
