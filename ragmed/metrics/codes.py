"""ICD-10 codes: F1 over the codes of all answers and of each, and how many of the answered ones are codes at all.

As CLUE has them (Dada et al., arXiv 2404.04067): exact match, match of the first three characters, and the share of
answered codes that exist. CLUE takes the mean over documents (`code_f1_document`, `code_f1_3_document`); `code_f1` and
`code_f1_3` count every code alike. Everywhere a code counts once, with or without its point, in capital or small
letters; in CLUE's own script a repeated code counts again in its precision, and U codes are not read. What holds codes
is a list, a list named `codes`, or one text that separates them by `;` or `,`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import micro_f1, micro_precision, set_counts
from ragmed.metrics.icd10 import CATEGORY, CodeTable, bare, is_wellformed
from ragmed.records import Gold, Value


def code_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> code_counts([(Example("n1", "?", gold=("I10", "E11.9")), ("E11.9", "J45"))])
    [(1.0, 1.0, 1.0)]

    True positives, false positives and false negatives of each answer.
    """
    return _counts(batch, bare)


def category_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> category_counts([(Example("n1", "?", gold=("E11.9", "E11.65")), ("E11.0", "J45"))])
    [(1.0, 1.0, 0.0)]

    The same of the categories, the first three characters, each counted once.
    """
    return _counts(batch, lambda code: bare(code)[:CATEGORY])


def document_f1(batch: Batch) -> list[float]:
    """
    >>> from ragmed.records import Example
    >>> document_f1([(Example("n1", "?", gold=("I10", "E11.9")), ("E11.9", "J45"))])
    [0.5]

    The F1 of each answer by itself: every document weighs the same, however many codes it has.
    """
    return [float(micro_f1(np.array(counts))) for counts in code_counts(batch)]


def document_category_f1(batch: Batch) -> list[float]:
    """
    >>> from ragmed.records import Example
    >>> document_category_f1([(Example("n1", "?", gold=("I10", "E11.9")), ("E11.0", "I10.9"))])
    [1.0]

    The same of the categories.
    """
    return [float(micro_f1(np.array(counts))) for counts in category_counts(batch)]


def wellformed_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> wellformed_counts([(Example("n1", "?", gold=("I10",)), ("I10", "hypertension", "401.9"))])
    [(1.0, 2.0, 0.0)]

    Answered codes that are written as ICD-10-CM codes, and those that are not. For lists, JSON and imported answers:
    the reader `codes` takes nothing for a code but what looks like one, so that with it this is 1, whatever was
    answered, and an answer without any code is `unparsed`.
    """
    return _shares(batch, is_wellformed)


def valid_codes(table: CodeTable) -> Metric:
    """
    >>> from ragmed.metrics.icd10 import Code
    >>> metric = valid_codes(CodeTable("2019", {"I10": Code("I10", True, "Essential (primary) hypertension")}))
    >>> from ragmed.records import Example
    >>> metric.score([(Example("n1", "?", gold=("I10",)), ("i10", "I10.99"))])
    [(1.0, 1.0, 0.0)]

    The metric `valid_codes`: answered codes that stand in the table of a year, headings included, and those that do
    not. Of the sums, the share that exists: a code that does not is made up.
    """
    return Metric(
        MetricFacts("valid_codes", "ratio"), lambda batch: _shares(batch, table.__contains__), micro_precision
    )


def valid_codes_document(table: CodeTable) -> Metric:
    """
    >>> from ragmed.metrics.icd10 import Code
    >>> metric = valid_codes_document(CodeTable("2019", {"I10": Code("I10", True, "Essential (primary) hypertension")}))
    >>> from ragmed.records import Example
    >>> metric.score([(Example("n1", "?", gold=("I10",)), answer) for answer in (("i10", "I10.99"), ())])
    [0.5, 0.0]

    The metric `valid_codes_document`: the same share of each answer by itself, 0 where it holds no code, as CLUE.
    """
    return Metric(
        MetricFacts("valid_codes_document"),
        lambda batch: [float(micro_precision(np.array(counts))) for counts in _shares(batch, table.__contains__)],
    )


def _counts(batch: Batch, key: Callable[[str], str]) -> list[tuple[float, ...]]:
    sides = (({key(code) for code in _codes(given)} for given in (value, example.gold)) for example, value in batch)
    return [tuple(map(float, set_counts(answered, gold))) for answered, gold in sides]


def _shares(batch: Batch, holds: Callable[[str], bool]) -> list[tuple[float, ...]]:
    """(codes that hold, codes that do not, 0) of each answer, each distinct code once."""
    counts: list[tuple[float, ...]] = []
    for _, value in batch:
        distinct = {bare(code): code for code in reversed(_codes(value))}.values()
        good = sum(map(holds, distinct))
        counts.append((float(good), float(len(distinct) - good), 0.0))
    return counts


def _codes(given: Value | Gold) -> list[str]:
    if isinstance(given, Mapping):
        given = given.get("codes", ())
    listed = re.split("[;,]", given) if isinstance(given, str) else given if isinstance(given, tuple | list) else ()
    return [code.strip() for code in listed if isinstance(code, str) and bare(code)]


CODE_F1 = Metric(MetricFacts("code_f1", "ratio"), code_counts, micro_f1)
CODE_F1_3 = Metric(MetricFacts("code_f1_3", "ratio"), category_counts, micro_f1)
CODE_F1_DOCUMENT = Metric(MetricFacts("code_f1_document"), document_f1)
CODE_F1_3_DOCUMENT = Metric(MetricFacts("code_f1_3_document"), document_category_f1)
WELLFORMED_CODES = Metric(MetricFacts("wellformed_codes", "ratio"), wellformed_counts, micro_precision)
