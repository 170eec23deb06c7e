"""ICD-10 codes with the words that show each: micro-F1 of the codes that are right and stand on the right words.

What holds them is two lists of one length, `{"codes": […], "evidence": […]}`: a code, and the words of the note beside
it. Gold names a code as often as it is shown. After CodiEsp-X, explainable coding (Miranda-Escalada et al. 2020), which
compares offsets of characters; a model that writes quotes words, so that words are compared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.evidence import token_f1
from ragmed.metrics.f1 import micro_f1, set_counts
from ragmed.metrics.icd10 import bare
from ragmed.records import Gold, Value

ALIKE = 0.5
"""The F1 of words that a quotation needs with words that annotators marked for its code."""


def code_evidence_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import Example
    >>> gold = {"codes": ("J45.909", "R05", "R05"), "evidence": ("severe asthma", "cough", "coughs at night")}
    >>> answer = {"codes": ["j45909", "R05", "I10"], "evidence": ["asthma", "a fever", "cough"]}
    >>> code_evidence_counts([(Example("n1", "?", gold=gold), answer)])
    [(1.0, 2.0, 1.0)]

    True positives, false positives and false negatives, each code of an answer once: a code is found where one of its
    quotations and the words of one of its gold places have `token_f1` of ALIKE or more. A code without a quotation is
    found nowhere.
    """
    return [tuple(map(float, _counts(value, example.gold))) for example, value in batch]


def _counts(value: Value, gold: Gold) -> tuple[int, int, int]:
    answered, marked = list(_pairs(value)), list(_pairs(gold))
    found = {
        code
        for code, quote in answered
        if any(code == right and token_f1(quote, words) >= ALIKE for right, words in marked)
    }
    wrong = {f"{code} elsewhere" for code, _ in answered if code not in found}
    return set_counts(found | wrong, {code for code, _ in marked})


def _pairs(given: Value | Gold) -> Iterator[tuple[str, str]]:
    """Each code, without its point, with the words in its place of the other list, '' where these are none."""
    if not isinstance(given, Mapping):
        return
    codes, quotes = (_entries(given.get(name)) for name in ("codes", "evidence"))
    for place, code in enumerate(codes):
        if key := bare(code):
            yield key, quotes[place] if place < len(quotes) else ""


def _entries(given: object) -> list[str]:
    if isinstance(given, str):
        return [given]
    return [one if isinstance(one, str) else "" for one in given] if isinstance(given, list | tuple) else []


CODE_EVIDENCE_F1 = Metric(MetricFacts("code_evidence_f1", "ratio"), code_evidence_counts, micro_f1)
