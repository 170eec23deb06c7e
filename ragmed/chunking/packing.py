"""Sections and room in tokens -> spans that fit: counted in batches, packed greedily, split only where too long."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragmed.chunking.structure import Section, Unit, units

CountTokens = Callable[[Sequence[str]], list[int]]

CHARACTERS_PER_TOKEN = 16
"""A token stands for this many characters at most. Some tokenizers make one unknown token of a word of any length;
a passage stays readable, and embeds what it shows."""

_WORD = re.compile(r"\S+")


@dataclass(slots=True)
class SectionToPack:
    """A section to pack. `room`: tokens for text, without the title, the heading and the embedder's own marks."""

    text: str
    section: Section
    room: int


@dataclass(slots=True)
class _CostedUnit:
    unit: Unit
    cost: int


def pack(
    parts: Sequence[SectionToPack], overlap: int, count: CountTokens, specials: int
) -> list[list[tuple[int, int]]]:
    """For each part the spans of its passages: in order, overlapping by at most `overlap` whole sentences, no gap but
    white space. By the sum of its units' tokens a span takes no more than the part's room.
    """
    costed = [[_CostedUnit(unit, -1) for unit in units(part.text, part.section)] for part in parts]
    while waiting := [
        (part, entry) for part, many in zip(parts, costed, strict=True) for entry in many if entry.cost < 0
    ]:
        counts = count([part.text[entry.unit.start : entry.unit.end] for part, entry in waiting])
        for (_, entry), tokens in zip(waiting, counts, strict=True):
            entry.cost = max(1, tokens - specials, -(-(entry.unit.end - entry.unit.start) // CHARACTERS_PER_TOKEN))
        for number, part in enumerate(parts):
            if any(entry.cost > part.room for entry in costed[number]):
                costed[number] = [new for entry in costed[number] for new in _refined(part, entry)]
    return [_pack_one(part, many, overlap) for part, many in zip(parts, costed, strict=True)]


def _refined(part: SectionToPack, entry: _CostedUnit) -> list[_CostedUnit]:
    """A unit that fits stays; a longer one becomes its words, a longer word its halves, still to be counted."""
    unit = entry.unit
    if entry.cost <= part.room or unit.end - unit.start == 1:
        return [entry]
    words = [match.span() for match in _WORD.finditer(part.text, unit.start, unit.end)]
    if len(words) == 1:
        middle = _between_characters(part.text, unit.start, unit.end)
        words = [(unit.start, middle), (middle, unit.end)]
    return [_CostedUnit(Unit(start, end, unit.block, False), -1) for start, end in words]


def _between_characters(text: str, start: int, end: int) -> int:
    """The middle of a word, moved off a combining mark where there is a place nearby."""
    middle = (start + end) // 2
    for cut in range(middle, min(end, middle + 16)):
        if not unicodedata.combining(text[cut]):
            return cut
    return middle


def _pack_one(part: SectionToPack, costed: list[_CostedUnit], overlap: int) -> list[tuple[int, int]]:
    ahead = _rest_of_block(costed)
    spans: list[tuple[int, int]] = []
    first = previous = 0
    while first < len(costed):
        start = _overlap_start(part, costed, first, previous, overlap) if first else 0
        used = sum(entry.cost for entry in costed[start:first])
        stop = first
        while stop < len(costed) and (stop == first or _fits(part, costed, start, stop, used)):
            # A paragraph that would be torn apart here, and fits whole into the next passage, waits for it.
            opens = stop > first and costed[stop].unit.block != costed[stop - 1].unit.block
            if opens and used * 2 >= part.room and used + ahead[stop] > part.room >= ahead[stop]:
                break
            used += costed[stop].cost
            stop += 1
        spans.append((costed[start].unit.start, costed[stop - 1].unit.end))
        first, previous = stop, start
    return spans


def _fits(part: SectionToPack, costed: list[_CostedUnit], start: int, stop: int, used: int) -> bool:
    characters = costed[stop].unit.end - costed[start].unit.start
    return used + costed[stop].cost <= part.room and characters <= part.room * CHARACTERS_PER_TOKEN


def _overlap_start(part: SectionToPack, costed: list[_CostedUnit], first: int, previous: int, overlap: int) -> int:
    """Where a passage begins that repeats the last sentences: at most `overlap`, a third of the room, and never the
    whole of the passage before."""
    start, used = first, 0
    while first - start < overlap and start - 1 > previous and costed[start - 1].unit.sentence:
        used += costed[start - 1].cost
        if used * 3 > part.room or not _fits(part, costed, start - 1, first, used):
            break
        start -= 1
    return start


def _rest_of_block(costed: list[_CostedUnit]) -> list[int]:
    rest = [0] * len(costed)
    for at in range(len(costed) - 1, -1, -1):
        same = at + 1 < len(costed) and costed[at + 1].unit.block == costed[at].unit.block
        rest[at] = costed[at].cost + (rest[at + 1] if same else 0)
    return rest
