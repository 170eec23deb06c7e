"""A file's name and first bytes in, what it is and which reader reads it out: for files that a reader did not take."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ragmed.corpora.archives import ARCHIVE_NAME

_TABLE = "a table; 'reader: csv' reads it, and its paths name it"
_IMAGE = "an image; run OCR over it (such as ocrmypdf) and put the PDF in its place"
_OFFICE = "which no reader reads; save it as PDF or HTML"
_SHEET = "a spreadsheet, which no reader reads; save it as CSV (UTF-8) for 'reader: csv'"
KINDS: dict[str, str] = {
    **dict.fromkeys((".doc", ".docx", ".docm", ".rtf", ".odt", ".pages"), f"a Word or text document, {_OFFICE}"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".key"), f"slides, {_OFFICE}"),
    **dict.fromkeys((".xls", ".xlsx", ".xlsm", ".ods", ".numbers"), _SHEET),
    **dict.fromkeys((".csv", ".tsv", ".tab"), _TABLE),
    **dict.fromkeys((".parquet", ".pq"), "a table; 'reader: parquet' reads it, and its paths name it"),
    **dict.fromkeys((".jsonl", ".ndjson"), "JSON Lines; 'reader: jsonl' reads it, and its paths name it"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".heic"), _IMAGE),
    **dict.fromkeys((".epub", ".mobi", ".azw3"), f"an e-book, {_OFFICE}"),
    **dict.fromkeys((".eml", ".msg", ".mbox"), f"mail, {_OFFICE}"),
    **dict.fromkeys((".htm", ".html", ".xhtml"), "a web page; 'reader: html' or 'reader: folder' reads it"),
    ".pdf": "a PDF; 'reader: pdf' or 'reader: folder' reads it",
    **dict.fromkeys((".md", ".markdown", ".txt"), "text; 'reader: text' or 'reader: folder' reads it"),
    **dict.fromkeys((".xml", ".nxml"), "XML; the reader pubmed, jats, statpearls, medquad or openstax reads its own"),
    ".cnxml": "OpenStax CNXML; 'reader: openstax' reads it",
    ".json": "JSON; 'reader: bioasq' or 'reader: pubmedqa' reads theirs, 'reader: jsonl' an object a line",
}
"""Suffix -> what such a file is, and what to do with it."""

STRUCTURED = (".xml", ".nxml", ".cnxml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab")
"""Files that decode as text and are none to read."""

_HEAD = 64 * 1024
_ROOT = re.compile(r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)([^>]*)")
_ROWS = "which is no JSON Lines; write an object a line (jq -c '.[]' FILE > FILE.jsonl) for 'reader: jsonl'"
_LIST = re.compile(r"\s*\[")
_LIST_OF_OBJECTS = re.compile(r"\s*(\[\s*\{|\{[ \t]*\r?\n)")


def kind_of_name(name: str) -> str:
    """
    >>> kind_of_name("inner.zip")
    "an archive in a folder, which is not opened; name it in 'paths', or unpack it"

    What a file is by its name, with the remedy; empty where its name does not say.
    """
    if ARCHIVE_NAME.search(name):
        if "!" in name:
            return "an archive within an archive, which is not opened; unpack it, and name it in 'paths'"
        return "an archive in a folder, which is not opened; name it in 'paths', or unpack it"
    return KINDS.get(PurePosixPath(name).suffix.lower(), "")


def kind_of_text(name: str, text: str) -> tuple[str, str]:
    """
    >>> kind_of_text("a.xml", "<html><body/></html>")
    ('a web page', 'html')

    What a structured file is, and the reader that reads it; '' for the reader where there is none, and what it is then
    says what to do. ('', '') for a file that is none of STRUCTURED.
    """
    suffix, start = PurePosixPath(name).suffix.lower(), text[:_HEAD].lstrip("\ufeff")
    if suffix in (".xml", ".nxml", ".cnxml"):
        return _xml(start)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json(start)
    return ("a table", "csv") if suffix in STRUCTURED else ("", "")


def not_plain(name: str, text: str) -> str:
    """Why a file that decodes as text is not read as one, or an empty string."""
    kind, reader = kind_of_text(name, text)
    if not kind:
        return ""
    return f"not plain text but {kind}" + (f"; 'reader: {reader}' reads it" if reader else "")


def no_json_lines(text: str) -> str:
    """What a file without a single record is, where its start shows one list, or one object over many lines."""
    if not _LIST_OF_OBJECTS.match(text.lstrip("\ufeff")):
        return ""
    return f"one JSON {'list' if _LIST.match(text) else 'object over many lines'}, {_ROWS}"


def _xml(start: str) -> tuple[str, str]:
    match = _ROOT.search(re.sub(r"<!--.*?-->", "", start, flags=re.DOTALL))
    root, rest = (match[1], match[2]) if match else ("", "")
    if root in ("article", "pmc-articleset"):
        return "an article in JATS XML", "jats"
    if root == "book-part-wrapper":
        return "a chapter of NCBI's Bookshelf", "statpearls"
    if root in ("PubmedArticleSet", "PubmedBookArticleSet"):
        return "PubMed's XML", "pubmed"
    if root == "Document" and ("<QAPair" in start or "<Focus" in start):
        return "MedQuAD's XML", "medquad"
    if "cnx.rice.edu" in rest or root == "collection":
        return "OpenStax CNXML", "openstax"
    if root == "html":
        return "a web page", "html"
    named = f" with the root element '{root[:40]}'" if root else ""
    return f"XML{named}, which no reader reads; save it as HTML or text, or make JSON Lines of it", ""


def _json(start: str) -> tuple[str, str]:
    if '"snippets"' in start and '"questions"' in start:
        return "BioASQ's JSON", "bioasq"
    if '"CONTEXTS"' in start:
        return "PubMedQA's JSON", "pubmedqa"
    if _LIST.match(start) or no_json_lines(start):
        return f"one JSON {'list' if _LIST.match(start) else 'object'}, {_ROWS}", ""
    return "JSON Lines", "jsonl"
