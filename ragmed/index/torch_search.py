"""Exact nearest neighbours by torch, on one card, on several, or on a CPU: stored float16 rows in, scores and rows out.

It needs no faiss, so it runs beside any CUDA that torch has. Rows that fit are kept on the card; the others are copied
there block by block, each block while the one before it is multiplied. Three things make it exact and quick:

- A query is split into two float16 halves (its rounded value and the rest), laid side by side, and every block is
  laid beside itself: one float16 product with float32 sums then gives scores as exact as float32 throughout.
- The best k of a block lie in the k groups of 128 with the largest best scores: one reading of the scores and a small
  sort stand in for a sort of all.
- A block's best are merged into the running best; nothing waits for the card before the last block.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.embedding import Metric
from ragmed.index.vectors import give_back

if TYPE_CHECKING:
    import torch

    from ragmed.index.vectors import Vectors

    Rows = npt.NDArray[np.int64]
    Stored = npt.NDArray[np.float16] | torch.Tensor

ON_CARDS = ("cuda",)
GROUP = 128  # scores of which only the largest is looked at first
QUERIES = 4096  # at a time
SCORES = 1 << 30  # bytes of scores at a time
COPIED = 1 << 28  # bytes of vectors copied to a card at a time
SHARE = 0.5  # of a card's free memory that vectors may take: models come to the same card
CPU_ROUNDING = 1e-5  # more than float32 sums of unit vectors can be off (measured below 1e-6 at 1,024 dimensions)
LARGEST = 256.0  # to which a query is scaled before it is split, so that its second half is far from float16's smallest


class TorchSearch:
    """
    >>> stored = np.float16([[1, 0], [0, 1], [0.6, 0.8]])
    >>> TorchSearch([stored], devices=["cpu"]).nearest(np.float32([[0.0, 2.0]]), k=2)[1].tolist()
    [[1, 2]]

    `shards`: float16 [rows, d] each, arrays (memory-mapped ones are read block by block) or tensors, which may lie on
    the card already; rows count through them. `devices`: torch's names; the shards are split between them by rows.
    `held`: the most bytes of vectors kept on each device, None for the `share` of what is free there at the first
    search, and for nothing on a CPU. `dead`: rows that are never found.
    """

    def __init__(
        self,
        shards: Sequence[Stored],
        *,
        devices: Sequence[str],
        metric: Metric = "inner_product",
        held: int | None = None,
        share: float = SHARE,
        dead: Rows | None = None,
    ) -> None:
        self.count = sum(len(shard) for shard in shards)
        deleted = np.zeros(0, dtype=np.int64) if dead is None else np.sort(dead)
        self.living = self.count - len(deleted)
        pieces = _split(shards, deleted, len(devices))
        self._cards = [_Card(own, device, metric, held, share) for own, device in zip(pieces, devices, strict=True)]

    def nearest(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """float32 [n, d] -> scores float32 and rows int64, both [n, min(k, living rows)], best first, then by row.

        A score is the inner product, or the negative squared distance, within `rounding` times the lengths' product
        (l2: the square of their sum). Of rows with one score at the last place any may be left out.
        """
        k = min(k, self.living)
        if not k or not len(queries):
            return np.zeros((len(queries), k), dtype=np.float32), np.zeros((len(queries), k), dtype=np.int64)
        with _wide_sums(), ThreadPoolExecutor(len(self._cards)) as threads:
            found = list(threads.map(lambda card: card.nearest(queries, k), self._cards))
        scores = np.concatenate([part for part, _ in found], axis=1)
        rows = np.concatenate([part for _, part in found], axis=1)
        best = np.lexsort((rows, -scores))[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    @property
    def rounding(self) -> float:
        """A bound of how far a score of unit vectors may be off: on a CPU float32 sums; on a card each of 2d products
        may lose half a unit of the last place, because tensor cores cut partial sums off instead of rounding them."""
        return max(card.rounding for card in self._cards)

    @property
    def held(self) -> list[int]:
        """Bytes of vectors that each device keeps, once searched."""
        return [card.held for card in self._cards]


@dataclass(slots=True)
class _Piece:
    """Rows that follow each other. `source`: the array they come from, where they are read from disk."""

    first: int
    vectors: torch.Tensor
    dead: npt.NDArray[np.int64]
    source: npt.NDArray[np.float16] | None = None

    def cut(self, at: int) -> tuple[_Piece, _Piece]:
        before = self.dead < at
        return (
            _Piece(self.first, self.vectors[:at], self.dead[before], self.source),
            _Piece(self.first + at, self.vectors[at:], self.dead[~before] - at, self.source),
        )


def _split(shards: Sequence[Stored], dead: Rows, parts: int) -> list[list[_Piece]]:
    """The pieces of each part, about as many rows in each."""
    share = -(-sum(len(shard) for shard in shards) // parts) or 1
    pieces: list[list[_Piece]] = [[] for _ in range(parts)]
    first = 0
    for shard in shards:
        own = dead[(dead >= first) & (dead < first + len(shard))] - first
        piece = _Piece(first, _tensor(shard), own, shard if isinstance(shard, np.ndarray) else None)
        first += len(shard)
        while len(piece.vectors):
            part = piece.first // share
            piece, rest = piece.cut(min(len(piece.vectors), (part + 1) * share - piece.first))
            pieces[part].append(piece)
            piece = rest
    return pieces


def _tensor(shard: Stored) -> torch.Tensor:
    import torch

    if isinstance(shard, torch.Tensor):
        return shard
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nobody writes to it
        return torch.from_numpy(shard)


class _Card:
    """One device and its pieces."""

    def __init__(self, pieces: list[_Piece], device: str, metric: Metric, held: int | None, share: float) -> None:
        import torch

        self._device = torch.device(device)
        if self._device.type == "cuda" and self._device.index is None:  # "cuda" is no tensor's device, "cuda:0" is
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._pieces = pieces
        self._l2 = metric == "l2"
        self._most, self._share = held, share
        self._placed = False
        self.held = 0

    @property
    def rounding(self) -> float:
        width = self._pieces[0].vectors.shape[1] if self._pieces else 0
        return max(CPU_ROUNDING, 2 * width * 2.0**-23) if self._device.type == "cuda" else CPU_ROUNDING

    def nearest(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        import torch

        living = sum(len(piece.vectors) - len(piece.dead) for piece in self._pieces)
        k = min(k, living)
        if not k:
            return np.zeros((len(queries), 0), dtype=np.float32), np.zeros((len(queries), 0), dtype=np.int64)
        with torch.inference_mode(), _on(self._device):
            self._place()
            asked = torch.as_tensor(queries, dtype=torch.float32).to(self._device)
            halves, scale = split_halves(asked)
            scores = torch.full((len(queries), k), -torch.inf, device=self._device)
            rows = torch.full((len(queries), k), -1, dtype=torch.int64, device=self._device)
            chunks = [slice(first, first + QUERIES) for first in range(0, len(queries), QUERIES)]
            for first, block, dead in self._blocks(min(len(queries), QUERIES), k):
                doubled = torch.cat([block, block], dim=1).T
                squares = torch.linalg.vector_norm(block, dim=1, dtype=torch.float32).square() if self._l2 else None
                for chunk in chunks:
                    products = _product(halves[chunk], doubled)
                    if squares is not None:
                        products.addr_(scale[chunk], squares, alpha=-0.5)
                    if dead is not None:
                        products.index_fill_(1, dead, -torch.inf)
                    _merge(scores[chunk], rows[chunk], *_best(products, k), first)
            scores /= scale[:, None]
            if self._l2:
                scores = 2 * scores - asked.square().sum(dim=1, keepdim=True)
            return scores.cpu().numpy(), rows.cpu().numpy()

    def _place(self) -> None:
        """Keeps what may be kept on the device, at the first search: models may have come to it since the opening."""
        if self._placed:
            return
        import torch

        most = self._most
        if most is None:
            cuda = self._device.type == "cuda"
            most = int(self._share * torch.cuda.mem_get_info(self._device)[0]) if cuda else 0
        placed: list[_Piece] = []
        for piece in self._pieces:
            size = piece.vectors.shape[1] * 2
            if piece.source is None and piece.vectors.device == self._device:
                self.held += len(piece.vectors) * size
                placed.append(piece)
                continue
            kept, rest = piece.cut(min(len(piece.vectors), (most - self.held) // size if most > self.held else 0))
            if len(kept.vectors):
                kept.vectors = kept.vectors.to(self._device, copy=True)
                kept.source = None
                self.held += len(kept.vectors) * size
                placed.append(kept)
            if len(rest.vectors):
                placed.append(rest)
        self._pieces, self._placed = placed, True

    def _blocks(self, queries: int, k: int) -> Iterator[tuple[int, torch.Tensor, torch.Tensor | None]]:
        """First row, float16 vectors on the device, and the dead among them; as many rows as the scores have room."""
        import torch

        width = self._pieces[0].vectors.shape[1]
        # of a block's scores, the groups of the best k are copied once more
        scores = SCORES // (2 if k * GROUP < SCORES // (4 * queries) else 3)
        rows = max(GROUP, min(scores // (4 * queries), COPIED // (2 * width)) // GROUP * GROUP)
        copies = _copies(self._device, rows, width) if self._device.type == "cuda" else None
        for piece in self._pieces:
            here = piece.vectors.device == self._device
            for start in range(0, len(piece.vectors), rows):
                block = piece.vectors[start : start + rows]
                some = piece.dead[(piece.dead >= start) & (piece.dead < start + rows)] - start
                dead = torch.from_numpy(some).to(self._device) if len(some) else None
                if here or copies is None:
                    yield piece.first + start, block, dead
                else:
                    with next(copies) as copy:
                        yield piece.first + start, copy(block), dead
                if piece.source is not None:
                    give_back(piece.source)


def _copies(device: torch.device, rows: int, width: int) -> Iterator[Any]:
    """Endless turns of two buffers. While the card multiplies what is in one, the next block goes into the other: the
    copy runs on a stream of its own, and a turn waits only until the product of two turns before is done."""
    import torch

    cuda: Any = torch.cuda  # its streams and events have no types
    copying = cuda.Stream(device)
    pinned = [torch.empty((rows, width), dtype=torch.float16, pin_memory=True) for _ in range(2)]
    on_card = [torch.empty((rows, width), dtype=torch.float16, device=device) for _ in range(2)]
    used = [cuda.Event() for _ in range(2)]
    copying.wait_stream(torch.cuda.current_stream(device))  # the memory may have been in use before

    @contextlib.contextmanager
    def turn(slot: int) -> Iterator[Any]:
        def copy(block: torch.Tensor) -> torch.Tensor:
            used[slot].synchronize()
            pinned[slot][: len(block)].copy_(block)
            with torch.cuda.stream(copying):
                on_card[slot][: len(block)].copy_(pinned[slot][: len(block)], non_blocking=True)
            torch.cuda.current_stream(device).wait_stream(copying)
            return on_card[slot][: len(block)]

        yield copy
        used[slot].record(torch.cuda.current_stream(device))

    number = 0
    while True:
        yield turn(number % 2)
        number += 1


def split_halves(queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [n, d] -> float16 [n, 2d], and the factor of each query, float32 [n], a power of two.

    The left half is the query times its factor, rounded; the right half is what rounding took away. Their sum differs
    from the scaled query by at most 2**-22 of its largest number.
    """
    import torch

    largest = queries.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    # no further than that the square of any length, times it, stays a number
    scale = torch.exp2(torch.floor(torch.log2(LARGEST / largest)).clamp(-60, 60))
    scaled = queries * scale[:, None]
    rounded = scaled.half()
    return torch.cat([rounded, (scaled - rounded.float()).half()], dim=1), scale


