"""A CNXML module (the XML of OpenStax books) -> Markdown: headings, lists, tables, captions, notes, key terms.

Exercises and their solutions are written apart from the text, because a book's questions are no reference.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

from ragmed.corpora.inline import apart, superscript
from ragmed.corpora.mathml import math_text
from ragmed.corpora.safe_xml import local

DEEPEST = 6
"""Markdown has no deeper heading."""

MAX_PARAGRAPH = 256 * 1024
MAX_TABLE = 4 * 1024 * 1024
"""Characters. A paragraph is put together piece by piece, and a cell is repeated in the rows that it spans: without a
bound, a small file could take hours, or the memory."""

_THROUGH = ("para", "problem", "solution", "commentary", "quote", "content", "abstract", "glossary", "example")
_NAMED = {"fig": "Figure", "osc": "Figure", "tbl": "Table", "tab": "Table"}
_EMPTY = Element("empty")


def module_title(root: Element) -> str:
    return " ".join("".join(child(root, "title").itertext()).split())


def module_text(root: Element) -> str:
    """
        module_text(parse_xml(data))[:25]  # 'By the end of this sectio'

    The module's text (what it wants to teach, its sections from `##` down, key terms, footnotes) without its title
    and its exercises. ValueError: a paragraph or a table without measure.
    """
    writer = _Writer(root)
    blocks = writer.blocks(child(child(root, "metadata"), "abstract"), 3)
    blocks += writer.blocks(child(root, "content"), 2)
    terms = writer.blocks(child(root, "glossary"), 3)
    if terms:
        blocks += ["## Key Terms", "\n".join(terms)]
    if writer.footnotes:
        blocks += ["## Footnotes", "\n".join(writer.footnotes)]
    return "\n\n".join(blocks)


def exercises_text(root: Element) -> str:
    """The module's exercises, each with its answer where the book gives one, under the headings of their sections."""
    writer = _Writer(root)
    blocks: list[str] = []
    for holder in root.iter():
        if not any(local(node) == "exercise" for node in holder):
            continue
        title = writer.line(child(holder, "title"))
        blocks += [f"## {title}"] if title else []
        for number, exercise in enumerate((node for node in holder if local(node) == "exercise"), 1):
            question = writer.blocks(child(exercise, "problem"), 3)
            blocks += [f"{number}. {question[0]}", *question[1:]] if question else []
            answer = writer.blocks(child(exercise, "solution"), 3)
            blocks += [f"Answer: {answer[0]}", *answer[1:]] if answer else []
    return "\n\n".join(blocks)


def child(element: Element, name: str) -> Element:
    """The first child of that local name; an empty element where there is none."""
    return next((one for one in element if local(one) == name), _EMPTY)


