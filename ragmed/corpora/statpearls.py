"""Reads StatPearls as NCBI's Bookshelf publishes it (`statpearls_NBK430685.tar.gz`, a chapter a file of NXML).

A document is a part of a chapter, its title the way to it: "Sepsis -- Treatment -- Fluids". With `documents: snippets`
it is a paragraph or so, cut, joined and numbered as MedRAG does it (`article-28887_7`), so that rankings and vectors
that others made of MedRAG's StatPearls mean the same texts here.

Source: NCBI Bookshelf NBK430685 (BITS); Xiong et al. 2024, "Benchmarking Retrieval-Augmented Generation for Medicine",
and MedRAG's chunking of StatPearls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from ragmed.corpora.inline import check_depth
from ragmed.corpora.jats import authors, licence, published
from ragmed.corpora.jats_text import Writer, bare_names
from ragmed.corpora.members import Member, read_members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, one_of
from ragmed.corpora.safe_xml import parse_xml

SUFFIXES = (".nxml", ".xml")
OPTIONS: Mapping[str, OptionCheck] = {"documents": one_of("sections", "snippets")}
BETWEEN = " -- "
SHORT, LONG = 200, 1000
"""MedRAG's lengths, in characters: a paragraph under SHORT joins the one before it, as long as both are under LONG; so
does a list under LONG; else it is a snippet of its own where it is under LONG, and one an item where it is not."""


@dataclass(slots=True)
class Part:
    """A document to be: `title`, and its blocks."""

    id: str
    title: str
    blocks: list[str]


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.title  # 'Sepsis -- Introduction'

    A path is the archive, read in place, or its folder. A file without a section (the book's table of contents) is
    Ignored. Licence and date are the chapter's own.
    """
    yield from read_members(recipe, SUFFIXES, lambda member: _of_file(member, recipe))


def _of_file(member: Member, recipe: Recipe) -> Iterator[Found | Ignored | Rejected]:
    root = bare_names(parse_xml(member.read()))
    if root.tag not in ("book-part-wrapper", "book-part", "book"):
        raise ValueError(
            f"its root is <{root.tag[:40]}>, <book-part-wrapper> was expected: no chapter of the Bookshelf"
        )
    name = PurePosixPath(member.name).stem
    if root.find(".//sec") is None:
        yield Ignored(member.file, "a file without a section, such as the table of contents")
        return
    chapter = root.find(".//book-part")
    meta = chapter.find("book-part-meta") if chapter is not None else None
    meta = meta if meta is not None else root
    writer = Writer()
    own = meta.find("title-group/title")
    title = writer.line(own if own is not None else root.find(".//title"))
    if recipe.options.get("documents") == "snippets":
        parts = _snippets(root, name)
    else:
        parts = _sections(root, meta, name, title, writer)
    by = authors(meta, writer)
    date = published([*meta.iterfind("pub-history/date"), *meta.iterfind("pub-date")])
    given = licence(meta, writer) or licence(root, writer)
    any_part = False
    for part in parts:
        any_part = True
        citation = ". ".join(one.rstrip(".") for one in (by, part.title, "StatPearls", date[:4], name) if one)
        text = "\n\n".join(part.blocks)
        yield Found(
            recipe.document(part.id, part.title, text, license=given, date=date, citation=citation), member.file
        )
    if not any_part:
        yield Rejected(member.file, 0, "its sections hold no text")


def _sections(root: Element, meta: Element, name: str, title: str, writer: Writer) -> Iterator[Part]:
    """A chapter's abstract, what stands under no section, and each section in its parts: what stands before its first
    subtitle, what follows each, and the sections within it."""
    body = next(root.iter("body"), root)
    abstracts = [block for one in meta.iterfind("abstract") for block in writer.blocks(one, 2)]
    if abstracts:
        yield Part(f"{name}.abstract", BETWEEN.join(filter(None, [title, "Abstract"])), abstracts)
    loose = Element("body")
    loose.extend(node for node in body if node.tag != "sec")
    if body.tag == "body" and (blocks := writer.blocks(loose, 2)):
        yield Part(f"{name}.0", title, blocks)
    for nth, section in enumerate(body.iterfind("sec"), 1):
        yield from _section(section, section.get("id") or f"{name}.s{nth}", [title], writer, 0)


def _section(section: Element, name: str, above: list[str], writer: Writer, depth: int) -> Iterator[Part]:
    check_depth(section, depth)
    path = [*above, writer.line(section.find("title"))]
    now = Part(name, BETWEEN.join(filter(None, path)), [])
    inner: list[Element] = []
    nth = 0
    for node in section:
        if node.tag == "sec":
            inner.append(node)
        elif _is_subtitle(node):
            if now.blocks:
                yield now
            nth += 1
            now = Part(f"{name}.{nth}", BETWEEN.join(filter(None, [*path, writer.line(node)])), [])
        elif node.tag not in ("title", "label"):
            holder = Element("body")
            holder.append(node)
            now.blocks += writer.blocks(holder, 2)
    if now.blocks:
        yield now
    for number, one in enumerate(inner, 1):
        yield from _section(one, one.get("id") or f"{name}.s{number}", path, writer, depth + 1)


def _is_subtitle(node: Element) -> bool:
    """A paragraph of bold words alone."""
    return node.tag == "p" and len(node) == 1 and node[0].tag == "bold" and not (node[0].tail or "").strip()


def _snippets(root: Element, name: str) -> Iterator[Part]:
    """MedRAG's own, in its order: every section of any depth, its own paragraphs and lists."""
    heading = root.find(".//title")
    title = (heading.text or "") if heading is not None else ""
    made: list[Part] = []
    for section in root.iter("sec"):
        made += _of_section(section, title, name, len(made))
    return iter(made)


def _of_section(section: Element, title: str, name: str, number: int) -> list[Part]:
    own = section.find("title")
    whole = BETWEEN.join([title, (own.text or "").strip() if own is not None else ""])
    now, made = whole, list[Part]()
    last: Part | None = None  # what the next paragraph or list may join
    before: Element | None = None

    def add(text: str) -> Part:
        made.append(Part(f"{name}_{number + len(made)}", now, [text]))
        return made[-1]

    for node in section:
        if _is_subtitle(node):
            last = None
            now = BETWEEN.join([*whole.split(BETWEEN)[:2], _spaced(node, 0)])
        elif node.tag == "p":
            text = _spaced(node, 0)
            if last and len(text) < SHORT and len(last.blocks[0]) + len(text) < LONG:
                last.blocks[0] = f"{last.blocks[0]} {text}"
            else:
                last = add(text)
        elif node.tag == "list":
            items = [_spaced(item, 0) for item in node]
            text = " ".join(items)
            if last and len(text) + len(last.blocks[0]) < LONG:
                last.blocks[0] = " ".join([last.blocks[0], *items])
            elif len(text) < LONG:
                last = add(text)
            else:
                last = None
                for item in items:
                    add(item)
            if before is not None and _is_subtitle(before):
                now = whole
        before = node
    return made


def _spaced(element: Element, depth: int) -> str:
    """The text of an element, its parts each in its own words: one space between them, and none at the ends."""
    check_depth(element, depth)
    parts = [(element.text or "").strip()]
    for child in element:
        parts += [_spaced(child, depth + 1), (child.tail or "").strip()]
    text = parts[0]
    for nth, part in enumerate(parts[1:]):
        if nth % 2 == 0 or part:  # an empty element is a part, an empty tail is none
            text += (" " if text else "") + part
    return text.strip()
