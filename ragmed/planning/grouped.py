"""Sizes of groups and a true difference in, how often the comparison says so out: by simulation, with its own methods.

Examples of one group are alike, so the comparison flips signs by group, and power has no closed form. Simulated: with
the chance `icc` a group answers as one, each example with what the first one has; otherwise its examples are
independent. Two differences within a group then have the correlation `icc`. Graded differences are normal, with a part
of the variance, `icc`, that the group shares. Each of EXPERIMENTS experiments (FEWER with MANY groups) runs through the
comparison's test and interval:

test       sign flips of the group sums; all of them up to EXACT_GROUPS groups, FLIPS drawn ones beyond (the same signs
           for all experiments), and the normal distribution that these have with more than MANY groups
interval   Tango's by group where fewer than MIN_INFORMATIVE groups differ, the cluster-robust t of `ClusterRobust`
           where sizes differ, else the expanded BCa interval, by the Edgeworth expansion of its bootstrap
           distribution (the skewness that BCa corrects and no more), which needs no resamples

The error of a simulated power of 0.8 is 0.9 points (one standard deviation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.statistics.bootstrap import LEVEL
from ragmed.comparison.statistics.intervals import MIN_INFORMATIVE, generator
from ragmed.comparison.statistics.resampling import Floats
from ragmed.comparison.statistics.significance import EXACT_GROUPS

EXPERIMENTS = 2000
FEWER = 500
FLIPS, MOST_FLIPS = 8000, 40_000
MANY = 400
_FINE = 100  # a detectable difference is found to so small a part of the largest possible one
_BAND = 6.0  # a normal p so many times above or below alpha needs no flips
_CELLS = 2_000_000  # numbers held at a time
_LARGEST = 2000  # groups that are simulated to find a number of examples: with more, the design effect is exact enough

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Design:
    """
    >>> Design((3,) * 40, 0.25, 0.2).groups
    40

    `sizes`: examples in each group. `spread`: discordance of right and wrong answers, or (`binary` False) the standard
    deviation of graded differences. `icc`: correlation within a group.
    """

    sizes: tuple[int, ...]
    spread: float
    icc: float
    binary: bool = True

    @property
    def groups(self) -> int:
        return len(self.sizes)

    @property
    def n(self) -> int:
        return sum(self.sizes)

    def least_p(self) -> float:
        """The least p that sign flips of so many groups can give."""
        return 2.0 ** (1 - self.groups) if self.groups <= EXACT_GROUPS else 0.0


def resized(sizes: tuple[int, ...], n: int) -> tuple[int, ...]:
    """
    >>> resized((2, 3), 9)
    (2, 3, 2, 2)

    Groups like these with n examples in all: the same ones again and again, the last one cut to fit.
    """
    found: list[int] = []
    whole, left = divmod(n, sum(sizes))
    found += list(sizes) * whole
    for size in sizes:
        if left <= 0:
            break
        found.append(min(size, left))
        left -= size
    return tuple(found)


def better_power_grouped(design: Design, *, difference: float, alpha: float) -> float:
    """
    >>> 0.75 < better_power_grouped(Design((3,) * 40, 0.3, 0.2), difference=0.18, alpha=0.05) < 0.95
    True

    Chance of the verdict `better`: p of the sign flips below `alpha`, and the 95 % interval above 0.
    """
    if design.least_p() >= alpha:
        return 0.0
    sums = _drawn(design, difference)
    p = _flipped(sums, design, alpha)
    return float(np.mean((p < alpha) & (_ends(sums, design, (1 - LEVEL) / 2)[0] > 0) & (sums.sum(axis=1) > 0)))


@lru_cache(maxsize=4096)
def smallest_difference_grouped(
    design: Design, *, alpha: float, power: float, start: float | None = None
) -> float | None:
    """The least true difference that is called `better` with this power; None where even the largest one is not.

    `start`: where to look first.
    """
    most = design.spread if design.binary else 20 * design.spread
    if better_power_grouped(design, difference=most, alpha=alpha) < power:
        return None
    low, high = 0.0, most
    first = (start or 4 * design.spread / math.sqrt(design.groups)) / 1.1
    while first < high:
        if better_power_grouped(design, difference=first, alpha=alpha) >= power:
            high = first
            break
        low, first = first, first * 1.25
    while high - low > most / _FINE:
        middle = (low + high) / 2
        enough = better_power_grouped(design, difference=middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


@lru_cache(maxsize=4096)
def smallest_margin_grouped(design: Design, *, alpha: float, power: float) -> float | None:
    """The least margin within which two arms that do not differ are shown to be equivalent; None: none below 1."""
    sums = _drawn(design, 0.0)
    low, high = _ends(sums, design, min(alpha, (1 - LEVEL) / 2))
    inner = _ends(sums, design, (1 - LEVEL) / 2)
    called = (_flipped(sums, design, alpha) < alpha) & ((inner[0] > 0) | (inner[1] < 0))
    reach = np.sort(np.where(called, math.inf, np.maximum(-low, high)))
    found = float(reach[min(len(reach) - 1, math.ceil(power * len(reach)) - 1)])
    return found if found < 1 else None


@lru_cache(maxsize=4096)
def examples_needed_grouped(design: Design, *, difference: float, alpha: float, power: float, start: int) -> int:
    """
    >>> examples_needed_grouped(design, difference=0.1, alpha=0.05, power=0.8, start=325)  # doctest: +SKIP
    344

    How many examples, in groups like these, the difference needs, within 3 %. `start`: what the design effect says.
    """
    return _searched(design, start, lambda one: better_power_grouped(one, difference=difference, alpha=alpha) >= power)


@lru_cache(maxsize=4096)
def examples_for_margin_grouped(design: Design, *, margin: float, alpha: float, power: float, start: int) -> int:
    """How many examples, in groups like these, show two equal arms to be equivalent within the margin, within 3 %."""

    def enough(one: Design) -> bool:
        found = smallest_margin_grouped(one, alpha=alpha, power=power)
        return found is not None and found <= margin

    return _searched(design, start, enough)


def _searched(design: Design, start: int, enough: Callable[[Design], bool]) -> int:
    def of(n: float) -> Design:
        return Design(resized(design.sizes, max(1, round(n))), design.spread, design.icc, design.binary)

    high = float(start)
    if of(high).groups > _LARGEST:
        return start
    while not enough(of(high)) and of(high).groups <= _LARGEST:
        high *= 1.25
    low = high / 1.25
    while low > 2 and enough(of(low)):
        high, low = low, low / 1.25
    while high / low > 1.03:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(of(middle)) else (middle, high)
    return math.ceil(high)


def _drawn(design: Design, difference: float) -> Floats:
    """Group sums of each experiment (experiments, groups), from one stream whatever the difference."""
    rng = generator(0, "plan", str(design.groups), str(design.n))
    sizes = np.array(design.sizes)
    shape = (EXPERIMENTS if len(sizes) <= MANY else FEWER, len(sizes))
    if not design.binary:
        own = rng.standard_normal(shape) * np.sqrt((1 - design.icc) * sizes)
        common = rng.standard_normal(shape) * sizes * math.sqrt(design.icc)
        return np.asarray(sizes * difference + design.spread * (own + common))
    up = (design.spread + difference) / 2
    moved = rng.binomial(sizes, design.spread, size=shape)
    sums = 2.0 * rng.binomial(moved, min(1.0, up / design.spread)) - moved
    if design.icc > 0 and (sizes > 1).any():
        one = rng.random(shape)
        whole = sizes * np.where(one < up, 1.0, np.where(one < design.spread, -1.0, 0.0))
        sums = np.where(rng.random(shape) < design.icc, whole, sums)
    return np.asarray(sums, np.float64)


def _flipped(sums: Floats, design: Design, alpha: float) -> Floats:
    """p of the sign flips of each experiment."""
    from scipy.special import ndtr

    count, observed = design.groups, np.abs(sums.sum(axis=1))
    step = 1.0 if design.binary else 0.0  # sums of right and wrong answers move by 2
    square = np.maximum((sums**2).sum(axis=1), 1e-300)
    p = np.asarray(np.minimum(1.0, 2 * ndtr(-np.maximum(observed - step, 0.0) / np.sqrt(square))), np.float64)
    if count > MANY:
        return p
    smooth = square**2 >= MIN_INFORMATIVE * (sums**4).sum(axis=1)  # so many groups weigh in that the normal is near
    near = ~smooth | ((p > alpha / _BAND) & (p < alpha * _BAND)) | (count <= EXACT_GROUPS)
    p[near] = _by_signs(sums[near], observed[near], alpha)
    return p


def _by_signs(sums: Floats, observed: Floats, alpha: float) -> Floats:
    count = sums.shape[1]
    exact = count <= EXACT_GROUPS
    if exact:
        signs = 2.0 * ((np.arange(2**count)[None, :] >> np.arange(count)[:, None]) & 1) - 1
    else:
        flips = min(MOST_FLIPS, max(FLIPS, math.ceil(20 / alpha)))
        signs = 2.0 * generator(0, "plan-signs", str(count)).integers(0, 2, size=(count, flips)) - 1
    signs = signs.astype(np.float32)
    slack = 1e-5 * np.abs(sums).sum(axis=1)
    found = np.empty(len(sums))
    step_ = max(1, _CELLS // signs.shape[1])
    for start in range(0, len(sums), step_):
        rows = slice(start, start + step_)
        turned = np.abs(sums[rows].astype(np.float32) @ signs)
        found[rows] = np.count_nonzero(turned >= (observed[rows] - slack[rows])[:, None], axis=1)
    one = 0.0 if exact else 1.0
    return np.asarray((found + one) / (signs.shape[1] + one), np.float64)


def _ends(sums: Floats, design: Design, tail: float) -> tuple[Floats, Floats]:
    """Both ends of the interval that leaves out `tail` on either side, for each experiment."""
    sizes = np.array(design.sizes, np.float64)
    estimate = sums.sum(axis=1) / sizes.sum()
    few = _few_differ(sums / sizes)
    if few.all():
        low, high = estimate.copy(), estimate.copy()
    elif (sizes != sizes[0]).any():
        low, high = _robust(sums, sizes, estimate, tail)
    else:
        low, high = _bca(sums / sizes[0], estimate, tail)
    if few.any():
        total = sizes.sum()
        n = total**2 / float((sizes**2).sum())
        parts = sums[few] / total
        up, down = np.maximum(parts, 0).sum(axis=1) * n, np.maximum(-parts, 0).sum(axis=1) * n
        z = NormalDist().inv_cdf(1 - tail)
        low[few] = np.minimum(estimate[few], -_tango_upper(down, up, n, z))
        high[few] = np.maximum(estimate[few], _tango_upper(up, down, n, z))
    return low, high


def _few_differ(means: Floats) -> Bools:
    """Whether fewer than MIN_INFORMATIVE groups differ from the most common value: one value fills all but so many."""
    alike = means.shape[1] - MIN_INFORMATIVE + 1
    if alike <= 1:
        return np.ones(len(means), bool)
    ordered = np.sort(means, axis=1)
    return np.asarray((ordered[:, alike - 1 :] == ordered[:, : means.shape[1] - alike + 1]).any(axis=1))


def _robust(sums: Floats, sizes: Floats, estimate: Floats, tail: float) -> tuple[Floats, Floats]:
    """As `ClusterRobust`."""
    from scipy.special import stdtrit

    shares, count = sizes / sizes.sum(), len(sizes)
    pulls = (sums / sizes.sum() - estimate[:, None] * shares) / (1 - shares)
    error = np.sqrt((pulls**2).sum(axis=1) * (count - 1) / count)
    reach = float(stdtrit(max(1.0, 1 / float((shares**2).sum()) - 1), 1 - tail)) * error
    return estimate - reach, estimate + reach


def _bca(means: Floats, estimate: Floats, tail: float) -> tuple[Floats, Floats]:
    """Of a mean, bias and acceleration are one: a sixth of the skewness of its bootstrap distribution."""
    from scipy.special import stdtrit

    count = means.shape[1]
    away = means - estimate[:, None]
    square = np.maximum((away**2).sum(axis=1), 1e-100)
    skew = (away**3).sum(axis=1) / (6 * square**1.5)
    reach = math.sqrt(count / (count - 1)) * float(stdtrit(count - 1, 1 - tail))
    ends = []
    for z in (skew - reach, skew + reach):
        at = skew + z / np.maximum(1 - skew * z, 0.1)
        ends.append(estimate + np.sqrt(square) / count * (at + skew * (at**2 - 1)))
    return ends[0], ends[1]


def _tango_upper(up: Floats, down: Floats, n: float, z: float) -> Floats:
    """As `tango`, for many pairs of counts."""
    low = np.minimum((up - down) / n + 1e-9, 1.0)
    high = np.ones(len(up))
    for _ in range(40):
        delta = (low + high) / 2
        linear = -up - down + (2 * n - up + down) * delta
        constant = -down * delta * (1 - delta)
        nuisance = (np.sqrt(np.maximum(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
        variance = n * np.maximum(0.0, 2 * nuisance + delta * (1 - delta))
        outside = (up - down - n * delta) ** 2 >= z * z * variance
        low, high = np.where(outside, low, delta), np.where(outside, delta, high)
    return high
