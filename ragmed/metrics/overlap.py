"""Overlap of words with a reference text, by the rouge-score package."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l(answer: str, reference: str) -> float:
    """>>> rouge_l("the cat sat", "the cat sat")
    1.0

    ROUGE-L F1 with Porter stemming (Lin 2004, "ROUGE: a package for automatic evaluation of summaries", section 3).
    """
    return float(_scorer().score(reference, answer)["rougeL"].fmeasure)
