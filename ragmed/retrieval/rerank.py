"""A retriever's hits in, the same passages in another order out: read again, together with the query, by a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragmed.chunking import INPUT_VERSION, embedded_text
from ragmed.errors import UsageError
from ragmed.records import Hit, Passage
from ragmed.retrieval import Reranker, Retriever
from ragmed.retrieval.cross_encoder import CrossEncoder
from ragmed.retrieval.ranking import ranked

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec

VERSION = 1


class CrossEncoderReranker:
    """
        CrossEncoderReranker(CrossEncoder("path:models/medcpt-cross-encoder", cache=ScoreCache()))

    Orders by a cross-encoder's scores. A passage is read as it is embedded: title, heading, text.
    """

    def __init__(self, model: CrossEncoder) -> None:
        self._model = model
        self.identity: Mapping[str, Any] = {"model": dict(model.identity), "text": INPUT_VERSION}

    def rerank(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        pairs = [
            (query, embedded_text(hit.passage)) for query, several in zip(queries, hits, strict=True) for hit in several
        ]
        scores = iter(self._model.scores(pairs))
        return [_again(several, [next(scores) for _ in several]) for several in hits]


def _again(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """Hits by their new scores; `parts` stay."""
    parts = {hit.passage.id: hit.parts for hit in hits}
    ordered = ranked((score, hit.passage) for score, hit in zip(scores, hits, strict=True))
    return [replace(hit, parts=parts[hit.passage.id]) for hit in ordered]


def with_rank(hits: Sequence[Hit], name: str) -> list[Hit]:
    """Hits that know the rank that the retriever of that name gave them, beside what they knew."""
    return [replace(hit, parts={**hit.parts, name: hit.rank}) for hit in hits]


class RerankedRetriever:
    """Built by `make_retriever(RetrieverSpec("rerank", of=("first",), model="path:models/cross"), specs=specs, ...)`.

    Of what the part named in `of` finds, the first `depth` (or k, where that is more) are read again. The rank that the
    part gave stays in `Hit.parts`.
    """

    VERSION = VERSION
    READS = ("of", "model", "precision", "depth")

    def __init__(self, name: str, part: Retriever, reranker: Reranker, *, depth: int = 100) -> None:
        self._name, self._part, self._reranker, self._depth = name, part, reranker, depth

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> RerankedRetriever:
        part = resources.part(spec.of[0])
        reranker = CrossEncoderReranker(resources.cross_encoder(spec.model, spec.precision))
        return cls(spec.of[0], part, reranker, depth=spec.depth)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "method": "rerank",
            "version": self.VERSION,
            "depth": self._depth,
            "reranker": dict(self._reranker.identity),
            "of": [self._part.identity],
        }

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """`score` is the model's, higher for nearer; equal scores are ordered by passage id."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        first = self._part.retrieve(queries, k=max(k, self._depth))
        again = self._reranker.rerank(queries, [with_rank(hits, self._name) for hits in first])
        return [hits[:k] for hits in again]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, by the model alone."""
        return self._reranker.rerank(queries, [[Hit(passage, 0.0, 0) for passage in some] for some in candidates])
