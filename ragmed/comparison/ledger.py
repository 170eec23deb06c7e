"""Tables and contrasts in, the examples behind each difference out: those that an arm repaired, those it damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.paired import is_binary, shared
from ragmed.comparison.settings import ComparisonSettings

Row = dict[str, Any]


def ledger(
    tables: Sequence[TaskTable], contrasts: Sequence[Mapping[str, Any]], settings: ComparisonSettings
) -> list[Row]:
    """
    >>> ledger(tables, results["contrasts"], settings)[0]["broke"]  # doctest: +SKIP
    ['hq-017', 'hq-093']

    A row for each contrast of scores that are 0 or 1: `fixed`, the ids of examples that the baseline has wrong and the
    arm right, and `broke`, the reverse, both in the order of the ids. Examples that the policy leaves out are in
    neither.
    """
    known = {table.name: table for table in tables}
    rows = []
    for contrast in contrasts:
        if contrast["fixed"] is None:
            continue
        pair = (contrast["baseline"], contrast["arm"])
        kept, scores = shared(known[contrast["task"]], pair, contrast["metric"])
        old, new = (scores[arm] for arm in pair)
        if not is_binary(contrast["metric"], np.concatenate([old, new]), settings):
            continue
        named = {key: contrast[key] for key in ("task", "metric", "baseline", "arm")}
        fixed = [id_ for id_, more in zip(kept, new > old, strict=True) if more]
        rows.append(named | {"fixed": fixed, "broke": [id_ for id_, less in zip(kept, new < old, strict=True) if less]})
    return rows
