"""Gold answers and values in, whether they agree out: what every metric that compares with gold needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.records import Example, Gold, Value


def accepted(gold: Gold) -> tuple[str, ...]:
    """
    >>> accepted("B"), accepted(("40 mg", "forty mg"))
    (('B',), ('40 mg', 'forty mg'))

    The texts each of which is a right answer. Named lists are one answer, in the words Python writes them with.
    """
    return gold if isinstance(gold, tuple) else (gold if isinstance(gold, str) else str(gold),)


def right_letters(example: Example) -> tuple[str, ...]:
    """
    >>> from ragmed.records import Example
    >>> right_letters(Example("q1", "?", options={"A": "12 mg", "B": "24 mg", "C": "12 mg"}, gold="C"))
    ('A', 'C')

    The letters of all options with the text of the gold one, in order: of two options with one text, either is right.
    Empty where the gold is no letter.
    """
    if not isinstance(example.gold, str) or example.gold not in example.options:
        return ()
    right = _plain(example.options[example.gold])
    return tuple(letter for letter, text in example.options.items() if _plain(text) == right or letter == example.gold)


def equal_options(task: str, examples: Sequence[Example]) -> list[str]:
    """What is to be said of examples whose right text stands under several letters: a sentence, or none."""
    several = [example.id for example in examples if len(right_letters(example)) > 1]
    if not several:
        return []
    named = ", ".join(several[:5]) + (" …" if len(several) > 5 else "")
    return [
        f"{task}: in {len(several)} of {len(examples)} examples the right option's text stands under several letters; "
        f"any of them counts as right, except with a reader of MIRAGE ({named})."
    ]


def _plain(text: str) -> str:
    return " ".join(text.split())


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
