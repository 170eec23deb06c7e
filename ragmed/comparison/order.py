"""Order: the same question with its options, or its passages, in another order; how many answers survive that.

An answer that changes with the order was not drawn from what the options or the passages say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.intervals import generator, group_sums, score_interval, wilson
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.twins import Settings, arm_twins, arms_on, option_text, require_same_examples, task_twins
from ragmed.records import Sample

Row = dict[str, Any]
Found = Mapping[tuple[str, str], Mapping[str, Sample]]
Asked = tuple[str, str]


def order(
    tables: Sequence[TaskTable], found: Found, *, arms: Settings, tasks: Settings, settings: ComparisonSettings
) -> list[Row]:
    """
    >>> order(tables, found, arms=facts.arms, tasks=facts.tasks, settings=settings)[0]["share"]  # doctest: +SKIP
    0.55

    `options`: an arm on two tasks that differ in nothing but the options' order. `passages`: two arms on a task that
    differ in nothing but the order of passages. `n`: the examples whose order really differed, that were answered in
    the first order, and that ended in no error in either. `survived`: those of them where the option's text (or the
    written answer, but for case and spaces) is the same; an answer that cannot be read any more has not survived.
    `accuracy` and `other_accuracy` are those of the task's first metric over all its examples.
    """
    known = {table.name: table for table in tables}
    rows = []
    for first, second in task_twins(tasks, differ="options"):
        if first in known and second in known:
            one, other = sorted((first, second), key=lambda name: tasks[name].get("options") != "published")
            require_same_examples(known[one], known[other])
            for arm in arms_on((known[one], known[other]), known[one].metrics[0]):
                asked = ((arm, one), (arm, other))
                rows.append(_row("options", asked, tables=(known[one], known[other]), found=found, settings=settings))
    for pair in arm_twins(arms, differ="passage_order"):
        first, second = sorted(pair, key=lambda name: arms[name].get("passage_order") != "ranked")
        for table in tables:
            if {first, second} <= table.status.keys():
                asked = ((first, table.name), (second, table.name))
                rows.append(_row("passages", asked, tables=(table, table), found=found, settings=settings))
    return rows


def _row(
    kind: str, asked: tuple[Asked, Asked], *, tables: tuple[TaskTable, TaskTable], found: Found,
    settings: ComparisonSettings,
) -> Row:  # fmt: skip
    one, other = (found[key] for key in asked)
    stood = _options if kind == "options" else _passages
    kept = [
        id_
        for id_ in tables[0].ids
        if one[id_].status == "answered" and other[id_].status != "error" and stood(one[id_]) != stood(other[id_])
    ]
    same = np.array([_answer(one[id_]) == _answer(other[id_]) for id_ in kept], np.float64)
    (arm, task), (other_arm, other_task) = asked
    accuracies = [_mean(table, key[0]) for table, key in zip(tables, asked, strict=True)]
    row: Row = {
        "kind": kind, "arm": arm, "task": task, "other_arm": other_arm, "other_task": other_task, "n": len(kept),
        "survived": int(same.sum()), "share": None, "ci": None, "accuracy": accuracies[0],
        "other_accuracy": accuracies[1],
    }  # fmt: skip
    if not kept:
        return row
    sums, sizes = group_sums(same, [tables[0].groups[id_] for id_ in kept])
    if (sizes == 1).all():
        interval = wilson(float(same.sum()), len(kept))
    else:
        rng = generator(settings.seed, "order", kind, *asked[0], *asked[1])
        interval, _ = score_interval(sums, sizes, bounds=(0.0, 1.0), rng=rng, resamples=settings.resamples)
    return row | {"share": float(same.mean()), "ci": list(interval)}


def _options(sample: Sample) -> tuple[str, ...]:
    return sample.options


def _passages(sample: Sample) -> tuple[str, ...]:
    return tuple(str(passage["id"]) for passage in sample.passages)


def _answer(sample: Sample) -> str | None:
    """What was chosen, by its text; a written answer without case and runs of spaces. None: nothing was read."""
    if sample.status != "answered" or sample.extracted is None:
        return None
    chosen = option_text(sample, sample.extracted) if sample.options else None
    return " ".join((chosen or sample.extracted).casefold().split())


def _mean(table: TaskTable, arm: str) -> float | None:
    metric = table.metrics[0] if table.metrics else ""
    column = table.columns.get((arm, metric))
    values = [value for value in column.values.values() if value is not None] if column else []
    return sum(values) / len(values) if values else None
