"""Reads PubMed as NLM publishes it (`pubmed26n0001.xml.gz`, …; baseline and update files): a citation -> a document.

A citation comes again in a later file where it was revised, and a file may delete some. So the files are read twice:
first for which record is the newest of each PMID, kept as one number each (4 bytes; 170 MB for all of PubMed), then for
the documents. The first reading parses nothing, and the second only what is newest.

Source of the format: NLM, PubMed DTD of January 2025 (pubmed_250101.dtd) and "PubMed Download Service".
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from ragmed.corpora.archives import kind_of
from ragmed.corpora.dates import earliest, iso_date
from ragmed.corpora.inline import running_text
from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Found, Ignored, LeftOut, OptionCheck, Recipe, Rejected, one_of
from ragmed.corpora.safe_xml import parse_cut
from ragmed.corpora.xml_records import Cut, cut_records
from ragmed.errors import DataError
from ragmed.records import Document

SUFFIXES = (".xml",)
OPTIONS: Mapping[str, OptionCheck] = {
    "abstract": one_of("any", "required"),
    "indexing": one_of("include", "exclude"),
    "gaps": one_of("refused", "allowed"),
}
"""`abstract: required`: citations without one are left out, as MedRAG does. `indexing: exclude`: no MeSH headings,
chemicals, keywords and publication types in the text. `gaps: allowed`: files whose numbers are not in one row."""

RECORDS = ("PubmedArticle", "PubmedBookArticle", "DeleteCitation", "DeleteDocument")
ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet", "BookDocumentSet")
_NAME = re.compile(r"pubmed(\d\d)n(\d{4,6})\.xml", re.IGNORECASE)

_PMID = re.compile(
    rb"<Pubmed(?:Book)?Article>\s*<(?:MedlineCitation|BookDocument)\b[^>]*>\s*"
    rb"""<PMID(?:\s+Version\s*=\s*["'](\d{1,3})["'])?\s*>\s*([1-9]\d{0,7})\s*</PMID>"""
)
"""The PMID stands first in its record."""

WARNINGS = {
    "RetractionIn": "Retraction in",
    "RetractedandRepublishedIn": "Retracted and republished in",
    "ExpressionOfConcernIn": "Expression of concern in",
    "ErratumIn": "Erratum in",
    "CorrectedandRepublishedIn": "Corrected and republished in",
}
"""What a reader must know before the abstract; in the order in which it is said."""

LINKS = {
    "RetractionOf": "Retraction of",
    "RetractedandRepublishedFrom": "Retracted and republished from",
    "ExpressionOfConcernFor": "Expression of concern for",
    "ErratumFor": "Erratum for",
    "CorrectedandRepublishedFrom": "Corrected and republished from",
    "UpdateIn": "Update in",
    "UpdateOf": "Update of",
    "RepublishedIn": "Republished in",
    "RepublishedFrom": "Republished from",
    "ReprintIn": "Reprint in",
    "ReprintOf": "Reprint of",
    "SummaryForPatientsIn": "Summary for patients in",
    "OriginalReportIn": "Original report in",
    "CommentIn": "Comment in",
    "CommentOn": "Comment on",
    "AssociatedDataset": "Associated data set",
    "AssociatedPublication": "Associated publication",
}
"""Further relations, told after the abstract. `Cites` is a reference list, and left out; others keep their name."""

_NO_TITLE = ("", "[not available].", "[not available]", "[in process citation].", "[in process citation]")
_NO_ABSTRACT = "Abstract available from the publisher."
_MEDLINE_DATE = re.compile(r"(?P<year>(?:1[5-9]|20)\d\d)(?:\s+(?P<month>[A-Z][a-z]{2})\b(?:\s+(?P<day>\d{1,2})\b)?)?")
AUTHORS = 3
"""Named in a citation, before "et al."."""

_PAGE = 1 << 16


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored | LeftOut]:
    """
        next(read(recipe)).document.id  # '9465206'

    A path is a file, plain or gzip, or a folder of them; files named as NLM names them come in the order of their
    numbers, over all paths, any others (from E-utilities) after them by name. Of a PMID the highest version is the
    document, of one version the one met last; a version that a later file deletes is none. `line` is where the record
    starts.

    The text: what retracts or corrects the article; the abstract, a paragraph a part with its label; other abstracts,
    with kind and language; the vernacular title; then indexing and relations, a line each. The date is the earlier one
    of journal issue and electronic publication.

    DataError: a file that is cut or damaged (what it would have replaced or deleted is then unknown), files of two
    years, or a number that is missing among them.
    """
    files, others = _in_order(recipe)
    yield from others
    newest = _Newest()
    counts = [_note(member, newest) for member in files]
    number = 0
    for member, count in zip(files, counts, strict=True):
        before, number = number, number + count
        yield from _documents(member, newest, recipe, before=before, count=count)


