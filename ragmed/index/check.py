"""Stored vectors in, nothing out where each finds itself; for an approximate index, what it loses against exact."""

from __future__ import annotations

from typing import Any

import numpy as np

from ragmed.errors import DataError
from ragmed.index.devices import parse_devices
from ragmed.index.search import Searcher
from ragmed.index.vectors import Layout

SAMPLE = 1000
SEED = 7
HALF_ROUNDING = 2e-3
"""float16 keeps lengths to about 1e-3, so a near-copy of a passage may score that much above the passage itself."""


def self_check(layout: Layout, *, factory: str, parameters: str) -> dict[str, Any]:
    """>>> self_check(layout, factory="Flat", parameters="")  # doctest: +SKIP
    {}

    Up to 1,000 passages drawn by seed are searched by their own vectors. In an exact index each must be the best
    (or one of equally near copies), in an approximate one among the best ten; else DataError. For an approximate
    index, returns `recall_at_10`: the part of the exact top ten that it finds, over the same sample.
    """
    exact = factory == "Flat"
    size = min(SAMPLE, layout.count)
    rows = np.sort(np.random.default_rng(SEED).choice(layout.count, size, replace=False)).astype(np.int64)
    searcher = Searcher(layout, factory=factory, devices=parse_devices("cpu"), parameters=parameters, resident=False)
    vectors = searcher.vectors(rows)
    scores, found = searcher.search(vectors, k=1 if exact else 10)
    lost = []
    for i, row in enumerate(rows):
        own = float(searcher.exact(vectors[i], rows[i : i + 1])[0])
        near_copy = 0 <= float(scores[i, 0]) - own <= HALF_ROUNDING
        if row not in found[i] and not near_copy:
            lost.append(int(row))
    if lost:
        raise DataError(
            f"self-check failed: {len(lost)} of {size} passages are not found by their own vector "
            f"(rows {', '.join(map(str, lost[:5]))}); the index '{factory}' is too coarse or its files are wrong"
        )
    if exact:
        return {}
    _, truth = Searcher(layout, factory="Flat", devices=parse_devices("cpu"), streaming=True).search(vectors, k=10)
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return {"recall_at_10": round(hits / truth.size, 4), "sample": size, "search": parameters}
