"""Knowledge or compliance: the same questions answered in two ways, freely written and held to the valid forms.

A model that has the answer but cannot put it as told is wrong when it writes and right when its answer is held to the
form. A loss of that kind is one of instruction following, and must not be read as a loss of medicine. The two ways are
one arm on two names of a task (scored by what is written, and by log-likelihood), or two arms on one task of which one
is `constrained`.

The difference of the two ways falls into two parts that add up to it. Between them stand the answers as they were
written, but for those of which nothing could be read, which are taken as they are when held. What is written less these
is the part of form; these less what is held, the part of other answers. Each is a paired difference like any other, so
that it has an interval, and a metric of sums (micro-F1) is computed anew from the counts of the answers between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Compliance, ComplianceContrast
from ragmed.comparison.diagnosis.same_questions import (
    Settings,
    arm_pairs,
    arms_on,
    require_same_examples,
    task_pairs,
)
from ragmed.comparison.paired import difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.differences import Difference
from ragmed.metrics import POINTS
from ragmed.records import Answer

_FREE = frozenset({"normalise", "max_tokens"})  # they mean something for one of the two ways alone
_LIKELIHOOD = "likelihood"
_HELD = "constrained"
Found = Mapping[tuple[str, str], Mapping[str, Answer]]


@dataclass(frozen=True, slots=True)
class Twin:
    """An arm on a table where it writes freely, and where its answers are held; `held_by`: how."""

    metric: str
    arm: str
    written: TaskTable
    held_arm: str
    held: TaskTable
    held_by: str

    @property
    def way(self) -> tuple[str, str, str, str]:
        """What twins of two arms must share, so that their differences can be told apart."""
        return self.metric, self.written.name, self.held.name, self.held_by

    @property
    def cells(self) -> tuple[str, str]:
        """The names of the two columns, freely written first."""
        return _cell(self.arm, self.written), _cell(self.held_arm, self.held)


def twins(tables: Sequence[TaskTable], found: Found, *, tasks: Settings, arms: Settings) -> list[Twin]:
    """All arms whose answers are there in both ways: tasks asked twice first, then arms with a constrained twin."""
    asked_twice = [
        Twin(metric, arm, written, arm, held, _LIKELIHOOD)
        for written, held in ways(tables, tasks)
        for metric in _told_by(written)
        for arm in arms_on((written, held), metric)
    ]
    pairs = [sorted(pair, key=lambda arm: bool(arms[arm].get(_HELD))) for pair in arm_pairs(arms, differ=_HELD)]
    beside = []
    for table in tables:
        if tasks.get(table.name, {}).get("scoring", "generate") != "generate":
            continue
        for metric in _told_by(table):
            there = set(arms_on((table,), metric))
            for free, held in pairs:
                if {free, held} <= there and not arms[free].get(_HELD):
                    first = next(iter(found[held, table.name].values()))
                    beside.append(Twin(metric, free, table, held, table, first.sample.constraint or _LIKELIHOOD))
    return [*asked_twice, *beside]


def _told_by(table: TaskTable) -> list[str]:
    """Whether an answer is right, where that is known, and the primary metric, where differences of it are points."""
    metrics = dict.fromkeys(filter(None, (table.right_or_wrong, table.primary)))
    return [name for name in metrics if table.metrics[name].unit == POINTS]


def ways(tables: Sequence[TaskTable], tasks: Settings) -> list[tuple[TaskTable, TaskTable]]:
    """Each task that was asked in both ways: (asked to write, asked by log-likelihood)."""
    known = {table.name: table for table in tables}
    found = []
    for pair in task_pairs(tasks, differ="scoring", may_differ=_FREE):
        if all(name in known for name in pair):
            first, second = sorted(pair, key=lambda name: tasks[name].get("scoring") != "generate")
            if tasks[first].get("scoring") == "generate":
                require_same_examples(known[first], known[second])
                found.append((known[first], known[second]))
    return found


def compliance(
    tables: Sequence[TaskTable], found: Found, *, tasks: Settings, arms: Settings, settings: ComparisonSettings
) -> list[Compliance]:
    """
        compliance(tables, found, tasks=facts.tasks, arms=facts.arms, settings=settings)[0].said
        # compliance

    A row for each arm and task answered in both ways, paired example by example, by whether answers are right and by
    the task's primary metric. `difference`: written less held; of it `by_form` comes from answers of which nothing
    could be read, `by_answers` from others. `known_but_unreadable`: nothing readable written, and right where it is
    held, at least in part (`examples`). `said`:

        compliance    it scores less when it writes, and at least half of the difference comes by form
        other-answers it scores less when it writes, mostly because it writes other answers than it gives when held
        writing-helps it scores more when it writes
        knowledge     the two agree within the margin: what it writes can be read as what it knows
        cannot-tell   none of these is shown
    """
    return [_row(twin, found, settings) for twin in twins(tables, found, tasks=tasks, arms=arms)]


def _row(twin: Twin, found: Found, settings: ComparisonSettings) -> Compliance:
    metric, joint, (written, held) = twin.metric, _joint([twin]), twin.cells
    kept, values = shared(joint, (held, written), metric)
    answers = found[twin.arm, twin.written.name]
    failed = [id_ for id_ in twin.written.ids if answers[id_].score.status not in ("answered", "error")]
    given = twin.held.columns[twin.held_arm, metric].values
    known = [id_ for id_ in failed if (value := given[id_]) is not None and joint.value(metric, np.array([value])) > 0]
    named = (twin.arm, twin.written.name, twin.held_arm, twin.held.name, twin.held_by, metric)
    ends: dict[str, Any] = {"form_failures": len(failed), "known_but_unreadable": len(known), "examples": tuple(known)}
    if not kept:
        return Compliance(
            *named, n=0, generate=None, held=None, difference=None, ci=None, by_form=None, by_form_ci=None,
            by_answers=None, by_answers_ci=None, interval="none", test="none", p=1.0, said="cannot-tell", **ends,
        )  # fmt: skip
    unread = np.isin(kept, failed).reshape(-1, *[1] * (values[held].ndim - 1))
    between = f"{written}, held where unreadable"
    values[between] = np.where(unread, values[held], values[written])

    def told(minus: str, plus: str) -> Difference:
        mine = {cell: values[cell] for cell in (minus, plus)}
        return difference_of(joint, metric, kept, mine, sides=((minus,), (plus,)), settings=settings)

    whole, form, other = told(held, written), told(between, written), told(held, between)
    return Compliance(
        *named, n=len(kept), generate=joint.value(metric, values[written]), held=joint.value(metric, values[held]),
        difference=whole.difference, ci=whole.ci, by_form=form.difference, by_form_ci=form.ci,
        by_answers=other.difference, by_answers_ci=other.ci, interval=whole.interval, test=whole.test, p=whole.p,
        said=_said(whole, by_form=form.difference, better=_better(joint, metric), settings=settings), **ends,
    )  # fmt: skip


def _better(table: TaskTable, metric: str) -> int:
    """Which way better lies: 1 upwards, -1 downwards."""
    return -1 if table.metrics[metric].higher_is_better is False else 1


def _said(told: Difference, *, by_form: float, better: int, settings: ComparisonSettings) -> str:
    low, high = told.ci
    if told.p < settings.alpha and not low <= 0 <= high:
        if better * told.difference > 0:
            return "writing-helps"
        return "compliance" if 2 * better * by_form <= better * told.difference else "other-answers"
    return "knowledge" if -settings.margin < low and high < settings.margin else "cannot-tell"


def compliance_contrasts(
    tables: Sequence[TaskTable], found: Found, pairs: Sequence[tuple[str, str]], *, tasks: Settings, arms: Settings,
    settings: ComparisonSettings,
) -> list[ComplianceContrast]:  # fmt: skip
    """Each contrast of two arms answered in both ways: does the difference hold when form plays no part?

    `interaction`: the difference when they write less the one when they are held, with its interval. `reading`:

        knowledge   the arms differ when they are held, and no more or less when they write
        form        they differ otherwise when they write than when they are held, and then not for sure
        both        they differ when they are held, and otherwise when they write
        cannot-tell neither is shown
    """
    by_way: dict[tuple[str, str, str, str], dict[str, Twin]] = {}
    for twin in twins(tables, found, tasks=tasks, arms=arms):
        by_way.setdefault(twin.way, {}).setdefault(twin.arm, twin)
    return [
        _contrast(both[baseline], both[arm], settings)
        for both in by_way.values()
        for baseline, arm in pairs
        if baseline in both and arm in both
    ]


def _contrast(old: Twin, new: Twin, settings: ComparisonSettings) -> ComplianceContrast:
    joint, metric = _joint([old, new]), old.metric
    (old_said, old_held), (new_said, new_held) = old.cells, new.cells
    kept, values = shared(joint, (old_said, new_said, old_held, new_held), metric)
    named = (old.arm, new.arm, old.written.name, old.held_arm, new.held_arm, old.held.name, old.held_by, metric)
    if not kept:
        return ComplianceContrast(
            *named, n=0, generate_difference=None, generate_ci=None, held_difference=None, held_ci=None,
            interaction=None, interaction_ci=None, reading="cannot-tell",
        )  # fmt: skip

    def told(minus: Sequence[str], plus: Sequence[str]) -> Difference:
        mine = {cell: values[cell] for cell in (*minus, *plus)}
        return difference_of(joint, metric, kept, mine, sides=(minus, plus), settings=settings)

    generate, held = told([old_said], [new_said]), told([old_held], [new_held])
    interaction = told([old_said, new_held], [new_said, old_held])
    when_held, otherwise = (not one.ci[0] <= 0 <= one.ci[1] for one in (held, interaction))
    return ComplianceContrast(
        *named, n=len(kept), generate_difference=generate.difference, generate_ci=generate.ci,
        held_difference=held.difference, held_ci=held.ci, interaction=interaction.difference,
        interaction_ci=interaction.ci,
        reading="both" if otherwise and when_held else "form" if otherwise else "knowledge" if when_held
        else "cannot-tell",
    )  # fmt: skip


def _cell(arm: str, table: TaskTable) -> str:
    return f"{arm} on {table.name}"


def _joint(both: Sequence[Twin]) -> TaskTable:
    """Both ways as columns of one table, so that they are paired as two arms are."""
    metric, written, held = both[0].metric, both[0].written, both[0].held
    sides = [side for twin in both for side in ((twin.arm, twin.written), (twin.held_arm, twin.held))]
    names = list(dict.fromkeys((written.name, held.name)))
    return TaskTable(
        name=" and ".join(names), ids=written.ids, examples=written.examples, groups=written.groups,
        metrics={metric: written.metrics[metric]},
        columns={(_cell(arm, table), metric): table.columns[arm, metric] for arm, table in sides}, status={},
    )  # fmt: skip
