"""A training's progress on stderr: loss, tokens a second, time left; a bar, or lines where that is no terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from ragmed.finetuning.checkpoints import Progress
from ragmed.finetuning.training import Show


def bars(name: str) -> Show:
    """A bar for the training of that name. tqdm says the time left."""
    opened: list[tqdm[Any]] = []

    def show(progress: Progress, steps: int, loss: float, speed: float) -> None:
        if not sys.stderr.isatty():
            _log(name, progress, steps, speed)
            return
        if not opened:
            opened.append(tqdm(total=steps, initial=progress.step - 1, desc=name, unit="step", disable=None))
        bar = opened[0]
        held = progress.losses[-1]["held_out"] if progress.losses else None
        shown = {"loss": f"{loss:.3f}", "tok/s": f"{speed:.0f}"} | ({"held out": f"{held:.3f}"} if held else {})
        bar.set_postfix(shown, refresh=False)
        bar.update(progress.step - bar.n)
        if progress.step == steps or progress.stopped_early:
            bar.close()

    return show


def _log(name: str, progress: Progress, steps: int, speed: float) -> None:
    """A line for each measurement: what a batch system keeps of a training."""
    if not progress.losses or progress.losses[-1]["step"] != progress.step:
        return
    last = progress.losses[-1]
    held = "" if last["held_out"] is None else f", held out {last['held_out']:.3f}"
    left = (steps - progress.step) * progress.tokens / progress.step / max(1e-9, speed)
    print(
        f"{name}: step {progress.step} of {steps}, loss {last['train']:.3f}{held}, {speed:.0f} tokens/s, "
        f"{left / 60:.0f} min left",
        file=sys.stderr,
    )
