"""Queries in, the passages whose vectors are nearest out."""

from __future__ import annotations

from collections.abc import Sequence

from ragmed.chunking import embedded_text
from ragmed.embedding import Embedder
from ragmed.index.store import Index
from ragmed.records import Hit, Passage


class DenseRetriever:
    """>>> DenseRetriever(index, embedder).retrieve(["What treats asthma?"], k=5)  # doctest: +SKIP

    Raises MismatchError where the index was built with another embedder.
    """

    def __init__(self, index: Index, embedder: Embedder) -> None:
        index.require_embedder(embedder)
        self._index = index
        self._embedder = embedder

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """All queries are embedded and searched together; `score` is the cosine of query and passage."""
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
            scored = sorted(((float(query @ vectors[rows[p.id]]), p) for p in passages), key=lambda s: -s[0])
            ranked.append([Hit(p, score, i) for i, (score, p) in enumerate(scored, 1)])
        return ranked
