"""Group sums in, a bootstrap distribution out: its interval, and how far it speaks against a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from ragmed.comparison.statistics.resampling import Floats, fixed_point, resampled_sums

Interval = tuple[float, float]

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


def acceleration(sums: Floats, sizes: Floats) -> float:
    """
    >>> round(acceleration(np.array([0.0, 0.0, 1.0]), np.ones(3)), 4)
    0.068

    Efron's acceleration of sum(sums) / sum(sizes), from leaving out one group at a time: Efron and Tibshirani, An
    Introduction to the Bootstrap (1993), equation 14.15. NaN for a single group, or where leaving out changes nothing.
    """
    return skewness_of((sums.sum() - sums) / (sizes.sum() - sizes)) if len(sums) > 1 else math.nan


def skewness_of(without: Floats) -> float:
    """
    >>> round(skewness_of(np.array([0.5, 0.5, 0.0])), 4)
    0.068

    The acceleration, from what any estimate is without each group in turn.
    """
    away = without.mean() - without
    square = float((away**2).sum())
    return float((away**3).sum()) / (6 * square**1.5) if square > 0 else math.nan


@dataclass(frozen=True)
class Bootstrap:
    """
    >>> Bootstrap.of(sums, sizes, rng=generator(0, "mine"), resamples=10_000).interval  # doctest: +SKIP
    (0.41, 0.58)

    Means over whole groups drawn with replacement. `draws` (resamples), sorted. `groups`: how many there are.
    `accelerated`: see `acceleration`.

    The interval is BCa (Efron, J. Am. Stat. Assoc. 1987;82:171-185) where it is defined, a percentile interval where
    it is not (all resamples on one side of the estimate, no acceleration). Either is expanded for a small number of
    groups (Student's t and n / (n - 1), Hesterberg, The American Statistician 2015;69:371-386, section 5.3), because
    BCa corrects bias and skewness but not that a bootstrap is too narrow for few groups. In 1,000 simulated samples
    plain BCa covered 0.904 for 12 normal scores and 0.869 for 15 lognormal ones, expanded 0.940 and 0.904 (expanded
    percentiles: 0.942 and 0.887, with most misses on one side). Groups of unlike sizes: see `ClusterRobust`.
    """

    draws: Floats
    estimate: float
    groups: int
    accelerated: float

    @staticmethod
    def of(sums: Floats, sizes: Floats, *, rng: np.random.Generator, resamples: int) -> Bootstrap:
        """Of sum(sums) / sum(sizes), `sums` and `sizes` by group. Needs at least two groups."""
        if (sizes == 1).all():
            columns = fixed_point(sums)[:, None]
            draws = resampled_sums(columns, rng=rng, resamples=resamples)[:, 0] / len(sums)
        else:
            columns = np.stack([fixed_point(sums), sizes], axis=1)
            drawn = resampled_sums(columns, rng=rng, resamples=resamples)
            draws = drawn[:, 0] / drawn[:, 1]
        estimate = float(columns[:, 0].sum() / sizes.sum())
        return Bootstrap(np.sort(draws), estimate, len(sums), acceleration(sums, sizes))

    @cached_property
    def bias(self) -> float:
        """z0: where the estimate lies among the draws, as a normal deviate; infinite where all are on one side."""
        return _deviate(self._share_below(self.estimate))

    @cached_property
    def method(self) -> str:
        return "group-bootstrap-bca" if self._bca(self.reach) else "group-bootstrap-percentile"

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval, which always holds the estimate."""
        low, high = self._bca(self.reach) or self.percentile(self.reach)
        return min(low, self.estimate), max(high, self.estimate)

    @property
    def reach(self) -> float:
        """Normal deviate of the expanded interval's ends: 1.96 for many groups, more for few."""
        from scipy.special import stdtrit

        stretched = math.sqrt(self.groups / (self.groups - 1))
        return stretched * float(stdtrit(self.groups - 1, 0.5 + LEVEL / 2))

    def percentile(self, reach: float) -> Interval:
        return self._quantiles(-reach, reach)

    def _bca(self, reach: float) -> Interval | None:
        """None where it is not defined."""
        if not (math.isfinite(self.bias) and math.isfinite(self.accelerated)):
            return None
        ends = []
        for z in (self.bias - reach, self.bias + reach):
            if 1 - self.accelerated * z <= 0:
                return None
            ends.append(self.bias + z / (1 - self.accelerated * z))
        return self._quantiles(*ends)

    def _quantiles(self, low: float, high: float) -> Interval:
        from scipy.special import ndtr

        found = np.quantile(self.draws, [float(ndtr(low)), float(ndtr(high))])
        return float(found[0]), float(found[1])

    def at_most(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true mean is `bound` or less.

        It is under 0.025 where the interval lies above the bound, and so at every other level: the same distribution,
        read the other way. Never less than 1 / (resamples + 1).
        """
        return self._tail(self._evidence(bound))

    def at_least(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true mean is `bound` or more."""
        return self._tail(-self._evidence(bound))

    def _tail(self, deviate: float) -> float:
        from scipy.special import stdtr

        shrunk = deviate * math.sqrt((self.groups - 1) / self.groups)
        floor = 1 / (len(self.draws) + 1)
        return min(1.0, max(floor, float(stdtr(self.groups - 1, shrunk))))

    def _evidence(self, bound: float) -> float:
        """The deviate of the interval's end that would be `bound`: large and negative where it lies far below."""
        floor = 1 / (len(self.draws) + 1)
        where = _deviate(min(max(self._share_below(bound), floor), 1 - floor))
        if self.method == "group-bootstrap-percentile":
            return where
        away = where - self.bias
        return away / max(1 + self.accelerated * away, 1e-9) - self.bias

    def _share_below(self, value: float) -> float:
        below, up_to = (int(np.searchsorted(self.draws, value, side=side)) for side in ("left", "right"))
        return (below + up_to) / 2 / len(self.draws)


def _deviate(share: float) -> float:
    if share <= 0:
        return -math.inf
    return NormalDist().inv_cdf(share) if share < 1 else math.inf
