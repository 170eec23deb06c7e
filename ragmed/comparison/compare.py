"""All samples of a run in, results.json out: which arm is better at which task, by how much, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.baselines import trivial_baselines
from ragmed.comparison.behind import Facts, behind
from ragmed.comparison.columns import TaskTable, build_tables, lettered, mirage_reads, sample_notes
from ragmed.comparison.contrasts import asked_pairs, contrasts
from ragmed.comparison.cost import cost_row, economics, economics_notes
from ragmed.comparison.factorial import ROLES, factorials
from ragmed.comparison.overall import overall
from ragmed.comparison.paired import draws_note, is_binary, scored
from ragmed.comparison.policies import by_policy
from ragmed.comparison.prices import Prices
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources, corpora_notes, declared, rule
from ragmed.errors import DataError
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
    facts: Facts | None = None,
) -> dict[str, Any]:
    """
    >>> compare(samples, run="trial", settings=ComparisonSettings(baseline="general"))  # doctest: +SKIP
    {'schema': 1, 'run': 'trial', 'policy': {...}, 'scores': [...], 'baselines': [...], 'contrasts': [...], ...}

    `samples`: (arm, task) -> its samples. Scores and differences are fractions. Arms must have answered the same
    examples of a task; a task that an arm did not run is listed under `not_run`. The same samples and settings give the
    same numbers to the last bit, in whatever order samples and tasks come. Names of arms, tasks and metrics seed what
    is drawn: another name moves a drawn interval or p within the error of its simulation, and nothing else. `metrics`:
    task -> what it measures, so that an arm with no scored sample keeps its row. `notes` go into the results as they
    are. `sources`: the references behind each arm. A contrast's `corpora` is `same`, `different` or `unknown` where
    what one arm's weights learnt from stands against what an arm is shown, else empty. Raises MismatchError, DataError,
    UsageError, each naming what is wrong.
    """
    arms = tuple(dict.fromkeys(arm for arm, _ in samples))
    pairs = asked_pairs(arms, settings)
    tables = build_tables(samples, settings.policy, metrics)
    if not tables:
        raise DataError(f"run '{run}' has no samples; run `ragmed eval` first")
    known = declared(sources or {}, settings.factorials)
    rows: dict[str, list[dict[str, Any]]] = {
        "contrasts": contrasts(tables, pairs, settings),
        "factorials": factorials(tables, settings=settings, sources=known),
        "costs": [
            cost_row(arm, task, given, prices=settings.prices, memory=(facts or Facts()).memory.get(arm))
            for (arm, task), given in samples.items()
            if any(s.input_tokens or s.output_tokens or s.seconds for s in given)  # nobody recorded: unknown, not 0
        ],
    }
    for row in rows["contrasts"]:
        row["corpora"] = rule(known, (row["baseline"], row["arm"]))
    rows["economics"] = economics(rows["costs"], sources=known, settings=settings)
    scored_arms = [arm for arm in arms if arm not in settings.baseline_arms]
    same = {name: str(t.get("task") or t.get("file") or "") for name, t in (facts or Facts()).tasks.items()}
    rows["overall"], pooling = overall(rows["contrasts"], settings=settings, same=same, tables=tables)
    rows |= by_policy(tables, arms=scored_arms, contrasts=rows["contrasts"], settings=settings)
    rows["scores"] = [row for table in tables for row in _scores(table, scored_arms, settings)]
    rows["baselines"], said = _baselines(tables, settings)
    rows["not_run"] = [{"arm": a, "task": t.name} for t in tables for a in arms if not samples.get((a, t.name))]
    rows |= behind(samples, tables, contrasts=rows["contrasts"], settings=settings, facts=facts or Facts())
    said += [*pooling, *_metric_notes(tables, pairs, settings), *sample_notes(samples)]
    return {
        **{"schema": SCHEMA, "run": run, **_settings(settings)},
        "family": len(rows["contrasts"]),
        "overall_family": len(rows["overall"]),
        "factorial_family": sum(len(row["effects"]) for row in rows["factorials"]),
        **rows,
        "corpora_notes": (corpora := corpora_notes(known, _compared(rows))),
        "notes": [*notes, *corpora, *_general_notes(settings, rows), *said],
    }


def _settings(settings: ComparisonSettings) -> dict[str, Any]:
    names = ("baseline", "policy", "correction", "proportions", "alpha", "margin", "seed", "resamples")
    plain = {name: getattr(settings, name) for name in names}
    return plain | {"policy": dict(settings.policy), "prices": dataclasses.asdict(settings.prices)}


def _compared(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    """The arms that stand against each other: of every contrast, and of every factorial."""
    pairs = [(row["baseline"], row["arm"]) for row in rows["contrasts"]]
    return [*(tuple(row[role] for role in ROLES) for row in rows["factorials"]), *pairs]


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


def _general_notes(settings: ComparisonSettings, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    said = ["Intervals are 95 % each, not adjusted for how many there are."]
    said += draws_note(rows["contrasts"], settings)
    family, effects = len(rows["contrasts"]), sum(len(row["effects"]) for row in rows["factorials"])
    whose = {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}[settings.correction]
    if family:
        said += [
            f"Adjusted p is {whose} over all {family} contrasts of this run, all tasks and metrics together."
            if family > 1
            else "There is one contrast, so its p is not adjusted.",
            f"equivalent: the interval lies within {100 * settings.margin:g} points on either side of 0, and the "
            f"adjusted p of the two one-sided tests is under {settings.alpha:g}.",
            "majority is the most frequent gold of these very examples, so it has seen the answers.",
        ]
    if rows["overall"]:
        said.append(
            "overall: random effects over tasks, as if these were a sample of the tasks that might have been asked; "
            + (
                f"adjusted p is {whose} over the {len(rows['overall'])} of them, a family of its own."
                if len(rows["overall"]) > 1
                else "there is one, so its p is not adjusted."
            )
        )
    if effects:
        said.append(
            f"Adjusted p of the 2x2 effects is {whose} over all {effects} of them, a family of its own: tuning and "
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
        if "mirage" in settings.policy.values():
            notes += _unread(table)
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


def _unread(table: TaskTable) -> list[str]:
    """Where MIRAGE's policy has no meaning."""
    other = [metric for metric in table.metrics if metric != "accuracy" or not mirage_reads(table)]
    said = f"{table.name}: the policy mirage reads letters out of written answers, so it says nothing of "
    notes = [f"{said}{', '.join(other)}; what is not answered counts as wrong there."] if other else []
    for arm, found in table.samples.items() if mirage_reads(table) else ():
        kept = sum(s.status == "answered" and not lettered(s) for s in found.values())
        if kept:
            notes.append(
                f"{table.name}: {kept} answered samples of {arm} have no text, or a gold other than A to D, and keep "
                "their accuracy; the policy mirage cannot read them."
            )
    return notes
