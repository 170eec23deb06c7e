"""What a comparison finds, row by row: the scores of arms, their differences, and how these depend on the policy.

Scores and differences are fractions, intervals (low, high) of 95 %. None: nothing is left to compute it from. A row's
fields are those of its records in results.json (see `results`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.comparison.statistics.intervals import Estimate

Verdict = Literal["better", "worse", "equivalent", "cannot-tell", "secondary", "no-verdict"]
"""`secondary`: by a metric that is not its task's primary one: reported with its interval, in no family. `no-verdict`:
answers are missing, or an arm was not what it is called (the row's `reason`)."""


@dataclass(frozen=True, slots=True)
class Score:
    """An arm on a task by a metric: its value on `n` examples of `groups` groups, and how its answers ended (`status`,
    status -> number). `unscored`: answered, but without this metric. `interval`: the method of `ci`."""

    arm: str
    task: str
    metric: str
    primary: bool
    value: float | None
    ci: Interval | None
    n: int
    status: Mapping[str, int]
    groups: int
    unscored: int
    interval: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """What needs no model (`majority`, `chance`, ...), which is a value of `n` examples and nothing else; or an arm
    that the config names as a baseline, with all that a score has."""

    task: str
    metric: str
    name: str
    value: float | None
    n: int
    ci: Interval | None = None
    status: Mapping[str, int] = field(default_factory=dict)
    groups: int | None = None
    unscored: int = 0
    interval: str = "none"


@dataclass(frozen=True, slots=True)
class OneSided:
    """p of the two one-sided tests of equivalence within the margin, alone and adjusted over the family."""

    p: float = 1.0
    p_adjusted: float | None = 1.0


@dataclass(frozen=True, slots=True)
class Noninferiority:
    """p of being worse by the margin or more, whichever way better lies. `shown`: that is excluded."""

    p: float = 1.0
    p_adjusted: float | None = 1.0
    shown: bool = False


class AnyDifference(Protocol):
    """What a contrast, an effect of a factorial and an overall difference have in common."""

    @property
    def difference(self) -> float | None: ...
    @property
    def ci(self) -> Interval | None: ...
    @property
    def p(self) -> float: ...
    @property
    def p_adjusted(self) -> float | None: ...
    @property
    def margin(self) -> float: ...
    @property
    def equivalence(self) -> OneSided: ...
    @property
    def noninferiority(self) -> Noninferiority: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def higher_is_better(self) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Contrast:
    """`arm` less `baseline` on the `n` examples of a task that both have a score for.

    `p_adjusted` None: the metric is not its task's primary one, so that the contrast is in no family. `fixed`, `broke`:
    how many answers became right and wrong, where the metric is 0 or 1. `left_out`: examples without a score of both.
    `corpora`: `same`, `different` or `unknown` where tuning stands against retrieving, else empty. `missing`: examples
    whose answer did not come back in one of the two; interval and p then hold whatever it would have been. `reason`:
    why there is no verdict. `depends`: whether the conclusion changes with what unreadable answers count as.
    """

    task: str
    metric: str
    baseline: str
    arm: str
    n: int
    difference: float | None
    ci: Interval | None
    interval: str
    test: str
    p: float
    p_adjusted: float | None
    margin: float
    equivalence: OneSided
    noninferiority: Noninferiority
    verdict: Verdict
    fixed: int | None
    broke: int | None
    groups: int
    left_out: int
    baseline_value: float | None
    arm_value: float | None
    higher_is_better: bool | None
    primary: bool
    corpora: str = ""
    missing: int = 0
    reason: str = ""
    depends: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect of a two-by-two design: `tuning`, `retrieval`, `interaction` or `tuning-against-retrieval`.

    `reason`: why there is no verdict.
    """

    effect: str
    difference: float | None
    ci: Interval | None
    interval: str
    test: str
    p: float
    p_adjusted: float | None
    margin: float
    equivalence: OneSided
    noninferiority: Noninferiority
    verdict: Verdict
    higher_is_better: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Factorial:
    """Four arms on the `n` examples of a task that all of them have a score for. `cells`: role -> its score; `simple`:
    what retrieval does for the `untuned` and the `tuned` model, and what tuning does `closed_book` and `with_passages`;
    both empty where no example is left."""

    task: str
    metric: str
    n: int
    control: str
    tuned: str
    retrieved: str
    both: str
    same_corpus: bool | None
    corpora: str
    groups: int
    left_out: int
    margin: float
    higher_is_better: bool | None
    primary: bool
    cells: Mapping[str, Estimate]
    simple: Mapping[str, Mapping[str, float]]
    effects: tuple[Effect, ...]

    @property
    def arms(self) -> tuple[str, str, str, str]:
        return self.control, self.tuned, self.retrieved, self.both


@dataclass(frozen=True, slots=True)
class Overall:
    """`arm` less `baseline` over `k` tasks (random effects). `prediction`: where the true difference of a further task
    lies; `tau`, `i2`, `q`, `q_p`: how tasks differ (see `overall.Pooled`)."""

    metric: str
    baseline: str
    arm: str
    tasks: tuple[str, ...]
    k: int
    difference: float | None
    ci: Interval | None
    interval: str
    test: str
    p: float
    p_adjusted: float | None
    margin: float
    equivalence: OneSided
    noninferiority: Noninferiority
    verdict: Verdict
    prediction: Interval | None
    tau: float
    i2: float
    q: float
    q_p: float
    higher_is_better: bool | None
    primary: bool
    corpora: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """An arm's score, and of how many examples, under every policy."""

    arm: str
    task: str
    metric: str
    values: Mapping[str, float | None]
    n: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UnderPolicy:
    """A contrast under one policy; p is not adjusted, and `verdict` is what it alone would say."""

    difference: float | None
    ci: Interval | None
    p: float
    fixed: int | None
    broke: int | None
    n: int
    verdict: Verdict = "cannot-tell"


@dataclass(frozen=True, slots=True)
class PolicyContrast:
    """A contrast under every policy, and whether its conclusion `depends` on it."""

    task: str
    metric: str
    primary: bool
    baseline: str
    arm: str
    by_policy: Mapping[str, UnderPolicy]
    depends: bool


@dataclass(frozen=True, slots=True)
class PolicyRanking:
    """The arms under every policy, the best first, and whether their order `depends` on it."""

    task: str
    metric: str
    orders: Mapping[str, tuple[str, ...] | None]
    depends: bool


@dataclass(frozen=True, slots=True)
class NotRun:
    """A task that an arm did not run."""

    arm: str
    task: str
