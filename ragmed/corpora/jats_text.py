"""An article in JATS, or a chapter in BITS, -> Markdown: headings, lists, tables, captions, formulae.

What is no reading is left out: reference lists and the raised numbers that point into them, acknowledgements, who paid
and did what, images. A raised mark that points to a footnote is in brackets: `12.5 [1]`, so that it is no 12.51.
Element names are bare (see `bare_names`): the formats are published with a namespace and without.

Source of the format: NISO Z39.96 (JATS 1.3, Archiving and Interchange), NLM BITS 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from xml.etree.ElementTree import Element

from ragmed.corpora.grid import Grid, span
from ragmed.corpora.inline import apart, bounded, check_depth, superscript
from ragmed.corpora.mathml import math_text
from ragmed.corpora.safe_xml import local

DEEPEST = 6
"""Markdown has no deeper heading."""

_LEFT_OUT = frozenset(
    "ref-list ack bio object-id permissions graphic inline-graphic sec-meta alt-text long-desc attrib "
    "related-article related-object processing-meta title label private-char".split()
)
_THROUGH = (
    "p", "body", "abstract", "trans-abstract", "disp-quote", "boxed-text", "statement", "app", "app-group", "glossary",
    "fig-group", "table-wrap-group", "floats-group", "verse-group", "verse-line", "speech", "notes",
    "disp-formula-group",
    "question-wrap", "question", "answer", "answer-set", "explanation", "caption", "book-app", "book-app-group",
)  # fmt: skip
_LATEX = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)
_OF_CAPTION = frozenset("label caption alt-text long-desc table alternatives table-wrap-foot".split())
_POINTERS = re.compile(r"[\s,;()\[\]–—-]*")
_SEPARATORS = re.compile(r"[\s,;–—-]*")
"""What stands between numbers of references, with their brackets and without."""
_IN_BRACKETS = re.compile(r"[(\[]$|[(\[][\s\d,;–—-]*[,;]$|[–—/-]$|\brefs?\.?$", re.IGNORECASE)
"""A citation's own brackets, with what numbers and commas there are already; "ref."."""
_NUMBERS = re.compile(r"(?!(?:19|20)\d\d[a-z]?$)\d{1,4}[a-z]?([\s,;–—-]+\d{1,4}[a-z]?)*", re.ASCII)
Write = Callable[[Element, str], str | None]


def bare_names(root: Element) -> Element:
    """The same tree with names of elements without their namespaces."""
    for element in root.iter():
        if "}" in element.tag:
            element.tag = local(element)
    return root


