"""Query vectors in, the best rows and their scores out: found by FAISS, torch or streaming, scored exactly.

A score is the inner product of the query with the stored float16 vector, or their negative squared distance (`l2`),
summed in float64 and rounded to float32, whichever way the row was found: higher is nearer. Equal scores are ordered by
row. So results do not depend on the batch, the number of threads, the device, or whether the vectors fitted into
memory.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ragmed.embedding import Metric
from ragmed.errors import UsageError
from ragmed.index.devices import CPU, Devices
from ragmed.index.faiss_search import FaissSearch
from ragmed.index.torch_search import CPU_ROUNDING, SHARE, TorchSearch
from ragmed.index.vectors import Layout, Vectors

Rows = npt.NDArray[np.int64]
SPARE = 16
"""Candidates beyond k that are asked for: float32 rounding and ties at the k-th place reorder only neighbours."""
WIDER = 8
"""How many times as many are asked for where that did not settle a query: copies of a passage, float16 rounding."""
HALF_ROUNDING = 1e-3
"""How far scores of unit vectors may be off where faiss-gpu rounds the query to float16: half a unit in its last place
is 2**-11, or 4.9e-4. Of longer vectors, this times what `_rounding` says."""


class Searcher:
    """Opened, then asked:

        Searcher(layout, factory="Flat").search(queries, k=10)

    `streaming`: exact search over the stored vectors in blocks, nothing held. `resident` False: FAISS shards are read
    one after the other and given back, for one pass over a large index. `share`: of a card's free memory that torch may
    keep vectors in. `dead`: rows that are never found. Every file is opened here and now: a build that puts others in
    their place does not reach a searcher that is at work.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        factory: str,
        devices: Devices = CPU,
        parameters: str = "",
        streaming: bool = False,
        resident: bool = True,
        share: float = SHARE,
        dead: Rows | None = None,
    ) -> None:
        self._layout = layout
        self._exact = factory == "Flat"
        self._alive = np.ones(layout.count, dtype=bool)
        self._alive[dead if dead is not None else []] = False
        self._living = int(self._alive.sum())
        _allow_files(3 * layout.shards)
        self._stored = [layout.open(shard) for shard in range(layout.shards)]
        self._unit_rounding = HALF_ROUNDING if devices.gpus and devices.way == "faiss" else CPU_ROUNDING
        self._torch = self._faiss = None
        if devices.way == "torch":
            self._torch = TorchSearch(self._stored, devices=devices.names, metric=layout.metric, share=share, dead=dead)
            self._unit_rounding = self._torch.rounding
        elif not streaming:
            self._faiss = FaissSearch(layout, devices=devices, parameters=parameters, resident=resident)

    def search(self, vectors: Vectors, *, k: int) -> tuple[Vectors, Rows]:
        """float32 [n, d] -> scores float32 and rows int64, both [n, min(k, living rows)], best first."""
        queries = self._checked(vectors, k)
        k = min(k, self._living)
        scores = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.zeros((len(queries), k), dtype=np.int64)
        if not k:
            return scores, rows
        open_ = np.arange(len(queries))
        for wanted in self._widths(k):
            found, floors = self._candidates(queries[open_], wanted)
            done = [
                self._settle(queries[query], found[i], float(floors[i]), scores[query], rows[query])
                for i, query in enumerate(open_)
            ]
            open_ = open_[~np.asarray(done, dtype=bool)]
            if not len(open_):
                break
        if len(open_):  # all of them when streaming; else those with a tie across the last candidates
            scores[open_], rows[open_] = self._stream(queries[open_], k)
        return scores, rows

    def _widths(self, k: int) -> list[int]:
        """How many candidates to ask for, first and where that was too few."""
        if self._torch is None and self._faiss is None:
            return []
        most = None if self._faiss is None else self._faiss.most
        room = self._living if most is None else most - (self._layout.count - self._living)
        widths = [k + SPARE, WIDER * (k + SPARE)] if self._exact else [k + SPARE]
        return list(dict.fromkeys(min(wanted, room) for wanted in widths)) if room >= k else []

    def _checked(self, vectors: Vectors, k: int) -> Vectors:
        if k < 1:
            raise UsageError(f"k must be at least 1, found {k}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self._layout.dimension:
            raise UsageError(f"queries of shape [n, {self._layout.dimension}] were expected, found {queries.shape}")
        if not np.isfinite(queries).all():
            raise UsageError("a query vector holds NaN or infinity")
        return queries

    def _candidates(self, queries: Vectors, wanted: int) -> tuple[Sequence[Rows], npt.NDArray[np.float64]]:
        """Rows for each query, and the score above which no other row of an exact index can be, but for rounding."""
        if self._torch is not None:
            scores, rows = self._torch.nearest(queries, wanted)
            if wanted >= self._living:
                return list(rows), np.full(len(queries), -np.inf)
            last = scores[:, -1].astype(np.float64)
            return list(rows), np.where(np.isfinite(last), last, np.inf)  # what is no number bounds nothing
        assert self._faiss is not None
        return self._faiss.candidates(queries, wanted, alive=self._alive)

    def _settle(self, query: Vectors, candidates: Rows, floor: float, scores: Vectors, rows: Rows) -> bool:
        """Fills one query's results from its candidates; False where rows beyond them could belong there too."""
        k = len(rows)
        if len(candidates) < k:
            return False
        exact = self.exact(query, candidates)
        best = _best(exact, candidates, k)
        scores[:], rows[:] = exact[best], candidates[best]
        return not self._exact or len(candidates) == self._living or float(scores[-1]) > floor + self._rounding(query)

    def _rounding(self, query: Vectors) -> float:
        length = float(np.linalg.norm(query))
        longest = self._layout.longest
        return self._unit_rounding * ((length + longest) ** 2 if self._layout.metric == "l2" else length * longest)

    def exact(self, query: Vectors, rows: Rows) -> Vectors:
        """Scores of some rows for one query, float32 [len(rows)]; each one the same whatever stands beside it."""
        gathered = np.empty((len(rows), self._layout.dimension), dtype=np.float64)
        shards = rows // self._layout.shard_size
        for shard in np.unique(shards):
            mask = shards == shard
            gathered[mask] = self._stored[int(shard)][rows[mask] - int(shard) * self._layout.shard_size]
        return exact_scores(query, gathered, metric=self._layout.metric)

    def vectors(self, rows: Rows) -> Vectors:
        """The stored vectors of some rows, float32 [n, d]."""
        size = self._layout.shard_size
        return np.stack([self._stored[int(row) // size][int(row) % size].astype(np.float32) for row in rows])

    def _stream(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        best_scores = [np.zeros(0, dtype=np.float32) for _ in queries]
        best_rows = [np.zeros(0, dtype=np.int64) for _ in queries]
        for shard in range(self._layout.shards):
            for first, block in self._layout.blocks(shard, self._stored[shard]):
                living = np.flatnonzero(self._alive[first : first + len(block)])
                if len(living) < len(block):
                    block = block[living]
                for i, line in _rough_scores(queries, block, self._layout.metric):
                    at = np.flatnonzero(line >= _threshold(line, best_scores[i], k) - self._rounding(queries[i]))
                    if not len(at):
                        continue
                    fresh = exact_scores(queries[i], block[at], metric=self._layout.metric)
                    scores = np.concatenate([best_scores[i], fresh])
                    rows = np.concatenate([best_rows[i], living[at].astype(np.int64) + first])
                    order = _best(scores, rows, k)
                    best_scores[i], best_rows[i] = scores[order], rows[order]
        return np.stack(best_scores), np.stack(best_rows)


def _allow_files(wanted: int) -> None:
    """Lifts this process's limit of open files where a large index needs more; no further than the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 256  # for everything else that is open
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def exact_scores(query: Vectors, vectors: npt.NDArray[np.floating[Any]], *, metric: Metric) -> Vectors:
    """
    >>> exact_scores(np.float32([3, 0]), np.float32([[1, 1], [3, 0]]), metric="l2").tolist()
    [-5.0, 0.0]

    One query [d] and vectors [n, d] -> float32 [n], summed in float64; higher is nearer.
    """
    asked, stored = query.astype(np.float64), vectors.astype(np.float64)
    wide = 0.0 - ((stored - asked) ** 2).sum(axis=1) if metric == "l2" else (stored * asked).sum(axis=1)
    scores: Vectors = wide.astype(np.float32)
    return scores


def _rough_scores(queries: Vectors, block: Vectors, metric: Metric) -> Iterator[tuple[int, Vectors]]:
    """The number of each query and its float32 scores over a block; 1,024 queries at a time, 32 MB for 8,192 rows."""
    squares = (block**2).sum(axis=1) if metric == "l2" else None
    for first in range(0, len(queries), 1024):
        some = queries[first : first + 1024]
        products = some @ block.T
        if squares is not None:
            products = 2 * products - squares - (some**2).sum(axis=1, keepdims=True)
        yield from enumerate(products, first)


def _threshold(line: Vectors, best: Vectors, k: int) -> float:
    """What a row of this block must reach to be among the best k so far: no row below can be."""
    if len(best) >= k:
        return float(best[-1])
    return float(np.partition(line, -k)[-k]) if len(line) > k else -np.inf


def _best(scores: Vectors, rows: Rows, k: int) -> npt.NDArray[np.intp]:
    return np.lexsort((rows, -scores))[:k]
