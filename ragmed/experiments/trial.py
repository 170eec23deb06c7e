"""An Experiment carried out: tasks bound, models asked, samples kept, then scored, arms compared, page written.

    results = run_experiment(load_experiment(Path("configs/quickstart.yaml")), workspace=Workspace.find())

Resumes where an earlier call stopped, and asks nothing that is answered already.
"""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

import ragmed
from ragmed.arms import BY_MODEL, CONTEXTS, Arm
from ragmed.augmentation import Augmenter, ClosedBook, Prepared, WholeRecord
from ragmed.comparison.results import Results
from ragmed.errors import MismatchError, UsageError
from ragmed.evaluation import answer, arm_messages, unanswered
from ragmed.experiments.binding import access_of, applies, as_asked, bind_tasks, notes_of, why_not
from ragmed.experiments.check import Prompting, require_answers, require_constraint
from ragmed.experiments.config import Experiment
from ragmed.experiments.effect import effect_on, require_effect, served_template, unseen
from ragmed.experiments.identity import (
    arm_identity,
    identity_defaults,
    model_identity,
    run_identity,
    task_identity,
)
from ragmed.experiments.memory import peak_memory, start_measuring
from ragmed.experiments.references import (
    RecordReferences,
    References,
    index_names,
    lying_files,
    open_references,
    reads_record,
    record_embedders,
    replay_hash,
    retrieval_models,
    used_retrievers,
)
from ragmed.experiments.results import write_results
from ragmed.experiments.search import FILE as SEARCHED
from ragmed.experiments.search import searched
from ragmed.experiments.today import corrected_tasks, require_unchanged, same_example
from ragmed.experiments.tuned import adapter_hashes, adapters_to_train, manifests, train_missing
from ragmed.experiments.written import recorded_queries
from ragmed.files import read_json, whole_text
from ragmed.metrics import metric_facts
from ragmed.metrics.resources import resource_hash
from ragmed.metrics.settings import model_folder
from ragmed.metrics.support import LEXICAL, UNSUPPORTED
from ragmed.models import HasNotes, MayNotScore, Model, OneByOne, SwitchesAdapter, load_model
from ragmed.models.present import present_files
from ragmed.models.recorded import RecordedAnswers
from ragmed.models.settings import LOCAL, REMOTE
from ragmed.progress import open_bar, telling
from ragmed.protection import refuse_leaks
from ragmed.records import RECORD, Passage, Sample, strictest
from ragmed.retrieval.named import index_recipe
from ragmed.retrieval.record import Records, whole_documents
from ragmed.runs import CHOICE, Run
from ragmed.scores import name_resources
from ragmed.steps.making import with_steps
from ragmed.stored import SCHEMA
from ragmed.tasks import BoundTask, Task, asked_hash
from ragmed.text_table import counted, visible
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
    experiment: Experiment,
    *,
    workspace: Workspace,
    output: Path | None = None,
    retry_errors: bool | None = None,
    restart: bool = False,
) -> Results:
    """The results (see `results.json`), after everything that was missing has been asked.

    Samples of servers that ended in `error` in an earlier call are asked again, and replaced: a server that was down
    may be up. `retry_errors`: those of all models, or (False) of none.
    `restart`: everything is asked again, and the run that lies there is kept under another name. Questions that were
    corrected since they were asked are asked again, they alone, which is said and stays in the run.
    Raises MismatchError where `output` holds a run made otherwise, finished or not, BusyError where another process
    writes to it.
    """
    bound = bind_tasks(experiment, workspace)
    require_metrics(experiment, bound, workspace)
    for note in notes_of(bound):
        _tell(f"note: {note}")
    _require_askable(experiment, bound)
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
    if restart and (aside := run.set_aside()):
        _tell(f"what was asked before is kept as '{aside}'")
    with run.held():
        experiment = searched(experiment, workspace=workspace, run=run)
        corrected = corrected_tasks(bound, run)
        begun = run.begin(describe(experiment, bound, run, recorded), defaults=identity_defaults(), corrected=corrected)
        run = Run(run.folder, access=begun["access"])  # of what was asked before, too
        for gone in require_unchanged(experiment, run, workspace):
            _tell(f"note: {gone}: no longer here, so not compared with what answered")
        run.add_identity("adapters", adapter_hashes(experiment, workspace))  # before what is known of them
        run.add_references("adapters", adapters)
        run.add_references("not_asked", _not_asked(experiment, bound))
        if experiment.search:
            run.add_references("search", read_json(run.folder / SEARCHED, "search record"))
        new = pending(experiment, bound, run)  # which also mends what a kill left of the files
        again = failed(experiment, bound, run, retry_errors)
        ask(new, experiment, workspace=workspace, run=run)
        ask(outdated(experiment, bound, run), experiment, workspace=workspace, run=run)
        ask(again, experiment, workspace=workspace, run=run)
        name_resources(run, experiment.metrics, workspace)
        return write_results(run, experiment.comparison)


