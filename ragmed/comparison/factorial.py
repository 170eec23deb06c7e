"""The arms of a factorial design in, what its factor does, what retrieval does and how they interact out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.completeness import Reasons, within_bounds
from ragmed.comparison.designs import Design
from ragmed.comparison.paired import difference_of, scored, shared
from ragmed.comparison.rows import Effect, Factorial
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources, rule
from ragmed.comparison.verdicts import conclude, fields_of
from ragmed.errors import UnknownNameError, UsageError


def factorials(
    tables: Sequence[TaskTable], *,
    settings: ComparisonSettings, sources: Mapping[str, ArmSources], reasons: Reasons,
) -> list[Factorial]:  # fmt: skip
    """
        factorials(tables, settings=settings, sources={}, reasons=Reasons(settings, {}))[0].effects[2].effect
        # interaction

    A row for each design, task and metric where all of its arms have scores, on the examples that all of them have.
    Its effects are the questions of the design. Main effects are the mean of their simple effects. `interaction` of the
    usual four arms: (both - retrieved) - (tuned - control); positive: each does more in the presence of the other.
    p_adjusted is over all effects of all rows by primary metrics, a family of its own.
    """
    asked = [
        (table, design, metric)
        for table in tables
        for metric in table.metrics
        for design in settings.factorials
        if all((arm, metric) in table.columns for arm in design.arms)
    ]
    family = max(1, sum(len(design.questions) for table, design, metric in asked if metric == table.primary))
    rows = [
        _row(table, design, metric, settings=settings, sources=sources, reasons=reasons, family=family)
        for table, design, metric in asked
    ]
    named = [
        (f"the effect '{effect.effect}' of {' and '.join(row.arms[1:-1])} on '{row.task}' by {row.metric}",
         row.primary, effect)
        for row in rows for effect in row.effects
    ]  # fmt: skip
    effects = iter(conclude(named, settings))
    return [replace(row, effects=tuple(next(effects) for _ in row.effects)) for row in rows]


def check_designs(arms: Sequence[str], settings: ComparisonSettings) -> None:
    """UnknownNameError for an arm that is not there, UsageError for one of the baselines, which are in no contrast."""
    for arm in (arm for design in settings.factorials for arm in design.arms):
        if arm not in arms:
            raise UnknownNameError("arm", arm, arms, "the factorials")
        if arm in settings.baseline_arms:
            raise UsageError(f"arm '{arm}' is one of the baseline arms, which are in no factorial")


def _row(
    table: TaskTable, design: Design, metric: str, *,
    settings: ComparisonSettings, sources: Mapping[str, ArmSources], reasons: Reasons, family: int,
) -> Factorial:  # fmt: skip
    kept, scores = shared(table, design.arms, metric)
    unit = table.metrics[metric].unit
    corpora, better = rule(sources, design.arms), table.metrics[metric].higher_is_better
    reason = reasons.why(table, design.arms)
    effects = []
    for question in design.questions:
        sides, over = (question.minus, question.plus), question.over
        difference = difference_of(
            table, metric, kept, scores, sides=sides, over=over, settings=settings, family=family
        ) if kept else None  # fmt: skip
        if difference and not reason:
            difference = within_bounds(
                difference, table, metric, sides=sides, over=over, settings=settings, family=family
            )
        effects.append(
            Effect(
                effect=question.effect, **fields_of(difference, settings), higher_is_better=better, reason=reason,
                level=question.level, unit=unit,
            )
        )  # fmt: skip
    first, second = design.levels[:2]
    return Factorial(
        task=table.name, metric=metric, n=len(kept), control=first.closed_book,
        tuned=second.closed_book if design.factor == "tuning" else None,
        retrieved=first.with_passages, both=second.with_passages,
        same_corpus={"same": True, "different": False}.get(corpora), corpora=corpora,
        groups=table.groups_among(kept), left_out=len(table.ids) - len(kept), margin=settings.margin,
        higher_is_better=better, primary=metric == table.primary,
        cells={
            role: scored(table, arm, metric, kept=kept, settings=settings) for role, arm in design.roles.items() if kept
        },
        simple=_simple(design, {arm: table.value(metric, values) for arm, values in scores.items()}) if kept else {},
        effects=tuple(effects), levels=design.levels, factor=design.factor,
        unit=unit,
    )  # fmt: skip


def _simple(design: Design, values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What retrieval does at each level, and what the factor does without and with passages: means, untested. Of more
    than two levels each has a row of its own.
    """
    first, *others = design.levels
    gains = {one.name: values[one.with_passages] - values[one.closed_book] for one in design.levels}
    rows = {
        design.factor if len(others) == 1 else f"{design.factor}: {one.name}": {
            "closed_book": values[one.closed_book] - values[first.closed_book],
            "with_passages": values[one.with_passages] - values[first.with_passages],
        }
        for one in others
    }
    return {"retrieval": gains, **rows}
