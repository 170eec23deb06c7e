"""Gold answers and values in, whether they agree out: what every metric that compares with gold needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.records import Gold, Value


def accepted(gold: Gold) -> tuple[str, ...]:
    """
    >>> accepted("B"), accepted(("40 mg", "forty mg"))
    (('B',), ('40 mg', 'forty mg'))

    The texts each of which is a right answer. Named lists are one answer, in the words Python writes them with.
    """
    return gold if isinstance(gold, tuple) else (gold if isinstance(gold, str) else str(gold),)


def agrees(value: Value, gold: Gold) -> bool:
    """
    >>> agrees(40.0, "40"), agrees(("b", "a"), ("a", "b")), agrees({"codes": ["I10"]}, {"codes": ("I10",)})
    (True, True, True)

    Whether a value is the gold answer: a text or a number, where it is one of several; a list, where it holds the same
    entries in any order; named fields, where all names and entries agree. A number equals a text that is that number.
    """
    if isinstance(value, Mapping):
        return (
            isinstance(gold, Mapping)
            and value.keys() == gold.keys()
            and all(_same_entries(_entries(value[name]), _entries(gold[name])) for name in gold)
        )
    if isinstance(gold, Mapping):
        return False
    if isinstance(value, tuple | list):
        return _same_entries(value, accepted(gold))
    return any(_equal(value, text) for text in accepted(gold))


def _entries(given: Any) -> Sequence[Any]:
    return given if isinstance(given, tuple | list) else (given,)


def _same_entries(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(any(_equal(a, b) for b in others) for a in some) and all(any(_equal(a, b) for a in some) for b in others)


def _equal(entry: Any, text: Any) -> bool:
    if isinstance(entry, int | float) and not isinstance(entry, bool) and isinstance(text, str):
        try:
            return float(text.replace(",", "")) == entry
        except ValueError:
            return False
    return bool(entry == text)
