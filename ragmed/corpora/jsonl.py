"""Reads JSON Lines, plain or gzip: one object a line -> one document. The recipe's `fields` say which key is which."""

from __future__ import annotations

from collections.abc import Iterator

from ragmed.corpora.fields import check_fields, document_of, fields_of
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected
from ragmed.files import BadLine, read_jsonl

OPTIONS = {"fields": check_fields}


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> next(read(recipe)).document.id  # doctest: +SKIP

    Documents and rejected lines, in the file's order. `id` and `text` must be there; the others may be missing or
    null, and `source`, `license` and `date` then come from the recipe. A number is taken as an id or a date, too.
    """
    fields = fields_of(recipe)
    for path in recipe.paths:
        for item in read_jsonl(path, "corpus file"):
            if isinstance(item, BadLine):
                yield Rejected(str(path), item.number, item.reason)
                continue
            line, record = item
            document = document_of(record, fields, recipe)
            if isinstance(document, str):
                yield Rejected(str(path), line, document)
            else:
                yield Found(document, str(path), line)
