"""A declared rule and a passage in, whether the passage may be found out: by corpus, source, document, access and date.

Dates are as exact as they are written (2031, 2031-05, 2031-05-17). A document counts as of the last day that its date
may mean, so that what may be newer is never taken for older.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Literal, get_args

from ragmed.corpora.recipe import Text
from ragmed.errors import UsageError
from ragmed.records import Access, Passage

OF_THE_QUESTION = "question"
"""Of `before`: each example's own date."""
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """
    >>> one = Passage("a:1#0", "1", "", "", "", 0, 0, corpus="a", date="2015-06")
    >>> Filter(before="2015-07-01").lets_through(one), Filter(before="2015").lets_through(one)
    (True, False)

    What may be found; what is left empty decides nothing, and all that is set must hold. `corpora`: by name.
    `documents`: regular expressions of which one must be the whole of a document's id, or of its `CORPUS:ID`;
    `not_documents`: of which none may be. `sources`: regular expressions of the whole source of a document. `access`:
    the strictest tier. `before`: a date; only what is certainly older. `before: question`: nothing newer than the
    example, whose own date is a day, a month or a year to the last of which documents may be of. `undated`: whether
    documents without a date, or with what is no date, pass `before`. `exclude: source`: the documents that an example
    names, from which it was made, cannot be found for it.
    """

    corpora: tuple[str, ...] = ()
    documents: tuple[Text, ...] = ()
    not_documents: tuple[Text, ...] = ()
    sources: tuple[str, ...] = ()
    access: Literal["", "open", "credentialed", "private"] = ""
    before: Text = ""
    undated: Literal["drop", "keep"] = "drop"
    exclude: Literal["", "source"] = ""

    def check(self) -> None:
        """UsageError for what is no date or no regular expression, and for a filter that filters nothing."""
        if self == Filter(undated=self.undated):
            raise UsageError("its filter says nothing; set one of corpora, documents, sources, access, before, exclude")
        if self.undated != "drop" and not self.before:
            raise UsageError("filter.undated means nothing without filter.before")
        if self.before not in ("", OF_THE_QUESTION) and not _DATE.fullmatch(self.before):
            raise UsageError(
                f"filter.before: '{self.before}' is neither 'question' nor a date as 2015, 2015-06, 2015-06-30"
            )
        for name in ("documents", "not_documents", "sources"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise UsageError(f"filter.{name}: '{pattern}' is no regular expression: {error}") from error

    @property
    def of_examples(self) -> bool:
        """Whether it looks at the example for which something is sought."""
        return self.before == OF_THE_QUESTION or bool(self.exclude)

    def at(self, date: str) -> Filter:
        """
        >>> Filter(before="question").at("2015").before
        '2015-12-32'

        The filter for an example of that date; without one, what it is for examples of any date.
        """
        return replace(self, before=_after(date)) if self.before == OF_THE_QUESTION else self

    def lets_through(self, passage: Passage) -> bool:
        """Whether a passage passes all that needs no example."""
        names = (passage.document, str(passage.document_key))
        if self.corpora and passage.corpus not in self.corpora:
            return False
        if self.documents and not _any(self.documents, names):
            return False
        if _any(self.not_documents, names) or (self.sources and not _any(self.sources, (passage.source,))):
            return False
        tiers = get_args(Access)
        if self.access and tiers.index(passage.access) > tiers.index(self.access):
            return False
        if self.before in ("", OF_THE_QUESTION):
            return True
        return self.undated == "keep" if not dated(passage.date) else _last_day(passage.date) < _first_day(self.before)


@dataclass(frozen=True, slots=True)
class Passing:
    """How many of an index's documents a filter lets through, whatever the example; `undated`: those without a date."""

    documents: int
    passing: int
    undated: int
    corpora: frozenset[str]


class Census:
    """
    >>> notes = [Passage("", name, "", "", "", 0, 0, corpus="a", date=name) for name in ("2012", "2014-05", "")]
    >>> census = Census(Filter(before="question"), notes)
    >>> [census.passing(Filter(before=date)).passing for date in ("2013", "2014-05", "2014-06")]
    [1, 1, 2]

    An index's documents, read once, counted for filters that differ in `before` and `undated` alone: a filter that
    looks at the dates of examples is another one for each of them.
    """

    def __init__(self, filter_: Filter, documents: Iterable[Passage]) -> None:
        rest = replace(filter_, before="", undated="drop")
        total, undated, corpora, days = 0, 0, set(), Counter[str]()
        for document in documents:
            day = _last_day(document.date) if dated(document.date) else ""
            total += 1
            undated += not day
            corpora.add(document.corpus)
            days[day] += rest.lets_through(document)
        self._none = Passing(total, 0, undated, frozenset(corpora))
        self._undated = days.pop("", 0)
        self._days = sorted(days)
        self._up_to = [0, *accumulate(days[day] for day in self._days)]

    def passing(self, filter_: Filter) -> Passing:
        """Of a filter that is the census's own but for its date; for examples of any date, where it asks theirs."""
        if filter_.before in ("", OF_THE_QUESTION):
            return replace(self._none, passing=self._up_to[-1] + self._undated)
        older = self._up_to[bisect_left(self._days, _first_day(filter_.before))]
        return replace(self._none, passing=older + (self._undated if filter_.undated == "keep" else 0))


def rule_of(filter_: Filter) -> str:
    """
    >>> rule_of(Filter(before="question", exclude="source"))
    'before question (undated: drop), exclude source'

    A filter in one line, as its settings say it.
    """
    said = []
    for one in fields(filter_):
        value = getattr(filter_, one.name)
        if value and one.name != "undated":
            plain = " or ".join(value) if isinstance(value, tuple) else value
            undated = f" (undated: {filter_.undated})" if one.name == "before" else ""
            said.append(f"{one.name} {plain}{undated}")
    return ", ".join(said)


def dated(date: str) -> bool:
    """
    >>> dated("2031-05"), dated("n.d.")
    (True, False)
    """
    return bool(_DATE.fullmatch(date))


def _any(patterns: Iterable[str], texts: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, text) for pattern in patterns for text in texts)


def _first_day(date: str) -> str:
    return date + "-01-01"[len(date) - 4 :]


def _last_day(date: str) -> str:
    return date + "-12-31"[len(date) - 4 :]


def _after(date: str) -> str:
    """The day behind a date, no day of a calendar: only for comparing."""
    day = _last_day(date)
    return f"{day[:-2]}{int(day[-2:]) + 1:02}"
