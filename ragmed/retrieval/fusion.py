"""Several retrievers' rankings in, one ranking out: reciprocal-rank fusion.

Paper: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
Methods", SIGIR, section 2: score(d) = sum over rankings of 1 / (k + rank of d), k = 60. Weights are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragmed.errors import MismatchError, UsageError
from ragmed.records import Hit, Passage
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.ranking import ranked

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec


class FusedRetriever:
    """Built by `make_retriever(RetrieverSpec(method="rrf", of=("lexical", "dense")), specs=specs, ...)`.

    `parts`: retrievers by name; `weights`: by the same names; `depth`: how many hits of each are read, or k where that
    is more. UsageError where there is no part, a part has no weight, or a number is out of range.
    """

    VERSION = 2
    READS = ("of", "weights", "rrf_k", "depth")

    def __init__(
        self, parts: Mapping[str, Retriever], *, weights: Mapping[str, float], rrf_k: int = 60, depth: int = 100
    ) -> None:
        if not parts:
            raise UsageError("a fusion has no parts; name the retrievers that are fused, such as of: [lexical, dense]")
        if weights.keys() != parts.keys() or not all(w > 0 and math.isfinite(w) for w in weights.values()):
            raise UsageError(f"each of {', '.join(parts)} needs a weight above 0, found {dict(weights)}")
        if rrf_k < 0 or depth < 1:
            raise UsageError(f"rrf_k must be at least 0 and depth at least 1, found {rrf_k} and {depth}")
        self._parts = dict(parts)
        self._weights = {name: float(weights[name]) for name in parts}
        self._rrf_k = rrf_k
        self._depth = depth

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> FusedRetriever:
        weights = spec.weights or (1.0,) * len(spec.of)
        parts = {name: resources.part(name) for name in spec.of}
        return cls(parts, weights=dict(zip(spec.of, weights, strict=True)), rrf_k=spec.rrf_k, depth=spec.depth)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "method": "rrf",
            "version": self.VERSION,
            "rrf_k": self._rrf_k,
            "depth": self._depth,
            "weights": list(self._weights.values()),
            "of": [part.identity for part in self._parts.values()],
        }

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """`score` is the sum of the reciprocal ranks; equal scores are ordered by passage id. MismatchError where two
        parts hold another text under the same passage id."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        rankings = {name: part.retrieve(queries, k=max(k, self._depth)) for name, part in self._parts.items()}
        return [self._fused({name: hits[i] for name, hits in rankings.items()})[:k] for i in range(len(queries))]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query; MismatchError where a part cannot order given passages."""
        rankings = {}
        for name, part in self._parts.items():
            if not isinstance(part, Ranker):
                raise MismatchError(f"retriever '{name}' cannot order given passages; leave it out of this fusion")
            rankings[name] = part.rank(queries, candidates)
        return [self._fused({name: hits[i] for name, hits in rankings.items()}) for i in range(len(queries))]

    def _fused(self, rankings: Mapping[str, Sequence[Hit]]) -> list[Hit]:
        return fuse(rankings, weights=self._weights, rrf_k=self._rrf_k)


def fuse(
    rankings: Mapping[str, Sequence[Hit]], *, weights: Mapping[str, float] | None = None, rrf_k: int = 60
) -> list[Hit]:
    """One ranking of several, by name; equal weights where none are given. MismatchError as `FusedRetriever`."""
    passages: dict[str, Passage] = {}
    ranks: dict[str, dict[str, int]] = {}
    for name, hits in rankings.items():
        for hit in hits:
            passage = hit.passage
            if passages.setdefault(passage.id, passage) != passage:
                raise MismatchError(
                    f"passage '{passage.id}' has another text in '{name}' than in another part of the fusion: "
                    "their indexes cut the corpus differently; build them with the same chunking"
                )
            ranks.setdefault(passage.id, {})[name] = hit.rank
    # fsum: the same ranks give the same score, whichever part gave which
    scores = {
        id_: math.fsum((weights or {}).get(name, 1.0) / (rrf_k + rank) for name, rank in mine.items())
        for id_, mine in ranks.items()
    }
    fused = ranked((scores[id_], passage) for id_, passage in passages.items())
    return [replace(hit, parts=ranks[hit.passage.id]) for hit in fused]
