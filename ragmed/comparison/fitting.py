"""Tables of answers in, what did not fit out: how many items of each arm, and all arms on the items that fit every arm.

What does not fit is long, and long items may be hard in themselves; an arm that leaves them out is scored on others
than an arm that reads them all. On the items that fit every arm, all of them are asked the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragmed.comparison.columns import Column, TaskTable
from ragmed.comparison.rows import Fit
from ragmed.records import STATUSES


def fits(tables: Sequence[TaskTable]) -> list[Fit]:
    """A row for each arm and task of which some item did not fit: its prompt, or its record whole."""
    rows = []
    for table in tables:
        for arm, answers in table.answers.items():
            samples = [answer.sample for answer in answers.values() if not answer.sample.fits]
            unasked = sum(sample.finish == "error" for sample in samples)
            if samples:
                rows.append(Fit(arm, table.name, len(table.ids), unasked=unasked, cut=len(samples) - unasked))
    return rows


def where_all_fit(table: TaskTable) -> TaskTable | None:
    """The same table with the examples alone that fit every arm; None where all of them do."""
    kept = tuple(id_ for id_ in table.ids if all(found[id_].sample.fits for found in table.answers.values()))
    if len(kept) == len(table.ids):
        return None
    answers = {arm: {id_: found[id_] for id_ in kept} for arm, found in table.answers.items()}
    columns = {
        (arm, metric): Column(
            {id_: column.values[id_] for id_ in kept},
            sum(a.score.status == "answered" and metric not in a.score.metrics for a in answers[arm].values()),
        )
        for (arm, metric), column in table.columns.items()
    }
    status: dict[str, dict[str, int]] = {
        arm: {one: sum(a.score.status == one for a in found.values()) for one in STATUSES}
        for arm, found in answers.items()
    }
    return replace(table, ids=kept, answers=answers, columns=columns, status=status)
