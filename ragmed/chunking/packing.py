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
class Job:
    """A section to pack. `room`: tokens for text, without the title, the heading and the embedder's own marks."""

    text: str
    section: Section
    room: int


@dataclass(slots=True)
class _Piece:
    unit: Unit
    cost: int


def pack(jobs: Sequence[Job], overlap: int, count: CountTokens, specials: int) -> list[list[tuple[int, int]]]:
    """For each job the spans of its passages: in order, overlapping by at most `overlap` whole sentences, no gap but
    white space. By the sum of its units' tokens a span takes no more than the job's room.
    """
    pieces = [[_Piece(unit, -1) for unit in units(job.text, job.section)] for job in jobs]
    while waiting := [(job, one) for job, many in zip(jobs, pieces, strict=True) for one in many if one.cost < 0]:
        counts = count([job.text[one.unit.start : one.unit.end] for job, one in waiting])
        for (_, one), tokens in zip(waiting, counts, strict=True):
            one.cost = max(1, tokens - specials, -(-(one.unit.end - one.unit.start) // CHARACTERS_PER_TOKEN))
        for number, job in enumerate(jobs):
            if any(one.cost > job.room for one in pieces[number]):
                pieces[number] = [new for one in pieces[number] for new in _refined(job, one)]
    return [_pack_one(job, many, overlap) for job, many in zip(jobs, pieces, strict=True)]


def _refined(job: Job, piece: _Piece) -> list[_Piece]:
    """A piece that fits stays; a longer one becomes its words, a longer word its halves, still to be counted."""
    unit = piece.unit
    if piece.cost <= job.room or unit.end - unit.start == 1:
        return [piece]
    words = [match.span() for match in _WORD.finditer(job.text, unit.start, unit.end)]
    if len(words) == 1:
        middle = _between_characters(job.text, unit.start, unit.end)
        words = [(unit.start, middle), (middle, unit.end)]
    return [_Piece(Unit(start, end, unit.block, False), -1) for start, end in words]


def _between_characters(text: str, start: int, end: int) -> int:
    """The middle of a word, moved off a combining mark where there is a place nearby."""
    middle = (start + end) // 2
    for cut in range(middle, min(end, middle + 16)):
        if not unicodedata.combining(text[cut]):
            return cut
    return middle


def _pack_one(job: Job, pieces: list[_Piece], overlap: int) -> list[tuple[int, int]]:
    ahead = _rest_of_block(pieces)
    spans: list[tuple[int, int]] = []
    first = previous = 0
    while first < len(pieces):
        start = _overlap_start(job, pieces, first, previous, overlap) if first else 0
        used = sum(piece.cost for piece in pieces[start:first])
        stop = first
        while stop < len(pieces) and (stop == first or _fits(job, pieces, start, stop, used)):
            # A paragraph that would be torn apart here, and fits whole into the next passage, waits for it.
            opens = stop > first and pieces[stop].unit.block != pieces[stop - 1].unit.block
            if opens and used * 2 >= job.room and used + ahead[stop] > job.room >= ahead[stop]:
                break
            used += pieces[stop].cost
            stop += 1
        spans.append((pieces[start].unit.start, pieces[stop - 1].unit.end))
        first, previous = stop, start
    return spans


def _fits(job: Job, pieces: list[_Piece], start: int, stop: int, used: int) -> bool:
    characters = pieces[stop].unit.end - pieces[start].unit.start
    return used + pieces[stop].cost <= job.room and characters <= job.room * CHARACTERS_PER_TOKEN


def _overlap_start(job: Job, pieces: list[_Piece], first: int, previous: int, overlap: int) -> int:
    """Where a passage begins that repeats the last sentences: at most `overlap`, a third of the room, and never the
    whole of the passage before."""
    start, used = first, 0
    while first - start < overlap and start - 1 > previous and pieces[start - 1].unit.sentence:
        used += pieces[start - 1].cost
        if used * 3 > job.room or not _fits(job, pieces, start - 1, first, used):
            break
        start -= 1
    return start


def _rest_of_block(pieces: list[_Piece]) -> list[int]:
    rest = [0] * len(pieces)
    for at in range(len(pieces) - 1, -1, -1):
        same = at + 1 < len(pieces) and pieces[at + 1].unit.block == pieces[at].unit.block
        rest[at] = pieces[at].cost + (rest[at + 1] if same else 0)
    return rest
