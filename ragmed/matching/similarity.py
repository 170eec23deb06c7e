"""Two texts in, how much of them is the same out: words in one order, or n-grams in common."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ragmed.matching.ngrams import Ngram, ngrams_of
from ragmed.matching.words import FEWEST, readings

COPY_LENGTH = 8
COPY_SHARE = 0.2
"""Two texts are copies of one where they share more than this share of the shorter one's n-grams of COPY_LENGTH."""


def words_in_order(first: str, second: str) -> float:
    """
    >>> round(words_in_order("Do statins help in heart failure?", "Do statins help in chronic heart failure?"), 3)
    0.923

    The share of the words of both, in 0 to 1, that stand in the same order in both (twice the matching words by the
    words of both, after Ratcliff and Obershelp, as `difflib` counts them); 0 for texts of less than FEWEST words.
    """
    return max(
        (
            difflib.SequenceMatcher(None, first_words, second_words, autojunk=False).ratio()
            for first_words in readings(first)
            for second_words in readings(second)
            if min(len(first_words), len(second_words)) >= FEWEST
        ),
        default=0.0,
    )


def copies_any(text: str, others: Iterable[str]) -> bool:
    """
    >>> page = "Give the first dose on the ward and wait for two full hours."
    >>> copies_any(f"Abstract: {page}", [page]), copies_any("Give the first dose at home.", [page])
    (True, False)

    Whether a text shares so much with one of the others that they are copies of one text, as where two corpora hold
    one abstract. Words are compared as they stand between blanks, but for case: copies agree in their punctuation.
    """
    mine = _ngrams(text)
    return any(
        len(mine & theirs) > COPY_SHARE * min(len(mine), len(theirs)) for theirs in (_ngrams(other) for other in others)
    )


def _ngrams(text: str) -> set[Ngram]:
    """A text of fewer words is one n-gram of all of them."""
    words = text.casefold().split()
    return set(ngrams_of(words, COPY_LENGTH)) or {tuple(words)}
