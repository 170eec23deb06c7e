"""Four arms of a two-by-two design in, what tuning does, what retrieval does and how they interact out.

|         | closed book | with passages |
| untuned | control     | retrieved     |
| tuned   | tuned       | both          |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.completeness import why_no_verdict, within_bounds
from ragmed.comparison.paired import difference_of, scored, shared
from ragmed.comparison.rows import Effect, Factorial
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.settings import Factorial as Design
from ragmed.comparison.sources import ArmSources, rule
from ragmed.comparison.verdicts import conclude, tested
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
) -> list[Factorial]:
    """
        factorials(tables, settings=settings, sources={})[0].effects[2].effect
        # interaction

    A row for each design, task and metric where all four arms have scores, on the examples that all four have.
    `tuning`, `retrieval`: main effects, each the mean of its two simple effects. `interaction`: (both - retrieved) -
    (tuned - control); positive: each does more in the presence of the other. p_adjusted is over all effects of all
    rows by primary metrics, a family of its own.
    """
    asked = [
        (table, dict(zip(ROLES, design, strict=True)), metric)
        for table in tables
        for metric in table.metrics
        for design in settings.factorials
        if all((arm, metric) in table.columns for arm in design)
    ]
    family = max(1, len(EFFECTS) * sum(metric == table.primary for table, _, metric in asked))
    rows = [
        _row(table, arms, metric, settings=settings, sources=sources, family=family) for table, arms, metric in asked
    ]
    named = [
        (f"the effect '{effect.effect}' of {row.tuned} and {row.retrieved} on '{row.task}' by {row.metric}",
         row.primary, effect)
        for row in rows for effect in row.effects
    ]  # fmt: skip
    effects = iter(conclude(named, settings))
    return [replace(row, effects=tuple(next(effects) for _ in row.effects)) for row in rows]


def check_designs(arms: Sequence[str], settings: ComparisonSettings) -> None:
    """UnknownNameError for an arm that is not there, UsageError for one of the baselines, which are in no contrast."""
    for design in settings.factorials:
        for arm in design:
            if arm not in arms:
                raise UnknownNameError("arm", arm, arms, "the factorials")
            if arm in settings.baseline_arms:
                raise UsageError(f"arm '{arm}' is one of the baseline arms, which are in no factorial")


def tuned_against_retrieved(designs: Sequence[Design]) -> list[tuple[str, str]]:
    """The contrasts (baseline, arm) that every design asks for by itself."""
    return list(dict.fromkeys((retrieved, tuned) for _, tuned, retrieved, _ in designs))


def _row(
    table: TaskTable, arms: Mapping[str, str], metric: str, *,
    settings: ComparisonSettings, sources: Mapping[str, ArmSources], family: int,
) -> Factorial:  # fmt: skip
    kept, scores = shared(table, list(arms.values()), metric)
    corpora, better = rule(sources, arms.values()), table.metrics[metric].higher_is_better
    reason = why_no_verdict(table, list(arms.values()), settings, sources)
    effects = []
    for effect, (minus, plus, halved) in EFFECTS.items():
        sides = [arms[role] for role in minus], [arms[role] for role in plus]
        difference = difference_of(
            table, metric, kept, scores, sides=sides, halved=halved, settings=settings, family=family
        ) if kept else None  # fmt: skip
        if difference and not reason:
            difference = within_bounds(
                difference, table, metric, sides=sides, halved=halved, settings=settings, family=family
            )
        effects.append(Effect(effect=effect, **tested(difference, settings), higher_is_better=better, reason=reason))
    return Factorial(
        task=table.name, metric=metric, n=len(kept), control=arms["control"], tuned=arms["tuned"],
        retrieved=arms["retrieved"], both=arms["both"],
        same_corpus={"same": True, "different": False}.get(corpora), corpora=corpora,
        groups=len({table.groups[id_] for id_ in kept}), left_out=len(table.ids) - len(kept), margin=settings.margin,
        higher_is_better=better, primary=metric == table.primary,
        cells={role: scored(table, arm, metric, kept=kept, settings=settings) for role, arm in arms.items() if kept},
        simple=_simple({role: table.value(metric, scores[arm]) for role, arm in arms.items()}) if kept else {},
        effects=tuple(effects),
    )  # fmt: skip


def _simple(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
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
