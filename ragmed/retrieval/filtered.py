"""Another retriever in, the same one over no more than a filter lets through out.

The filter is put before all that is ranked: each index behind the retriever is searched as if it held only what passes
(`narrowed.py`), so that parts of a fusion, or what a reranker reads, are no fewer for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.checked import dump
from ragmed.errors import MismatchError, UsageError
from ragmed.records import Hit, Passage
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.filters import Filter, Passing
from ragmed.retrieval.narrowed import require_passing

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec


class FilteredRetriever:
    """Built by `make_retriever(RetrieverSpec("filter", of=("words",), filter=Filter(before="2015")), ...)`.

    `filter` may look at the example for which something is sought; then it is asked by `retrieve_at`, and
    `exclude: source` is carried out where the examples are (`ragmed.augmentation`).
    Raises what `require_passing` raises.
    """

    VERSION = 1
    READS = ("of", "filter")

    def __init__(
        self,
        part: Retriever,
        filter_: Filter,
        *,
        narrowed: Callable[[Filter], Retriever],
        passing: Callable[[Filter], Mapping[str, Passing]],
    ) -> None:
        """`narrowed`: the part as it is under a filter; `passing`: how much of each index behind it passes one."""
        self._part, self.filter, self._narrowed, self._passing = part, filter_, narrowed, passing
        self._at: dict[str, Retriever] = {}

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> FilteredRetriever:
        name, filter_ = spec.of[0], spec.filter
        if resources.within and filter_.of_examples:
            raise UsageError(
                f"retriever '{resources.within[-1]}' is a part of another, and its filter looks at each example; let "
                "the filter be over that other one: it narrows all its parts"
            )

        def narrowed(one: Filter) -> Retriever:
            return resources.filtered(name, one)

        def passing(one: Filter) -> Mapping[str, Passing]:
            return {index: resources.passing(index, one) for index in resources.behind(name)}

        require_passing(filter_, passing(filter_))
        return cls(narrowed(filter_), filter_, narrowed=narrowed, passing=passing)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"method": "filter", "version": self.VERSION, "filter": dump(self.filter), "of": [self._part.identity]}

    def passing(self, date: str = "") -> Mapping[str, Passing]:
        """How much of each index passes: for an example of that date, or, without one, whatever the example."""
        return self._passing(self.filter.at(date) if date else self.filter)

    def lets_through(self, passage: Passage, date: str) -> bool:
        """Whether a passage could be found for an example of that date; `exclude` looks at more than its date."""
        return self.filter.at(date).lets_through(passage)

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """UsageError where the filter looks at the example: a query alone has none."""
        if self.filter.of_examples:
            raise UsageError("its filter looks at the example that a query is of, and a query alone is of none")
        return self._part.retrieve(queries, k=k)

    def retrieve_at(self, queries: Sequence[str], dates: Sequence[str], *, k: int) -> list[list[Hit]]:
        """One list a query, in order, each with what passes at the date of its example; none where nothing does."""
        found: list[list[Hit]] = [[] for _ in queries]
        for date in dict.fromkeys(dates):
            mine = [place for place, one in enumerate(dates) if one == date]
            hits = self._hits_at(date, [queries[place] for place in mine], k)
            for place, some in zip(mine, hits, strict=True):
                found[place] = some
        return found

    def _hits_at(self, date: str, queries: Sequence[str], k: int) -> list[list[Hit]]:
        filter_ = self.filter.at(date)
        if filter_.before not in self._at:
            self._at[filter_.before] = self._narrowed(filter_)
        return self._at[filter_.before].retrieve(queries, k=k)

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, all of them."""
        if not isinstance(self._part, Ranker):
            raise MismatchError("what is filtered cannot order given passages; name another retriever")
        return self._part.rank(queries, candidates)
