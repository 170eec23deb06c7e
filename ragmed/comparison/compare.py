"""All samples of a run in, results.json out: which arm is better at which task, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ragmed.comparison.baselines import trivial_baselines
from ragmed.comparison.columns import TaskTable, build_tables, sample_notes
from ragmed.comparison.intervals import (
    Floats,
    Interval,
    difference_interval,
    generator,
    group_sums,
    score_interval,
    tango,
    wilson,
)
from ragmed.comparison.significance import holm, mcnemar_exact, sign_flip
from ragmed.comparison.verdicts import decide
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.records import STATUSES, Sample

SCHEMA = 1
FAILURES = tuple(status for status in STATUSES if status != "answered")


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """
    >>> ComparisonSettings(baseline="general", policy={"error": "exclude"}).policy["unparsed"]
    'wrong'

    `contrasts`: (baseline, arm) pairs; empty: every other arm against `baseline`. `policy`: what a status other than
    `answered` counts as, `wrong` (a score of 0) or `exclude` (left out of both arms of a pair); `wrong` where unsaid.
    `baseline_arms`: arms reported beside the trivial baselines, in no contrast. `descriptive_metrics`: those where
    higher is not better, such as how often an arm abstained. Raises UsageError for values that make no sense.
    """

    baseline: str
    contrasts: tuple[tuple[str, str], ...] = ()
    margin: float = 0.05
    alpha: float = 0.05
    policy: Mapping[str, str] = field(default_factory=dict)
    resamples: int = 10_000
    seed: int = 0
    baseline_arms: tuple[str, ...] = ()
    binary_metrics: frozenset[str] = frozenset({"accuracy", "abstained"})
    descriptive_metrics: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for status, rule in self.policy.items():
            if status not in FAILURES:
                raise UnknownNameError("status", status, FAILURES, "the policy")
            if rule not in ("wrong", "exclude"):
                raise UnknownNameError("rule", str(rule), ("wrong", "exclude"), f"the policy for '{status}'")
        object.__setattr__(self, "policy", {status: self.policy.get(status, "wrong") for status in FAILURES})
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha is {self.alpha}; give a number between 0 and 1, such as 0.05")
        if not 0 <= self.margin < 1:
            raise UsageError(f"margin is {self.margin}; give a fraction from 0 to below 1, such as 0.05 for 5 points")
        if self.resamples < 100:
            raise UsageError(f"resamples is {self.resamples}; give at least 100, better 10000")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give a number that is not negative")


def compare(
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    *,
    run: str,
    settings: ComparisonSettings,
    metrics: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """
    >>> compare(samples, run="trial", settings=ComparisonSettings(baseline="general"))  # doctest: +SKIP
    {'schema': 1, 'run': 'trial', 'policy': {...}, 'scores': [...], 'baselines': [...], 'contrasts': [...], ...}

    `samples`: (arm, task) -> its samples. Scores and differences are fractions. Arms must have answered the same
    examples of a task; a task that an arm did not run is listed under `not_run`. The same samples and settings give
    the same numbers, in whatever order the samples come. `metrics`: task -> what it measures, so that an arm with no
    scored sample keeps its row. `notes` go into the results as they are. Raises MismatchError, DataError, UsageError,
    each naming what is wrong.
    """
    arms = tuple(dict.fromkeys(arm for arm, _ in samples))
    pairs = _pairs(arms, settings)
    tables = build_tables(samples, settings.policy, metrics)
    if not tables:
        raise DataError(f"run '{run}' has no samples; run `ragmed eval` first")
    scored = [arm for arm in arms if arm not in settings.baseline_arms]
    contrasts = [row for table in tables for row in _contrasts(table, pairs, settings)]
    _adjust(contrasts, settings)
    baselines, said = _baselines(tables, settings)
    return {
        "schema": SCHEMA,
        "run": run,
        "baseline": settings.baseline,
        "policy": dict(settings.policy),
        "alpha": settings.alpha,
        "margin": settings.margin,
        "seed": settings.seed,
        "resamples": settings.resamples,
        "family": len(contrasts),
        "scores": [row for table in tables for row in _scores(table, scored, settings)],
        "baselines": baselines,
        "contrasts": contrasts,
        "costs": [_cost(arm, task, given) for (arm, task), given in samples.items() if given],
        "not_run": [{"arm": a, "task": t.name} for t in tables for a in arms if not samples.get((a, t.name))],
        "notes": [
            *notes,
            *_general_notes(settings, len(contrasts)),
            *said,
            *_metric_notes(tables, pairs, settings),
            *sample_notes(samples),
        ],
    }


def _pairs(arms: Sequence[str], settings: ComparisonSettings) -> list[tuple[str, str]]:
    asked = list(settings.contrasts)
    for name in [settings.baseline, *settings.baseline_arms, *(name for pair in asked for name in pair)]:
        if name not in arms:
            raise UnknownNameError("arm", name, arms, "the comparison")
    if not asked:
        others = (arm for arm in arms if arm != settings.baseline and arm not in settings.baseline_arms)
        asked = [(settings.baseline, arm) for arm in others]
    for place, (baseline, arm) in enumerate(asked):
        if baseline == arm:
            raise UsageError(f"the contrast of arm '{arm}' with itself says nothing; name two arms")
        if (baseline, arm) in asked[:place]:
            raise UsageError(f"the contrast of '{arm}' with '{baseline}' is asked for twice; name it once")
        for name in {baseline, arm} & set(settings.baseline_arms):
            raise UsageError(f"arm '{name}' is one of the baseline arms, which are in no contrast")
    if settings.baseline in settings.baseline_arms:
        raise UsageError(f"arm '{settings.baseline}' is the control and a baseline arm; name it in one place")
    return asked


def _scores(table: TaskTable, arms: Sequence[str], settings: ComparisonSettings) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "task": table.name, "metric": metric, **_score(table, arm, metric, settings)}
        for metric in table.metrics
        for arm in arms
        if (arm, metric) in table.columns
    ]


def _score(table: TaskTable, arm: str, metric: str, settings: ComparisonSettings) -> dict[str, Any]:
    column = table.columns[arm, metric]
    kept = [id_ for id_ in table.ids if column.values[id_] is not None]
    row: dict[str, Any] = {"value": None, "ci": None, "n": len(kept), "status": dict(table.status[arm])}
    row |= {"groups": len({table.groups[id_] for id_ in kept}), "unscored": column.unscored, "interval": "none"}
    if not kept:
        return row
    values = np.array([column.values[id_] for id_ in kept], dtype=np.float64)
    sums, sizes = group_sums(values, [table.groups[id_] for id_ in kept])
    if _is_binary(metric, values, settings) and (sizes == 1).all():
        interval, method = wilson(float(values.sum()), len(values)), "wilson"
    else:
        rng = generator(settings.seed, "score", table.name, metric, arm)
        interval, method = score_interval(sums, sizes, bounds=_bounds(values), rng=rng, resamples=settings.resamples)
    return row | {"value": float(values.mean()), "ci": list(interval), "interval": method}


def _is_binary(metric: str, values: Floats, settings: ComparisonSettings) -> bool:
    return metric in settings.binary_metrics and bool(np.isin(values, (0.0, 1.0)).all())


def _bounds(values: Floats) -> Interval:
    """0 to 1, or as far as these scores go beyond (a cosine can be negative)."""
    return min(0.0, float(values.min())), max(1.0, float(values.max()))


def _contrasts(
    table: TaskTable, pairs: Sequence[tuple[str, str]], settings: ComparisonSettings
) -> list[dict[str, Any]]:
    return [
        _contrast(table, pair, metric, settings)
        for metric in table.metrics
        for pair in pairs
        if all((arm, metric) in table.columns for arm in pair)
    ]


def _contrast(table: TaskTable, pair: tuple[str, str], metric: str, settings: ComparisonSettings) -> dict[str, Any]:
    before, after = (table.columns[arm, metric].values for arm in pair)
    kept = [id_ for id_ in table.ids if before[id_] is not None and after[id_] is not None]
    row: dict[str, Any] = {
        "task": table.name, "metric": metric, "baseline": pair[0], "arm": pair[1], "n": len(kept),
        "difference": None, "ci": None, "test": "none", "p": 1.0, "p_adjusted": 1.0, "fixed": None, "broke": None,
        "margin": settings.margin, "verdict": "cannot-tell", "interval": "none",
        "groups": len({table.groups[id_] for id_ in kept}), "left_out": len(table.ids) - len(kept),
        "baseline_value": None, "arm_value": None, "higher_is_better": metric not in settings.descriptive_metrics,
    }  # fmt: skip
    if not kept:
        return row
    old = np.array([before[id_] for id_ in kept], dtype=np.float64)
    new = np.array([after[id_] for id_ in kept], dtype=np.float64)
    row |= {"baseline_value": float(old.mean()), "arm_value": float(new.mean())}
    both = np.concatenate([old, new])
    binary = _is_binary(metric, both, settings)
    if binary:
        row |= {"fixed": int((new > old).sum()), "broke": int((new < old).sum())}
    sums, sizes = group_sums(new - old, [table.groups[id_] for id_ in kept])
    row["difference"] = float(sums.sum() / sizes.sum())
    if binary and (sizes == 1).all():
        interval = tango(row["fixed"], row["broke"], len(kept))
        p = mcnemar_exact(row["fixed"], row["broke"])
        return row | {"ci": list(interval), "interval": "tango", "test": "mcnemar-exact", "p": p}
    low, high = _bounds(both)
    names = (table.name, metric, *sorted(pair))  # sorted: swapping the arms must only turn the sign
    interval, method = difference_interval(
        sums, sizes, span=high - low, rng=generator(settings.seed, "interval", *names), resamples=settings.resamples
    )
    p = sign_flip(sums, rng=generator(settings.seed, "sign-flip", *names), resamples=settings.resamples)
    return row | {"ci": list(interval), "interval": method, "test": "sign-flip-permutation", "p": p}


def _adjust(contrasts: list[dict[str, Any]], settings: ComparisonSettings) -> None:
    for row, p in zip(contrasts, holm([row["p"] for row in contrasts]), strict=True):
        row["p_adjusted"] = p
        if row["ci"] is not None:
            row["verdict"] = decide(p, tuple(row["ci"]), alpha=settings.alpha, margin=settings.margin)


def _baselines(tables: Sequence[TaskTable], settings: ComparisonSettings) -> tuple[list[dict[str, Any]], list[str]]:
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for table in tables:
        if "accuracy" in table.metrics:
            found, said = trivial_baselines(table.name, [table.examples[id_] for id_ in table.ids])
            rows += found
            notes += said
        for arm in settings.baseline_arms:
            for metric in table.metrics:
                if (arm, metric) in table.columns:
                    score = _score(table, arm, metric, settings)
                    rows.append({"task": table.name, "metric": metric, "name": arm, **score})
    return rows, notes


def _cost(arm: str, task: str, samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        "arm": arm,
        "task": task,
        "input_tokens": sum(sample.input_tokens for sample in samples),
        "output_tokens": sum(sample.output_tokens for sample in samples),
        "thinking_tokens": sum(sample.thinking_tokens for sample in samples),
        "seconds": float(sum(sample.seconds for sample in samples)),
        "n": len(samples),
    }


def _general_notes(settings: ComparisonSettings, family: int) -> list[str]:
    if not family:
        return ["Intervals are 95 % each, not adjusted for how many there are."]
    return [
        "Intervals are 95 % each, not adjusted for how many there are.",
        f"p_adjusted is Holm's over all {family} contrasts of this run, all tasks and metrics together.",
        f"equivalent: the interval lies within {settings.margin:g} on either side of 0.",
        "majority is the most frequent gold of these very examples, so it has seen the answers.",
    ]


def _metric_notes(
    tables: Sequence[TaskTable], pairs: Sequence[tuple[str, str]], settings: ComparisonSettings
) -> list[str]:
    notes = []
    in_pairs = list(dict.fromkeys(arm for pair in pairs for arm in pair))
    for table in tables:
        for metric in table.metrics:
            absent = [arm for arm in in_pairs if arm in table.status and (arm, metric) not in table.columns]
            if absent:
                notes.append(f"{table.name}: {metric} is not measured in {', '.join(absent)}: no contrast by it.")
            columns = {arm: column for (arm, name), column in table.columns.items() if name == metric}
            for arm, column in columns.items():
                if column.unscored:
                    notes.append(
                        f"{table.name}: {column.unscored} answered samples of {arm} have no {metric}; left out."
                    )
            values = np.array([v for column in columns.values() for v in column.values.values() if v is not None])
            if metric in settings.binary_metrics and not _is_binary(metric, values, settings):
                notes.append(f"{table.name}: {metric} has values other than 0 and 1, so it is treated as graded there.")
    return notes
