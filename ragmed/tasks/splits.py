"""Examples of a set in, which are scored and which may be shown out: two that share a text are never on two sides.

Who shares a text with whom is a group; a set without a split of its own is parted by a hash of what its examples say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence

from ragmed.records import Example
from ragmed.tasks.task import Split
from ragmed.text_table import counted, verb


def linked(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """
    >>> linked([["a"], ["b"], ["a", "c"], ["c"]])
    [0, 1, 0, 0]

    Of each of several records the place of the first one that it is linked with: two are where they share a key, or
    both are linked with a third.
    """
    above = list(range(len(keys)))

    def top(place: int) -> int:
        while above[place] != place:
            above[place] = place = above[above[place]]
        return place

    first: dict[Hashable, int] = {}
    for place, own in enumerate(keys):
        for key in own:
            low, high = sorted((top(place), top(first.setdefault(key, place))))
            above[high] = low
    return [top(place) for place in range(len(keys))]


def text_key(text: str) -> str:
    """A short name that equal texts share, whatever their case and white space: a group."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:16]


def apart(examples: Sequence[Example], shots: Sequence[Example], *, of: str) -> Split:
    """A split none of whose few-shot examples is of a group that is scored; how many are left out for it is noted."""
    scored = {example.group for example in examples}
    kept = tuple(shot for shot in shots if shot.group not in scored)
    left = len(shots) - len(kept)
    told = (
        f"{of}: {left:,} of {counted(len(shots), 'example')} to show {verb(left, 'has', 'have')} a text that is scored "
        f"too, and {verb(left, 'is', 'are')} never shown."
    )
    return Split(tuple(examples), kept, (told,) if left else ())


def split_by_hash(examples: Sequence[Example], *, of: str, parts: int, keys: Sequence[str] = ()) -> Split:
    """
    >>> split = split_by_hash([Example(f"e{n}", "?", group=f"page {n // 2}") for n in range(40)], of="set", parts=4)
    >>> len(split.examples), len(split.shots)
    (24, 16)

    A set without a split of its own, of which about one example in `parts` is held out to be shown.

    Held out are the groups all of whose `keys` (a text of each example's own; its group unless given) hash into one
    part: the side of an example depends neither on a seed nor on the order of the file, and a group is never on both.
    `of`: the set's name.
    """

    def is_held_out(key: str) -> bool:
        digest = hashlib.sha256(f"{of}\x00{key}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % parts == 0

    own = keys or [example.group for example in examples]
    scored = {example.group for example, key in zip(examples, own, strict=True) if not is_held_out(key)}
    return Split(
        tuple(e for e in examples if e.group in scored), tuple(e for e in examples if e.group not in scored)
    )  # fmt: skip
