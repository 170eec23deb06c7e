"""What may be concluded: tested rows of one family in, the same with adjusted p and one word for each out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, TypeVar

from ragmed.comparison.rows import Contrast, Effect, Noninferiority, OneSided, Overall, Verdict
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.comparison.statistics.differences import Difference
from ragmed.comparison.statistics.significance import CORRECTIONS
from ragmed.errors import DataError

R = TypeVar("R", Contrast, Effect, Overall)


class DifferenceFields(TypedDict):
    """The fields that contrasts, effects and overall differences have in common, before anything is concluded."""

    difference: float | None
    ci: Interval | None
    interval: str
    test: str
    p: float
    p_adjusted: float | None
    margin: float
    equivalence: OneSided
    noninferiority: Noninferiority
    verdict: Verdict


def fields_of(difference: Difference | None, settings: ComparisonSettings) -> DifferenceFields:
    """Of a tested difference; None: nothing could be tested, and the row says so."""
    one = difference
    return {
        "difference": one.difference if one else None, "ci": one.ci if one else None,
        "interval": one.interval if one else "none", "test": one.test if one else "none", "p": one.p if one else 1.0,
        "p_adjusted": 1.0, "margin": settings.margin, "equivalence": OneSided(one.equivalence if one else 1.0),
        "noninferiority": Noninferiority(one.noninferiority if one else 1.0), "verdict": "cannot-tell",
    }  # fmt: skip


def decide(p_adjusted: float, interval: Interval, *, alpha: float, margin: float, equivalence: float) -> Verdict:
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


def alone(row: Contrast, settings: ComparisonSettings) -> Verdict:
    """What a contrast would say if it were the only one."""
    if row.ci is None:
        return "cannot-tell"
    low, high = row.ci
    span = (-high, -low) if row.higher_is_better is False else (low, high)
    return decide(row.p, span, alpha=settings.alpha, margin=settings.margin, equivalence=row.equivalence.p)


def conclude(rows: Sequence[tuple[str, bool, R]], settings: ComparisonSettings) -> list[R]:
    """The rows with what they say together: adjusted p, non-inferiority shown or not, the verdict.

    `rows`: each with the words that name it, and whether its metric is its task's primary one. Those are the family;
    differences, equivalences and non-inferiorities are three families, each adjusted for itself. The p of the others
    are not adjusted, and nothing is concluded from them. Raises DataError, by its name, for a row whose p is no
    probability.
    """
    family = [row for _, primary, row in rows if primary]
    for name, primary, row in rows:
        for p in (row.p, row.equivalence.p, row.noninferiority.p) if primary else ():
            if not (0 <= p <= 1):  # NaN fails both
                raise DataError(f"{name}: its p is {p}, which is no probability; look at its scores")
    adjust = CORRECTIONS[settings.correction]
    adjusted = zip(
        adjust([row.p for row in family]),
        adjust([row.equivalence.p for row in family]),
        adjust([row.noninferiority.p for row in family]),
        strict=True,
    )
    return [
        _concluded(name, row, next(adjusted), settings) if primary else _set_apart(row) for name, primary, row in rows
    ]


def _set_apart(row: R) -> R:
    return replace(
        row, verdict="secondary", p_adjusted=None, equivalence=replace(row.equivalence, p_adjusted=None),
        noninferiority=replace(row.noninferiority, p_adjusted=None),
    )  # fmt: skip


def _concluded(name: str, row: R, adjusted: tuple[float, float, float], settings: ComparisonSettings) -> R:
    p, equivalence, noninferiority = adjusted
    verdict: Verdict = row.verdict
    shown = False
    if row.ci is not None:
        low, high = row.ci
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(f"{name}: its interval is [{low}, {high}]; look at its scores")
        if row.higher_is_better is False:  # less is better: the same words, read the other way round
            low, high = -high, -low
        shown = noninferiority < settings.alpha and low > -settings.margin
        verdict = decide(p, (low, high), alpha=settings.alpha, margin=settings.margin, equivalence=equivalence)
    if row.reason:
        verdict, shown = "no-verdict", False
    return replace(
        row, p_adjusted=p, verdict=verdict, equivalence=replace(row.equivalence, p_adjusted=equivalence),
        noninferiority=replace(row.noninferiority, p_adjusted=noninferiority, shown=shown),
    )  # fmt: skip
