"""Reads folders and archives of Markdown and plain text: one file -> one document, its id the path below the folder.

The text is the file's, unchanged but for a byte-order mark; YAML front matter of Markdown is read and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from ragmed.corpora.members import MAX_MEMBER_BYTES, Member, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, parse_yaml, plain_text
from ragmed.files import not_text
from ragmed.records import Document

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt")
MAX_FILE_BYTES = MAX_MEMBER_BYTES
"""A larger file is rejected: it is a dump of many documents, for the jsonl reader."""

MAX_FRONT = 64 * 1024
"""Characters of front matter that are parsed: it says a title, a date, a licence; more is something else."""

OPTIONS: Mapping[str, OptionCheck] = {}

_FRONT = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"^#[ \t]+(\S[^\r\n]*)", re.MULTILINE)
_TAKEN = ("title", "date", "source", "license")


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> next(read(recipe)).document.title  # doctest: +SKIP

    'Atrial fibrillation'

    Files in the order of `members`, which also says what is skipped, Ignored and Rejected; an empty, binary,
    unreadable or huge file is Rejected. DataError for a folder with nothing in it.
    """
    for path in recipe.paths:
        for item in members(path, SUFFIXES):
            yield read_member(item, recipe) if isinstance(item, Member) else item


def read_member(member: Member, recipe: Recipe) -> Found | Rejected:
    name = PurePosixPath(member.name)
    try:
        text = _load(member)
        front, body = _front_matter(text) if name.suffix.lower() in MARKDOWN else ({}, text)
    except ValueError as error:
        return Rejected(member.file, 0, str(error))
    heading = _TITLE.search(body)
    return Found(
        Document(
            id=name.with_suffix("").as_posix(),
            title=front.get("title") or (heading[1].rstrip(" \t#") if heading else "") or name.stem,
            text=body,
            source=front.get("source") or recipe.source,
            license=front.get("license") or recipe.license,
            access=recipe.access,
            date=front.get("date") or recipe.date,
        ),
        member.file,
    )


def _load(member: Member) -> str:
    """The file's text; ValueError with the reason where it has none."""
    data = member.read(MAX_FILE_BYTES)
    if not data:
        raise ValueError("the file is empty")
    reason = not_text(data)
    if reason:
        raise ValueError(reason)
    return data.decode("utf-8-sig")


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """What the front matter says of the document, and the text behind it; ValueError where it cannot be read."""
    match = _FRONT.match(text)
    if not match:
        return {}, text
    if len(match["yaml"]) > MAX_FRONT:
        raise ValueError(f"the front matter is longer than {MAX_FRONT} characters; move it into the text")
    try:
        values = parse_yaml(match["yaml"]) or {}
    except ValueError as error:
        raise ValueError(f"the front matter is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"the front matter is a {type(values).__name__}, a mapping was expected")
    taken = {}
    for key in _TAKEN:
        value = plain_text(values.get(key))
        if value is None:
            raise ValueError(f"'{key}' in the front matter is a {type(values[key]).__name__}, text was expected")
        taken[key] = value
    return taken, text[match.end() :]
