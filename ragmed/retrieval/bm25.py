"""Queries in, the passages that share their words out, by BM25; the postings lie with the index and are mapped.

Scores are those of the package `bm25s` (Lu 2024, "BM25S: Orders of magnitude faster lexical search via eager sparse
scoring", arXiv 2407.03618) in Lucene's variant (Kamphuis et al. 2020, "Which BM25 Do You Mean?", ECIR, table 1):

    sum over the query's words of  ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (k1 * (1 - b + b * length / mean) + tf)

N passages, of which df hold the word; a word that stands twice in a query counts twice.

Postings are a part of the index, made at the first need (`parts.py`). No embedder is loaded for any of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.chunking import INPUT_VERSION, embedded_text
from ragmed.errors import MissingDependencyError, UsageError
from ragmed.index.search import Rows
from ragmed.index.store import Index
from ragmed.records import Hit, Passage
from ragmed.retrieval.parts import open_part
from ragmed.retrieval.ranking import ranked
from ragmed.retrieval.words import STOP_WORDS, WORD, tokeniser

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec

Scores = npt.NDArray[np.float32]


class BM25Retriever:
    """Built by `make_retriever(RetrieverSpec(method="bm25", index="handbook"), workspace=workspace)`.

    A passage is read as its embedding is: title, heading and text. Equal scores are ordered by passage id. A passage
    without any word of the query is no hit, and a query without a word that the index knows has no hits at all.

    Raises UsageError (k1, b, an index without a word), UnknownNameError (stemmer, stop words), MissingDependencyError,
    DamagedError (postings that are not what was written).
    """

    VERSION = 3
    READS = ("index", "k1", "b", "stemmer", "stop_words", "title_weight")

    def __init__(
        self,
        index: Index,
        *,
        k1: float = 1.5,
        b: float = 0.75,
        stemmer: str = "english",
        stop_words: str = "english",
        title_weight: int = 1,
    ) -> None:
        if not 0 <= k1 < float("inf") or not 0 <= b <= 1:
            raise UsageError(f"BM25 needs k1 of at least 0 and b between 0 and 1, found {k1} and {b}")
        self._index, self._k1, self._b = index, float(k1), float(b)
        self._words = tokeniser(stemmer=stemmer, stop_words=stop_words)
        self._title_weight = title_weight
        self._identity = {
            "method": "bm25",
            "version": self.VERSION,
            "passages": index.contents,
            "text": INPUT_VERSION,
            "k1": self._k1,
            "b": self._b,
            "word": WORD.pattern,
            "lower_case": True,
            "stemmer": stemmer,
            "stop_words": sorted(STOP_WORDS[stop_words]),
            "title_weight": title_weight,
            "libraries": {name: metadata.version(name) for name in ("bm25s", "PyStemmer")},
        }
        folder, facts = open_part(index, self._identity, self._make)
        self._mean_length = float(facts["mean_length"])
        self._bm25 = _import_bm25s().BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
        self._rows = index.live_rows()

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> BM25Retriever:
        index = resources.index(spec.index)
        return cls(
            index,
            k1=spec.k1,
            b=spec.b,
            stemmer=spec.stemmer,
            stop_words=spec.stop_words,
            title_weight=spec.title_weight,
        )

    def _make(self, folder: Path) -> Mapping[str, Any]:
        made = counted(
            (self._words([counted_text(passage, self._title_weight)])[0] for passage in self._index),
            k1=self._k1,
            b=self._b,
        )
        if made is None:
            raise UsageError(
                f"index '{self._index.manifest.name}' holds no word that BM25 could look for; change stop_words"
            )
        made[0].save(folder, allow_pickle=False, show_progress=False)
        return {"mean_length": made[1]}

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        found = [best_rows(self._bm25, words, k) for words in self._words(list(queries))]
        passages = iter(self._index.passages([int(self._rows[row]) for rows, _ in found for row in rows]))
        return [ranked((float(score), next(passages)) for score in scores)[:k] for _, scores in found]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, scored by the index's counts of words; 0 without a word of it."""
        found = []
        for words, passages in zip(self._words(list(queries)), candidates, strict=True):
            known = self._bm25.get_tokens_ids(words)
            texts = self._words([counted_text(passage, self._title_weight) for passage in passages])
            found.append(ranked((self._score(known, text), p) for text, p in zip(texts, passages, strict=True)))
        return found

    def _score(self, query: Sequence[int], text: Sequence[str]) -> float:
        mine = self._bm25.get_tokens_ids(text)
        starts, count = self._bm25.scores["indptr"], len(self._rows)
        long = self._k1 * (1 - self._b + self._b * len(text) / self._mean_length)
        total = 0.0
        for word in query:
            times = mine.count(word)
            if times:
                holding = int(starts[word + 1] - starts[word])
                total += float(np.log(1 + (count - holding + 0.5) / (holding + 0.5))) * times / (long + times)
        return total


def counted_text(passage: Passage, title_weight: int) -> str:
    r"""
    >>> counted_text(Passage("a#0", "a", "Asthma", "", "Salbutamol.", 0, 11), 3)
    'Asthma\nAsthma\nAsthma\nSalbutamol.'

    What is counted of a passage: its text as embedded, with the title so many times. Weighted fields are then one text
    whose words are counted together, as in Robertson, Zaragoza and Taylor 2004, "Simple BM25 Extension to Multiple
    Weighted Fields", CIKM, section 3.
    """
    titles = [passage.title] * (title_weight - 1) if passage.title else []
    return "\n".join([*titles, embedded_text(passage)])


def best_rows(bm25: Any, words: Sequence[str], k: int) -> tuple[Rows, Scores]:
    """The rows of counted passages that score for the words of a query no less than the k-th best, in their order, and
    their scores: more than k where several score as much. Rows without any of the words are none."""
    known = bm25.get_tokens_ids(words)
    if not known:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    scores: Scores = bm25.get_scores_from_ids(known)
    rows = np.flatnonzero(scores)
    if len(rows) > k:
        rows = rows[scores[rows] >= np.partition(scores[rows], -k)[-k]]
    return rows, scores[rows]


def counted(texts: Iterable[Sequence[str]], *, k1: float, b: float) -> tuple[Any, float] | None:
    """The words of passages, counted by `bm25s`, and their mean number a passage; None where there is no word."""
    vocabulary: dict[str, int] = {}
    tokens = [[vocabulary.setdefault(word, len(vocabulary)) for word in text] for text in texts]
    if not vocabulary:
        return None
    bm25 = _import_bm25s().BM25(k1=k1, b=b, method="lucene")
    bm25.index((tokens, vocabulary), create_empty_token=False, show_progress=False)
    return bm25, sum(map(len, tokens)) / len(tokens)


def _import_bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependencyError("BM25 needs bm25s; run: pip install bm25s") from error
    return bm25s
