"""An Experiment's tasks with their examples, which arms apply to which, and how closely the data are held."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ragmed.arms import Arm
from ragmed.corpora import load_recipe
from ragmed.errors import UsageError
from ragmed.experiments.config import Experiment
from ragmed.experiments.references import index_names
from ragmed.records import Access, strictest
from ragmed.retrieval.named import index_recipe
from ragmed.tasks import BoundTask, find_task, load_task
from ragmed.workspace import Workspace


def bind_tasks(experiment: Experiment, workspace: Workspace) -> dict[str, BoundTask]:
    return {n: load_task(n, s, workspace=workspace, seed=experiment.seed) for n, s in experiment.tasks.items()}


def notes_of(bound: Mapping[str, BoundTask]) -> list[str]:
    """What is to be known of how the questions were read, each once."""
    return list(dict.fromkeys(note for task in bound.values() for note in task.notes))


def bind_development(name: str, experiment: Experiment, workspace: Workspace) -> BoundTask:
    """A task over its development examples, scored as the experiment scores its test examples."""
    settings = experiment.tasks[name]
    if settings.file:
        task = load_task(name, settings, workspace=workspace, seed=experiment.seed).task
    else:
        task = find_task(settings.task or name)
    examples = task.load(workspace).shots
    if not examples:
        raise UsageError(f"search: task '{name}' has no development examples; search on one that has")
    return BoundTask(task, dataclasses.replace(settings, shots=0, limit=0), examples, ())


def access_of(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> Access:
    """The strictest access of the tasks and of the corpora behind the indexes: samples quote from both."""
    tiers: list[Access] = [b.task.access for b in bound.values()]
    for name in index_names(experiment, workspace):
        for corpus in index_recipe(name, workspace).corpora:
            tiers.append(load_recipe(workspace.recipe("corpora", corpus), data=workspace.data).access)
    return strictest(tiers)


def applies(arm: Arm, bound: BoundTask) -> bool:
    """Whether an arm can be run on a task: oracle passages need gold documents, a baseline on options needs options."""
    if arm.tasks and bound.name not in arm.tasks:
        return False
    if arm.context == "oracle":
        return bound.task.gold_documents
    return arm.context != "options-only" or bound.task.kind == "choice"
