"""Order: the same question with its options, or its passages, in another order; how many answers survive that.

An answer that changes with the order was not drawn from what the options or the passages say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Order
from ragmed.comparison.diagnosis.same_questions import (
    Settings,
    arm_pairs,
    arms_on,
    option_text,
    require_same_examples,
    task_pairs,
)
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import generator, group_sums, score_interval, wilson
from ragmed.records import Answer

Found = Mapping[tuple[str, str], Mapping[str, Answer]]
Asked = tuple[str, str]


def order(
    tables: Sequence[TaskTable], found: Found, *, arms: Settings, tasks: Settings, settings: ComparisonSettings
) -> list[Order]:
    """
        order(tables, found, arms=facts.arms, tasks=facts.tasks, settings=settings)[0].share
        # 0.55

    `options`: an arm on two tasks that differ in nothing but the options' order. `passages`: two arms on a task that
    differ in nothing but the order of passages. `n`: the examples whose order really differed, that were answered in
    the first order, and that ended in no error in either. `survived`: those of them where the option's text (or the
    written answer, but for case and spaces) is the same; an answer that cannot be read any more has not survived.
    `value` and `other_value` are those of the task's primary metric over all its examples.
    """
    known = {table.name: table for table in tables}
    rows = []
    for first, second in task_pairs(tasks, differ="options"):
        if first in known and second in known:
            one, other = sorted((first, second), key=lambda name: tasks[name].get("options") != "published")
            require_same_examples(known[one], known[other])
            for arm in arms_on((known[one], known[other]), known[one].primary):
                asked = ((arm, one), (arm, other))
                rows.append(_row("options", asked, tables=(known[one], known[other]), found=found, settings=settings))
    for pair in arm_pairs(arms, differ="passage_order"):
        first, second = sorted(pair, key=lambda name: arms[name].get("passage_order") != "ranked")
        for table in tables:
            if {first, second} <= table.status.keys():
                asked = ((first, table.name), (second, table.name))
                rows.append(_row("passages", asked, tables=(table, table), found=found, settings=settings))
    return rows


def _row(
    kind: Literal["options", "passages"], asked: tuple[Asked, Asked], *,
    tables: tuple[TaskTable, TaskTable], found: Found, settings: ComparisonSettings,
) -> Order:  # fmt: skip
    one, other = (found[key] for key in asked)
    stood = _options if kind == "options" else _passages
    kept = [
        id_
        for id_ in tables[0].ids
        if one[id_].score.status == "answered"
        and other[id_].score.status != "error"
        and stood(one[id_]) != stood(other[id_])
    ]
    same = np.array([_answer(one[id_]) == _answer(other[id_]) for id_ in kept], np.float64)
    (arm, task), (other_arm, other_task) = asked
    value, other_value = (_mean(table, key[0]) for table, key in zip(tables, asked, strict=True))
    sums, sizes = group_sums(same, [tables[0].groups[id_] for id_ in kept])
    interval = None
    if kept and (sizes == 1).all():
        interval = wilson(float(same.sum()), len(kept))
    elif kept:
        rng = generator(settings.seed, "order", kind, *asked[0], *asked[1])
        interval, _ = score_interval(sums, sizes, bounds=(0.0, 1.0), rng=rng, resamples=settings.resamples)
    return Order(
        kind, arm, task, other_arm, other_task, n=len(kept), survived=int(same.sum()),
        share=float(same.mean()) if kept else None, ci=interval, value=value, other_value=other_value,
    )  # fmt: skip


def _options(answer: Answer) -> tuple[str, ...]:
    return tuple(answer.example.options.values())


def _passages(answer: Answer) -> tuple[str, ...]:
    return tuple(passage.id for passage in answer.sample.passages)


def _answer(answer: Answer) -> str | None:
    """What was chosen, by its text; a written answer without case and runs of spaces. None: nothing was read."""
    if answer.score.status != "answered" or answer.score.value is None:
        return None
    return " ".join((option_text(answer.example, answer.score.value) or str(answer.score.value)).casefold().split())


def _mean(table: TaskTable, arm: str) -> float | None:
    column = table.columns.get((arm, table.primary))
    values = [value for value in column.values.values() if value is not None] if column else []
    return table.value(table.primary, np.array(values, np.float64)) if values else None
