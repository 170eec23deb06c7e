"""Queries in, the passages whose vectors are nearest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.chunking import embedded_text
from ragmed.embedding import Embedder
from ragmed.errors import UsageError
from ragmed.index.search import exact_scores
from ragmed.index.store import Index
from ragmed.records import Hit, Passage
from ragmed.retrieval.ranking import ranked

if TYPE_CHECKING:
    from ragmed.embedding import Vectors
    from ragmed.retrieval.spec import Resources, RetrieverSpec

WIDER = 4
"""How many times as many are asked for where more passages are as near as the k-th than were found."""


class DenseRetriever:
    """Built by `make_retriever(RetrieverSpec(index="handbook"), workspace=workspace)`.

    Equal scores are ordered by passage id. Raises MismatchError where the index was built with another embedder.
    """

    VERSION = 2
    READS = ("index",)

    def __init__(self, index: Index, embedder: Embedder) -> None:
        index.require_embedder(embedder)
        self._index = index
        self._embedder = embedder
        # exact search finds the same on every device; what an approximate index finds there may differ
        self._place = {} if index.manifest.recipe.factory == "Flat" else {"device": index.place}

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> DenseRetriever:
        index = resources.index(spec.index)
        return cls(index, resources.embedder(index))

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"method": "dense", "version": self.VERSION, "index": self._index.identity, **self._place}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """Each query is embedded by itself, so that what stands beside it changes nothing, and all are searched
        together; `score` is what `Index.search` gives, of most embedders the cosine of query and passage."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        if not queries:
            return []
        found = self._nearest(self._embedder.embed_queries(queries), k)
        passages = iter(self._index.passages([row for scored in found for _, row in scored]))
        return [ranked((score, next(passages)) for score, _ in scored)[:k] for scored in found]

    def _nearest(self, vectors: Vectors, k: int) -> list[list[tuple[float, int]]]:
        """Score and row of at least the k nearest: of those as near as the k-th, all, since their ids decide."""
        found: list[list[tuple[float, int]]] = [[] for _ in vectors]
        open_, wanted = list(range(len(vectors))), k + 1
        while open_:
            scores, rows = self._index.search(vectors[open_], k=wanted)
            for query, line, places in zip(open_, scores.tolist(), rows.tolist(), strict=True):
                found[query] = list(zip(line, places, strict=True))
            open_ = [
                query
                for query in open_
                if len(found[query]) == wanted and found[query][k - 1][0] == found[query][-1][0]
            ]
            wanted *= WIDER
        return found

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, nearest first; for passages known by other means, such as gold ones."""
        unique = {p.id: embedded_text(p) for passages in candidates for p in passages}
        if not unique:
            return [[] for _ in queries]
        rows = {passage_id: row for row, passage_id in enumerate(unique)}
        vectors = self._embedder.embed_passages(list(unique.values()))
        asked = self._embedder.embed_queries(list(queries))
        found = []
        for query, passages in zip(asked, candidates, strict=True):
            mine = vectors[[rows[p.id] for p in passages]]
            scores = exact_scores(query, mine, metric=self._embedder.metric).tolist()
            found.append(ranked(zip(scores, passages, strict=True)))
        return found
