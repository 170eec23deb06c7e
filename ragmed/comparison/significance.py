"""Tests of no difference between two arms on the same examples: counts or differences in, a two-sided p out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

EXACT_GROUPS = 12
"""Up to 2 ** 12 sign assignments are enumerated; beyond that they are drawn."""

_CELLS = 2_000_000


def mcnemar_exact(fixed: int, broke: int) -> float:
    """
    >>> round(mcnemar_exact(25, 3), 7)
    2.74e-05

    Exact McNemar test: under no difference each discordant pair is a fair coin. Two-sided binomial, 1 without any
    discordant pair. Valid when no two examples share a group. McNemar, Psychometrika 1947;12:153-157.
    """
    total = fixed + broke
    term = below = 1  # integers, so that the only rounding is the one division
    for k in range(min(fixed, broke)):
        term = term * (total - k) // (k + 1)
        below += term
    return min(1.0, float(2 * below / 2**total))


def sign_flip(differences: NDArray[np.float64], *, rng: np.random.Generator, resamples: int) -> float:
    """
    >>> sign_flip(np.array([1.0, 1.0, 1.0, 1.0]), rng=np.random.default_rng(0), resamples=100)
    0.125

    Permutation test by group: under no difference the two arms of a whole group may be swapped, which turns the sign
    of its summed difference. Enumerated up to EXACT_GROUPS groups that differ; otherwise drawn, and counted with the
    observed one added above and below (Phipson and Smyth 2010), so p is never 0. The statistic is |sum|.
    """
    moving = np.abs(differences[differences != 0])
    observed = abs(float(differences.sum()))
    threshold = observed - 1e-9 * float(moving.sum())  # equal sums in another order of addition count as equal
    if len(moving) <= EXACT_GROUPS:
        bits = (np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))) & 1
        return float(np.mean(np.abs((2 * bits - 1) @ moving) >= threshold))
    hits, step = 0, max(1, _CELLS // len(moving))
    for start in range(0, resamples, step):
        shape = (min(step, resamples - start), len(moving))
        signs = 2.0 * rng.integers(0, 2, size=shape, dtype=np.int8) - 1.0
        hits += int(np.count_nonzero(np.abs(signs @ moving) >= threshold))
    return (hits + 1) / (resamples + 1)


def holm(p_values: list[float]) -> list[float]:
    """
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Holm's step-down adjustment, in the order given: Scandinavian Journal of Statistics 1979;6:65-70. Never below the
    raw value, never above 1, and in the same order as the raw values.
    """
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if math.isnan(p_values[place]):
            raise ValueError("a p-value is NaN")
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = reached
    return adjusted
