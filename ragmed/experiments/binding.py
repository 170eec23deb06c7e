"""An Experiment's tasks with their examples, which arms apply to which, and how closely the data are held."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ragmed.arms import COT_TOKENS, Arm
from ragmed.corpora import load_recipe
from ragmed.errors import UsageError
from ragmed.experiments.config import Experiment
from ragmed.experiments.references import index_names, reads_record
from ragmed.models.constraint import HeldBy
from ragmed.models.extract import rule_of
from ragmed.records import Access, strictest
from ragmed.retrieval.named import index_recipe
from ragmed.tasks import BoundTask, find_task, load_task
from ragmed.text_table import counted
from ragmed.workspace import Workspace


def bind_tasks(experiment: Experiment, workspace: Workspace) -> dict[str, BoundTask]:
    """UsageError where an arm is asked a task that its model cannot answer, whatever it is shown."""
    bound = {n: load_task(n, s, workspace=workspace, seed=experiment.seed) for n, s in experiment.tasks.items()}
    for arm in experiment.arms.values():
        for task in bound.values():
            if experiment.models[arm.model].scheme == "extract" and applies(arm, task, experiment):
                _check_extract(arm, experiment.models[arm.model].name, task)
    return bound


def _check_extract(arm: Arm, model: str, bound: BoundTask) -> None:
    reader = rule_of(model).reader
    if bound.task.kind == "choice" or reader not in ("", bound.reader):
        answer = f"'{reader}'" if reader else "a text of its own, no option"
        raise UsageError(
            f"arm '{arm.name}': '{model}' answers with {answer}, and task '{bound.name}' is read by '{bound.reader}'; "
            f"name the tasks that it is asked: arms.{arm.name}.tasks"
        )


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


def as_asked(arm: Arm, bound: BoundTask, held_by: HeldBy = "likelihood") -> BoundTask:
    """A task as an arm is asked it: after reasoning, or within the valid forms, where the arm says so. `held_by`: how
    its model holds answers to them.

    UsageError, with the remedy, where the task leaves no room to reason, or has no forms that could be scored.
    """
    if arm.constrained:
        return _constrained(arm, bound, held_by)
    if not arm.cot:
        return bound
    where = f"arm '{arm.name}' reasons before it answers, task '{bound.name}'"
    others = "or name the tasks that the arm is asked with tasks:"
    if bound.settings.scoring != "generate":
        raise UsageError(
            f"{where}: scoring '{bound.settings.scoring}' leaves the model nothing to write; set the task's scoring to "
            f"generate, {others}"
        )
    if bound.settings.protocol:
        raise UsageError(
            f"{where}: the protocol '{bound.settings.protocol}' asks for an answer alone; leave the protocol out, "
            f"{others}"
        )
    return dataclasses.replace(bound, cot_tokens=arm.cot_tokens or COT_TOKENS)


def _constrained(arm: Arm, bound: BoundTask, held_by: HeldBy) -> BoundTask:
    where, others = f"arm '{arm.name}' is constrained, task '{bound.name}'", "name the tasks that the arm is asked with"
    if held_by == "likelihood" and bound.task.kind != "choice":
        raise UsageError(f"{where}: its answers have no options whose likelihood could be compared; {others} tasks:")
    if held_by != "likelihood" and bound.valid is None:
        raise UsageError(
            f"{where}: its answers ({bound.form.name}) have no form that is known before they are written; {others} "
            "tasks:"
        )
    if held_by != "likelihood" and bound.settings.scoring != "generate":
        raise UsageError(
            f"{where}: scoring '{bound.settings.scoring}' leaves the model nothing to write; set the task's scoring to "
            f"generate, or {others} tasks:"
        )
    if bound.settings.protocol:
        raise UsageError(
            f"{where}: the protocol '{bound.settings.protocol}' reads what a model writes; leave it out, or {others} "
            "tasks:"
        )
    return dataclasses.replace(bound, constrained=held_by)


def access_of(experiment: Experiment, bound: Mapping[str, BoundTask], workspace: Workspace) -> Access:
    """The strictest access of the tasks and of the corpora behind the indexes: samples quote from both."""
    tiers: list[Access] = [b.task.access for b in bound.values()]
    for name in index_names(experiment, workspace):
        for corpus in index_recipe(name, workspace).corpora:
            tiers.append(load_recipe(workspace.recipe("corpora", corpus), data=workspace.data).access)
    return strictest(tiers)


def applies(arm: Arm, bound: BoundTask, experiment: Experiment) -> bool:
    """Whether an arm can be run on a task."""
    return not why_not(arm, bound, experiment)


def why_not(arm: Arm, bound: BoundTask, experiment: Experiment) -> str:
    """Why an arm is not asked a task, in words; '' where it is."""
    task = bound.task
    if arm.tasks and bound.name not in arm.tasks:
        return "the config asks the arm other tasks"
    if arm.context == "full" and not task.record:
        return "the task has no records that could be shown whole"
    if arm.context == "options-only" and task.kind != "choice":
        return "the task has no options"
    if arm.context in ("oracle", "conflict") and not task.gold_documents:
        return "the task names no documents that hold the answers"
    if arm.context == "oracle" and experiment.tasks[bound.name].file:  # of published ones an index may hold a part
        without, of = (len([e for e in bound.examples if not e.documents]), counted(len(bound.examples), "question"))
        if without:
            return f"of {without} of {of} the file names no documents that hold the answers"
    if arm.context == "poisoned" and task.kind != "choice":
        return "the task has no options, so that no wrong answer of it could be planted"
    if arm.context == "conflict" and (without := sum(not example.contradictions for example in bound.examples)):
        of = counted(len(bound.examples), "question")
        return f"of {without} of {of} the task names no document that contradicts the gold one"
    if arm.context in ("conflict", "poisoned") and (task.record or reads_record(arm, experiment)):
        return "the passages of an example's own record are neither contradicted nor planted among; search an index"
    if reads_record(arm, experiment) and not task.record:
        return f"retriever '{arm.retriever}' searches an example's own record, and the task has none"
    if arm.context in ("oracle", "distractor") and task.record and not reads_record(arm, experiment):
        return f"'{arm.references}' is no record: here '{arm.context}' needs a retriever with record: true"
    return ""
