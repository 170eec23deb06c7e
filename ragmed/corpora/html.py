"""Reads HTML files, alone, in folders or in archives: one file -> one document of Markdown text with its address.

Nothing is fetched and no script runs: what the file itself holds is all there is.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any

from ragmed.corpora.html_text import is_hidden, markdown_of
from ragmed.corpora.members import Member, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected
from ragmed.corpora.worker import Worker
from ragmed.errors import MissingDependencyError

SUFFIXES = (".html", ".htm", ".xhtml")
MAX_FILE_BYTES = 16 * 1024 * 1024
FILE_SECONDS = 60.0

# selectolax: builds the tree that browsers build (WHATWG), so that broken markup loses no text. lxml's parser knows
# HTML 4 and drops what is nested deeply; html5lib has had no release since 2020; trafilatura guesses what is content.

_PRESCAN = 4096  # browsers look at 1024 bytes; saved pages often put a comment first
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
_XML = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{2,40})", re.I)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# The encodings of the web; Python knows others, such as those that run escapes.
_ENCODING = re.compile(
    r"utf-8|cp125[0-8]|cp874|cp866|iso8859-\d+|koi8-[ru]|gbk|gb2312|gb18030|big5(hkscs)?|euc_(jp|kr)|shift_jis|cp932|"
    r"cp949|iso2022_jp|mac-roman|mac_roman"
)
_DATES = (
    "citation_publication_date", "citation_date", "article:modified_time", "dcterms.modified", "last-modified",
    "article:published_time", "dcterms.issued", "dc.date.issued", "dcterms.date", "dc.date", "datepublished", "date",
)  # fmt: skip
_SITES = ("citation_journal_title", "og:site_name", "dc.publisher", "citation_publisher")


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.source  # 'https://www.example.org/guidelines/asthma'

    Where a page marks its one main part (`main`), that is the text, as the standard means it: outside are menus and
    notices that every page repeats. Otherwise it is the whole body, without `nav` and the site's footer. What a page
    hides from its readers is left out, what they can open by a click is not. Title, date, licence and the
    canonical address come from the page's own metadata, the citation from them and its authors. Rejected: a page
    without text, one whose bytes are not in the encoding that it declares, or that declares none and is not UTF-8.
    """
    with ExitStack() as stack:
        yield from read_members(recipe, SUFFIXES, member_reader(recipe, stack))


def member_reader(recipe: Recipe, stack: ExitStack) -> Callable[[Member], Iterable[Found]]:
    """What reads one file, in a process that lives as long as the stack. MissingDependencyError names the extra."""
    if importlib.util.find_spec("selectolax") is None:
        raise MissingDependencyError("reading HTML needs selectolax; pip install 'ragmed[html]'")
    worker = stack.enter_context(Worker(f"{__name__}:page", item_seconds=FILE_SECONDS, file_seconds=FILE_SECONDS))
    return lambda member: [_read_member(member, worker, recipe)]


def _read_member(member: Member, worker: Worker, recipe: Recipe) -> Found:
    (found,) = worker.run(member.read(MAX_FILE_BYTES))
    title = found.pop("title") or PurePosixPath(member.name).stem
    return Found(recipe.document(member.bare_name(SUFFIXES), title, **found), member.file)


def page(data: bytes) -> Iterator[dict[str, str]]:
    """In the worker: a page's `text`, `title`, `date`, `license`, `source` and `citation`, those not said empty.

    ValueError says why the page cannot be read.
    """
    from selectolax.lexbor import LexborHTMLParser

    text = decoded(data)
    if "\x00" in text:
        raise ValueError("holds a NUL character: it is not HTML")
    tree = LexborHTMLParser(text)
    root = _main(tree)
    body = markdown_of(root) if root is not None else ""
    if not body.strip():
        raise ValueError("the page has no text; if a script makes it, save the page from a browser")
    yield {"text": body, **_about(tree, root)}


def decoded(data: bytes) -> str:
    """
    >>> decoded(b'<meta charset="windows-1252">caf\\xe9')[-4:]
    'café'

    Mark, then declaration, then UTF-8; ValueError rather than wrong letters.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], name, f"has the mark of {name.upper()}")
    declared = _META.search(data[:_PRESCAN]) or _XML.search(data[:_PRESCAN])
    if not declared:
        return _strictly(data, "utf-8", 'declares no encoding; convert it to UTF-8, or add <meta charset="…">')
    label = declared[1].decode("ascii").lower()
    says = f"declares the encoding {label}"
    try:
        name = codecs.lookup(label).name
    except LookupError as error:
        raise ValueError(f"{says}, which nobody knows; convert it to UTF-8") from error
    if name in ("utf-16", "utf-16-le", "utf-16-be", "utf_16_le", "utf_16_be"):
        name = "utf-8"  # the declaration could be read, so it is not UTF-16
    if name in ("ascii", "iso8859-1"):
        name = "cp1252"  # what the web means by these
    if not _ENCODING.fullmatch(name):
        raise ValueError(f"{says}, which is none of the web's; convert it to UTF-8")
    if name != "utf-8" and not data.isascii():
        try:  # bytes that happen to be UTF-8 in another encoding do not occur in real text
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return _strictly(data, name, says)
    return _strictly(data, name, says)


def _strictly(data: bytes, name: str, says: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        where = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise ValueError(f"is not {name.upper()} ({where}), and {says}") from error


def _main(tree: Any) -> Any:
    mains = [node for node in tree.css("main, [role=main]") if node.text().strip() and not is_hidden(node)]
    return mains[0] if len(mains) == 1 else tree.body


def _about(tree: Any, root: Any) -> dict[str, str]:
    meta: dict[str, list[str]] = {}
    for node in tree.css("meta[content]"):
        marks = node.attributes
        name = (
            marks.get("name") or marks.get("property") or marks.get("itemprop") or marks.get("http-equiv") or ""
        ).lower()
        if value := " ".join((marks.get("content") or "").split()):
            meta.setdefault(name, []).append(value)
    address = _link(tree, "canonical") or next(filter(_is_web, meta.get("og:url", [])), "")
    title = _first(meta, "citation_title", "og:title") or _heading(root) or _text(tree.css_first("title"))
    date = _first(meta, *_DATES)
    date = date[:10] if re.match(r"\d{4}-\d\d-\d\dT", date) else date
    authors = meta.get("citation_author") or meta.get("dc.creator") or meta.get("author") or []
    doi = _first(meta, "citation_doi").removeprefix("doi:").strip()
    site = _first(meta, *_SITES)
    where = f"https://doi.org/{doi.removeprefix('https://doi.org/')}" if doi else address
    by = ", ".join(authors[:3]) + (" et al" if len(authors) > 3 else "")
    parts = [part.rstrip(".") for part in (by, title, site, date, where) if part]
    return {
        "title": title,
        "date": date,
        "license": _link(tree, "license"),
        "source": address,
        "citation": ". ".join(parts) if where or site else "",  # a title alone is no way to find a page
    }


def _first(meta: Mapping[str, list[str]], *names: str) -> str:
    return next((meta[name][0] for name in names if name in meta), "")


def _heading(root: Any) -> str:
    headings = root.css("h1")
    return _text(headings[0]) if len(headings) == 1 else ""


def _text(node: Any) -> str:
    return " ".join(node.text().split()) if node is not None else ""


def _link(tree: Any, kind: str) -> str:
    links = (node.attributes.get("href") or "" for node in tree.css(f"link[rel~={kind}]"))
    return next((link.strip() for link in links if _is_web(link.strip())), "")


def _is_web(address: str) -> bool:
    return bool(re.fullmatch(r"https?://[^\s<>\"]+", address))
