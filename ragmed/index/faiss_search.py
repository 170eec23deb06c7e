"""Nearest neighbours by FAISS, on a CPU or on GPUs: the FAISS files of an index in, rows and bounds out."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ragmed.errors import DamagedError, UsageError
from ragmed.index.devices import GPU_MOST, Devices, import_faiss
from ragmed.index.vectors import Layout, Vectors, reason

if TYPE_CHECKING:
    Rows = npt.NDArray[np.int64]

GPU_QUERIES = 4096  # at a time
GPU_TEMPORARY = 1 << 30  # bytes of a card that a search may use beside the vectors


class FaissSearch:
    """Opened, then asked:

        rows, floors = FaissSearch(layout, devices=CPU).candidates(queries, k=48, alive=alive)

    `resident` False: shards are read one after the other and given back, for one pass over a large index. Every file
    is opened here and now: a build that puts others in their place does not reach a search that is at work.
    """

    def __init__(self, layout: Layout, *, devices: Devices, parameters: str = "", resident: bool = True) -> None:
        self._layout = layout
        self._devices = devices
        self._parameters = parameters
        self._resident = resident
        self._loaded: list[Any] = []
        self._memory: list[Any] = []
        self._files = [_opened(layout.faiss(shard)) for shard in range(layout.shards)]
        weakref.finalize(self, _close, self._files)

    @property
    def most(self) -> int | None:
        """The most neighbours it gives at once; None for any number."""
        return GPU_MOST if self._devices.gpus else None

    def candidates(
        self, queries: Vectors, k: int, *, alive: npt.NDArray[np.bool_]
    ) -> tuple[list[Rows], npt.NDArray[np.float64]]:
        """The best k living rows of every shard, for each query, and the score above which no other row of an exact
        index can be (-inf where there is none). On GPUs k and the deleted rows together may be `most`, no more."""
        pieces: list[Rows] = []
        floors = np.full(len(queries), -np.inf)
        for shard, index in self._indexes():
            start, stop = self._layout.span(shard)
            living = alive[start:stop]
            wanted = min(k + int((~living).sum()), stop - start)
            scores, found = self._search(index, queries, wanted)
            pieces.append(np.where((found >= 0) & living[found], found.astype(np.int64) + start, -1))
            if wanted < stop - start:
                last = scores[:, -1].astype(np.float64)
                floors = np.maximum(floors, -last if self._layout.metric == "l2" else last)
        joined = np.concatenate(pieces, axis=1)
        return [row[row >= 0] for row in joined], floors

    def _search(self, index: Any, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        if not self._devices.gpus:
            return index.search(queries, k)  # type: ignore[no-any-return]
        parts = [index.search(queries[i : i + GPU_QUERIES], k) for i in range(0, len(queries), GPU_QUERIES)]
        return np.concatenate([scores for scores, _ in parts]), np.concatenate([rows for _, rows in parts])

    def _indexes(self) -> Iterator[tuple[int, Any]]:
        if self._resident and not self._loaded:
            self._loaded = [self._read(shard) for shard in range(self._layout.shards)]
            _close(self._files)
        for shard in range(self._layout.shards):
            yield shard, self._loaded[shard] if self._loaded else self._read(shard)

    def _read(self, shard: int) -> Any:
        faiss, path, (start, stop) = import_faiss(), self._layout.faiss(shard), self._layout.span(shard)
        try:
            self._files[shard].seek(0)
            index = faiss.read_index(faiss.PyCallbackIOReader(self._files[shard].read))
        except RuntimeError as error:
            raise DamagedError(f"'{path}' cannot be read by FAISS: {reason(error)}") from error
        if index.ntotal != stop - start or index.d != self._layout.dimension:
            raise DamagedError(f"'{path}' holds {index.ntotal} vectors of dimension {index.d}, not what was written")
        try:
            if self._parameters:
                faiss.ParameterSpace().set_index_parameters(index, self._parameters)
            return self._moved(index)
        except RuntimeError as error:
            raise UsageError(
                f"FAISS cannot use this index with search '{self._parameters}' on {self._devices.text}: {reason(error)}"
            ) from error

    def _moved(self, index: Any) -> Any:
        """The same index on the GPUs, in float16 as it is stored, split between several; or as it is, on a CPU.

        All shards share a card's resources, so that its temporary memory is bounded however many there are. They are
        kept here: FAISS keeps no reference, and freed resources would end the process.
        """
        gpus = list(self._devices.gpus)
        if not gpus:
            return index
        faiss = import_faiss()
        if not self._memory:
            for _ in gpus:
                resources = faiss.StandardGpuResources()
                resources.setTempMemory(GPU_TEMPORARY)
                self._memory.append(resources)
        options = faiss.GpuClonerOptions() if len(gpus) == 1 else faiss.GpuMultipleClonerOptions()
        options.useFloat16 = True
        if len(gpus) == 1:
            return faiss.index_cpu_to_gpu(self._memory[0], gpus[0], index, options)
        options.shard = True
        return faiss.index_cpu_to_gpu_multiple_py(self._memory, index, co=options, gpus=gpus)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DamagedError(f"'{path}' cannot be opened: {error.strerror}") from error


def _close(streams: list[IO[bytes]]) -> None:
    for stream in streams:
        stream.close()
