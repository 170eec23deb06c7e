"""Vectors on disk: windows that survive a kill, joined into float16 shards, and the FAISS files made from those.

A file under its final name is whole: each is written beside, flushed to disk and renamed. What exists is not redone;
a window ends with the sha256 of its vectors, and one that does not match it is embedded again.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragmed.embedding import Metric
from ragmed.errors import DamagedError, DataError, UsageError
from ragmed.files import fsync_file, fsync_folder, make_folder
from ragmed.index.devices import import_faiss

Vectors = npt.NDArray[np.float32]
Embed = Callable[[int, int], Vectors]

WINDOW = 1024  # passages embedded between two flushes to disk; what a kill costs, and most of what a build holds
BLOCK = 8192
MOST = float(np.finfo(np.float16).max)
TRAIN_SAMPLE = 65_536
TRAIN_SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the vectors of `count` passages lie: `shard_size` a file, the last one shorter.

    `metric`: how they are compared. `longest`: the length of the longest one, which bounds rounding errors.
    """

    folder: Path
    count: int
    dimension: int
    shard_size: int
    metric: Metric = "inner_product"
    longest: float = 1.0

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_size)

    def span(self, shard: int) -> tuple[int, int]:
        """First row and the one after the last."""
        return shard * self.shard_size, min(self.count, (shard + 1) * self.shard_size)

    def vectors(self, shard: int) -> Path:
        return self.folder / "vectors" / f"{shard:05d}.npy"

    def faiss(self, shard: int) -> Path:
        return self.folder / "vectors.faiss" if self.shards == 1 else self.folder / "shards" / f"{shard:05d}.faiss"

    @property
    def trained(self) -> Path:
        return self.folder / "trained.faiss"

    def open(self, shard: int) -> npt.NDArray[np.float16]:
        """One shard, memory-mapped; DamagedError where it has not the shape that it must have."""
        path, (start, stop) = self.vectors(shard), self.span(shard)
        try:
            mapped: npt.NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedError(f"'{path}' cannot be read as vectors: {error}") from error
        if mapped.shape != (stop - start, self.dimension) or mapped.dtype != np.float16:
            raise DamagedError(f"'{path}' holds {mapped.dtype} {mapped.shape}, not the vectors that were written")
        return mapped

    def blocks(self, shard: int, stored: npt.NDArray[np.float16] | None = None) -> Iterator[tuple[int, Vectors]]:
        """One shard as float32, 8,192 rows at a time, with the number of each block's first row. Memory is bounded:
        pages that were read are given back. `stored`: the shard as `open` gave it, where somebody holds it."""
        start, stop = self.span(shard)
        rows = self.open(shard) if stored is None else stored
        for first in range(start, stop, BLOCK):
            block = rows[first - start : min(stop, first + BLOCK) - start].astype(np.float32)
            give_back(rows)
            yield first, block


