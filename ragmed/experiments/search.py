"""The declared search on the side of retrieval: k and context budget chosen on development examples, before the trial.

A fine-tuned model gets its grid in `ragmed finetune`; this is the same care for retrieval, so that neither side loses
for want of it. Test examples are never asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ragmed.arms import Arm
from ragmed.embedding import Embedder
from ragmed.errors import MismatchError, UsageError
from ragmed.evaluation import answer
from ragmed.experiments.config import Experiment, Search
from ragmed.files import read_json, sha256_json, write_json
from ragmed.index.store import Index
from ragmed.models import Model, load_model
from ragmed.retrieval.dense import DenseRetriever
from ragmed.retrieval.named import open_or_build
from ragmed.runs import Run
from ragmed.selection import Shown, choose_passages
from ragmed.tasks import BoundTask, find_task
from ragmed.workspace import Workspace

FILE = "search.json"


def searched(experiment: Experiment, *, workspace: Workspace, run: Run) -> Experiment:
    """>>> searched(experiment, workspace=workspace, run=run).arms["general+rag"].k  # doctest: +SKIP
    3

    The experiment with what was chosen in the place of k and context_tokens, in every arm that declares the same
    index, k and context_tokens as the one that is searched with. What was tried lies in `search.json` in the run, and
    is tried once. The experiment itself where it declares no search.
    """
    search = experiment.search
    if search is None:
        return experiment
    index, embedder = open_or_build(experiment.arms[search.arm].index, workspace=workspace)
    asked = _asked(experiment, search, index)
    found = _stored(asked, run)
    if not found:
        found = {"asked": asked, **try_cells(experiment, search, workspace, index, embedder)}
        write_json(run.folder / FILE, found, mode=run.file_mode)
    return chosen_in(experiment, found)


def chosen_in(experiment: Experiment, found: Mapping[str, Any]) -> Experiment:
    """The experiment with the chosen cell of a search in its arms."""
    cell = found["cells"][found["chosen"]]
    tried = experiment.arms[found["arm"]]
    declared = (tried.index, tried.k, tried.context_tokens)
    arms = {
        name: dataclasses.replace(arm, k=cell["k"], context_tokens=cell["context_tokens"])
        if arm.needs_index and (arm.index, arm.k, arm.context_tokens) == declared
        else arm
        for name, arm in experiment.arms.items()
    }
    return dataclasses.replace(experiment, arms=arms)


def _asked(experiment: Experiment, search: Search, index: Index) -> str:
    """Hash of what the search depends on: what the config says, and the index."""
    plain = experiment.resolved()
    arm = experiment.arms[search.arm]
    parts = [plain["search"], plain["arms"][search.arm], plain["models"][arm.model], plain["tasks"][search.task]]
    return sha256_json([*parts, experiment.seed, experiment.context_tokens, index.manifest.identity])


def _stored(asked: str, run: Run) -> Mapping[str, Any]:
    if not (run.folder / FILE).is_file():
        return {}
    found = read_json(run.folder / FILE, "search record")
    if found.get("asked") != asked:
        raise MismatchError(
            f"'{run.folder / FILE}' is of another search, or of another index, than the config now declares; choose "
            "another --output, or delete the run"
        )
    return found


def try_cells(
    experiment: Experiment, search: Search, workspace: Workspace, index: Index, embedder: Embedder
) -> dict[str, Any]:
    """Every cell asked the development examples; the best is chosen, of equals the one that reads fewer tokens."""
    arm = experiment.arms[search.arm]
    bound = development(search.task, experiment)(workspace)
    most = dataclasses.replace(arm, k=max(search.k or (arm.k,)))
    shown = choose_passages(
        most, bound, bound.examples, retriever=DenseRetriever(index, embedder), gold=index, seed=experiment.seed
    )
    model = load_model(experiment.models[arm.model], workspace=workspace, seed=experiment.seed)
    cells = [
        _cell(dataclasses.replace(arm, k=k, context_tokens=budget), bound, shown, model, experiment)
        for k, budget in product(search.k or (arm.k,), search.context_tokens or (arm.context_tokens,))
    ]
    order = sorted(range(len(cells)), key=lambda place: (-cells[place]["score"], cells[place]["input_tokens"], place))
    return {
        "arm": arm.name,
        "task": search.task,
        "scoring": bound.settings.scoring,
        "n": len(bound.examples),
        "cells": cells,
        "chosen": order[0],
        "input_tokens": sum(cell["input_tokens"] for cell in cells),
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
    }


def development(task: str, experiment: Experiment) -> Any:
    """Binds a task to its development examples, scored as the experiment scores its test examples."""

    def bind(workspace: Workspace) -> BoundTask:
        settings = experiment.tasks[task]
        if settings.file:
            from ragmed.experiments.trial import bind_tasks

            found = bind_tasks(dataclasses.replace(experiment, tasks={task: settings}), workspace)[task].task
        else:
            found = find_task(settings.task or task)
        examples = found.load(workspace).shots
        if not examples:
            raise UsageError(f"search: task '{task}' has no development examples; search on one that has")
        return BoundTask(found, dataclasses.replace(settings, shots=0, limit=0), examples, ())

    return bind


def _cell(arm: Arm, bound: BoundTask, shown: Sequence[Shown], model: Model, experiment: Experiment) -> dict[str, Any]:
    limits = (arm.context_tokens, experiment.context_tokens, model.context_tokens)
    first = [dataclasses.replace(one, hits=one.hits[: arm.k]) for one in shown]
    samples = answer(arm, bound, bound.examples, first, model=model, budget=min(limit for limit in limits if limit))
    values = [sample.scores.get(bound.task.metrics[0], 0.0) for sample in samples]
    return {
        "k": arm.k,
        "context_tokens": arm.context_tokens,
        "score": sum(values) / len(values),
        "n": len(values),
        "answered": sum(sample.status == "answered" for sample in samples),
        "passages": sum(len(sample.passages) for sample in samples) / len(samples),
        "input_tokens": sum(sample.input_tokens for sample in samples),
        "seconds": round(sum(sample.seconds for sample in samples), 3),
    }