def _tell(text: str) -> None:
    """A line on stderr, above bars. Names come from files: what a terminal takes for commands is shown, not sent."""
    tqdm.write(visible(text), file=sys.stderr)


def measured_by(task: Task, experiment: Experiment) -> tuple[str, ...]:
    """A task's metrics, the primary one first, and those further ones whose model or file the experiment names."""
    return (*task.metrics, *(name for name in task.further if name in experiment.metrics))


def require_metrics(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> None:
    """UsageError for a metric that measures none of the tasks, DataError where its model or file is not there: before
    anything is asked.
    """
    for name, settings in experiment.metrics.items():
        if not any(name in measured_by(b.task, experiment) for b in bound.values()):
            tasks = ", ".join(bound)
            raise UsageError(f"metrics.{name}: none of the tasks ({tasks}) is measured by it; take it out")
        if settings.model and (name, settings.model) != (UNSUPPORTED, LEXICAL):
            model_folder(settings.model, workspace.root, name)  # which fetches a model of the hub now, not at the end
        resource_hash(name, settings, workspace.root)


def _require_askable(experiment: Experiment, bound: Mapping[str, BoundTask]) -> None:
    """UsageError where an arm cannot be asked one of its tasks as it says, before anything is loaded."""
    for arm in experiment.arms.values():
        for task in bound.values():
            if applies(arm, task, experiment):
                asked_by(experiment, arm, task)


def asked_by(experiment: Experiment, arm: Arm, bound: BoundTask) -> BoundTask:
    """A task as an arm of the experiment is asked it; raises what `as_asked` raises."""
    return as_asked(arm, bound, experiment.models[arm.model].holds_by)


def require_replays(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> None:
    """Raises what `replay_hash` raises, before anything is trained or asked."""
    for arm in experiment.arms.values():
        for task in bound.values() if arm.replay else ():
            if applies(arm, task, experiment):
                replay_hash(arm, task.name, workspace=workspace)


def recorded_answers(experiment: Experiment, workspace: Workspace) -> dict[str, RecordedAnswers]:
    """The recorded models, which are read before anything else: what they hold is part of what makes the run."""
    named = {n: m for n, m in experiment.models.items() if m.scheme == "recorded"}
    return {n: cast(RecordedAnswers, load_model(m, workspace=workspace)) for n, m in named.items()}


def pending(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Assignment]:
    """What is still to be asked, arms of one model together, so that each model is loaded once."""
    assignments = []
    for model in experiment.models:
        for task in bound.values():
            for arm in (a for a in experiment.arms.values() if a.model == model and applies(a, task, experiment)):
                one_by_one = experiment.models[model].scheme in REMOTE
                ids = [example.id for example in task.examples]
                places = run.missing(arm.name, task.name, ids, window=experiment.window, one_by_one=one_by_one)
                if places:
                    assignments.append(Assignment(arm, asked_by(experiment, arm, task), places))
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
        "arms": {n: arm_identity(arm, experiment.models[arm.model].holds_by) for n, arm in experiment.arms.items()},
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
                "readers": _readers(experiment, b),
                "metrics": [asdict(facts) for facts in metric_facts(measured_by(b.task, experiment))],
                "examples": len(b.examples),
                "asked": asked_hash(b.examples),
                "held_out": b.held_out,
            }
            for name, b in bound.items()
        },
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version(), "commit": _commit()},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count() or 0, "system": platform.system()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _not_asked(experiment: Experiment, bound: Mapping[str, BoundTask]) -> dict[str, str]:
    """`ARM on TASK` -> why the one is not asked the other."""
    pairs = [(arm, task) for arm in experiment.arms.values() for task in bound.values()]
    reasons = {f"{arm.name} on {task.name}": why_not(arm, task, experiment) for arm, task in pairs}
    return {name: reason for name, reason in reasons.items() if reason}


