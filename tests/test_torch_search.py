"""Exact search by torch finds what FAISS finds: held or streamed, on one device or several, whatever is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from ragmed.index import torch_search
from ragmed.index.devices import Devices
from ragmed.index.search import Searcher
from ragmed.index.torch_search import TorchSearch, split_halves
from ragmed.index.vectors import Layout

WIDTH = 48


def random_vectors(count: int, *, seed: int = 0, lengths: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * rng.uniform(0.1, 30, size=(count, 1)).astype(np.float32) if lengths else vectors


def by_faiss(stored: np.ndarray, queries: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    index = faiss.IndexFlatL2(WIDTH) if metric == "l2" else faiss.IndexFlatIP(WIDTH)
    index.add(stored.astype(np.float32))
    scores, rows = index.search(queries, k)
    return (-scores if metric == "l2" else scores), rows


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_100_000_vectors_against_faiss(metric: Any) -> None:
    stored = random_vectors(100_000).astype(np.float16)
    queries = random_vectors(50, seed=1)
    scores, rows = TorchSearch([stored], devices=["cpu"], metric=metric).nearest(queries, 32)
    expected_scores, expected_rows = by_faiss(stored, queries, 32, metric)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, atol=2e-6)


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("devices", [1, 3])
@pytest.mark.parametrize("held", [0, 40_000, None])
def test_shards_larger_than_a_memory_bound_on_several_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Any, devices: int, held: int | None
) -> None:
    """Three shards read from disk in blocks of 256 rows, of which each device keeps about 400."""
    monkeypatch.setattr(torch_search, "COPIED", 256 * WIDTH * 2)
    monkeypatch.setattr(torch_search, "QUERIES", 7)
    stored = random_vectors(2_900, lengths=True).astype(np.float16)
    shards = []
    for number, part in enumerate(np.split(stored, [1000, 2000])):
        np.save(tmp_path / f"{number}.npy", part)
        shards.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    dead = np.array([0, 255, 256, 999, 1000, 1500, 2899])
    search = TorchSearch(shards, devices=["cpu"] * devices, metric=metric, held=held, dead=dead)
    queries = random_vectors(20, seed=2, lengths=True)
    scores, rows = search.nearest(queries, 40)
    alive = np.setdiff1d(np.arange(len(stored)), dead)
    expected_scores, expected = by_faiss(stored[alive], queries, 40, metric)
    np.testing.assert_array_equal(rows, alive[expected])
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-3)
    assert search.held == [(held or 0) // (2 * WIDTH) * (2 * WIDTH)] * devices


def test_more_neighbours_than_rows_or_groups() -> None:
    stored = random_vectors(1_000).astype(np.float16)
    queries = random_vectors(3, seed=1)
    search = TorchSearch([stored], devices=["cpu", "cpu"], dead=np.arange(10))
    for k in (1, 200, 990, 5_000):
        scores, rows = search.nearest(queries, k)
        assert rows.shape == (3, min(k, 990))
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_array_equal(rows, by_faiss(stored[10:], queries, min(k, 990), "inner_product")[1] + 10)
    assert search.nearest(queries[:0], 5)[1].shape == (0, 5)
    assert TorchSearch([stored[:2]], devices=["cpu"], dead=np.arange(2)).nearest(queries, 5)[1].shape == (3, 0)


def test_a_tensor_that_lies_on_the_device_stays_where_it_is() -> None:
    stored = torch.from_numpy(random_vectors(500).astype(np.float16))
    search = TorchSearch([stored], devices=["cpu"], held=0)
    search.nearest(random_vectors(2, seed=1), 3)
    assert search.held == [500 * WIDTH * 2]
    assert search._cards[0]._pieces[0].vectors.data_ptr() == stored.data_ptr()


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e4])
def test_two_float16_halves_are_as_exact_as_float32(length: float) -> None:
    queries = torch.from_numpy(random_vectors(200, seed=4)) * length
    halves, scale = split_halves(queries)
    assert halves.dtype == torch.float16
    stored = torch.from_numpy(random_vectors(300, seed=5)).half().double()
    exact = queries.double() @ stored.T
    products = halves.double() @ torch.cat([stored, stored], dim=1).T / scale[:, None]
    assert float((products - exact).abs().max()) < 1e-6 * length
    one_half = queries.half().double() @ stored.T
    assert float((one_half - exact).abs().max()) > 10 * float((products - exact).abs().max())


class Card:
    """Stands in for torch.cuda: what is queued runs at once, and every call is noted with the stream it is on."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []
        self.on = "compute"
        self.events = 0

    def Stream(self, device: Any = None) -> Any:
        return CardStream(self, "copy")

    def current_stream(self, device: Any = None) -> Any:
        return CardStream(self, self.on)

    def Event(self) -> Any:
        self.events += 1
        return CardEvent(self, f"event {self.events}")

    @contextmanager
    def stream(self, stream: CardStream) -> Iterator[None]:
        before, self.on = self.on, stream.name
        yield
        self.on = before


@dataclass
class CardStream:
    card: Card
    name: str

    def wait_stream(self, other: CardStream) -> None:
        self.card.log.append((self.name, "waits for", other.name))


