"""Queries in, the passages whose vectors are nearest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.chunking import embedded_text
from ragmed.embedding import Embedder
from ragmed.index.search import exact_scores
from ragmed.index.store import Index
from ragmed.records import Hit, Passage

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec


class DenseRetriever:
    """Built by `make_retriever(RetrieverSpec(index="handbook"), workspace=workspace)`.

    Raises MismatchError where the index was built with another embedder.
    """

    VERSION = 1
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
        """All queries are embedded and searched together; `score` is what `Index.search` gives, of most
        embedders the cosine of query and passage."""
        if not queries:
            return []
        scores, rows = self._index.search(self._embedder.embed_queries(queries), k=k)
        passages = iter(self._index.passages([int(row) for row in rows.ravel()]))
        return [[Hit(next(passages), float(score), rank) for rank, score in enumerate(line, 1)] for line in scores]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, nearest first; for passages known by other means, such as gold ones."""
        unique = {p.id: embedded_text(p) for passages in candidates for p in passages}
        if not unique:
            return [[] for _ in queries]
        rows = {passage_id: row for row, passage_id in enumerate(unique)}
        vectors = self._embedder.embed_passages(list(unique.values()))
        asked = self._embedder.embed_queries(list(queries))
        ranked = []
        for query, passages in zip(asked, candidates, strict=True):
            mine = vectors[[rows[p.id] for p in passages]]
            scores = exact_scores(query, mine, metric=self._embedder.metric).tolist()
            scored = sorted(zip(scores, passages, strict=True), key=lambda s: -s[0])
            ranked.append([Hit(p, score, i) for i, (score, p) in enumerate(scored, 1)])
        return ranked
