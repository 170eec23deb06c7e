"""Gold answers and values in, whether they agree out: what every metric that compares with gold needs."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.records import Example, Gold, Value
from ragmed.text_table import counted, verb


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
    >>> right_letters(Example("q1", "?", options={"A": "12 mg", "B": "24 mg", "C": "12mg."}, gold="C"))
    ('A', 'C')

    The letters of all options with the text of the gold one, in order: of two options with one text, either is right.
    Empty where the gold is no letter.
    """
    if not isinstance(example.gold, str) or example.gold not in example.options:
        return ()
    right = option_text(example.options[example.gold])
    return tuple(
        letter for letter, text in example.options.items() if option_text(text) == right or letter == example.gold
    )


def equal_options(task: str, examples: Sequence[Example]) -> list[str]:
    """What is to be said of examples whose right text stands under several letters: a sentence, or none."""
    several = [example.id for example in examples if len(right_letters(example)) > 1]
    if not several:
        return []
    named = ", ".join(several[:5]) + (" …" if len(several) > 5 else "")
    return [
        f"{task}: in {len(several)} of {counted(len(examples), 'example')} the right option's text stands under "
        f"several letters; any of them counts as right, except with a reader of MIRAGE ({named})."
    ]


def contradictions(task: str, examples: Sequence[Example]) -> list[str]:
    """
    >>> from ragmed.records import Example
    >>> both = [Example(f"q{n}", "How much?", options={"A": "12 mg", "B": "24 mg"}, gold="AB"[n]) for n in range(2)]
    >>> contradictions("doses", both)
    ['doses: 1 of 2 examples asks the same as another one, with another answer: no answer matches both (q1).']

    What is to be said of examples in the same words, with the same options, whose gold is another: a sentence, or none.
    """
    first: dict[tuple[str, ...], Example] = {}
    other = []
    for example in examples:
        asked = (_plain(example.text).casefold(), *map(_plain, example.options.values()))
        same = first.setdefault(asked, example)
        if same.gold != example.gold and example.gold not in right_letters(same):
            other.append(example.id)
    if not other:
        return []
    named = ", ".join(other[:5]) + (" …" if len(other) > 5 else "")
    return [
        f"{task}: {len(other)} of {counted(len(examples), 'example')} {verb(len(other), 'asks', 'ask')} "
        "the same as another one, with another answer: no "
        f"answer matches both ({named})."
    ]


def _plain(text: str) -> str:
    return " ".join(text.split())


_BETWEEN = re.compile(r"(?<=\d)\s+(?=[^\W\d_]+\b)")  # "12 mg", "12mg"
_WORD = re.compile(r"[^\W\d_]{3,}")


@functools.lru_cache(1 << 16)  # every arm, and every comparison, asks for the same ones
def option_text(text: str) -> str:
    """
    >>> option_text("Aspirin  12 mg."), option_text("aspirin 12mg"), option_text("Aa genotype")
    ('aspirin 12mg', 'aspirin 12mg', 'Aa genotype')

    An option's text without what makes it no other option: blanks, a point at its end, capitals of whole words. Those
    of two letters, and those of signs with digits, stay: Aa is not AA, PaO2 is not PAO2.
    """
    plain = _BETWEEN.sub("", " ".join(unicodedata.normalize("NFC", text).split())).rstrip(" .;")
    return " ".join(word.casefold() if _whole(word) else word for word in plain.split(" "))


def _whole(word: str) -> bool:
    """Whether a word's capitals say nothing: it has three letters or more, and is small, large, or begins large."""
    letters = word.strip("()[]{},.;:'\"-/")
    return bool(_WORD.fullmatch(letters)) and (letters.islower() or letters.isupper() or letters.istitle())


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
