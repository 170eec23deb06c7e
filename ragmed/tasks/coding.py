"""What coding tasks share: the gold codes of a note, and a long note -> the short queries a retriever is asked."""

from __future__ import annotations

from collections.abc import Iterable

from ragmed.metrics.icd10 import dotted
from ragmed.records import Example
from ragmed.tasks.queries import packed_queries

METRICS = ("code_f1", "code_f1_3", "code_f1_document", "code_f1_3_document")
FURTHER = ("valid_codes", "valid_codes_document")
IDS = "icd10cm"
"""What gold documents are named by: the codes themselves, as the corpus of the ICD-10-CM table has them."""


def gold_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """
    >>> gold_codes(["e119", "I10", "E11.9"])
    ('E11.9', 'I10')

    Each code once, in its first place, with its point.
    """
    return tuple(dict.fromkeys(map(dotted, codes)))


def note_queries(example: Example) -> tuple[str, ...]:
    """All of a note in queries of whole sentences: a code may stand in any of them."""
    return packed_queries(*(part.text for part in example.context))
