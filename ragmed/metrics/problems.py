"""Problem lists: micro-F1 over the entries of all answers, each right where its words are those of a gold entry."""

from __future__ import annotations

import re

from ragmed.errors import DataError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import micro_f1, set_counts
from ragmed.records import Gold, Value

_BULLET = re.compile(r"^\s*\(?\d{1,2}[.)](?!\d)")
_NO_WORD = re.compile(r"[\W_]+")


def problem_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> problem_counts([(Example("n1", "?", gold="# Hypoxia:; Acute renal failure"), "1. HYPOXIA\\n2. Sepsis")])
    [(1.0, 1.0, 1.0)]

    True positives, false positives and false negatives of each answer. Entries are parted by semicolons, and in answers
    by line ends too; two are equal where nothing is left that differs once case, white space, punctuation and a list's
    numbers are folded away. Synonyms are different entries, and "no fever" is not "fever". An entry counts once.
    DataError for a gold list without an entry.
    """
    counts = []
    for example, value in batch:
        gold = _problems(example.gold, ";")
        if not gold:
            raise DataError(f"problem_f1: example '{example.id}' has no problem in its gold answer; leave it out")
        counts.append(tuple(map(float, set_counts(_problems(value, ";\n"), gold))))
    return counts


def _problems(given: Value | Gold, separators: str) -> set[str]:
    listed = re.split(f"[{separators}]", given) if isinstance(given, str) else given if isinstance(given, tuple) else ()
    folded = (_NO_WORD.sub(" ", _BULLET.sub("", entry)).casefold() for entry in listed if isinstance(entry, str))
    return {" ".join(entry.split()) for entry in folded} - {""}


PROBLEM_F1 = Metric(MetricFacts("problem_f1", "ratio"), problem_counts, micro_f1)
