"""Which cell of a declared grid is kept: the one that answers most development examples, closed book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed import scores
from ragmed.arms import Arm
from ragmed.augmentation import Augmentation
from ragmed.errors import UsageError
from ragmed.evaluation import answer
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.machine import total
from ragmed.models import ModelSettings, load_model
from ragmed.tasks import BoundTask, TaskSettings, find_task
from ragmed.workspace import Workspace


def development_task(recipe: AdapterRecipe, workspace: Workspace) -> BoundTask:
    """The task of `select` over its development examples, which no experiment scores."""
    select = recipe.select
    task = find_task(select.task)
    examples = task.load(workspace).shots
    if not examples:
        raise UsageError(f"select: task '{select.task}' has no development examples; name one that has")
    return BoundTask(task, TaskSettings(scoring=select.scoring, normalise=select.normalise), examples, ())


def development_score(adapter: Path | None, recipe: AdapterRecipe, workspace: Workspace) -> dict[str, Any]:
    """Share of the development examples that the base with `adapter` (None: the base alone) answers right.

    `correct` counts; what is not answered is wrong. `seconds` and `tokens` are what asking cost.
    """
    bound = development_task(recipe, workspace)
    name = f"{recipe.base}+adapter:{adapter}" if adapter else recipe.base
    settings = ModelSettings(name, dtype=recipe.training.dtype, device=recipe.training.device)
    model = load_model(settings, workspace=workspace)
    arm = Arm("tuned", model="tuned")
    blank = [Augmentation()] * len(bound.examples)
    samples = answer(arm, bound, bound.examples, blank, model=model, budget=model.context_tokens)
    development = scores.development_score(samples, bound)
    return {
        "score": development.score,
        "n": len(samples),
        "answered": development.answered,
        "input_tokens": sum(sample.input_tokens for sample in samples),
        "seconds": round(sum(sample.seconds for sample in samples), 3),
        "cpu_seconds": total(sample.cpu_seconds for sample in samples),
        "gpu_seconds": total(sample.gpu_seconds for sample in samples),
    }


def choose(cells: Sequence[Mapping[str, Any]]) -> int:
    """The place of the best score; of equals the one that read fewer tokens, then the one named first."""
    return min(range(len(cells)), key=lambda number: (-cells[number]["score"], cells[number]["tokens"], number))
