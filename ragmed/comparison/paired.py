"""Columns of one, two or four arms in, a score or a tested difference out: what all rows of a comparison share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.columns import TaskTable, total_of, weights_of
from ragmed.comparison.rows import Contrast
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.comparison.statistics.differences import (
    Difference,
    Evidence,
    Mirrored,
    ScoreEvidence,
    difference_evidence,
    equivalence,
)
from ragmed.comparison.statistics.intervals import PROPORTIONS, Estimate, generator, group_sums, score_interval
from ragmed.comparison.statistics.ratio import ratio_difference, ratio_score
from ragmed.comparison.statistics.resampling import Floats
from ragmed.comparison.statistics.significance import (
    ENOUGH,
    MCNEMAR,
    MOST_DRAWS,
    MOST_FLIPS,
    attainable_flips,
    draws_for,
    mcnemar_mid_p,
    sign_flip,
)
from ragmed.metrics import MetricFacts


def is_binary(facts: MetricFacts, values: Floats) -> bool:
    return facts.kind == "binary" and bool(np.isin(values, (0.0, 1.0)).all())


def bounds(values: Floats) -> Interval:
    """0 to 1, or as far as these scores go beyond (a cosine can be negative)."""
    return min(0.0, float(values.min())), max(1.0, float(values.max()))


def shared(table: TaskTable, arms: Sequence[str], metric: str) -> tuple[list[str], dict[str, Floats]]:
    """The examples that all of `arms` have a score for, and these scores, arm by arm: [n], of a ratio counts [n, m]."""
    columns = {arm: table.columns[arm, metric].values for arm in arms}
    kept = table.kept(arms, metric)
    return kept, {arm: np.array([values[id_] for id_ in kept], np.float64) for arm, values in columns.items()}


def changes(facts: MetricFacts, old: Floats, new: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which examples became right, and which became wrong, by a metric of 0 and 1: where less is better, 0 is right."""
    return (new < old, new > old) if facts.higher_is_better is False else (new > old, new < old)


def difference_of(
    table: TaskTable, metric: str, kept: Sequence[str], scores: Mapping[str, Floats], *,
    sides: tuple[Sequence[str], Sequence[str]], over: int = 1, settings: ComparisonSettings, family: int = 1,
) -> Difference:  # fmt: skip
    """Difference, interval, test, p and equivalence of the arms of `sides[1]` minus those of `sides[0]`, example by
    example.

    Two arms with scores of 0 and 1, no group shared: McNemar's test (exact, unless mid-p was declared) and Tango's
    interval. Otherwise by group: sign flips and `difference_evidence`. `over`: of how many differences it is the mean.
    Of a sum of
    four arms, the sign-flip test asks whether its distribution is symmetric about 0. Turning the sides round turns
    the sign and nothing else: what is drawn is drawn for the sides in the order of their names. `family`: how many
    tests are adjusted together; with many, more is drawn where p is small, so that it can stay small.
    """
    facts = table.metrics[metric]
    if facts.kind == "ratio":
        return _ratio_difference(table, metric, kept, scores, sides=sides, over=over, settings=settings, family=family)
    minus, plus = (sum((scores[arm] for arm in side), np.zeros(len(kept))) for side in sides)
    difference = (plus - minus) / over
    sums, sizes = group_sums(difference, [table.groups[id_] for id_ in kept])
    both = np.concatenate(list(scores.values()))
    two = len(sides[0]) == len(sides[1]) == 1
    first, second = sorted(map(sorted, sides))
    names = (table.name, metric, *first, *second)
    evidence: Evidence
    if two and is_binary(facts, both) and (sizes == 1).all():
        fixed, broke = int((difference > 0).sum()), int((difference < 0).sum())
        evidence = ScoreEvidence(fixed, broke, len(kept), estimate=(fixed - broke) / len(kept))
        mcnemar = MCNEMAR[settings.mcnemar]
        test, p, mid_p = f"mcnemar-{settings.mcnemar}", mcnemar(fixed, broke), mcnemar_mid_p(fixed, broke)
        attainable = mcnemar(fixed + broke, 0)
    else:
        turned = sorted(sides[0]) != first
        low, high = bounds(both)
        span = (high - low) * len(sides[0]) / over
        first_draws, flips = settings.resamples, _most(family, settings, MOST_FLIPS)
        for draws in dict.fromkeys((first_draws, _most(family, settings, MOST_DRAWS))):
            rng = generator(settings.seed, "interval", *names)
            evidence = difference_evidence(-sums if turned else sums, sizes, span=span, rng=rng, resamples=draws)
            evidence = Mirrored(evidence) if turned else evidence
            if min(evidence.at_most(-settings.margin), evidence.at_least(settings.margin)) > ENOUGH / first_draws:
                break
        rng = generator(settings.seed, "sign-flip", *names)
        test, p, mid_p = "sign-flip-permutation", sign_flip(sums, rng=rng, resamples=first_draws, most=flips), None
        attainable = attainable_flips(sums)
    tests = equivalence(evidence, settings.margin)
    return Difference(
        float(sums.sum() / sizes.sum()), evidence.interval, evidence.method, test=test, p=p,
        equivalence=tests["equivalence"], noninferiority=_not_worse(evidence, facts, settings.margin),
        attainable=attainable, mid_p=mid_p,
    )  # fmt: skip


