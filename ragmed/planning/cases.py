"""One task in, what its number of examples can show out: a row for each contrast, or one for all that are alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ragmed.comparison.costs.prices import Prices
from ragmed.errors import UsageError
from ragmed.planning import graded, power
from ragmed.planning.grouped import (
    Design,
    better_power_grouped,
    examples_for_margin_grouped,
    examples_needed_grouped,
    resized,
    smallest_difference_grouped,
    smallest_margin_grouped,
)
from ragmed.planning.pilot import PairFacts, Pilot

Row = dict[str, Any]
DISCORDANCE = 0.25
"""Assumed where neither a pilot nor the user says it: two arms of one model seldom differ on more."""

SPREAD = 0.25
"""Assumed standard deviation of paired differences of a graded score between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """
    >>> Assumptions(discordance=0.3).power
    0.8

    What is not in a config: `power`; `discordance`, `sd` and `icc`, None where a pilot or the defaults say them;
    `difference`: for which the number of examples is asked, None for the margin; `n`: examples a task, None for those
    it has. Raises UsageError.
    """

    power: float = 0.8
    discordance: float | None = None
    sd: float | None = None
    icc: float | None = None
    difference: float | None = None
    n: int | None = None
    tokens_per_second: float | None = None
    prices: Prices = field(default_factory=Prices)

    def __post_init__(self) -> None:
        if not 0.05 < self.power < 1:
            raise UsageError(f"a power of {self.power:g} cannot be planned for; give one such as 0.8, below 1")
        share = self.discordance
        if share is not None:
            power.check(1, discordance=share, difference=0.0, alpha=0.05)
        if self.difference is not None and not 0 < self.difference < 1:
            raise UsageError(f"a difference of {self.difference:g}: give a fraction above 0, such as 0.05 for 5 points")
        if share is not None and self.difference is not None:
            power.check(1, discordance=share, difference=self.difference, alpha=0.05)
        if self.sd is not None and not 0 < self.sd <= 1:
            raise UsageError(f"an sd of {self.sd:g}: give that of the paired differences, above 0 and at most 1")
        if self.icc is not None and not 0 <= self.icc <= 1:
            raise UsageError(f"an icc of {self.icc:g}: it lies between 0 and 1")
        if self.n is not None:
            power.check(self.n, discordance=DISCORDANCE, difference=0.0, alpha=0.05)
        if self.tokens_per_second is not None and not 0 < self.tokens_per_second < math.inf:
            raise UsageError(f"{self.tokens_per_second:g} tokens a second: give a number above 0")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every contrast: at which `alpha` (declared), in a family of how many, with which power."""

    alpha: float
    family: int
    power: float
    difference: float
    margin: float


def task_row(
    task: str, metric: str, groups: Sequence[str], pairs: Sequence[tuple[str, str]], *,
    binary: bool, question: Question, given: Assumptions, pilot: Pilot | None,
) -> Row:  # fmt: skip
    """The plan of one task by one metric. `groups`: the group of each example, '' for one of its own.

    Without groups of several examples by closed forms (right or wrong answers: exact), with them by simulation.
    """
    n = given.n or len(groups)
    facts = {pair: pilot.pairs.get((task, metric, *pair)) if pilot else None for pair in pairs}
    sizes = list(Counter(group or f"\0{place}" for place, group in enumerate(groups)).values())
    typical = sum(size * size for size in sizes) / sum(sizes)  # Kish: the size of the group of a random example
    icc, source = _icc(given, facts.values())
    effect = 1 + (typical - 1) * icc
    effective = max(1, int(n / effect + 1e-9))
    row: Row = {
        "task": task, "metric": metric, "kind": "right-or-wrong" if binary else "graded", "n": n,
        "groups": len(sizes) if n == len(groups) else None, "grouped": typical > 1, "icc": icc, "icc_source": source,
        "design_effect": effect, "effective_n": effective, "test": "mcnemar-exact" if binary else "paired-t",
    }  # fmt: skip
    real = resized(tuple(sizes), n) if typical > 1 else ()
    if real:
        row |= {"test": "sign-flip-permutation", "groups": len(real), "largest_group": max(real)}
        row["least_p"] = Design(real, 1.0, 0.0).least_p()
    key = "discordance" if binary else "sd"
    cases = [
        {"contrasts": [list(pair) for pair in alike], "source": source, key: at, "pilot_n": pilot_n}
        | _numbers(
            at,
            effective,
            effect,
            binary=binary,
            question=question,
            design=Design(real, at, icc, binary) if real else None,
        )
        for alike, source, at, pilot_n in _planned(pairs, facts, key, given)
    ]
    return row | {"cases": cases}


def _icc(given: Assumptions, facts: Any) -> tuple[float, str]:
    if given.icc is not None:
        return given.icc, "given"
    found = [one.icc for one in facts if one is not None and one.icc is not None]
    return (max(found), "pilot") if found else (0.0, "assumed")


Planned = tuple[list[tuple[str, str]], str, float, int | None]


def _planned(
    pairs: Sequence[tuple[str, str]], facts: dict[tuple[str, str], PairFacts | None], key: str, given: Assumptions
) -> list[Planned]:
    """Which contrasts are planned at which value: each piloted one at its estimate and at its upper bound."""
    asked = given.discordance if key == "discordance" else given.sd
    default = DISCORDANCE if key == "discordance" else SPREAD
    if asked is not None:
        return [(list(pairs), "given", asked, None)]
    found: list[Planned] = []
    rest = []
    for pair in pairs:
        one = facts[pair]
        at = getattr(one, key) if one else None
        bounds = getattr(one, f"{key}_ci") if one else None
        if one is None or at is None or bounds is None or not bounds[1] > 0:
            rest.append(pair)
            continue
        if at > 0:
            found.append(([pair], "pilot", at, one.n))
        found.append(([pair], "pilot-upper", min(1.0, bounds[1]) if key == "discordance" else bounds[1], one.n))
    return [*found, (rest, "assumed", default, None)] if rest else found


def _numbers(at: float, n: int, effect: float, *, binary: bool, question: Question, design: Design | None) -> Row:
    """`detectable`, `needed` and `margin` with the declared correction at its first step, `.._alone` without it; with
    a `design` by simulation of what the comparison does with groups.
    """
    row: Row = {}
    for name, alpha in (("", question.alpha / question.family), ("_alone", question.alpha)):
        if design:
            found = _simulated(design, effect, alpha, question)
        else:
            found = _solved(at, n, effect, alpha, binary, question)
        row |= {f"{key}{name}": value for key, value in found.items()}
    return row


def _simulated(design: Design, effect: float, alpha: float, question: Question) -> Row:
    """Starts from what as many independent examples as the groups are worth would need, and ends at what they need."""
    target, asked = question.power, question.difference
    guess = _solved(design.spread, max(1, int(design.n / effect)), effect, alpha, design.binary, question)
    possible = not design.binary or asked <= design.spread
    detectable = smallest_difference_grouped(design, alpha=alpha, power=target, start=guess["detectable"])
    margin = smallest_margin_grouped(design, alpha=alpha, power=target)
    needed, for_margin = guess["needed"], guess["needed_for_margin"]
    if needed is not None:
        needed = examples_needed_grouped(design, difference=asked, alpha=alpha, power=target, start=needed)
    if for_margin is not None:
        for_margin = examples_for_margin_grouped(
            design, margin=question.margin, alpha=alpha, power=target, start=for_margin
        )
    return {
        "detectable": detectable,
        "power": better_power_grouped(design, difference=asked, alpha=alpha) if possible else None,
        "needed": needed, "margin": margin, "needed_for_margin": for_margin,
    }  # fmt: skip


def _solved(at: float, n: int, effect: float, alpha: float, binary: bool, question: Question) -> Row:
    target, asked, margin = question.power, question.difference, question.margin
    if binary:
        possible = asked <= at
        chance = power.better_power(n, discordance=at, difference=asked, alpha=alpha) if possible else None
        found: tuple[Any, ...] = (
            power.smallest_difference(n, discordance=at, alpha=alpha, power=target),
            chance,
            power.examples_needed(at, asked, alpha, target) if possible else None,
            power.smallest_margin(n, discordance=at, alpha=alpha, power=target),
            power.examples_for_margin(at, margin, alpha, target),
        )
    else:
        found = (
            graded.smallest_difference_t(n, sd=at, alpha=alpha, power=target),
            graded.better_power_t(n, sd=at, difference=asked, alpha=alpha),
            graded.examples_needed_t(at, asked, alpha, target),
            graded.smallest_margin_t(n, sd=at, alpha=alpha, power=target),
            graded.examples_for_margin_t(at, margin, alpha, target),
        )
    difference, chance, needed, shown, for_margin = found
    times = [None if size is None else _times(size, effect) for size in (needed, for_margin)]
    names = ("detectable", "power", "needed", "margin", "needed_for_margin")
    return dict(zip(names, (difference, chance, times[0], shown, times[1]), strict=True))


def _times(size: int, effect: float) -> int:
    """Examples in groups that say as much as `size` independent ones."""
    return math.ceil(size * effect - 1e-9)
