"""An experiment in, what it can show and what it will take out, before anything is asked.

plan = plan_experiment(load_experiment(path), workspace=Workspace.find(), given=Assumptions(), pilot=None)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.designs import against_retrieved, shapes
from ragmed.comparison.settings import ComparisonSettings
from ragmed.experiments.binding import applies, bind_tasks
from ragmed.experiments.config import Experiment
from ragmed.experiments.tuned import adapters_to_train
from ragmed.metrics import metric_facts
from ragmed.planning.cases import Assumptions, Question, task_row
from ragmed.planning.costs import cost_rows
from ragmed.planning.pilot import read_pilot
from ragmed.planning.training import training_tokens
from ragmed.runs import Run
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

Row = dict[str, Any]
SCHEMA = 1


def assumptions(given: Mapping[str, Any]) -> Assumptions:
    """
    >>> assumptions({"n": 70, "currency": "EUR"}).prices.currency
    'EUR'

    The fields of Assumptions and of Prices in one mapping, as a command line has them. Raises UsageError.
    """
    prices = {field.name for field in dataclasses.fields(Prices)}
    rest = {key: value for key, value in given.items() if key not in prices}
    return Assumptions(**rest, prices=Prices(**{key: value for key, value in given.items() if key in prices}))


def plan_examples(n: int, given: Assumptions) -> Row:
    """
    >>> round(plan_examples(70, Assumptions(discordance=0.3))["tasks"][0]["cases"][0]["detectable"], 3)
    0.187

    What n independent right/wrong examples of one task can show about one contrast.
    """
    settings = ComparisonSettings(baseline="old")
    question = _question(settings, 1, given)
    row = task_row("one task", "", [""] * n, [("old", "new")], binary=True, question=question, given=given, pilot=None)
    return _plan("", question, [row], settings)


def plan_experiment(
    experiment: Experiment, *, workspace: Workspace, given: Assumptions, pilot: Run | None = None
) -> Row:
    """
    >>> plan_experiment(experiment, workspace=workspace, given=Assumptions())["family"]  # doctest: +SKIP
    6

    A row for each task, by its primary metric, under `tasks` (see `cases`), for each arm and task under `costs`, for
    each model and index under `memory`, for each adapter that would be trained first under `training`. Secondary
    metrics come to no verdict, so there is nothing to plan of them. Differences are fractions. Loads no weights, asks
    no model, fetches nothing. Raises what `ragmed eval --dry-run` raises, and UsageError.
    """
    settings = experiment.comparison
    bound = bind_tasks(experiment, workspace)
    pairs = contrasts_of(experiment)
    read = read_pilot(pilot, experiment, pairs) if pilot else None
    asked = [
        (task, metric_facts(task.task.metrics)[0], kept)
        for task in bound.values()
        if (kept := [p for p in pairs if all(applies(experiment.arms[arm], task, experiment) for arm in p)])
    ]
    question = _question(settings, sum(len(kept) for *_, kept in asked), given)
    rows = [
        task_row(
            task.name,
            metric.name,
            [example.group for example in task.examples],
            kept,
            binary=metric.kind == "binary",
            question=question,
            given=given,
            pilot=read,
        )
        for task, metric, kept in asked
    ]
    prices = given.prices.over(settings.prices)
    costs, memory, notes = cost_rows(experiment, bound, workspace=workspace, given=given, pilot=read, prices=prices)
    plan = _plan(experiment.name, question, rows, settings)
    plan["prices"] = dataclasses.asdict(prices)
    plan |= {"pilot": read.name if read else None, "costs": costs, "totals": _totals(costs, prices), "memory": memory}
    plan["training"] = [training_tokens(name, workspace) for name in adapters_to_train(experiment, workspace)]
    if settings.factorials:
        plan["notes"].append(
            f"{shapes(settings.factorials)} effects are a family of their own and are not planned here; "
            "their interaction, a difference of two differences, needs more examples than one contrast"
        )
    ratios = [(task.name, metric.name) for task, metric, _ in asked if metric.kind == "ratio"]
    plan["notes"] += [_ratio_note(*names) for names in ratios]
    plan["notes"] += [*notes, *_searched(experiment, bound), *(read.notes if read else ())]
    return plan


def contrasts_of(experiment: Experiment) -> list[tuple[str, str]]:
    """The (baseline, arm) pairs that the comparison will test, as it will choose them itself."""
    settings = experiment.comparison
    if settings.contrasts:
        return [(one, other) for one, other in settings.contrasts]
    others = [arm for arm in experiment.arms if arm != settings.baseline and arm not in settings.baseline_arms]
    pairs = [(settings.baseline, arm) for arm in others]
    more = [*against_retrieved(settings.factorials), *settings.misled]
    return [*pairs, *(pair for pair in more if pair not in pairs and pair[::-1] not in pairs)]


def _question(settings: ComparisonSettings, family: int, given: Assumptions) -> Question:
    difference = given.difference if given.difference is not None else settings.margin or 0.05
    return Question(settings.alpha, max(1, family), given.power, difference, settings.margin)


def _plan(name: str, question: Question, tasks: Sequence[Row], settings: ComparisonSettings) -> Row:
    return {
        "schema": SCHEMA, "experiment": name, **dataclasses.asdict(question),
        "correction": getattr(settings, "correction", "holm"), "prices": dataclasses.asdict(Prices()), "pilot": None,
        "tasks": list(tasks), "costs": [], "totals": None, "memory": [], "training": [], "notes": _notes(tasks),
    }  # fmt: skip


def _notes(tasks: Sequence[Row]) -> list[str]:
    notes = []
    for row in tasks:
        if row["grouped"] and row["icc_source"] == "assumed":
            notes.append(
                f"{row['task']}: examples share groups, and are planned here as if those of a group were no more "
                "alike than others (icc 0); with --icc, or a pilot with enough groups, they count for less"
            )
    if any(case["source"] == "assumed" for row in tasks for case in row["cases"]):
        notes.append("what is assumed is a guess: a pilot of 50 to 100 examples a task (--pilot) tells it better")
    if any(row["kind"] == "graded" for row in tasks):
        notes.append(
            "graded scores: by Student's t of the paired differences; the comparison's sign flips come near it"
        )
    return notes


def _ratio_note(task: str, metric: str) -> str:
    return (
        f"{task}: {metric} is made of counts over all examples; it is planned as the mean of what each example adds to "
        "it (jackknife pseudo-values), which a pilot tells best"
    )


def _totals(costs: Sequence[Row], prices: Prices) -> Row | None:
    """Sums over all arms and tasks; None for a part that is not known of every one of them."""
    if not costs:
        return None
    total: Row = {}
    for key in ("input_tokens", "output_tokens", "seconds", "price"):
        known = [row[key] for row in costs]
        total[key] = None if any(value is None for value in known) else sum(known)
    return total | {"currency": prices.currency}


def _searched(experiment: Experiment, bound: Mapping[str, BoundTask]) -> list[str]:
    search = experiment.search
    if search is None:
        return []
    cells = len(experiment.tried()) * max(1, len(search.k)) * max(1, len(search.context_tokens))
    return [
        f"the search asks {search.arm} the development examples of {search.task} {cells} times first, which is not "
        "counted; tokens are those of the largest k and budget that it may choose"
    ]
