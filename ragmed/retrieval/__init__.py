"""Retrievers: queries in, ranked passages out, list for list.

spec.py       what a config says of a retriever, and the one door where any of them is built
dense.py      by the nearness of vectors
bm25.py       by the words that query and passage share
sparse.py     by the weights that a model learned to give to words
late_interaction.py   by the vectors that a model gives to tokens, each with its nearest
parts.py      what a method keeps beside an index
filters.py    a declared rule: which passages may be found
filtered.py   another retriever over no more than a filter lets through
narrowed.py   what searches one index over no more than that; how much that is
fusion.py     several retrievers' rankings made one
rerank.py     another retriever's first hits, read again together with the query
mmr.py        another retriever's first hits, in an order that repeats little
ranking.py    scores to hits: what settles equal scores
named.py      indexes by name: built, opened, described
trec_run.py   a TREC run file of passages, read
record.py     the same methods over an example's own record, in memory
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ragmed.records import Hit, Passage


class Retriever(Protocol):
    """Queries in, hits out:

    hits = retriever.retrieve(["What treats asthma?"], k=5)
    hits[0][0].passage.title  # 'Asthma'
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that can change a ranking, as plain JSON: the method and its `version`, its parameters, its index.

        Equal identities rank equally; where a file lies or on what device it is searched exactly is not in it.
        """

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """One list a query, in order: at most `k` hits, best first, ranked from 1."""


@runtime_checkable
class Ranker(Protocol):
    """A retriever that can also order given passages, such as those known to hold an answer."""

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """All candidates of each query, best first, ranked from 1."""


class Reranker(Protocol):
    """Reorders what a retriever found, having read query and passage together."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """As a retriever's."""

    def rerank(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The same passages for each query, best first, ranked from 1, with the reranker's scores."""