def _readers(experiment: Experiment, bound: BoundTask) -> dict[str, str]:
    """The readers of arms whose answers to a task are read otherwise than by its own."""
    arms = [arm for arm in experiment.arms.values() if applies(arm, bound, experiment)]
    readers = {arm.name: asked_by(experiment, arm, bound).reader for arm in arms}
    return {name: reader for name, reader in readers.items() if reader != bound.reader}


def ask(assignments: Sequence[Assignment], experiment: Experiment, *, workspace: Workspace, run: Run) -> None:
    """Augmenters that need no model first; then each model once, over its assignments, window by window."""
    if not assignments:
        return
    schemes = {experiment.models[assignment.arm.model].scheme for assignment in assignments}
    packages = [*ANSWERING, *(p for scheme in sorted(schemes) for p in ANSWERING_BY_SCHEME.get(scheme, ()))]
    run.add_identity("versions", {name: _version(name) for name in packages})
    augmenters = make_augmenters(assignments, experiment, workspace=workspace, run=run)
    assignments = [one for one in assignments if (one.arm.name, one.bound.name) in augmenters]  # of others: a reason
    for name in dict.fromkeys(assignment.arm.model for assignment in assignments):
        files = present_files(experiment.models[name], workspace)  # before the loading: see `require_unchanged`
        settings = experiment.models[name]
        mine = [assignment for assignment in assignments if assignment.arm.model == name]
        seen: dict[str, Any] = {}
        look = partial(_look, seen, mine[0], augmenters[mine[0].arm.name, mine[0].bound.name], experiment)
        model = load_model(settings, workspace=workspace, seed=experiment.seed, while_apart=look)
        run.add_identity("weights", {name: model.fingerprint()})
        run.add_identity("files", {name: files})
        notes = dict(model.notes) if isinstance(model, HasNotes) else {}
        tuned = run.info().get("references", {}).get("adapters", {}).get(name)
        known: dict[str, Any] = {"prompts": seen}
        if tuned is not None:
            reported = model.fingerprint().get("server_template", "")
            known["unseen"] = unseen(settings, tuned)
            known["template_unlike"] = served_template(settings, reported, workspace)
        if known := {key: value for key, value in known.items() if value}:
            notes["adapter"] = {**notes.get("adapter", {}), **known}
        if notes:
            require_effect(settings.name, notes)
            run.add_references("models", {name: notes})
        if isinstance(model, MayNotScore) and any(assignment.bound.needs_likelihoods for assignment in mine):
            model.require_scoring()
        require_constraint([assignment.bound for assignment in mine], model)
        if experiment.models[name].scheme in REMOTE:
            require_answers([_prompting(a, augmenters, model, experiment) for a in mine if not a.again], model)
        for assignment in mine:
            augmenter = augmenters[assignment.arm.name, assignment.bound.name]
            ask_assignment(assignment, augmenter, model, experiment, run)
        del model
        if experiment.models[name].scheme in (*LOCAL, "vllm"):
            gc.collect()  # weights that are held in circles would lie beside those of the next model


