"""What a training costs, as far as the machine reports it: seconds, peak memory, energy."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ragmed.machine import Spent, Stopwatch

_RAPL = Path("/sys/class/powercap")


class Meter:
    """
    >>> Meter("cpu").spent().wall >= 0
    True

    `peak_memory`: bytes; on a GPU those that torch allocated there, on a CPU the most the process ever held (the base
    model and everything that was loaded before included). `energy`: joules since the start, of the GPU (NVML) or of
    the CPU packages (RAPL; what others did on them meanwhile included), None where the machine does not report it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._watch = Stopwatch()
        self._energy = _energy_reader(device)
        self._joules = self._energy() if self._energy else 0.0
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def spent(self) -> Spent:
        """Since the start; see `ragmed.machine.Spent`."""
        return self._watch.spent()

    def peak_memory(self) -> int:
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def energy(self) -> float | None:
        return round(self._energy() - self._joules, 1) if self._energy else None


def _energy_reader(device: str) -> Callable[[], float] | None:
    if device.startswith("cuda"):
        return _nvml(device)
    files = sorted(_RAPL.glob("intel-rapl:?/energy_uj"))
    try:
        if not files or not all(int(path.read_text()) >= 0 for path in files):
            return None
    except (OSError, ValueError):  # since 2020 root alone may read it
        return None
    return lambda: sum(int(path.read_text()) for path in files) / 1e6


def _nvml(device: str) -> Callable[[], float] | None:
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    number = int(device.partition(":")[2] or 0)
    try:
        pynvml.nvmlInit()
        handle: Any = pynvml.nvmlDeviceGetHandleByIndex(number)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
