"""Queries in, the passages out whose learned weights of words fit: sparse neural retrieval, as SPLADE.

Paper: Formal, Piwowarski and Clinchant 2021, "SPLADE: Sparse Lexical and Expansion Model for First Stage Ranking",
SIGIR, section 3: a score is the inner product of two vectors as wide as the model's vocabulary, most of them zero.
Passages' weights are kept by word beside the index (`parts.py`) and mapped; scores are summed in float64, each query by
itself. No embedder is loaded. They are made in blocks of passages, each kept on disk until the whole is there: memory
does not grow with the index, and a kill costs one block.
"""

from __future__ import annotations

import io
import itertools
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.chunking import INPUT_VERSION, embedded_text, require_read_whole
from ragmed.embedding import cut_to_fit, torch_device
from ragmed.embedding.folders import limits_of, load_model, model_folder, model_identity, prompts_of
from ragmed.errors import DamagedError, DataError, ModelError, UsageError
from ragmed.files import exclusive, make_folder, write_atomic
from ragmed.index.store import Index
from ragmed.records import Hit, Passage
from ragmed.retrieval.parts import open_part, unfinished
from ragmed.retrieval.ranking import ranked

if TYPE_CHECKING:
    from ragmed.retrieval.spec import Resources, RetrieverSpec

