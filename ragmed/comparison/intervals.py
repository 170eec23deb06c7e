"""95 % intervals: counts or group sums in, (low, high) out.

Three methods. Wilson for a share of independent examples. Tango's score interval for a paired difference of shares.
A bootstrap over groups for everything else, with the score intervals again wherever a bootstrap knows too little.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ragmed.files import canonical_json

Interval = tuple[float, float]
Floats = NDArray[np.float64]

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
MIN_INFORMATIVE = 10
"""Groups that must differ from the most common value before a bootstrap is believed: with fewer, its resamples hold
too few distinct outcomes, and all-equal groups would give an interval of width zero."""

_CELLS = 2_000_000  # numbers drawn at a time: bounds the memory of a bootstrap to tens of megabytes


def generator(seed: int, *names: str) -> np.random.Generator:
    """
    >>> int(generator(0, "bootstrap", "medqa", "accuracy", "general").integers(1000)) >= 0
    True

    A stream of its own for every name, so that one more arm or task never changes another's numbers.
    """
    digest = hashlib.sha256(canonical_json(list(names)).encode("utf-8")).digest()
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


def tango(fixed: float, broke: float, n: float) -> Interval:
    """
    >>> [round(x, 4) for x in tango(0, 0, 60)]
    [-0.0602, 0.0602]

    Score interval of the paired difference (fixed - broke) / n: Tango, Statistics in Medicine 1998;17:891-908. The
    difference that is just not rejected, found as a root. Finite and of positive width without any discordant pair.
    """
    return -_tango_upper(broke, fixed, n), _tango_upper(fixed, broke, n)


def _tango_upper(up: float, down: float, n: float) -> float:
    from scipy.optimize import brentq

    estimate = (up - down) / n
    start = estimate + 1e-9  # without discordant pairs the estimate is a root too: step off it
    if start >= 1:
        return 1.0

    def excess(delta: float) -> float:
        linear = -up - down + (2 * n - up + down) * delta
        constant = -down * delta * (1 - delta)
        nuisance = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
        variance = n * max(0.0, 2 * nuisance + delta * (1 - delta))
        return float((up - down - n * delta) ** 2 - Z * Z * variance)

    return float(brentq(excess, start, 1.0, xtol=1e-12))


def group_sums(values: Floats, groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and size of each group, groups in the order of their names, whatever the order of the examples."""
    names, where = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sums = np.bincount(where, weights=values, minlength=len(names))
    return sums.astype(np.float64), np.bincount(where, minlength=len(names)).astype(np.float64)


def score_interval(
    sums: Floats, sizes: Floats, *, bounds: Interval, rng: np.random.Generator, resamples: int
) -> tuple[Interval, str]:
    """Interval of sum(sums) / sum(sizes), and the name of the method.

    `bounds`: what a score can be at least and at most. With fewer than MIN_INFORMATIVE groups that differ, Wilson's
    interval with the effective number of groups (Kish) as n.
    """
    if informative(sums / sizes) >= MIN_INFORMATIVE:
        return bootstrap(sums, sizes, rng=rng, resamples=resamples), "group-bootstrap"
    low, span = bounds[0], bounds[1] - bounds[0]
    mean = float(sums.sum() / sizes.sum())
    n = effective_groups(sizes)
    bottom, top = wilson(min(max((mean - low) / span, 0.0), 1.0) * n, n)
    return (min(mean, low + span * bottom), max(mean, low + span * top)), "wilson-by-group"


def difference_interval(
    sums: Floats, sizes: Floats, *, span: float, rng: np.random.Generator, resamples: int
) -> tuple[Interval, str]:
    """Interval of the mean paired difference, and the name of the method. `sums`: differences summed by group.

    `span`: the largest possible difference of two scores. With fewer than MIN_INFORMATIVE groups that differ, Tango's
    interval with the positive and negative parts as discordant pairs: wide enough, as |d| >= d * d up to the span.
    """
    if informative(sums / sizes) >= MIN_INFORMATIVE:
        return bootstrap(sums, sizes, rng=rng, resamples=resamples), "group-bootstrap"
    total, n = float(sums.sum() / sizes.sum()), effective_groups(sizes)
    parts = sums / sizes.sum() / span
    up, down = float(parts[parts > 0].sum()), float(-parts[parts < 0].sum())
    low, high = tango(up * n, down * n, n)
    return (min(total, span * low), max(total, span * high)), "tango-by-group"


def informative(means: Floats) -> int:
    """How many groups differ from the most common value."""
    return int(len(means) - np.unique(means, return_counts=True)[1].max())


def effective_groups(sizes: Floats) -> float:
    """Kish's effective number of groups: their count if all are of one size, less otherwise."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def bootstrap(sums: Floats, sizes: Floats, *, rng: np.random.Generator, resamples: int) -> Interval:
    """
    >>> bootstrap(sums, sizes, rng=generator(0, "mine"), resamples=10_000)  # doctest: +SKIP
    (0.41, 0.58)

    Expanded percentile interval of sum(sums) / sum(sizes), whole groups resampled with replacement: Hesterberg, The
    American Statistician 2015;69:371-386, section 5.3. Percentiles stay inside the scores' range and follow their skew;
    the expansion (Student's t and n / (n - 1)) undoes that they are too narrow for a small number of groups, which
    BCa does not.
    """
    from scipy.special import stdtrit

    count = len(sums)
    means = np.empty(resamples)
    step = max(1, _CELLS // count)
    for start in range(0, resamples, step):
        picks = rng.integers(0, count, size=(min(step, resamples - start), count))
        means[start : start + step] = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    reach = math.sqrt(count / (count - 1)) * float(stdtrit(count - 1, 0.5 + LEVEL / 2))
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(means, [tail, 1 - tail])
    estimate = float(sums.sum() / sizes.sum())
    return min(float(low), estimate), max(float(high), estimate)
