"""Reads articles in JATS XML, as PubMed Central's open-access archives hold them: an article -> one document.

`pmc` reads another form of the same articles: plain text with section marks, without tables, licences and dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from ragmed.corpora.dates import earliest, iso_date
from ragmed.corpora.jats_text import Writer, bare_names
from ragmed.corpora.licences import creative_commons
from ragmed.corpora.members import Member, read_members
from ragmed.corpora.recipe import Found, Ignored, LeftOut, Recipe, Rejected, found_or_rejected
from ragmed.corpora.safe_xml import parse_xml
from ragmed.records import Document

SUFFIXES = (".xml", ".nxml")
SETS = ("pmc-articleset", "articles")
"""Roots around several articles, as E-utilities and Europe PMC give them."""

HREF = "{http://www.w3.org/1999/xlink}href"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
AUTHORS = 3
_PMC = re.compile(r"(?:PMC)?([1-9]\d{0,9})", re.ASCII)
_NO_DATE = (
    "pmc-release",
    "nihms-submitted",
    "received",
    "accepted",
    "rev-recd",
    "rev-request",
    "retracted",
    "corrected",
)
"""Kinds of dates that are not of publication."""


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored | LeftOut]:
    """
        next(read(recipe)).document.id  # 'PMC1065065'

    Folders, files and archives (`oa_comm_xml.PMC000xxxxxx.baseline.*.tar.gz`, read in place). The id is the article's
    PMC id, from the file or its name. The text: articles that it retracts or corrects, or that do so with it; the
    abstracts; the body under its headings, with tables, captions and formulae as text; appendices, glossary, notes.
    Licence and date are the article's own. Sub-articles (reviews, replies, translations) are left out and counted.
    """
    yield from read_members(recipe, SUFFIXES, lambda member: _of_file(member, recipe))


def _of_file(member: Member, recipe: Recipe) -> Iterator[Found | Rejected | LeftOut]:
    root = bare_names(parse_xml(member.read()))
    if root.tag not in ("article", *SETS):
        raise ValueError(f"its root is <{root.tag[:40]}>, <article> was expected: not an article in JATS")
    articles = root.findall("article") if root.tag in SETS else [root]
    if not articles:
        raise ValueError(f"a <{root.tag}> without an <article>")
    name = PurePosixPath(member.name).stem if len(articles) == 1 else ""
    for article in articles:
        yield found_or_rejected(partial(_document, article, name, recipe), member.file)
    left = Counter(sub.get("article-type", "unknown") for one in articles for sub in one if sub.tag in _SUB)
    for kind, count in left.items():
        yield LeftOut(member.file, count, f"a sub-article ({kind})")


_SUB = ("sub-article", "response")


def _document(article: Element, name: str, recipe: Recipe) -> Document:
    meta = article.find("front/article-meta")
    meta = meta if meta is not None else Element("article-meta")
    pmc = _pmc_id(meta, name)
    writer = Writer(_pointed(article, meta))
    title = writer.line(meta.find("title-group/article-title"))
    subtitle = writer.line(meta.find("title-group/subtitle"))
    blocks = _relations(meta)
    for abstract in [*meta.iterfind("abstract"), *meta.iterfind("trans-abstract")]:
        blocks += _abstract(abstract, writer)
    for part, heading in (("body", ""), ("floats-group", "Figures and tables")):
        element = article.find(part)
        inner = writer.blocks(element, 2) if element is not None else []
        blocks += [f"## {heading}", *inner] if heading and inner else inner
    back = article.find("back")
    for after in back if back is not None else ():
        blocks += _back(after, writer)
    if not blocks:
        raise ValueError("it has neither an abstract nor a body")
    url = f"https://pmc.ncbi.nlm.nih.gov/articles/{pmc}/"
    return recipe.document(
        pmc,
        ": ".join(part for part in (title.rstrip(":"), subtitle) if part) or pmc,
        "\n\n".join(blocks),
        source=url,
        license=licence(meta, writer),
        date=published(meta.findall("pub-date")),
        citation=_cited(pmc, title, article, writer),
    )


def _pointed(article: Element, meta: Element) -> set[str]:
    """The ids that the text links to; not those that the names of authors link to."""
    parts = [*(article.find(name) for name in ("body", "floats-group", "back")), *meta.iterfind("abstract")]
    links = [link for part in parts if part is not None for link in part.iter("xref")]
    return {id_ for link in links for id_ in link.get("rid", "").split()}


def _pmc_id(meta: Element, name: str) -> str:
    """ValueError where neither the article nor its file's name says it."""
    told = {one.get("pub-id-type", ""): " ".join((one.text or "").split()) for one in meta.iterfind("article-id")}
    for text in (told.get("pmcid", ""), told.get("pmc", ""), told.get("pmcaid", "")):
        if match := _PMC.fullmatch(text):
            return f"PMC{match[1]}"
    if name.startswith("PMC") and (match := _PMC.fullmatch(name)):
        return name
    raise ValueError("it has no PMC id, and its file's name is none, such as PMC1065065.xml")


