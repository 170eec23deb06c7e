"""A recipe's `fields` (which key of a record is which field of a document) and a record in, a document or a reason out.

Shared by the readers of records: JSON Lines (also in BEIR's and MedRAG's layouts), CSV, Parquet.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ragmed.corpora.recipe import Found, Recipe, Rejected, plain_text
from ragmed.errors import DataError
from ragmed.files import BadLine, read_jsonl
from ragmed.records import Document

FIELDS: dict[str, str] = {name: name for name in ("id", "title", "text", "source", "license", "date", "citation")}
"""A document's field -> the key it is read from, unless the recipe says otherwise."""

REQUIRED = ("id", "text")

SEARCHED = 1000
"""Columns among which near names are looked for: a header may have millions, and each takes its time."""


def check_fields(value: object) -> str:
    """What is wrong with a recipe's `fields`, or an empty string."""
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value.values()):
        return "maps a document's fields to keys of the file, as in {id: pmid, text: abstract}"
    unknown = [str(name) for name in value if name not in FIELDS]
    return f"knows {', '.join(FIELDS)}; not {', '.join(unknown)}" if unknown else ""


def fields_of(recipe: Recipe) -> dict[str, str]:
    return FIELDS | dict(recipe.options.get("fields", {}))


def require_columns(recipe: Recipe, columns: Collection[str], where: str) -> None:
    """DataError where the table lacks a column that a document must have, or that the recipe names."""
    fields, named = fields_of(recipe), recipe.options.get("fields", {})
    for name, column in fields.items():
        if column in columns or not (name in REQUIRED or name in named):
            continue
        near = difflib.get_close_matches(column, list(columns)[:SEARCHED], n=2, cutoff=0.5)
        hint = "; did you mean " + " or ".join(f"'{one}'" for one in near) + "?" if near else ""
        there = ", ".join(sorted(one[:60] for one in columns)[:20]) + (" and more" if len(columns) > 20 else "")
        unnumbered = "; a table without ids: number_rows: true" if name == "id" else ""
        raise DataError(
            f"{where} has no column '{column}' for the document's {name}{hint} "
            f"Columns: {there or 'none'}. Say in the recipe which it is, as in fields: {{{name}: COLUMN}}{unnumbered}"
        )


def read_lines(path: Path, what: str, make: Callable[[dict[str, Any]], Document | str]) -> Iterator[Found | Rejected]:
    """Documents and refused lines of a JSON Lines file. `make`: the record's document, or why there is none."""
    for item in read_jsonl(path, what, whole=False):
        if isinstance(item, BadLine):
            yield Rejected(str(path), item.number, item.reason)
            continue
        line, record = item
        document = make(record)
        if isinstance(document, str):
            yield Rejected(str(path), line, document)
        else:
            yield Found(document, str(path), line)


def document_of(record: Mapping[str, object], fields: Mapping[str, str], recipe: Recipe) -> Document | str:
    """The record's document, or why there is none.

    `id` and `text` must be there; the others may be missing or null, and `source`, `license` and `date` then come
    from the recipe. A number is taken as an id or a date, too.
    """
    for name in REQUIRED:
        if record.get(fields[name]) is None:
            return f"no '{fields[name]}' ({name})"
    text = record[fields["text"]]
    if not isinstance(text, str):
        return f"'{fields['text']}' (text) is a {type(text).__name__}, a string was expected"
    values: dict[str, str] = {}
    for name in ("id", "title", "source", "license", "date", "citation"):
        value = plain_text(record.get(fields[name]))
        if value is None:
            return f"'{fields[name]}' ({name}) is a {type(record[fields[name]]).__name__}, a string was expected"
        values[name] = value
    return Document(
        id=values["id"],
        title=values["title"],
        text=text,
        source=values["source"] or recipe.source,
        license=values["license"] or recipe.license,
        access=recipe.access,
        date=values["date"] or recipe.date,
        citation=" ".join(values["citation"].split()),
    )