def _product(halves: torch.Tensor, doubled: torch.Tensor) -> torch.Tensor:
    """float16 [n, 2d] by [2d, m] -> float32 [n, m], summed in float32."""
    import torch

    if halves.device.type in ON_CARDS:
        return torch.mm(halves, doubled, out_dtype=torch.float32)
    return halves.float() @ doubled.float()


def _best(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best k of each line, float32, and their places; fewer where the line is shorter."""
    import torch

    groups, rest = divmod(scores.shape[1], GROUP)
    if groups <= k:
        best = scores.topk(min(k, scores.shape[1]), dim=1)
        return best.values, best.indices
    whole = scores[:, : groups * GROUP].view(len(scores), groups, GROUP)
    chosen = whole.amax(dim=2).topk(k, dim=1).indices
    members = whole.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    best = members.topk(k, dim=1)
    values, places = best.values, chosen.gather(1, best.indices // GROUP) * GROUP + best.indices % GROUP
    if not rest:
        return values, places
    last = scores[:, groups * GROUP :].topk(min(k, rest), dim=1)
    both = torch.cat([values, last.values], dim=1).topk(k, dim=1)
    return both.values, torch.cat([places, last.indices + groups * GROUP], dim=1).gather(1, both.indices)


def _merge(scores: torch.Tensor, rows: torch.Tensor, found: torch.Tensor, places: torch.Tensor, first: int) -> None:
    """Puts a block's best among the best so far, in place."""
    import torch

    best = torch.cat([scores, found], dim=1).topk(scores.shape[1], dim=1)
    rows.copy_(torch.cat([rows, places + first], dim=1).gather(1, best.indices))
    scores.copy_(best.values)


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def _wide_sums() -> Iterator[None]:
    """No part of a float16 product is summed in float16."""
    import torch

    settings = torch.backends.cuda.matmul
    before = settings.allow_fp16_reduced_precision_reduction
    settings.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.allow_fp16_reduced_precision_reduction = before
