"""ICD-10 codes: micro-F1 over the codes of all answers, each right or wrong as a whole (CLUE, arXiv 2404.04067)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import micro_f1, set_counts
from ragmed.records import Gold, Value


def code_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> code_counts([(Example("n1", "?", gold=("I10", "E11.9")), ("E11.9", "J45"))])
    [(1.0, 1.0, 1.0)]

    True positives, false positives and false negatives of each answer; a code counts once, with or without its point.
    Codes are a list, a list named `codes`, or one text that separates them by `;` or `,`.
    """
    counts = (set_counts(_codes(value), _codes(example.gold)) for example, value in batch)
    return [tuple(map(float, three)) for three in counts]


def _codes(given: Value | Gold) -> set[str]:
    if isinstance(given, Mapping):
        given = given.get("codes", ())
    listed = re.split("[;,]", given) if isinstance(given, str) else given if isinstance(given, tuple | list) else ()
    return {code.replace(".", "").strip().upper() for code in listed if isinstance(code, str)} - {""}


CODE_F1 = Metric(MetricFacts("code_f1", "ratio"), code_counts, micro_f1)
