"""Stored vectors in, nothing out where each finds itself; for an approximate index, what it loses against exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ragmed.embedding import Fingerprint
from ragmed.errors import DamagedError, DataError
from ragmed.index.devices import CPU, Devices, torch_gpus
from ragmed.index.manifest import Approximation
from ragmed.index.search import Searcher
from ragmed.index.vectors import Layout, Vectors
from ragmed.text_table import counted, plural, verb

SAMPLE = 1000
SEED = 7
EMBEDDED = 16  # passages that are embedded a second time
SAME = {"float32": 0.99, "float16": 0.99, "bfloat16": 0.97}
"""The least cosine of a stored vector and the same passage embedded again. Between batches of another size MiniLM's
differ by 1e-7 in float32 and 3e-5 in bfloat16; float16 rounds finer. Passages of different abstracts were at 0.82 at
most."""
READY = 0.9
"""The same of a ready-made vector, which may be of a text with other blanks or marks between its parts."""
HALF_ROUNDING = 1e-3
"""How far a stored vector's length may be from 1: half a unit in the last place of float16 is 2**-11, or 4.9e-4."""


def self_check(
    layout: Layout,
    *,
    factory: str,
    parameters: str,
    embed: Callable[[list[int]], Vectors],
    fingerprint: Fingerprint,
    devices: Devices = CPU,
    ready: bool = False,
) -> tuple[float, Approximation | None]:
    """Out: the length of the longest vector, and what an approximate index loses:

        longest, lost = self_check(layout, factory="Flat", parameters="", embed=embed, fingerprint=fingerprint)

    Every stored vector must be of length 1 where the embedder normalises, and of finite numbers everywhere; 16
    passages, embedded again (`embed`: rows in, vectors out), must give what is stored. Up to 1,000 passages drawn by
    seed are searched by their own vectors. In an exact index each must be the best, or what is better must score more
    (copies, and longer vectors under the inner product), in an approximate one among the best ten; else DamagedError
    (DataError for an approximate index, where the factory or its search parameters may be what is wrong). Of an
    approximate index the recall is measured: the part of the exact top ten that it finds, over the same sample, on
    a GPU against torch's search. `devices`: where all this is searched. `ready`: vectors may be ready-made, of texts
    put together a little otherwise, so that they must be alike only (cosine 0.9); DataError where they are not.
    """
    exact = factory == "Flat"
    size = min(SAMPLE, layout.count)
    rows = np.sort(np.random.default_rng(SEED).choice(layout.count, size, replace=False)).astype(np.int64)
    layout = replace(layout, longest=_longest(layout, normalised=fingerprint.normalise))
    searcher = Searcher(layout, factory=factory, devices=devices, parameters=parameters, resident=False)
    again = np.random.default_rng(SEED).choice(rows, min(EMBEDDED, size), replace=False)
    least = READY if ready else SAME[fingerprint.precision]
    require_same(searcher.vectors(again), embed(again.tolist()), again.tolist(), least, ready=ready)
    vectors = searcher.vectors(rows)
    scores, nearest = searcher.search(vectors, k=1 if exact else 10)
    lost = []
    for i, row in enumerate(rows):
        own = float(searcher.exact(vectors[i], rows[i : i + 1])[0])
        if row not in nearest[i] and float(scores[i, 0]) < own:  # what scores as much is a copy, or nearly
            lost.append(int(row))
    if lost:
        raise (DamagedError if exact else DataError)(
            f"self-check failed: {len(lost)} of {counted(size, 'passage')} {verb(len(lost), 'is', 'are')} not found by "
            f"{verb(len(lost), 'its', 'their')} own vector "
            f"(rows {', '.join(map(str, lost[:5]))}); the index '{factory}' is too coarse or its files are wrong"
        )
    if exact:
        return layout.longest, None
    over_all = Devices(devices.gpus, "torch") if devices.gpus and max(devices.gpus) < torch_gpus() else CPU
    _, truth = Searcher(layout, factory="Flat", devices=over_all, streaming=True).search(vectors, k=10)
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(nearest, truth, strict=True))
    return layout.longest, Approximation(round(hits / truth.size, 4), size, parameters)


def _longest(layout: Layout, *, normalised: bool) -> float:
    longest = 0.0
    for shard in range(layout.shards):
        for first, block in layout.blocks(shard):
            lengths = np.linalg.norm(block, axis=1)
            good = np.abs(lengths - 1) <= HALF_ROUNDING if normalised else np.isfinite(lengths)  # False for NaN, too
            if not good.all():
                row = first + int(np.flatnonzero(~good)[0])
                wrong = "is not of length 1" if normalised else "is not of finite numbers"
                raise DamagedError(f"self-check failed: the vector of row {row} in '{layout.vectors(shard)}' {wrong}")
            longest = max(longest, float(lengths.max()))
    return longest


def require_same(stored: Vectors, embedded: Vectors, rows: list[int], least: float, *, ready: bool) -> None:
    """DamagedError where a stored vector is not its passage's, embedded again; DataError where it is a ready-made one.

    `stored`, `embedded`: [n, dimension], of `rows`; `least`: the least cosine, and how near to 1 the ratio of lengths.
    """
    lengths, again = np.linalg.norm(stored, axis=1), np.linalg.norm(embedded, axis=1)
    cosines = (stored * embedded).sum(axis=1) / np.maximum(lengths * again, np.finfo(np.float32).tiny)
    same = (cosines >= least) & (np.abs(lengths / again - 1) <= 1 - least)
    wrong = [row for row, equal in zip(rows, same, strict=True) if not equal]
    if wrong and ready:
        raise DataError(
            f"self-check failed: {len(wrong)} of {counted(len(rows), 'passage')}, embedded here, "
            f"{verb(len(wrong), 'is', 'are')} not what {verb(len(wrong), 'its', 'their')} ready-made "
            f"{plural('vector', len(wrong))} {verb(len(wrong), 'says', 'say')} "
            f"(cosine down to {float(cosines.min()):.3f}); name the model that made these, with its "
            "encoding, or leave 'vectors' out"
        )
    if wrong:
        raise DamagedError(
            f"self-check failed: {len(wrong)} of {counted(len(rows), 'passage')}, embedded again, "
            f"{verb(len(wrong), 'is', 'are')} not what is stored "
            f"(rows {', '.join(map(str, wrong[:5]))}, cosine down to {float(cosines.min()):.3f}); the stored vectors "
            "are damaged, or the embedder gives other vectors each time"
        )
