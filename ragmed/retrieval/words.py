"""A text in, the words by which it is found out: cut, lower-cased, without stop words, stemmed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from ragmed.errors import MissingDependencyError, UnknownNameError

WORD = re.compile(r"(?u)\b\w\w+\b")
"""What a word is: two or more letters, digits or underscores; scikit-learn's and bm25s's pattern."""
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u2060\ufeff"))
"""Marks within a word that nobody sees: it may be broken there (soft hyphen), or not (word joiner, in two forms)."""
STOP_WORDS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "english": frozenset(  # Lucene's, and bm25s's
        "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
        "this to was will with".split()
    ),
}


def tokeniser(*, stemmer: str, stop_words: str) -> Callable[[Sequence[str]], list[list[str]]]:
    """
    >>> tokeniser(stemmer="english", stop_words="english")(["The patients were coughing, and 3 fell."])
    [['patient', 'were', 'cough', 'fell']]

    Texts in, their words out: lower-cased, cut by WORD, without stop words, stemmed (`none`, or a Snowball language).
    A letter with its accent is one letter, however it is written; marks within a word that nobody sees are left out.
    """
    if stop_words not in STOP_WORDS:
        raise UnknownNameError("list of stop words", stop_words, STOP_WORDS)
    left_out = STOP_WORDS[stop_words]
    stems = _stems(stemmer)

    def words(texts: Sequence[str]) -> list[list[str]]:
        return [stems([word for word in WORD.findall(plain(text)) if word not in left_out]) for text in texts]

    return words


def plain(text: str) -> str:
    """
    >>> plain("Guillain-Barre\u0301 syn\u00addrome")
    'guillain-barré syndrome'

    A text as it is cut into words: lower-cased, each accent one with its letter, without marks that nobody sees.
    """
    return (text if text.isascii() else unicodedata.normalize("NFC", text).translate(_UNSEEN)).lower()


def _stems(language: str) -> Callable[[list[str]], list[str]]:
    if language == "none":
        return lambda words: words
    try:
        import Stemmer
    except ImportError as error:
        raise MissingDependencyError("stemming needs PyStemmer; run: pip install PyStemmer") from error
    if language not in Stemmer.algorithms():
        raise UnknownNameError("stemmer", language, ["none", *Stemmer.algorithms()])
    stem: Callable[[list[str]], list[str]] = Stemmer.Stemmer(language).stemWords
    return stem
