"""Queries in, the passages out whose tokens fit the query's one by one: late interaction, as ColBERT.

Paper: Khattab and Zaharia 2020, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
over BERT", SIGIR, section 3.3: a score is the sum, over the vectors of the query's tokens, of the greatest inner
product with a vector of the passage's tokens (MaxSim). Passages' vectors are kept beside the index (`parts.py`), as
float16, and mapped. The query's are rounded to float16 too and products are summed in float64, which for vectors of
length one is exact: neither what stands beside a passage nor the order of the sum changes a score. No embedder is
loaded.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.chunking import INPUT_VERSION, embedded_text, require_read_whole
from ragmed.embedding import cut_to_fit, torch_device
from ragmed.embedding.folders import limits_of, load_model, model_folder, model_identity, prompts_of
from ragmed.errors import DataError, ModelError, UsageError
from ragmed.index.store import Index
from ragmed.records import Hit, Passage
from ragmed.retrieval import Retriever
from ragmed.retrieval.parts import open_part
from ragmed.retrieval.ranking import ranked
from ragmed.retrieval.rerank import with_rank

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec

WINDOW = 256  # passages encoded between two looks at memory
TOKENS = 65536  # of passages compared at a time: 64 MiB where vectors have 128 numbers
KINDS = ("MultiVectorEncoder", "ColBERT")  # ColBERT: as PyLate calls it
Vectors = npt.NDArray[np.float16]
"""[tokens, dimension]: a vector for each token of one text."""


class LateInteractionModel:
    """
        model = LateInteractionModel("path:models/colbert")
        model.query("What treats asthma?").shape   # (32, 128)

    `name`: `path:DIR` or `hf:ORG/NAME@REVISION`: a MultiVectorEncoder of sentence-transformers. ModelError where it
    cannot be loaded, and for any other folder: to that a layer of random numbers would be added.
    """

    def __init__(self, name: str, *, precision: str = "float32", device: str = "auto") -> None:
        self.name, self.device = name, torch_device(device)
        folder, revision = model_folder("late-interaction model", name)
        _require_kind(name, folder)
        self._model = load_model(
            name, folder, precision, self.device, kind="MultiVectorEncoder", what="late-interaction model"
        )
        tokens = self._model[0]
        most = limits_of(self._model)
        expansion = tokens.query_expansion or {}
        fixed = expansion["length"] if expansion.get("strategy") == "fixed" else tokens.query_length
        if not most and not (fixed and tokens.document_length):
            raise ModelError(
                f"late-interaction model '{name}' does not say how many tokens it reads; set max_seq_length"
            )
        self.max_tokens = min([*most, *filter(None, [tokens.document_length])])
        self._query_tokens = min([*most, *filter(None, [fixed])])
        self._query_prompt, self._prompt = prompts_of(self._model)
        self.identity: Mapping[str, Any] = {
            **model_identity(folder, revision, precision),
            "max_tokens": self.max_tokens,
            "query_tokens": self._query_tokens,
        }

    def passages(self, passages: Sequence[Passage]) -> list[Vectors]:
        """DataError for a passage beyond what the model reads: it is never cut; and for one without a vector."""
        texts = [embedded_text(passage) for passage in passages]
        require_read_whole(passages, self._count(texts, self._prompt), most=self.max_tokens, by=self.name)
        made = self._encode(self._model.encode_document, texts, self._prompt)
        for passage, vectors in zip(passages, made, strict=True):
            if not len(vectors):
                raise DataError(f"passage '{passage.id}' has no token that '{self.name}' keeps a vector of")
        return made

    def query(self, text: str) -> Vectors:
        """A query longer than the model reads is encoded in pieces, and the tokens of all count."""
        pieces, _ = cut_to_fit([text], self._query_tokens, lambda some: self._count(some, self._query_prompt))
        return np.concatenate(self._encode(self._model.encode_query, pieces, self._query_prompt))

    def _count(self, texts: Sequence[str], prompt: str) -> list[int]:
        read = self._model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)
        return [len(ids) for ids in read["input_ids"]]

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str) -> list[Vectors]:
        # one by one on a CPU: padding would change the last bits
        size = 1 if self.device == "cpu" else 32
        rows = encode(list(texts), prompt=prompt, batch_size=size, show_progress_bar=False)
        made = [row.float().cpu().numpy() for row in rows]
        if not all(np.isfinite(row).all() and (np.abs(row) <= np.finfo(np.float16).max).all() for row in made):
            raise DataError(
                f"late-interaction model '{self.name}' gave NaN, infinity, or numbers beyond float16; try "
                "precision: float32"
            )
        return [row.astype(np.float16) for row in made]


def _require_kind(name: str, folder: Path) -> None:
    """ModelError for a folder that is no late-interaction model, whatever could be made of it."""
    try:
        (folder / "modules.json").read_bytes()
        kind = json.loads((folder / "config_sentence_transformers.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind not in KINDS:
        raise ModelError(
            f"late-interaction model '{name}': '{folder}' holds no MultiVectorEncoder (modules.json, and its name in "
            "config_sentence_transformers.json), so its projection would be random numbers; name a model that was "
            "trained for late interaction, saved with sentence-transformers: "
            "MultiVectorEncoder(NAME).save_pretrained(DIR)"
        )


def maxsim(query: Vectors, passages: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """
    >>> query = np.array([[1, 0], [0, 1]], dtype=np.float16)
    >>> tokens = np.array([[1, 0], [0, 0.5], [0.5, 0.5]], dtype=np.float16)
    >>> maxsim(query, tokens, np.array([0, 2])).tolist()
    [1.5, 1.0]

    A score for each passage, whose tokens' vectors begin at `starts` of `passages`, one passage after the other.
    """
    products = passages.astype(np.float64) @ query.astype(np.float64).T  # [tokens of passages, tokens of the query]
    scores: npt.NDArray[np.float32] = np.maximum.reduceat(products, starts, axis=0).sum(axis=1).astype(np.float32)
    return scores


class LateInteractionRetriever:
    """Built by `make_retriever(RetrieverSpec("late-interaction", index="handbook", model="path:models/colbert"), ...)`.

    All passages of the index are compared, exactly: for small indexes, since each token keeps a vector (256 bytes where
    it has 128 numbers). `of`: another retriever, whose first `depth` hits alone are compared, over an index of any
    size; the rank that it gave stays in `Hit.parts`. A passage is read as its embedding is. Equal scores are ordered by
    passage id. Raises DataError (a passage longer than the model reads), DamagedError, ModelError.
    """

    VERSION = 1
    READS = ("index", "model", "precision", "of", "depth")

    def __init__(self, index: Index, model: LateInteractionModel) -> None:
        self._index, self._model = index, model
        self._first: tuple[str, Retriever] | None = None
        self._depth = 0
        kept = {
            "method": "late-interaction",
            "version": self.VERSION,
            "passages": index.contents,
            "text": INPUT_VERSION,
            "model": dict(model.identity),
        }
        self._identity: Mapping[str, Any] = kept
        folder, _ = open_part(index, kept, self._make)
        self._starts = np.load(folder / "starts.npy", allow_pickle=False)
        self._vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        self._rows = index.live_rows()
        self._places: dict[str, int] = {}

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> LateInteractionRetriever:
        if not spec.of:
            return cls(resources.index(spec.index), LateInteractionModel(spec.model, precision=spec.precision))
        whole = resources.whole(replace(spec, of=()))
        assert isinstance(whole, cls)
        return whole.reading(spec.of[0], resources.part(spec.of[0]), depth=spec.depth)

    def reading(self, name: str, part: Retriever, *, depth: int) -> LateInteractionRetriever:
        """The same, comparing no more than the first `depth` hits of another retriever; the model is loaded once."""
        made = copy.copy(self)
        made._first, made._depth = (name, part), depth
        made._identity = {**self._identity, "of": [part.identity], "depth": depth}
        return made

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def _make(self, folder: Path) -> Mapping[str, Any]:
        lengths: list[int] = []
        dimension = 0
        with (folder / "vectors.npy").open("wb") as file:
            for window in _windows(self._index):
                made = self._model.passages(window)
                if not lengths:
                    dimension = made[0].shape[1]
                    _write_header(file, 0, dimension)
                lengths += [len(one) for one in made]
                for one in made:
                    file.write(one.tobytes())
            file.seek(0)
            _write_header(file, sum(lengths), dimension)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        np.save(folder / "starts.npy", starts, allow_pickle=False)
        return {"tokens": sum(lengths), "dimension": dimension}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """`score` is the sum of the greatest inner products."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        if self._first:
            name, part = self._first
            first = [with_rank(hits, name) for hits in part.retrieve(queries, k=max(k, self._depth))]
            parts = [{hit.passage.id: hit.parts for hit in hits} for hits in first]
            again = self.rank(queries, [[hit.passage for hit in hits] for hits in first])
            return [
                [Hit(hit.passage, hit.score, hit.rank, known[hit.passage.id]) for hit in hits[:k]]
                for hits, known in zip(again, parts, strict=True)
            ]
        found = []
        for query in queries:
            scores = self._scores(self._model.query(query))
            best = np.arange(len(scores))
            if len(best) > k:  # and all that score as much as the k-th, since their ids decide
                best = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
            passages = self._index.passages([int(self._rows[place]) for place in best])
            found.append(ranked(zip(scores[best].tolist(), passages, strict=True))[:k])
        return found

    def _scores(self, query: Vectors) -> npt.NDArray[np.float32]:
        """Of all passages, as many at a time as TOKENS holds."""
        scores: list[npt.NDArray[np.float32]] = []
        first, ends = 0, self._starts[1:]
        while first < len(ends):
            last = max(first + 1, int(np.searchsorted(ends, self._starts[first] + TOKENS, side="right")))
            begin = self._starts[first]
            scores.append(maxsim(query, self._vectors[begin : ends[last - 1]], self._starts[first:last] - begin))
            first = last
        return np.concatenate(scores)

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query; those of the index by the vectors that are kept of them."""
        if not self._places:
            # in place: those that read another retriever's hits share it
            self._places.update({passage.id: place for place, passage in enumerate(self._index)})
        found = []
        for query, passages in zip(queries, candidates, strict=True):
            vectors = self._vectors_of(passages)
            starts = np.cumsum([0, *(len(one) for one in vectors[:-1])])
            scores = maxsim(self._model.query(query), np.concatenate(vectors), starts).tolist() if vectors else []
            found.append(ranked(zip(scores, passages, strict=True)))
        return found

    def _vectors_of(self, passages: Sequence[Passage]) -> list[Vectors]:
        kept = [self._places.get(passage.id) for passage in passages]
        unknown = [passage for passage, place in zip(passages, kept, strict=True) if place is None]
        fresh = iter(self._model.passages(unknown) if unknown else [])
        return [
            next(fresh) if place is None else self._vectors[self._starts[place] : self._starts[place + 1]]
            for place in kept
        ]


def _write_header(file: Any, tokens: int, dimension: int) -> None:
    """That of numpy's format, which has the same length for any number: it is written again when that is known."""
    header = {"descr": "<f2", "fortran_order": False, "shape": (tokens, dimension)}
    np.lib.format.write_array_header_1_0(file, header)


def _windows(index: Index) -> Iterator[list[Passage]]:
    passages = iter(index)
    while window := list(itertools.islice(passages, WINDOW)):
        yield window