def _relations(meta: Element) -> list[str]:
    """What it retracts, corrects or comments on, and what does so with it: no passage of it is to be read without."""
    lines = []
    for one in meta.iterfind("related-article"):
        where = " ".join("".join(one.itertext()).split()) or one.get(HREF, "")
        kind = one.get("related-article-type", "").replace("-", " ")
        lines.append(": ".join(part for part in (f"Related article ({kind})", where) if part))
    return ["\n".join(lines)] if lines else []


def _abstract(abstract: Element, writer: Writer) -> list[str]:
    inner = writer.blocks(abstract, 3)
    title = writer.line(abstract.find("title")) or "Abstract"
    more = ", ".join(part for part in (abstract.get("abstract-type", ""), _language(abstract)) if part)
    return [f"## {title} ({more})" if more else f"## {title}", *inner] if inner else []


def _language(abstract: Element) -> str:
    return abstract.get(LANG, "") if abstract.tag == "trans-abstract" else ""


def _back(part: Element, writer: Writer) -> list[str]:
    """Appendices, sections and glossaries after the body, each under a heading."""
    if part.tag == "app-group":
        return [block for app in part.iterfind("app") for block in _back(app, writer)]
    if part.tag not in ("app", "sec", "glossary", "notes", "fn-group"):
        return []
    holder = part
    if part.tag == "fn-group":
        holder = Element("p")
        holder.append(part)
    inner = writer.blocks(holder, 3)
    named = "Footnotes" if part.tag == "fn-group" else part.tag.capitalize()
    title = writer.line(part.find("title")) or writer.line(part.find("label")) or named
    return [f"## {title}", *inner] if inner else []


def licence(meta: Element, writer: Writer) -> str:
    """The Creative Commons licence of a record's permissions, else its copyright statement; empty where it has none."""
    for permissions in meta.iter("permissions"):
        for one in [*permissions.iter("license"), *permissions.iter("license_ref")]:
            addresses = [one.get(HREF, ""), "".join(one.itertext()), *(link.get(HREF, "") for link in one.iter())]
            if name := next(filter(None, map(creative_commons, addresses)), ""):
                return name
        if statement := writer.line(permissions.find("copyright-statement")):
            return statement
    return ""


def published(dates: list[Element]) -> str:
    """The first date of publication; that of its release by PMC where there is no other."""
    kinds = [(one.get("pub-type") or one.get("date-type") or "pub", _date(one)) for one in dates]
    first = earliest(date for kind, date in kinds if kind not in _NO_DATE)
    return first or earliest(date for kind, date in kinds if kind == "pmc-release")


def _date(element: Element) -> str:
    return iso_date(*(" ".join((element.findtext(name) or "").split()) for name in ("year", "month", "day")))


def authors(meta: Element, writer: Writer) -> str:
    """`Doe JA, Roe R, Tarn Group, et al`."""
    names = []
    for one in meta.iterfind("contrib-group/contrib"):
        if one.get("contrib-type", "author") == "author":
            given = writer.line(one.find("name/given-names"))
            initials = "".join(part[0] for part in re.split(r"[\s.-]+", given) if part)
            name = " ".join(part for part in (writer.line(one.find("name/surname")), initials) if part)
            names.append(name or writer.line(one.find("collab")))
    names = [name for name in names if name]
    return ", ".join(names[:AUTHORS]) + (", et al" if len(names) > AUTHORS else "")


def _cited(pmc: str, title: str, article: Element, writer: Writer) -> str:
    meta, journal = article.find("front/article-meta"), article.find("front/journal-meta")
    if meta is None:
        return f"PubMed Central {pmc}"
    titles = ("journal-title-group/journal-title", "journal-title") if journal is not None else ()
    name = next((text for path in titles if journal is not None and (text := writer.line(journal.find(path)))), "")
    volume, issue, first, last, number = (
        writer.line(meta.find(part)) for part in ("volume", "issue", "fpage", "lpage", "elocation-id")
    )
    pages = (f"{first}-{last}" if last and last != first else first) or number
    place = (volume + (f"({issue})" if issue else "")) + (f":{pages}" if pages else "")
    year = published(meta.findall("pub-date"))[:4]
    doi = next((f"doi:{one.text}" for one in meta.iterfind("article-id") if one.get("pub-id-type") == "doi"), "")
    parts = (authors(meta, writer), title, name, ";".join(part for part in (year, place) if part), doi)
    return ". ".join(part.rstrip(".") for part in (*parts, f"PubMed Central {pmc}") if part)
