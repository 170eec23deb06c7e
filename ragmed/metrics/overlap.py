"""Overlap of words with a reference text, by the rouge-score package: an answer and a reference in, F1 values out.

ROUGE as in Lin 2004 ("ROUGE: a package for automatic evaluation of summaries"): words are lower-cased runs of letters
and digits, words of more than three letters are reduced by the Porter stemmer, nothing is left out as a stop word. Of a
text in ASCII these are rouge-score's own words. Elsewhere letters are those of Unicode (rouge-score knows a-z alone, so
that "Säugling" is two words for it, and a text in another script has none and scores 0 against itself); only words of
a-z are stemmed, and in scripts that part no words by blanks (Chinese, Japanese, Thai, Lao, Burmese, Khmer) each
character counts as one. Every value is the F1 of precision and recall, a fraction.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

from ragmed.errors import DataError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import accepted

ROUGES = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
"""Metric -> its name in rouge-score: single words, pairs of neighbours, the longest common subsequence of the text."""


_WITHOUT_BLANKS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_ALONE = re.compile(f"([{_WITHOUT_BLANKS}])")


class _Words:
    """The tokenizer that a rouge-score scorer is given."""

    def __init__(self) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._ascii = DefaultTokenizer(use_stemmer=True)

    def tokenize(self, text: str) -> list[str]:
        if text.isascii():
            return list(self._ascii.tokenize(text))
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        text = "".join(character if _is_of_a_word(character) else " " for character in text)
        words = [word for word in _ALONE.sub(r" \1 ", text).split() if any(map(str.isalnum, word))]
        return [part for word in words for part in (self._ascii.tokenize(word) if word.isascii() else [word])]


def _is_of_a_word(character: str) -> bool:
    """Letters, digits, and marks that belong to the letter before them (vowel signs of Devanagari)."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


@functools.cache
def _words() -> _Words:
    return _Words()


@functools.cache
def _scorer(name: str) -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([name], tokenizer=_words())


def has_words(text: str) -> bool:
    """
    >>> has_words("高血压"), has_words("— ?")
    (True, False)

    Whether there is anything in a text that an answer can have in common with it.
    """
    return bool(_words().tokenize(text))


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
        for example, _ in batch:
            for reference in accepted(example.gold):
                if reference and not has_words(reference):
                    raise DataError(
                        f"{name}: the reference '{reference}' of example '{example.id}' has no word, so that every "
                        "answer would score 0; mend it, or leave the example out"
                    )
        return [
            max((_f1(ROUGES[name], str(value), reference) for reference in accepted(example.gold)), default=0.0)
            for example, value in batch
        ]

    return Metric(MetricFacts(name, "graded", version=2), score)


ROUGE_1, ROUGE_2, ROUGE_L = (_metric(name) for name in ROUGES)
