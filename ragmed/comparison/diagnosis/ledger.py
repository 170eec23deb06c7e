"""Tables and contrasts in, the examples behind each difference out: those that an arm repaired, those it damaged."""

from __future__ import annotations

from collections.abc import Sequence

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Ledger
from ragmed.comparison.paired import changes, shared
from ragmed.comparison.rows import Contrast


def ledger(tables: Sequence[TaskTable], contrasts: Sequence[Contrast]) -> list[Ledger]:
    """
        ledger(tables, results.contrasts)[0].broke
        # ('hq-017', 'hq-093')

    A row for each contrast of scores that are 0 or 1: `fixed`, the ids of examples that the baseline has wrong and the
    arm right, and `broke`, the reverse, both in the order of the ids. Examples that the policy leaves out are in
    neither.
    """
    known = {table.name: table for table in tables}
    rows = []
    for contrast in contrasts:
        if contrast.fixed is None:
            continue
        table, pair = known[contrast.task], (contrast.baseline, contrast.arm)
        kept, scores = shared(table, pair, contrast.metric)
        old, new = (scores[arm] for arm in pair)
        fixed, broke = changes(table.metrics[contrast.metric], old, new)
        rows.append(
            Ledger(
                contrast.task, contrast.metric, *pair,
                fixed=tuple(id_ for id_, changed in zip(kept, fixed, strict=True) if changed),
                broke=tuple(id_ for id_, changed in zip(kept, broke, strict=True) if changed),
            )
        )  # fmt: skip
    return rows
