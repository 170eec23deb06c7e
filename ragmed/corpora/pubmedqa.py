"""Reads PubMedQA (`ori_pqal.json` and its like): the context of a question -> one document, its id the PMID.

Only CONTEXTS and LABELS are read: QUESTION is often the article's title, and LONG_ANSWER and final_decision give the
answer away.

Paper: Jin et al. 2019, "PubMedQA: a dataset for biomedical research question answering", EMNLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ragmed.checked import kind_found
from ragmed.corpora.members import Member, load_object, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected, found_or_rejected, text_of
from ragmed.records import Document

SUFFIXES = (".json",)


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.text[:13]  # '## BACKGROUND'

    One document a record, in the file's order; `line` counts records. Sections become Markdown headings.
    """
    yield from read_members(recipe, SUFFIXES, lambda member: _read_member(member, recipe))


def _read_member(member: Member, recipe: Recipe) -> Iterator[Found | Rejected]:
    for number, (pmid, record) in enumerate(load_object(member).items(), 1):
        yield found_or_rejected(partial(_document, pmid, record, recipe), member.file, number)


def _document(pmid: str, record: object, recipe: Recipe) -> Document:
    if not pmid.isascii() or not pmid.isdigit():
        raise ValueError("its key is not a PMID (digits)")
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object was expected, found {kind_found(record)}")
    contexts, labels = _texts(record, "CONTEXTS"), _texts(record, "LABELS")
    if labels and len(labels) != len(contexts):
        raise ValueError(f"{len(contexts)} CONTEXTS, but {len(labels)} LABELS: which belongs to which is unclear")
    year = text_of(record, "YEAR")
    sections = zip(labels or [""] * len(contexts), contexts, strict=True)
    text = "\n\n".join(f"## {label}\n\n{text}" if label else text for label, text in sections)
    url = f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
    citation = f"PubMed {pmid}" + (f" ({year})" if year else "") + f". {url}"
    return recipe.document(pmid, "", text, source=url, date=year, citation=citation)


def _texts(record: Mapping[str, Any], key: str) -> list[str]:
    """A list of strings; ValueError where it is none. Missing LABELS are no labels."""
    values = record.get(key)
    if values is None and key == "LABELS":
        return []
    if values is None:
        raise ValueError(f"no '{key}'")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"'{key}' is no list of strings")
    return [value.strip() for value in values]
