"""Paired differences in, their interval out, and how far they speak against any bound: for equivalence within a margin.

Tango's score method for pairs of right and wrong answers. A bootstrap over single examples or groups of one size, a
cluster-robust t over groups of several sizes, and the score method again wherever too few groups differ. Interval and
one-sided tests are one method read in two ways, so that they never contradict each other.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ragmed.comparison.statistics.bootstrap import Bootstrap, Interval, Z
from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.intervals import MIN_INFORMATIVE, effective_groups, informative, unlike
from ragmed.comparison.statistics.resampling import Floats
from ragmed.comparison.statistics.root_finding import root


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of arms with its 95 % interval and the name of its method; the test of whether it is 0 and its p;
    p of `equivalence` within a margin and of `noninferiority`. `attainable`: the least p that the test could have
    given, had all that differ gone one way. `mid_p`: of McNemar's test, whichever form is tested by."""

    difference: float
    ci: Interval
    interval: str
    test: str
    p: float
    equivalence: float
    noninferiority: float
    attainable: float | None = None
    mid_p: float | None = None


class Evidence(Protocol):
    """What is known of a true difference."""

    @property
    def interval(self) -> Interval: ...
    @property
    def method(self) -> str: ...
    def at_most(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true difference is `bound` or less."""

    def at_least(self, bound: float) -> float:
        """One-sided p of the hypothesis that it is `bound` or more."""


def tango(fixed: float, broke: float, n: float) -> Interval:
    """
    >>> [round(x, 4) for x in tango(0, 0, 60)]
    [-0.0602, 0.0602]

    Score interval of the paired difference (fixed - broke) / n: Tango, Statistics in Medicine 1998;17:891-908. The
    difference that is just not rejected, found as a root. Finite and of positive width without any discordant pair.
    """
    return -_tango_upper(broke, fixed, n), _tango_upper(fixed, broke, n)


def tango_z(fixed: float, broke: float, n: float, difference: float) -> float:
    """
    >>> round(tango_z(0, 1, 44, -0.1), 3)
    1.709

    Tango's score statistic (equation 6 of the same paper) of the hypothesis that the true difference is `difference`,
    between -1 and 1: positive where (fixed - broke) / n is more. 0 where there is nothing to tell by.
    """
    variance = _variance(fixed, broke, n, difference)
    return (fixed - broke - n * difference) / math.sqrt(variance) if variance > 0 else 0.0


def _variance(up: float, down: float, n: float, delta: float) -> float:
    """Of up - down where the true difference is `delta`: with the chance of `down` that fits best."""
    linear = -up - down + (2 * n - up + down) * delta
    constant = -down * delta * (1 - delta)
    nuisance = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    return n * max(0.0, 2 * nuisance + delta * (1 - delta))


def _tango_upper(up: float, down: float, n: float) -> float:
    start = (up - down) / n + 1e-9  # without discordant pairs the estimate is a root too: step off it
    if start >= 1:
        return 1.0

    def excess(delta: float) -> float:
        return (up - down - n * delta) ** 2 - Z * Z * _variance(up, down, n, delta)

    return root(excess, start, 1.0)


@dataclass(frozen=True, slots=True)
class ScoreEvidence:
    """Tango's method for `up` and `down` pairs of `n`, each worth `span`; `estimate` is the difference as observed."""

    up: float
    down: float
    n: float
    span: float = 1.0
    estimate: float = 0.0
    method: str = "tango"

    @property
    def interval(self) -> Interval:
        low, high = tango(self.up, self.down, self.n)
        return min(self.estimate, self.span * low), max(self.estimate, self.span * high)

    def at_most(self, bound: float) -> float:
        return self._tail(-1, bound)

    def at_least(self, bound: float) -> float:
        return self._tail(1, bound)

    def _tail(self, sign: int, bound: float) -> float:
        from scipy.special import ndtr

        limit = min(max(bound / self.span, -1.0), 1.0)
        found = float(ndtr(sign * tango_z(self.up, self.down, self.n, limit)))
        return max(found, sys.float_info.min)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The evidence of the opposite difference."""

    other: Evidence

    @property
    def interval(self) -> Interval:
        low, high = self.other.interval
        return -high, -low

    @property
    def method(self) -> str:
        return self.other.method

    def at_most(self, bound: float) -> float:
        return self.other.at_least(-bound)

    def at_least(self, bound: float) -> float:
        return self.other.at_most(-bound)


def difference_evidence(
    sums: Floats, sizes: Floats, *, span: float, rng: np.random.Generator, resamples: int
) -> Evidence:
    """
    >>> difference_evidence(sums, sizes, span=1, rng=generator(0), resamples=10_000).interval  # doctest: +SKIP
    (-0.02, 0.07)

    Of the mean paired difference. `sums`: differences summed by group. `span`: the largest possible difference of two
    scores. With fewer than MIN_INFORMATIVE groups that differ, Tango's method with the positive and negative parts as
    discordant pairs: wide enough, as |d| >= d * d up to the span.
    """
    if informative(sums / sizes) >= MIN_INFORMATIVE:
        if unlike(sizes):
            return ClusterRobust.of(sums, sizes, within=(-span, span))
        return Bootstrap.of(sums, sizes, rng=rng, resamples=resamples)
    total, n = float(sums.sum() / sizes.sum()), effective_groups(sizes)
    parts = sums / sizes.sum() / span
    up, down = float(parts[parts > 0].sum()), float(-parts[parts < 0].sum())
    return ScoreEvidence(up * n, down * n, n, span, total, "tango-by-group")


def equivalence(evidence: Evidence, margin: float) -> dict[str, float]:
    """
    >>> {name: round(p, 5) for name, p in equivalence(ScoreEvidence(0, 0, 200), 0.05).items()}
    {'equivalence': 0.00059, 'noninferiority': 0.00059}

    p-values of two one-sided tests: that the true difference lies within the margin on either side of 0 (the larger of
    the two: Schuirmann, J. Pharmacokinet. Biopharm. 1987;15:657-680), and that it is not below by the margin or more.
    """
    above = evidence.at_most(-margin)
    return {"equivalence": max(above, evidence.at_least(margin)), "noninferiority": above}
