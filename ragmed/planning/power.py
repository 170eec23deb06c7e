"""Number of pairs, discordance and difference in, the chance that a comparison says `better` or `equivalent` out.

Right/wrong scores. Of n examples that two arms answer, (fixed, broke, the rest) is multinomial: a share `discordance`
of them is answered rightly by one arm alone, and `difference` of them more by the new arm than by the old. Nothing is
approximated but the far tails (probability `_TAIL` on either side), for 1 as for 10,000,000 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.statistics.bootstrap import Z
from ragmed.errors import UsageError

MOST = 10_000_000
"""More examples than any set has: beyond so many, a plan says `more than`."""

_TAIL = 1e-13
_TIE = 1 + 1e-12  # a p that equals alpha but for rounding is not below it
_LOOK = 40  # sizes beyond the first that must have the power too, where it moves in teeth
_SMOOTH = 16.0  # variance of the number of discordant pairs from which on one more example never takes power away

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def better_power(n: int, *, discordance: float, difference: float, alpha: float) -> float:
    """
    >>> round(better_power(70, discordance=0.25, difference=0.17, alpha=0.05), 3)
    0.802

    Chance of the verdict `better`: the p of the exact McNemar test is below `alpha` and Tango's 95 % interval excludes
    0, both in favour of the new arm. The interval excludes 0 exactly where (fixed - broke)^2 > Z^2 (fixed + broke),
    its score statistic at 0; with an alpha of at most 0.05 this never asks for more than the exact test does.

    Given d discordant pairs, `broke` is binomial with the share (discordance - difference) / (2 discordance), and d is
    binomial itself: the unconditional power of Duffy, Biometrics 1984;40:1005-1015. UsageError for values that no
    pair of arms can have.
    """
    check(n, discordance=discordance, difference=difference, alpha=alpha)
    pairs, chances = _discordant(n, discordance)
    most = _most_broke(n, discordance, alpha)
    share = (discordance - difference) / (2 * discordance)
    reached = most >= 0
    if not reached.any():
        return 0.0
    return float(np.sum(chances[reached] * _at_most(most[reached], pairs[reached], share)))


def equivalence_power(n: int, *, discordance: float, margin: float, alpha: float) -> float:
    """
    >>> round(equivalence_power(1000, discordance=0.25, margin=0.05, alpha=0.05), 3)
    0.767

    Chance of the verdict `equivalent` where the arms do not differ: Tango's 95 % interval lies within the margin on
    either side, both one-sided score tests at the margins have p < `alpha` (which asks for more than the interval only
    where alpha is below 0.025), and the verdict is not, by chance, `better` or `worse`.
    """
    check(n, discordance=discordance, difference=0.0, alpha=alpha)
    pairs, chances = _discordant(n, discordance)
    z = max(Z, NormalDist().inv_cdf(1 - alpha))
    excess = _largest_excess(n, pairs, margin=margin, z=z)
    top = np.floor((pairs + excess) / 2)  # fixed - broke <= excess, whose parity is that of the pairs
    top = np.minimum(top, pairs - _most_broke(n, discordance, alpha) - 1)
    held = (excess >= 0) & (2 * top >= pairs)
    inside = 2 * _at_most(top[held], pairs[held], 0.5) - 1
    return float(np.sum(chances[held] * inside))


@lru_cache(maxsize=4096)
def smallest_difference(n: int, *, discordance: float, alpha: float, power: float) -> float | None:
    """
    >>> round(smallest_difference(70, discordance=0.25, alpha=0.05, power=0.8), 3)
    0.17

    The least true difference that is called `better` with this power; None where even the largest possible one, all
    discordant pairs in favour of one arm, is not.
    """
    most = better_power(n, discordance=discordance, difference=discordance, alpha=alpha)
    if most < power:
        return None
    return _root(
        lambda x: better_power(n, discordance=discordance, difference=x, alpha=alpha) - power, 0.0, discordance
    )


@lru_cache(maxsize=4096)
def smallest_margin(n: int, *, discordance: float, alpha: float, power: float) -> float | None:
    """
    >>> round(smallest_margin(1000, discordance=0.25, alpha=0.05, power=0.8), 3)
    0.051

    The least margin within which two arms that do not differ are shown to be equivalent with this power; None where
    no margin below 1 is.
    """
    if equivalence_power(n, discordance=discordance, margin=0.999, alpha=alpha) < power:
        return None
    low, high = 0.0, 0.999
    while high - low > 1e-5:
        middle = (low + high) / 2
        enough = equivalence_power(n, discordance=discordance, margin=middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


@lru_cache(maxsize=4096)
def examples_needed(discordance: float, difference: float, alpha: float, power: float) -> int | None:
    """
    >>> examples_needed(0.25, 0.05, 0.05, 0.8)
    817

    The fewest examples from which on the difference is called `better` with this power. None: more than MOST. Where
    power moves in teeth (few pairs, or nearly all of them discordant), the next _LOOK sizes have it too.
    """
    check(1, discordance=discordance, difference=difference, alpha=alpha)
    if not difference > 0:
        raise UsageError(f"a difference of {difference:g} cannot be detected; give one above 0, such as 0.05")

    @cache
    def enough(n: int) -> bool:
        return better_power(n, discordance=discordance, difference=difference, alpha=alpha) >= power

    start = _rough(discordance, difference, alpha, power)
    return fewest(enough, start=start, look=0 if start * discordance * (1 - discordance) > _SMOOTH else _LOOK)


@lru_cache(maxsize=4096)
def examples_for_margin(discordance: float, margin: float, alpha: float, power: float) -> int | None:
    """
    >>> examples_for_margin(0.25, 0.05, 0.05, 0.8)
    1059

    The fewest examples from which on two arms that do not differ are shown to be equivalent within the margin with
    this power. None: more than MOST, or a margin of 0.
    """
    if not 0 < margin < 1:
        return None

    @cache
    def enough(n: int) -> bool:
        return equivalence_power(n, discordance=discordance, margin=margin, alpha=alpha) >= power

    normal = NormalDist()
    z = max(Z, normal.inv_cdf(1 - alpha)) + normal.inv_cdf((1 + power) / 2)
    start = int(min(float(MOST), discordance * (z / margin) ** 2)) + 1
    return fewest(enough, start=start, look=math.ceil(1 / margin))  # the limit moves by one pair every 1 / margin


def fewest(enough: Callable[[int], bool], *, start: int, look: int = 0) -> int | None:
    """The least n that is enough, as are the `look` sizes after it; `start`: where to look first. None beyond MOST."""
    high = min(MOST, max(2, start))
    while not enough(high):
        if high >= MOST:
            return None
        high = min(MOST, high + high // 8 + 2)
    low = max(1, high - high // 8 - 2)
    while low > 1 and enough(low):
        high, low = low, max(1, low - low // 8 - 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    first = low if enough(low) else high
    lacking = [n for n in range(first, min(first + look, MOST)) if not enough(n)]
    while lacking:  # a tooth below the power: start behind it
        first = lacking[-1] + 1
        lacking = [n for n in range(first, min(first + look, MOST)) if not enough(n)]
    return first if first <= MOST else None


def check(n: int, *, discordance: float, difference: float, alpha: float) -> None:
    """UsageError names what no two arms can have."""
    if n < 1:
        raise UsageError(f"the number of examples is {n}; give at least 1")
    if n > MOST:
        raise UsageError(f"{n:,} examples are more than any set has; plan for at most {MOST:,}")
    if not 0 < discordance <= 1:
        raise UsageError(
            f"a discordance of {discordance:g} cannot be planned with: it is the share of examples that one of the two "
            "arms alone gets right, above 0 and at most 1, such as 0.25"
        )
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha:g}; give a number between 0 and 1, such as 0.05")
    if not 0 <= difference <= discordance:
        raise UsageError(
            f"a difference of {difference:g} with a discordance of {discordance:g} cannot be: the arms differ by no "
            "more than the share of examples that one of them alone gets right; give a smaller --difference or a "
            "larger --discordance"
        )


def _rough(discordance: float, difference: float, alpha: float, power: float) -> int:
    """A first guess, by the normal approximation of Connor, Biometrics 1987;43:207-211; it decides nothing."""
    normal = NormalDist()
    first = normal.inv_cdf(1 - alpha / 2) * math.sqrt(discordance)
    second = normal.inv_cdf(power) * math.sqrt(max(0.0, discordance - difference**2))
    return int(min(math.sqrt(MOST), (first + second) / difference) ** 2) + 1


@lru_cache(maxsize=64)
def _discordant(n: int, discordance: float) -> tuple[Floats, Floats]:
    """How many pairs may be discordant, and how likely each number is; what is less likely than _TAIL is left out."""
    from scipy.stats import binom

    low, high = int(binom.ppf(_TAIL, n, discordance)), int(binom.isf(_TAIL, n, discordance))
    pairs = np.arange(max(0, low), min(n, high) + 1, dtype=np.float64)
    return pairs, np.asarray(binom.pmf(pairs, n, discordance), dtype=np.float64)


@lru_cache(maxsize=64)
def _most_broke(n: int, discordance: float, alpha: float) -> Ints:
    """For each number of discordant pairs the largest `broke` that is still `better`; -1 where there is none."""
    from scipy.stats import binom

    pairs, _ = _discordant(n, discordance)
    most = np.asarray(binom.ppf(alpha / 2, pairs, 0.5), dtype=np.int64)
    for _ in range(2):  # ppf is the least count that reaches alpha / 2: the largest that stays below is at or under it
        p = 2 * np.where(most >= 0, _at_most(np.maximum(most, 0), pairs, 0.5), 0.0)
        most = np.where((most >= 0) & (p * _TIE >= alpha), most - 1, most)
    by_interval = np.ceil((pairs - Z * np.sqrt(pairs)) / 2) - 1  # (pairs - 2 broke) > Z sqrt(pairs)
    found: Ints = np.maximum(np.minimum(most, by_interval.astype(np.int64)), -1)
    return found


def _at_most(count: Floats | Ints, of: Floats, share: float) -> Floats:
    """Binomial distribution: chance of `count` or fewer among `of`."""
    from scipy.special import betainc

    below = np.maximum(of - count, 1e-300)  # the incomplete beta has no value at 0, where the chance is 1
    return np.where(count >= of, 1.0, betainc(below, count + 1.0, 1 - share))


def _largest_excess(n: int, pairs: Floats, *, margin: float, z: float) -> Floats:
    """For each number of discordant pairs the largest fixed - broke whose upper score limit lies within the margin.

    -1 where not even 0 does. Tango's statistic at the margin falls as the excess grows: halving finds it.
    """
    low, high = np.full_like(pairs, -1.0), np.minimum(pairs, math.floor(n * margin)) + 1.0
    high = np.maximum(high, 0.0)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        inside = _rejects(n, pairs, middle, margin=margin, z=z)
        low, high = np.where(inside, middle, low), np.where(inside, high, np.where(high - low > 1, middle, high))
    return low


def _rejects(n: int, pairs: Floats, excess: Floats, *, margin: float, z: float) -> NDArray[np.bool_]:
    """Whether the score test says that the difference is below the margin (Tango 1998, as in the intervals)."""
    broke = (pairs - excess) / 2
    linear = -pairs + (2 * n - excess) * margin
    constant = -broke * margin * (1 - margin)
    nuisance = (np.sqrt(np.maximum(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * np.maximum(0.0, 2 * nuisance + margin * (1 - margin))
    distance = n * margin - excess
    found: NDArray[np.bool_] = (distance > 0) & (distance * distance >= z * z * variance)
    return found


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-7))
