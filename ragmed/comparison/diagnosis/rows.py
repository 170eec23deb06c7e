"""What lies behind a difference, row by row; the files beside this one say how each is computed.

Scores are fractions, intervals (low, high) of 95 %; lists of examples hold their ids. None: not known, or nothing is
left to compute it from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ragmed.comparison.statistics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Ledger:
    """The examples that an arm repaired (`fixed`) and damaged (`broke`) against its baseline."""

    task: str
    metric: str
    baseline: str
    arm: str
    fixed: tuple[str, ...]
    broke: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """The wrong answers of one cause (`part`, see `decomposition`); `broke`: those that were right closed book."""

    part: str
    count: int
    examples: tuple[str, ...]
    broke: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repaired:
    """Right with retrieval and wrong without, by whether a gold passage was shown; None without a closed-book arm."""

    with_gold: int | None
    without_gold: int | None
    unknown: int | None


@dataclass(frozen=True, slots=True)
class Examples:
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Why the answers of a retrieved arm are wrong, beside its closed-book, oracle and distractor arms, if any."""

    task: str
    metric: str
    arm: str
    closed: str | None
    oracle: str | None
    distractor: str | None
    n: int
    value: float | None
    closed_value: float | None
    oracle_value: float | None
    distractor_value: float | None
    right: int
    wrong: int
    parts: tuple[Cause, ...]
    repaired: Repaired
    distracted: Examples | None
    beyond: Examples | None


@dataclass(frozen=True, slots=True)
class Compliance:
    """An arm's answers in two ways: scores when it writes freely (`generate`), and held to the valid forms (`held`).

    `held_arm`, `held_task`: whose they are, and to what: the same arm on another name of the task, or its twin that is
    constrained on the same one. `held_by`: `likelihood` of the options, or how a server holds what is written.
    `by_form` and `by_answers` add up to the `difference`.
    """

    arm: str
    generate_task: str
    held_arm: str
    held_task: str
    held_by: str
    metric: str
    n: int
    generate: float | None
    held: float | None
    difference: float | None
    ci: Interval | None
    by_form: float | None
    by_form_ci: Interval | None
    by_answers: float | None
    by_answers_ci: Interval | None
    interval: str
    test: str
    p: float
    form_failures: int
    known_but_unreadable: int
    examples: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class ComplianceContrast:
    """Two arms, each in two ways; `interaction`: the difference when they write less the one when they are held."""

    baseline: str
    arm: str
    generate_task: str
    held_baseline: str
    held_arm: str
    held_task: str
    held_by: str
    metric: str
    n: int
    generate_difference: float | None
    generate_ci: Interval | None
    held_difference: float | None
    held_ci: Interval | None
    interaction: float | None
    interaction_ci: Interval | None
    reading: str


@dataclass(frozen=True, slots=True)
class Order:
    """How many answers survive another order of the options or of the passages (`kind`)."""

    kind: Literal["options", "passages"]
    arm: str
    task: str
    other_arm: str
    other_task: str
    n: int
    survived: int
    share: float | None
    ci: Interval | None
    value: float | None
    other_value: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with a confidence above `low` and up to `high`: their mean confidence, and the share that is right."""

    low: float
    high: float
    n: int
    confidence: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far an arm's confidence can be trusted. `curve`: (coverage, risk) from the most confident on."""

    arm: str
    task: str
    n: int
    ece: float
    ece_ci: Interval | None
    brier: float | None
    aurc: float
    aurc_ci: Interval | None
    bins: tuple[Bin, ...]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """The mean score of `n` answers."""

    n: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How good an arm's first `k` documents are for `n` queries, and its score where a gold document was `found` and
    where all were `missed`. `without_gold`: queries whose gold documents nobody knows."""

    arm: str
    task: str
    k: int
    n: int
    without_gold: int
    ndcg: float | None
    recall: float | None
    mrr: float | None
    hit: float | None
    metric: str
    found: Side
    missed: Side
    difference: float | None
    ci: Interval | None
    p: float | None
    test: str


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `n` examples."""

    count: int
    n: int
    share: float | None
    ci: Interval | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Right and wrong answers, with a gold passage shown and without; `unsupported`: of the right ones, those without.
    `unknown`: examples of which nobody knows whether one was shown."""

    arm: str
    task: str
    metric: str
    n: int
    unknown: int
    right_with: Share
    right_without: Share
    wrong_with: Share
    wrong_without: Share
    unsupported: Share


@dataclass(frozen=True, slots=True)
class Followed:
    """How often an arm answered what passages claim that say otherwise than the gold (`role`: contradicting, planted),
    and how often the arm `beside` gave the same answers to the same questions without them. p is not adjusted.
    """

    arm: str
    task: str
    role: str
    n: int
    count: int
    share: float
    ci: Interval
    interval: str
    groups: int
    beside: str | None = None
    beside_n: int = 0
    beside_share: float | None = None
    difference: float | None = None
    difference_ci: Interval | None = None
    test: str = "none"
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Leakage:
    """A score on all examples, on those that are not leaked, and on the leaked alone."""

    task: str
    arm: str
    metric: str
    n: int
    leaked: int
    value: float | None
    ci: Interval | None
    value_without: float | None
    ci_without: Interval | None
    value_leaked: float | None


@dataclass(frozen=True, slots=True)
class LeakageContrast:
    """A contrast with all its examples and without the leaked ones; p is not adjusted."""

    task: str
    metric: str
    baseline: str
    arm: str
    difference: float | None
    ci: Interval | None
    p: float
    n_without: int
    difference_without: float | None
    ci_without: Interval | None
    p_without: float | None
