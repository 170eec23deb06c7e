"""Queries in, the passages that share their words out, by BM25; the postings lie with the index and are mapped.

Scores are those of the package `bm25s` (Lu 2024, "BM25S: Orders of magnitude faster lexical search via eager sparse
scoring", arXiv 2407.03618) in Lucene's variant (Kamphuis et al. 2020, "Which BM25 Do You Mean?", ECIR, table 1):

    sum over the query's words of  ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (k1 * (1 - b + b * length / mean) + tf)

N passages, of which df hold the word; a word that stands twice in a query counts twice.

Postings are made at the first need and appear whole in `INDEX/bm25/KEY/`: arrays without pickle, words as JSON, and a
`postings.json` with their checksums and its own. KEY is a hash of the passages and of all that shapes the postings, so
that others are made where any of it changes. No embedder is loaded for any of this.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.checked import dump, parse
from ragmed.chunking import INPUT_VERSION, embedded_text
from ragmed.errors import DamagedError, DataError, MissingDependencyError, UsageError
from ragmed.files import (
    folder_beside,
    fsync_file,
    fsync_folder,
    make_folder,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    writing,
)
from ragmed.index.search import Rows
from ragmed.index.store import Index
from ragmed.records import Hit, Passage
from ragmed.retrieval.words import STOP_WORDS, WORD, tokeniser

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec

POSTINGS = "postings.json"
Scores = npt.NDArray[np.float32]


class BM25Retriever:
    """Built by `make_retriever(RetrieverSpec(method="bm25", index="handbook"), workspace=workspace)`.

    A passage is read as its embedding is: title, heading and text. Equal scores are ordered by row. A passage without
    any word of the query is no hit, and a query without a word that the index knows has no hits at all.

    Raises UsageError (k1, b, an index without a word), UnknownNameError (stemmer, stop words), MissingDependencyError,
    DamagedError (postings that are not what was written).
    """

    VERSION = 1
    READS = ("index", "k1", "b", "stemmer", "stop_words")

    def __init__(
        self, index: Index, *, k1: float = 1.5, b: float = 0.75, stemmer: str = "english", stop_words: str = "english"
    ) -> None:
        if not 0 <= k1 < float("inf") or not 0 <= b <= 1:
            raise UsageError(f"BM25 needs k1 of at least 0 and b between 0 and 1, found {k1} and {b}")
        self._index, self._k1, self._b = index, float(k1), float(b)
        self._words = tokeniser(stemmer=stemmer, stop_words=stop_words)
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
            "libraries": {name: metadata.version(name) for name in ("bm25s", "PyStemmer")},
        }
        folder, record = _postings(index, self._identity, self._words)
        self._mean_length = record.mean_length
        self._bm25 = _import_bm25s().BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
        self._rows = index.live_rows()

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> BM25Retriever:
        index = resources.index(spec.index)
        return cls(index, k1=spec.k1, b=spec.b, stemmer=spec.stemmer, stop_words=spec.stop_words)

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        best = [self._best(query, k) for query in queries]
        passages = iter(self._index.passages([int(row) for rows, _ in best for row in rows]))
        return [[Hit(next(passages), float(score), rank) for rank, score in enumerate(scores, 1)] for _, scores in best]

    def _best(self, query: str, k: int) -> tuple[Rows, Scores]:
        """The rows of the k best passages, and their scores."""
        known = self._bm25.get_tokens_ids(self._words([query])[0])
        if not known:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        scores: Scores = self._bm25.get_scores_from_ids(known)
        rows = np.flatnonzero(scores)
        if len(rows) > k:
            rows = rows[scores[rows] >= np.partition(scores[rows], -k)[-k]]
        best = rows[np.lexsort((rows, -scores[rows]))[:k]]
        return self._rows[best], scores[best]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query, scored by the index's counts of words; those without a word of it last,
        in the order given."""
        ranked = []
        for words, passages in zip(self._words(list(queries)), candidates, strict=True):
            known = self._bm25.get_tokens_ids(words)
            texts = self._words([embedded_text(passage) for passage in passages])
            scored = sorted(
                ((self._score(known, text), p) for text, p in zip(texts, passages, strict=True)), key=lambda s: -s[0]
            )
            ranked.append([Hit(p, score, rank) for rank, (score, p) in enumerate(scored, 1)])
        return ranked

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


def _import_bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependencyError("BM25 needs bm25s; run: pip install bm25s") from error
    return bm25s


@dataclass(frozen=True, slots=True)
class Postings:
    """What `postings.json` holds. `mean_length`: in words; `files`: name -> sha256; `checksum`: over the rest."""

    identity: Mapping[str, Any]
    mean_length: float
    files: Mapping[str, str]
    checksum: str = ""

    def whole(self) -> Postings:
        """The same record with the checksum that is right for it."""
        return replace(self, checksum=sha256_json(dump(replace(self, checksum=""))))


def _postings(
    index: Index, identity: Mapping[str, Any], words: Callable[[Sequence[str]], list[list[str]]]
) -> tuple[Path, Postings]:
    """The folder of the postings, made first where it is missing, every file checked, and what is recorded of them."""
    folder = index.folder / "bm25" / sha256_json(identity)[:16]
    if not folder.is_dir():
        _make(folder, index, identity, words)
    path, remedy = folder / POSTINGS, f"delete '{folder}', and it is rebuilt"
    try:
        record = parse(Postings, read_json(path, "BM25 postings"), f"'{path}'", error=DataError)
    except DataError as error:
        raise DamagedError(f"{error}; {remedy}") from error
    if record != record.whole() or record.identity != dump(identity):
        raise DamagedError(f"'{path}' is not what was written; {remedy}")
    for name, digest in record.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise DamagedError(f"'{folder / name}' is not what was written; {remedy}")
    return folder, record


def _make(
    folder: Path, index: Index, identity: Mapping[str, Any], words: Callable[[Sequence[str]], list[list[str]]]
) -> None:
    vocabulary: dict[str, int] = {}
    tokens: list[list[int]] = []
    for passage in index:
        text = words([embedded_text(passage)])[0]
        tokens.append([vocabulary.setdefault(word, len(vocabulary)) for word in text])
    if not vocabulary:
        raise UsageError(f"index '{index.manifest.name}' holds no word that BM25 could look for; change stop_words")
    bm25 = _import_bm25s().BM25(k1=identity["k1"], b=identity["b"], method="lucene")
    bm25.index((tokens, vocabulary), create_empty_token=False, show_progress=False)
    mode = stat.S_IMODE(index.folder.stat().st_mode)  # postings give the text away: they are as private as the index
    make_folder(folder.parent, mode=mode)
    with writing(folder), folder_beside(folder, mode=mode) as beside:
        bm25.save(beside, allow_pickle=False, show_progress=False)
        files = sorted(beside.iterdir())
        for path in files:
            path.chmod(mode & 0o666)
            fsync_file(path)
        mean_length = sum(map(len, tokens)) / len(tokens)
        record = Postings(identity, mean_length, {path.name: sha256_file(path) for path in files}).whole()
        write_json(beside / POSTINGS, dump(record), mode=mode & 0o666)
        fsync_folder(beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process made the same postings meanwhile
                raise
        fsync_folder(folder.parent)
