"""Stored vectors in, nothing out where each finds itself; for an approximate index, what it loses against exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ragmed.errors import DamagedError, DataError
from ragmed.index.devices import parse_devices
from ragmed.index.search import Searcher
from ragmed.index.vectors import Layout, Vectors

SAMPLE = 1000
SEED = 7
EMBEDDED = 16  # passages that are embedded a second time
SAME = {"float32": 0.99, "bfloat16": 0.97}
"""The least cosine of a stored vector and the same passage embedded again. Between batches of another size MiniLM's
differ by 1e-7 in float32 and 3e-5 in bfloat16; passages of different abstracts were at 0.82 at most."""
HALF_ROUNDING = 1e-3
"""How far a stored vector's length may be from 1: half a unit in the last place of float16 is 2**-11, or 4.9e-4."""


def self_check(
    layout: Layout, *, factory: str, parameters: str, embed: Callable[[list[int]], Vectors], precision: str
) -> dict[str, Any]:
    """>>> self_check(layout, factory="Flat", parameters="", embed=embed, precision="float32")  # doctest: +SKIP
    {}

    Every stored vector must be of length 1, and 16 passages, embedded again (`embed`: rows in, vectors out), must give
    what is stored. Up to 1,000 passages drawn by seed are searched by their own vectors. In an exact index each must
    be the best (or one of equally near copies), in an approximate one among the best ten; else DamagedError (DataError
    for an approximate index, where the factory or its search parameters may be what is wrong). For an approximate
    index, returns `recall_at_10`: the part of the exact top ten that it finds, over the same sample.
    """
    exact = factory == "Flat"
    size = min(SAMPLE, layout.count)
    rows = np.sort(np.random.default_rng(SEED).choice(layout.count, size, replace=False)).astype(np.int64)
    searcher = Searcher(layout, factory=factory, devices=parse_devices("cpu"), parameters=parameters, resident=False)
    _require_length(layout)
    again = np.random.default_rng(SEED).choice(rows, min(EMBEDDED, size), replace=False)
    _require_same(searcher.vectors(again), embed(again.tolist()), again.tolist(), SAME[precision])
    vectors = searcher.vectors(rows)
    scores, found = searcher.search(vectors, k=1 if exact else 10)
    lost = []
    for i, row in enumerate(rows):
        own = float(searcher.exact(vectors[i], rows[i : i + 1])[0])
        if row not in found[i] and float(scores[i, 0]) < own:  # what scores as much is a copy, or nearly
            lost.append(int(row))
    if lost:
        raise (DamagedError if exact else DataError)(
            f"self-check failed: {len(lost)} of {size} passages are not found by their own vector "
            f"(rows {', '.join(map(str, lost[:5]))}); the index '{factory}' is too coarse or its files are wrong"
        )
    if exact:
        return {}
    _, truth = Searcher(layout, factory="Flat", devices=parse_devices("cpu"), streaming=True).search(vectors, k=10)
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return {"recall_at_10": round(hits / truth.size, 4), "sample": size, "search": parameters}


def _require_length(layout: Layout) -> None:
    for shard in range(layout.shards):
        for first, block in layout.blocks(shard):
            good = np.abs(np.linalg.norm(block, axis=1) - 1) <= HALF_ROUNDING  # False for NaN, too
            if not good.all():
                row = first + int(np.flatnonzero(~good)[0])
                raise DamagedError(
                    f"self-check failed: the vector of row {row} in '{layout.vectors(shard)}' is not of length 1"
                )


def _require_same(stored: Vectors, embedded: Vectors, rows: list[int], least: float) -> None:
    cosines = (stored * embedded).sum(axis=1)
    wrong = [row for row, cosine in zip(rows, cosines, strict=True) if not cosine >= least]
    if wrong:
        raise DamagedError(
            f"self-check failed: {len(wrong)} of {len(rows)} passages, embedded again, are not what is stored "
            f"(rows {', '.join(map(str, wrong[:5]))}, cosine down to {float(cosines.min()):.3f}); the stored vectors "
            "are damaged, or the embedder gives other vectors each time"
        )
