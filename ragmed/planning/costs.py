"""Arms and tasks in, the tokens, seconds, money and memory that asking them takes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ragmed.arms import BY_MODEL, Arm
from ragmed.comparison.costs.prices import Prices
from ragmed.experiments.binding import applies, as_asked
from ragmed.experiments.config import Experiment
from ragmed.experiments.references import index_names, reads_record
from ragmed.models import ModelSettings
from ragmed.planning.cases import Assumptions
from ragmed.planning.memory import index_memory, model_memory, retrieval_rows
from ragmed.planning.pilot import Pilot
from ragmed.planning.tokens import UNBUILT, Passages, budget_of, count_use, find_counter, mean_passage
from ragmed.tasks import BoundTask
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

Row = dict[str, Any]
SOURCES = {
    "recipe": "it is not built yet; a passage is taken to have as many tokens as its recipe allows at most",
    "assumed": "it is not built yet, and its recipe sets no length; 256 tokens a passage are assumed",
}


def cost_rows(
    experiment: Experiment, bound: Mapping[str, BoundTask], *,
    workspace: Workspace, given: Assumptions, pilot: Pilot | None, prices: Prices,
) -> tuple[list[Row], list[Row], list[str]]:  # fmt: skip
    """
    >>> costs, memory, notes = cost_rows(experiment, bound, ...)  # doctest: +SKIP

    A row for each arm and task that would be asked; a row for each model, each model of retrieval, and each index; what
    the reader should know.
    """
    notes: list[str] = []
    costs: list[Row] = []
    longest: dict[tuple[str, bool], int] = {}
    lengths: dict[tuple[str, str], Passages] = {}
    for arm in widest(experiment).values():
        settings = experiment.models[arm.model]
        if settings.scheme == "recorded":
            notes.append(f"{arm.name}: recorded answers are read, nothing is asked")
            continue
        if settings.scheme == "extract":
            notes.append(f"{arm.name}: {settings.name} takes its answers from the texts and costs no tokens")
            continue
        counter, note = find_counter(settings, workspace)
        notes.append(note)
        passages = Passages(0.0, "none")
        if reads_record(arm, experiment):
            passages = Passages(float(UNBUILT), "record")
            notes.append(f"{arm.name}: {UNBUILT} tokens are assumed for a passage of an example's own record")
        elif arm.shows_passages:
            index = index_names(experiment, workspace, [arm])[0]
            key = (index, settings.name.partition("+adapter:")[0])
            if key not in lengths:
                lengths[key] = mean_passage(index, counter, workspace)
            passages = lengths[key]
            if passages.source in SOURCES:
                notes.append(f"index {index}: {SOURCES[passages.source]}")
        budget = budget_of(arm, experiment, workspace)
        for task in bound.values():
            if not applies(arm, task, experiment):
                continue
            asked = as_asked(arm, task, settings.holds_by)
            use = count_use(arm, asked, settings=settings, counter=counter, passages=passages, budget=budget)
            kind = (arm.model, not asked.needs_likelihoods)
            longest[kind] = max(longest.get(kind, 0), use.longest)
            costs.append(_row(arm, task, settings, dataclasses.asdict(use), given=given, pilot=pilot, prices=prices))
            if use.too_long:
                notes.append(
                    f"{arm.name} on {task.name}: {counted(use.too_long, 'prompt')} "
                    f"{verb(use.too_long, 'does', 'do')} not fit "
                    f"{counted(budget, 'token')}: errors"
                )
            if arm.steps_ask:
                notes.append(
                    f"{arm.name} on {task.name}: what its model reads and writes before the question (follow_up, "
                    "rerank, evidence_filter) is not counted, unless a pilot measured it"
                )
            if use.cut:
                notes.append(
                    f"{arm.name} on {task.name}: {use.cut} of {counted(len(task.examples), 'record')} "
                    f"{verb(use.cut, 'does', 'do')} not fit {counted(budget, 'token')} "
                    f"whole: {verb(use.cut, 'its', 'their')} last documents are left out"
                )
            if arm.query in BY_MODEL:
                notes.append(
                    f"{arm.name}: what its model reads and writes for its queries ({arm.query}) is not counted"
                )
            if arm.shows_passages and use.shown < arm.most_shown:
                fit = f"{use.shown:.1f} of {arm.most_shown} passages fit {budget} tokens"
                notes.append(f"{arm.name} on {task.name}: {fit}; the others are left out")
    memory = [
        {**model_memory(experiment.models[model], longest=size, writes=writes, workspace=workspace), "writes": writes}
        for (model, writes), size in longest.items()
    ]
    names = index_names(experiment, workspace)
    return (
        costs,
        [
            *_largest(memory),
            *retrieval_rows(experiment, workspace),
            *(index_memory(n, workspace) for n in names),
        ],
        [n for n in dict.fromkeys(notes) if n],
    )


def widest(experiment: Experiment) -> Mapping[str, Arm]:
    """The arms with the largest k and budget that a declared search may choose for them."""
    search = experiment.search
    if search is None:
        return experiment.arms
    tried = experiment.arms[search.arm]
    k, budget = max(search.k, default=tried.k), max(search.context_tokens, default=tried.context_tokens)
    return experiment.showing(search.arm, dataclasses.replace(tried, k=k, context_tokens=budget)).arms


def _row(
    arm: Arm, task: BoundTask, settings: ModelSettings, use: Row, *,
    given: Assumptions, pilot: Pilot | None, prices: Prices,
) -> Row:  # fmt: skip
    """Of a pilot, what it measured: tokens and seconds an example. Else tokens are planned, and seconds by a speed."""
    have = len(task.examples)
    n = given.n or have
    row: Row = {
        "arm": arm.name, "task": task.name, "n": n, "passages": use["shown"], "too_long": use["too_long"],
        "planned_input_tokens": round(use["input_tokens"] * n / have),
        "planned_output_tokens": round(use["output_tokens"] * n / have), "tokens_source": "planned",
        "output_source": use["output_from"], "seconds": None, "seconds_source": "unknown", "price": None,
    }  # fmt: skip
    row |= {"input_tokens": row["planned_input_tokens"], "output_tokens": row["planned_output_tokens"]}
    row["thinking_tokens"] = None
    spent = pilot.spent.get((arm.name, task.name)) if pilot else None
    if spent:
        row |= {"input_tokens": round(spent.input_tokens * n), "output_tokens": round(spent.output_tokens * n)}
        row |= {"tokens_source": "pilot", "output_source": "pilot", "seconds": spent.seconds * n}
        row |= {"seconds_source": "pilot", "thinking_tokens": round(spent.thinking_tokens * n)}
        row["passages"] = spent.passages
    tokens = row["input_tokens"] + row["output_tokens"]
    speed = given.tokens_per_second
    source = "speed"
    if speed is None and not spent and pilot:
        speed, source = pilot.speeds.get(settings.name), "pilot-speed"
    if speed is not None:
        row |= {"seconds": tokens / speed, "seconds_source": source}
    row["price"] = _price(row, prices)
    return row


def _price(row: Row, prices: Prices) -> float | None:
    if not prices.given or (not prices.by_token and row["seconds"] is None):
        return None
    return prices.of_question(
        seconds=row["seconds"] or 0.0, input_tokens=row["input_tokens"], output_tokens=row["output_tokens"]
    )


def _largest(rows: list[Row]) -> list[Row]:
    """Of a model that both writes and scores, the row that needs more."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row["model"])
        if known is None or (row["total_bytes"] or 0) > (known["total_bytes"] or 0):
            found[row["model"]] = row
    return list(found.values())
