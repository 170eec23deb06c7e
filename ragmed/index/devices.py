"""The one door to faiss; and where an index is searched, and by what: a CPU, one GPU, or several, by FAISS or torch.

In: a device string, and what index it is. Out: `Devices`, with the words that say where that is.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from dataclasses import dataclass
from typing import Any, Literal, cast

from ragmed.errors import MissingDependencyError, UnknownNameError, UsageError

CPU_DISTRIBUTIONS = ("faiss-cpu",)
GPU_DISTRIBUTIONS = ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


GPU_MOST = 2048  # neighbours, and lists visited: FAISS on a GPU gives and takes no more
AUTO_LEAST = 64_000_000
"""Bytes of stored vectors from which `auto` goes to a GPU: of fewer, the copying costs more than a search on the CPU. A
declared rule; where the two are equally fast is not measured yet."""
ROOM = 2  # faiss-gpu is taken where the cards have this many times the bytes of an exact index free
DEVICES = ("auto", "cpu", "cuda", "cuda:0,1", "all", "faiss:cuda", "torch:cuda", "torch:cpu")

ON_GPU = re.compile(r"Flat|((OPQ\w+|PCA\w+),)?IVF\d+,(Flat|PQ\w+|SQ\w+)")
"""The factories that faiss-gpu has; it refuses all others (HNSW, NSG, LSH, and PQ or SQ without lists)."""

Way = Literal["faiss", "torch"]


@dataclass(frozen=True, slots=True)
class Devices:
    """`gpus`: the numbers of the GPUs, empty for the CPU. `way`: what searches there. `note`: why it is the CPU."""

    gpus: tuple[int, ...] = ()
    way: Way = "faiss"
    note: str = ""

    @property
    def place(self) -> str:
        """Where, and by what: `cuda:0,1 by torch`."""
        return ("cuda:" + ",".join(map(str, self.gpus)) if self.gpus else "cpu") + f" by {self.way}"

    @property
    def text(self) -> str:
        """What to show the user: the place, with the note."""
        return self.place + (f" ({self.note})" if self.note else "")

    @property
    def on_cpu_by_faiss(self) -> bool:
        return not self.gpus and self.way == "faiss"

    @property
    def names(self) -> list[str]:
        """As torch names them."""
        return [f"cuda:{gpu}" for gpu in self.gpus] or ["cpu"]


CPU = Devices()


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


def choose_devices(text: str, *, factory: str = "Flat", parameters: str = "", size: int = 0) -> Devices:
    """
    >>> choose_devices("cpu").text
    'cpu by faiss'

    Where an index of `size` bytes of stored vectors is searched, and what does it. `text`: `auto`, `cpu`, `cuda` (the
    first GPU), `cuda:0,1`, `all` (every GPU, the index split over them); `faiss:` or `torch:` before it fixes what
    searches. Else, on a CPU it is FAISS; on GPUs faiss-gpu where it is installed and has room, and torch, for exact
    indexes (Flat), where it is not. `auto` is the first GPU that one of the two can use, for exact indexes of
    64 MB and more and for all approximate ones; else the CPU.

    UnknownNameError, MissingDependencyError for a GPU that is not there or that nothing can use, UsageError for an
    index or a search that cannot be there.
    """
    asked = re.fullmatch(r"(?:(faiss|torch):)?(auto|cpu|cuda|all|cuda:\d{1,4}(?:,\d{1,4})*)", text)
    if not asked:
        raise UnknownNameError("device", text, DEVICES)
    ways: tuple[Way, ...] = (cast(Way, asked[1]),) if asked[1] else ("faiss", "torch")
    place = asked[2]
    if ways == ("torch",) and factory != "Flat":
        raise UsageError(f"torch searches exact indexes (Flat), not '{factory}'; use --device cpu, or faiss:cuda")
    if place == "cpu":
        return Devices((), ways[0])
    if place == "auto" and factory == "Flat" and size < AUTO_LEAST:
        return Devices((), ways[0])
    refusals = []
    for way in ways:
        present = _faiss_gpus(required=len(ways) == 1) if way == "faiss" else torch_gpus()
        gpus = _wanted(place, present)
        refusal = _refusal(way, gpus, present, factory=factory, parameters=parameters)
        if not refusal and way == "faiss" and len(ways) > 1 and factory == "Flat" and ROOM * size > _free(gpus):
            continue  # torch streams what a card cannot hold
        if not refusal:
            return Devices(gpus, way)
        refusals.append(refusal)
    why = "; ".join(dict.fromkeys(refusals))
    if place == "auto":
        return Devices((), ways[0], note=why)
    missing = all("sees" in refusal for refusal in refusals)
    raise (MissingDependencyError if missing else UsageError)(
        f"device '{text}' was asked for, but {why}; use --device cpu"
        + (', or install a GPU build: pip uninstall faiss-cpu; pip install "ragmed[gpu]"' if missing else "")
    )


def _wanted(place: str, present: int) -> tuple[int, ...]:
    if place.startswith("cuda:"):
        return tuple(dict.fromkeys(int(number) for number in place.removeprefix("cuda:").split(",")))
    return tuple(range(present)) if place == "all" and present else (0,)


def _refusal(way: Way, gpus: tuple[int, ...], present: int, *, factory: str, parameters: str) -> str:
    """Why this way cannot search this index on these GPUs; '' where it can."""
    if max(gpus) >= present:
        return f"{way} sees {present} GPUs"
    if way == "torch":
        return "" if factory == "Flat" else f"torch does not search '{factory}'"
    if not ON_GPU.fullmatch(factory):
        return f"FAISS has no '{factory}' for GPUs"
    lists = re.search(r"nprobe=(\d+)", parameters)
    return f"FAISS on a GPU visits at most {GPU_MOST} lists" if lists and int(lists[1]) > GPU_MOST else ""


def _faiss_gpus(*, required: bool = False) -> int:
    """How many GPUs faiss sees; none where it is not installed, unless it is what was asked for."""
    try:
        faiss = import_faiss()
    except MissingDependencyError:
        if required:
            raise
        return 0
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def torch_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _free(gpus: tuple[int, ...]) -> int:
    """Free bytes on these GPUs together; where torch sees none of them, as much as anything needs."""
    import torch

    if torch_gpus() <= max(gpus):
        return sys.maxsize
    return sum(torch.cuda.mem_get_info(gpu)[0] for gpu in gpus)
