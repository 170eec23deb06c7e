"""An augmentation and a step in, the augmentation after it out: what is shown now, and what the step took."""

from __future__ import annotations

from dataclasses import replace

from ragmed.augmentation import Augmentation
from ragmed.machine import Spent
from ragmed.records import Hit, Step


def after(found: Augmentation, hits: tuple[Hit, ...], step: Step, *, error: str = "") -> Augmentation:
    """With these passages, the step after those before it, its note and its tokens."""
    return replace(
        found,
        hits=hits,
        gold={hit.passage.id: found.gold.get(hit.passage.id) for hit in hits},
        note="; ".join(filter(None, (found.note, step.note))),
        error=found.error or error,
        steps=(*found.steps, step),
        input_tokens=found.input_tokens + sum(one.input_tokens for one in step.completions),
        output_tokens=found.output_tokens + sum(one.output_tokens for one in step.completions),
    )


def taken(found: Augmentation, spent: Spent) -> Augmentation:
    """With what a step took of one example beside what it had taken before; None stays what nobody measured."""
    cards = [part for part in (found.gpu_seconds, spent.gpu) if part is not None]
    return replace(
        found,
        seconds=found.seconds + spent.wall,
        cpu_seconds=None if found.cpu_seconds is None or spent.cpu is None else found.cpu_seconds + spent.cpu,
        gpu_seconds=sum(cards) if cards else None,
    )