class Writer:
    """
    >>> from ragmed.corpora.safe_xml import parse_xml
    >>> body = b"<body><sec><title>Aims</title><p>Rest <sup><xref ref-type='bibr'>1</xref></sup>.</p></sec></body>"
    >>> Writer().blocks(parse_xml(body), 2)
    ['## Aims', 'Rest .']

    Writes elements as blocks of Markdown. ValueError: a text or a table without measure, markup nested too deeply.
    """

    def __init__(self, pointed: Collection[str] = ()) -> None:
        """`pointed`: ids of the notes that the text points to, which alone are read of a group of notes."""
        self._pointed = pointed
        self._writers: dict[str, Callable[[Element, int], list[str]]] = {
            "sec": self._section,
            "list": self._list_block,
            "def-list": self._definitions,
            "table-wrap": self._table,
            "array": self._table,
            "fig": self._captioned,
            "media": self._captioned,
            "fn-group": self._footnotes,
            "supplementary-material": self._captioned,
            "disp-formula": self._formula,
            "preformat": self._kept,
            "code": self._kept,
            **dict.fromkeys(_THROUGH, self._through),
        }

    def blocks(self, element: Element, level: int, *, depth: int = 0) -> list[str]:
        """An element's content: block children each on their own, the running text between them as paragraphs.

        `level`: of the headings of its sections, 2 for `##`.
        """
        texts: list[str] = []

        def write(node: Element, running: str) -> str | None:
            if node.tag not in self._writers:
                return None
            texts.extend([*_paragraph(running), *self._writers[node.tag](node, level)])
            return ""

        running = self._inner(element, "", depth, write)
        return texts + _paragraph(running)

    def line(self, element: Element | None) -> str:
        """An element's running text in one line, blocks in it one after the other; empty for None."""
        if element is None:
            return ""
        if not len(element):
            return " ".join((element.text or "").split())
        return " ".join(" ".join(self.blocks(element, DEEPEST)).split())

    def _inline(self, element: Element, before: str, depth: int) -> str:
        """The text so far with an inline element after it."""
        check_depth(element, depth)
        name = element.tag
        if name == "math":
            return before + math_text(element)
        if name == "tex-math":
            return before + _latex(element)
        if name in ("alternatives", "inline-formula"):
            return self._alternative(element, before, depth)
        if name == "break":
            return before + " "
        if name == "fn":
            return f"{before.rstrip()} [{self.line(element)}]"
        if mark := _footnote_mark(element, before):
            written = any(character.isalnum() for character in mark)
            return f"{before.rstrip()} [{mark}]" if written else before.rstrip() + mark
        if name == "sup":
            return superscript(before, self._inner(element, "", depth + 1))
        return self._inner(element, before, depth + 1)

    def _inner(self, element: Element, before: str, depth: int, write: Write = lambda node, text: None) -> str:
        """The text so far with an element's content after it; a superscript in italics, too, is of what is before.

        `write`: takes a block and the text before it, and gives the text that goes on after it; None for what is none.
        """
        text = before + (element.text or "")
        pointed: int | None = None  # where the text ended at the pointer before, if all since then is commas and dashes
        listed: int | None = None  # and at a link that stayed: the next one of its list stays, too
        for node in element:
            follows = pointed is not None and bool(_SEPARATORS.fullmatch(text[pointed:]))
            stays = listed is not None and bool(_SEPARATORS.fullmatch(text[listed:]))
            glued = not stays and _is_glued(node, text, "bibr", follows)
            pointer = glued or _points_to(node, "bibr") or (follows and _separates(node))
            if pointer:
                text = text[:pointed] if follows else text
            elif (rest := write(node, text)) is not None:
                text = rest
            elif node.tag not in _LEFT_OUT:
                text = bounded(self._inline(node, text, depth))
            pointed = len(text) if pointer else None
            listed = len(text) if not pointer and node.tag == "xref" else None
            text += node.tail or ""
        return text

    def _alternative(self, element: Element, before: str, depth: int) -> str:
        """The text so far with one of several forms of the same: MathML, else LaTeX, else what text there is."""
        for name, write in (("math", math_text), ("tex-math", _latex)):
            found = next(element.iter(name), None)
            if found is not None:
                check_depth(found, depth)
                return before + write(found)
        return self._inner(element, before, depth + 1)

    def _through(self, element: Element, level: int) -> list[str]:
        """Its content; its title, where it has one, is a paragraph: what follows the element is not under it."""
        inner = self.blocks(element, level)
        title = " ".join(part for part in (self.line(element.find("label")), self.line(element.find("title"))) if part)
        return [f"**{title}**", *inner] if title and (inner or element.tag == "caption") else inner

    def _section(self, section: Element, level: int) -> list[str]:
        inner = self.blocks(section, level + 1)
        title = self.line(section.find("title"))
        return [f"{'#' * min(level, DEEPEST)} {title}", *inner] if inner and title else inner

    def _list_block(self, element: Element, level: int) -> list[str]:
        title = self.line(element.find("title"))
        lines = list(self._items(element))
        return ["\n".join([title, *lines] if title else lines)] if lines else []

    def _items(self, element: Element) -> Iterator[str]:
        ordered = element.get("list-type") in ("order", "alpha-lower", "alpha-upper", "roman-lower", "roman-upper")
        for number, item in enumerate(element.iterfind("list-item"), 1):
            label = self.line(item.find("label"))
            mark = f"{label} " if label and label not in "•-–*" else f"{number}. " if ordered else "- "
            lines = "\n".join(self.blocks(item, DEEPEST)).split("\n")
            if lines != [""]:
                yield "\n".join([mark + lines[0], *("  " + line for line in lines[1:])])

    def _definitions(self, element: Element, level: int) -> list[str]:
        title = self.line(element.find("title"))
        lines = [
            f"- {self.line(one.find('term'))}: {'; '.join(filter(None, map(self.line, one.iterfind('def'))))}"
            for one in element.iterfind("def-item")
        ]
        lines += [line for inner in element.iterfind("def-list") for line in self._definitions(inner, level)]
        return ["\n".join([title, *lines] if title else lines)] if lines else []

    def _captioned(self, element: Element, level: int) -> list[str]:
        """Label and caption of a figure or a file, and what else stands in it; what an image shows only without one."""
        told = self._told(element)
        rest = self._rest(element, level)
        if not any(told[1:]):
            return [" ".join(filter(None, [*told, rest[0]])), *rest[1:]] if rest else []
        return [*_paragraph(" ".join(told)), *rest]

    def _rest(self, element: Element, level: int, *but: str) -> list[str]:
        """What an element holds beside its caption, tables and their notes."""
        rest = Element("p")
        rest.extend(node for node in element if node.tag not in _OF_CAPTION and node.tag not in but)
        for node in rest:
            node.tail = ""
        return self.blocks(rest, level)

    def _told(self, element: Element) -> list[str]:
        """The label, or '', and the sentences of the caption. The label is written once: it may hold a table again."""
        caption = element.find("caption")
        words = [self.line(element.find("label"))]
        if caption is not None:
            words += [self.line(caption.find("title")), self.line(caption)]
        if not any(words[1:]):
            paths = ("alt-text", "graphic/alt-text", "alternatives/graphic/alt-text")
            words.append(next((said for path in paths if (said := self.line(element.find(path)))), ""))
        return [word if not word or word[-1] in ".?!:" else word + "." for word in words]

    def _table(self, element: Element, level: int) -> list[str]:
        """Label and caption, the rows, and the notes below, a block each."""
        blocks = _paragraph(" ".join(self._told(element)))
        rows = [text for table in _tables(element) if (text := self._rows(table))]
        feet = [foot for foot in element if foot.tag in ("table-wrap-foot", "fn-group")]
        notes = [line for foot in feet for line in self._notes(foot)]
        rest = self._rest(element, level, "fn-group") if element.tag == "table-wrap" else []
        return [*blocks, *rows, *rest, *(["\n".join(notes)] if notes else [])]

    def _footnotes(self, group: Element, level: int) -> list[str]:
        """Notes that the text points to, or of abbreviations, a line each; the others are on authors, money, conflicts
        and the publisher."""
        read = [note for note in group if note.get("id") in self._pointed or note.get("fn-type") == "abbr"]
        lines = [line for note in read for line in self._note(note)]
        return ["\n".join(lines)] if lines else []

    def _notes(self, foot: Element) -> Iterable[str]:
        for node in foot:
            for one in [node] if node.tag != "fn-group" else node:
                yield from self._note(one)

    def _note(self, note: Element) -> Iterable[str]:
        _part_leading_mark(note)
        text = " ".join(part for part in (self.line(note.find("label")), self.line(note)) if part)
        if text and note.tag not in ("title", "label"):
            yield text

    def _rows(self, table: Element) -> str:
        grid = Grid()
        for part in [table, *table]:
            if part.tag in ("thead", "tbody", "tfoot", "table", "array"):
                for row in part:
                    if row.tag == "tr":
                        grid.begin_row()
                        for cell in row:
                            rows, columns = span(cell.get("rowspan")), span(cell.get("colspan"))
                            grid.add(self.line(cell), rows=rows, columns=columns, heading=cell.tag == "th")
                        grid.end_row(in_head=part.tag == "thead")
        return grid.lines()

    def _formula(self, element: Element, level: int) -> list[str]:
        label = self.line(element.find("label"))
        text = " ".join(self._alternative(element, "", 0).split())
        return [f"{text} {label}".strip()] if text else []

    def _kept(self, element: Element, level: int) -> list[str]:
        text = "".join(element.itertext()).strip("\n")
        return [f"````\n{text}\n````"] if text.strip() else []


