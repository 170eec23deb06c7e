"""A recipe's `fields` (which key of a record is which field of a document) and a record in, a document or a reason out.

Shared by the readers of records: JSON Lines (also in BEIR's and MedRAG's layouts), CSV, Parquet.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ragmed.corpora.kinds import no_json_lines
from ragmed.corpora.recipe import Found, Recipe, Rejected, found_or_rejected, string_of, text_of
from ragmed.errors import DataError
from ragmed.files import BadLine, open_binary, read_jsonl
from ragmed.records import Document

FIELDS: dict[str, str] = {name: name for name in ("id", "title", "text", "source", "license", "date", "citation")}
"""A document's field -> the key it is read from, unless the recipe names another."""

REQUIRED = ("id", "text")

_HEAD = 64 * 1024
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
            f"{where} has no column '{column}' for the document's {name}{hint or '.'} "
            f"Columns: {there or 'none'}. Name it in the recipe, as in fields: {{{name}: COLUMN}}{unnumbered}"
        )


def read_lines(path: Path, what: str, make: Callable[[dict[str, Any]], Document]) -> Iterator[Found | Rejected]:
    """Documents and refused lines of a JSON Lines file. `make`: its document, or ValueError with the reason."""
    objects = False
    for item in read_jsonl(path, what, whole=False):
        if isinstance(item, BadLine):
            yield Rejected(str(path), item.number, item.reason)
        else:
            objects = True
            yield found_or_rejected(partial(make, item[1]), str(path), item[0])
    if not objects:
        with open_binary(path) as stream:
            reason = no_json_lines(stream.read(_HEAD).decode("utf-8-sig", "replace"))
        if reason:
            raise DataError(f"{what} '{path}' is {reason}")


def document_of(record: Mapping[str, object], fields: Mapping[str, str], recipe: Recipe) -> Document:
    """The record's document; ValueError says why there is none.

    `id` and `text` must be there; the others may be missing or null, and `source`, `license` and `date` then come
    from the recipe. A number is taken as an id or a date, too.
    """
    if record.get(fields["id"]) is None:
        raise ValueError(f"no '{fields['id']}' (id)")
    text = string_of(record, fields["text"], " (text)")
    values = {name: text_of(record, key, f" ({name})") for name, key in fields.items() if name != "text"}
    return recipe.document(**values | {"text": text, "citation": " ".join(values["citation"].split())})
