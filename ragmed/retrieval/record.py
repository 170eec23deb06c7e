"""An example's own record in, its passages ranked for the example's queries out: an index that lives for one call.

A record is cut as a corpus is, at the structure of its documents, into passages that the embedder reads whole; without
an embedder, into passages of at most 1,024 characters. BM25 counts words over the passages of that record alone;
vectors are compared exactly. Each record is cut and embedded once, however many questions and arms ask for it, and all
of it stays in memory: nothing of a record is ever written but the passages that a sample shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

from ragmed.chunking import INPUT_VERSION, Chunking, chunk, embedded_text, splitter_version
from ragmed.embedding import Embedder, load_embedder
from ragmed.errors import DataError, UsageError
from ragmed.files import sha256_json
from ragmed.index.search import exact_scores
from ragmed.records import RECORD, ContextDocument, Document, Hit, Passage
from ragmed.retrieval import Reranker
from ragmed.retrieval.bm25 import BM25Retriever, best_rows, counted, counted_text
from ragmed.retrieval.dense import DenseRetriever
from ragmed.retrieval.fusion import FusedRetriever, fuse
from ragmed.retrieval.mmr import DiverseRetriever, diverse
from ragmed.retrieval.named import DEFAULT_EMBEDDER
from ragmed.retrieval.ranking import ranked
from ragmed.retrieval.rerank import CrossEncoderReranker, RerankedRetriever, with_rank
from ragmed.retrieval.score_cache import ScoreCache
from ragmed.retrieval.spec import RetrieverSpec, of_record
from ragmed.retrieval.words import tokeniser

if TYPE_CHECKING:
    from ragmed.embedding import Vectors
    from ragmed.retrieval.cross_encoder import CrossEncoder

CHARACTERS = 1024
"""Of a passage at most, where no embedder says how much it reads."""


@dataclass(slots=True)
class Record:
    """The passages of one record, in its order, and their vectors once they were asked for."""

    passages: tuple[Passage, ...]
    vectors: Vectors | None = None


def whole_documents(context: Sequence[ContextDocument]) -> list[Passage]:
    """
    >>> whole_documents([ContextDocument("Afebrile.", "Note", "2031-02-03", id="n1")])[0].title
    'Note (2031-02-03)'

    Each document of a record as one passage of it, in its order; one without an id goes by its number. DataError where
    two go by one name.
    """
    found: dict[str, Passage] = {}
    for number, one in enumerate(context, 1):
        name = one.id or str(number)
        if name in found:
            raise DataError(f"two documents of a record are called '{name}'; give each an id of its own")
        title = " ".join(filter(None, (one.title, f"({one.date})" if one.date else "")))
        key = f"{RECORD}:{name}"
        found[name] = Passage(key, name, title, "", one.text, 0, len(one.text), corpus=RECORD, citation=title)
    return list(found.values())


@dataclass(slots=True)
class Records:
    """
        Records().of("", example.context).passages[0].id   # 'record:text_1#0'

    Records by their content and by what cuts them, each cut once and embedded once; embedders by name, each loaded
    once. One lives as long as the arms of a call need it.
    """

    _embedders: dict[str, Embedder] = field(default_factory=dict)
    _records: dict[tuple[str, str], Record] = field(default_factory=dict)
    _cross_encoders: dict[tuple[str, str], CrossEncoder] = field(default_factory=dict)

    def embedder(self, name: str) -> Embedder:
        if name not in self._embedders:
            self._embedders[name] = load_embedder(name)
        return self._embedders[name]

    def cross_encoder(self, name: str, precision: str) -> CrossEncoder:
        """A model that scores pairs of query and passage, loaded once."""
        from ragmed.retrieval.cross_encoder import CrossEncoder

        key = name, precision
        if key not in self._cross_encoders:
            self._cross_encoders[key] = CrossEncoder(name, cache=ScoreCache(), precision=precision)
        return self._cross_encoders[key]

    def of(self, cut: str, context: Sequence[ContextDocument]) -> Record:
        """The passages of a record. `cut`: the embedder that reads them; '' for none."""
        key = cut, sha256_json([asdict(document) for document in context])
        if key not in self._records:
            count, limit = _characters, CHARACTERS
            if cut:
                count, limit = self.embedder(cut).count_tokens, self.embedder(cut).max_tokens
            documents = [
                Document(one.document, one.title, one.text, citation=one.citation, corpus=RECORD)
                for one in whole_documents(context)
            ]
            passages = chunk(documents, chunking=Chunking(), count_tokens=count, limit=limit)
            self._records[key] = Record(tuple(passages))
        return self._records[key]

    def identity(self, cut: str) -> dict[str, Any]:
        """What decides how a record is cut."""
        by = asdict(self.embedder(cut).fingerprint()) if cut else {"characters": CHARACTERS}
        return {"splitter": splitter_version(Chunking().splitter), "text": INPUT_VERSION, "by": by}


def _characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


class RecordRetriever(Protocol):
    """
    Queries and a record in, hits out:

        retriever.rank(["Which antibiotic was given?"], records.of(retriever.cut, example.context))[0][0].passage.text
    """

    cut: str
    """The embedder as whose passages records are cut; '' for none."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """As a `Retriever`'s."""

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        """All that a query finds in a record, best first, ranked from 1; equal scores by passage id."""


