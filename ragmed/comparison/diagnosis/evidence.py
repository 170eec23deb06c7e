"""Right or wrong by whether a gold passage was shown: what an arm gets right without the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.decomposition import numbers, right_or_wrong
from ragmed.comparison.diagnosis.gold_documents import gold_shown, tells_gold
from ragmed.comparison.diagnosis.rows import Evidence, Share
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import PROPORTIONS, generator, group_sums, score_interval
from ragmed.records import Answer

SHOWN = ("retrieved", "full")
CELLS = {
    "right_with": (True, True), "right_without": (True, False), "wrong_with": (False, True),
    "wrong_without": (False, False),
}  # fmt: skip


def evidence(
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Answer]], *,
    arms: Mapping[str, Mapping[str, Any]], settings: ComparisonSettings,
) -> list[Evidence]:  # fmt: skip
    """
        evidence(tables, found, arms=facts.arms, settings=settings)[0].right_without.share
        # 0.12

    A row for each arm that retrieves or is shown records whole, each task with gold documents and each metric of 0 and
    1. The four cells are shares of the `n` examples that have a score and of which it is known whether a passage (or a
    document of the record) that holds the answer was shown; `unsupported` is the share of right answers that were given
    without one. Intervals: as those of scores of 0 and 1, whole groups together. A gold document that was shown need
    not have been shown with the passage that answers, so what is right `with` it is at most what rests on it.
    """
    rows = []
    for table in tables:
        for arm, about in arms.items():
            for metric in table.metrics:
                if about.get("context") in SHOWN and right_or_wrong(table, arm, metric):
                    row = _row(table, arm, metric, found[arm, table.name], settings)
                    rows += [row] if row else []
    return rows


def _row(
    table: TaskTable, arm: str, metric: str, answers: Mapping[str, Answer], settings: ComparisonSettings
) -> Evidence | None:
    if not (tells := tells_gold(answer.sample for answer in answers.values())):
        return None
    values = numbers(table, arm, metric)
    scored = [id_ for id_ in table.ids if values[id_] is not None]
    shown = {id_: gold_shown(answers[id_].sample, tells=tells) for id_ in scored}
    told = [id_ for id_ in scored if shown[id_] is not None]
    if not told:
        return None

    def share(name: str, ids: Sequence[str], wanted: tuple[bool, bool]) -> Share:
        flags = [(values[id_] == 1, shown[id_]) == wanted for id_ in ids]
        return _share(table, flags, ids, names=("evidence", name, table.name, metric, arm), settings=settings)

    return Evidence(
        arm, table.name, metric, n=len(told), unknown=len(scored) - len(told),
        **{name: share(name, told, wanted) for name, wanted in CELLS.items()},
        unsupported=share("unsupported", [id_ for id_ in told if values[id_] == 1], CELLS["right_without"]),
    )  # fmt: skip


def _share(
    table: TaskTable, flags: Sequence[bool], ids: Sequence[str], *, names: tuple[str, ...], settings: ComparisonSettings
) -> Share:
    if not flags:
        return Share(0, 0, None, None)
    values = np.array(flags, np.float64)
    sums, sizes = group_sums(values, [table.groups[id_] for id_ in ids])
    if (sizes == 1).all():
        interval = PROPORTIONS[settings.proportions](float(values.sum()), len(values))
    else:
        interval, _ = score_interval(
            sums, sizes, bounds=(0.0, 1.0), rng=generator(settings.seed, *names), resamples=settings.resamples,
            proportion=settings.proportions,
        )  # fmt: skip
    return Share(sum(flags), len(flags), float(values.mean()), interval)
