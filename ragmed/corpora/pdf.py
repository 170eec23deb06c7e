"""Reads PDF files, alone, in folders or in archives: one file -> one document, its pages under headings `## Page 3`.

Text comes from the file's own text layer; where there is none (a scan), the file is rejected and OCR named.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any

from ragmed.corpora import hyphens
from ragmed.corpora.members import Member, read_members
from ragmed.corpora.pdf_layout import read_in_order
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected
from ragmed.corpora.worker import Worker
from ragmed.errors import MissingDependencyError

SUFFIXES = (".pdf",)
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_PAGES = 10_000
PAGE_SECONDS = 60.0
FILE_SECONDS = 900.0

UNREADABLE_SHARE = 0.2
"""Above this share of characters that are none, a page's fonts do not define what they show."""

OCR = "run OCR over it (such as ocrmypdf) and put the result in its place"
_END = 2048  # bytes in which a whole file has its end mark; the standard says 1024, and some programs append a little
_ORDINAL = re.compile(r"(\d)\^(st|nd|rd|th)\b")
_HEADING = re.compile(r"^([ ]{0,3})(#{1,6})(?=\s|\Z)", re.MULTILINE)
_NO_TITLE = re.compile(r"untitled|document\d*|microsoft \w+ - .*|.*\.(docx?|indd|qxd|tex|dvi|pptx?|rtf|pdf|fm)", re.I)
_NO_CHARACTER = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_LOST = re.compile(r"decompress|not defined|Stream length|end of stream|Limit", re.I)
_ADDRESS = re.compile(r"IndirectObject\((\d+), (\d+), \d+\)?|\b0x[0-9a-f]{8,}")
"""An object's place in memory, in pypdf's words: another one each time, and of no use to who reads them."""
_REFERENCE = r"\1 \2 R"
_LIGATURES = str.maketrans(dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "ft", "st"), strict=True)))


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.text[:20]  # '## Page 1\\n\\nDiabetes '

    The title is the file's own, where it has one that is no file name; the date is the recipe's, else the day the
    file was made. Powers keep a mark (10^9, not 109); columns that are drawn line by line are read one after the other;
    a word parted at a line's end is joined as `hyphens` says. Rejected: an encrypted, damaged, cut, scanned or too
    large file. Pages that could not be read, or that hold an image and no text but a line at the edge, are named in a
    Rejected of their own beside the document that the others make.
    """
    with ExitStack() as stack:
        yield from read_members(recipe, SUFFIXES, member_reader(recipe, stack))


def member_reader(recipe: Recipe, stack: ExitStack) -> Callable[[Member], Iterator[Found | Rejected]]:
    """What reads one file, in a process that lives as long as the stack. MissingDependencyError names the extra."""
    if importlib.util.find_spec("pypdf") is None:
        raise MissingDependencyError("reading PDF needs pypdf; pip install 'ragmed[pdf]'")
    worker = stack.enter_context(Worker(f"{__name__}:pages", item_seconds=PAGE_SECONDS, file_seconds=FILE_SECONDS))
    return lambda member: _read_member(member, worker, recipe)


def _read_member(member: Member, worker: Worker, recipe: Recipe) -> Iterator[Found | Rejected]:
    about, *found = worker.run(member.read(MAX_FILE_BYTES))
    texts = ["" if _garbled(one["text"]) else one["text"] for one in found]
    wrong = [one["wrong"] or _garbled(one["text"]) for one in found]
    lost = [about["wrong"]] if about["wrong"] else []
    lost += [f"page {number} {reason}" for number, reason in enumerate(wrong, 1) if reason]
    if not any(text.strip() for text in texts):
        raise ValueError(
            f"{lost[0]}, and no other page has text; {OCR}" if lost else f"no page has text; if it is a scan, {OCR}"
        )
    title, date = about["title"] or PurePosixPath(member.name).stem, recipe.date or about["date"]
    yield Found(recipe.document(member.bare_name(SUFFIXES), title, _joined(texts), date=date), member.file)
    if lost:
        more = f" and {len(lost) - 5} more such pages" if len(lost) > 5 else ""
        named = f"{'; '.join(lost[:5])}{more}"
        yield Rejected(member.file, 0, f"{named}: missing from the document; fetch the file again, or {OCR}")


def _garbled(text: str) -> str:
    """What is wrong with a page whose letters are none, or an empty string."""
    signs = len(text) - sum(map(text.count, " \n\t\r"))
    bad = text.count("\ufffd") + sum("\ue000" <= sign <= "\uf8ff" for sign in text)
    return "has fonts that do not define which characters they show" if bad > UNREADABLE_SHARE * signs else ""


def _joined(texts: list[str]) -> str:
    whole = "\n".join(texts)
    parts = []
    for number, text in enumerate(texts, 1):
        # A line that looks like a heading of ours must not end the page.
        body = _HEADING.sub(r"\1\\\2", hyphens.joined(text, whole)).strip()
        if body:
            parts.append(f"## Page {number}\n\n{body}\n")
    return "\n".join(parts)


def pages(data: bytes) -> Iterator[dict[str, str]]:
    """In the worker: `title` and `date` of a PDF, then each page's `text`, and what is `wrong` with each if anything.

    ValueError says why the file cannot be read.
    """
    with _warnings() as warnings:
        reader, count = _opened(data)
        yield _about(reader, count)
        for number in range(count):
            yield _page(reader, number, warnings)


def _opened(data: bytes) -> tuple[Any, int]:
    import pypdf

    if b"%PDF-" not in data[:1024]:
        web = b"<html" in data[:4096].lower() or b"<!doctype" in data[:4096].lower()
        raise ValueError("not a PDF but a web page, perhaps a login; fetch the file itself" if web else "not a PDF")
    if b"%%EOF" not in data[-_END:]:
        raise ValueError("the end of the file is missing: it is cut; fetch it again")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Many publishers encrypt with an empty password, so that the file opens but may not be changed.
        opened = not reader.is_encrypted or bool(reader.decrypt(""))
        count = len(reader.pages) if opened else 0
    except (MemoryError, RecursionError):
        raise
    except pypdf.errors.DependencyError as error:
        raise ValueError("it is encrypted, and reading it needs cryptography; pip install 'ragmed[pdf]'") from error
    except Exception as error:  # whatever a library for a format this rich runs into on bytes that are not in it
        raise ValueError(f"damaged, or no PDF ({_words(error)}); fetch it again, or save it again") from error
    if not opened:
        raise ValueError("it is encrypted with a password; save a copy without one")
    if not count:
        raise ValueError("it has no page")
    if count > MAX_PAGES:
        raise ValueError(f"it has {count} pages, more than {MAX_PAGES}; split it")
    return reader, count


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What pypdf warns of meanwhile: it repairs what it can, and reports only so that something was lost."""
    warnings: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(warnings) < 10_000:
                warnings.append(_ADDRESS.sub(_REFERENCE, record.getMessage()))

    handler, logger = Handler(), logging.getLogger("pypdf")
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _page(reader: Any, number: int, warnings: list[str]) -> dict[str, str]:
    before = len(warnings)
    try:
        page = reader.pages[number]
        if "/Contents" in page and page.get_contents() is None:
            return {"text": "", "wrong": "points to content that is not there"}
        scan = _put_in_order(page)
        # With a visitor pypdf takes the operations as they were put in order, and does not write them out first.
        drawn = page.extract_text(visitor_text=lambda *_: None)
        text = _NO_CHARACTER.sub("\ufffd", drawn.replace("\x0b", "\n").replace("\x0c", "\n"))
        text = _ORDINAL.sub(r"\1\2", text)
        here = next((warning for warning in warnings[before:] if _LOST.search(warning)), "")
        wrong = f"is damaged ({here[:80]})" if here else ""
        if scan and text.strip():
            text, wrong = "", "is an image, with no text but a line at its edge, as a fax or a scanner adds"
        elif not text.strip() and _has_image(page):
            wrong = "holds an image and no text"
        elif not text.strip() and warnings and not wrong:
            wrong = f"has no text in a damaged file ({warnings[-1][:80]})"
        return {"text": text.translate(_LIGATURES), "wrong": wrong}
    except MemoryError:
        raise
    except Exception as error:
        return {"text": "", "wrong": f"cannot be read ({_words(error)})"}


