"""Reads folders and archives of mixed files (Markdown, text, HTML, PDF), each by its reader: one document a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePosixPath

from ragmed.corpora import html, pdf, text
from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, cited
from ragmed.errors import MissingDependencyError

OPTIONS: Mapping[str, OptionCheck] = {}

SUFFIXES = (*text.SUFFIXES, *html.SUFFIXES, *pdf.SUFFIXES)

ReadMember = Callable[[Member], Iterator[Found | Rejected]]


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> [item.document.id for item in read(recipe)]  # doctest: +SKIP

    ['asthma', 'sepsis/adults', 'transfusion']

    Ids are paths without the suffix, as with each reader alone: two files that differ in nothing else collide, and
    the second is rejected. A file whose kind needs a package that is not installed is rejected with its name.
    """
    with ExitStack() as stack:
        readers: dict[str, ReadMember] = {}
        for path in recipe.paths:
            for item in members(path, SUFFIXES):
                if not isinstance(item, Member):
                    yield item
                    continue
                suffix = PurePosixPath(item.name).suffix.lower()
                if suffix not in readers:
                    readers[suffix] = _reader(suffix, recipe, stack)
                for found in readers[suffix](item):
                    yield _cited(found, item, recipe) if isinstance(found, Found) else found


def _cited(found: Found, member: Member, recipe: Recipe) -> Found:
    """Cited by the file's name with its suffix: an id does not say which of a folder's kinds it is."""
    citation = cited(found.document, recipe, name=member.name)
    return replace(found, document=replace(found.document, citation=citation))


def _reader(suffix: str, recipe: Recipe, stack: ExitStack) -> ReadMember:
    """What reads files of a kind; its worker process lives as long as the stack."""
    try:
        if suffix in html.SUFFIXES:
            return html.member_reader(recipe, stack)
        if suffix in pdf.SUFFIXES:
            return pdf.member_reader(recipe, stack)
    except MissingDependencyError as error:
        reason = str(error)
        return lambda member: iter([Rejected(member.file, 0, reason)])
    return lambda member: iter([text.read_member(member, recipe)])
