"""A function that changes sign in, where it does out."""

from __future__ import annotations

from collections.abc import Callable


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """
    >>> root(lambda x: x * x - 2, 0.0, 2.0)
    1.414213562373095

    By halving, until no number lies between: `function` is negative on one side of the root and not on the other. A
    few microseconds, against half a second for the import of a library's.
    """
    rising = function(high) >= 0
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        if (function(middle) >= 0) == rising:
            high = middle
        else:
            low = middle
