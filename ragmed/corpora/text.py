"""Reads folders of Markdown and plain text: one file -> one document, its id the path below the folder.

The text is the file's, unchanged but for a byte-order mark; YAML front matter of Markdown is read and left out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, parse_yaml, plain_text
from ragmed.errors import DataError
from ragmed.files import not_text
from ragmed.records import Document

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt")
MAX_FILE_BYTES = 64 * 1024 * 1024
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

    Files in sorted order. Hidden files and folders are skipped; a file of another kind is Ignored; a link that leaves
    the folder, an empty, binary, unreadable or huge file is Rejected. DataError for a folder with nothing in it.
    """
    for root in recipe.paths:
        if root.is_file():
            yield _read_file(root, root.parent, recipe)
            continue
        empty = True
        for item in _walk(root):
            empty = False
            yield _read_file(item, root, recipe) if isinstance(item, Path) else item
        if empty:
            kinds = ", ".join(SUFFIXES)
            raise DataError(f"corpus '{recipe.name}': the folder '{root}' is empty; put {kinds} files there")


def _walk(root: Path) -> Iterator[Path | Rejected | Ignored]:
    unreadable: list[OSError] = []
    home = root.resolve()
    for folder, names, files in os.walk(root, onerror=unreadable.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted([*files, *(name for name in names if Path(folder, name).is_symlink())]):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            reason = _bad_link(path, home) if path.is_symlink() else ""
            if reason:
                yield Rejected(str(path), 0, reason)
            elif path.is_dir():
                yield Ignored(str(path), "a link to a folder that is read at its own place")
            elif path.suffix.lower() in SUFFIXES:
                yield path
            else:
                yield Ignored(str(path), f"not one of {', '.join(SUFFIXES)}")
    for error in unreadable:
        yield Rejected(str(error.filename), 0, f"the folder cannot be read ({error.strerror})")


def _bad_link(path: Path, home: Path) -> str:
    """Why a link is not followed, or an empty string."""
    try:
        inside = path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # which of the two a loop raises depends on the version of Python
        return "a link that leads in a circle"
    return "" if inside else "a link that leaves the corpus folder is not followed"


def _read_file(path: Path, root: Path, recipe: Recipe) -> Found | Rejected:
    try:
        text = _load(path)
        front, body = _front_matter(text) if path.suffix.lower() in MARKDOWN else ({}, text)
    except OSError as error:
        return Rejected(str(path), 0, f"the file cannot be read ({error.strerror})")
    except ValueError as error:
        return Rejected(str(path), 0, str(error))
    heading = _TITLE.search(body)
    return Found(
        Document(
            id=path.relative_to(root).with_suffix("").as_posix(),
            title=front.get("title") or (heading[1].rstrip(" \t#") if heading else "") or path.stem,
            text=body,
            source=front.get("source") or recipe.source,
            license=front.get("license") or recipe.license,
            access=recipe.access,
            date=front.get("date") or recipe.date,
        ),
        str(path),
    )


def _load(path: Path) -> str:
    """The file's text; ValueError with the reason where it has none."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("not a regular file")
    if facts.st_size > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES} bytes; split it, or use the jsonl reader")
    data = path.read_bytes()
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
