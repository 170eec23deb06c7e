"""What a run's tasks and arms are in, those pairs out that differ in one declared thing: asked twice, on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from ragmed.comparison.columns import TaskTable
from ragmed.errors import MismatchError
from ragmed.records import Example
from ragmed.text_table import counted, verb

Settings = Mapping[str, Mapping[str, Any]]
_NAMES = frozenset({"task", "name"})


def task_pairs(tasks: Settings, *, differ: str, may_differ: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """
    >>> task_pairs({"q": {"scoring": "generate"}, "q-letters": {"task": "q", "scoring": "letters"}}, differ="scoring")
    [('q', 'q-letters')]

    Pairs of names for one task (by `task`, by its file, or by the name itself) whose settings differ in `differ`, and
    beside it at most in `may_differ`, in the order in which the tasks are named.
    """
    return [
        (one, other)
        for one, other in combinations(tasks, 2)
        if _same_task(one, tasks[one]) == _same_task(other, tasks[other])
        and differ in _differences(tasks[one], tasks[other])
        and _differences(tasks[one], tasks[other]) <= {differ} | may_differ
    ]


def arm_pairs(arms: Settings, *, differ: str) -> list[tuple[str, str]]:
    """Pairs of arms that differ in nothing but `differ`."""
    return [(one, other) for one, other in combinations(arms, 2) if _differences(arms[one], arms[other]) == {differ}]


def _same_task(name: str, settings: Mapping[str, Any]) -> str:
    return str(settings.get("file") or settings.get("task") or name)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(key for key in {*one, *other} - _NAMES if one.get(key) != other.get(key))


def require_same_examples(one: TaskTable, other: TaskTable) -> None:
    """MismatchError where two names of one task were asked of different examples: then nothing pairs them."""
    if one.ids != other.ids:
        only = sorted(set(one.ids) ^ set(other.ids))
        raise MismatchError(
            f"tasks '{one.name}' and '{other.name}' are one task, but {counted(len(only), 'example')} "
            f"{verb(len(only), 'was', 'were')} asked by one of them "
            f"alone (first: '{only[0]}'); ask both with the same limit and shots"
        )
    for id_ in one.ids:
        if _gold(one.examples[id_]) != _gold(other.examples[id_]):
            raise MismatchError(
                f"example '{id_}' has another answer in task '{one.name}' than in '{other.name}'; they are not the "
                "same examples"
            )


def _gold(example: Example) -> Any:
    return option_text(example, example.gold) or example.gold


def option_text(example: Example, letter: Any) -> str | None:
    """The text under a letter; None where the letter or the options are not there."""
    return example.options.get(letter) if isinstance(letter, str) else None


def arms_on(tables: Sequence[TaskTable], metric: str) -> Iterator[str]:
    """The arms that have a column of a metric in all of some tables."""
    for arm in tables[0].status:
        if all((arm, metric) in table.columns for table in tables):
            yield arm
