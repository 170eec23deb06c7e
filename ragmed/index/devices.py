"""The one door to faiss, and where its search runs: the CPU, one GPU, or several.

In: a device string and a CPU index. Out: the index where it shall run, and the words that say where that is.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from typing import Any

from ragmed.errors import MissingDependencyError, UnknownNameError

CPU_DISTRIBUTIONS = ("faiss-cpu",)
GPU_DISTRIBUTIONS = ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


@dataclass(frozen=True, slots=True)
class Devices:
    """`gpus`: the numbers of the GPUs to use, empty for the CPU. `text`: what to show the user."""

    gpus: tuple[int, ...]
    text: str


def import_faiss() -> Any:
    """
    >>> import_faiss().METRIC_INNER_PRODUCT
    0

    The module `faiss`. MissingDependencyError where it is not installed, or where two distributions have written it
    over each other: which of the two is then imported is chance.
    """
    installed = [name for name in CPU_DISTRIBUTIONS + GPU_DISTRIBUTIONS if _is_installed(name)]
    if len(installed) > 1:
        raise MissingDependencyError(
            f"{' and '.join(installed)} are both installed and overwrite each other's files; "
            f'run: pip uninstall {" ".join(installed)}; then install one: pip install "ragmed[cpu]" or "ragmed[gpu]"'
        )
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            'faiss is not installed; run: pip install "ragmed[cpu]" (any machine) or pip install "ragmed[gpu]" (CUDA)'
        ) from error
    return faiss


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def parse_devices(text: str) -> Devices:
    """
    >>> parse_devices("cpu").gpus
    ()

    `auto` (the first GPU where faiss sees one, else the CPU), `cpu`, `cuda` (the first GPU), `cuda:0,1`, `all` (every
    GPU, the index split over them). MissingDependencyError for a GPU that is not there.
    """
    if text == "cpu":
        return Devices((), "cpu")
    listed = re.fullmatch(r"cuda:(\d+(?:,\d+)*)", text)
    if text not in ("auto", "cuda", "all") and not listed:
        raise UnknownNameError("device", text, ["auto", "cpu", "cuda", "cuda:0,1", "all"])
    present = _gpu_count()
    if text == "auto":
        return _on((0,)) if present else Devices((), "cpu (no GPU that faiss can use)")
    if listed:
        wanted = tuple(dict.fromkeys(int(number) for number in listed[1].split(",")))
    else:
        wanted = tuple(range(present)) if text == "all" and present else (0,)
    if max(wanted) >= present:
        raise MissingDependencyError(
            f"device '{text}' was asked for, but faiss sees {present} GPUs; use --device cpu, "
            'or install a GPU build: pip uninstall faiss-cpu; pip install "ragmed[gpu]"'
        )
    return _on(wanted)


def _on(gpus: tuple[int, ...]) -> Devices:
    return Devices(gpus, "cuda:" + ",".join(map(str, gpus)))


def _gpu_count() -> int:
    faiss = import_faiss()
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def to_devices(index: Any, devices: Devices) -> Any:
    """Moves it: `to_devices(cpu_index, parse_devices("cuda:0,1"))`.

    The same index on the named GPUs (split between them where there are several), or as it is for the CPU.
    """
    if not devices.gpus:
        return index
    faiss = import_faiss()
    resources = [faiss.StandardGpuResources() for _ in devices.gpus]
    if len(devices.gpus) == 1:
        moved = faiss.index_cpu_to_gpu(resources[0], devices.gpus[0], index)
        moved.ragmed_resources = resources  # faiss keeps no reference: freed resources would end the process
        return moved
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    return faiss.index_cpu_to_gpu_multiple_py(resources, index, co=options, gpus=list(devices.gpus))
