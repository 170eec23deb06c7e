"""Whether what made a run is still what it was: models, indexes, corpora and questions of today against a stored run.

Looked at whenever a run is carried out again, finished or not, since its numbers are read as those of what lies here
now. Hashes of files are enough: no model and no index is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from ragmed.errors import MismatchError
from ragmed.experiments.config import Experiment
from ragmed.experiments.identity import task_identity
from ragmed.experiments.references import (
    index_names,
    lying_files,
    path_folder,
    record_embedders,
    replay_hash,
    retrieval_models,
)
from ragmed.index.replaced import rebuilt
from ragmed.models.present import present_files
from ragmed.records import Example
from ragmed.retrieval.named import current_manifest
from ragmed.runs import CHOICE, Run
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

MOST_CORRECTED = 0.5
"""The share of a task's questions that may be corrected: above it they are other data, and their run another run."""


def require_unchanged(experiment: Experiment, run: Run, workspace: Workspace) -> list[str]:
    """MismatchError, with what is another one now and what can be done, for the models, indexes, corpora, embedders,
    rerankers and replayed runs behind the arms that have samples. Returned: what is no longer here, such as weights
    that were deleted, so that it could not be compared.
    """
    gone = []
    asked = run.asked()
    arms = [arm for name, arm in experiment.arms.items() if name in {arm for arm, _ in asked}]
    known = run.info()["identity"]
    for name in dict.fromkeys(arm.model for arm in arms):
        if not known.get("files", {}).get(name):
            continue
        if files := present_files(experiment.models[name], workspace):
            run.add_identity("files", {name: files})
        else:
            gone.append(f"the files of model '{experiment.models[name].name}'")
    embedders = record_embedders(experiment, arms)
    for index in index_names(experiment, workspace, arms):
        try:
            manifest = current_manifest(index, workspace=workspace)
        except MismatchError as error:
            raise MismatchError(
                f"{error}; run '{run.name}' was asked with the one that is there, and {CHOICE}"
            ) from error
        if manifest is None:
            if index in known.get("indexes", {}):
                gone.append(f"index '{index}'")
            continue
        before = known.get("indexes", {}).get(index, {}).get("identity", "")
        why = {index: rebuilt(manifest, before)}
        run.add_identity("indexes", {index: {"identity": manifest.searches}}, why=why)
        embedders.append(manifest.recipe.embedder)
    for part, names in (("embedders", embedders), ("retrieval_models", retrieval_models(experiment, arms))):
        if here := lying_files(names):
            run.add_identity(part, here)
        gone += [
            f"the files of {part[:-1].replace('_', ' ')} '{name}'"
            for name in dict.fromkeys(names)
            if path_folder(name) and name not in here and name in known.get(part, {})
        ]
    for arm in arms:
        for task in [task for name, task in asked if name == arm.name and arm.replay]:
            run.add_identity("replays", {f"{arm.name} on {task}": replay_hash(arm, task, workspace=workspace)})
    return gone


def corrected_tasks(bound: Mapping[str, BoundTask], run: Run) -> list[str]:
    """The tasks of which some questions differ from those that were asked, and nothing else does.

    That nothing else does (words, few-shot examples, order, how many there are) is seen by making the identity of the
    examples that were asked, which the samples hold, with the words of today. An arm has to be through with the task.
    """
    if not run.info_file.is_file() or not (asked := run.asked()):
        return []
    info = run.info()
    found = []
    for name, task in bound.items():
        known, now = info["identity"].get("tasks", {}).get(name), task_identity(task)
        if not known or known.get("data") == now["data"]:
            continue
        for arm in (arm for arm, of in asked if of == name):
            before = tuple(sample.example for sample in run.ordered_samples(arm, name))
            if [example.id for example in before] != [example.id for example in task.examples]:
                continue
            changed = sum(not same_example(*pair) for pair in zip(before, task.examples, strict=True))
            made = task_identity(replace(task, examples=before))
            same = all(made[field] == known.get(field) for field in ("data", "prompts"))
            if same and changed <= MOST_CORRECTED * len(before):
                found.append(name)
                break
    return found


def same_example(stored: Example, now: Example) -> bool:
    """Whether a stored example is one of today, options in the same order included."""
    return json.dumps(asdict(stored)) == json.dumps(asdict(now))
