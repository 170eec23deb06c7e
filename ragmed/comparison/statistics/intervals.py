"""95 % intervals of scores: counts or group sums in, (low, high) out. And what differences are made from as well.

Wilson's or Clopper and Pearson's for a share of independent examples. A bootstrap over single examples or groups of
one size, a cluster-robust t interval over groups of several sizes, and the share's interval again wherever too few
groups differ for either.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ragmed.comparison.statistics.bootstrap import LEVEL, Bootstrap, Interval, Z
from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.resampling import Floats
from ragmed.files import canonical_json, whole_text

MIN_INFORMATIVE = 10
"""Groups that must differ from the most common value before a bootstrap is believed: with fewer, its resamples hold
too few distinct outcomes, and all-equal groups would give an interval of width zero."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its 95 % interval and the name of the method that made it."""

    value: float
    ci: Interval
    interval: str


def generator(seed: int, *names: str) -> np.random.Generator:
    """
    >>> int(generator(0, "bootstrap", "medqa", "accuracy", "general").integers(1000)) >= 0
    True

    A stream of its own for every name, so that one more arm or task never changes another's numbers (only a
    family so large that more must be drawn does).
    """
    digest = hashlib.sha256(whole_text(canonical_json(list(names))).encode("utf-8")).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:16], "big")]))


def wilson(successes: float, n: float) -> Interval:
    """
    >>> [round(x, 4) for x in wilson(60, 60)]
    [0.9398, 1.0]

    Wilson's score interval (J. Am. Stat. Assoc. 1927) of a share. Fractions of successes are allowed: a score between
    0 and 1 varies at most as much as a coin of the same mean, so the interval errs on the wide side for it.
    """
    share, z2 = successes / n, Z * Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(max(0.0, share * (1 - share) / n + z2 / (4 * n * n)))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def clopper_pearson(successes: float, n: float) -> Interval:
    """
    >>> [round(x, 4) for x in clopper_pearson(60, 60)]
    [0.9404, 1.0]

    The exact interval of a share (Biometrika 1934;26:404-413), by quantiles of the beta distribution: it covers at
    least 95 %, and is wider than Wilson's, which covers 95 % on average.
    """
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


PROPORTIONS: dict[str, Callable[[float, float], Interval]] = {"wilson": wilson, "clopper-pearson": clopper_pearson}


def group_sums(values: Floats, groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and size of each group, groups in the order of their names, whatever the order of the examples."""
    names, where = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sums = np.bincount(where, weights=values, minlength=len(names))
    return sums.astype(np.float64), np.bincount(where, minlength=len(names)).astype(np.float64)


def score_interval(
    sums: Floats, sizes: Floats, *, bounds: Interval, rng: np.random.Generator, resamples: int,
    proportion: str = "wilson",
) -> tuple[Interval, str]:  # fmt: skip
    """Interval of sum(sums) / sum(sizes), and the name of the method.

    `bounds`: what a score can be at least and at most. With fewer than MIN_INFORMATIVE groups that differ, the interval
    of a share (`proportion`: a key of PROPORTIONS) with the effective number of groups (Kish) as n.
    """
    if informative(sums / sizes) >= MIN_INFORMATIVE:
        if unlike(sizes):
            robust = ClusterRobust.of(sums, sizes, within=bounds)
            return robust.interval, robust.method
        found = Bootstrap.of(sums, sizes, rng=rng, resamples=resamples)
        return found.interval, found.method
    low, span = bounds[0], bounds[1] - bounds[0]
    mean = float(sums.sum() / sizes.sum())
    n = effective_groups(sizes)
    bottom, top = PROPORTIONS[proportion](min(max((mean - low) / span, 0.0), 1.0) * n, n)
    return (min(mean, low + span * bottom), max(mean, low + span * top)), f"{proportion}-by-group"


def informative(means: Floats) -> int:
    """How many groups differ from the most common value, by more than the rounding of sums."""
    return int(len(means) - np.unique(means.round(12), return_counts=True)[1].max())


def unlike(sizes: Floats) -> bool:
    """Whether groups are of several sizes."""
    return bool((sizes != sizes[0]).any())


def effective_groups(sizes: Floats) -> float:
    """Kish's effective number of groups: their count if all are of one size, less otherwise."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())
