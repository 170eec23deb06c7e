"""Macro-F1 over a task's labels: the mean of the F1 of its options, each weighing the same, however rare it is."""

from __future__ import annotations

from ragmed.errors import UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import class_counts, class_weights, macro_f1
from ragmed.metrics.gold import right_letters


def label_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> claim = Example("c1", "?", options={"A": "supported", "B": "refuted"}, gold="B")
    >>> label_counts([(claim, "A"), (claim, None)])
    [(0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)]

    (tp, fp, fn) of every option in turn, by its letter; a value that is no option is a miss of the right one. Raises
    UsageError where examples have no labels, or not all the same, so that there are no classes to take a mean over.
    """
    labels = [tuple(example.options.items()) for example, _ in batch]
    if any(not found or found != labels[0] for found in labels):
        raise UsageError("macro_f1 needs one set of labels for all examples of a task; measure accuracy instead")
    counts = []
    for example, value in batch:
        answered = {value} & set(example.options) if isinstance(value, str) else set()
        gold = {*right_letters(example)[:1]}
        counts.append(tuple(map(float, class_counts(answered, gold, classes=list(example.options)))))
    return counts


MACRO_F1 = Metric(MetricFacts("macro_f1", "ratio"), label_counts, macro_f1, class_weights)
