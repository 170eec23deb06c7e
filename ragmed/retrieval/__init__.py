"""Retrievers: queries in, ranked passages out, list for list.

dense.py      by the nearness of vectors
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragmed.records import Hit, Passage


class Retriever(Protocol):
    """>>> retriever.retrieve(["What treats asthma?"], k=5)[0][0].passage.title  # doctest: +SKIP
    'Asthma'
    """

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """One list a query, in order: at most `k` hits, best first, ranked from 1."""

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The candidates of each query, best first."""
