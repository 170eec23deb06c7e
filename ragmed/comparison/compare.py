"""All samples of a run in, results.json out: which arm is better at which task, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ragmed.comparison.alike import alike
from ragmed.comparison.baselines import best_constant, trivial_baselines
from ragmed.comparison.cautions import cautions
from ragmed.comparison.columns import TaskTable, build_tables, repeated, sample_notes
from ragmed.comparison.completeness import Reasons, completeness_notes
from ragmed.comparison.contrasts import asked_pairs, contrasts, fitting_contrasts
from ragmed.comparison.costs.cost import cost_row, economics, economics_notes
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.designs import explained, shapes
from ragmed.comparison.diagnosis.diagnose import RunFacts, diagnose
from ragmed.comparison.factorial import factorials
from ragmed.comparison.failures import (
    failure_contrasts,
    failures,
    measured_errors,
    measured_kinds,
    unmeasured_notes,
)
from ragmed.comparison.fitting import fits, where_all_fit
from ragmed.comparison.overall import overall
from ragmed.comparison.paired import draws_note, is_binary, scored
from ragmed.comparison.policies import ByPolicy, by_policy
from ragmed.comparison.protocols import protocol_notes
from ragmed.comparison.published import beside_published, suite_totals
from ragmed.comparison.results import SCHEMA, Results
from ragmed.comparison.rows import Baseline, Contrast, Factorial, NotRun, Overall, PolicyContrast, Score
from ragmed.comparison.settings import ComparisonSettings, every_failure
from ragmed.comparison.sources import ArmSources, corpora_notes, declared
from ragmed.comparison.steps import step_notes, step_rows
from ragmed.errors import DataError
from ragmed.metrics import MetricFacts
from ragmed.metrics.support import UNSUPPORTED
from ragmed.records import Answer
from ragmed.text_table import counted, plural, verb

__all__ = ["ComparisonSettings", "Prices", "Results", "compare"]


def compare(
    answers: Mapping[tuple[str, str], Sequence[Answer]],
    *,
    run: str,
    settings: ComparisonSettings,
    metrics: Mapping[str, Sequence[MetricFacts]] | None = None,
    notes: Sequence[str] = (),
    sources: Mapping[str, ArmSources] | None = None,
    facts: RunFacts | None = None,
) -> Results:
    """
    The contents of results.json:

        compare(answers, run="trial", settings=ComparisonSettings(baseline="general")).contrasts[0].verdict

    `answers`: (arm, task) -> its samples with their scores. Scores and differences are fractions. Arms must have
    answered the same examples of a task; a task that an arm did not run is listed under `not_run`. The same samples and
    settings give the same numbers to the last bit, in whatever order samples and tasks come. Names of arms, tasks and
    metrics seed what is drawn: another name moves a drawn interval or p within the error of its simulation, and nothing
    else. `metrics`: task -> what it measures, the primary metric first, which alone is in the family of the correction;
    an arm with no scored sample keeps its row. `notes` go into the results as they are. `sources`: the references
    behind each arm. A contrast's `corpora` is `same`, `different` or `unknown` where what one arm's weights were
    trained on stands against what an arm is shown, else empty. Raises MismatchError, DataError, UsageError, each naming
    what is wrong.
    """
    arms = tuple(dict.fromkeys(arm for arm, _ in answers))
    pairs = asked_pairs(arms, settings)
    every = build_tables(answers, settings.policy, metrics)
    if not every:
        raise DataError(f"run '{run}' has no samples; run `ragmed eval` first")
    known, about = declared(sources or {}, settings.factorials), facts or RunFacts()
    tables = [table.without(UNSUPPORTED) for table in every]  # a failure, reported with its error alone
    errors = measured_errors(about.metrics, settings)
    failing = every if errors else tables
    reasons = Reasons(settings, known)
    paired = contrasts(tables, pairs, settings, sources=known, reasons=reasons)
    fitting = [held for table in tables if (held := where_all_fit(table)) is not None]
    squares = factorials(tables, settings=settings, sources=known, reasons=reasons)
    costs = [
        cost_row(arm, task, given, prices=settings.prices, memory=about.memory.get(arm))
        for (arm, task), given in ((key, [answer.sample for answer in given]) for key, given in answers.items())
        if any(s.input_tokens or s.output_tokens or s.seconds for s in given)  # nobody recorded: unknown, not 0
    ]
    saved = economics(costs, sources=known, settings=settings)
    scored_arms = [arm for arm in arms if arm not in settings.baseline_arms]
    same = {name: str(t.get("task") or t.get("file") or "") for name, t in about.tasks.items()}
    pooled, pooling = overall(paired, settings=settings, same=same, tables=tables)
    policies = by_policy(tables, arms=scored_arms, contrasts=paired, settings=settings)
    paired = [_held_to(row, one) for row, one in zip(paired, _found(policies, paired), strict=True)]
    baselines, found = _baselines(tables, settings)
    behind = diagnose(answers, tables, contrasts=paired, settings=settings, facts=about)
    corpora = corpora_notes(known, [*(row.arms for row in squares), *((row.baseline, row.arm) for row in paired)])
    family = [row for row in paired if row.primary]
    overall_family = [row for row in pooled if row.primary]
    effects = [effect for row in squares if row.primary for effect in row.effects]
    scores = [row for table in tables for row in _scores(table, scored_arms, settings)]
    wrong = every_failure("wrong")
    strict = [] if settings.policy == wrong else build_tables(answers, wrong, metrics)
    told, ungrouped = alike(tables, scores, settings, reasons=reasons, strict=strict)
    steps = step_rows(answers)
    kinds = measured_kinds(failing)
    failed = failures(kinds, scored_arms, settings)
    crossed = [set(design.arms) for design in settings.factorials]
    chosen = [
        (r.baseline, r.arm) for r in family if not r.reason and not any({r.baseline, r.arm} <= c for c in crossed)
    ]
    said = [
        "Intervals are 95 % each, not adjusted for how many there are.",
        *draws_note(paired, settings),
        *_family_notes(settings, paired, family=family, baselines=baselines),
        *_overall_notes(settings, overall_family),
        *_effect_notes(settings, squares),
        *economics_notes(saved, settings.prices),
        *found,
        *pooling,
        *completeness_notes(tables, arms, settings),
        *_repeated_notes(tables),
        *_metric_notes(tables, pairs),
        *unmeasured_notes(every, about.metrics),
        *protocol_notes(scores, about.tasks),
        *ungrouped,
        *cautions(about.arms, chosen),
        *step_notes(steps),
        *sample_notes(answers),
    ]
    return Results(
        SCHEMA, run, settings.baseline, policy=settings.policy, correction=settings.correction,
        proportions=settings.proportions, alpha=settings.alpha, margin=settings.margin, seed=settings.seed,
        resamples=settings.resamples, prices=settings.prices, family=len(family), overall_family=len(overall_family),
        factorial_family=len(effects), contrasts=tuple(paired), factorials=tuple(squares), costs=tuple(costs),
        economics=tuple(saved), overall=tuple(pooled), policies=policies.policies,
        policy_contrasts=policies.policy_contrasts, policy_rankings=policies.policy_rankings,
        scores=tuple(scores),
        published=tuple(beside_published(scores, about.arms, about.tasks, settings.published)),
        suites=tuple(suite_totals(scores, about.arms, settings.published)),
        alike=tuple(told),
        baselines=tuple(baselines),
        not_run=tuple(NotRun(arm, t.name) for t in tables for arm in arms if not answers.get((arm, t.name))),
        fits=tuple(fits(tables)),
        fitting_scores=tuple(row for table in fitting for row in _scores(table, arms, settings)),
        fitting_contrasts=tuple(fitting_contrasts(fitting, pairs, settings)),
        ledger=behind.ledger, decomposition=behind.decomposition, compliance=behind.compliance,
        compliance_contrasts=behind.compliance_contrasts, order=behind.order, calibration=behind.calibration,
        retrieval=behind.retrieval, evidence=behind.evidence, followed=behind.followed, leakage=behind.leakage,
        leakage_contrasts=behind.leakage_contrasts,
        corpora_notes=tuple(corpora), notes=(*notes, *corpora, *said),
        failures=tuple(failed),
        failure_contrasts=tuple(failure_contrasts(kinds, failed, pairs, settings)), measured_errors=tuple(errors),
        steps=tuple(steps),
    )  # fmt: skip


def _found(policies: ByPolicy, rows: Sequence[Contrast]) -> list[PolicyContrast]:
    by_name = {(one.task, one.metric, one.baseline, one.arm): one for one in policies.policy_contrasts}
    return [by_name[row.task, row.metric, row.baseline, row.arm] for row in rows]


def _held_to(row: Contrast, found: PolicyContrast) -> Contrast:
    """The row, with whether it depends on what unreadable answers count as. A claim must hold where they count as
    wrong, since leaving them out is what a model that answers the easy questions alone would gain by; that two arms are
    equivalent must hold under every policy.
    """
    unheld = row.verdict == "equivalent" or found.by_policy["wrong"].verdict != row.verdict
    claims = row.verdict in ("better", "worse", "equivalent")
    return replace(
        row, depends=found.depends, verdict="cannot-tell" if found.depends and claims and unheld else row.verdict
    )


def _scores(table: TaskTable, arms: Sequence[str], settings: ComparisonSettings) -> list[Score]:
    return [
        _score(table, arm, metric, settings)
        for metric in table.metrics
        for arm in arms
        if (arm, metric) in table.columns
    ]


def _score(table: TaskTable, arm: str, metric: str, settings: ComparisonSettings) -> Score:
    column = table.columns[arm, metric]
    kept = table.kept([arm], metric)
    found = scored(table, arm, metric, kept=kept, settings=settings) if kept else None
    return Score(
        arm, table.name, metric, metric == table.primary, value=found.value if found else None,
        ci=found.ci if found else None, n=len(kept), status=table.status[arm],
        groups=table.groups_among(kept), unscored=column.unscored,
        interval=found.interval if found else "none", unit=table.metrics[metric].unit,
    )  # fmt: skip


def _baselines(tables: Sequence[TaskTable], settings: ComparisonSettings) -> tuple[list[Baseline], list[str]]:
    rows: list[Baseline] = []
    notes: list[str] = []
    for table in tables:
        if table.right_or_wrong:
            examples = [table.examples[id_] for id_ in table.ids]
            found, said = trivial_baselines(table.name, table.right_or_wrong, examples)
            rows += found
            notes += said
        for metric, facts in table.metrics.items():
            if facts.kind == "ratio":
                rows += best_constant(table.name, metric, [table.examples[id_] for id_ in table.ids])
        for arm in settings.baseline_arms:
            rows += [
                Baseline(
                    table.name, score.metric, arm, score.value, score.n, ci=score.ci, status=score.status,
                    groups=score.groups, unscored=score.unscored, interval=score.interval,
                )
                for score in _scores(table, [arm], settings)
            ]  # fmt: skip
    return rows, notes


def _whose(settings: ComparisonSettings) -> str:
    return {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}[settings.correction]


def _family_notes(
    settings: ComparisonSettings, rows: Sequence[Contrast], *, family: Sequence[Contrast], baselines: Sequence[Baseline]
) -> list[str]:
    said = []
    if family:
        said += [
            f"Adjusted p is {_whose(settings)} over all {len(family)} contrasts of this run by the primary metric of "
            "their task."
            if len(family) > 1
            else "There is one contrast, so its p is not adjusted.",
            f"equivalent: the interval lies within {100 * settings.margin:g} points on either side of 0, and the "
            f"adjusted p of the two one-sided tests is under {settings.alpha:g}.",
        ]
    if any(row.name == "majority" for row in baselines):
        said.append("majority is the most frequent gold of these very examples, so it has seen the answers.")
    if len(family) < len(rows):
        said.append("secondary: by another metric than the task's primary one; its p is not adjusted, and no verdict.")
    return said


def _overall_notes(settings: ComparisonSettings, family: Sequence[Overall]) -> list[str]:
    if not family:
        return []
    return [
        "overall: random effects over tasks, as if these were a sample of the tasks that might have been asked; "
        + (
            f"adjusted p is {_whose(settings)} over the {len(family)} of them, a family of its own."
            if len(family) > 1
            else "there is one, so its p is not adjusted."
        )
    ]


def _effect_notes(settings: ComparisonSettings, rows: Sequence[Factorial]) -> list[str]:
    primary = [row for row in rows if row.primary]
    if not primary:
        return []
    designs = [row.design for row in primary]
    said = explained(designs)
    return [
        f"Adjusted p of the {shapes(designs)} effects is {_whose(settings)} over all "
        f"{sum(len(row.effects) for row in primary)} of them, a family of its own: {said[:1].lower()}{said[1:]}"
    ]


def _repeated_notes(tables: Sequence[TaskTable]) -> list[str]:
    return [
        f"{table.name}: {count} of {counted(len(table.ids), 'example')} {verb(count, 'asks', 'ask')} what another "
        "one asks, its number, case and blanks apart; examples that ask the same count as one group."
        for table in tables
        if (count := repeated(table))
    ]


def _metric_notes(tables: Sequence[TaskTable], pairs: Sequence[tuple[str, str]]) -> list[str]:
    notes = []
    in_pairs = list(dict.fromkeys(arm for pair in pairs for arm in pair))
    for table in tables:
        for metric, facts in table.metrics.items():
            absent = [arm for arm in in_pairs if arm in table.status and (arm, metric) not in table.columns]
            if absent:
                notes.append(f"{table.name}: {metric} is not measured in {', '.join(absent)}: no contrast by it.")
            columns = {arm: column for (arm, name), column in table.columns.items() if name == metric}
            for arm, column in columns.items():
                if column.unscored:
                    notes.append(
                        f"{table.name}: left out, for want of {metric}: {column.unscored} answered "
                        f"{plural('sample', column.unscored)} of {arm}."
                    )
            if facts.kind != "binary":
                continue
            values = np.array([v for column in columns.values() for v in column.values.values() if v is not None])
            if not is_binary(facts, values):
                notes.append(f"{table.name}: {metric} has values other than 0 and 1, so it is treated as graded there.")
    return notes
