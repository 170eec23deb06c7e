"""The cells of a table in, the widths of its columns out, so that LaTeX sets it no wider than an article's text.

Only LaTeX knows how wide a text is; here it is estimated from the letters of Computer Modern, a little too wide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

TEXT_WIDTH = 345.0  # points: an article of 10 points on A4 or letter paper
GAP = 6.0  # points between two columns
PAGE_LINES = 40  # that a float has room for, beside its caption
LONGEST = 14  # letters of a word that is not broken
SIZES = (("small", 1.0), ("footnotesize", 0.89), ("scriptsize", 0.78))
_PIECE = re.compile(r"[^+/_.:,;@|=-]*[+/_.:,;@|=-]+|[^+/_.:,;@|=-]+")


@dataclass(frozen=True, slots=True)
class Fit:
    """`widths`: of each column as a share of the line, None for numbers, which are as wide as they are; `lines`: how
    many the rows take, less the header."""

    size: str
    widths: tuple[float | None, ...]
    lines: int


def fitted(rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> Fit:
    """
    >>> fitted([["Arm", "n"], ["general", "40"]], [1])
    Fit(size='small', widths=(0.108, None), lines=1)

    `rows`: the header first. Texts keep their width where there is room. Else each gets what its longest word needs,
    and of what is left as much as it lacks; and the type is made smaller where that is not there.
    """
    places = [place for place in range(len(rows[0])) if place not in numbers]
    whole = {place: max(_width(row[place]) for row in rows) for place in places}
    least = {place: max(_width(part) for row in rows for part in _parts(row[place])) for place in places}
    wide = sum(max(_width(row[place]) for row in rows) for place in numbers)
    gaps = GAP * (len(rows[0]) - 1)
    size, scale = next((one for one in SIZES if one[1] * (wide + sum(least.values())) + gaps <= TEXT_WIDTH), SIZES[-1])
    room = (TEXT_WIDTH - gaps) / scale - wide
    lacking = sum(whole.values()) - sum(least.values())
    share = min(1.0, max(0.0, room - sum(least.values())) / lacking) if lacking else 0.0
    given = {place: least[place] + share * (whole[place] - least[place]) for place in places}
    lines = sum(
        max((math.ceil(_width(row[place]) / given[place] - 1e-9) for place in places), default=1) for row in rows[1:]
    )
    widths = (round(scale * given[place] / TEXT_WIDTH, 3) if place in given else None for place in range(len(rows[0])))
    return Fit(size, tuple(widths), lines)


def word_parts(word: str) -> list[str]:
    """
    >>> word_parts("biomedical+distractor"), word_parts("general+rag")
    (['biomedical+', 'distractor'], ['general+rag'])

    The parts between which a long word may be broken: after its marks, else anywhere.
    """
    if len(word) <= LONGEST:
        return [word]
    pieces = _PIECE.findall(word)
    return [piece[at : at + LONGEST] for piece in pieces for at in range(0, len(piece), LONGEST)]


def _parts(text: str) -> list[str]:
    return [part for word in text.split() for part in word_parts(word)] or [""]


def _width(text: str) -> float:
    """In points, at 9 points a letter, and never nothing."""
    return 1.0 + sum(
        3.2 if c in " .,[]()il;:'!|/tfj-" else 7.6 if c in "+<>=mwMW%" or c.isupper() else 4.9 for c in text
    )