@dataclass
class CardEvent:
    card: Card
    name: str

    def synchronize(self) -> None:
        self.card.log.append(("host", "waits for", self.name))

    def record(self, stream: CardStream) -> None:
        self.card.log.append((stream.name, "records", self.name))


def test_blocks_take_turns_in_two_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies of a card, by a double: the right rows in the right order, no buffer filled before the product that
    read it is over, no product begun before its copy is, and the copies on a stream of their own."""
    card, empty, copy_ = Card(), torch.empty, torch.Tensor.copy_

    def noted(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        card.log.append((card.on if non_blocking else "host", "copies"))
        return copy_(target, source)

    monkeypatch.setattr(torch, "cuda", card)
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **rest: empty(*a, **rest))
    monkeypatch.setattr(torch.Tensor, "copy_", noted)
    copies = torch_search._copies(torch.device("cpu"), 4, WIDTH)
    blocks = torch.from_numpy(random_vectors(14)).half().split(4)
    seen = []
    for block in blocks:
        with next(copies) as copy:
            on_card = copy(block)
            assert torch.equal(on_card, block)
            seen.append(on_card.data_ptr())
            card.log.append(("compute", "multiplies"))
    assert seen[0] == seen[2] != seen[1] == seen[3]
    turn = [
        [
            ("host", "waits for", event),
            ("host", "copies"),
            ("copy", "copies"),
            ("compute", "waits for", "copy"),
            ("compute", "multiplies"),
            ("compute", "records", event),
        ]
        for event in ("event 1", "event 2")
    ]
    assert card.log == [("copy", "waits for", "compute"), *turn[0], *turn[1], *turn[0], *turn[1]]


def test_the_product_on_a_card_is_of_float16_with_float32_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on CUDA only, as far as torch can check it without: shapes, types, and what is forbidden meanwhile."""
    asked: list[Any] = []
    mm = torch.mm

    def noted(left: torch.Tensor, right: torch.Tensor, **more: Any) -> torch.Tensor:
        asked.append((more, torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction))
        return mm(left, right, **more)

    monkeypatch.setattr(torch, "mm", noted)
    halves = torch.empty(2, 8, dtype=torch.float16, device="meta")
    monkeypatch.setattr(torch_search, "ON_CARDS", ("cuda", "meta"))
    before = torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    with torch_search._wide_sums():
        product = torch_search._product(halves, torch.empty(5, 8, dtype=torch.float16, device="meta").T)
    assert (product.shape, product.dtype) == ((2, 5), torch.float32)
    assert asked == [({"out_dtype": torch.float32}, False)]
    assert torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction is before


def test_a_card_without_a_number_is_the_one_that_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors that lie on cuda:0 are at home on "cuda": else all would be copied there again."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    search = TorchSearch([random_vectors(4).astype(np.float16)], devices=["cuda", "cuda:0"])
    assert [card._device for card in search._cards] == [torch.device("cuda:1"), torch.device("cuda:0")]
    assert search.rounding == 1e-5 + max(0.0, 2 * WIDTH * 2.0**-23 - 1e-5)


def test_a_query_of_no_length_and_long_vectors() -> None:
    """Scores that are no numbers settle nothing: then the rows are read as they are stored."""
    stored = random_vectors(300, lengths=True).astype(np.float16) * np.float16(1_000)
    search = TorchSearch([stored], devices=["cpu"], metric="l2")
    queries = np.stack([np.zeros(WIDTH), np.full(WIDTH, 1e-30), random_vectors(1, seed=1)[0]]).astype(np.float32)
    expected = by_faiss(stored, queries, 5, "l2")
    scores, rows = search.nearest(queries, 5)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(rows, expected[1])


@pytest.mark.parametrize("k", [1, 7, 40, 300])
def test_the_best_of_groups_are_the_best_of_all(k: int) -> None:
    for columns in (5, 128, 1_000, 128 * 9, 128 * 9 + 1, 5_000):
        scores = torch.randn(6, columns, generator=torch.Generator().manual_seed(columns))
        values, places = torch_search._best(scores, k)
        expected = scores.topk(min(k, columns), dim=1)
        assert torch.equal(values, expected.values)
        assert torch.equal(places, expected.indices)


def test_copies_of_a_passage_beyond_the_candidates(tmp_path: Path) -> None:
    """200 equal vectors: more than are asked for at first, and fewer than when it is asked again."""
    stored = random_vectors(600).astype(np.float16)
    stored[100:300] = stored[100]
    (tmp_path / "vectors").mkdir()
    np.save(tmp_path / "vectors" / "00000.npy", stored)
    searcher = Searcher(Layout(tmp_path, 600, WIDTH, 1000), factory="Flat", devices=Devices((), "torch"))
    asked = []
    nearest = searcher._torch.nearest
    searcher._torch.nearest = lambda queries, k: asked.append((len(queries), k)) or nearest(queries, k)
    queries = np.stack([stored[100], stored[5]]).astype(np.float32)
    _, rows = searcher.search(queries, k=10)
    assert rows[0].tolist() == list(range(100, 110))
    assert rows[1, 0] == 5
    assert asked == [(2, 26), (1, 208)]
