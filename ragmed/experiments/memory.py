"""A model at work in, the most memory it took out: of the graphics card where it is on one, else of the process."""

from __future__ import annotations

import sys
from typing import Any

from ragmed.machine import cuda

HERE = ("hf", "path", "packaged", "vllm")
"""Kinds of models that answer in this process; what a server takes, it alone knows."""


def start_measuring() -> None:
    """Forgets the card's earlier peak. The process's own cannot be forgotten: see `peak_memory`."""
    card = cuda()
    if card is not None:
        card.reset_peak_memory_stats()


def peak_memory(scheme: str) -> dict[str, Any] | None:
    """
    >>> peak_memory("endpoint") is None
    True

    `peak_bytes`, and `of` what: `cuda`, what PyTorch had allocated on the card at most since `start_measuring`; or
    `process`, the most this process ever held in memory, retrieval, other arms and the interpreter included, which
    only an arm in a process of its own would separate. None where the model answers elsewhere, or on systems that
    do not count it.
    """
    if scheme not in HERE:
        return None
    card = cuda()
    allocated = int(card.max_memory_allocated()) if card is not None else 0
    if allocated:
        return {"peak_bytes": allocated, "of": "cuda"}
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": int(peak) * (1 if sys.platform == "darwin" else 1024), "of": "process"}
