"""Answers that come one by one, in any order, as a list in the order of what was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def in_order(count: int, ask: Callable[[Callable[[int, Answer], None]], None]) -> list[Answer]:
    """
    >>> in_order(2, lambda each: (each(1, "b"), each(0, "a"))[0])
    ['a', 'b']

    `ask` calls what it is given with the place and the answer of each of `count`, once. KeyError where one is missing.
    """
    done: dict[int, Answer] = {}
    ask(done.__setitem__)
    return [done[place] for place in range(count)]
