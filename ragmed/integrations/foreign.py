"""Samples that another program made in, a run folder out that `compare` and `report` take as one of ours."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ragmed
from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, UsageError
from ragmed.experiments.config import plain
from ragmed.files import fsync_folder, make_folder, sha256_json, write_json, writing
from ragmed.integrations.described import Known
from ragmed.records import Access, Sample
from ragmed.runs import SCHEMA, Run

WINDOW = 4096  # samples appended at a time


@dataclass(frozen=True, slots=True)
class ForeignTask:
    """A task as another program asked it. `examples`: what was asked, in order, each as (id, question, gold) and
    whatever else makes it the same example elsewhere; two runs can be compared on it where these are equal."""

    examples: Sequence[Sequence[Any]]
    metrics: tuple[str, ...]
    source: str
    license: str = ""
    scoring: str = "generate"
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_run(
    output: Path,
    *,
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    arms: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, ForeignTask],
    comparison: ComparisonSettings,
    origin: Mapping[str, Any],
    access: Access = "private",
    known: Known | None = None,
) -> Run:
    """
    >>> write_run(Path("runs/mirage"), samples=samples, arms=arms, tasks=tasks, comparison=settings,
    ...           origin={"kind": "mirage", "files": [], "notes": []})  # doctest: +SKIP

    The folder appears whole or not at all. `samples`: (arm, task) -> one sample for each example of the task, in its
    order. `arms`: name -> its settings (`model`, `context`, `index`, `k`), as far as they are known. `origin`: where
    the samples came from: `kind`, `files` (name and sha256), `notes`, which the comparison repeats. `known`: what the
    logs say of the run they were exported from; it stands above `arms` and `tasks`. UsageError where `output` is there
    already, or where a name is too long to name a file; DataError where there is no sample.
    """
    if not any(samples.values()):
        raise DataError("there is nothing to import: no answer was found")
    with writing(output):
        there = output.exists()
    if there:
        raise UsageError(f"'{output}' exists already; give another --output, or delete it first")
    beside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    run = Run(beside, access=access)
    try:
        make_folder(output.parent, mode=run.folder_mode)
        with writing(output):
            beside.mkdir(mode=run.folder_mode)
        for (arm, task), given in samples.items():
            for start in range(0, len(given), WINDOW):
                run.append(arm, task, given[start : start + WINDOW])
        info = _info(output.name, arms, tasks, comparison, origin) | {"access": access}
        info = _with_known(info, known) if known else info
        write_json(run.info_file, info, mode=run.file_mode)
        with writing(output):
            beside.rename(output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    fsync_folder(output.parent)
    return Run(output, access=access)


def _info(
    name: str,
    arms: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, ForeignTask],
    comparison: ComparisonSettings,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    settings = {task: {"scoring": one.scoring, "normalise": "none", **one.settings} for task, one in tasks.items()}
    asked = {
        task: {**settings[task], "sha256": sha256_json([list(example) for example in one.examples])}
        for task, one in tasks.items()
    }
    models: dict[str, dict[str, str]] = {str(arm.get("model", arm_name)): {} for arm_name, arm in arms.items()}
    return {
        "schema": SCHEMA,
        "name": name,
        "experiment": {
            "name": name,
            "models": models,
            "arms": {arm: dict(known) for arm, known in arms.items()},
            "tasks": settings,
            "comparison": plain(comparison),
        },
        "identity": {"tasks": asked},
        "tasks": {
            task: {
                "source": one.source,
                "license": one.license,
                "metrics": list(one.metrics),
                "examples": len(one.examples),
                "held_out": 0,
            }
            for task, one in tasks.items()
        },
        "imported": dict(origin),
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _with_known(info: dict[str, Any], known: Known) -> dict[str, Any]:
    """Settings, sources and order as in the run that the logs were exported from, as far as that is known."""
    experiment, asked, facts = info["experiment"], info["identity"]["tasks"], info["tasks"]
    tasks = [*(t for t in known.tasks if t in facts), *(t for t in facts if t not in known.tasks)]
    arms = {arm: {**experiment["arms"].get(arm, {}), **one} for arm, one in known.arms.items()}
    whole_arms = {**arms, **{arm: one for arm, one in experiment["arms"].items() if arm not in arms}}
    used = [str(arm.get("model", "")) for arm in whole_arms.values()]
    metrics = {t: [*known.facts.get(t, {}).get("metrics", []), *facts[t]["metrics"]] for t in tasks}
    return {
        **info,
        "experiment": {
            **experiment,
            "models": {model: dict(known.models.get(model, {})) for model in dict.fromkeys(used)},
            "arms": whole_arms,
            "tasks": {task: {**experiment["tasks"][task], **known.tasks.get(task, {})} for task in tasks},
        },
        "identity": {"tasks": {task: {**asked[task], **known.tasks.get(task, {})} for task in tasks}},
        "tasks": {
            task: {**facts[task], **known.facts.get(task, {}), "metrics": list(dict.fromkeys(metrics[task]))}
            for task in tasks
        },
        "references": {kind: dict(found) for kind, found in known.references.items()},
        "imported": {**info["imported"], "notes": [*known.notes, *info["imported"].get("notes", [])]},
    }


def zero_or_one(samples: Mapping[tuple[str, str], Sequence[Sample]], described: Collection[str]) -> frozenset[str]:
    """The metrics of arms that no run of ours describes, where all values of all arms are 0 or 1."""
    foreign: set[str] = set()
    seen: dict[str, set[float]] = {}
    for (arm, _), given in samples.items():
        for sample in given:
            foreign |= set() if arm in described else sample.scores.keys()
            for metric, value in sample.scores.items():
                seen.setdefault(metric, set()).add(value)
    return frozenset(metric for metric, values in seen.items() if metric in foreign and values <= {0.0, 1.0})


def unknown_costs(samples: Mapping[tuple[str, str], Sequence[Sample]], described: Collection[str]) -> list[str]:
    """A note on the arms whose logs say no tokens, or no times: what stands there as 0 is not known."""
    told: dict[str, list[bool]] = {}
    for (arm, _), given in samples.items():
        one = told.setdefault(arm, [False, False])
        one[0] |= any(sample.input_tokens or sample.output_tokens for sample in given)
        one[1] |= any(sample.seconds or sample.request_seconds for sample in given)
    notes = []
    for place, what in enumerate(("tokens", "seconds")):
        silent = [arm for arm, one in told.items() if not one[place] and arm not in described]
        if silent:
            notes.append(f"The logs say nothing of {what} ({', '.join(silent)}): 0 stands for what is not known.")
    return notes


def summary(run: Run) -> str:
    """What was taken over, by arm and task, and what to do next, as text."""
    info = run.info()
    lines = [f"run {run.name}: {run.folder} ({run.access})"]
    for (arm, task), given in run.samples().items():
        answered = sum(sample.status == "answered" for sample in given)
        lines.append(f"  {arm} on {task}: {len(given):,} samples, {answered:,} answered")
    lines += [f"note: {note}" for note in info["imported"].get("notes", [])]
    return "\n".join([*lines, f"next: ragmed compare {run.folder}", f"      ragmed report {run.folder}"])
