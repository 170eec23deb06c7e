"""An Experiment carried out: tasks bound, models asked, samples kept, then scored, arms compared, page written.

    results = run_experiment(load_experiment(Path("configs/quickstart.yaml")), workspace=Workspace.find())

Resumes where an earlier call stopped, and asks nothing that is answered already.
"""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

import ragmed
from ragmed import prompts
from ragmed.arms import CONTEXTS, Arm
from ragmed.augmentation import Augmenter, ClosedBook, Prepared
from ragmed.comparison.results import Results
from ragmed.errors import MismatchError
from ragmed.evaluation import answer, unanswered
from ragmed.experiments.binding import access_of, applies, bind_tasks
from ragmed.experiments.config import Experiment
from ragmed.experiments.identity import (
    arm_identity,
    identity_defaults,
    model_identity,
    run_identity,
    task_identity,
)
from ragmed.experiments.memory import peak_memory, start_measuring
from ragmed.experiments.references import index_names, open_references, replayed_run, used_retrievers
from ragmed.experiments.results import write_results
from ragmed.experiments.search import FILE as SEARCHED
from ragmed.experiments.search import searched
from ragmed.experiments.tuned import adapter_hashes, adapters_to_train, manifests, train_missing
from ragmed.files import read_json
from ragmed.metrics import metric_facts
from ragmed.models import MayNotScore, Model, load_model
from ragmed.models.recorded import RecordedAnswers
from ragmed.protection import refuse_leaks
from ragmed.records import Passage, strictest
from ragmed.retrieval.named import index_recipe
from ragmed.runs import SCHEMA, Run
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

# A change of one of these can change an answer; a run is not resumed under another version.
ANSWERING = ("torch", "transformers", "tokenizers", "sentence-transformers")
ANSWERING_BY_SCHEME = {"chat": ("langchain", "langchain-core"), "vllm": ("vllm",)}


@dataclass(frozen=True, slots=True)
class Assignment:
    """One arm on one task, and the places of the examples that it is asked: those that are not answered yet, or, with
    `again`, those that ended in `error`.
    """

    arm: Arm
    bound: BoundTask
    places: Sequence[int]
    again: bool = False


def run_experiment(
    experiment: Experiment, *, workspace: Workspace, output: Path | None = None, retry_errors: bool = False
) -> Results:
    """The results (see `results.json`), after everything that was missing has been asked.

    `retry_errors`: samples that ended in `error`, as where a server was down, are asked again, and replaced.
    Raises MismatchError where `output` holds a run made otherwise, BusyError where another process writes to it.
    """
    bound = bind_tasks(experiment, workspace)
    access = access_of(experiment, bound, workspace)  # before anything is trained or sent
    asked = [experiment.models[arm.model] for arm in experiment.arms.values()]
    refuse_leaks(access, asked, os.environ)
    recorded = recorded_answers(experiment, workspace)
    require_replays(experiment, bound, workspace)
    adapters_to_train(experiment, workspace)
    train_missing(experiment, workspace)
    adapters = manifests(experiment, workspace)
    trained_on = [adapter["access"] for adapter in adapters.values() if "access" in adapter]
    refuse_leaks(strictest([access, *trained_on]), asked, os.environ)
    kept = strictest([access, *trained_on, *(model.access for model in recorded.values())])
    run = Run(output or workspace.runs / experiment.name, access=kept)
    with run.held():
        experiment = searched(experiment, workspace=workspace, run=run)
        begun = run.begin(describe(experiment, bound, run, recorded), defaults=identity_defaults())
        run = Run(run.folder, access=begun["access"])  # of what was asked before, too
        run.add_identity("adapters", adapter_hashes(experiment, workspace))  # before what is known of them
        run.add_references("adapters", adapters)
        if experiment.search:
            run.add_references("search", read_json(run.folder / SEARCHED, "search record"))
        ask(pending(experiment, bound, run), experiment, workspace=workspace, run=run)
        if retry_errors:
            ask(failed(experiment, bound, run), experiment, workspace=workspace, run=run)
        return write_results(run, experiment.comparison)


