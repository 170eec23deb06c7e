"""An Experiment carried out: tasks bound, passages retrieved, models asked, samples kept, arms compared, page written.

    results = run_experiment(load_experiment(Path("configs/quickstart.yaml")), workspace=Workspace.find())

Goes on where an earlier call stopped, and asks nothing that is answered already.
"""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

import ragmed
from ragmed import evaluation, prompts, selection
from ragmed.arms import CONTEXTS, Arm
from ragmed.corpora import load_recipe
from ragmed.evaluation import answer
from ragmed.experiments.config import Experiment
from ragmed.experiments.memory import peak_memory, start_measuring
from ragmed.experiments.results import write_results
from ragmed.experiments.search import FILE as SEARCHED
from ragmed.experiments.search import searched
from ragmed.experiments.tuned import adapter_hashes, adapters_to_train, manifests, train_missing
from ragmed.files import read_json, sha256_file
from ragmed.finetuning.texts import strictest
from ragmed.index.manifest import Manifest
from ragmed.metrics import overlap
from ragmed.models import MayNotScore, Model, load_model
from ragmed.models.recorded import RecordedAnswers
from ragmed.protection import refuse_leaks
from ragmed.records import Access, Passage
from ragmed.retrieval.named import index_recipe, open_or_build
from ragmed.runs import SCHEMA, Run
from ragmed.selection import Shown, choose_passages
from ragmed.tasks import BoundTask, answers, load_task
from ragmed.workspace import Workspace

# A change of one of these can change an answer; a run does not go on under another version.
ANSWERING = ("torch", "transformers", "tokenizers", "sentence-transformers")
# How a server is reached changes no answer of it, nor does what is known of a model's past.
TRANSPORT = ("concurrency", "timeout", "retries", "key", "trusted", "base", "tuned_by")
ANSWERING_BY_SCHEME = {"chat": ("langchain", "langchain-core"), "vllm": ("vllm",)}


AskPiece = Callable[["Piece", Sequence[Shown], Model, Experiment, Run], None]
ANSWERING_CODE = (prompts, answers, selection, evaluation, overlap)


@dataclass(frozen=True, slots=True)
class Piece:
    """One arm on one task, as far as it is not answered yet: examples from `done` on."""

    arm: Arm
    bound: BoundTask
    done: int


def run_experiment(
    experiment: Experiment, *, workspace: Workspace, output: Path | None = None, retry_errors: bool = False
) -> dict[str, Any]:
    """The results (see `results.json`), after everything that was missing has been asked.

    `retry_errors`: samples that ended in `error`, as where a server was down, are asked again, and replaced.
    Raises MismatchError where `output` holds a run made otherwise, BusyError where another process writes to it.
    """
    bound = bind_tasks(experiment, workspace)
    access = access_of(experiment, bound, workspace)  # before anything is trained or sent
    asked = [experiment.models[arm.model] for arm in experiment.arms.values()]
    refuse_leaks(access, asked, os.environ)
    recorded = recorded_answers(experiment, workspace)
    adapters_to_train(experiment, workspace)
    train_missing(experiment, workspace)
    adapters = manifests(experiment, workspace)
    learnt = [one["access"] for one in adapters.values() if "access" in one]
    refuse_leaks(strictest([access, *learnt]), asked, os.environ)
    kept = strictest([access, *learnt, *(model.access for model in recorded.values())])
    run = Run(output or workspace.runs / experiment.name, access=kept)
    with run.held():
        experiment = searched(experiment, workspace=workspace, run=run)
        run.begin(describe(experiment, bound, run, recorded))
        run.add_identity("adapters", adapter_hashes(experiment, workspace))  # before what is known of them
        run.add_references("adapters", adapters)
        if experiment.search:
            run.add_references("search", read_json(run.folder / SEARCHED, "search record"))
        pieces = pending(experiment, bound, run)
        if pieces:
            schemes = {experiment.models[piece.arm.model].scheme for piece in pieces}
            packages = [*ANSWERING, *(name for one in sorted(schemes) for name in ANSWERING_BY_SCHEME.get(one, ()))]
            run.add_identity("versions", {name: _version(name) for name in packages})
            ask(pieces, experiment, workspace=workspace, run=run)
        again = failed(experiment, bound, run) if retry_errors else []
        if again:
            ask(again, experiment, workspace=workspace, run=run, each=retry_piece)
        return write_results(run, experiment.comparison)