def _look(
    seen: dict[str, Any], first: Assignment, augmenter: Augmenter, experiment: Experiment, model: SwitchesAdapter
) -> None:
    """Puts into `seen` what a model's adapter changes on the first prompts of its first task."""
    budget = budget_of(first.arm, experiment, model)
    seen |= effect_on(first.arm, first.bound, augmenter, model=model, budget=budget)


def _prompting(
    assignment: Assignment,
    augmenters: Mapping[tuple[str, str], Augmenter],
    model: Model,
    experiment: Experiment,
) -> Prompting:
    arm, bound = assignment.arm, assignment.bound
    return Prompting(arm, bound, augmenters[arm.name, bound.name], budget_of(arm, experiment, model))


def ask_assignment(
    assignment: Assignment, augmenter: Augmenter, model: Model, experiment: Experiment, run: Run
) -> None:
    """Window by window, each kept whole; of a server every answer as it comes, so that what was paid for stays. Where
    samples are asked again, a kill leaves those that they replace.
    """
    arm, bound, places = assignment.arm, assignment.bound, assignment.places
    budget = budget_of(arm, experiment, model)
    samples = run.ordered_samples(arm.name, bound.name) if assignment.again else []
    one_by_one = isinstance(model, OneByOne)
    require_same_prompt(assignment, augmenter, model, experiment, run)
    start_measuring()
    answered, label = len(bound.examples) - len(places), f"{arm.name} on {bound.name}"

    def keep(found: Sequence[tuple[int, Sample]]) -> None:
        placed = [replace(sample, place=place) for place, sample in found]
        if assignment.again:
            for sample in placed:
                samples[sample.place] = sample
        else:
            run.append(arm.name, bound.name, placed)
        bar.update(len(placed))

    with open_bar(total=len(bound.examples), initial=answered, desc=label, unit="questions") as bar:
        try:
            for start in range(0, len(places), experiment.window):
                window = places[start : start + experiment.window]
                examples = [bound.examples[place] for place in window]
                with _reason_kept(run, [assignment]):
                    augmentations = augmenter.augment(bound, examples, model=model)
                each = partial(_keep_one, keep, window) if one_by_one else None
                with telling(bar.ahead):
                    answers = answer(arm, bound, examples, augmentations, model=model, budget=budget, keep=each)
                if not one_by_one:
                    keep(list(zip(window, answers, strict=True)))
        finally:
            if assignment.again and one_by_one:  # what came before a Ctrl-C or a server's end stays
                run.replace(arm.name, bound.name, samples)
    if assignment.again and not one_by_one:
        run.replace(arm.name, bound.name, samples)
    ids = [example.id for example in bound.examples]
    run.missing(arm.name, bound.name, ids, window=experiment.window, one_by_one=one_by_one)  # sets them in order
    _keep_peak(arm, experiment, run)


def _keep_one(
    keep: Callable[[Sequence[tuple[int, Sample]]], None], window: Sequence[int], number: int, sample: Sample
) -> None:
    keep([(window[number], sample)])


