"""Tables of scores and the pairs that are asked in, one tested row for each pair, task and metric out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.factorial import check_designs, tuned_against_retrieved
from ragmed.comparison.paired import difference_of, is_binary, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.verdicts import Row, conclude, untested
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


def contrasts(tables: Sequence[TaskTable], pairs: Sequence[Pair], settings: ComparisonSettings) -> list[Row]:
    """
    >>> contrasts(tables, [("general", "rag")], settings)[0]["verdict"]  # doctest: +SKIP
    'better'

    Every pair on every task by every metric that both arms have; p adjusted over all of them.
    """
    asked = [
        (table, pair, metric)
        for table in tables
        for metric in table.metrics
        for pair in pairs
        if all((arm, metric) in table.columns for arm in pair)
    ]
    rows = [contrast(table, pair, metric, settings, family=len(asked)) for table, pair, metric in asked]
    conclude([(f"'{r['arm']}' against '{r['baseline']}' on '{r['task']}' by {r['metric']}", r) for r in rows], settings)
    return rows


def contrast(table: TaskTable, pair: Pair, metric: str, settings: ComparisonSettings, *, family: int = 1) -> Row:
    """One row, not yet adjusted for the others of its family."""
    kept, scores = shared(table, pair, metric)
    row: dict[str, Any] = {
        "task": table.name, "metric": metric, "baseline": pair[0], "arm": pair[1], "n": len(kept),
        **untested(settings), "fixed": None, "broke": None,
        "groups": len({table.groups[id_] for id_ in kept}), "left_out": len(table.ids) - len(kept),
        "baseline_value": None, "arm_value": None, "higher_is_better": metric not in settings.descriptive_metrics,
    }  # fmt: skip
    if not kept:
        return row
    old, new = (scores[arm] for arm in pair)
    row |= {"baseline_value": float(old.mean()), "arm_value": float(new.mean())}
    if is_binary(metric, np.concatenate([old, new]), settings):
        row |= {"fixed": int((new > old).sum()), "broke": int((new < old).sum())}
    return row | difference_of(
        table, metric, kept, scores, sides=(pair[:1], pair[1:]), settings=settings, family=family
    )
