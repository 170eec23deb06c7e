"""An Experiment carried out: tasks bound, passages retrieved, models asked, samples kept, arms compared, page written.

    results = run_experiment(load_experiment(Path("configs/quickstart.yaml")), workspace=Workspace.find())

Goes on where an earlier call stopped, and asks nothing that is answered already.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm import tqdm

import ragmed
from ragmed import evaluation, prompts
from ragmed.arms import CONTEXTS, Arm
from ragmed.comparison.compare import ComparisonSettings, compare
from ragmed.errors import DataError, MismatchError, UnknownNameError
from ragmed.evaluation import Shown, answer, choose_passages
from ragmed.experiments.config import Experiment
from ragmed.files import sha256_file, write_json
from ragmed.models import Model, load_model
from ragmed.records import Passage, Sample
from ragmed.runs import SCHEMA, Run
from ragmed.tasks import BoundTask, answers, load_task
from ragmed.workspace import Workspace

# A change of one of these can change an answer; a run does not go on under another version.
ANSWERING = ("torch", "transformers", "tokenizers", "sentence-transformers")


@dataclass(frozen=True, slots=True)
class Piece:
    """One arm on one task, as far as it is not answered yet: examples from `done` on."""

    arm: Arm
    bound: BoundTask
    done: int


def run_experiment(experiment: Experiment, *, workspace: Workspace, output: Path | None = None) -> dict[str, Any]:
    """The results (see `results.json`), after everything that was missing has been asked.

    Raises MismatchError where `output` holds a run made otherwise, BusyError where another process writes to it.
    """
    bound = bind_tasks(experiment, workspace)
    run = Run(output or workspace.runs / experiment.name)
    with run.held():
        run.begin(describe(experiment, bound, run))
        pieces = pending(experiment, bound, run)
        if pieces:
            run.add_identity("versions", {name: _version(name) for name in ANSWERING})
            ask(pieces, experiment, workspace=workspace, run=run)
        return write_results(run, experiment.comparison)


def bind_tasks(experiment: Experiment, workspace: Workspace) -> dict[str, BoundTask]:
    return {n: load_task(n, s, workspace=workspace, seed=experiment.seed) for n, s in experiment.tasks.items()}


def applies(arm: Arm, bound: BoundTask) -> bool:
    """Whether an arm can be run on a task: oracle passages need gold documents, a baseline on options needs options."""
    if arm.context == "oracle":
        return bound.task.gold_documents
    return arm.context != "options-only" or bound.task.kind == "choice"


def pending(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Piece]:
    """What is still to be asked, arms of one model together, so that each model is loaded once."""
    pieces = []
    for model in experiment.models:
        for task in bound.values():
            for arm in (a for a in experiment.arms.values() if a.model == model and applies(a, task)):
                done = run.done(arm.name, task.name, [e.id for e in task.examples], window=experiment.window)
                if done < len(task.examples):
                    pieces.append(Piece(arm, task, done))
    return pieces


def describe(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> dict[str, Any]:
    """run.json: `identity` holds what can change an answer, the rest is for the reader."""
    plain = experiment.resolved()
    identity = {
        "seed": experiment.seed,
        "window": experiment.window,
        "context_tokens": experiment.context_tokens,
        "models": plain["models"],
        "arms": plain["arms"],
        "tasks": {n: {**plain["tasks"][n], **b.fingerprint()} for n, b in bound.items()},
        "code": {m.__name__: sha256_file(Path(str(m.__file__))) for m in (prompts, answers, evaluation)},
    }
    return {
        "schema": SCHEMA,
        "name": run.name,
        "experiment": plain,
        "identity": identity,
        "sources": {n: {"source": b.task.source, "license": b.task.license} for n, b in bound.items()},
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version(), "commit": _commit()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count() or 0, "system": platform.system()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def ask(pieces: Sequence[Piece], experiment: Experiment, *, workspace: Workspace, run: Run) -> None:
    """Retrieval first, for all pieces; then each model once, over its pieces, window by window."""
    shown = retrieve(pieces, experiment, workspace=workspace, run=run)
    for name in dict.fromkeys(p.arm.model for p in pieces):
        settings = experiment.models[name]
        model = load_model(settings.name, models_folder=workspace.models, device=settings.device, dtype=settings.dtype)
        run.add_identity("weights", {name: model.fingerprint()})
        for piece in (p for p in pieces if p.arm.model == name):
            ask_piece(piece, shown[piece.arm.name, piece.bound.name], model, experiment, run)
        del model
        gc.collect()


def ask_piece(piece: Piece, shown: Sequence[Shown], model: Model, experiment: Experiment, run: Run) -> None:
    budget = min(experiment.context_tokens or model.context_tokens, model.context_tokens)
    examples, size = piece.bound.examples, experiment.window
    label = f"{piece.arm.name} on {piece.bound.name}"
    with tqdm(total=len(examples), initial=piece.done, desc=label, unit="q", disable=None) as bar:
        for start in range(piece.done, len(examples), size):
            window = slice(start, start + size)
            samples = answer(piece.arm, piece.bound, examples[window], shown[window], model=model, budget=budget)
            run.append(piece.arm.name, piece.bound.name, samples)
            bar.update(len(samples))


def retrieve(
    pieces: Sequence[Piece], experiment: Experiment, *, workspace: Workspace, run: Run
) -> dict[tuple[str, str], list[Shown]]:
    """The passages of every pending arm and task; each index and its embedder is loaded once, and let go after."""
    from ragmed.retrieval.dense import DenseRetriever
    from ragmed.retrieval.named import open_or_build

    shown: dict[tuple[str, str], list[Shown]] = {}
    for name in dict.fromkeys(p.arm.index for p in pieces):
        index, embedder = open_or_build(name, workspace=workspace) if name else (None, None)
        retriever = DenseRetriever(index, embedder) if index and embedder else None
        if index:
            run.add_identity("indexes", {name: {"identity": index.manifest.identity, "searched_on": index.device}})
        for piece in (p for p in pieces if p.arm.index == name):
            shown[piece.arm.name, piece.bound.name] = choose_passages(
                piece.arm, piece.bound, piece.bound.examples, retriever=retriever, gold=index, seed=experiment.seed
            )
    return shown


def write_results(run: Run, settings: ComparisonSettings) -> dict[str, Any]:
    """Compares the stored samples, writes results.json and the report; calls no model."""
    from ragmed.report.markdown import write_report

    samples = stored_samples(run)
    results = compare(samples, run=run.name, settings=_present(settings, samples))
    write_json(run.results_file, results)
    write_report(results, run_info=run.info(), samples=samples, folder=run.report_folder)
    return results


def report_run(run: Run, *, folder: Path | None = None) -> Path:
    """Writes the page of a run again, from its samples, and returns where it lies."""
    from ragmed.report.markdown import write_report

    samples = stored_samples(run)
    results = compare(samples, run=run.name, settings=_present(stored_settings(run), samples))
    return write_report(results, run_info=run.info(), samples=samples, folder=folder or run.report_folder)


def compare_runs(runs: Sequence[Run], *, baseline: str | None = None, margin: float | None = None) -> dict[str, Any]:
    """>>> compare_runs([find_run(Path("runs"), "quickstart")], margin=0.03)["contrasts"]  # doctest: +SKIP

    Statistics from stored samples. Arms of several runs are named RUN/ARM; each task they share must have been asked
    in the same words, else MismatchError.
    """
    settings = stored_settings(runs[0])
    samples = stored_samples(runs[0])
    if len(runs) > 1:
        _refuse_other_questions(runs)
        samples = {(f"{r.name}/{a}", t): s for r in runs for (a, t), s in stored_samples(r).items()}
        leaks = tuple(f"{r.name}/{a}" for r in runs for a in stored_settings(r).baseline_arms)
        first = f"{runs[0].name}/{settings.baseline}"
        settings = dataclasses.replace(settings, baseline=first, contrasts=(), baseline_arms=leaks)
    if baseline is not None:
        known = {arm for arm, _ in samples}
        if baseline not in known:
            raise UnknownNameError("arm", baseline, known)
        settings = dataclasses.replace(settings, baseline=baseline, contrasts=())
    if margin is not None:
        settings = dataclasses.replace(settings, margin=margin)
    return compare(samples, run="+".join(r.name for r in runs), settings=_present(settings, samples))


def _present(settings: ComparisonSettings, samples: Mapping[tuple[str, str], Sequence[Sample]]) -> ComparisonSettings:
    """The settings as far as arms have been asked: a run may be carried out arm by arm."""
    arms = list(dict.fromkeys(arm for arm, _ in samples))
    leaks = tuple(a for a in settings.baseline_arms if a in arms)
    tested = [a for a in arms if a not in leaks]
    if not tested:
        raise DataError("only baseline arms have been asked yet; there is nothing to compare")
    return dataclasses.replace(
        settings,
        baseline=settings.baseline if settings.baseline in tested else tested[0],
        contrasts=tuple(pair for pair in settings.contrasts if set(pair) <= set(arms)),
        baseline_arms=leaks,
    )


def _refuse_other_questions(runs: Sequence[Run]) -> None:
    first = runs[0].info()["identity"]["tasks"]
    for run in runs[1:]:
        for task, identity in run.info()["identity"]["tasks"].items():
            for key in ("sha256", "scoring", "normalise"):
                if task in first and first[task][key] != identity[key]:
                    raise MismatchError(
                        f"runs '{runs[0].name}' and '{run.name}' asked task '{task}' differently ({key}); "
                        "they cannot be compared on it"
                    )


def stored_samples(run: Run) -> dict[tuple[str, str], list[Sample]]:
    """All samples of a run, in the order in which its experiment names tasks and arms."""
    samples = run.samples()
    if not samples:
        raise DataError(f"run '{run.name}' has no samples yet; run `ragmed eval` with its config")
    asked = run.info()["experiment"]
    arms, tasks = list(asked["arms"]), list(asked["tasks"])
    return {key: samples[key] for key in sorted(samples, key=lambda k: (tasks.index(k[1]), arms.index(k[0])))}


def dry_run(experiment: Experiment, *, workspace: Workspace) -> str:
    """What would be asked: a line for each arm and task, and one prompt of each; loads no model and no index."""
    lines = []
    for bound in bind_tasks(experiment, workspace).values():
        lines.append(f"{bound.name}: {len(bound.examples)} examples, scoring {bound.settings.scoring}")
        for arm in experiment.arms.values():
            if not applies(arm, bound):
                lines.append(f"  {arm.name}: does not apply ({CONTEXTS[arm.context]})")
                continue
            lines.append(f"  {arm.name}: {experiment.models[arm.model].name}, {CONTEXTS[arm.context]}")
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


def stored_settings(run: Run) -> ComparisonSettings:
    plain = run.info()["experiment"]["comparison"]
    known = {f.name for f in dataclasses.fields(ComparisonSettings)}
    if set(plain) - known:
        raise MismatchError(
            f"run '{run.name}' was made by another version: unknown settings {sorted(set(plain) - known)}"
        )
    plain["contrasts"] = tuple(tuple(pair) for pair in plain["contrasts"])
    plain["baseline_arms"] = tuple(plain["baseline_arms"])
    plain["binary_metrics"] = frozenset(plain["binary_metrics"])
    return ComparisonSettings(**plain)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the checkout that runs, or an empty string outside of one."""
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(ragmed.__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
