"""Overlap of words with a reference text, by the rouge-score package: an answer and a reference in, F1 values out.

ROUGE as in Lin 2004 ("ROUGE: a package for automatic evaluation of summaries"): words are lower-cased runs of a-z and
0-9, words of more than three letters are reduced by the Porter stemmer, nothing is left out as a stop word. Text in
another script has no words for it, and accented letters end one: English only. Every value is the F1 of precision and
recall, a fraction.
"""

from __future__ import annotations

import functools
from typing import Any

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import accepted

ROUGES = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
"""Metric -> its name in rouge-score: single words, pairs of neighbours, the longest common subsequence of the text."""


@functools.cache
def _scorer(name: str) -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([name], use_stemmer=True)


def rouge(answer: str, reference: str) -> dict[str, float]:
    """
    >>> rouge("the cat sat", "the cat sat")
    {'rouge_1': 1.0, 'rouge_2': 1.0, 'rouge_l': 1.0}

    ROUGE-1, ROUGE-2 and ROUGE-L F1. Two texts without a common word, or a text without words, score 0; a single word
    has no pair, so that its ROUGE-2 is 0 even against itself.
    """
    return {metric: _f1(name, answer, reference) for metric, name in ROUGES.items()}


def rouge_l(answer: str, reference: str) -> float:
    """
    >>> rouge_l("the cat sat", "the cat sat")
    1.0

    ROUGE-L F1 (Lin 2004, section 3), over the text as one sequence of words, line ends and all.
    """
    return _f1(ROUGES["rouge_l"], answer, reference)


def _f1(name: str, answer: str, reference: str) -> float:
    return float(_scorer(name).score(reference, answer)[name].fmeasure)


def _metric(name: str) -> Metric:
    def score(batch: Batch) -> list[float]:
        return [
            max((_f1(ROUGES[name], str(value), reference) for reference in accepted(example.gold)), default=0.0)
            for example, value in batch
        ]

    return Metric(MetricFacts(name, "graded"), score)


ROUGE_1, ROUGE_2, ROUGE_L = (_metric(name) for name in ROUGES)
