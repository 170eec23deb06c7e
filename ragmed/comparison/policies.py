"""Tables of scores in, the same scores and contrasts under every policy out, and what depends on the policy.

An answer that cannot be read, was refused or cut off can count as wrong, or be left out. A conclusion that changes with
this choice is one about the form of answers, or about the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragmed.comparison.columns import TaskTable, under
from ragmed.comparison.contrasts import Pair, contrast
from ragmed.comparison.paired import shared
from ragmed.comparison.rows import Contrast, PolicyContrast, PolicyRanking, PolicyScore, UnderPolicy
from ragmed.comparison.settings import POLICIES, ComparisonSettings, every_failure
from ragmed.comparison.verdicts import alone
from ragmed.records import Measure

Views = Mapping[str, TaskTable]
_DUST = 1e-12


@dataclass(frozen=True, slots=True)
class ByPolicy:
    """Rows of results.json, by their key there."""

    policies: tuple[PolicyScore, ...]
    policy_contrasts: tuple[PolicyContrast, ...]
    policy_rankings: tuple[PolicyRanking, ...]


def by_policy(
    tables: Sequence[TaskTable], *, arms: Sequence[str], contrasts: Sequence[Contrast], settings: ComparisonSettings
) -> ByPolicy:
    """
        by_policy(tables, arms=arms, contrasts=[], settings=settings).policy_rankings[0].depends
        # True

    `policies`: every arm's score and how many examples it is of, under every policy. `policy_contrasts`: the given
    contrasts under every policy, p not adjusted. `policy_rankings`: the arms, best first (highest, where neither is
    better). None where nothing is left.
    `depends`: some policy turns a difference round, or allows another verdict (better, worse, equivalent, or none of
    them) than another policy does; of a ranking: two arms change places, ties apart.
    """
    policies: list[PolicyScore] = []
    against: list[PolicyContrast] = []
    rankings: list[PolicyRanking] = []
    for table in tables:
        views = {name: under(table, every_failure(name)) for name in POLICIES}
        for metric in table.metrics:
            scores = [_score(views, arm, metric) for arm in arms if (arm, metric) in table.columns]
            policies += scores
            if len(scores) > 1:
                rankings.append(_ranking(table, metric, scores))
            asked = [row for row in contrasts if (row.task, row.metric) == (table.name, metric)]
            against += [_contrast(row, views, table, settings) for row in asked]
    return ByPolicy(tuple(policies), tuple(against), tuple(rankings))


def _score(views: Views, arm: str, metric: str) -> PolicyScore:
    values: dict[str, float | None] = {}
    counts: dict[str, int] = {}
    task = ""
    for name, view in views.items():
        task = view.name
        kept, scores = shared(view, [arm], metric)
        values[name] = view.value(metric, scores[arm]) if kept else None
        counts[name] = len(kept)
    return PolicyScore(arm, task, metric, values, counts, views[POLICIES[0]].metrics[metric].unit)


def _ranking(table: TaskTable, metric: str, scores: Sequence[PolicyScore]) -> PolicyRanking:
    turn = 1 if table.metrics[metric].higher_is_better is False else -1
    orders: dict[str, tuple[str, ...] | None] = {}
    for name in POLICIES:
        valued = [(value, row.arm) for row in scores if (value := row.values[name]) is not None]
        orders[name] = tuple(arm for _, arm in sorted(valued, key=lambda one: turn * one[0])) or None
    columns = [[row.values[name] for row in scores] for name in POLICIES]
    return PolicyRanking(table.name, metric, orders, _turned(columns))


def _turned(columns: Sequence[Sequence[float | None]]) -> bool:
    """Whether two arms stand in one order by one column and in the other by another."""
    count = len(columns[0])
    for first in range(count):
        for second in range(first):
            pairs = [(column[first], column[second]) for column in columns]
            signs = {_sign(a - b) for a, b in pairs if a is not None and b is not None}
            if {1, -1} <= signs:
                return True
    return False


def _sign(difference: float) -> int:
    """0 where a difference is no more than the rounding of sums."""
    return 0 if abs(difference) < _DUST else 1 if difference > 0 else -1


def _contrast(row: Contrast, views: Views, table: TaskTable, settings: ComparisonSettings) -> PolicyContrast:
    pair: Pair = (row.baseline, row.arm)
    known = [(_columns(table, pair, row.metric), row)]  # the contrast under the policy of the comparison
    by_policy: dict[str, UnderPolicy] = {}
    for name, view in views.items():
        mine = _columns(view, pair, row.metric)
        same = next((one for columns, one in known if columns == mine), None)
        full = same or contrast(view, pair, row.metric, settings)
        known.append((mine, full))
        by_policy[name] = UnderPolicy(
            full.difference, full.ci, full.p, full.fixed, full.broke, full.n, alone(full, settings)
        )
    signs = {_sign(one.difference) for one in by_policy.values() if one.difference is not None}
    depends = {1, -1} <= signs or len({one.verdict for one in by_policy.values()}) > 1
    return PolicyContrast(row.task, row.metric, row.primary, *pair, by_policy=by_policy, depends=depends, unit=row.unit)


def _columns(table: TaskTable, pair: Pair, metric: str) -> list[Mapping[str, Measure | None]]:
    return [table.columns[arm, metric].values for arm in pair]
