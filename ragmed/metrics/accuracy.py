"""Accuracy: whether the value that was read is the gold answer, or one of several."""

from __future__ import annotations

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import agrees, right_letters


def accuracy(batch: Batch) -> list[float]:
    """
    >>> from ragmed.records import Example
    >>> accuracy([(Example("q1", "?", gold="B"), "B"), (Example("q2", "?", gold=("A", "C")), "B")])
    [1.0, 0.0]

    1.0 where the value is the gold answer, as `agrees` has it: of several gold answers, any is right; a list is right
    where it holds the same entries. Of two options with one text, either letter is right.
    """
    return [float(agrees(value, example.gold) or value in right_letters(example)) for example, value in batch]


ACCURACY = Metric(MetricFacts("accuracy", "binary", version=2, matches_gold=True), accuracy)
