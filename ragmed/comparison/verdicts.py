"""What may be concluded: tested rows of one family in, adjusted p-values and one of four words for each out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.significance import CORRECTIONS
from ragmed.errors import DataError

Verdict = Literal["better", "worse", "equivalent", "cannot-tell"]
Row = dict[str, Any]


def untested(settings: ComparisonSettings) -> Row:
    """What a row says before anything is tested: nothing."""
    return {
        "difference": None, "ci": None, "interval": "none", "test": "none", "p": 1.0, "p_adjusted": 1.0,
        "margin": settings.margin, "equivalence": {"p": 1.0, "p_adjusted": 1.0},
        "noninferiority": {"p": 1.0, "p_adjusted": 1.0, "shown": False}, "verdict": "cannot-tell",
    }  # fmt: skip


def decide(
    p_adjusted: float, interval: tuple[float, float], *, alpha: float, margin: float, equivalence: float
) -> Verdict:
    """
    >>> decide(0.4, (-0.03, 0.04), alpha=0.05, margin=0.05, equivalence=0.01)
    'equivalent'

    `better` or `worse` need both: the adjusted p under alpha and an interval without 0. `equivalent` needs both too:
    the adjusted p of the two one-sided tests (`equivalence`) under alpha and the whole interval within the margin. A
    large p alone says nothing: then it is `cannot-tell`.
    """
    low, high = interval
    if p_adjusted < alpha and low > 0:
        return "better"
    if p_adjusted < alpha and high < 0:
        return "worse"
    if equivalence < alpha and -margin <= low and high <= margin:
        return "equivalent"
    return "cannot-tell"


def conclude(family: Sequence[tuple[str, Row]], settings: ComparisonSettings) -> None:
    """Fills in what a family of tests says together: adjusted p-values, non-inferiority shown or not, the verdict.

    `family`: each row with the words that name it. Differences, equivalences and non-inferiorities are three families,
    each adjusted for itself. Raises DataError, by its name, for a row whose p is no probability.
    """
    rows = [row for _, row in family]
    for name, row in family:
        for where in (row, row["equivalence"], row["noninferiority"]):
            if not (0 <= where["p"] <= 1):  # NaN fails both
                raise DataError(f"{name}: its p is {where['p']}, which is no probability; look at its scores")
    adjust = CORRECTIONS[settings.correction]
    for places in (rows, [row["equivalence"] for row in rows], [row["noninferiority"] for row in rows]):
        for place, p in zip(places, adjust([place["p"] for place in places]), strict=True):
            place["p_adjusted"] = p
    for name, row in family:
        if row["ci"] is None:
            continue
        low, high = row["ci"]
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(f"{name}: its interval is [{low}, {high}]; look at its scores")
        less = row["noninferiority"]
        less["shown"] = less["p_adjusted"] < settings.alpha and low > -settings.margin
        row["verdict"] = decide(
            row["p_adjusted"], (low, high), alpha=settings.alpha, margin=settings.margin,
            equivalence=row["equivalence"]["p_adjusted"],
        )  # fmt: skip