def _not_worse(evidence: Evidence, facts: MetricFacts, margin: float) -> float:
    """p of "worse by the margin or more", whichever way better lies."""
    return evidence.at_least(margin) if facts.higher_is_better is False else evidence.at_most(-margin)


def _most(family: int, settings: ComparisonSettings, cap: int) -> int:
    return draws_for(family, settings.alpha, resamples=settings.resamples, most=cap)


def draws_note(rows: Sequence[Contrast], settings: ComparisonSettings) -> list[str]:
    """What a large family asks of the draws; nothing where the stated resamples are enough for it."""
    if not any(row.test == "sign-flip-permutation" for row in rows):
        return []
    family = sum(row.primary for row in rows)
    flips, draws = (_most(family, settings, cap) for cap in (MOST_FLIPS, MOST_DRAWS))
    if max(flips, draws) <= settings.resamples:
        return []
    said = (
        f"with {family} contrasts adjusted together, draws went on from {settings.resamples:,} to {flips:,} sign "
        f"flips and {draws:,} bootstrap samples where p was small."
    )
    if math.ceil(ENOUGH * family / settings.alpha) > MOST_FLIPS:
        said += f" No p by sign flips is below {1 / (flips + 1):.1e}, however clear a difference is."
    return [said]


def scored(table: TaskTable, arm: str, metric: str, *, kept: Sequence[str], settings: ComparisonSettings) -> Estimate:
    """Mean, interval and its method of one arm on `kept` examples, of which there is at least one."""
    facts = table.metrics[metric]
    values = np.array([table.columns[arm, metric].values[id_] for id_ in kept], dtype=np.float64)
    if facts.kind == "ratio":
        return _ratio_score(table, arm, metric, values, kept=kept, settings=settings)
    sums, sizes = group_sums(values, [table.groups[id_] for id_ in kept])
    if is_binary(facts, values) and (sizes == 1).all():
        interval, method = PROPORTIONS[settings.proportions](float(values.sum()), len(values)), settings.proportions
    else:
        rng = generator(settings.seed, "score", table.name, metric, arm)
        interval, method = score_interval(
            sums, sizes, bounds=bounds(values), rng=rng, resamples=settings.resamples, proportion=settings.proportions
        )
    return Estimate(float(values.mean()), interval, method)


def _ratio_score(
    table: TaskTable, arm: str, metric: str, counts: Floats, *, kept: Sequence[str], settings: ComparisonSettings
) -> Estimate:
    return ratio_score(
        counts, total_of(metric), groups=[table.groups[id_] for id_ in kept], names=(table.name, metric, arm),
        seed=settings.seed, resamples=settings.resamples, proportions=settings.proportions,
        weights=weights_of(metric, counts),
    )  # fmt: skip


def _ratio_difference(
    table: TaskTable, metric: str, kept: Sequence[str], counts: Mapping[str, Floats], *,
    sides: tuple[Sequence[str], Sequence[str]], over: int, settings: ComparisonSettings, family: int,
) -> Difference:  # fmt: skip
    def tested(minus: Sequence[str], plus: Sequence[str]) -> Difference:
        return ratio_difference(
            counts, total_of(metric), sides=(minus, plus), groups=[table.groups[id_] for id_ in kept],
            names=(table.name, metric), over=over, margin=settings.margin, alpha=settings.alpha, family=family,
            seed=settings.seed, resamples=settings.resamples,
            weights=weights_of(metric, sum(counts.values(), np.zeros(1))),
        )  # fmt: skip

    difference = tested(*sides)
    if table.metrics[metric].higher_is_better is False:  # not worse, read the other way round
        return dataclasses.replace(difference, noninferiority=tested(*sides[::-1]).noninferiority)
    return difference
