"""Which passages an arm shows for each example: examples, a retriever and the gold passages in, ranked hits out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragmed.arms import Arm
from ragmed.errors import MismatchError, UsageError
from ragmed.records import Example, Hit, Passage
from ragmed.retrieval import Retriever
from ragmed.tasks import BoundTask

SHINGLE = 8  # words; two texts that share many runs of so many are one text
SAME_TEXT = 0.2
DISTRACTOR_DEPTH = 4  # distractors are taken from the first k + this many hits, times this, once gold ones are out


class GoldPassages(Protocol):
    """Passages by the names of their documents (`ids` says what kind of names: PMIDs, or the corpus's own)."""

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora whose documents are named by such ids."""

    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """The passages meant for one example, best first, before the budget; `note` says what was out of the ordinary.

    `gold`: passage id -> whether it is of a gold document; None where its corpus does not name documents as the task
    does, so that nobody can say.
    """

    hits: tuple[Hit, ...] = ()
    note: str = ""
    gold: Mapping[str, bool | None] = field(default_factory=dict)


def choose_passages(
    arm: Arm,
    bound: BoundTask,
    examples: Sequence[Example],
    *,
    retriever: Retriever | None,
    gold: GoldPassages | None,
    seed: int,
) -> list[Shown]:
    """The passages of one arm for the examples of one task, all retrieved in one batch.

    `oracle` takes the first k passages of the gold documents, those most like the question first. `distractor` takes
    the best-ranked passages that are of no gold document and share no text with one (another corpus may hold the same
    abstract). Where the gold documents are unknown, because the task names none or they are not in the index, it takes
    those retrieved for another of the task's questions (a seeded rotation), since a passage retrieved for the question
    itself might hold the answer. MismatchError for an oracle over an index without such ids.
    """
    if not arm.needs_index:
        return [Shown() for _ in examples]
    if retriever is None or gold is None:
        raise UsageError(f"arm '{arm.name}' shows passages and needs an index")
    naming = gold.naming(bound.task.ids) if bound.task.gold_documents else frozenset()
    by_document = gold.passages_of(_names(examples), ids=bound.task.ids) if naming else {}
    right = [tuple(p for d in e.documents for p in by_document.get(d, ())) for e in examples]
    queries = [bound.query(e) for e in examples]
    if arm.context == "oracle":
        if not naming:
            raise MismatchError(
                f"arm '{arm.name}' on task '{bound.name}': its gold documents are named by '{bound.task.ids}' ids, and "
                f"no corpus of index '{arm.index}' says `ids: {bound.task.ids}`; add that line to the recipe of the "
                "one whose document ids they are, or leave the arm out"
            )
        return _oracle(arm, retriever.rank(queries, right))
    depth = arm.k if arm.context == "retrieved" else DISTRACTOR_DEPTH * (arm.k + DISTRACTOR_DEPTH)
    found = retriever.retrieve(queries, k=depth)
    if arm.context == "retrieved":
        return [
            Shown(tuple(hits), gold=_judged(hits, passages, naming, _known(example, passages, bound.task.ids)))
            for example, hits, passages in zip(examples, found, right, strict=True)
        ]
    elsewhere = _rotated(found, examples, seed)
    return [
        _distractors(arm, found[i] if right[i] else elsewhere[i], right[i], naming, bound.task.gold_documents)
        for i in range(len(examples))
    ]


def _known(example: Example, right: Sequence[Passage], ids: str) -> bool:
    """Whether it can be said of a passage that it is not gold: the example names its documents, and the index holds
    them, or holds documents that are named in the same declared way.
    """
    return bool(right) or bool(example.documents and ids)


def _names(examples: Sequence[Example]) -> list[str]:
    return sorted({name for example in examples for name in example.documents})


def _judged(
    hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str], known: bool
) -> dict[str, bool | None]:
    ids = {passage.id for passage in right}
    return {
        hit.passage.id: True if hit.passage.id in ids else False if hit.passage.corpus in naming and known else None
        for hit in hits
    }


def _oracle(arm: Arm, ranked: Sequence[Sequence[Hit]]) -> list[Shown]:
    missing = "none of its gold documents is in the index: asked without passages"
    return [
        Shown(tuple(hits[: arm.k]), "" if hits else missing, {hit.passage.id: True for hit in hits}) for hits in ranked
    ]


def _rotated(found: list[list[Hit]], examples: Sequence[Example], seed: int) -> list[list[Hit]]:
    if len(found) < 2:
        return [[] for _ in found]
    digest = hashlib.sha256(f"{seed}\x00distractors".encode()).digest()
    step = 1 + int.from_bytes(digest[:8], "big") % (len(found) - 1)
    shifted = found[step:] + found[:step]
    own = [{hit.passage.id for hit in hits} for hits in found]
    return [[h for h in hits if h.passage.id not in mine] for hits, mine in zip(shifted, own, strict=True)]


def _distractors(arm: Arm, hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str], named: bool) -> Shown:
    kept = [hit for hit in hits if not _holds_gold(hit.passage, right)][: arm.k]
    notes = [f"only {len(kept)} of {arm.k} distractors were to be had"] if len(kept) < arm.k else []
    if named and not right:
        notes.append("none of its gold documents is known in the index: distractors come from another question")
    return Shown(
        tuple(replace(hit, rank=i) for i, hit in enumerate(kept, 1)),
        "; ".join(notes),
        _judged(kept, right, naming, bool(right)),
    )


def _holds_gold(passage: Passage, right: Sequence[Passage]) -> bool:
    """Whether it is a gold passage, or shares much of its text with one: another corpus may hold the same document."""
    if any(passage.id == one.id or passage.document_key == one.document_key for one in right):
        return True
    mine = _shingles(passage.text)
    return any(
        len(mine & theirs) > SAME_TEXT * min(len(mine), len(theirs))
        for theirs in (_shingles(one.text) for one in right)
    )


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.casefold().split()
    return {tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}
