"""A document -> its sections, and a section -> the smallest pieces that it is packed from, all as offsets.

Read as Markdown: ATX headings, lists, tables, fenced code; a text without them is one section of paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragmed.chunking.sentences import sentences, stripped

# A line ends at \n only, as everywhere here; what else breaks lines (\r, U+2028) is white space.
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})(?=\s|\Z)")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_ROW = re.compile(r"[ \t]*\|")
_DASHES = re.compile(r"^[ \t]*\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?:\n|\Z)", re.MULTILINE)
_BAR = re.compile(r"(?<!\\)\|")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S")


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch that no passage reaches beyond. `lead`: where the passage before it could be repeated from."""

    start: int
    end: int
    heading: str
    lead: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table of Markdown. `body`: where its first row below the header begins; `header`: the cells above it."""

    body: int
    end: int
    header: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What is packed whole where it fits. `block`: units of one paragraph, list item, table or listing share it.

    `sentence`: may be repeated as overlap.
    """

    start: int
    end: int
    block: int
    sentence: bool


@dataclass(slots=True)
class _Line:
    start: int
    end: int
    kind: str  # heading, row, item, code, blank, prose


def sections(text: str, title: str) -> list[Section]:
    """
    >>> [s.heading for s in sections("# A\\n\\n## B\\n\\nb\\n\\n### C\\n\\nc\\n", "A")]
    ['B', 'B > C']

    The heading lines belong to the section that they open; a heading with nothing below it but another heading opens
    that one's section. The document's title is left out of `heading`. White space around a section is not part of it.
    """
    outline: list[Section] = []
    path: list[tuple[int, str]] = []
    start, body, heading = 0, False, ""
    for line in _lines(text) if "#" in text else ():
        if line.kind == "heading":
            if body:
                outline += _section(text, start, line.start, heading)
                start, body = line.start, False
            level, name = heading_of(text[line.start : line.end])
            path = [ancestor for ancestor in path if ancestor[0] < level] + [(level, name)]
            names = [heading for _, heading in path if heading]
            heading = " > ".join(names[1:] if names and _same(names[0], title) else names)
        elif line.kind != "blank":
            body = True
    outline += _section(text, start, len(text), heading)
    return outline


def heading_of(line: str) -> tuple[int, str]:
    """
    >>> heading_of("## Dose and route ##")
    (2, 'Dose and route')

    Level and name of a heading line; level 0 for any other line.
    """
    match = _HEADING.match(line)
    if not match:
        return 0, ""
    words = line[match.end() :].split()
    if words and not words[-1].strip("#"):  # closing marks
        words.pop()
    return len(match[1]), " ".join(words)


def tables(text: str) -> list[Table]:
    """
    >>> tables("| Drug | mg |\\n| --- | --- |\\n| x | 5 |\\n")
    [Table(body=28, end=38, header='Drug | mg')]

    The tables with a header (the rows above a line of dashes), in order.
    """
    if not _DASHES.search(text):
        return []
    found: list[Table] = []
    head: list[str] = []
    body = -1  # where the rows of the table at hand begin; -1 outside, -2 where it has no header
    for line in _lines(text):
        if line.kind != "row":
            head, body = [], -1
        elif body >= 0:
            found[-1] = Table(body, line.end, found[-1].header)
        elif body == -1 and _DASHES.fullmatch(text, line.start, line.end):
            body = line.end if any(head) else -2
            if any(head):
                found.append(Table(body, body, "; ".join(filter(None, head))))
        else:
            head.append(" | ".join(" ".join(cell.split()) for cell in _cells(text[line.start : line.end])).strip(" |"))
    return [table for table in found if table.end > table.body]


def _cells(row: str) -> list[str]:
    return _BAR.split(row.strip().removeprefix("|").removesuffix("|"))


def units(text: str, section: Section) -> list[Unit]:
    """The sentences, table rows, lines of code and headings of a section, in order, without white space around them."""
    parts: list[Unit] = []
    block = -1
    for start, end, kind in _blocks(text, section.start, section.end):
        block += 1
        if kind == "prose":
            parts += [Unit(a, b, block, True) for a, b in sentences(text, start, end)]
        else:
            parts += [Unit(a, b, block, False) for a, b in _stripped_lines(text, start, end)]
    return parts


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Runs of lines that belong together: a paragraph or list item (prose), a table, a listing, the headings."""
    begin, kind = start, ""
    for line in _lines(text, start, end):
        new = line.kind if line.kind in ("heading", "row", "code", "blank") else "prose"
        if new != kind or line.kind == "item":
            if kind not in ("", "blank"):
                yield begin, line.start, kind
            begin, kind = line.start, new
    if kind not in ("", "blank"):
        yield begin, end, kind


def _lines(text: str, start: int = 0, end: int | None = None) -> Iterator[_Line]:
    end = len(text) if end is None else end
    fence = ""
    while start < end:
        stop = text.find("\n", start, end) + 1 or end
        kind = "code" if fence else _kind(text, start, stop)
        mark = _FENCE.match(text, start, stop)
        if mark and not fence:
            fence, kind = mark[1], "code"
        elif mark and mark[1].startswith(fence):
            fence = ""
        yield _Line(start, stop, kind)
        start = stop


def _kind(text: str, start: int, stop: int) -> str:
    if _HEADING.match(text, start, stop):
        return "heading"
    if _ROW.match(text, start, stop):
        return "row"
    if _ITEM.match(text, start, stop):
        return "item"
    return "prose" if not text[start:stop].isspace() else "blank"


def _stripped_lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in _lines(text, start, end):
        yield from stripped(text, line.start, line.end)


def _section(text: str, start: int, end: int, heading: str) -> list[Section]:
    return [Section(a, b, heading, a) for a, b in stripped(text, start, end)]


def _same(name: str, title: str) -> bool:
    return name.casefold() == " ".join(title.split()).casefold()
