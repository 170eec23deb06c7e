"""Where an index is searched and by what; and what faiss-gpu is asked for, seen by a double in its place."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from ragmed.errors import MissingDependencyError, UnknownNameError, UsageError
from ragmed.index import devices, faiss_search
from ragmed.index.devices import CPU, Devices, choose_devices
from ragmed.index.search import Searcher
from ragmed.index.vectors import Layout

LARGE = 200_000_000


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says how many GPUs each of the two sees, and what is free."""

    def made(*, faiss_sees: int, torch_sees: int, free: int = 10 * LARGE) -> None:
        monkeypatch.setattr(devices, "_faiss_gpus", lambda required=False: faiss_sees)
        monkeypatch.setattr(devices, "torch_gpus", lambda: torch_sees)
        monkeypatch.setattr(devices, "_free", lambda gpus: free * len(gpus))

    return made


def test_without_a_gpu() -> None:
    assert choose_devices("cpu") == CPU
    assert choose_devices("torch:cpu") == Devices((), "torch")
    with pytest.raises(UnknownNameError, match="torch:cuda"):
        choose_devices("cdua")
    if devices._faiss_gpus() or devices.torch_gpus():
        pytest.skip("there are GPUs here")
    assert choose_devices("auto").text == "cpu by faiss"
    assert choose_devices("auto", size=LARGE).text == "cpu by faiss (faiss sees 0 GPUs; torch sees 0 GPUs)"
    for text in ("cuda", "cuda:0,1", "all", "torch:cuda", "faiss:all"):
        with pytest.raises(MissingDependencyError, match="sees 0 GPUs"):
            choose_devices(text)


def test_faiss_where_it_is_installed_and_torch_where_it_is_not(machine: Any) -> None:
    machine(faiss_sees=0, torch_sees=2)
    assert choose_devices("cuda").text == "cuda:0 by torch"
    assert choose_devices("all").text == "cuda:0,1 by torch"
    assert choose_devices("cuda:1,1").gpus == (1,)
    assert choose_devices("auto", size=LARGE).text == "cuda:0 by torch"
    with pytest.raises(MissingDependencyError, match="torch sees 2 GPUs"):
        choose_devices("torch:cuda:2")
    machine(faiss_sees=2, torch_sees=2)
    assert choose_devices("cuda").text == "cuda:0 by faiss"
    assert choose_devices("torch:cuda").text == "cuda:0 by torch"
    assert choose_devices("all", factory="IVF256,SQfp16", parameters="nprobe=2048").text == "cuda:0,1 by faiss"


def test_torch_searches_where_faiss_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "torch_gpus", lambda: 1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert choose_devices("cuda").text == "cuda:0 by torch"
    assert choose_devices("auto", size=LARGE).text == "cuda:0 by torch"
    with pytest.raises(MissingDependencyError, match="faiss is not installed"):
        choose_devices("faiss:cuda")


def test_auto_goes_to_a_gpu_where_that_is_worth_it(machine: Any) -> None:
    machine(faiss_sees=1, torch_sees=1)
    assert choose_devices("auto", size=1_000_000) == CPU
    assert choose_devices("auto", size=LARGE).way == "faiss"
    assert choose_devices("auto", factory="IVF256,Flat", size=1_000_000).gpus == (0,)
    assert choose_devices("cuda", size=1_000_000).gpus == (0,)


def test_what_a_card_cannot_hold_is_streamed_by_torch(machine: Any) -> None:
    machine(faiss_sees=2, torch_sees=2, free=LARGE)
    assert choose_devices("cuda", size=LARGE).way == "torch"
    assert choose_devices("all", size=LARGE).way == "faiss"
    assert choose_devices("faiss:cuda", size=LARGE).way == "faiss"


@pytest.mark.parametrize(
    ("factory", "parameters", "words"),
    [
        ("HNSW32", "", "no 'HNSW32' for GPUs"),
        ("PQ32", "", "no 'PQ32' for GPUs"),
        ("SQ8", "", "no 'SQ8' for GPUs"),
        ("IVF256_HNSW32,Flat", "", "no 'IVF256_HNSW32,Flat' for GPUs"),
        ("IVF4096,Flat", "nprobe=4096", "at most 2048 lists"),
    ],
)
def test_what_faiss_cannot_do_on_a_gpu(machine: Any, factory: str, parameters: str, words: str) -> None:
    machine(faiss_sees=1, torch_sees=1)
    with pytest.raises(UsageError, match=words):
        choose_devices("cuda", factory=factory, parameters=parameters)
    found = choose_devices("auto", factory=factory, parameters=parameters)
    assert found.gpus == ()
    assert words in found.text
    with pytest.raises(UsageError, match="exact indexes"):
        choose_devices("torch:cuda", factory=factory)


