"""Reads JSON Lines, plain or gzip: one object a line -> one document. The recipe's `fields` say which key is which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected, plain_text
from ragmed.files import BadLine, read_jsonl
from ragmed.records import Document

FIELDS: dict[str, str] = {name: name for name in ("id", "title", "text", "source", "license", "date")}
"""A document's field -> the key it is read from, unless the recipe says otherwise."""


def _check_fields(value: object) -> str:
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value.values()):
        return "maps a document's fields to keys of the file, as in {id: pmid, text: abstract}"
    unknown = [str(name) for name in value if name not in FIELDS]
    return f"knows {', '.join(FIELDS)}; not {', '.join(unknown)}" if unknown else ""


OPTIONS = {"fields": _check_fields}


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> next(read(recipe)).document.id  # doctest: +SKIP

    Documents and rejected lines, in the file's order. `id` and `text` must be there; the others may be missing or
    null, and `source`, `license` and `date` then come from the recipe. A number is taken as an id or a date, too.
    """
    fields = FIELDS | dict(recipe.options.get("fields", {}))
    for path in recipe.paths:
        for item in read_jsonl(path, "corpus file"):
            if isinstance(item, BadLine):
                yield Rejected(str(path), item.number, item.reason)
                continue
            line, record = item
            document = _document(record, fields, recipe)
            if isinstance(document, str):
                yield Rejected(str(path), line, document)
            else:
                yield Found(document, str(path), line)


def _document(record: Mapping[str, object], fields: Mapping[str, str], recipe: Recipe) -> Document | str:
    """The record's document, or why there is none."""
    for name in ("id", "text"):
        if record.get(fields[name]) is None:
            return f"no '{fields[name]}' ({name})"
    text = record[fields["text"]]
    if not isinstance(text, str):
        return f"'{fields['text']}' (text) is a {type(text).__name__}, a string was expected"
    values: dict[str, str] = {}
    for name in ("id", "title", "source", "license", "date"):
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
    )