class RecordWords:
    """BM25, with the words of the one record as its collection: see `BM25Retriever`."""

    def __init__(self, spec: RetrieverSpec, records: Records, cut: str) -> None:
        self.cut, self._spec = cut, spec
        self._words = tokeniser(stemmer=spec.stemmer, stop_words=spec.stop_words)
        self.identity: Mapping[str, Any] = {
            "method": "bm25", "version": BM25Retriever.VERSION, "record": records.identity(cut), "k1": spec.k1,
            "b": spec.b, "stemmer": spec.stemmer, "stop_words": spec.stop_words, "title_weight": spec.title_weight,
            "libraries": {name: metadata.version(name) for name in ("bm25s", "PyStemmer")},
        }  # fmt: skip

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        texts = self._words([counted_text(passage, self._spec.title_weight) for passage in record.passages])
        made = counted(texts, k1=self._spec.k1, b=self._spec.b)
        if made is None:
            return [[] for _ in queries]
        found = [best_rows(made[0], words, len(texts)) for words in self._words(list(queries))]
        return [
            ranked((float(score), record.passages[row]) for row, score in zip(rows, scores, strict=True))
            for rows, scores in found
        ]


class RecordVectors:
    """The nearness of vectors, compared exactly: see `DenseRetriever`."""

    def __init__(self, records: Records, cut: str) -> None:
        self.cut, self._embedder = cut, records.embedder(cut)
        self.identity: Mapping[str, Any] = {
            "method": "dense", "version": DenseRetriever.VERSION, "record": records.identity(cut),
        }  # fmt: skip

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        if not record.passages:
            return [[] for _ in queries]
        if record.vectors is None:
            record.vectors = self._embedder.embed_passages([embedded_text(passage) for passage in record.passages])
        found = []
        for query in self._embedder.embed_queries(list(queries)):
            scores = exact_scores(query, record.vectors, metric=self._embedder.metric).tolist()
            found.append(ranked(zip(scores, record.passages, strict=True)))
        return found


class RecordFusion:
    """Reciprocal-rank fusion of several rankings of one record: see `FusedRetriever`."""

    def __init__(self, spec: RetrieverSpec, parts: Mapping[str, RecordRetriever], cut: str) -> None:
        self.cut, self._spec, self._parts = cut, spec, parts
        self._weights = dict(zip(parts, spec.weights or (1.0,) * len(parts), strict=True))
        self.identity: Mapping[str, Any] = {
            "method": "rrf", "version": FusedRetriever.VERSION, "rrf_k": spec.rrf_k, "depth": spec.depth,
            "weights": list(self._weights.values()), "of": [part.identity for part in parts.values()],
        }  # fmt: skip

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        rankings = {name: part.rank(queries, record) for name, part in self._parts.items()}
        return [
            fuse(
                {name: hits[number][: self._spec.depth] for name, hits in rankings.items()},
                weights=self._weights,
                rrf_k=self._spec.rrf_k,
            )
            for number in range(len(queries))
        ]