class GpuIndex:
    """As faiss-gpu's: rounds queries and vectors to float16, and gives 2,048 neighbours at most."""

    def __init__(self, index: Any, seen: dict[str, Any]) -> None:
        self.ntotal, self.d, self.seen = index.ntotal, index.d, seen
        self.vectors = index.reconstruct_n(0, index.ntotal)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        assert k <= 2048
        self.seen["batches"].append((len(queries), k))
        scores = queries.astype(np.float16).astype(np.float32) @ self.vectors.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, rows, axis=1), rows


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {"batches": [], "temporary": [], "moved": []}

    def moved(resources: Any, gpu: Any, index: Any = None, options: Any = None, **named: Any) -> GpuIndex:
        several = isinstance(gpu, faiss.Index)
        chosen = named["co"] if several else options
        seen["moved"].append((named["gpus"] if several else gpu, chosen.useFloat16, getattr(chosen, "shard", None)))
        return GpuIndex(gpu if several else index, seen)

    double = SimpleNamespace(**{name: getattr(faiss, name) for name in dir(faiss) if not name.startswith("__")})
    double.StandardGpuResources = lambda: SimpleNamespace(setTempMemory=seen["temporary"].append)
    double.GpuClonerOptions = double.GpuMultipleClonerOptions = SimpleNamespace
    double.index_cpu_to_gpu = double.index_cpu_to_gpu_multiple_py = moved
    double.get_num_gpus = lambda: 4
    monkeypatch.setitem(sys.modules, "faiss", double)
    return seen


def layout(folder: Path, count: int) -> Layout:
    vectors = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32)
    stored = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    made = Layout(folder, count, 16, 4000)
    (folder / "vectors").mkdir()
    (folder / "shards").mkdir()
    for shard in range(made.shards):
        start, stop = made.span(shard)
        np.save(made.vectors(shard), stored[start:stop])
        index = faiss.IndexFlatIP(16)
        index.add(stored[start:stop].astype(np.float32))
        faiss.write_index(index, str(made.faiss(shard)))
    return made


@pytest.mark.parametrize("used", [(0,), (1, 3)])
def test_faiss_gpu_finds_what_the_cpu_finds(
    tmp_path: Path, gpus: dict[str, Any], monkeypatch: pytest.MonkeyPatch, used: tuple[int, ...]
) -> None:
    monkeypatch.setattr(faiss_search, "GPU_QUERIES", 16)
    made = layout(tmp_path, 10_000)
    queries = np.random.default_rng(1).normal(size=(40, 16)).astype(np.float32)
    expected = Searcher(made, factory="Flat").search(queries, k=8)
    found = Searcher(made, factory="Flat", devices=Devices(used, "faiss")).search(queries, k=8)
    for ours, cpu in zip(found, expected, strict=True):
        assert ours.tobytes() == cpu.tobytes()
    assert gpus["moved"] == [(0, True, None) if used == (0,) else ([1, 3], True, True)] * 3
    assert gpus["temporary"] == [faiss_search.GPU_TEMPORARY] * len(used)
    assert max(size for size, _ in gpus["batches"]) == 16
    assert gpus["batches"][:3] == [(16, 24), (16, 24), (8, 24)]


def test_more_neighbours_than_a_gpu_gives_are_found_all_the_same(tmp_path: Path, gpus: dict[str, Any]) -> None:
    made = layout(tmp_path, 5_000)
    queries = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    searcher = Searcher(made, factory="Flat", devices=Devices((0,), "faiss"), dead=np.arange(1000))
    expected = Searcher(made, factory="Flat", dead=np.arange(1000)).search(queries, k=2_040)
    assert searcher.search(queries, k=2_040)[1].tobytes() == expected[1].tobytes()
    assert gpus["batches"] == []
    assert searcher.search(queries, k=5)[1].tobytes() == expected[1][:, :5].tobytes()
