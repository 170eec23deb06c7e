"""Metrics: pure functions of an answer and a reference, fractions from 0 to 1."""

BINARY = frozenset({"accuracy", "abstained"})
"""Metrics that are 0 or 1 for each example: their intervals and tests are those of proportions."""
