"""Detection: F1 of one class, the one that is to be detected, such as a hallucinated answer."""

from __future__ import annotations

from ragmed.errors import UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import micro_f1, set_counts

DETECTED = ("hallucinated",)
"""The texts of options that are the class to be detected, whatever letter they stand under."""


def detection_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> answer = Example("a1", "?", options={"A": "factual", "B": "hallucinated"}, gold="B")
    >>> detection_counts([(answer, "B"), (answer, "A"), (answer, None)])
    [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0)]

    (tp, fp, fn) of the one option that is to be detected; a right answer of another option counts in none of them. To
    answer it always scores 2 p / (1 + p), where p is its share of the examples: 0.667 of one half. Raises UsageError
    where an example has no such option, or several.
    """
    counts = []
    for example, value in batch:
        positive = [letter for letter, text in example.options.items() if text in DETECTED]
        if len(positive) != 1:
            raise UsageError(
                f"detection_f1 needs one option to be detected ({', '.join(DETECTED)}), and example '{example.id}' has "
                f"{len(positive)}; measure accuracy instead"
            )
        answered, gold = (given if given == positive[0] else () for given in (value, example.gold))
        counts.append(tuple(map(float, set_counts(answered, gold))))
    return counts


DETECTION_F1 = Metric(MetricFacts("detection_f1", "ratio"), detection_counts, micro_f1)
