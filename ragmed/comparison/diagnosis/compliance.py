"""Knowledge or compliance: one arm asked the same questions in two ways, to write an answer and by log-likelihood.

A model that has the answer but cannot put it as told is wrong when it writes and right when its options are scored. A
loss of that kind is one of instruction following, and must not be read as a loss of medicine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Compliance, ComplianceContrast
from ragmed.comparison.diagnosis.same_questions import Settings, arms_on, require_same_examples, task_pairs
from ragmed.comparison.paired import difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.differences import Difference
from ragmed.records import Answer

_FREE = frozenset({"normalise", "max_tokens"})  # they mean something for one of the two ways alone


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
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Answer]], *,
    tasks: Settings, settings: ComparisonSettings,
) -> list[Compliance]:  # fmt: skip
    """
        compliance(tables, found, tasks=facts.tasks, settings=settings)[0].said
        # compliance

    A row for each arm and task asked in both ways, paired example by example. `difference`: generate less likelihood.
    `known_but_unreadable`: right by log-likelihood, and nothing readable written (`examples`). `said`:

        compliance    it scores less when it writes, and at least half of what it loses are unreadable answers
        other-answers it scores less when it writes, mostly because it writes other options than it prefers
        writing-helps it scores more when it writes
        knowledge     the two agree within the margin: what it writes can be read as what it knows
        cannot-tell   none of these is shown
    """
    return [
        _row(table, other, arm, found, settings)
        for table, other in ways(tables, tasks)
        for arm in arms_on((table, other), table.right_or_wrong)
    ]


def _row(
    written: TaskTable, scored_: TaskTable, arm: str, found: Mapping[tuple[str, str], Mapping[str, Answer]],
    settings: ComparisonSettings,
) -> Compliance:  # fmt: skip
    metric = written.right_or_wrong
    joint = _joint(written, scored_, (arm,))
    sides = (_cell(arm, scored_), _cell(arm, written))
    kept, values = shared(joint, sides, metric)
    answers = found[arm, written.name]
    failed = [id_ for id_ in written.ids if answers[id_].score.status != "answered"]
    preferred = scored_.columns[arm, metric].values
    unread = [id_ for id_ in failed if preferred[id_]]
    told = difference_of(joint, metric, kept, values, sides=(sides[:1], sides[1:]), settings=settings) if kept else None
    lost = int((values[sides[1]] < values[sides[0]]).sum())
    return Compliance(
        arm, written.name, scored_.name, n=len(kept), generate=float(values[sides[1]].mean()) if kept else None,
        likelihood=float(values[sides[0]].mean()) if kept else None, difference=told.difference if told else None,
        ci=told.ci if told else None, interval=told.interval if told else "none", test=told.test if told else "none",
        p=told.p if told else 1.0, form_failures=len(failed), known_but_unreadable=len(unread), examples=tuple(unread),
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
    tables: Sequence[TaskTable], pairs: Sequence[tuple[str, str]], *, tasks: Settings, settings: ComparisonSettings
) -> list[ComplianceContrast]:
    """Each contrast of two arms on a task asked in both ways: does the difference hold when form plays no part?

    `interaction`: the difference when they write less the one by log-likelihood, with its interval. `reading`:

        knowledge   the arms differ by log-likelihood, and no more or less when they write
        form        they differ otherwise when they write than by log-likelihood, and by log-likelihood not for sure
        both        they differ by log-likelihood, and otherwise when they write
        cannot-tell neither is shown
    """
    rows = []
    for written, scored_ in ways(tables, tasks):
        for baseline, arm in pairs:
            if {baseline, arm} <= set(arms_on((written, scored_), written.right_or_wrong)):
                rows.append(_contrast(written, scored_, (baseline, arm), settings))
    return rows


def _contrast(
    written: TaskTable, scored_: TaskTable, pair: tuple[str, str], settings: ComparisonSettings
) -> ComplianceContrast:
    joint = _joint(written, scored_, pair)
    (old_said, new_said), (old_liked, new_liked) = ([_cell(arm, table) for arm in pair] for table in (written, scored_))
    metric = written.right_or_wrong
    kept, values = shared(joint, (old_said, new_said, old_liked, new_liked), metric)
    if not kept:
        return ComplianceContrast(
            *pair, written.name, scored_.name, n=0, generate_difference=None, generate_ci=None,
            likelihood_difference=None, likelihood_ci=None, interaction=None, interaction_ci=None,
            reading="cannot-tell",
        )  # fmt: skip

    def told(minus: Sequence[str], plus: Sequence[str]) -> Difference:
        mine = {cell: values[cell] for cell in (*minus, *plus)}
        return difference_of(joint, metric, kept, mine, sides=(minus, plus), settings=settings)

    generate, likelihood = told([old_said], [new_said]), told([old_liked], [new_liked])
    interaction = told([old_said, new_liked], [new_said, old_liked])
    by_likelihood, otherwise = (not one.ci[0] <= 0 <= one.ci[1] for one in (likelihood, interaction))
    return ComplianceContrast(
        *pair, written.name, scored_.name, n=len(kept), generate_difference=generate.difference,
        generate_ci=generate.ci, likelihood_difference=likelihood.difference, likelihood_ci=likelihood.ci,
        interaction=interaction.difference, interaction_ci=interaction.ci,
        reading="both" if otherwise and by_likelihood else "form" if otherwise else "knowledge" if by_likelihood
        else "cannot-tell",
    )  # fmt: skip


def _cell(arm: str, table: TaskTable) -> str:
    return f"{arm} on {table.name}"


def _joint(written: TaskTable, scored_: TaskTable, arms: Sequence[str]) -> TaskTable:
    """Both ways as columns of one table, so that they are paired as two arms are."""
    metric = written.right_or_wrong
    columns = {(_cell(arm, table), metric): table.columns[arm, metric] for table in (written, scored_) for arm in arms}
    return TaskTable(
        name=f"{written.name} and {scored_.name}", ids=written.ids, examples=written.examples, groups=written.groups,
        metrics={metric: written.metrics[metric]}, columns=columns, status={},
    )  # fmt: skip
