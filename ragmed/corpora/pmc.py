"""Reads plain texts of PubMed Central articles with section marks (`BODY.METHODS.BLINDING:`): one file -> one document.

The marks become Markdown headings, the words between them stay as they are. The id is the file's name, `PMC1065065`.

Source of the format: DeYoung et al. 2020, "Evidence Inference 2.0: more data, better models", BioNLP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ragmed.corpora.members import Member, load_text, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected
from ragmed.records import Document

SUFFIXES = (".txt",)

DEEPEST = 6
"""Markdown has no deeper heading."""

# A heading may go over the end of a line or two; one that is in one line may have a colon of its own.
_MARK = re.compile(
    r"^[ \t]*(?P<part>ABSTRACT|BODY)(?::[ \t]*$|\.(?P<path>(?:[^\n:]*\n){0,2}[^\n:]{0,300}):(?P<rest>[^\n]*)$)",
    re.MULTILINE,
)
_LEVEL = re.compile(r"(?<!\d)\.(?=\S)|\.(?=[^\s\d])")
"""The full stop between two levels: not the one of `2.1`, nor that of `2. METHODS`."""

_BROKEN = re.compile(r"(?<!\s)\s*\.\s*\n")
"""A full stop at a line's end. A run of spaces is looked at once: from each of its spaces on, it would take hours."""

_HASHES = re.compile(r"^(#{1,6} )", re.MULTILINE)
"""Footnotes of tables begin with such marks; escaped, they are no headings."""

_ID = re.compile(r"PMC[0-9]+")


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.id  # 'PMC1065065'

    A file that is empty, no text, or not named by its PMC id is Rejected.
    """
    yield from read_members(recipe, SUFFIXES, lambda member: [Found(_document(member, recipe), member.file)])


def _document(member: Member, recipe: Recipe) -> Document:
    pmc = PurePosixPath(member.name).stem
    if not _ID.fullmatch(pmc):
        raise ValueError("the file's name is no PMC id, such as PMC1065065.txt")
    title, text = as_markdown(load_text(member).replace("\r\n", "\n"))
    if not text:
        raise ValueError("nothing after its title")
    url = f"https://www.ncbi.nlm.nih.gov/pmc/articles/{pmc}/"
    citation = (f"{title.rstrip('.')}. " if title else "") + f"PubMed Central {pmc}. {url}"
    return recipe.document(pmc, title or pmc, text, source=url, citation=citation)


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under a mark, `text[start:end]`, and the headings above it, outermost first."""

    headings: tuple[str, ...]
    start: int
    end: int


def sections(text: str) -> list[Section]:
    r"""
    >>> [section.headings for section in sections("TITLE: \nRest\n\nABSTRACT.AIMS:\nTo rest.\n\nBODY:\nA bed.")]
    [(), ('ABSTRACT', 'AIMS'), ('BODY',)]

    An article in its sections, in order; the first, without a heading, is what comes before all marks.
    """
    marks = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)]
    named = [Section(_path(mark), _end(mark), end) for mark, end in zip(marks, ends[1:], strict=True)]
    return [Section((), 0, ends[0]), *named]


def as_markdown(text: str) -> tuple[str, str]:
    r"""The title, and the text with headings.

    >>> as_markdown("TITLE: \nRest\n\nABSTRACT.AIMS:\nTo rest.\n\nBODY.METHODS.SETTING:\nA bed.")
    ('Rest', '## ABSTRACT\n\n### AIMS\n\nTo rest.\n\n## METHODS\n\n### SETTING\n\nA bed.')
    """
    opening, *marked = sections(text)
    front = text[: opening.end]
    title, rest = "", front
    if front.lstrip().startswith("TITLE:"):
        title, _, rest = front.strip().removeprefix("TITLE:").strip().partition("\n\n")
    blocks = [rest.strip()]
    before: tuple[str, ...] = ()
    for section in marked:
        body = text[section.start : section.end].strip()
        if not body:
            continue
        path = section.headings
        shared = 0
        while shared < min(len(path) - 1, len(before)) and path[shared] == before[shared]:
            shared += 1
        for depth in range(shared, len(path)):
            blocks.append(f"{'#' * min(depth + 2, DEEPEST)} {path[depth]}")
        blocks.append(_HASHES.sub(r"\\\1", body))
        before = path
    return " ".join(title.split()), "\n\n".join(block for block in blocks if block)


def _end(mark: re.Match[str]) -> int:
    """Where the text after a mark begins: what follows a heading of two lines in its own line is text already."""
    return mark.start("rest") if "\n" in (mark["path"] or "") else mark.end()


def _path(mark: re.Match[str]) -> tuple[str, ...]:
    """The headings above a section, outermost first; those of the body stand beside the abstract."""
    path = mark["path"] or ""
    named = path if "\n" in path else f"{path}:{mark['rest'] or ''}"
    levels = [" ".join(level.split()).strip(" :.") for level in _LEVEL.split(_BROKEN.sub(".", named))]
    levels = [level for level in levels if level]
    return tuple(["ABSTRACT", *levels] if mark["part"] == "ABSTRACT" else levels or ["BODY"])
