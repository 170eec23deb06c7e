"""Four arms of a two-by-two design in, what tuning does, what retrieval does and how they interact out.

|         | closed book | with passages |
| untuned | control     | retrieved     |
| tuned   | tuned       | both          |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.paired import Row, difference_of, scored, shared
from ragmed.comparison.settings import ComparisonSettings, Factorial
from ragmed.comparison.sources import ArmSources, rule
from ragmed.comparison.verdicts import conclude, untested
from ragmed.errors import UnknownNameError, UsageError

ROLES = ("control", "tuned", "retrieved", "both")
EFFECTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "tuning": (("control", "retrieved"), ("tuned", "both"), True),
    "retrieval": (("control", "tuned"), ("retrieved", "both"), True),
    "interaction": (("tuned", "retrieved"), ("control", "both"), False),
    "tuning-against-retrieval": (("retrieved",), ("tuned",), False),
}
"""Effect -> the roles that are subtracted, those they are subtracted from, and whether two differences are averaged."""


def factorials(
    tables: Sequence[TaskTable], *, settings: ComparisonSettings, sources: Mapping[str, ArmSources]
) -> list[Row]:
    """
    >>> factorials(tables, settings=settings, sources={})[0]["effects"][2]["effect"]  # doctest: +SKIP
    'interaction'

    A row for each design, task and metric where all four arms have scores, on the examples that all four have.
    `tuning`, `retrieval`: main effects, each the mean of its two simple effects. `interaction`: (both - retrieved) -
    (tuned - control); positive: each does more in the presence of the other. p_adjusted is over all effects of all
    rows, a family of its own.
    """
    asked = [
        (table, dict(zip(ROLES, design, strict=True)), metric)
        for table in tables
        for metric in table.metrics
        for design in settings.factorials
        if all((arm, metric) in table.columns for arm in design)
    ]
    rows = [
        _row(table, arms, metric, settings=settings, sources=sources, family=len(EFFECTS) * len(asked))
        for table, arms, metric in asked
    ]
    conclude([(_named(row, effect), effect) for row in rows for effect in row["effects"]], settings)
    return rows


def _named(row: Row, effect: Row) -> str:
    arms = f"{row['tuned']} and {row['retrieved']}"
    return f"the effect '{effect['effect']}' of {arms} on '{row['task']}' by {row['metric']}"


def check_designs(arms: Sequence[str], settings: ComparisonSettings) -> None:
    """UnknownNameError for an arm that is not there, UsageError for one of the baselines, which are in no contrast."""
    for design in settings.factorials:
        for arm in design:
            if arm not in arms:
                raise UnknownNameError("arm", arm, arms, "the factorials")
            if arm in settings.baseline_arms:
                raise UsageError(f"arm '{arm}' is one of the baseline arms, which are in no factorial")


def tuned_against_retrieved(designs: Sequence[Factorial]) -> list[tuple[str, str]]:
    """The contrasts (baseline, arm) that every design asks for by itself."""
    return list(dict.fromkeys((retrieved, tuned) for _, tuned, retrieved, _ in designs))


def _row(
    table: TaskTable, arms: Mapping[str, str], metric: str, *,
    settings: ComparisonSettings, sources: Mapping[str, ArmSources], family: int,
) -> Row:  # fmt: skip
    kept, scores = shared(table, list(arms.values()), metric)
    found = rule(sources, arms.values())
    row: Row = {
        "task": table.name, "metric": metric, "n": len(kept), **arms,
        "same_corpus": {"same": True, "different": False}.get(found), "corpora": found,
        "groups": len({table.groups[id_] for id_ in kept}), "left_out": len(table.ids) - len(kept),
        "margin": settings.margin, "higher_is_better": metric not in settings.descriptive_metrics,
        "cells": {}, "simple": {}, "effects": [],
    }  # fmt: skip
    if kept:
        row["simple"] = _simple({role: float(scores[arm].mean()) for role, arm in arms.items()})
        row["cells"] = {role: scored(table, arm, metric, kept=kept, settings=settings) for role, arm in arms.items()}
    for effect, (minus, plus, halved) in EFFECTS.items():
        entry: Row = {"effect": effect, **untested(settings)}
        if kept:
            sides = [arms[role] for role in minus], [arms[role] for role in plus]
            entry |= difference_of(
                table, metric, kept, scores, sides=sides, halved=halved, settings=settings, family=family
            )
        row["effects"].append(entry)
    return row


def _simple(values: Mapping[str, float]) -> Row:
    """What retrieval does for either model, and what tuning does without and with passages: means, untested."""
    return {
        "retrieval": {
            "untuned": values["retrieved"] - values["control"],
            "tuned": values["both"] - values["tuned"],
        },
        "tuning": {
            "closed_book": values["tuned"] - values["control"],
            "with_passages": values["both"] - values["retrieved"],
        },
    }