def _put_in_order(page: Any) -> bool:
    """Powers marked, columns one after the other; whether the page is a scan. What is too odd for that stays as it is
    drawn: pypdf may read it all the same."""
    try:
        return read_in_order(page).is_scan()
    except MemoryError:
        raise
    except Exception:
        return False


def _has_image(page: Any) -> bool:
    resources = page.get("/Resources")
    drawn = resources.get_object().get("/XObject") if resources is not None else None
    if drawn is None:
        return False
    return any(item.get_object().get("/Subtype") in ("/Image", "/Form") for item in drawn.get_object().values())


def _about(reader: Any, count: int) -> dict[str, str]:
    """A broken title or date is no reason to lose the text."""
    title = date = wrong = ""
    try:
        title = " ".join(_NO_CHARACTER.sub("", reader.metadata.title or "").split())
    except Exception:
        title = ""
    try:
        date = reader.metadata.creation_date.date().isoformat()
    except Exception:
        date = ""
    try:
        declared = int(reader.trailer["/Root"]["/Pages"]["/Count"])
        wrong = f"it has {count} pages where it declares {declared}" if declared != count else ""
    except Exception:
        wrong = "how many pages it has is not stated"
    return {"title": "" if _NO_TITLE.fullmatch(title) else title, "date": date, "wrong": wrong}


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {_ADDRESS.sub(_REFERENCE, str(error))}".split())[:120]
