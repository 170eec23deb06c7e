"""Reads folders and archives of mixed files (Markdown, text, HTML, PDF), each by its reader: one document a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath

from ragmed.corpora import html, pdf, text
from ragmed.corpora.members import Member, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected, cited
from ragmed.errors import MissingDependencyError

SUFFIXES = (*text.SUFFIXES, *html.SUFFIXES, *pdf.SUFFIXES)

ReadMember = Callable[[Member], Iterable[Found | Rejected]]


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        [item.document.id for item in read(recipe)]  # ['asthma', 'sepsis/adults', 'transfusion']

    Ids are paths without the suffix, as with each reader alone: two files that differ in nothing else collide, and
    the second is rejected. A file whose kind needs a package that is not installed is rejected with its name.
    """
    with ExitStack() as stack:
        reader = cache(lambda suffix: _reader(suffix, recipe, stack))

        def read_member(member: Member) -> Iterator[Found | Rejected]:
            for found in reader(PurePosixPath(member.name).suffix.lower())(member):
                yield _cited(found, member, recipe) if isinstance(found, Found) else found

        yield from read_members(recipe, SUFFIXES, read_member)


def _cited(item: Found, member: Member, recipe: Recipe) -> Found:
    """Cited by the file's name with its suffix: an id does not say which of a folder's kinds it is."""
    citation = cited(item.document, recipe, name=member.name)
    return replace(item, document=replace(item.document, citation=citation))


def _reader(suffix: str, recipe: Recipe, stack: ExitStack) -> ReadMember:
    """What reads files of a kind; its worker process lives as long as the stack."""
    try:
        if suffix in html.SUFFIXES:
            return html.member_reader(recipe, stack)
        if suffix in pdf.SUFFIXES:
            return pdf.member_reader(recipe, stack)
    except MissingDependencyError as error:
        reason = str(error)
        return lambda member: [Rejected(member.file, 0, reason)]
    return lambda member: [text.read_member(member, recipe)]