def require_same_prompt(
    assignment: Assignment, augmenter: Augmenter, model: Model, experiment: Experiment, run: Run
) -> None:
    """MismatchError where the first stored sample would be asked with another prompt now: whatever changed (words,
    passages, budget, code), what is asked from here on would not be the same trial.
    """
    arm, bound = assignment.arm, assignment.bound
    writes = arm.query in BY_MODEL  # what it wrote is in its samples
    if isinstance(model, RecordedAnswers) or (arm.name, bound.name) not in run.asked():
        return
    if augmenter.needs_model and (arm.steps_ask or not writes):  # to look would be to ask, and the answer another
        return
    examples = {whole_text(example.id): example for example in bound.examples}
    samples = run.samples_of(arm.name, bound.name)
    asked = (s for s in samples if s.queries) if writes else samples
    stored = next((s for s in asked if same_example(s.example, examples[s.example.id])), None)
    if stored is None:  # all of them were corrected since
        return
    first = [examples[stored.example.id]]
    augmentations = augmenter.augment(bound, first, model=model)
    budget = budget_of(arm, experiment, model)
    now = unanswered(arm, bound, first, augmentations, model=model, budget=budget)[0]
    if now.prompt != stored.prompt:
        raise MismatchError(
            f"run '{run.name}', arm '{arm.name}' on task '{bound.name}': example '{stored.example.id}' was asked with "
            f"another prompt than it would be now; {CHOICE}"
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


def failed(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run, retry: bool | None) -> list[Assignment]:
    """The samples that ended in `error` and are asked again: those of servers, or by `retry` of all models or none."""
    if retry is False:
        return []
    places: dict[tuple[str, str], list[int]] = {}
    for key, samples in groupby(run.stream(), key=lambda entry: entry[:2]):
        places[key] = [place for place, (_, _, sample) in enumerate(samples) if sample.finish == "error"]
    arms = [arm for model in experiment.models for arm in experiment.arms.values() if arm.model == model]
    asked = [
        (arm, task, places.get((arm.name, task.name), []))
        for arm in arms
        if retry or experiment.models[arm.model].scheme in REMOTE
        for task in bound.values()
    ]
    return [Assignment(arm, asked_by(experiment, arm, task), wrong, again=True) for arm, task, wrong in asked if wrong]


def outdated(experiment: Experiment, bound: Mapping[str, BoundTask], run: Run) -> list[Assignment]:
    """The arms and tasks with samples of questions that were corrected since. Says which, and keeps it in the run."""
    assignments = []
    known = set(run.asked())
    for arm in (arm for model in experiment.models for arm in experiment.arms.values() if arm.model == model):
        for task in (task for task in bound.values() if (arm.name, task.name) in known):
            pairs = zip(run.ordered_samples(arm.name, task.name), task.examples, strict=True)
            places = [place for place, (s, now) in enumerate(pairs) if not same_example(s.example, now)]
            if places:
                asked = asked_by(experiment, arm, task)
                assignments.append(Assignment(arm, asked, places, again=True))
    for name in dict.fromkeys(assignment.bound.name for assignment in assignments):
        ids = sorted({a.bound.examples[place].id for a in assignments if a.bound.name == name for place in a.places})
        few = f"{', '.join(ids[:5])}{f' and {len(ids) - 5} more' if len(ids) > 5 else ''}"
        _tell(
            f"task '{name}': changed since asked, and alone asked again: {few} (all again, with the old run kept: "
            "--restart)"
        )
        before = run.info().get("references", {}).get("corrected", {}).get(name, [])
        run.add_references("corrected", {name: sorted({*before, *ids})})
    return assignments


def make_augmenters(
    assignments: Sequence[Assignment], experiment: Experiment, *, workspace: Workspace, run: Run
) -> dict[tuple[str, str], Augmenter]:
    """The augmenter of every pending arm and task; references are opened once, and let go after, unless an augmenter
    needs the model as well.

    An arm that is to show passages and finds none for any question has no augmenter: asked, it would be a closed-book
    arm under another name. Why, is said on stderr and kept in the run, as is why one could not retrieve at all, which
    ends the call.
    """
    made: dict[tuple[str, str], Augmenter] = {}
    records = Records()
    for named in dict.fromkeys((a.arm.retriever, a.arm.index) for a in assignments):
        alike = [a for a in assignments if (a.arm.retriever, a.arm.index) == named]
        if not any(named):
            made |= {
                (a.arm.name, a.bound.name): WholeRecord() if a.arm.context == "full" else ClosedBook() for a in alike
            }
            continue
        with _reason_kept(run, alike):
            references = open_references(alike[0].arm, experiment, workspace=workspace, records=records)
        identities = {name: {"identity": index.identity} for name, index in references.indexes.items()}
        run.add_identity("indexes", identities)
        by = [index.manifest.recipe.embedder for index in references.indexes.values()]
        by += record_embedders(experiment, [alike[0].arm])
        reading = retrieval_models(experiment, [one.arm for one in alike])
        for part, names in (("embedders", by), ("retrieval_models", reading)):
            if files := lying_files(names):  # see `require_unchanged`
                run.add_identity(part, files)
        run.add_identity("references", {references.name: references.retriever.identity})
        run.add_references("indexes", {references.name: references.record()})
        for assignment in alike:
            arm, bound = assignment.arm, assignment.bound
            with _reason_kept(run, [assignment]):
                ready = _augmenter(arm, bound, references, experiment, workspace=workspace, run=run)
            if isinstance(ready, Prepared) and (reason := ready.why_nothing()):
                _tell(f"'{arm.name}' is not asked '{bound.name}': {reason}")
                run.add_references("not_retrieved", {f"{arm.name} on {bound.name}": reason})
            else:
                made[arm.name, bound.name] = ready
    return made


@contextmanager
def _reason_kept(run: Run, assignments: Sequence[Assignment]) -> Iterator[None]:
    """What ends a call before these are asked stays in the run: they have no row then, and the results say why."""
    try:
        yield
    except Exception as error:
        names = [f"{one.arm.name} on {one.bound.name}" for one in assignments]
        run.add_references("not_retrieved", dict.fromkeys(names, f"it could not retrieve: {visible(str(error))}"))
        raise


def _augmenter(
    arm: Arm,
    bound: BoundTask,
    references: References | RecordReferences,
    experiment: Experiment,
    *,
    workspace: Workspace,
    run: Run,
) -> Augmenter:
    """What one arm shows of its references for one task, with all its steps."""
    if isinstance(references, References):
        if arm.replay:
            replayed, samples = references.replayed(arm, bound, workspace=workspace)
            run.add_identity("replays", {f"{arm.name} on {bound.name}": samples})
            return Prepared(replayed, bound)
        references.require_documents(arm, bound)
    written = recorded_queries(run, arm, bound)
    first = references.augmenter(replace(arm, k=arm.searched), seed=experiment.seed, recorded=written)
    limit = min((n for n in (arm.context_tokens, experiment.context_tokens) if n), default=0)
    augmenter, judge = with_steps(arm, bound, first, limit=limit, workspace=workspace)
    if judge:
        run.add_identity("evidence_filters", {arm.name: judge})
    return augmenter


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
    lines += [f"note: {note}" for note in notes_of(tasks)]
    require_replays(experiment, tasks, workspace)
    _require_askable(experiment, tasks)
    for bound in tasks.values():
        lines.append(f"{bound.name}: {counted(len(bound.examples), 'example')}, scoring {bound.settings.scoring}")
        for arm in experiment.arms.values():
            if reason := why_not(arm, bound, experiment):
                lines.append(f"  {arm.name}: does not apply ({CONTEXTS[arm.context]}): {reason}")
                continue
            by = "" if arm.query == "question" else f", asked by {arm.query}"
            then = f"; then {', '.join(arm.step_names)}" if arm.step_names else ""
            shown = f" ({_references(arm, experiment)}, k {arm.k}{by}{then})" if arm.shows_passages else ""
            lines.append(f"  {arm.name}: {experiment.models[arm.model].name}, {CONTEXTS[arm.context]}{shown}")
            first = bound.examples[0]
            dummies = [Passage("id", "document", "Title of passage", "", "Text of passage.", 0, 16)]
            if arm.context == "full":
                shown_first = whole_documents(first.context)
            else:
                corpus = RECORD if reads_record(arm, experiment) else ""
                shown_first = [replace(one, corpus=corpus) for one in dummies if arm.shows_passages]
            messages = arm_messages(arm, asked_by(experiment, arm, bound), first, shown_first)
            lines += [f"      {m.role}: {line}" for m in messages for line in m.content.split("\n")]
    return "\n".join(lines)


def _references(arm: Arm, experiment: Experiment) -> str:
    """Where an arm's passages come from, in words."""
    if arm.replay:
        return f"those of {arm.replay}"
    spec = experiment.retrievers.get(arm.retriever)
    if spec is None:
        return f"dense, {arm.index}"
    if spec.record:
        return f"{arm.retriever}: {spec.method} of the example's own record"
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
