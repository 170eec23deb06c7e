"""Rows of numbers in, their sums over many random resamples or random signs out: honest draws, made quickly.

A resample of n rows is n draws with replacement. Where many rows are alike, how often each kind is drawn is drawn at
once (multinomial). The sum of one column has a distribution that can be computed, the column's own convolved with
itself n times, and is drawn from that. Everything else is drawn row by row. Random signs are read eight by eight.

Sums are of fixed-point numbers where equal ones matter, so that they are exact: the same whatever the order of addition
and the size of the pieces.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEW = 512
"""Fewer rows than this are drawn one by one."""

_ALIKE = 64  # rows for each distinct one from which on kinds are drawn instead of rows
_CELLS = 200_000  # draws held at a time: they stay in the processor's cache
_FEW_COLUMNS = 4  # up to so many are summed one by one
_REACH = 10.0  # standard deviations of a sum on either side that its computed distribution holds
_FINE, _FINEST = 2500.0, 1 << 20  # points of its grid: so many times the root of n, at most


def fixed_point(values: Floats) -> Floats:
    """The values rounded to multiples of a power of two, at most n * max / 2 ** 51, so that sums of n are exact."""
    largest = float(np.abs(values).max(initial=0.0)) * max(1, len(values))
    if largest == 0:
        return values
    unit = 2.0 ** (math.frexp(largest)[1] - 52)
    return np.asarray(np.rint(values / unit) * unit, dtype=np.float64)


def resampled_sums(columns: Floats, *, rng: np.random.Generator, resamples: int) -> Floats:
    """
    >>> resampled_sums(np.ones((5, 1)), rng=np.random.default_rng(0), resamples=2).tolist()
    [[5.0], [5.0]]

    Sums of each column, (resamples, k), over as many rows of `columns` (n, k) as there are, drawn with replacement. Of
    `columns` in fixed point. Memory does not grow with n times resamples.
    """
    columns = np.stack([fixed_point(column) for column in columns.T], axis=1)
    columns = columns[np.lexsort(columns.T)]  # in no order of names: the same rows give the same draws
    kinds, times = _kinds(columns)
    if len(kinds):
        return np.asarray(rng.multinomial(len(columns), times / len(columns), size=resamples) @ kinds)
    if len(columns) < FEW or columns.shape[1] > 1:
        return _one_by_one(columns, rng, resamples)
    return _by_convolution(columns[:, 0], rng, resamples)[:, None]


def _kinds(columns: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The distinct rows and how often each occurs; none where they are too many to be worth it."""
    most = len(columns) // _ALIKE
    for column in columns.T:
        if most < 2 or len(np.unique(column)) > most:
            return columns[:0], np.empty(0, np.int64)
    kinds, times = np.unique(columns, axis=0, return_counts=True)
    return (kinds, times) if len(kinds) <= most else (columns[:0], np.empty(0, np.int64))


def _one_by_one(columns: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    count, sums = len(columns), np.empty((resamples, columns.shape[1]))
    step = max(1, _CELLS // count)
    for start in range(0, resamples, step):
        picks = rng.integers(0, count, size=(min(step, resamples - start), count))
        if columns.shape[1] > _FEW_COLUMNS:  # the same sums, by how often each row is drawn
            picks += count * np.arange(len(picks))[:, None]
            times = np.bincount(picks.ravel(), minlength=picks.size).reshape(picks.shape)
            sums[start : start + step] = times.astype(np.float64) @ columns
            continue
        for place, column in enumerate(columns.T):
            sums[start : start + step, place] = column[picks].sum(axis=1)
    return sums


def _by_convolution(column: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Draws of the sum from its distribution, which is that of one draw to the power n under Fourier's transform.

    On a grid: each value is shared out between its two neighbours so that the mean stays what it is. That makes the
    standard deviation of the sum larger by 5 parts in a million (by 30 for a million rows), against the 7,000 parts
    that 10,000 draws leave uncertain. What lies beyond _REACH comes in again at the other end: of a normal sum 1e-23,
    of the most skewed one (a single value that is not 0) 1e-9.
    """
    n, mean = len(column), float(column.mean())
    size = min(_FINEST, 1 << math.ceil(math.log2(_FINE * math.sqrt(n))))
    step = 2 * _REACH * math.sqrt(n) * float(column.std()) / size
    places = (column - mean) / step
    lower = np.floor(places)
    upper_share, lower = places - lower, lower.astype(np.int64)
    chances = np.bincount(lower % size, 1 - upper_share, size) + np.bincount((lower + 1) % size, upper_share, size)
    of_sum = np.fft.irfft(np.fft.rfft(chances / n) ** n, size)
    up_to = np.cumsum(np.maximum(np.roll(of_sum, size // 2), 0.0))
    drawn = np.searchsorted(up_to, rng.random(resamples) * up_to[-1], side="right") - size // 2
    return np.asarray(n * mean + step * drawn)


def random_sign_sums(rows: Floats, *, rng: np.random.Generator, resamples: int) -> Floats:
    """
    >>> sorted(set(random_sign_sums(np.ones(2), rng=np.random.default_rng(0), resamples=50).tolist()))
    [-2.0, 0.0, 2.0]

    Sums (resamples) of n magnitudes in fixed point, each with a sign that is a fair coin; or (resamples, k) of n rows
    of k. Where many are equal, how many of them are positive is drawn at once (binomial); otherwise one random byte is
    eight signs, whose sum is read from a table of 256.
    """
    columns = np.stack([fixed_point(column) for column in rows.reshape(len(rows), -1).T], axis=1)
    columns = columns[np.lexsort(columns.T)]  # as above
    sums = np.zeros((resamples, columns.shape[1]))
    first = np.flatnonzero(np.append(True, (columns[1:] != columns[:-1]).any(axis=1)))
    if len(first) * _ALIKE <= len(columns):
        for kind, count in zip(columns[first], np.diff(first, append=len(columns)).tolist(), strict=True):
            sums += (2.0 * rng.binomial(count, 0.5, size=resamples) - count)[:, None] * kind
        return sums.reshape(resamples, *rows.shape[1:])
    signs = 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1) - 1
    blocks = np.zeros((-(-len(columns) // 8), 8, columns.shape[1]))
    blocks.reshape(-1, columns.shape[1])[: len(columns)] = columns
    part = np.empty_like(sums)
    for block in blocks:
        octets = rng.bit_generator.random_raw(-(-resamples // 8)).view(np.uint8)[:resamples]
        np.take(signs @ block, octets, axis=0, out=part, mode="clip")
        sums += part
    return sums.reshape(resamples, *rows.shape[1:])
