"""Tables of scores and the pairs that are asked in, one tested row for each pair, task and metric out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.completeness import Reasons, missing, within_bounds
from ragmed.comparison.designs import against_retrieved
from ragmed.comparison.factorial import check_designs
from ragmed.comparison.paired import changes, difference_of, is_binary, shared
from ragmed.comparison.rows import Contrast
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources, rule
from ragmed.comparison.verdicts import conclude, fields_of
from ragmed.errors import UnknownNameError, UsageError

Pair = tuple[str, str]


def asked_pairs(arms: Sequence[str], settings: ComparisonSettings) -> list[Pair]:
    """The pairs (baseline, arm), checked against the arms that are there."""
    asked = list(settings.contrasts)
    check_designs(arms, settings)
    for name in [settings.baseline, *settings.baseline_arms, *(name for pair in asked for name in pair)]:
        if name not in arms:
            raise UnknownNameError("arm", name, arms, "the comparison")
    if not asked:
        others = (arm for arm in arms if arm != settings.baseline and arm not in settings.baseline_arms)
        asked = [(settings.baseline, arm) for arm in others]
        there = (pair for pair in settings.misled if set(pair) <= {*arms} - {*settings.baseline_arms})
        more = [*against_retrieved(settings.factorials), *there]
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


def fitting_contrasts(
    tables: Sequence[TaskTable], pairs: Sequence[Pair], settings: ComparisonSettings
) -> list[Contrast]:
    """The same pairs on `tables` that hold the items alone that fit every arm: beside the contrasts of a run, so that
    they are in no family, their p is not adjusted, and nothing is concluded from them.
    """
    rows = [
        contrast(table, pair, metric, settings)
        for table in tables
        for metric in table.metrics
        for pair in pairs
        if all((arm, metric) in table.columns for arm in pair)
    ]
    return conclude([("", False, row) for row in rows], settings)


def contrasts(
    tables: Sequence[TaskTable], pairs: Sequence[Pair], settings: ComparisonSettings, *,
    sources: Mapping[str, ArmSources], reasons: Reasons,
) -> list[Contrast]:  # fmt: skip
    """
        contrasts(tables, [("general", "rag")], settings, sources={}, reasons=Reasons(settings, {}))[0].verdict
        # better

    Every pair on every task by every metric that both arms have; p adjusted over those by primary metrics. `reasons`
    for which a row has no verdict.
    """
    asked = [
        (table, pair, metric)
        for table in tables
        for metric in table.metrics
        for pair in pairs
        if all((arm, metric) in table.columns for arm in pair)
    ]
    family = sum(metric == table.primary for table, _, metric in asked)
    rows = [
        contrast(
            table,
            pair,
            metric,
            settings,
            family=max(1, family),
            corpora=rule(sources, pair),
            reason=reasons.why(table, pair),
        )
        for table, pair, metric in asked
    ]
    named = [
        (f"'{row.arm}' against '{row.baseline}' on '{row.task}' by {row.metric}", row.primary, row) for row in rows
    ]
    return conclude(named, settings)


def contrast(
    table: TaskTable, pair: Pair, metric: str, settings: ComparisonSettings, *, family: int = 1, corpora: str = "",
    reason: str = "",
) -> Contrast:  # fmt: skip
    """One row, not yet adjusted for the others of its family."""
    kept, scores = shared(table, pair, metric)
    facts, (old, new) = table.metrics[metric], (scores[arm] for arm in pair)
    difference = fixed = broke = None
    if kept:
        sides = (pair[:1], pair[1:])
        difference = difference_of(table, metric, kept, scores, sides=sides, settings=settings, family=family)
        if not reason:
            difference = within_bounds(difference, table, metric, sides=sides, settings=settings, family=family)
        if is_binary(facts, np.concatenate([old, new])):
            fixed, broke = (int(changed.sum()) for changed in changes(facts, old, new))
    return Contrast(
        task=table.name, metric=metric, baseline=pair[0], arm=pair[1], n=len(kept), **fields_of(difference, settings),
        fixed=fixed, broke=broke, groups=table.groups_among(kept), left_out=len(table.ids) - len(kept),
        baseline_value=table.value(metric, old) if kept else None, arm_value=table.value(metric, new) if kept else None,
        higher_is_better=facts.higher_is_better, primary=metric == table.primary, corpora=corpora,
        missing=len(missing(table, pair, metric)), reason=reason,
        mid_p=difference.mid_p if difference else None, attainable=difference.attainable if difference else None,
        unit=facts.unit,
    )  # fmt: skip
