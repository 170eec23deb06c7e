"""Graded scores: number of pairs and the spread of their differences in, power and what can be shown out.

By Student's t of the paired differences. The comparison itself asks sign flips and a bootstrap over groups, which
agree with t from a few dozen examples on unless the differences are far from bell-shaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from ragmed.comparison.statistics.bootstrap import LEVEL
from ragmed.errors import UsageError
from ragmed.planning.power import MOST, fewest

_LARGE = 100_000  # degrees of freedom from which on t is normal to 5 digits


def better_power_t(n: int, *, sd: float, difference: float, alpha: float) -> float:
    """
    >>> round(better_power_t(34, sd=1.0, difference=0.5, alpha=0.05), 3)
    0.808

    Chance that a paired t test has p < `alpha` and the 95 % interval lies above 0. `sd`: standard deviation of the
    paired differences. UsageError for an sd of 0 or below.
    """
    _check(sd)
    if n < 2:
        return 0.0
    shift = difference / sd * math.sqrt(n)
    return _above(_critical(n, min(alpha, 1 - LEVEL) / 2), n - 1, shift)


def equivalence_power_t(n: int, *, sd: float, margin: float, alpha: float) -> float:
    """
    >>> round(equivalence_power_t(100, sd=0.25, margin=0.1, alpha=0.05), 3)
    0.95

    Chance, where the arms do not differ, that both one-sided tests have p < `alpha` and the 95 % interval lies within
    the margin, and that they are not called different by chance. By Bonferroni's inequality, which is close where this
    is above a half and never says too much.
    """
    _check(sd)
    if n < 2:
        return 0.0
    one = _above(_critical(n, min(alpha, (1 - LEVEL) / 2)), n - 1, margin / sd * math.sqrt(n))
    return min(max(0.0, 2 * one - 1), 1 - min(alpha, 1 - LEVEL))


def smallest_difference_t(n: int, *, sd: float, alpha: float, power: float) -> float | None:
    """
    >>> round(smallest_difference_t(34, sd=1.0, alpha=0.05, power=0.8), 3)
    0.495

    The least true difference that is called `better` with this power; None for a single example.
    """
    if n < 2:
        return None
    return _least(lambda x: better_power_t(n, sd=sd, difference=x, alpha=alpha), power, start=2 * sd / math.sqrt(n))


def smallest_margin_t(n: int, *, sd: float, alpha: float, power: float) -> float | None:
    """The least margin within which two equal arms are shown to be equivalent; None where there is none."""
    if n < 2 or power >= 1 - min(alpha, 1 - LEVEL):
        return None
    return _least(lambda x: equivalence_power_t(n, sd=sd, margin=x, alpha=alpha), power, start=2 * sd / math.sqrt(n))


def _least(chance: Callable[[float], float], power: float, *, start: float) -> float:
    """Where a chance that grows reaches the power."""
    from scipy.optimize import brentq

    high = start
    while chance(high) < power:
        high *= 2
    return float(brentq(lambda x: chance(x) - power, 0.0, high, xtol=1e-9))


def examples_needed_t(sd: float, difference: float, alpha: float, power: float) -> int | None:
    """
    >>> examples_needed_t(1.0, 0.5, 0.05, 0.8)
    34

    The fewest examples with which the difference is called `better` with this power; None: more than MOST.
    """
    if not difference > 0:
        raise UsageError(f"a difference of {difference:g} cannot be detected; give one above 0, such as 0.05")
    start = _rough(sd, difference, alpha / 2, power)
    return fewest(lambda n: better_power_t(n, sd=sd, difference=difference, alpha=alpha) >= power, start=start)


def examples_for_margin_t(sd: float, margin: float, alpha: float, power: float) -> int | None:
    """The fewest examples with which two equal arms are shown to be equivalent within the margin."""
    if not margin > 0 or power >= 1 - min(alpha, 1 - LEVEL):
        return None
    start = _rough(sd, margin, min(alpha, (1 - LEVEL) / 2), (1 + power) / 2)
    return fewest(lambda n: equivalence_power_t(n, sd=sd, margin=margin, alpha=alpha) >= power, start=start)


def _rough(sd: float, difference: float, tail: float, power: float) -> int:
    normal = NormalDist()
    size = (sd * (normal.inv_cdf(1 - tail) + normal.inv_cdf(power)) / difference) ** 2
    return int(min(float(MOST), size)) + 2


def _critical(n: int, tail: float) -> float:
    from scipy.special import stdtrit

    return NormalDist().inv_cdf(1 - tail) if n > _LARGE else float(stdtrit(n - 1, 1 - tail))


def _above(critical: float, freedom: int, shift: float) -> float:
    """Chance that t with this shift is above `critical`."""
    from scipy.stats import nct

    if freedom >= _LARGE or shift > 30:  # the noncentral t loses digits there, and the normal is as good
        return NormalDist().cdf(shift - critical)
    return float(nct.sf(critical, freedom, shift))


def _check(sd: float) -> None:
    if not (sd > 0 and math.isfinite(sd)):
        raise UsageError(
            f"a standard deviation of {sd:g} cannot be planned with; give that of the paired differences, above 0, "
            "such as 0.25"
        )
