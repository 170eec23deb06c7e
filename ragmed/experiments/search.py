"""The declared search on the side of retrieval: retriever, form of query, k and context budget chosen on development
examples, before the trial.

A fine-tuned model gets its grid in `ragmed finetune`; this is the same care for retrieval, so that neither side loses
for want of it. Test examples are never asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import product, takewhile
from typing import Any

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation, Augmenter, Prepared, why_nothing
from ragmed.checked import dump
from ragmed.errors import MismatchError, ModelError
from ragmed.evaluation import answer
from ragmed.experiments.binding import as_asked, bind_development
from ragmed.experiments.check import Prompting, require_answers, require_constraint
from ragmed.experiments.config import Experiment, Search
from ragmed.experiments.identity import arm_identity, model_identity, run_identity, task_identity
from ragmed.experiments.references import RecordReferences, References, open_references
from ragmed.files import read_json, sha256_json, write_json
from ragmed.machine import total
from ragmed.metrics import find_metric
from ragmed.models import Model, load_model
from ragmed.models.settings import REMOTE
from ragmed.retrieval.record import Records
from ragmed.runs import Run
from ragmed.scores import development_measures, development_total
from ragmed.tasks import BoundTask
from ragmed.tasks.reading import find_reader
from ragmed.text_table import counted
from ragmed.workspace import Workspace

FILE = "search.json"
MOST_UNANSWERED = 0.1
"""Of the development examples as many, or one, may be left out of all cells, because a server did not answer them."""


def searched(experiment: Experiment, *, workspace: Workspace, run: Run) -> Experiment:
    """The experiment with what was chosen:

        searched(experiment, workspace=workspace, run=run).arms["general+rag"].k

    They hold in every arm that is shown the same as the one that is searched with. What was tried lies in `search.json`
    in the run, cell by cell as it was tried, and is tried once. The experiment itself where it declares no search.
    What a server did not answer is no 0: such examples are left out of all cells, and where they are many that is a
    ModelError.
    """
    search = experiment.search
    if search is None:
        return experiment
    arm, records = experiment.arms[search.arm], Records()
    references = {
        one.references: open_references(one, experiment, workspace=workspace, records=records)
        for one in {tried.references: tried for tried in experiment.tried()}.values()
    }
    held_by = experiment.models[arm.model].holds_by
    bound = as_asked(arm, bind_development(search.task, experiment, workspace), held_by)
    asked = _asked(experiment, search, references, bound)
    record = _stored(asked, run)
    if "chosen" not in record:

        def keep(cells: Sequence[Mapping[str, Any]]) -> None:
            write_json(run.folder / FILE, {"asked": asked, "cells": list(cells)}, mode=run.file_mode)

        known = record.get("cells", ())
        record = {"asked": asked, **try_cells(experiment, search, bound, workspace, references, known=known, keep=keep)}
        write_json(run.folder / FILE, record, mode=run.file_mode)
    return chosen_in(experiment, record)


def chosen_in(experiment: Experiment, record: Mapping[str, Any]) -> Experiment:
    """The experiment with the chosen cell of a search in its arms."""
    cell = record["cells"][record["chosen"]]
    like = dataclasses.replace(
        experiment.arms[record["arm"]], retriever=cell["retriever"], index=cell["index"], query=cell["query"],
        k=cell["k"], context_tokens=cell["context_tokens"],
    )  # fmt: skip
    return experiment.showing(record["arm"], like)


def _asked(
    experiment: Experiment, search: Search, references: Mapping[str, References | RecordReferences], bound: BoundTask
) -> str:
    """Hash of what can change the choice: as a run's identity, and what the development examples are read with."""
    arm = experiment.arms[search.arm]
    reader = find_reader(bound.reader)
    parts = {
        "search": dump(search),
        "run": run_identity(experiment),
        "arm": arm_identity(arm, experiment.models[arm.model].holds_by),
        "model": model_identity(experiment.models[arm.model]),
        "task": task_identity(bound),
        "reader": f"{reader.name} {reader.version}",
        "metric": dump(find_metric(bound.task.metrics[0]).facts),
        "references": {name: one.retriever.identity for name, one in references.items()},
        "indexes": {name: index.identity for one in references.values() for name, index in one.indexes.items()},
    }
    return sha256_json(parts)


def _stored(asked: str, run: Run) -> Mapping[str, Any]:
    if not (run.folder / FILE).is_file():
        return {}
    record = read_json(run.folder / FILE, "search record")
    if record.get("asked") != asked:
        raise MismatchError(
            f"'{run.folder / FILE}' is of another search (other settings, development examples, words or index) than "
            "would be made now; choose another --output, or delete the run"
        )
    return record


