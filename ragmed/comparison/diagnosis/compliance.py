"""Knowledge or compliance: the same questions answered in two ways, freely written and held to the valid forms.

A model that has the answer but cannot put it as told is wrong when it writes and right when its answer is held to the
form. A loss of that kind is one of instruction following, and must not be read as a loss of medicine. The two ways are
one arm on two names of a task (scored by what is written, and by log-likelihood), or two arms on one task of which one
is `constrained`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from ragmed.records import Answer

_FREE = frozenset({"normalise", "max_tokens"})  # they mean something for one of the two ways alone
_LIKELIHOOD = "likelihood"
_HELD = "constrained"
Found = Mapping[tuple[str, str], Mapping[str, Answer]]


@dataclass(frozen=True, slots=True)
class Twin:
    """An arm on a table where it writes freely, and where its answers are held; `held_by`: how."""

    arm: str
    written: TaskTable
    held_arm: str
    held: TaskTable
    held_by: str

    @property
    def way(self) -> tuple[str, str, str]:
        """What twins of two arms must share, so that their differences can be told apart."""
        return self.written.name, self.held.name, self.held_by

    @property
    def cells(self) -> tuple[str, str]:
        """The names of the two columns, freely written first."""
        return _cell(self.arm, self.written), _cell(self.held_arm, self.held)


def twins(tables: Sequence[TaskTable], found: Found, *, tasks: Settings, arms: Settings) -> list[Twin]:
    """All arms whose answers are there in both ways: tasks asked twice first, then arms with a constrained twin."""
    asked_twice = [
        Twin(arm, written, arm, held, _LIKELIHOOD)
        for written, held in ways(tables, tasks)
        for arm in arms_on((written, held), written.right_or_wrong)
    ]
    pairs = [sorted(pair, key=lambda arm: bool(arms[arm].get(_HELD))) for pair in arm_pairs(arms, differ=_HELD)]
    beside = []
    for table in tables:
        if tasks.get(table.name, {}).get("scoring", "generate") != "generate":
            continue
        there = set(arms_on((table,), table.right_or_wrong))
        for free, held in pairs:
            if {free, held} <= there and not arms[free].get(_HELD):
                first = next(iter(found[held, table.name].values()))
                beside.append(Twin(free, table, held, table, first.sample.constraint or _LIKELIHOOD))
    return [*asked_twice, *beside]


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

    A row for each arm and task answered in both ways, paired example by example. `difference`: written less held.
    `known_but_unreadable`: right where it is held, and nothing readable written (`examples`). `said`:

        compliance    it scores less when it writes, and at least half of what it loses are unreadable answers
        other-answers it scores less when it writes, mostly because it writes other answers than it gives when held
        writing-helps it scores more when it writes
        knowledge     the two agree within the margin: what it writes can be read as what it knows
        cannot-tell   none of these is shown
    """
    return [_row(twin, found, settings) for twin in twins(tables, found, tasks=tasks, arms=arms)]


def _row(twin: Twin, found: Found, settings: ComparisonSettings) -> Compliance:
    metric = twin.written.right_or_wrong
    joint = _joint([twin])
    written, held = twin.cells
    kept, values = shared(joint, (held, written), metric)
    answers = found[twin.arm, twin.written.name]
    failed = [id_ for id_ in twin.written.ids if answers[id_].score.status != "answered"]
    given = twin.held.columns[twin.held_arm, metric].values
    unread = [id_ for id_ in failed if given[id_]]
    told = difference_of(joint, metric, kept, values, sides=((held,), (written,)), settings=settings) if kept else None
    lost = int((values[written] < values[held]).sum())
    return Compliance(
        twin.arm, twin.written.name, twin.held_arm, twin.held.name, twin.held_by, n=len(kept),
        generate=float(values[written].mean()) if kept else None, held=float(values[held].mean()) if kept else None,
        difference=told.difference if told else None, ci=told.ci if told else None,
        interval=told.interval if told else "none", test=told.test if told else "none", p=told.p if told else 1.0,
        form_failures=len(failed), known_but_unreadable=len(unread), examples=tuple(unread),
        said=_said(told, lost=lost, unread=len(set(unread) & set(kept)), settings=settings) if told else "cannot-tell",
    )  # fmt: skip


def _said(told: Difference, *, lost: int, unread: int, settings: ComparisonSettings) -> str:
    low, high = told.ci
    if told.p < settings.alpha and not low <= 0 <= high:
        if told.difference > 0:
            return "writing-helps"
        return "compliance" if 2 * unread >= lost else "other-answers"
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
    by_way: dict[tuple[str, str, str], dict[str, Twin]] = {}
    for twin in twins(tables, found, tasks=tasks, arms=arms):
        by_way.setdefault(twin.way, {}).setdefault(twin.arm, twin)
    return [
        _contrast(both[baseline], both[arm], settings)
        for both in by_way.values()
        for baseline, arm in pairs
        if baseline in both and arm in both
    ]


def _contrast(old: Twin, new: Twin, settings: ComparisonSettings) -> ComplianceContrast:
    joint, metric = _joint([old, new]), old.written.right_or_wrong
    (old_said, old_held), (new_said, new_held) = old.cells, new.cells
    kept, values = shared(joint, (old_said, new_said, old_held, new_held), metric)
    named = (old.arm, new.arm, old.written.name, old.held_arm, new.held_arm, old.held.name, old.held_by)
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
    written, held = both[0].written, both[0].held
    metric = written.right_or_wrong
    sides = [side for twin in both for side in ((twin.arm, twin.written), (twin.held_arm, twin.held))]
    names = list(dict.fromkeys((written.name, held.name)))
    return TaskTable(
        name=" and ".join(names), ids=written.ids, examples=written.examples, groups=written.groups,
        metrics={metric: written.metrics[metric]},
        columns={(_cell(arm, table), metric): table.columns[arm, metric] for arm, table in sides}, status={},
    )  # fmt: skip