BLOCK = 2048  # passages whose weights are made, and held in memory, at a time
Weights = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Numbers of words, in order, and their weights."""


class SparseModel:
    """
        model = SparseModel("path:models/splade")
        words, weights = model.query("What treats asthma?")

    `name`: `path:DIR` or `hf:ORG/NAME@REVISION`: a SparseEncoder of sentence-transformers, or a bare masked language
    model, which is pooled as SPLADE's. ModelError where it cannot be loaded.
    """

    def __init__(self, name: str, *, precision: str = "float32", device: str = "auto") -> None:
        self.name, self.device = name, torch_device(device)
        folder, revision = model_folder("sparse encoder", name)
        self._model = load_model(name, folder, precision, self.device, kind="SparseEncoder", what="sparse encoder")
        limits = limits_of(self._model)
        if not limits:
            raise ModelError(f"sparse encoder '{name}' does not say how many tokens it reads; set max_seq_length")
        self.max_tokens = min(limits)
        self._query_prompt, self._prompt = prompts_of(self._model)
        self.identity: Mapping[str, Any] = {
            **model_identity(folder, revision, precision),
            "max_tokens": self.max_tokens,
        }

    def passages(self, passages: Sequence[Passage]) -> list[Weights]:
        """DataError for a passage beyond what the model reads: it is never cut."""
        texts = [embedded_text(passage) for passage in passages]
        require_read_whole(passages, self._count(texts, self._prompt), most=self.max_tokens, by=self.name)
        return self._encode(self._model.encode_document, texts, self._prompt)

    def query(self, text: str) -> Weights:
        """A query longer than the model reads is encoded in pieces: of each word the greatest weight counts, as over
        the tokens of one piece."""
        pieces, _ = cut_to_fit([text], self.max_tokens, lambda some: self._count(some, self._query_prompt))
        found = [self._encode(self._model.encode_query, [piece], self._query_prompt)[0] for piece in pieces]
        best: dict[int, float] = {}
        for words, weights in found:
            for word, weight in zip(words.tolist(), weights.tolist(), strict=True):
                best[word] = max(best.get(word, weight), weight)
        order = sorted(best)
        return np.array(order, dtype=np.int64), np.array([best[word] for word in order], dtype=np.float32)

    def _count(self, texts: Sequence[str], prompt: str) -> list[int]:
        read = self._model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)
        return [len(ids) for ids in read["input_ids"]]

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str) -> list[Weights]:
        made: list[Weights] = []
        # one by one on a CPU: padding would change the last bits
        size = 1 if self.device == "cpu" else 32
        for first in range(0, len(texts), size):
            some = list(texts[first : first + size])
            rows = encode(
                some,
                prompt=prompt,
                batch_size=size,
                show_progress_bar=False,
                convert_to_sparse_tensor=True,
                save_to_cpu=True,
            ).coalesce()
            owners, words = rows.indices().numpy()
            weights = rows.values().float().numpy()
            if not np.isfinite(weights).all():
                raise DataError(f"sparse encoder '{self.name}' gave NaN or infinity; try precision: float32")
            for row in range(len(some)):
                mine = (owners == row) & (weights != 0)
                made.append((words[mine].astype(np.int64), weights[mine].astype(np.float32)))
        return made


class SparseRetriever:
    """Built by `make_retriever(RetrieverSpec("sparse", index="handbook", model="path:models/splade"), ...)`.

    A passage is read as its embedding is. Equal scores are ordered by passage id; a passage that shares no weighted
    word with the query is no hit. Weights are made at the first need (8 bytes each, of which SPLADE gives some hundred
    a passage). Raises DataError (a passage longer than the model reads), BusyError (another process makes them),
    DamagedError, ModelError.
    """

    VERSION = 1
    READS = ("index", "model", "precision")

    def __init__(self, index: Index, model: SparseModel) -> None:
        self._index, self._model = index, model
        self._identity = {
            "method": "sparse",
            "version": self.VERSION,
            "passages": index.contents,
            "text": INPUT_VERSION,
            "model": dict(model.identity),
        }
        folder, _ = open_part(index, self._identity, self._make)
        self._starts, self._places, self._weights = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("starts", "places", "weights")
        )
        self._rows = index.live_rows()

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> SparseRetriever:
        return cls(resources.index(spec.index), SparseModel(spec.model, precision=spec.precision))

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def _make(self, folder: Path) -> Mapping[str, Any]:
        mode = stat.S_IMODE(folder.parent.stat().st_mode)
        blocks = unfinished(self._index, self._identity)
        make_folder(blocks, mode=mode)
        with exclusive(blocks / ".lock", f"index '{self._index.manifest.name}' (its sparse weights are being made)"):
            kept = []
            for number, passages in enumerate(_windows(self._index)):
                kept.append(blocks / f"{number:08}.npz")
                if not kept[-1].exists():
                    write_atomic(kept[-1], _packed(self._model.passages(passages)), mode=mode & 0o666)
            facts = by_word(kept, folder)
        shutil.rmtree(blocks)
        return facts

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        """`score` is the inner product of the two vectors of weights."""
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        found = []
        for query in queries:
            scores = self._scores(self._model.query(query))
            best = np.flatnonzero(scores > 0)
            if len(best) > k:  # and all that score as much as the k-th, since their ids decide
                best = best[scores[best] >= np.partition(scores[best], -k)[-k]]
            passages = self._index.passages([int(self._rows[place]) for place in best])
            found.append(ranked(zip(scores[best].tolist(), passages, strict=True))[:k])
        return found

    def _scores(self, query: Weights) -> npt.NDArray[np.float32]:
        scores = np.zeros(len(self._rows), dtype=np.float64)
        for word, weight in zip(*query, strict=True):
            if word + 1 < len(self._starts):
                some = slice(int(self._starts[word]), int(self._starts[word + 1]))
                scores[self._places[some]] += self._weights[some].astype(np.float64) * float(weight)
        return scores.astype(np.float32)

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        """The given passages of each query; 0 for one that shares no weighted word."""
        found = []
        for query, passages in zip(queries, candidates, strict=True):
            asked = {int(word): float(weight) for word, weight in zip(*self._model.query(query), strict=True)}
            scores = []
            for words, weights in self._model.passages(passages):
                pairs = zip(words.tolist(), weights.tolist(), strict=True)
                shared = {word: weight * asked[word] for word, weight in pairs if word in asked}
                total = 0.0
                for word in sorted(shared):  # in the order of `_scores`, so that both give the same number
                    total += shared[word]
                scores.append(float(np.float32(total)))
            found.append(ranked(zip(scores, passages, strict=True)))
        return found


def by_word(blocks: Sequence[Path], folder: Path) -> Mapping[str, Any]:
    """Blocks of weights by passage in, `starts.npy`, `places.npy` and `weights.npy` by word out: of each word its
    passages in their order. DamagedError for a block that is not what was written."""
    counts = np.zeros(0, dtype=np.int64)
    for block in blocks:
        words, _, _ = _unpacked(block)
        more = np.bincount(words, minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    np.save(folder / "starts.npy", starts, allow_pickle=False)
    places = _array(folder / "places.npy", "<i4", int(starts[-1]))
    weights = _array(folder / "weights.npy", "<f4", int(starts[-1]))
    free, first = starts[:-1].copy(), 0
    for block in blocks:
        words, mine, lengths = _unpacked(block)
        order = np.argsort(words, kind="stable")
        here = np.bincount(words, minlength=len(free))
        into = np.repeat(free - (np.cumsum(here) - here), here) + np.arange(len(words))
        places[into] = np.repeat(np.arange(first, first + len(lengths)), lengths)[order]
        weights[into] = mine[order]
        free += here
        first += len(lengths)
    return {"weights": int(starts[-1])}


def _array(path: Path, kind: str, size: int) -> npt.NDArray[Any]:
    """An array on disk, to be filled; nothing maps an empty one."""
    if not size:
        np.save(path, np.zeros(0, dtype=kind), allow_pickle=False)
        return np.zeros(0, dtype=kind)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(kind), shape=(size,))


def _packed(made: Sequence[Weights]) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        words=np.concatenate([words for words, _ in made]),
        weights=np.concatenate([weights for _, weights in made]),
        lengths=np.array([len(words) for words, _ in made]),
    )
    return buffer.getvalue()


def _unpacked(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as block:
            return block["words"], block["weights"], block["lengths"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(f"'{path}' is not what was written ({error}); delete it, and it is made again") from error


def _windows(index: Index) -> Iterator[list[Passage]]:
    passages = iter(index)
    while window := list(itertools.islice(passages, BLOCK)):
        yield window