def require_replays(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> None:
    """Raises what `replayed_run` raises, before anything is trained or asked."""
    for arm in experiment.arms.values():
        for task in bound.values() if arm.replay else ():
            if applies(arm, task):
                replayed_run(arm, task.name, workspace=workspace)


def recorded_answers(experiment: Experiment, workspace: Workspace) -> dict[str, RecordedAnswers]:
    """The recorded models, which are read before anything else: what they hold is part of what makes the run."""
    named = {n: m for n, m in experiment.models.items() if m.scheme == "recorded"}
    return {n: cast(RecordedAnswers, load_model(m, workspace=workspace)) for n, m in named.items()}


def pending(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Assignment]:
    """What is still to be asked, arms of one model together, so that each model is loaded once."""
    assignments = []
    for model in experiment.models:
        for task in bound.values():
            for arm in (a for a in experiment.arms.values() if a.model == model and applies(a, task)):
                done = run.done(arm.name, task.name, [e.id for e in task.examples], window=experiment.window)
                if done < len(task.examples):
                    assignments.append(Assignment(arm, task, range(done, len(task.examples))))
    return assignments


def describe(
    experiment: Experiment, bound: Mapping[str, BoundTask], run: Run, recorded: Mapping[str, RecordedAnswers]
) -> dict[str, Any]:
    """run.json: `identity` holds what can change an answer, the rest is for the reader."""
    settings = experiment.resolved()
    models = {n: model_identity(m) for n, m in experiment.models.items()}
    for name, model in recorded.items():
        models[name] |= model.fingerprint()
    identity = {
        "run": run_identity(experiment),
        "models": models,
        "arms": {n: arm_identity(arm) for n, arm in experiment.arms.items()},
        "retrievers": {n: settings["retrievers"][n] for n in used_retrievers(experiment)},
        "tasks": {n: task_identity(b) for n, b in bound.items()},
    }
    return {
        "schema": SCHEMA,
        "name": run.name,
        "experiment": settings,
        "identity": identity,
        "access": run.access,
        "tasks": {
            name: {
                "source": b.task.source,
                "license": b.task.license,
                "reader": b.reader,
                "metrics": [asdict(facts) for facts in metric_facts(b.task.metrics)],
                "examples": len(b.examples),
                "held_out": b.held_out,
            }
            for name, b in bound.items()
        },
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version(), "commit": _commit()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count() or 0, "system": platform.system()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def ask(assignments: Sequence[Assignment], experiment: Experiment, *, workspace: Workspace, run: Run) -> None:
    """Augmenters that need no model first; then each model once, over its assignments, window by window."""
    if not assignments:
        return
    schemes = {experiment.models[assignment.arm.model].scheme for assignment in assignments}
    packages = [*ANSWERING, *(p for scheme in sorted(schemes) for p in ANSWERING_BY_SCHEME.get(scheme, ()))]
    run.add_identity("versions", {name: _version(name) for name in packages})
    augmenters = make_augmenters(assignments, experiment, workspace=workspace, run=run)
    for name in dict.fromkeys(assignment.arm.model for assignment in assignments):
        model = load_model(experiment.models[name], workspace=workspace, seed=experiment.seed)
        run.add_identity("weights", {name: model.fingerprint()})
        mine = [assignment for assignment in assignments if assignment.arm.model == name]
        if isinstance(model, MayNotScore) and any(assignment.bound.needs_likelihoods for assignment in mine):
            model.require_scoring()
        for assignment in mine:
            augmenter = augmenters[assignment.arm.name, assignment.bound.name]
            ask_assignment(assignment, augmenter, model, experiment, run)
        del model
        gc.collect()


def ask_assignment(
    assignment: Assignment, augmenter: Augmenter, model: Model, experiment: Experiment, run: Run
) -> None:
    """Window by window; a kill while samples are asked again leaves everything as it was."""
    arm, bound, places = assignment.arm, assignment.bound, assignment.places
    budget = budget_of(arm, experiment, model)
    samples = list(run.samples_of(arm.name, bound.name)) if assignment.again else []
    if assignment.again or places[0]:
        require_same_prompt(assignment, augmenter, model, experiment, run)
    start_measuring()
    answered, label = len(bound.examples) - len(places), f"{arm.name} on {bound.name}"
    with tqdm(total=len(bound.examples), initial=answered, desc=label, unit="q", disable=None) as bar:
        for start in range(0, len(places), experiment.window):
            window = places[start : start + experiment.window]
            examples = [bound.examples[place] for place in window]
            augmentations = augmenter.augment(bound, examples, model=model)
            answers = answer(arm, bound, examples, augmentations, model=model, budget=budget)
            if assignment.again:
                for place, sample in zip(window, answers, strict=True):
                    samples[place] = sample
            else:
                run.append(arm.name, bound.name, answers)
            bar.update(len(answers))
    if assignment.again:
        run.replace(arm.name, bound.name, samples)
    _keep_peak(arm, experiment, run)


def require_same_prompt(
    assignment: Assignment, augmenter: Augmenter, model: Model, experiment: Experiment, run: Run
) -> None:
    """MismatchError where the first stored sample would be asked with another prompt now: whatever changed (words,
    passages, budget, code), what is asked from here on would not be the same trial.
    """
    if isinstance(model, RecordedAnswers) or augmenter.needs_model:
        return
    arm, bound = assignment.arm, assignment.bound
    stored = next(run.samples_of(arm.name, bound.name))
    first = bound.examples[:1]
    augmentations = augmenter.augment(bound, first, model=model)
    budget = budget_of(arm, experiment, model)
    now = unanswered(arm, bound, first, augmentations, model=model, budget=budget)[0]
    if now.prompt != stored.prompt:
        raise MismatchError(
            f"run '{run.name}', arm '{arm.name}' on task '{bound.name}': example '{stored.example.id}' was asked with "
            "another prompt than it would be now; samples of the two must not mix: give the new one its own --output, "
            "or delete the run"
        )


def _keep_peak(arm: Arm, experiment: Experiment, run: Run) -> None:
    """The most memory that any of the arm's tasks took; those of an earlier call count."""
    peak = peak_memory(experiment.models[arm.model].scheme)
    known = run.info().get("references", {}).get("memory", {}).get(arm.name)
    if peak and (not known or peak["of"] != known["of"] or peak["peak_bytes"] > known["peak_bytes"]):
        run.add_references("memory", {arm.name: peak})


def budget_of(arm: Arm, experiment: Experiment, model: Model) -> int:
    """Tokens that prompt and answer of an arm may have: the least of what arm, experiment and model allow."""
    return min(limit for limit in (arm.context_tokens, experiment.context_tokens, model.context_tokens) if limit)


def failed(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Assignment]:
    """The arms and tasks that are through, but for samples that ended in `error`."""
    places: dict[tuple[str, str], list[int]] = {}
    for key, samples in groupby(run.stream(), key=lambda entry: entry[:2]):
        places[key] = [place for place, (_, _, sample) in enumerate(samples) if sample.finish == "error"]
    arms = [arm for model in experiment.models for arm in experiment.arms.values() if arm.model == model]
    asked = [(arm, task, places.get((arm.name, task.name), [])) for arm in arms for task in bound.values()]
    return [Assignment(arm, task, wrong, again=True) for arm, task, wrong in asked if wrong]


def make_augmenters(
    assignments: Sequence[Assignment], experiment: Experiment, *, workspace: Workspace, run: Run
) -> dict[tuple[str, str], Augmenter]:
    """The augmenter of every pending arm and task; references are opened once, and let go after, unless an augmenter
    needs the model as well.
    """
    made: dict[tuple[str, str], Augmenter] = {}
    for named in dict.fromkeys((a.arm.retriever, a.arm.index) for a in assignments):
        alike = [a for a in assignments if (a.arm.retriever, a.arm.index) == named]
        if not any(named):
            made |= {(a.arm.name, a.bound.name): ClosedBook() for a in alike}
            continue
        references = open_references(alike[0].arm, experiment, workspace=workspace)
        identities = {name: {"identity": index.identity} for name, index in references.indexes.items()}
        run.add_identity("indexes", identities)
        run.add_identity("references", {references.name: references.retriever.identity})
        run.add_references("indexes", {references.name: references.record()})
        for arm, bound in ((assignment.arm, assignment.bound) for assignment in alike):
            augmenter: Augmenter
            if arm.replay:
                augmenter, samples = references.replayed(arm, bound.name, workspace=workspace)
                run.add_identity("replays", {f"{arm.name} on {bound.name}": samples})
            else:
                augmenter = references.augmenter(arm, seed=experiment.seed)
            made[arm.name, bound.name] = augmenter if augmenter.needs_model else Prepared(augmenter, bound)
    return made


def dry_run(experiment: Experiment, *, workspace: Workspace) -> str:
    """What would be asked: a line for each arm and task, and one prompt of each; loads no model and no index."""
    lines = []
    for index in index_names(experiment, workspace):
        index_recipe(index, workspace)
    lines += [f"{name}: an adapter that is trained first" for name in adapters_to_train(experiment, workspace)]
    if experiment.search:
        asked = experiment.search
        lines.append(f"search: arm {asked.arm} on the development examples of {asked.task}, before anything is asked")
    tasks = bind_tasks(experiment, workspace)
    require_replays(experiment, tasks, workspace)
    for bound in tasks.values():
        lines.append(f"{bound.name}: {len(bound.examples)} examples, scoring {bound.settings.scoring}")
        for arm in experiment.arms.values():
            if not applies(arm, bound):
                lines.append(f"  {arm.name}: does not apply ({CONTEXTS[arm.context]})")
                continue
            shown = f" ({_references(arm, experiment)}, k {arm.k})" if arm.needs_index else ""
            lines.append(f"  {arm.name}: {experiment.models[arm.model].name}, {CONTEXTS[arm.context]}{shown}")
            dummy = (
                [Passage("id", "document", "Title of passage", "", "Text of passage.", 0, 16)]
                if arm.needs_index
                else []
            )
            messages = prompts.build_messages(
                bound, bound.examples[0], passages=dummy, hide_question=arm.context == "options-only"
            )
            lines += [f"      {m.role}: {line}" for m in messages for line in m.content.split("\n")]
    return "\n".join(lines)


def _references(arm: Arm, experiment: Experiment) -> str:
    """Where an arm's passages come from, in words."""
    if arm.replay:
        return f"those of {arm.replay}"
    spec = experiment.retrievers.get(arm.retriever)
    if spec is None:
        return f"dense, {arm.index}"
    return f"{arm.retriever}: {spec.method} of {', '.join(spec.of or (spec.index,))}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the checkout that runs, or an empty string outside of one."""
    try:
        git = subprocess.run(
            ["git", "-C", str(Path(ragmed.__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return git.stdout.strip() if git.returncode == 0 else ""