class _Newest:
    """PMID -> the number of its newest record, over all files, from 1; 0 where there is none, or it was deleted."""

    def __init__(self) -> None:
        self.records = 0
        self._pages: dict[int, array[int]] = {}
        self._versions: dict[int, dict[int, int]] = {}  # version -> record, of the few PMIDs that have more than one

    def add(self, pmid: int, version: int) -> None:
        if version > 1 or pmid in self._versions:
            first = self.record(pmid)
            self._versions.setdefault(pmid, {1: first} if first else {})[version] = self.records
        self._set(pmid, self._highest(pmid, self.records))

    def delete(self, pmid: int, version: int) -> None:
        if pmid in self._versions:
            self._versions[pmid].pop(version, None)
            self._set(pmid, self._highest(pmid, 0))
        elif version == 1 and self.record(pmid):
            self._set(pmid, 0)

    def record(self, pmid: int) -> int:
        page = self._pages.get(pmid // _PAGE)
        return page[pmid % _PAGE] if page is not None else 0

    def why_not(self, pmid: int, version: int) -> str:
        """Why a record that is not the newest is no document."""
        kept = self._versions.get(pmid)
        replaced = self.record(pmid) if kept is None else version in kept or any(one > version for one in kept)
        return "a later record replaces it" if replaced else "a later file deletes it"

    def _highest(self, pmid: int, alone: int) -> int:
        several = self._versions.get(pmid)
        return alone if several is None else several[max(several)] if several else 0

    def _set(self, pmid: int, record: int) -> None:
        page = self._pages.get(pmid // _PAGE)
        if page is None:
            page = self._pages[pmid // _PAGE] = array("I", bytes(4 * _PAGE))
        page[pmid % _PAGE] = record


def _in_order(recipe: Recipe) -> tuple[list[Member], list[Rejected | Ignored]]:
    numbered: dict[tuple[str, int], Member] = {}
    unnumbered: list[Member] = []
    others: list[Rejected | Ignored] = []
    for path in recipe.paths:
        if path.is_file() and kind_of(path) in ("tar", "zip"):
            raise DataError(f"'{path}' is an archive; PubMed's files are read twice, so unpack it and name the folder")
        for item in members(path, SUFFIXES):
            if not isinstance(item, Member):
                others.append(item)
            elif match := _NAME.fullmatch(PurePosixPath(item.name).name):
                key = (match[1], int(match[2]))
                if key in numbered:
                    raise DataError(f"'{item.file}' and '{numbered[key].file}' are the same file; take one away")
                numbered[key] = item
            else:
                unnumbered.append(item)
    _check_numbers(sorted(numbered), recipe)
    return [numbered[key] for key in sorted(numbered)] + sorted(unnumbered, key=lambda one: one.name), others


def _check_numbers(keys: list[tuple[str, int]], recipe: Recipe) -> None:
    years = sorted({year for year, _ in keys})
    if len(years) > 1:
        raise DataError(
            f"corpus '{recipe.name}' has files of the years {', '.join(years)}; each year's baseline replaces all that "
            "came before, so keep one year's"
        )
    have = {number for _, number in keys}
    missing = [number for number in range(min(have, default=0), max(have, default=-1) + 1) if number not in have]
    if missing and recipe.options.get("gaps") != "allowed":
        raise DataError(
            f"corpus '{recipe.name}' lacks pubmed{years[0]}n{missing[0]:04}.xml.gz"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ", and with it revisions and deletions; fetch what is missing, or write 'gaps: allowed' into the recipe"
        )


def _cuts(member: Member) -> Iterator[Cut]:
    try:
        with member.stream() as stream:
            yield from cut_records(stream, RECORDS, ROOTS)
    except ValueError as error:
        raise DataError(f"'{member.file}': {error}") from error


def _note(member: Member, newest: _Newest) -> int:
    """The first reading of a file; how many records it holds."""
    before = newest.records
    for cut in _cuts(member):
        newest.records += 1
        if cut.name.startswith("Delete"):
            for pmid, version in _deleted(cut) or []:
                newest.delete(pmid, version)
        elif not cut.wrong and (named := _named(cut)):
            newest.add(*named)
    return newest.records - before


def _named(cut: Cut) -> tuple[int, int] | None:
    """PMID and version of a record; None where it has none."""
    match = _PMID.match(cut.data)
    return (int(match[2]), int(match[1] or 1)) if match else None


def _deleted(cut: Cut) -> list[tuple[int, int]] | None:
    """PMIDs and versions that are deleted; None where one of them cannot be read."""
    try:
        root = parse_cut(cut.data)
    except ValueError:
        return None
    found = [(" ".join((one.text or "").split()), one.get("Version", "1")) for one in root]
    if not all(re.fullmatch(r"[1-9]\d{0,7}", pmid, re.ASCII) and version.isdecimal() for pmid, version in found):
        return None
    return [(int(pmid), int(version[:3])) for pmid, version in found]


def _documents(
    member: Member, newest: _Newest, recipe: Recipe, *, before: int, count: int
) -> Iterator[Found | Rejected | LeftOut]:
    number = before
    left: Counter[str] = Counter()
    for cut in _cuts(member):
        number += 1
        if cut.name.startswith("Delete"):
            if _deleted(cut) is None:
                yield Rejected(
                    member.file, cut.line, f"a <{cut.name}> that cannot be read: what it deletes is still there"
                )
        elif cut.wrong:
            yield Rejected(member.file, cut.line, cut.wrong)
        elif (named := _named(cut)) and newest.record(named[0]) != number:
            left[newest.why_not(*named)] += 1
        else:
            try:
                document = _document(cut, recipe)
            except ValueError as error:
                yield Rejected(member.file, cut.line, str(error))
                continue
            if document:
                yield Found(document, member.file, cut.line)
            else:
                left["it has no abstract"] += 1
    if number != before + count:
        raise DataError(f"'{member.file}' changed while it was read; read it again")
    for reason, many in left.items():
        yield LeftOut(member.file, many, reason)


def _document(cut: Cut, recipe: Recipe) -> Document | None:
    """None where the recipe wants an abstract and there is none. ValueError says why there is no document."""
    root = parse_cut(cut.data)
    named = _named(cut)
    if not named:
        raise ValueError("it has no PMID of one to eight digits as its first element")
    pmid = str(named[0])
    citation = root[0]
    book = citation.find("Book")
    article = citation if book is not None else citation.find("Article")
    if article is None:
        raise ValueError("it has no <Article>")
    title, vernacular = (running_text(article.find(name)) for name in ("ArticleTitle", "VernacularTitle"))
    if title.lower() in _NO_TITLE:
        title, vernacular = vernacular, ""
    title = title or (running_text(book.find("BookTitle")) if book is not None else "")
    abstract = _paragraphs(article.find("Abstract"))
    abstract += [block for other in citation.iterfind("OtherAbstract") for block in _other_abstract(other)]
    if not abstract and recipe.options.get("abstract") == "required":
        return None
    relations = _relations(citation)
    blocks = [line for name in WARNINGS for line in relations.pop(name, [])] + abstract
    lines = [f"Vernacular title: {vernacular}"] if vernacular else []
    if recipe.options.get("indexing") != "exclude":
        lines += _indexing(citation, article)
    lines += [line for name in [*LINKS, *relations] for line in relations.pop(name, [])]
    text = "\n\n".join([*blocks, "\n".join(lines)] if lines else blocks) or title
    if not text:
        raise ValueError("it has neither a title nor an abstract")
    return recipe.document(
        pmid,
        title,
        text,
        source=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
        license=running_text(article.find("Abstract/CopyrightInformation")),
        date=_published(article, book),
        citation=_cited(pmid, title, article, book),
    )


def _paragraphs(abstract: Element | None) -> list[str]:
    """An abstract's parts, each with its label; what only says that the publisher has it is none."""
    blocks = []
    for part in abstract.iterfind("AbstractText") if abstract is not None else ():
        text, label = running_text(part), " ".join(part.get("Label", "").split())
        if text and text != _NO_ABSTRACT:
            blocks.append(f"{label}: {text}" if label and label != "UNLABELLED" else text)
    return blocks


def _other_abstract(other: Element) -> list[str]:
    blocks = _paragraphs(other)
    kind = ", ".join(part for part in (other.get("Type", ""), other.get("Language", "eng")) if part)
    return [f"Other abstract ({kind}):", *blocks] if blocks else []


def _relations(citation: Element) -> dict[str, list[str]]:
    """RefType -> lines such as "Erratum in: J Tarn Med. 2031 May;4(5):9. PMID 5."."""
    lines: dict[str, list[str]] = {}
    for one in citation.iterfind("CommentsCorrectionsList/CommentsCorrections"):
        kind = one.get("RefType", "")
        if kind == "Cites":
            continue
        where, note, pmid = (running_text(one.find(name)) for name in ("RefSource", "Note", "PMID"))
        parts = [where.rstrip("."), f"PMID {pmid}" if pmid else "", note.rstrip(".")]
        told = ". ".join(part for part in parts if part)
        lines.setdefault(kind, []).append(f"{WARNINGS.get(kind) or LINKS.get(kind, kind)}: {told}.")
    return lines


def _indexing(citation: Element, article: Element) -> list[str]:
    headings = []
    for heading in citation.iterfind("MeshHeadingList/MeshHeading"):
        parts = (running_text(part) + ("*" if part.get("MajorTopicYN") == "Y" else "") for part in heading)
        headings.append(" / ".join(parts))
    banks = []
    for bank in article.iterfind("DataBankList/DataBank"):
        numbers = ", ".join(running_text(one) for one in bank.iterfind("AccessionNumberList/AccessionNumber"))
        banks.append(f"{running_text(bank.find('DataBankName'))} {numbers}".strip())
    kinds = _texts(article, "PublicationTypeList/PublicationType") or _texts(article, "PublicationType")
    named = {
        "Publication types": [kind for kind in kinds if kind != "Journal Article"],
        "MeSH headings": headings,
        "Supplementary concepts": _texts(citation, "SupplMeshList/SupplMeshName"),
        "Chemicals": _texts(citation, "ChemicalList/Chemical/NameOfSubstance"),
        "Genes": _texts(citation, "GeneSymbolList/GeneSymbol"),
        "Keywords": _texts(citation, "KeywordList/Keyword"),
        "Registered": banks,
    }
    return [f"{name}: {'; '.join(values)}" for name, values in named.items() if values]


def _texts(element: Element, path: str) -> list[str]:
    return [text for one in element.iterfind(path) if (text := running_text(one))]


def _published(article: Element, book: Element | None) -> str:
    """The earlier of the dates of issue and of electronic publication; of two that agree, the one that says more."""
    if book is not None:
        return _date(article.find("ContributionDate")) or _date(book.find("PubDate"))
    dates = [_date(one) for one in (article.find("Journal/JournalIssue/PubDate"), *article.iterfind("ArticleDate"))]
    return earliest(dates)


def _date(element: Element | None) -> str:
    """YYYY, YYYY-MM or YYYY-MM-DD, as far as it is said; a span of dates (MedlineDate) by its start."""
    if element is None:
        return ""
    year, month, day = (running_text(element.find(name)) for name in ("Year", "Month", "Day"))
    if not year and (match := _MEDLINE_DATE.search(running_text(element.find("MedlineDate")))):
        year, month, day = match["year"], match["month"] or "", match["day"] or ""
    return iso_date(year, month, day)


def _cited(pmid: str, title: str, article: Element, book: Element | None) -> str:
    """Authors. Title. Journal. Issue. DOI. PMID, as PubMed's summary has them."""
    names = [name for author in article.iterfind("AuthorList/Author") if (name := _author(author))]
    authors = ", ".join(names[:AUTHORS]) + (", et al" if len(names) > AUTHORS else "")
    if book is not None:
        published = [running_text(book.find(name)) for name in ("BookTitle", "Publisher/PublisherName", "PubDate/Year")]
        where = [part for part in published if part and part != title]
    else:
        where = [running_text(article.find("Journal/ISOAbbreviation")) or running_text(article.find("Journal/Title"))]
        where.append(_issue(article))
    doi = next(
        (f"doi:{running_text(one)}" for one in article.iterfind("ELocationID") if one.get("EIdType") == "doi"), ""
    )
    parts = [part.rstrip(".") for part in (authors, title, *where, doi, f"PMID {pmid}")]
    return ". ".join(part for part in parts if part)


def _author(author: Element) -> str:
    last, initials, group = (running_text(author.find(name)) for name in ("LastName", "Initials", "CollectiveName"))
    return " ".join(part for part in (last, initials) if part) or group


def _issue(article: Element) -> str:
    """`2031 Mar;12(3):45-6`, as far as it is known."""
    issue = article.find("Journal/JournalIssue")
    if issue is None:
        return ""
    day = issue.find("PubDate")
    date = " ".join(running_text(part) for part in day) if day is not None else ""
    volume, number = running_text(issue.find("Volume")), running_text(issue.find("Issue"))
    pages = running_text(article.find("Pagination/MedlinePgn"))
    place = volume + (f"({number})" if number else "")
    return date + (f";{place}" if place else "") + (f":{pages}" if pages else "")
