"""A retriever's hits in, the same passages out in an order that repeats little: maximal marginal relevance.

Paper: Carbonell and Goldstein 1998, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries", SIGIR, section 2: next comes the passage with the most of
lambda * relevance - (1 - lambda) * (the likeness to the most alike of those chosen). Relevance is the part's score,
from 0 for the least to 1 for the best of the passages that are read, since scores of different methods have different
scales; likeness is the cosine of the passages' counts of words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragmed.chunking import INPUT_VERSION, embedded_text
from ragmed.errors import MismatchError, UsageError
from ragmed.records import Hit, Passage
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.rerank import with_rank
from ragmed.retrieval.words import tokeniser

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec


class DiverseRetriever:
    """Built by `make_retriever(RetrieverSpec("mmr", of=("first",), mmr_lambda=0.7), specs=specs, ...)`.

    Chosen among the first `depth` (or k, where that is more) that the part named in `of` finds. `mmr_lambda` 1: the
    part's own order. Never part of another method: published comparisons found no gain.
    """

    VERSION = 2
    READS = ("of", "mmr_lambda", "depth")

    def __init__(self, name: str, part: Retriever, *, mmr_lambda: float = 0.7, depth: int = 100) -> None:
        self._name, self._part, self._lambda, self._depth = name, part, mmr_lambda, depth

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> DiverseRetriever:
        return cls(spec.of[0], resources.part(spec.of[0]), mmr_lambda=spec.mmr_lambda, depth=spec.depth)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "method": "mmr",
            "version": self.VERSION,
            "text": INPUT_VERSION,
            "mmr_lambda": self._lambda,
            "depth": self._depth,
            "of": [self._part.identity],
        }

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """`score` is what decided at its turn: the first has the most, and none more than the one before."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        first = self._part.retrieve(queries, k=max(k, self._depth))
        return [diverse(with_rank(hits, self._name), k, mmr_lambda=self._lambda) for hits in first]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query; MismatchError where the part cannot order given passages."""
        if not isinstance(self._part, Ranker):
            raise MismatchError(f"retriever '{self._name}' cannot order given passages, so mmr over it cannot either")
        first = self._part.rank(queries, candidates)
        return [diverse(with_rank(hits, self._name), len(hits), mmr_lambda=self._lambda) for hits in first]


def diverse(hits: Sequence[Hit], k: int, *, mmr_lambda: float) -> list[Hit]:
    """
    >>> texts = {"a": "asthma", "b": "asthma", "c": "cast"}
    >>> one, same, other = (Passage(name, name, "", "", text, 0, 1) for name, text in texts.items())
    >>> given = [Hit(one, 0.9, 1), Hit(same, 0.8, 2), Hit(other, 0.5, 3)]
    >>> [hit.passage.id for hit in diverse(given, 2, mmr_lambda=0.5)]
    ['a', 'c']

    The first k of a greedy choice, ranked from 1; equal values by passage id. The first ten of 32 are the ten.
    """
    if not hits:
        return []
    words = tokeniser(stemmer="none", stop_words="english")([embedded_text(hit.passage) for hit in hits])
    counts = [Counter(text) for text in words]
    lengths = [math.sqrt(sum(n * n for n in count.values())) for count in counts]
    worst, best = min(hit.score for hit in hits), max(hit.score for hit in hits)
    relevance = [(hit.score - worst) / (best - worst) if best > worst else 1.0 for hit in hits]
    likest = [0.0] * len(hits)
    left = set(range(len(hits)))
    chosen: list[Hit] = []
    while left and len(chosen) < k:
        value = {i: mmr_lambda * relevance[i] - (1 - mmr_lambda) * likest[i] for i in left}
        taken = min(left, key=lambda i: (-value[i], hits[i].passage.id))
        left.remove(taken)
        chosen.append(replace(hits[taken], score=value[taken], rank=len(chosen) + 1))
        for i in left:
            shared = sum(n * counts[i][word] for word, n in counts[taken].items() if word in counts[i])
            alike = shared / (lengths[i] * lengths[taken]) if shared else 0.0
            likest[i] = max(likest[i], alike)
    return chosen