def give_back(rows: npt.NDArray[np.float16]) -> None:
    """Gives back the memory of a memory-mapped shard's pages that were read; they can be read again."""
    if isinstance(rows.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        rows.base.madvise(mmap.MADV_DONTNEED)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A name to write to; the file is flushed and appears under `path` when the block ends well.

    File and new folders are as private as the first folder that is there, from their first byte.
    """
    mode = stat.S_IMODE(next(folder for folder in path.parents if folder.exists()).stat().st_mode)
    make_folder(path.parent, mode=mode)
    beside = path.with_name(f".{path.name}.tmp")
    beside.unlink(missing_ok=True)
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o666))
    try:
        yield beside
        fsync_file(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)  # after an error: on a full disk a half file takes room from everybody
    fsync_folder(path.parent)


def write_vectors(layout: Layout, embed: Embed, progress: Callable[[int], None]) -> None:
    """Every shard's .npy, a window of passages at a time. `embed(start, stop)` gives float32 [stop-start, d]."""
    for shard in range(layout.shards):
        start, stop = layout.span(shard)
        if not layout.vectors(shard).exists():
            windows = [(first, min(stop, first + WINDOW)) for first in range(start, stop, WINDOW)]
            for first, last in windows:
                if _read_window(layout, first, last) is None:
                    vectors = embed(first, last)
                    if np.abs(vectors).max(initial=0.0) > MOST:
                        raise DataError(f"the embedder gave numbers beyond {MOST:.0f}, the most that float16 holds")
                    data = vectors.astype("<f2").tobytes()
                    with appearing(_window(layout, first)) as beside, beside.open("wb") as stream:
                        stream.write(data + hashlib.sha256(data).digest())
                progress(last)
            _join(layout, shard, windows)
        for first in range(start, stop, WINDOW):
            _window(layout, first).unlink(missing_ok=True)
        progress(stop)


def _window(layout: Layout, first: int) -> Path:
    return layout.folder / "windows" / f"{first:010d}.f16"


def _read_window(layout: Layout, first: int, last: int) -> bytes | None:
    """The vectors of a window as they were written; None where it is missing or damaged."""
    try:
        data = _window(layout, first).read_bytes()
    except FileNotFoundError:
        return None
    size = (last - first) * layout.dimension * 2
    whole = len(data) == size + 32 and hashlib.sha256(data[:size]).digest() == data[size:]
    return data[:size] if whole else None


def _join(layout: Layout, shard: int, windows: list[tuple[int, int]]) -> None:
    start, stop = layout.span(shard)
    header = {"descr": "<f2", "fortran_order": False, "shape": (stop - start, layout.dimension)}
    with appearing(layout.vectors(shard)) as beside, beside.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for first, last in windows:
            data = _read_window(layout, first, last)
            if data is None:
                raise DamagedError(f"'{_window(layout, first)}' is damaged, though it was just written or verified")
            stream.write(data)


def empty_index(factory: str, dimension: int, *, metric: Metric = "inner_product") -> Any:
    """
    >>> empty_index("Flat", 8).ntotal
    0

    UsageError where FAISS does not know the factory string.
    """
    faiss = import_faiss()
    try:
        return faiss.index_factory(
            dimension, factory, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        )
    except RuntimeError as error:
        raise UsageError(
            f"FAISS cannot make an index '{factory}' of dimension {dimension}: {reason(error)}; "
            "use Flat, or a factory string such as IVF256,Flat"
        ) from error


def reason(error: RuntimeError) -> str:
    """FAISS's own words, without the C++ signature that they come with."""
    return str(error).strip().rpartition(": ")[2]


def write_faiss(layout: Layout, factory: str, progress: Callable[[int], None]) -> None:
    """The FAISS file of every shard, from the stored vectors; a factory that needs training is trained first."""
    faiss = import_faiss()
    trained = empty_index(factory, layout.dimension, metric=layout.metric).is_trained
    if not trained and not layout.trained.exists():
        _train(layout, factory)
    for shard in range(layout.shards):
        if not layout.faiss(shard).exists():
            if trained:
                index = empty_index(factory, layout.dimension, metric=layout.metric)
            else:
                index = faiss.read_index(str(layout.trained))
            with _threads(faiss, factory):
                for _, block in layout.blocks(shard):
                    index.add(block)
            _write(faiss, index, layout.faiss(shard))
        progress(layout.span(shard)[1])


@contextmanager
def _threads(faiss: Any, factory: str) -> Iterator[None]:
    """Graphs are built by one thread: with more, their edges depend on who came first, and no build is repeatable."""
    before = faiss.omp_get_max_threads()
    if "HNSW" in factory or "NSG" in factory:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _train(layout: Layout, factory: str) -> None:
    faiss = import_faiss()
    size = min(layout.count, TRAIN_SAMPLE)
    rows = np.sort(np.random.default_rng(TRAIN_SEED).choice(layout.count, size, replace=False))
    sample = np.concatenate(
        [
            layout.open(shard)[rows[(rows >= start) & (rows < stop)] - start].astype(np.float32)
            for shard in range(layout.shards)
            for start, stop in [layout.span(shard)]
        ]
    )
    index = empty_index(factory, layout.dimension, metric=layout.metric)
    try:
        index.train(sample)
    except RuntimeError as error:
        raise DataError(
            f"FAISS could not train '{factory}' on {size} vectors ({reason(error)}); "
            "use Flat, or fewer lists for so few passages"
        ) from error
    _write(faiss, index, layout.trained)


def _write(faiss: Any, index: Any, path: Path) -> None:
    with appearing(path) as beside:
        try:
            faiss.write_index(index, str(beside))
        except RuntimeError as error:
            raise DataError(f"'{path}' could not be written ({reason(error)}); is the disk full?") from error