class RecordReranked:
    """The first passages that another way finds in a record, read again by a model: see `RerankedRetriever`. Scores
    stay in memory, as all of a record does."""

    def __init__(self, spec: RetrieverSpec, part: RecordRetriever, reranker: Reranker) -> None:
        self.cut, self._part, self._reranker = part.cut, part, reranker
        self._name, self._depth = spec.of[0], spec.depth
        self.identity: Mapping[str, Any] = {
            "method": "rerank", "version": RerankedRetriever.VERSION, "depth": spec.depth,
            "reranker": dict(reranker.identity), "of": [part.identity],
        }  # fmt: skip

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        first = [with_rank(hits[: self._depth], self._name) for hits in self._part.rank(queries, record)]
        return self._reranker.rerank(queries, first)


class RecordDiverse:
    """The passages of a record in an order that repeats little: see `DiverseRetriever`."""

    def __init__(self, spec: RetrieverSpec, part: RecordRetriever) -> None:
        self.cut, self._spec, self._part = part.cut, spec, part
        self.identity: Mapping[str, Any] = {
            "method": "mmr", "version": DiverseRetriever.VERSION, "text": INPUT_VERSION,
            "mmr_lambda": spec.mmr_lambda, "depth": spec.depth, "of": [part.identity],
        }  # fmt: skip

    def rank(self, queries: Sequence[str], record: Record) -> list[list[Hit]]:
        spec = self._spec
        first = [with_rank(hits[: spec.depth], spec.of[0]) for hits in self._part.rank(queries, record)]
        return [diverse(hits, len(hits), mmr_lambda=spec.mmr_lambda) for hits in first]


def cut_of(spec: RetrieverSpec, specs: Mapping[str, RetrieverSpec]) -> str:
    """The embedder as whose passages a retriever cuts records; '' for none.

    BM25 cuts as its own `embedder` does, if it names one, or as that of the fusion it is a part of. UsageError where
    the parts of a fusion name different ones: their passages would not be the same.
    """
    if not spec.of:
        return spec.embedder or (DEFAULT_EMBEDDER if spec.method == "dense" else "")
    named = sorted({cut for name in spec.of if (cut := cut_of(specs[name], specs))})
    if len(named) > 1:
        raise UsageError(f"the parts of a fusion cut a record differently ({', '.join(named)}); name one embedder")
    return named[0] if named else ""


def make_record_retriever(
    spec: RetrieverSpec, *, specs: Mapping[str, RetrieverSpec], records: Records
) -> RecordRetriever:
    """
        make_record_retriever(RetrieverSpec("bm25", record=True), specs={}, records=Records())

    `specs`: the config's other retrievers, for parts. UsageError where a spec searches no record.
    """
    if not of_record(spec, specs):
        raise UsageError("it searches no record; write record: true")
    return _made(spec, specs, records, cut_of(spec, specs))


def _made(spec: RetrieverSpec, specs: Mapping[str, RetrieverSpec], records: Records, cut: str) -> RecordRetriever:
    spec.check()
    parts = {name: _made(specs[name], specs, records, cut) for name in spec.of}
    if spec.method == "rerank":
        model = records.cross_encoder(spec.model, spec.precision)
        return RecordReranked(spec, parts[spec.of[0]], CrossEncoderReranker(model))
    if spec.method == "mmr":
        return RecordDiverse(spec, parts[spec.of[0]])
    if spec.of:
        return RecordFusion(spec, parts, cut)
    return RecordWords(spec, records, cut) if spec.method == "bm25" else RecordVectors(records, cut)