def try_cells(
    experiment: Experiment,
    search: Search,
    bound: BoundTask,
    workspace: Workspace,
    references: Mapping[str, References | RecordReferences],
    *,
    known: Sequence[Mapping[str, Any]] = (),
    keep: Callable[[Sequence[Mapping[str, Any]]], None] = lambda cells: None,
) -> dict[str, Any]:
    """Every cell asked the development examples; the best is chosen, of equals the one that reads fewer tokens.

    `known`: the first cells, where they were tried before; `keep` is given all so far, as each is done.
    """
    arm = experiment.arms[search.arm]
    tried = [dataclasses.replace(one, k=max(search.k or (arm.k,))) for one in experiment.tried()]
    augmenters: list[Augmenter] = [references[one.references].augmenter(one, seed=experiment.seed) for one in tried]
    for one in tried:
        opened = references[one.references]
        if isinstance(opened, References):
            opened.require_documents(one, bound)
    prepared = [one if one.needs_model else Prepared(one, bound) for one in augmenters]
    for one, made in zip(tried, prepared, strict=True):
        _require_found(one, search, made.why_nothing() if isinstance(made, Prepared) else "")
    model = load_model(experiment.models[arm.model], workspace=workspace, seed=experiment.seed)
    sizes = list(product(search.k or (arm.k,), search.context_tokens or (arm.context_tokens,)))
    require_constraint([bound], model)
    if experiment.models[arm.model].scheme in REMOTE:
        largest = max(
            _budget(dataclasses.replace(arm, context_tokens=budget), experiment, model) for _, budget in sizes
        )
        promptings = [Prompting(one, bound, found, largest) for one, found in zip(tried, prepared, strict=True)]
        require_answers(promptings, model)
    cells = [dict(cell) for cell in known]
    for nth, (one, augmenter) in enumerate(zip(tried, prepared, strict=True)):
        grid = [dataclasses.replace(one, k=k, context_tokens=budget) for k, budget in sizes]
        left = grid[max(0, len(cells) - nth * len(grid)) :]
        if not left:
            continue
        augmentations = augmenter.augment(bound, bound.examples, model=model)
        _require_found(one, search, why_nothing(augmentations))
        for cell in left:
            cells.append(_cell(cell, bound, augmentations, model, experiment))
            keep(cells)
    per_grid = [cells[first]["query_tokens"] for first in range(0, len(cells), len(sizes))]
    twice = (len(sizes) - 1) * sum(per_grid)  # queries are written once
    unanswered = sorted({id_ for cell in cells for id_ in cell["unanswered"]})
    if len(unanswered) > _may_be_lost(len(bound.examples)):
        keep(list(takewhile(lambda cell: not cell["unanswered"], cells)))
        raise ModelError(
            f"search: {len(unanswered)} of {counted(len(bound.examples), 'example')} for development got no answer in "
            "one cell or another; run the command again: it goes on from the first cell that lacks one"
        )
    for row in cells:  # all of them by the same examples
        measures = [value for id_, value in row.pop("measures").items() if id_ not in unanswered]
        row["score"] = development_total(measures, bound)
    order = sorted(range(len(cells)), key=lambda i: (-cells[i]["score"], cells[i]["input_tokens"], i))
    return {
        "arm": arm.name,
        "task": search.task,
        "scoring": bound.settings.scoring,
        "n": len(bound.examples) - len(unanswered),
        "unanswered": unanswered,
        "cells": cells,
        "chosen": order[0],
        "input_tokens": sum(cell["input_tokens"] for cell in cells) - twice,
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
        "cpu_seconds": total(cell["cpu_seconds"] for cell in cells),
        "gpu_seconds": total(cell["gpu_seconds"] for cell in cells),
    }


def _require_found(arm: Arm, search: Search, reason: str) -> None:
    """MismatchError where nothing was found for any development example: its cells would be the closed book's."""
    if reason:
        raise MismatchError(
            f"search: '{arm.references}' asked by {arm.query} cannot be tried on '{search.task}': {reason}; take it "
            "out of the search"
        )


def _may_be_lost(n: int) -> float:
    return min(n - 1, max(1.0, MOST_UNANSWERED * n))


def _budget(arm: Arm, experiment: Experiment, model: Model) -> int:
    return min(limit for limit in (arm.context_tokens, experiment.context_tokens, model.context_tokens) if limit)


def _cell(
    arm: Arm, bound: BoundTask, augmentations: Sequence[Augmentation], model: Model, experiment: Experiment
) -> dict[str, Any]:
    first = [dataclasses.replace(augmentation, hits=augmentation.hits[: arm.k]) for augmentation in augmentations]
    samples = answer(arm, bound, bound.examples, first, model=model, budget=_budget(arm, experiment, model))
    lost = [
        sample
        for sample, found in zip(samples, first, strict=True)
        if experiment.models[arm.model].scheme in REMOTE
        and sample.finish == "error"
        and sample.fits
        and (found.lost or not found.error)
    ]
    if len(lost) > _may_be_lost(len(samples)):
        raise ModelError(
            f"search: '{arm.references}' with k {arm.k} cannot be scored: {len(lost)} of "
            f"{counted(len(samples), 'example')} for development got no answer ({lost[0].error}); run the command "
            "again, what was tried before is kept"
        )
    measures, answered = development_measures(samples, bound)
    gone = {sample.example.id for sample in lost}
    return {
        "retriever": arm.retriever,
        "index": arm.index,
        "query": arm.query,
        "k": arm.k,
        "context_tokens": arm.context_tokens,
        "n": len(samples),
        "answered": answered,
        "unanswered": sorted(gone),
        "measures": {
            s.example.id: value for s, value in zip(samples, measures, strict=True) if s.example.id not in gone
        },
        "passages": sum(len(sample.passages) for sample in samples) / len(samples),
        "input_tokens": sum(sample.input_tokens for sample in samples),
        "query_tokens": sum(sample.retrieval_input_tokens for sample in samples),
        "seconds": round(sum(sample.seconds for sample in samples), 3),
        "cpu_seconds": total(sample.cpu_seconds for sample in samples),
        "gpu_seconds": total(sample.gpu_seconds for sample in samples),
    }