class _Writer:
    """Writes elements as blocks of Markdown, and collects the footnotes that it meets."""

    def __init__(self, root: Element) -> None:
        self._kinds = {element.get("id"): local(element) for element in root.iter()}
        self.footnotes: list[str] = []
        self._writers: dict[str, Callable[[Element, int], list[str]]] = {
            "section": self._section,
            "note": self._note,
            "list": self._list_block,
            "table": self._table,
            "figure": self._figure,
            "subfigure": self._figure,
            "media": self._media,
            "definition": self._definition,
            "equation": self._equation,
            "exercise": lambda element, level: [],
        } | dict.fromkeys(_THROUGH, self.blocks)

    def blocks(self, element: Element, level: int) -> list[str]:
        """An element's content: block children each on their own, the running text between them as paragraphs."""
        texts: list[str] = []
        running = element.text or ""
        for node in element:
            write = self._writers.get(local(node))
            if write:
                texts += [*_paragraph(running), *write(node, level)]
                running = ""
            elif local(node) not in ("title", "label"):
                running = _bounded(self._inline(node, running))
            running += node.tail or ""
        return texts + _paragraph(running)

    def line(self, element: Element) -> str:
        """An element's running text in one line, blocks in it one after the other."""
        parts = self.blocks(element, DEEPEST)
        return " ".join(" ".join(parts).split())

    def _inline(self, element: Element, before: str) -> str:
        """The text so far with an inline element after it. Italics and bold are dropped, superscripts kept apart."""
        name = local(element)
        if name == "newline":
            return before + "\n"
        if name == "math":
            return before + math_text(element)
        if name == "footnote":
            self.footnotes.append(f"[{len(self.footnotes) + 1}] {self.line(element)}")
            return f"{before.rstrip()} [{len(self.footnotes)}]"
        if name == "sup":
            return superscript(before, self._inner(element, ""))
        if name == "link" and not "".join(element.itertext()).strip():
            return before + self._pointed(element)
        return self._inner(element, before)

    def _inner(self, element: Element, before: str) -> str:
        """The text so far with an element's content after it; a superscript in italics, too, is of what is before."""
        text = before + (element.text or "")
        for node in element:
            text = _bounded(self._inline(node, text)) + (node.tail or "")
        return text

    def _pointed(self, link: Element) -> str:
        """What a link without words of its own points to: the numbers of figures are made by the publisher's site."""
        target = link.get("target-id", "")
        kind = self._kinds.get(target, "").capitalize() if target else ""
        return kind or _NAMED.get(target[:3].lower(), "") or link.get("url", "")

    def _section(self, section: Element, level: int) -> list[str]:
        if any(local(node) == "exercise" for node in section):
            return []
        inner = self.blocks(section, level + 1)
        title = self.line(child(section, "title"))
        return [f"{'#' * min(level, DEEPEST)} {title}", *inner] if inner and title else inner

    def _note(self, note: Element, level: int) -> list[str]:
        """Its kind and title are a paragraph, not a heading: what follows the note is not under it."""
        kind = self.line(child(note, "label")) or note.get("class", "").split(" ")[-1].replace("-", " ").capitalize()
        title = self.line(child(note, "title"))
        inner = self.blocks(note, level)
        head = ": ".join(part for part in (kind, title) if part)
        return [f"**{head}**", *inner] if inner and head else inner

    def _list_block(self, element: Element, level: int) -> list[str]:
        title = self.line(child(element, "title"))
        lines = list(self._items(element))
        return ["\n".join([title, *lines] if title else lines)] if lines else []

    def _items(self, element: Element) -> Iterator[str]:
        mark = _marks(element)
        for number, item in enumerate((node for node in element if local(node) == "item"), _start(element)):
            parts = self.blocks(item, DEEPEST)
            indent = "  "
            lines = "\n".join(parts).split("\n")
            if lines != [""]:
                yield "\n".join([mark(number) + lines[0], *(indent + line for line in lines[1:])])

    def _figure(self, figure: Element, level: int) -> list[str]:
        """Title and caption; what the image shows only where it has neither."""
        words = [self.line(child(figure, name)) for name in ("title", "caption")]
        words = [word if word[-1] in ".?!:" else word + "." for word in words if word]
        inner = [block for node in figure if local(node) == "subfigure" for block in self._figure(node, level)]
        if words:
            return [f"Figure: {' '.join(words)}", *inner]
        return inner or [block for node in figure if local(node) == "media" for block in self._media(node, level)]

    def _media(self, media: Element, level: int) -> list[str]:
        shown = " ".join(media.get("alt", "").split())
        return [f"[Image: {shown}]"] if shown else []

    def _definition(self, definition: Element, level: int) -> list[str]:
        return [f"- {self.line(child(definition, 'term'))}: {self.line(child(definition, 'meaning'))}"]

    def _equation(self, equation: Element, level: int) -> list[str]:
        return [text for node in equation if local(node) == "math" and (text := math_text(node))]

    def _table(self, table: Element, level: int) -> list[str]:
        words = [self.line(child(table, name)) for name in ("title", "caption")]
        texts = [f"Table: {' '.join(word for word in words if word)}"] if any(words) else []
        for group in (node for node in table if local(node) == "tgroup"):
            rows = self._rows(group)
            if rows:
                texts.append("\n".join(rows))
        return texts

    def _rows(self, group: Element) -> list[str]:
        """`| a | b |`, a rule after the head. A cell that spans rows is repeated: each row can be read alone."""
        columns = {node.get("colname"): at for at, node in enumerate(e for e in group if local(e) == "colspec")}
        above: dict[int, tuple[int, str]] = {}
        lines: list[str] = []
        size = 0
        for part in (node for node in group if local(node) in ("thead", "tbody", "tfoot")):
            for row in (node for node in part if local(node) == "row"):
                cells = self._cells(row, columns, above)
                size += sum(map(len, cells)) + 3 * len(cells)
                if size > MAX_TABLE:
                    raise ValueError(f"a table whose cells span so many rows and columns that it passes {MAX_TABLE}")
                lines.append(f"| {' | '.join(cells)} |")
            if local(part) == "thead" and lines:
                width = lines[-1].replace("\\|", "").count("|") - 1
                lines.append("|" + " --- |" * width)
        return lines

    def _cells(self, row: Element, columns: dict[str | None, int], above: dict[int, tuple[int, str]]) -> list[str]:
        """A row's cells. `above`: column -> how many more rows a cell spans, and its text; brought up to date here."""
        cells: dict[int, str] = {}
        for at in list(above):
            left, text = above.pop(at)
            cells[at] = text
            if left > 1:
                above[at] = (left - 1, text)
        at = 0
        for entry in (node for node in row if local(node) == "entry"):
            while at in cells:
                at += 1
            at = max(at, columns.get(entry.get("namest") or entry.get("colname"), at))
            text = self.line(entry).replace("|", "\\|")
            last = max(at, columns.get(entry.get("nameend"), at))
            rows = _number(entry.get("morerows"))
            for column in range(at, last + 1):
                cells[column] = text if column == at else ""
                if rows:
                    above[column] = (rows, cells[column])
            at = last + 1
        return [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]


def _bounded(text: str) -> str:
    if len(text) > MAX_PARAGRAPH:
        raise ValueError(f"a paragraph with links or formats in it is longer than {MAX_PARAGRAPH} characters")
    return text


def _paragraph(text: str) -> list[str]:
    """Running text with its white space as one space."""
    text = apart(" ".join(text.split()))
    return [text] if text else []


def _number(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 4 else 0


def _start(element: Element) -> int:
    return _number(element.get("start-value")) or 1


def _marks(element: Element) -> Callable[[int], str]:
    if element.get("list-type") != "enumerated":
        return lambda number: "- "
    letters = {"lower-alpha": string.ascii_lowercase, "upper-alpha": string.ascii_uppercase}.get(
        element.get("number-style", ""), ""
    )
    return lambda number: f"{letters[number - 1] if number <= len(letters) else number}. "
