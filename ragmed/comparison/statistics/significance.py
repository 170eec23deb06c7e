"""Tests of no difference between two arms on the same examples, and families of them: differences in, p out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.statistics.resampling import random_sign_sums

EXACT_GROUPS = 12
"""Up to 2 ** 12 sign assignments are enumerated; beyond that they are drawn."""


def mcnemar_exact(fixed: int, broke: int) -> float:
    """
    >>> round(mcnemar_exact(25, 3), 7)
    2.74e-05

    Exact McNemar test: under no difference each discordant pair is a fair coin. Two-sided binomial, 1 without any
    discordant pair, never 0. Valid when no two examples share a group. McNemar, Psychometrika 1947;12:153-157.
    """
    from scipy.special import bdtr

    total, fewer = fixed + broke, min(fixed, broke)
    if fixed == broke:
        return 1.0
    return min(1.0, max(sys.float_info.min, 2 * float(bdtr(fewer, total, 0.5))))


def mcnemar_mid_p(fixed: int, broke: int) -> float:
    """
    >>> round(mcnemar_mid_p(25, 3), 7)
    1.52e-05

    The exact test with half the chance of what was observed: two-sided, 1 where as many were fixed as broke. The exact
    test rejects too rarely, since few values can be reached; this one comes nearer to what it promises, and may exceed
    it by a little (Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 2013;13:91). To be declared beforehand.
    """
    from scipy.special import bdtr

    total, fewer = fixed + broke, min(fixed, broke)
    if fixed == broke:
        return 1.0
    chance = math.lgamma(total + 1) - math.lgamma(fixed + 1) - math.lgamma(broke + 1) - total * math.log(2)
    return min(1.0, max(sys.float_info.min, 2 * float(bdtr(fewer, total, 0.5)) - math.exp(chance)))


MCNEMAR: dict[str, Callable[[int, int], float]] = {"exact": mcnemar_exact, "mid-p": mcnemar_mid_p}


ENOUGH = 20
"""So many draws as far as what was observed tell p well enough."""

MOST_FLIPS = 2_000_000
MOST_DRAWS = 50_000
"""At most so many sign flips and bootstrap draws, however large the family."""


def draws_for(family: int, alpha: float, *, resamples: int, most: int) -> int:
    """
    >>> draws_for(1000, 0.05, resamples=10_000, most=2_000_000)
    400000

    How many draws let the smallest of `family` p be found under alpha after adjustment: ENOUGH * family / alpha, at
    least `resamples`, at most `most` (or `resamples`, where these are more).
    """
    return max(resamples, min(most, math.ceil(ENOUGH * family / alpha)))


def sign_flip(differences: NDArray[np.float64], *, rng: np.random.Generator, resamples: int, most: int = 0) -> float:
    """
    >>> sign_flip(np.array([1.0, 1.0, 1.0, 1.0]), rng=np.random.default_rng(0), resamples=100)
    0.125

    Permutation test by group: under no difference the two arms of a whole group may be swapped, which turns the sign
    of its summed difference. Enumerated up to EXACT_GROUPS groups that differ; otherwise drawn, and counted with the
    observed one added above and below (Phipson and Smyth 2010), so p is never 0. The statistic is |sum|.

    `most`: where fewer than ENOUGH of the `resamples` draws are as far as what was observed, the draws go on to this
    number. That keeps the test valid at every level: who stops early has a p above any that going on could be below.
    """
    moving = np.abs(differences[differences != 0])
    observed = abs(float(differences.sum()))
    threshold = observed - 1e-9 * float(moving.sum())  # equal sums in another order of addition count as equal
    if len(moving) <= EXACT_GROUPS:
        bits = (np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))) & 1
        return float(np.mean(np.abs((2 * bits - 1) @ moving) >= threshold))
    drawn = resamples
    as_far = int(np.count_nonzero(np.abs(random_sign_sums(moving, rng=rng, resamples=drawn)) >= threshold))
    if as_far < ENOUGH and most > drawn:
        more = random_sign_sums(moving, rng=rng, resamples=most - drawn)
        as_far, drawn = as_far + int(np.count_nonzero(np.abs(more) >= threshold)), most
    return (as_far + 1) / (drawn + 1)


def attainable_flips(differences: NDArray[np.float64]) -> float:
    """
    >>> attainable_flips(np.array([1.0, 0.5, 0.0]))
    0.5

    The least p that flipping signs could give for groups that differ by as much, had all of them gone one way.
    """
    moving = int(np.count_nonzero(differences))
    return max(sys.float_info.min, min(1.0, 2.0 ** (1 - moving)))


def holm(p_values: Sequence[float]) -> list[float]:
    """
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Holm's step-down adjustment, in the order given: Scandinavian Journal of Statistics 1979;6:65-70. Never below the
    raw value, never above 1, and in the same order as the raw values. Bounds the chance of any false rejection.
    """
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if math.isnan(p_values[place]):
            raise ValueError("a p-value is NaN")
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = reached
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """
    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]

    Benjamini and Hochberg's step-up adjustment: J. R. Stat. Soc. B 1995;57:289-300. Bounds the expected share of false
    ones among the rejections, for tests that are independent or positively dependent.
    """
    adjusted = [0.0] * len(p_values)
    reached, count = 1.0, len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    for rank in range(count, 0, -1):
        place = order[rank - 1]
        if math.isnan(p_values[place]):
            raise ValueError("a p-value is NaN")
        reached = min(reached, p_values[place] * count / rank)
        adjusted[place] = max(reached, p_values[place])  # x * 5 / 5 may round to less than x
    return adjusted


CORRECTIONS: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
}
