"""Columns of one, two or four arms in, a score or a tested difference out: what all rows of a comparison share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.bootstrap import Interval
from ragmed.comparison.columns import TaskTable
from ragmed.comparison.differences import Evidence, Mirrored, ScoreEvidence, difference_evidence, equivalence
from ragmed.comparison.intervals import PROPORTIONS, generator, group_sums, score_interval
from ragmed.comparison.resampling import Floats
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.significance import ENOUGH, draws_for, mcnemar_exact, sign_flip

Row = dict[str, Any]
MOST_FLIPS = 2_000_000
MOST_DRAWS = 50_000
"""At most so many sign flips and bootstrap draws, however large the family."""


def is_binary(metric: str, values: Floats, settings: ComparisonSettings) -> bool:
    return metric in settings.binary_metrics and bool(np.isin(values, (0.0, 1.0)).all())


def bounds(values: Floats) -> Interval:
    """0 to 1, or as far as these scores go beyond (a cosine can be negative)."""
    return min(0.0, float(values.min())), max(1.0, float(values.max()))


def shared(table: TaskTable, arms: Sequence[str], metric: str) -> tuple[list[str], dict[str, Floats]]:
    """The examples that all of `arms` have a score for, and these scores, arm by arm."""
    columns = {arm: table.columns[arm, metric].values for arm in arms}
    kept = [id_ for id_ in table.ids if all(values[id_] is not None for values in columns.values())]
    return kept, {arm: np.array([values[id_] for id_ in kept], np.float64) for arm, values in columns.items()}


def difference_of(
    table: TaskTable, metric: str, kept: Sequence[str], scores: Mapping[str, Floats], *,
    sides: tuple[Sequence[str], Sequence[str]], halved: bool = False, settings: ComparisonSettings, family: int = 1,
) -> Row:  # fmt: skip
    """Difference, interval, test, p and equivalence of the arms of `sides[1]` minus those of `sides[0]`, example by
    example.

    Two arms with scores of 0 and 1, no group shared: exact McNemar test and Tango's interval. Otherwise by group:
    sign flips and `difference_evidence`. `halved`: the mean of two differences rather than their sum. Of a sum of
    four arms, the sign-flip test asks whether its distribution is symmetric about 0. Turning the sides round turns
    the sign and nothing else: what is drawn is drawn for the sides in the order of their names. `family`: how many
    tests are adjusted together; with many, more is drawn where p is small, so that it can stay small.
    """
    minus, plus = (sum((scores[arm] for arm in side), np.zeros(len(kept))) for side in sides)
    difference = (plus - minus) / (2 if halved else 1)
    sums, sizes = group_sums(difference, [table.groups[id_] for id_ in kept])
    both = np.concatenate(list(scores.values()))
    two = len(sides[0]) == len(sides[1]) == 1
    first, second = sorted(map(sorted, sides))
    names = (table.name, metric, *first, *second)
    evidence: Evidence
    if two and is_binary(metric, both, settings) and (sizes == 1).all():
        fixed, broke = int((difference > 0).sum()), int((difference < 0).sum())
        evidence = ScoreEvidence(fixed, broke, len(kept), estimate=(fixed - broke) / len(kept))
        test, p = "mcnemar-exact", mcnemar_exact(fixed, broke)
    else:
        turned = sorted(sides[0]) != first
        low, high = bounds(both)
        span = (high - low) * len(sides[0]) / (2 if halved else 1)
        first_draws, flips = settings.resamples, _most(family, settings, MOST_FLIPS)
        for draws in dict.fromkeys((first_draws, _most(family, settings, MOST_DRAWS))):
            rng = generator(settings.seed, "interval", *names)
            evidence = difference_evidence(-sums if turned else sums, sizes, span=span, rng=rng, resamples=draws)
            evidence = Mirrored(evidence) if turned else evidence
            if min(evidence.at_most(-settings.margin), evidence.at_least(settings.margin)) > ENOUGH / first_draws:
                break
        rng = generator(settings.seed, "sign-flip", *names)
        test, p = "sign-flip-permutation", sign_flip(sums, rng=rng, resamples=first_draws, most=flips)
    tests = equivalence(evidence, settings.margin)
    return {
        "difference": float(sums.sum() / sizes.sum()), "ci": list(evidence.interval), "interval": evidence.method,
        "test": test, "p": p, "equivalence": {"p": tests["equivalence"], "p_adjusted": 1.0},
        "noninferiority": {"p": tests["noninferiority"], "p_adjusted": 1.0, "shown": False},
    }  # fmt: skip


def _most(family: int, settings: ComparisonSettings, cap: int) -> int:
    return draws_for(family, settings.alpha, resamples=settings.resamples, most=cap)


def draws_note(rows: Sequence[Mapping[str, Any]], settings: ComparisonSettings) -> list[str]:
    """What a large family asks of the draws; nothing where the stated resamples are enough for it."""
    if not any(row["test"] == "sign-flip-permutation" for row in rows):
        return []
    flips, draws = (_most(len(rows), settings, cap) for cap in (MOST_FLIPS, MOST_DRAWS))
    if max(flips, draws) <= settings.resamples:
        return []
    said = (
        f"with {len(rows)} contrasts adjusted together, draws went on from {settings.resamples:,} to {flips:,} sign "
        f"flips and {draws:,} bootstrap samples where p was small."
    )
    if math.ceil(ENOUGH * len(rows) / settings.alpha) > MOST_FLIPS:
        said += f" No p by sign flips is below {1 / (flips + 1):.1e}, however clear a difference is."
    return [said]


def scored(table: TaskTable, arm: str, metric: str, *, kept: Sequence[str], settings: ComparisonSettings) -> Row:
    """Mean, interval and its method of one arm on `kept` examples, of which there is at least one."""
    values = np.array([table.columns[arm, metric].values[id_] for id_ in kept], dtype=np.float64)
    sums, sizes = group_sums(values, [table.groups[id_] for id_ in kept])
    if is_binary(metric, values, settings) and (sizes == 1).all():
        interval, method = PROPORTIONS[settings.proportions](float(values.sum()), len(values)), settings.proportions
    else:
        rng = generator(settings.seed, "score", table.name, metric, arm)
        interval, method = score_interval(
            sums, sizes, bounds=bounds(values), rng=rng, resamples=settings.resamples, proportion=settings.proportions
        )
    return {"value": float(values.mean()), "ci": list(interval), "interval": method}
