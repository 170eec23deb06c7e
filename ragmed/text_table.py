"""Rows of cells in, the lines of a plain ASCII table of at most 100 columns out: what every command prints.

Names and texts come from files: what a terminal could take for a command is shown as an escape. Nothing is cut.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence

WIDTH = 100
_NAME = 36  # characters; a longer name gets lines of its own above its numbers
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LEAST = 12  # columns that a wrapped last cell has at least


def printable(text: str) -> str:
    r"""
    >>> printable("a\x1b[2Jé")
    'a\\x1b[2J\\xe9'
    """
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text)


def visible(text: str) -> str:
    r"""
    >>> visible("a\x1b[2Jé\n")
    'a\\x1b[2Jé\n'

    Text with its letters, line ends and tabs as they are; what a terminal could take for a command, or that turns the
    order of signs, as an escape.
    """
    return UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), text)


def counted(count: int, what: str) -> str:
    """
    >>> counted(1, "example"), counted(1200, "group of examples"), counted(2, "query")
    ('1 example', '1,200 groups of examples', '2 queries')

    A number and what it counts, in the plural unless it is one.
    """
    return f"{count:,} {plural(what, count)}"


def plural(what: str, count: int) -> str:
    """
    >>> plural("group of examples", 2), plural("index", 2), plural("example", 1)
    ('groups of examples', 'indexes', 'example')

    Words for `count` of something: of those, the first one's plural.
    """
    first, _, rest = what.partition(" ")
    if count != 1:
        ends_in_y = first.endswith("y") and first[-2:-1] not in "aeiou"
        first = f"{first[:-1]}ies" if ends_in_y else f"{first}{'es' if first.endswith(('s', 'x', 'ch')) else 's'}"
    return " ".join(filter(None, (first, rest)))


def verb(count: int, one: str, many: str) -> str:
    """
    >>> " ".join(["1 of 5 passages", verb(1, "does", "do"), "not fit"]), verb(0, "is", "are")
    ('1 of 5 passages does not fit', 'are')

    The form of a verb that goes with `count` of something.
    """
    return one if count == 1 else many


def wrapped(text: str, indent: str = "") -> list[str]:
    """
    >>> wrapped("a note", "  ")
    ['  a note']
    >>> wrapped("time is known with " + "x " * 32 + "--tokens-per-second")[1]
    '  --tokens-per-second'

    Lines of at most WIDTH columns; those after the first are indented by two more. No flag is cut at its hyphens.
    """
    after = indent + "  "
    return textwrap.wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=after, break_on_hyphens=False)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """
    >>> print(*columns([["wards", "Flat", "not built"], ["wards-and-more", "broken: no corpora"]]), sep="\\n")
    wards           Flat  not built
    wards-and-more  broken: no corpora

    A line a row, its cells under those of the others, but for the last cell of each, which may be long or stand early.
    """
    most = max(map(len, rows), default=0)
    widths = [max(len(row[place]) for row in rows if row[place + 1 :]) for place in range(most - 1)]
    return ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows]


def table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """
    >>> print(*table([["accuracy", "score", "note"], ["general", "0.5", "unparsed 2"]], right=[1]), sep="\\n")
      accuracy  score  note
      general     0.5  unparsed 2

    Columns under each other, those of `right` aligned to the right; the first row is the heading. A last cell that is
    too long is wrapped below itself.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    widths[0] = max((len(row[0]) for row in cells if len(row[0]) <= _NAME), default=0)
    lines = []
    for name, *rest in cells:
        if len(name) > widths[0]:
            lines += wrapped(name, "  ")
            name = ""
        padded = [name.ljust(widths[0])]
        for column, cell in enumerate(rest, start=1):
            padded.append(cell.rjust(widths[column]) if column in right else cell)
            if column < len(rest):
                padded[-1] = padded[-1].ljust(widths[column])
        front = "  " + "".join(f"{cell}  " for cell in padded[:-1])
        room = max(_LEAST, WIDTH - len(front))
        last = textwrap.wrap(padded[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        if len(rest) in right:
            last = [padded[-1]]
        lines += [f"{front}{last[0]}".rstrip(), *(" " * len(front) + more for more in last[1:])]
    return lines
