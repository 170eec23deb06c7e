"""Counts of examples in, a metric of their sums with its interval, and tested differences of arms, out.

A corpus-level metric, such as micro-F1 or macro-F1, has no score of a single example: it is a function of counts that
are summed over all of them. So what is resampled, left out or swapped between arms are the counts of whole groups, and
the metric is computed from the sums anew. Rules, methods and rows are those of means: see `paired`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.statistics.bootstrap import Bootstrap, Interval, skewness_of
from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.differences import Difference, Evidence, Mirrored, ScoreEvidence, equivalence
from ragmed.comparison.statistics.intervals import (
    MIN_INFORMATIVE,
    PROPORTIONS,
    Estimate,
    effective_groups,
    generator,
    informative,
    unlike,
)
from ragmed.comparison.statistics.resampling import Floats, random_sign_sums, resampled_sums
from ragmed.comparison.statistics.significance import ENOUGH, EXACT_GROUPS, MOST_DRAWS, MOST_FLIPS, draws_for

Total = Callable[[Floats], Floats]
"""Summed counts [..., m] in, the metric [...] out: any number of sums at once, a number also for 0 / 0."""

EVEN = 2 / 3
"""The effective number of groups (Kish) must be so large a share of their number for BCa. Simulated, 600 samples each
of 20, 60 and 200 documents: where documents have 1 + Poisson(4) codes (the share is 0.84) BCa covered 0.932 to 0.957;
with negative binomial numbers of mean 5 (0.56) 0.927 to 0.943 and the jackknife's t 0.937 to 0.955; with Pareto numbers
of 1 to 60 (0.35) 0.857 to 0.935 and 0.917 to 0.958."""

_NUMBERS = 2_000_000  # held at a time, whatever is asked for
_NONE = 1e-6  # as many groups as good as none: an interval from end to end


def ratio_score(
    counts: Floats, total: Total, *, groups: Sequence[str], names: Sequence[str], seed: int = 0,
    resamples: int = 10_000, proportions: str = "wilson", bounds: Interval = (0.0, 1.0), weights: Floats | None = None,
) -> Estimate:  # fmt: skip
    """
    >>> from ragmed.metrics.f1 import micro_f1
    >>> counts = np.array([[2, 0, 1], [1, 1, 0], [3, 0, 0]] * 20)
    >>> f1 = ratio_score(counts, micro_f1, groups=[str(i) for i in range(60)], names=["cases", "micro_f1", "general"])
    >>> round(f1.value, 3), [round(end, 2) for end in f1.ci], f1.interval
    (0.857, [0.82, 0.89], 'group-bootstrap-bca')

    The metric of the sums of `counts` [n, m], which are at least 0, its 95 % interval and the name of its method.
    `groups`: n labels; examples of one group are resampled together. `names`: task, metric and arm, whose stream of
    random numbers is theirs alone. `bounds`: what the metric can be at least and at most. `weights` [n]: what each
    example weighs in the metric, where it is not the sum of its counts (`class_weights` for a macro average).

    BCa from resampled groups; the jackknife with Student's t where groups differ in their number of examples or, by
    weight, more than EVEN allows; the interval of a share (`proportions`) with the effective number of groups by weight
    where fewer than MIN_INFORMATIVE groups have another value of the metric than the most common one. Groups whose
    counts say nothing of the metric (nothing predicted, for precision) are not among these. Raises ValueError where
    the metric is not a number, or shapes do not fit.
    """
    rows, sizes, weight = _grouped(_checked(counts), groups, weights)
    value = _of(total, rows.sum(axis=0))
    says = _says_something(rows, total)
    weight = weight * says
    if says.any() and informative(_of(total, rows)[says].round(12)) >= MIN_INFORMATIVE:
        rng = generator(seed, "score", *names)
        evidence = _resampled(rows, total, sizes=sizes, weight=weight, within=bounds, rng=rng, resamples=resamples)
        return Estimate(float(value), evidence.interval, evidence.method)
    low, span, n = bounds[0], bounds[1] - bounds[0], _effective(weight)
    share = min(max((float(value) - low) / span, 0.0), 1.0)
    bottom, top = PROPORTIONS[proportions](share * n, n)
    ends = min(float(value), low + span * bottom), max(float(value), low + span * top)
    return Estimate(float(value), ends, f"{proportions}-by-group")


def ratio_difference(
    counts: Mapping[str, Floats], total: Total, *, sides: tuple[Sequence[str], Sequence[str]], groups: Sequence[str],
    names: Sequence[str], over: int = 1, margin: float = 0.05, alpha: float = 0.05, family: int = 1,
    seed: int = 0, resamples: int = 10_000, bounds: Interval = (0.0, 1.0), weights: Floats | None = None,
) -> Difference:  # fmt: skip
    """
    >>> from ragmed.metrics.f1 import micro_f1
    >>> counts = {"general": np.array([[2, 0, 1], [1, 1, 1]] * 40), "rag": np.array([[3, 1, 0], [2, 0, 0]] * 40)}
    >>> f1 = ratio_difference(counts, micro_f1, sides=(["general"], ["rag"]), groups=[str(i) for i in range(80)],
    ...     names=["cases", "micro_f1"])
    >>> round(f1.difference, 3), f1.test, round(f1.p, 4), f1.interval
    (0.242, 'sign-flip-permutation', 0.0001, 'group-bootstrap-bca')

    The metric of the arms of `sides[1]` minus that of `sides[0]`, from `counts` of every arm on the same examples, arm
    -> [n, m]; its interval, p, and p of equivalence and non-inferiority within `margin`. As
    `difference_of`, which see for `over`, for sides of several arms and for `family` (with `alpha`); here the first arm
    of one side is the pair of the first of the other. Other arguments as in `ratio_score`; `names`: task and metric.
    Turning the sides round turns the sign and nothing else.

    p: a permutation test. Under no difference the counts of a whole group may be swapped between the arms of a pair;
    the statistic is how far apart the metrics are, computed anew for every swap. All swaps of up to EXACT_GROUPS groups
    that differ, otherwise drawn ones with the observed one counted above and below (Phipson and Smyth, Stat. Appl.
    Genet. Mol. Biol. 2010;9:39). Swapping counts to compare F1: Yeh, COLING 2000, 947-953 (approximate randomisation).
    Interval and one-sided tests: one method read in two ways, so that they never contradict each other.
    """
    turned = sorted(sides[0]) != min(map(sorted, sides))
    minus, plus = sides[::-1] if turned else sides
    if len(minus) != len(plus) or len({counts[arm].shape for arm in (*minus, *plus)}) != 1:
        raise ValueError("both sides need as many arms, and all arms counts of the same examples")
    arms = np.concatenate([_checked(counts[arm]) for arm in (*minus, *plus)], axis=1)
    rows, sizes, weight = _grouped(arms, groups, weights)
    weight = weight * _says_something(rows.reshape(len(rows), 2 * len(minus), -1).sum(axis=1), total)
    signs = np.repeat([-1.0, 1.0], len(minus)) / over

    def difference(sums: Floats) -> Floats:
        return np.asarray(_of(total, sums.reshape(*sums.shape[:-1], len(signs), -1)) @ signs)

    named = (*names, *sorted(minus), *sorted(plus))
    span = (bounds[1] - bounds[0]) * len(minus) / over
    for draws in dict.fromkeys((resamples, draws_for(family, alpha, resamples=resamples, most=MOST_DRAWS))):
        rng = generator(seed, "interval", *named)
        evidence: Evidence = _difference_evidence(
            rows, difference, sizes=sizes, weight=weight, span=span, rng=rng, resamples=draws
        )
        if min(evidence.at_most(-margin), evidence.at_least(margin)) > ENOUGH / resamples:
            break
    flips = draws_for(family, alpha, resamples=resamples, most=MOST_FLIPS)
    p = swapped(rows, difference, rng=generator(seed, "sign-flip", *named), resamples=resamples, most=flips)
    value, evidence = float(difference(rows.sum(axis=0))), Mirrored(evidence) if turned else evidence
    tests = equivalence(evidence, margin)
    return Difference(
        -value if turned else value, evidence.interval, evidence.method, test="sign-flip-permutation", p=p,
        equivalence=tests["equivalence"], noninferiority=tests["noninferiority"],
    )  # fmt: skip


def swapped(rows: Floats, difference: Total, *, rng: np.random.Generator, resamples: int, most: int = 0) -> float:
    """
    >>> swapped(np.array([[0.0, 1.0]] * 4), lambda sums: sums[..., 1] - sums[..., 0], rng=generator(0), resamples=100)
    0.125

    The p of `ratio_difference`: `rows` [groups, 2 * m], the counts of the first side and then of the second, of which
    `difference` is a function that turns its sign with the sides. `most`: as in `sign_flip`.
    """
    half = rows.shape[1] // 2
    apart = rows[:, half:] - rows[:, :half]
    apart = apart[(apart != 0).any(axis=1)] / 2
    middle = (rows[:, half:] + rows[:, :half]).sum(axis=0) / 2
    threshold = abs(float(difference(rows.sum(axis=0)))) - 1e-9

    def as_far(sums: Floats) -> int:
        both = np.concatenate([middle - sums, middle + sums], axis=1)
        return int(np.count_nonzero(np.abs(difference(both)) >= threshold))

    if len(apart) <= EXACT_GROUPS:
        bits = (np.arange(2 ** len(apart))[:, None] >> np.arange(len(apart))) & 1
        return as_far((2 * bits - 1) @ apart) / len(bits)
    first = np.take_along_axis(apart, (apart != 0).argmax(axis=1)[:, None], axis=1)
    apart *= np.sign(first)  # a swap of two arms that are as far apart the other way round is the same draw

    def drawn(number: int) -> int:
        return sum(as_far(random_sign_sums(apart, rng=rng, resamples=part)) for part in _parts(number, rows.shape[1]))

    far, number = drawn(resamples), resamples
    if far < ENOUGH and most > resamples:
        far, number = far + drawn(most - resamples), most
    return (far + 1) / (number + 1)


def _difference_evidence(
    rows: Floats, difference: Total, *,
    sizes: Floats, weight: Floats, span: float, rng: np.random.Generator, resamples: int,
) -> Evidence:  # fmt: skip
    """As `difference_evidence` for means. A group's part in the difference is half of what swapping its arms changes,
    and how many groups there are with one is the effective number of these parts: a few large ones are few. Where they
    are, Tango's method with the positive and negative parts as discordant pairs, of so many pairs that these parts vary
    as much as they do here, or of the effective number of groups by weight where that is smaller."""
    sums, half = rows.sum(axis=0), rows.shape[1] // 2
    swaps = sums - rows + np.concatenate([rows[:, half:], rows[:, :half]], axis=1)
    value = float(difference(sums))
    parts = ((value - difference(swaps)) / 2 / span).round(15)
    pulls = (value - difference(sums - rows)).round(12)
    if min(_effective(np.abs(parts)), informative(pulls)) >= MIN_INFORMATIVE:
        within = (-span, span)
        return _resampled(rows, difference, sizes=sizes, weight=weight, within=within, rng=rng, resamples=resamples)
    up, down, square = float(parts[parts > 0].sum()), -float(parts[parts < 0].sum()), float((parts**2).sum())
    n = _effective(weight)
    n = min(n, (up + down) / square) if square > 0 else n
    shrunk = n / max(1.0, up + down)
    return ScoreEvidence(up * shrunk, down * shrunk, n, span, value, "tango-by-group")


def _resampled(
    rows: Floats, statistic: Total, *,
    sizes: Floats, weight: Floats, within: Interval, rng: np.random.Generator, resamples: int,
) -> Bootstrap | ClusterRobust:  # fmt: skip
    """Of `statistic` of the sums of at least two groups."""
    sums = rows.sum(axis=0)
    value, without = float(statistic(sums)), statistic(sums - rows)
    if unlike(sizes) or effective_groups(weight) < EVEN * np.count_nonzero(weight):
        return ClusterRobust.jackknife(value, value - without, shares=weight / weight.sum(), within=within)
    parts = _parts(resamples, rows.shape[1])
    draws = np.concatenate([statistic(resampled_sums(rows, rng=rng, resamples=part)) for part in parts])
    return Bootstrap(np.sort(draws), value, len(rows), skewness_of(without))


def _parts(number: int, columns: int) -> list[int]:
    """`number` in parts of bounded memory."""
    step = max(1, _NUMBERS // columns)
    return [min(step, number - start) for start in range(0, number, step)]


def _grouped(counts: Floats, groups: Sequence[str], weights: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Summed counts [groups, m], number of examples and weight of each group, in the order of their names."""
    weights = counts.sum(axis=1) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(counts) == len(groups) == len(weights) > 0:
        raise ValueError(f"{len(counts)} rows of counts, {len(groups)} groups and {len(weights)} weights do not fit")
    names, where = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    columns = *counts.T, np.ones(len(counts)), weights
    *rows, sizes, weight = (np.bincount(where, column, len(names)).astype(np.float64) for column in columns)
    return np.stack(rows, axis=1), sizes, weight


def _checked(counts: Floats) -> Floats:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 2 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("counts are numbers that are not negative, a row for each example")
    return counts


def _of(total: Total, sums: Floats) -> Floats:
    values = np.asarray(total(sums), dtype=np.float64)
    if values.shape != sums.shape[:-1] or not np.isfinite(values).all():
        raise ValueError("a metric of sums gives one number for each, also where it is 0 / 0")
    return values


def _says_something(rows: Floats, total: Total) -> NDArray[np.bool_]:
    """Whether a group's counts, added to others, can change the metric: tried with two sums, since one may by chance
    have the very metric of the group."""
    tried = np.ones(rows.shape[1]), np.arange(1.0, rows.shape[1] + 1)
    changes = [np.abs(_of(total, sums + rows) - _of(total, sums)) for sums in tried]
    return np.asarray(np.max(changes, axis=0) > 1e-12)


def _effective(weight: Floats) -> float:
    """The effective number of groups, next to nothing where no group weighs anything."""
    return max(_NONE, effective_groups(weight)) if weight.any() else _NONE
