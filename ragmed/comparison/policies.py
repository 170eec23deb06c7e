"""Tables of scores in, the same scores and contrasts under every policy out, and what depends on the policy.

An answer that cannot be read, was refused or cut off can count as wrong, be left out, or be read as MIRAGE's evaluation
reads it. A conclusion that changes with this choice is one about the form of answers, or about the choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ragmed.comparison.columns import TaskTable, mirage_reads, under
from ragmed.comparison.contrasts import Pair, contrast
from ragmed.comparison.settings import POLICIES, ComparisonSettings, every_failure
from ragmed.comparison.verdicts import Row

Views = Mapping[str, TaskTable | None]
_DUST = 1e-12
SHOWN = ("difference", "ci", "p", "fixed", "broke", "n")


def by_policy(
    tables: Sequence[TaskTable], *, arms: Sequence[str], contrasts: Sequence[Row], settings: ComparisonSettings
) -> dict[str, list[Row]]:
    """
    >>> by_policy(tables, arms=arms, contrasts=[], settings=settings)["policy_rankings"][0]["depends"]  # doctest: +SKIP
    True

    `policies`: every arm's score and how many examples it is of, under every policy. `policy_contrasts`: the given
    contrasts under every policy, p not adjusted. `policy_rankings`: the arms, best first. None where a policy has no
    meaning (MIRAGE's: for accuracy of written answers whose gold is a letter from A to D) or nothing is left.
    `depends`: some policy turns a difference round, or makes it significant (p under alpha and 0 outside the interval)
    where another does not; of a ranking: two arms change places, ties apart.
    """
    rows: dict[str, list[Row]] = {"policies": [], "policy_contrasts": [], "policy_rankings": []}
    for table in tables:
        views: dict[str, TaskTable | None] = {name: under(table, every_failure(name)) for name in POLICIES}
        for metric in table.metrics:
            mine: Views = views if metric == "accuracy" and mirage_reads(table) else views | {"mirage": None}
            scores = [_score(mine, arm, metric) for arm in arms if (arm, metric) in table.columns]
            rows["policies"] += scores
            if len(scores) > 1:
                rows["policy_rankings"].append(_ranking(table.name, metric, scores))
            asked = [row for row in contrasts if (row["task"], row["metric"]) == (table.name, metric)]
            rows["policy_contrasts"] += [_contrast(row, mine, table, settings) for row in asked]
    return rows


def _score(views: Views, arm: str, metric: str) -> Row:
    values: dict[str, float | None] = {}
    counts: dict[str, int | None] = {}
    task = ""
    for name, view in views.items():
        values[name] = counts[name] = None
        if view is not None:
            task = view.name
            column = view.columns[arm, metric].values
            kept = [value for id_ in view.ids if (value := column[id_]) is not None]
            values[name] = math.fsum(kept) / len(kept) if kept else None
            counts[name] = len(kept)
    return {"arm": arm, "task": task, "metric": metric, "values": values, "n": counts}


def _ranking(task: str, metric: str, scores: Sequence[Row]) -> Row:
    orders: dict[str, list[str] | None] = {}
    for name in POLICIES:
        valued = [(row["values"][name], row["arm"]) for row in scores if row["values"][name] is not None]
        orders[name] = [arm for _, arm in sorted(valued, key=lambda one: -one[0])] or None
    columns = [[row["values"][name] for row in scores] for name in POLICIES]
    return {"task": task, "metric": metric, "orders": orders, "depends": _turned(columns)}


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


def _contrast(row: Row, views: Views, table: TaskTable, settings: ComparisonSettings) -> Row:
    pair: Pair = (row["baseline"], row["arm"])
    metric = row["metric"]
    known = [(_columns(table, pair, metric), row)]  # the contrast under the policy of the comparison
    found: dict[str, Row | None] = {}
    for name, view in views.items():
        found[name] = None
        if view is not None:
            mine = _columns(view, pair, metric)
            same = next((one for columns, one in known if columns == mine), None)
            full = same or contrast(view, pair, metric, settings)
            known.append((mine, full))
            found[name] = {key: full[key] for key in SHOWN}
    tested = [one for one in found.values() if one is not None and one["ci"] is not None]
    signs = {_sign(one["difference"]) for one in tested}
    said = {one["p"] < settings.alpha and not one["ci"][0] <= 0 <= one["ci"][1] for one in tested}
    depends = {1, -1} <= signs or len(said) > 1
    named = {"task": row["task"], "metric": metric, "baseline": pair[0], "arm": pair[1]}
    return {**named, "by_policy": found, "depends": depends}


def _columns(table: TaskTable, pair: Pair, metric: str) -> list[Mapping[str, float | None]]:
    return [table.columns[arm, metric].values for arm in pair]
