"""Rows of results in, the same rows by what they have in common out, in the order in which they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from ragmed.comparison.results import Results

R = TypeVar("R")


class OfTask(Protocol):
    @property
    def task(self) -> str: ...


T = TypeVar("T", bound=OfTask)


def in_groups(rows: Iterable[R], *keys: str) -> list[tuple[tuple[Any, ...], list[R]]]:
    """
    >>> from ragmed.comparison.rows import NotRun
    >>> of_a = in_groups([NotRun("rag", "a"), NotRun("rag", "b"), NotRun("tuned", "a")], "task")[0]
    >>> of_a == (("a",), [NotRun("rag", "a"), NotRun("tuned", "a")])
    True

    Rows that agree in `keys`.
    """
    groups: dict[tuple[Any, ...], list[R]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, key) for key in keys), []).append(row)
    return list(groups.items())


def of_task(rows: Iterable[T], task: str) -> list[T]:
    return [row for row in rows if row.task == task]


def task_names(results: Results) -> list[str]:
    rows: list[OfTask] = [*results.scores, *results.contrasts, *results.baselines]
    return list(dict.fromkeys(row.task for row in rows))
