"""Reads folders and archives of mixed files (Markdown, text, HTML, PDF), each by its reader: one document a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import PurePosixPath

from ragmed.corpora import html, pdf, text
from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected
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
                yield from readers[suffix](item)


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
