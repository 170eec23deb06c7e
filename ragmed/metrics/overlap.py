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
from collections.abc import Sequence
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
SIGNS = "rouge_l_signs"
_SIGN = re.compile("([<>≤≥=±+%])")
_ALONE = re.compile(f"([{_WITHOUT_BLANKS}])")
_KNOWN_WORDS = 100_000


class _Words:
    """The tokenizer that a rouge-score scorer is given. Texts share most of their words, so each is stemmed once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = functools.lru_cache(_KNOWN_WORDS)(PorterStemmer().stem)
        self._parts = functools.lru_cache(_KNOWN_WORDS)(self._ascii)
        self._letters = _Letters()

    def tokenize(self, text: str) -> list[str]:
        if text.isascii():
            return self._ascii(text)
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).translate(self._letters)
        words = [word for word in _ALONE.sub(r" \1 ", text).split() if any(map(str.isalnum, word))]
        return [part for word in words for part in (self._parts(word) if word.isascii() else [word])]

    def _ascii(self, text: str) -> list[str]:
        from rouge_score.tokenize import tokenize

        return list(tokenize(text, stemmer=self))


class _Letters(dict[int, str]):
    """For `str.translate`: what is of a word stays, all else is a blank. Of a word are letters, digits, and marks that
    belong to the letter before them (vowel signs of Devanagari).
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = character.isalnum() or unicodedata.category(character).startswith("M")
        self[code] = character if kept else " "
        return self[code]


@functools.cache
def _words() -> _Words:
    return _Words()


@functools.cache
def _scorer(name: str) -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([name], tokenizer=_words())


def words(text: str) -> list[str]:
    """
    >>> words("Treatments of asthma")
    ['treatment', 'of', 'asthma']

    The words of a text as they are compared.
    """
    return _words().tokenize(text)


def has_words(text: str) -> bool:
    """
    >>> has_words("高血压"), has_words("— ?")
    (True, False)

    Whether there is anything in a text that an answer can have in common with it.
    """
    return bool(words(text))


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


def rouge_1(answer: str, reference: str) -> float:
    """
    >>> rouge_1("sat the cat", "the cat sat")
    1.0

    ROUGE-1 F1: single words in common, in any order.
    """
    return _f1(ROUGES["rouge_1"], answer, reference)


def _with_signs(text: str) -> list[str]:
    return [
        part
        for piece in _SIGN.split(text)
        for part in ([piece] if _SIGN.fullmatch(piece) else _words().tokenize(piece))
    ]


def _sequence_f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    common = common_subsequence(wanted, given)
    precision, recall = common / len(given) if given else 0.0, common / len(wanted) if wanted else 0.0
    return 2 * precision * recall / (precision + recall) if common else 0.0


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """
    >>> common_subsequence("the cat sat here".split(), "the dog sat".split())
    2

    The length of the longest common subsequence, by the bits of one number for all of `one` (Hyyrö 2004): a quarter
    of a second for texts of 16,000 words, where rouge-score fills a table of 256 million numbers.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << i
    row = all_ = (1 << len(one)) - 1
    for word in other:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & all_
    return len(one) - row.bit_count()


def _f1(name: str, answer: str, reference: str) -> float:
    if name == "rougeL":
        return _sequence_f1(_words().tokenize(answer), _words().tokenize(reference))
    if name == SIGNS:
        return _sequence_f1(_with_signs(answer), _with_signs(reference))
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
            max(
                (_f1(ROUGES.get(name, name), str(value), reference) for reference in accepted(example.gold)),
                default=0.0,
            )
            for example, value in batch
        ]

    return Metric(MetricFacts(name, "graded", version=2), score)


ROUGE_1, ROUGE_2, ROUGE_L = (_metric(name) for name in ROUGES)
ROUGE_L_SIGNS = _metric(SIGNS)
"""ROUGE-L in which <, >, ≤, ≥, =, ±, + and % are words too, so that "BP < 90" is not "BP > 90"."""
