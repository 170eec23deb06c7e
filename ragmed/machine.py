"""The machine that ragmed runs on: what computing takes of it, and whether its processor computes in 16 bits.

Neither question loads a library: PyTorch is asked only where it is in use already.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
# What x86 and Arm call their instructions for bfloat16 in /proc/cpuinfo.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})

SLOW_BFLOAT16 = "it has no instructions for that, which makes it several times slower than float32: take float32"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stretch of work took, in seconds. `wall`: by the clock, which other work on the machine makes longer.

    `cpu`: of processors, all threads and finished child processes together. `gpu`: for how long this process held
    graphics cards, times their number; None where it held none. None too: nobody measured it.
    """

    wall: float
    cpu: float | None = None
    gpu: float | None = None

    def of_each(self, n: int) -> Spent:
        """The share of one of `n`."""
        cpu, gpu = (None if part is None else part / n for part in (self.cpu, self.gpu))
        return Spent(self.wall / n, cpu, gpu)

    def rounded(self) -> Spent:
        """To milliseconds, as it is written down."""
        cpu, gpu = (None if part is None else round(part, 3) for part in (self.cpu, self.gpu))
        return Spent(round(self.wall, 3), cpu, gpu)


class Stopwatch:
    """
    >>> Stopwatch().spent().gpu is None
    True

    Runs from where it is made. What other processes of the machine do meanwhile is in `wall` alone. What a cache saved
    meanwhile is in it as if it had been done (`count_as_spent`).
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        self._saved = len(_saved)

    def spent(self) -> Spent:
        wall, cards = time.perf_counter() - self._wall, cards_held()
        done = Spent(wall, _cpu_seconds() - self._cpu, wall * cards if cards else None)
        return summed([done, *_saved[self._saved :]])


_saved: list[Spent] = []


def count_as_spent(saved: Spent) -> None:
    """
    >>> watch = Stopwatch()
    >>> count_as_spent(Spent(5.0, 4.0))
    >>> watch.spent().wall > 5.0
    True

    Work that a cache saved, as the work took when it was done: what a question costs does not depend on who asked the
    same before.
    """
    _saved.append(saved)


def summed(parts: Iterable[Spent]) -> Spent:
    """
    >>> summed([Spent(1.0, 0.5), Spent(2.0, 1.0, 2.0)])
    Spent(wall=3.0, cpu=1.5, gpu=2.0)

    Of numbers that nobody measured for any part there is none; a part that has none counts as 0.
    """
    every = list(parts)
    cpu, gpu = ([value for part in every if (value := getattr(part, name)) is not None] for name in ("cpu", "gpu"))
    return Spent(sum(part.wall for part in every), sum(cpu) if cpu else None, sum(gpu) if gpu else None)


def total(parts: Iterable[float | None]) -> float | None:
    """
    >>> total([1.5, 2.0]), total([1.5, None])
    (3.5, None)

    The sum, to milliseconds; None where a part is not known.
    """
    known = list(parts)
    return None if any(part is None for part in known) else round(sum(part or 0.0 for part in known), 3)


def _cpu_seconds() -> float:
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def cuda() -> Any:
    """PyTorch's CUDA module where PyTorch is in use already, and a card with it; it is not loaded for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def cards_held() -> int:
    """On how many graphics cards PyTorch holds memory for this process."""
    module = cuda()
    return 0 if module is None else sum(module.memory_reserved(i) > 0 for i in range(module.device_count()))


@functools.cache
def computes_bfloat16() -> bool | None:
    """
    >>> computes_bfloat16() in (True, False, None)
    True

    Whether the processor has instructions for bfloat16 (AVX-512 BF16, AMX, Arm's BF16). Without them it is worked out
    in float32 with conversions between, several times slower than float32 itself. None: the system does not say.
    """
    return bfloat16_of(_CPUINFO, platform.system())


def bfloat16_of(cpuinfo: Path, system: str) -> bool | None:
    """As `computes_bfloat16`, of what /proc/cpuinfo says."""
    if system != "Linux":
        return None
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    listed = [line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))]
    return any(_BFLOAT16_FLAGS & set(flags) for flags in listed) if listed else None


def auto_dtype(device: str) -> str:
    """
    >>> auto_dtype("cpu"), auto_dtype("cuda:1")
    ('float32', 'bfloat16')

    What models and embedders compute in where nobody says it: a processor computes bfloat16 less exactly, and without
    instructions for it several times slower.
    """
    return "float32" if device.startswith("cpu") else "bfloat16"


@functools.cache
def note_slow_dtype(what: str, dtype: str, device: str) -> None:
    """
    >>> note_slow_dtype("model 'path:m'", "float32", "cpu")

    Says on stderr, once, where something is to compute in bfloat16 on a processor without instructions for it.
    """
    if dtype == "bfloat16" and device.startswith("cpu") and computes_bfloat16() is False:
        print(f"note: {what} computes in bfloat16 on this CPU; {SLOW_BFLOAT16}", file=sys.stderr)
