"""Another retriever in, the same one over no more than a filter lets through out.

The filter is put before all that is ranked: each index behind the retriever is searched as if it held only what passes
(`narrowed.py`), so that parts of a fusion, or what a reranker reads, are no fewer for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.checked import dump
from ragmed.errors import MismatchError, UsageError
from ragmed.records import DocumentKey, Hit, Passage
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.filters import Filter, Passing
from ragmed.retrieval.narrowed import Without, require_passing

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec


class FilteredRetriever:
    """Built by `make_retriever(RetrieverSpec("filter", of=("words",), filter=Filter(before="2015")), ...)`.

    `filter` may look at the example for which something is sought; then it is asked by `retrieve_at`.
    Raises what `require_passing` raises.
    """

    VERSION = 2
    READS = ("of", "filter")

    def __init__(
        self,
        part: Retriever,
        filter_: Filter,
        *,
        narrowed: Callable[[Filter, Without], Retriever],
        passing: Callable[[Filter], Mapping[str, Passing]],
    ) -> None:
        """`narrowed`: the part as it is under a filter, for queries that are not to find some documents; `passing`: how
        much of each index behind it passes a filter."""
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

        def narrowed(one: Filter, without: Without) -> Retriever:
            return resources.filtered(name, one, without)

        def passing(one: Filter) -> Mapping[str, Passing]:
            return {index: resources.passing(index, one) for index in resources.behind(name)}

        require_passing(filter_, passing(filter_))
        return cls(narrowed(filter_, {}), filter_, narrowed=narrowed, passing=passing)

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

    def retrieve_at(
        self,
        queries: Sequence[str],
        dates: Sequence[str],
        *,
        k: int,
        without: Sequence[frozenset[DocumentKey]] | None = None,
    ) -> list[list[Hit]]:
        """One list a query, in order, each with what passes at the date of its example; none where nothing does.

        `without`: for each query the documents that it is not to find. They are taken out where indexes are searched,
        as all else that a filter takes out, so that nothing is ranked, fused or reread as if they were there.
        """
        apart = without or [frozenset()] * len(queries)
        groups: dict[tuple[str, int], dict[str, frozenset[DocumentKey]]] = {}
        places: dict[tuple[str, int], list[int]] = {}
        for place, (query, date, out) in enumerate(zip(queries, dates, apart, strict=True)):
            turn = 0  # the same words may be asked for two examples, each without its own documents
            while groups.setdefault((date, turn), {}).setdefault(query, out) != out:
                turn += 1
            places.setdefault((date, turn), []).append(place)
        found: list[list[Hit]] = [[] for _ in queries]
        for (date, turn), mine in places.items():
            hits = self._under(date, groups[date, turn]).retrieve([queries[place] for place in mine], k=k)
            for place, some in zip(mine, hits, strict=True):
                found[place] = some
        return found

    def _under(self, date: str, without: Without) -> Retriever:
        filter_ = self.filter.at(date)
        if any(without.values()):
            return self._narrowed(filter_, without)
        if filter_.before not in self._at:
            self._at[filter_.before] = self._narrowed(filter_, {})
        return self._at[filter_.before]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, all of them."""
        if not isinstance(self._part, Ranker):
            raise MismatchError("what is filtered cannot order given passages; name another retriever")
        return self._part.rank(queries, candidates)
