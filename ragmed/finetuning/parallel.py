"""Several processes, one on each GPU, as `torchrun` or `accelerate launch` start them: each reads its share of a step.

    torchrun --nproc-per-node 4 -m ragmed.cli.main finetune NAME

The gradients of the adapter (a few million numbers) are summed after each step; nothing else travels. The steps are
those of one process, up to the order of a sum.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Team:
    """
    >>> Team().first
    True

    `rank`: this process, of `size`; `local`: its number on this machine, which is its GPU's. Rank 0 writes.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mine(self, items: Sequence[Any]) -> Sequence[Any]:
        """This process's share of what a step reads."""
        return items[self.rank :: self.size]

    def device(self, asked: str) -> str:
        """The GPU of this process, where GPUs are asked for and there are several processes."""
        return f"cuda:{self.local}" if self.size > 1 and asked == "cuda" else asked

    def add(self, tensors: Sequence[Any]) -> None:
        """Sums each tensor over all processes, in place; all travel as one."""
        if self.size == 1:
            return
        import torch
        import torch.distributed as distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            import torch.distributed as distributed

            distributed.barrier()


@contextmanager
def team() -> Iterator[Team]:
    """The processes that a launcher started together, or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Team()
        return
    import torch
    import torch.distributed as distributed

    local = int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(local)
    # One process may paraphrase, or ask development examples, for hours while the others wait.
    distributed.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(days=1))
    try:
        yield Team(int(os.environ["RANK"]), size, local)
    finally:
        distributed.destroy_process_group()
