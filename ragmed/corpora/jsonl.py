"""Reads JSON Lines, plain or gzip: one object a line -> one document. The recipe's `fields` say which key is which."""

from __future__ import annotations

from collections.abc import Iterator

from ragmed.corpora.fields import check_fields, document_of, fields_of, read_lines
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected

OPTIONS = {"fields": check_fields}


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.id

    Documents and rejected lines, in the file's order. `id` and `text` must be there; the others may be missing or
    null, and `source`, `license` and `date` then come from the recipe. A number is taken as an id or a date, too.
    """
    fields = fields_of(recipe)
    for path in recipe.paths:
        yield from read_lines(path, "corpus file", lambda record: document_of(record, fields, recipe))