def bind_tasks(experiment: Experiment, workspace: Workspace) -> dict[str, BoundTask]:
    return {n: load_task(n, s, workspace=workspace, seed=experiment.seed) for n, s in experiment.tasks.items()}


def access_of(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> Access:
    """The strictest access of the tasks and of the corpora behind the indexes: samples quote from both."""
    tiers: list[Access] = [b.task.access for b in bound.values()]
    for name in dict.fromkeys(a.index for a in experiment.arms.values() if a.needs_index):
        for corpus in index_recipe(name, workspace).corpora:
            tiers.append(load_recipe(workspace.recipe("corpora", corpus), data=workspace.data).access)
    return strictest(tiers)


def recorded_answers(experiment: Experiment, workspace: Workspace) -> dict[str, RecordedAnswers]:
    """The recorded models, which are read before anything else: what they hold is part of what makes the run."""
    named = {n: m for n, m in experiment.models.items() if m.scheme == "recorded"}
    return {n: cast(RecordedAnswers, load_model(m, workspace=workspace)) for n, m in named.items()}


def applies(arm: Arm, bound: BoundTask) -> bool:
    """Whether an arm can be run on a task: oracle passages need gold documents, a baseline on options needs options."""
    if arm.tasks and bound.name not in arm.tasks:
        return False
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


def describe(
    experiment: Experiment, bound: Mapping[str, BoundTask], run: Run, recorded: Mapping[str, RecordedAnswers]
) -> dict[str, Any]:
    """run.json: `identity` holds what can change an answer, the rest is for the reader."""
    plain = experiment.resolved()
    models = {n: {k: v for k, v in m.items() if k not in TRANSPORT} for n, m in plain["models"].items()}
    for name, model in recorded.items():
        models[name] |= model.fingerprint()
    identity = {
        "seed": experiment.seed,
        "window": experiment.window,
        "context_tokens": experiment.context_tokens,
        "models": models,
        "arms": plain["arms"],
        "tasks": {n: {**plain["tasks"][n], **b.fingerprint()} for n, b in bound.items()},
        "code": {m.__name__: sha256_file(Path(str(m.__file__))) for m in ANSWERING_CODE},
    }
    return {
        "schema": SCHEMA,
        "name": run.name,
        "experiment": plain,
        "identity": identity,
        "access": run.access,
        "tasks": {
            name: {
                "source": b.task.source,
                "license": b.task.license,
                "metrics": list(b.task.metrics),
                "examples": len(b.examples),
                "held_out": b.held_out,
            }
            for name, b in bound.items()
        },
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version(), "commit": _commit()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count() or 0, "system": platform.system()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def ask(
    pieces: Sequence[Piece], experiment: Experiment, *, workspace: Workspace, run: Run, each: AskPiece | None = None
) -> None:
    """Retrieval first, for all pieces; then each model once, over its pieces, window by window."""
    shown = retrieve(pieces, experiment, workspace=workspace, run=run)
    for name in dict.fromkeys(p.arm.model for p in pieces):
        model = load_model(experiment.models[name], workspace=workspace, seed=experiment.seed)
        run.add_identity("weights", {name: model.fingerprint()})
        mine = [piece for piece in pieces if piece.arm.model == name]
        if isinstance(model, MayNotScore) and any(piece.bound.needs_likelihoods for piece in mine):
            model.require_scoring()
        for piece in mine:
            (each or ask_piece)(piece, shown[piece.arm.name, piece.bound.name], model, experiment, run)
        del model
        gc.collect()


def ask_piece(piece: Piece, shown: Sequence[Shown], model: Model, experiment: Experiment, run: Run) -> None:
    budget = budget_of(piece.arm, experiment, model)
    examples, size = piece.bound.examples, experiment.window
    label = f"{piece.arm.name} on {piece.bound.name}"
    start_measuring()
    with tqdm(total=len(examples), initial=piece.done, desc=label, unit="q", disable=None) as bar:
        for start in range(piece.done, len(examples), size):
            window = slice(start, start + size)
            samples = answer(piece.arm, piece.bound, examples[window], shown[window], model=model, budget=budget)
            run.append(piece.arm.name, piece.bound.name, samples)
            bar.update(len(samples))
    _keep_peak(piece.arm, experiment, run)


def _keep_peak(arm: Arm, experiment: Experiment, run: Run) -> None:
    """The most memory that any of the arm's pieces took; pieces of an earlier call count."""
    peak = peak_memory(experiment.models[arm.model].scheme)
    known = run.info().get("references", {}).get("memory", {}).get(arm.name)
    if peak and (not known or peak["of"] != known["of"] or peak["peak_bytes"] > known["peak_bytes"]):
        run.add_references("memory", {arm.name: peak})


def budget_of(arm: Arm, experiment: Experiment, model: Model) -> int:
    """Tokens that prompt and answer of an arm may have: the least of what arm, experiment and model allow."""
    return min(limit for limit in (arm.context_tokens, experiment.context_tokens, model.context_tokens) if limit)


def failed(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Piece]:
    """The arms and tasks that are through, but for samples that ended in `error`."""
    errors = {key for key, samples in run.samples().items() if any(s.status == "error" for s in samples)}
    arms = [arm for model in experiment.models for arm in experiment.arms.values() if arm.model == model]
    return [Piece(arm, task, 0) for arm in arms for task in bound.values() if (arm.name, task.name) in errors]


def retry_piece(piece: Piece, shown: Sequence[Shown], model: Model, experiment: Experiment, run: Run) -> None:
    """Asks the examples that ended in `error` again; a kill meanwhile leaves everything as it was."""
    samples = list(run.samples()[piece.arm.name, piece.bound.name])
    places = [place for place, sample in enumerate(samples) if sample.status == "error"]
    budget = budget_of(piece.arm, experiment, model)
    for start in range(0, len(places), experiment.window):
        window = places[start : start + experiment.window]
        examples = [piece.bound.examples[place] for place in window]
        again = answer(piece.arm, piece.bound, examples, [shown[p] for p in window], model=model, budget=budget)
        for place, sample in zip(window, again, strict=True):
            samples[place] = sample
    run.replace(piece.arm.name, piece.bound.name, samples)


def retrieve(
    pieces: Sequence[Piece], experiment: Experiment, *, workspace: Workspace, run: Run
) -> dict[tuple[str, str], list[Shown]]:
    """The passages of every pending arm and task; each index and its embedder is loaded once, and let go after."""
    from ragmed.retrieval.dense import DenseRetriever

    shown: dict[tuple[str, str], list[Shown]] = {}
    for name in dict.fromkeys(p.arm.index for p in pieces):
        index, embedder = open_or_build(name, workspace=workspace) if name else (None, None)
        retriever = DenseRetriever(index, embedder) if index and embedder else None
        if index:
            run.add_identity("indexes", {name: {"identity": index.manifest.identity, "searched_on": index.device}})
            run.add_references("indexes", {name: made_of(index.manifest)})
        for piece in (p for p in pieces if p.arm.index == name):
            shown[piece.arm.name, piece.bound.name] = choose_passages(
                piece.arm, piece.bound, piece.bound.examples, retriever=retriever, gold=index, seed=experiment.seed
            )
    return shown


def made_of(manifest: Manifest) -> dict[str, Any]:
    """What the comparison needs to know of an index: its corpora, and what building it cost."""
    return {
        "corpora": [{"name": one["name"], "sha256": one["sha256"]} for one in manifest.corpora],
        "passages": manifest.counts["passages"],
        "seconds": manifest.seconds,
        "device": manifest.device,
        "taken_over": manifest.counts.get("taken_over", 0),
    }


def dry_run(experiment: Experiment, *, workspace: Workspace) -> str:
    """What would be asked: a line for each arm and task, and one prompt of each; loads no model and no index."""
    lines = []
    for index in dict.fromkeys(arm.index for arm in experiment.arms.values() if arm.needs_index):
        index_recipe(index, workspace)
    lines += [f"{name}: an adapter that is trained first" for name in adapters_to_train(experiment, workspace)]
    if experiment.search:
        asked = experiment.search
        lines.append(f"search: arm {asked.arm} on the development examples of {asked.task}, before anything is asked")
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
