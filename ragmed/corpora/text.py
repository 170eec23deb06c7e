"""Reads folders and archives of Markdown and plain text: one file -> one document, its id the path below the folder.

The text is the file's, unchanged but for a byte-order mark; YAML front matter of Markdown is read and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ragmed.checked import kind_found
from ragmed.corpora.kinds import not_plain
from ragmed.corpora.members import MAX_MEMBER_BYTES, Member, load_text, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected, text_of
from ragmed.yaml_files import parse_yaml

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt")
MAX_FILE_BYTES = MAX_MEMBER_BYTES
"""A larger file is rejected: it is a dump of many documents, for the jsonl reader."""

MAX_FRONT = 64 * 1024
"""Characters of front matter that are parsed: it says a title, a date, a licence; more is something else."""

_FRONT = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"^#[ \t]+(\S[^\r\n]*)", re.MULTILINE)
_TAKEN = ("title", "date", "source", "license")


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.title  # 'Atrial fibrillation'

    Files in the order of `members`, which also says what is skipped, Ignored and Rejected; an empty, binary,
    unreadable or huge file is Rejected, and so is a path that is one file of XML, JSON or a table. DataError for a
    folder with nothing in it.
    """
    yield from read_members(recipe, SUFFIXES, lambda member: [read_member(member, recipe)])


def read_member(member: Member, recipe: Recipe) -> Found:
    """The document of one file; ValueError says why there is none."""
    name = PurePosixPath(member.name)
    text = load_text(member, MAX_FILE_BYTES)
    reason = not_plain(member.name, text)
    if reason:
        raise ValueError(reason)
    front, body = _front_matter(text) if name.suffix.lower() in MARKDOWN else ({}, text)
    heading = _TITLE.search(body)
    title = front.pop("title", "") or (heading[1].rstrip(" \t#") if heading else "") or name.stem
    return Found(recipe.document(name.with_suffix("").as_posix(), title, body, **front), member.file)


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """What the front matter says of the document, and the text after it; ValueError where it cannot be read."""
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
        raise ValueError(f"the front matter is {kind_found(values)}, a mapping was expected")
    return {key: text_of(values, key, " in the front matter") for key in _TAKEN}, text[match.end() :]
