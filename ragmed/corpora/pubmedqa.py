"""Reads PubMedQA (`ori_pqal.json` and its like): the context of a question -> one document, its id the PMID.

Only CONTEXTS and LABELS are read: QUESTION is often the article's title, and LONG_ANSWER and final_decision give the
answer away.

Paper: Jin et al. 2019, "PubMedQA: a dataset for biomedical research question answering", EMNLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ragmed.corpora.members import Member, load_object, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, plain_text
from ragmed.records import Document

SUFFIXES = (".json",)
OPTIONS: Mapping[str, OptionCheck] = {}


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> next(read(recipe)).document.text[:13]  # doctest: +SKIP
    '## BACKGROUND'

    One document a record, in the file's order; `line` counts records. Sections become Markdown headings.
    """
    for path in recipe.paths:
        for item in members(path, SUFFIXES):
            if not isinstance(item, Member):
                yield item
                continue
            try:
                records = load_object(item)
            except ValueError as error:
                yield Rejected(item.file, 0, str(error))
                continue
            for number, (pmid, record) in enumerate(records.items(), 1):
                document = _document(pmid, record, recipe)
                if isinstance(document, str):
                    yield Rejected(item.file, number, document)
                else:
                    yield Found(document, item.file, number)


def _document(pmid: str, record: object, recipe: Recipe) -> Document | str:
    if not pmid.isascii() or not pmid.isdigit():
        return "its key is not a PMID (digits)"
    if not isinstance(record, dict):
        return f"a JSON object was expected, found {type(record).__name__}"
    contexts, labels = _texts(record, "CONTEXTS"), _texts(record, "LABELS")
    if isinstance(contexts, str):
        return contexts
    if isinstance(labels, str):
        return labels
    if labels and len(labels) != len(contexts):
        return f"{len(contexts)} CONTEXTS, but {len(labels)} LABELS: which belongs to which cannot be told"
    year = plain_text(record.get("YEAR"))
    if year is None:
        return f"'YEAR' is a {type(record['YEAR']).__name__}, a string was expected"
    sections = zip(labels or [""] * len(contexts), contexts, strict=True)
    url = f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
    return Document(
        id=pmid,
        title="",
        text="\n\n".join(f"## {label}\n\n{text}" if label else text for label, text in sections),
        source=url,
        license=recipe.license,
        access=recipe.access,
        date=year or recipe.date,
        citation=f"PubMed {pmid}" + (f" ({year})" if year else "") + f". {url}",
    )


def _texts(record: Mapping[str, Any], key: str) -> list[str] | str:
    """A list of strings, or what is wrong with it. Missing LABELS are no labels."""
    values = record.get(key)
    if values is None:
        return [] if key == "LABELS" else f"no '{key}'"
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return f"'{key}' is no list of strings"
    return [value.strip() for value in values]
