"""Knowledge or compliance: one arm asked the same questions in two ways, to write an answer and by log-likelihood.

A model that has the answer but cannot put it as told is wrong when it writes and right when its options are scored. A
loss of that kind is one of instruction following, and must not be read as a loss of medicine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.paired import difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.twins import Settings, arms_on, require_same_examples, task_twins
from ragmed.records import Sample

Row = dict[str, Any]
METRIC = "accuracy"
_FREE = frozenset({"normalise", "max_tokens"})  # they mean something for one of the two ways alone


def ways(tables: Sequence[TaskTable], tasks: Settings) -> list[tuple[TaskTable, TaskTable]]:
    """Each task that was asked in both ways: (asked to write, asked by log-likelihood)."""
    known = {table.name: table for table in tables}
    found = []
    for pair in task_twins(tasks, differ="scoring", may_differ=_FREE):
        if all(name in known for name in pair):
            first, second = sorted(pair, key=lambda name: tasks[name].get("scoring") != "generate")
            if tasks[first].get("scoring") == "generate":
                require_same_examples(known[first], known[second])
                found.append((known[first], known[second]))
    return found


def compliance(
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Sample]], *,
    tasks: Settings, settings: ComparisonSettings,
) -> list[Row]:  # fmt: skip
    """
    >>> compliance(tables, found, tasks=facts.tasks, settings=settings)[0]["said"]  # doctest: +SKIP
    'compliance'

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
        for arm in arms_on((table, other), METRIC)
    ]


def _row(
    written: TaskTable, scored_: TaskTable, arm: str, found: Mapping[tuple[str, str], Mapping[str, Sample]],
    settings: ComparisonSettings,
) -> Row:  # fmt: skip
    joint = _joint(written, scored_, (arm,))
    sides = (_cell(arm, scored_), _cell(arm, written))
    kept, values = shared(joint, sides, METRIC)
    samples = found[arm, written.name]
    failed = [id_ for id_ in written.ids if samples[id_].status != "answered"]
    preferred = scored_.columns[arm, METRIC].values
    unread = [id_ for id_ in failed if preferred[id_]]
    row: Row = {
        "arm": arm, "generate_task": written.name, "likelihood_task": scored_.name, "n": len(kept), "generate": None,
        "likelihood": None, "difference": None, "ci": None, "interval": "none", "test": "none", "p": 1.0,
        "form_failures": len(failed), "known_but_unreadable": len(unread), "examples": unread, "said": "cannot-tell",
    }  # fmt: skip
    if not kept:
        return row
    told = difference_of(joint, METRIC, kept, values, sides=(sides[:1], sides[1:]), settings=settings)
    row |= {key: told[key] for key in ("difference", "ci", "interval", "test", "p")}
    row |= {name: float(values[side].mean()) for name, side in zip(("likelihood", "generate"), sides, strict=True)}
    lost = int((values[sides[1]] < values[sides[0]]).sum())
    return row | {"said": _said(row, lost=lost, unread=len(set(unread) & set(kept)), settings=settings)}


def _said(row: Row, *, lost: int, unread: int, settings: ComparisonSettings) -> str:
    low, high = row["ci"]
    if row["p"] < settings.alpha and not low <= 0 <= high:
        if row["difference"] > 0:
            return "writing-helps"
        return "compliance" if 2 * unread >= lost else "other-answers"
    return "knowledge" if -settings.margin < low and high < settings.margin else "cannot-tell"


def compliance_contrasts(
    tables: Sequence[TaskTable], pairs: Sequence[tuple[str, str]], *, tasks: Settings, settings: ComparisonSettings
) -> list[Row]:
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
            if {baseline, arm} <= set(arms_on((written, scored_), METRIC)):
                rows.append(_contrast(written, scored_, (baseline, arm), settings))
    return rows


def _contrast(written: TaskTable, scored_: TaskTable, pair: tuple[str, str], settings: ComparisonSettings) -> Row:
    joint = _joint(written, scored_, pair)
    (old_said, new_said), (old_liked, new_liked) = ([_cell(arm, table) for arm in pair] for table in (written, scored_))
    kept, values = shared(joint, (old_said, new_said, old_liked, new_liked), METRIC)
    row: Row = {
        "baseline": pair[0], "arm": pair[1], "generate_task": written.name, "likelihood_task": scored_.name,
        "n": len(kept), "generate_difference": None, "generate_ci": None, "likelihood_difference": None,
        "likelihood_ci": None, "interaction": None, "interaction_ci": None, "reading": "cannot-tell",
    }  # fmt: skip
    if not kept:
        return row
    parts = {
        "generate": ([old_said], [new_said]),
        "likelihood": ([old_liked], [new_liked]),
        "interaction": ([old_said, new_liked], [new_said, old_liked]),
    }
    for name, sides in parts.items():
        mine = {cell: values[cell] for side in sides for cell in side}
        found = difference_of(joint, METRIC, kept, mine, sides=sides, settings=settings)
        key = name if name == "interaction" else f"{name}_difference"
        row |= {key: found["difference"], f"{name}_ci": found["ci"]}
    apart = {name: not row[f"{name}_ci"][0] <= 0 <= row[f"{name}_ci"][1] for name in parts}
    if apart["interaction"]:
        row["reading"] = "both" if apart["likelihood"] else "form"
    elif apart["likelihood"]:
        row["reading"] = "knowledge"
    return row


def _cell(arm: str, table: TaskTable) -> str:
    return f"{arm} on {table.name}"


def _joint(written: TaskTable, scored_: TaskTable, arms: Sequence[str]) -> TaskTable:
    """Both ways as columns of one table, so that they are paired as two arms are."""
    columns = {(_cell(arm, table), METRIC): table.columns[arm, METRIC] for table in (written, scored_) for arm in arms}
    return TaskTable(
        name=f"{written.name} and {scored_.name}", ids=written.ids, examples=written.examples, groups=written.groups,
        metrics=(METRIC,), columns=columns, status={},
    )  # fmt: skip
