"""What searches one index in, the same over no more than filters let through out; how much that is of the index.

What searches one index ranks the same first hits however many are asked for, so more are asked for until k are left, or
there is no more. Counts over the whole index stay what they are (how rare a word is to BM25).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.errors import MismatchError, UnknownNameError, UsageError
from ragmed.records import DocumentKey, Hit, Passage
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.filters import Filter, Passing

SPARE = 1.25
"""How many times as many are asked for first as would do if what passes were spread evenly over the ranks."""
WIDER = 4
"""How many times as many are asked for where fewer than k were left."""


Without = Mapping[str, frozenset[DocumentKey]]
"""Query -> the documents that it is not to find, whatever filters let through; a query that is not named finds all."""


class Narrowed:
    """What searches one index, over what the filters let through; built by `Resources.leaf`."""

    def __init__(
        self, leaf: Retriever, passages: int, passing: Mapping[Filter, Passing], without: Without | None = None
    ) -> None:
        """`passages`: of the index; `passing`: how many of its documents each filter lets through."""
        self._leaf, self._all, self._filters, self._without = leaf, passages, tuple(passing), without or {}
        self._share = math.prod(one.passing / one.documents for one in passing.values())

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._leaf.identity

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        found: list[list[Hit]] = [[] for _ in queries]
        open_ = list(range(len(queries))) if self._share else []
        wanted = min(self._all, math.ceil(SPARE * k / self._share)) if open_ else 0
        while open_:
            hits = self._leaf.retrieve([queries[place] for place in open_], k=wanted)
            for place, some in zip(open_, hits, strict=True):
                out = self._without.get(queries[place], frozenset())
                found[place] = [
                    hit for hit in some if hit.passage.document_key not in out and self._passes(hit.passage)
                ]
            short = [len(some) == wanted and len(found[place]) < k for place, some in zip(open_, hits, strict=True)]
            open_ = [place for place, more in zip(open_, short, strict=True) if more and wanted < self._all]
            wanted = min(self._all, WIDER * wanted)
        return [[replace(hit, rank=rank) for rank, hit in enumerate(hits[:k], 1)] for hits in found]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, all of them: what is given is not sought."""
        if not isinstance(self._leaf, Ranker):
            raise MismatchError("what is filtered cannot order given passages; name another retriever")
        return self._leaf.rank(queries, candidates)

    def _passes(self, passage: Passage) -> bool:
        return all(one.lets_through(passage) for one in self._filters)


def require_passing(filter_: Filter, passing: Mapping[str, Passing]) -> None:
    """UnknownNameError for a corpus that no index holds, MismatchError where no document of any index passes."""
    known = set().union(*(one.corpora for one in passing.values()))
    indexes = ", ".join(passing)
    for name in filter_.corpora:
        if name not in known:
            raise UnknownNameError("corpus", name, known, f"the filter over {indexes}")
    if not any(one.passing for one in passing.values()):
        undated = sum(one.undated for one in passing.values())
        without = f" ({undated} have no date)" if filter_.before and undated else ""
        raise MismatchError(
            f"the filter lets none of the {sum(one.documents for one in passing.values())} documents of {indexes} "
            f"through{without}: nothing could be retrieved; set the filter otherwise"
        )
