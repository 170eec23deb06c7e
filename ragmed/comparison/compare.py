"""All samples of a run in, results.json out: which arm is better at which task, by how much, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.baselines import trivial_baselines
from ragmed.comparison.columns import TaskTable, build_tables, sample_notes
from ragmed.comparison.cost import economics, economics_notes
from ragmed.comparison.factorial import ROLES, check_designs, factorials, tuned_against_retrieved
from ragmed.comparison.paired import difference_of, is_binary, scored, shared
from ragmed.comparison.prices import Prices
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.significance import holm
from ragmed.comparison.sources import ArmSources, corpora_notes, declared, rule
from ragmed.comparison.verdicts import decide
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.records import Sample

__all__ = ["ComparisonSettings", "Prices", "compare"]

SCHEMA = 1


def compare(
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    *,
    run: str,
    settings: ComparisonSettings,
    metrics: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    sources: Mapping[str, ArmSources] | None = None,
) -> dict[str, Any]:
    """
    >>> compare(samples, run="trial", settings=ComparisonSettings(baseline="general"))  # doctest: +SKIP
    {'schema': 1, 'run': 'trial', 'policy': {...}, 'scores': [...], 'baselines': [...], 'contrasts': [...], ...}

    `samples`: (arm, task) -> its samples. Scores and differences are fractions. Arms must have answered the same
    examples of a task; a task that an arm did not run is listed under `not_run`. The same samples and settings give
    the same numbers, in whatever order the samples come. `metrics`: task -> what it measures, so that an arm with no
    scored sample keeps its row. `notes` go into the results as they are. `sources`: the references behind each arm.
    A contrast's `corpora` is `same`, `different` or `unknown` where what one arm's weights learnt from stands against
    what an arm is shown, else empty. Raises MismatchError, DataError, UsageError, each naming what is wrong.
    """
    arms = tuple(dict.fromkeys(arm for arm, _ in samples))
    pairs = _pairs(arms, settings)
    tables = build_tables(samples, settings.policy, metrics)
    if not tables:
        raise DataError(f"run '{run}' has no samples; run `ragmed eval` first")
    known = declared(sources or {}, settings.factorials)
    rows: dict[str, list[dict[str, Any]]] = {
        "contrasts": [row for table in tables for row in _contrasts(table, pairs, settings)],
        "factorials": factorials(tables, settings=settings, sources=known),
        "costs": [_cost(arm, task, given) for (arm, task), given in samples.items() if given],
    }
    _adjust(rows["contrasts"], settings)
    for row in rows["contrasts"]:
        row["corpora"] = rule(known, (row["baseline"], row["arm"]))
    rows["economics"] = economics(rows["costs"], sources=known, settings=settings)
    scored_arms = [arm for arm in arms if arm not in settings.baseline_arms]
    rows["scores"] = [row for table in tables for row in _scores(table, scored_arms, settings)]
    rows["baselines"], said = _baselines(tables, settings)
    rows["not_run"] = [{"arm": a, "task": t.name} for t in tables for a in arms if not samples.get((a, t.name))]
    corpora = corpora_notes(known, _compared(rows))
    told = [*_metric_notes(tables, pairs, settings), *sample_notes(samples)]
    return {
        "schema": SCHEMA,
        "run": run,
        **_settings(settings),
        "family": len(rows["contrasts"]),
        "factorial_family": sum(len(row["effects"]) for row in rows["factorials"]),
        **rows,
        "corpora_notes": corpora,
        "notes": [*notes, *corpora, *_general_notes(settings, rows), *said, *told],
    }


def _settings(settings: ComparisonSettings) -> dict[str, Any]:
    names = ("baseline", "policy", "alpha", "margin", "seed", "resamples")
    plain = {name: getattr(settings, name) for name in names}
    return plain | {"policy": dict(settings.policy), "prices": dataclasses.asdict(settings.prices)}


def _compared(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    """The arms that stand against each other: of every contrast, and of every factorial."""
    pairs = [(row["baseline"], row["arm"]) for row in rows["contrasts"]]
    return [*(tuple(row[role] for role in ROLES) for row in rows["factorials"]), *pairs]


def _pairs(arms: Sequence[str], settings: ComparisonSettings) -> list[tuple[str, str]]:
    asked = list(settings.contrasts)
    check_designs(arms, settings)
    for name in [settings.baseline, *settings.baseline_arms, *(name for pair in asked for name in pair)]:
        if name not in arms:
            raise UnknownNameError("arm", name, arms, "the comparison")
    if not asked:
        others = (arm for arm in arms if arm != settings.baseline and arm not in settings.baseline_arms)
        asked = [(settings.baseline, arm) for arm in others]
        more = tuned_against_retrieved(settings.factorials)
        asked += [pair for pair in more if pair not in asked and pair[::-1] not in asked]
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
    return row | scored(table, arm, metric, kept=kept, settings=settings) if kept else row


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
    kept, scores = shared(table, pair, metric)
    row: dict[str, Any] = {
        "task": table.name, "metric": metric, "baseline": pair[0], "arm": pair[1], "n": len(kept),
        "difference": None, "ci": None, "test": "none", "p": 1.0, "p_adjusted": 1.0, "fixed": None, "broke": None,
        "margin": settings.margin, "verdict": "cannot-tell", "interval": "none",
        "groups": len({table.groups[id_] for id_ in kept}), "left_out": len(table.ids) - len(kept),
        "baseline_value": None, "arm_value": None, "higher_is_better": metric not in settings.descriptive_metrics,
    }  # fmt: skip
    if not kept:
        return row
    old, new = (scores[arm] for arm in pair)
    row |= {"baseline_value": float(old.mean()), "arm_value": float(new.mean())}
    if is_binary(metric, np.concatenate([old, new]), settings):
        row |= {"fixed": int((new > old).sum()), "broke": int((new < old).sum())}
    return row | difference_of(table, metric, kept, scores, sides=(pair[:1], pair[1:]), settings=settings)


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


def _general_notes(settings: ComparisonSettings, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    said = ["Intervals are 95 % each, not adjusted for how many there are."]
    family, effects = len(rows["contrasts"]), sum(len(row["effects"]) for row in rows["factorials"])
    if family:
        said += [
            f"p_adjusted is Holm's over all {family} contrasts of this run, all tasks and metrics together.",
            f"equivalent: the interval lies within {settings.margin:g} on either side of 0.",
            "majority is the most frequent gold of these very examples, so it has seen the answers.",
        ]
    if effects:
        said.append(
            f"p_adjusted of the 2x2 effects is Holm's over all {effects} of them, a family of its own: tuning and "
            "retrieval are each averaged over the other; interaction is what retrieval does for the tuned model, less "
            "what it does for the untuned one."
        )
    return said + economics_notes(rows["economics"], settings.prices)


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
            if metric in settings.binary_metrics and not is_binary(metric, values, settings):
                notes.append(f"{table.name}: {metric} has values other than 0 and 1, so it is treated as graded there.")
    return notes
