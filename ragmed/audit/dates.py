"""Dated questions and dated documents in, the documents out that are newer than the question they could answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ragmed.audit.findings import Finding, Findings
from ragmed.records import Document, Example

_DATE = re.compile(r"\s*(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def newer(document: str, question: str) -> bool:
    """
    >>> newer("2031-05-02", "2031-05-01"), newer("2031", "2031-05-01"), newer("2032", "2031-05-01")
    (True, False, True)

    Whether one date is certainly later than the other: they are compared as far as both go. What does not begin with a
    year is no date.
    """
    one, other = _parts(document), _parts(question)
    both = min(len(one), len(other))
    return one[:both] > other[:both]


def dates_of(documents: Iterable[Document], wanted: Collection[str]) -> dict[str, str]:
    """Key -> date of the wanted documents, of those that have one."""
    dated = (document for document in documents if str(document.key) in wanted and _parts(document.date))
    return {str(document.key): document.date for document in dated}


def later_documents(
    task: str,
    examples: Iterable[Example],
    candidates: Mapping[str, Mapping[str, bool]],
    dates: Mapping[str, str],
    source: str,
    findings: Findings,
) -> None:
    """`candidates`: example -> document key -> whether a newer one counts: one that holds the question's words or that
    the example names as holding the answer. One that is merely near is shown.
    """
    for example in examples:
        if not example.date:
            continue
        for key, counts in candidates.get(example.id, {}).items():
            if newer(dates.get(key, ""), example.date):
                what = f"a document of {dates[key]}, newer than the question ({example.date})"
                findings.add(task, example.id, "date", Finding("date", what, source, key, "", 1.0, counts))


def _parts(date: str) -> tuple[int, ...]:
    match = _DATE.match(date)
    return tuple(int(part) for part in match.groups() if part) if match else ()