def _tables(element: Element) -> Iterator[Element]:
    """The tables of a wrap, those within cells not among them."""
    for node in element:
        if node.tag == "table":
            yield node
        elif node.tag == "alternatives":
            yield from list(_tables(node))[:1]
    if element.tag == "array":
        yield element


def _part_leading_mark(note: Element) -> None:
    """A space after the raised mark with which a note begins: `2 95% CI`, no 295."""
    first: Element | None = note
    while first is not None and first.tag != "sup" and not (first.text or "").strip():
        first = next((node for node in first if node.tag not in ("label", "title")), None)
    if first is not None and first.tag == "sup" and (first.text or "").strip():
        first.text = (first.text or "").strip() + " "


def _separates(node: Element) -> bool:
    """Whether it is a raised comma or dash."""
    return node.tag == "sup" and not len(node) and bool(_SEPARATORS.fullmatch(node.text or ""))


def _is_glued(node: Element, before: str, kind: str, follows: bool = False) -> bool:
    """Whether a link with a number alone stands at what is before without a space, as raised ones do whose raising is
    left to the reader: `50<xref>12</xref>`; `follows`: after another, and a comma."""
    if node.tag != "xref" or node.get("ref-type") != kind or not before:
        return False
    number = " ".join("".join(node.itertext()).split())
    at = not before[-1:].isspace() and not _IN_BRACKETS.search(before[-500:])
    return bool(_NUMBERS.fullmatch(number)) and (at or follows)


def _points_to(element: Element, *kinds: str) -> bool:
    """Whether an element holds raised links of these kinds alone: xrefs in a superscript, or superscripts in one."""
    outer, inner = ("sup", "xref") if element.tag == "sup" else ("xref", "sup")
    links = list(element) if element.tag == "sup" else [element]
    between = [element.text, *(node.tail for node in element)]
    return (
        element.tag == outer
        and len(element) > 0
        and all(node.tag == inner for node in element)
        and all(link.get("ref-type") in kinds for link in links)
        and all(_POINTERS.fullmatch(text or "") for text in between)
    )


def _footnote_mark(element: Element, before: str) -> str:
    """The number, letter or sign of the footnotes that an element points to, raised or at a number; '' for all else."""
    glued = _is_glued(element, before, "fn") or _is_glued(element, before, "table-fn")
    points = glued or _points_to(element, "fn", "table-fn")
    return " ".join("".join(element.itertext()).split()) if points else ""


def _latex(element: Element) -> str:
    text = "".join(element.itertext())
    match = _LATEX.search(text)
    return " ".join((match[1] if match else text).replace("$$", "").split())


def _paragraph(text: str) -> list[str]:
    """Running text with its white space as one space."""
    text = apart(" ".join(text.split()))
    return [text] if text else []
