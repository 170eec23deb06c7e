"""What a comparison finds, row by row: the scores of arms, their differences, and how these depend on the policy.

Scores and differences are fractions, or of their `unit` where that is not `points`; intervals (low, high) of 95 %.
None: nothing is left to compute it from. A row's fields are those of its records in results.json (see `results`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ragmed.comparison.designs import Design, FactorName, Level
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.comparison.statistics.intervals import Estimate
from ragmed.metrics import POINTS

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
    unit: str = POINTS


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
    @property
    def unit(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Contrast:
    """`arm` less `baseline` on the `n` examples of a task that both have a score for.

    `p_adjusted` None: the metric is not its task's primary one, so that the contrast is in no family. `fixed`, `broke`:
    how many answers became right and wrong, where the metric is 0 or 1. `left_out`: examples without a score of both.
    `corpora`: `same`, `different` or `unknown` where tuning stands against retrieving, else empty. `missing`: examples
    whose answer did not come back in one of the two; interval and p then hold whatever it would have been. `reason`:
    why there is no verdict. `depends`: whether the conclusion changes with what unreadable answers count as.
    `mid_p`: of McNemar's test, beside whichever form `p` is of; `attainable`: the least p that the test could have
    given, had all that differ gone one way; None where neither is known.
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
    mid_p: float | None = None
    attainable: float | None = None
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect of a factorial: `tuning` (or `reasoning`), `retrieval`, `interaction` or `tuning-against-retrieval`.

    `reason`: why there is no verdict. `level`: of the factor, that is held against the first; empty of retrieval.
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
    level: str = ""
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class Factorial:
    """The arms of a design on the `n` examples of a task that all of them have a score for: the `levels` of a `factor`,
    closed book and with passages. `control`, `retrieved`: the arms of its first level; `both`: that of the second with
    passages, `tuned` closed book, of tuning alone. `cells`: role -> its score (see `Design.roles`); `simple`: what
    retrieval does at each level, and what the factor does `closed_book` and `with_passages`; both empty where no
    example is left."""

    task: str
    metric: str
    n: int
    control: str
    tuned: str | None
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
    levels: tuple[Level, ...]
    factor: FactorName = "tuning"
    unit: str = POINTS

    @property
    def design(self) -> Design:
        return Design(self.levels, self.factor)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.design.arms


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
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class Alike:
    """The largest sets of arms no two of which are told apart on a task, the best arms first (see `alike`)."""

    task: str
    metric: str
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """An arm's score, and of how many examples, under every policy."""

    arm: str
    task: str
    metric: str
    values: Mapping[str, float | None]
    n: Mapping[str, int]
    unit: str = POINTS


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
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class PolicyRanking:
    """The arms under every policy, the best first, and whether their order `depends` on it."""

    task: str
    metric: str
    orders: Mapping[str, tuple[str, ...] | None]
    depends: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of an arm's model, beside what was measured here. `within`: whether the published figure lies
    in the measured interval, which knows nothing of another prompt, another few-shot draw or another parser. None: not
    measured."""

    suite: str
    arm: str
    model: str
    task: str
    metric: str
    published: float
    measured: float | None
    ci: Interval | None
    within: bool | None


@dataclass(frozen=True, slots=True)
class SuiteTotal:
    """An arm's total over a level of a suite: the mean of its tasks' scores, each the mean of its metrics. `value`
    None: `missing` says which scores it lacks. `published`: the same total as published of its model."""

    suite: str
    level: str
    arm: str
    value: float | None
    published: float | None
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """Of the `n` examples of a task, those that did not fit an arm: their prompt did not, so that nothing was asked
    (`unasked`), or documents of their record were left out (`cut`)."""

    arm: str
    task: str
    n: int
    unasked: int
    cut: int


@dataclass(frozen=True, slots=True)
class NotRun:
    """A task that an arm did not run, and why, where known. `failed`: it should have, but could not retrieve."""

    arm: str
    task: str
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """How many of an arm's answers (or, `of` says what, of the codes or statements in them) fail in one way: `share` of
    `n`. `count` None: the mean of shares of single answers. `kind`: see `ragmed.comparison.failures`. `examples`: whose
    answers these are, each once, however many of its codes or statements count."""

    arm: str
    task: str
    kind: str
    of: str
    n: int
    count: int | None
    share: float
    ci: Interval
    interval: str
    groups: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailureContrast:
    """`arm` less `baseline` in the share that fails in one way, on the `n` items both have; above 0 is worse. p is not
    adjusted."""

    task: str
    kind: str
    baseline: str
    arm: str
    n: int
    difference: float | None
    ci: Interval | None
    interval: str
    test: str
    p: float
    groups: int


@dataclass(frozen=True, slots=True)
class MeasuredError:
    """What a failure that is found by a fallible measure is worth: of labelled answers, the share of the `positives`
    that it finds (`sensitivity`) and of the `negatives` that it leaves alone (`specificity`). `youden`: their sum less
    1, 0 for what is drawn by lot; its interval is made of theirs (Zou and Donner 2008, Stat Med 27:1693)."""

    kind: str
    measure: str
    labelled: str
    positives: int
    negatives: int
    sensitivity: Estimate
    specificity: Estimate
    youden: Estimate


@dataclass(frozen=True, slots=True)
class StepRow:
    """What an arm did about the passages of `n` examples of a task in one kind of step (see `ragmed.records.Step`), in
    all: how often its own model was `asked`, how many of its answers could not be read, the queries searched for, the
    passages dropped, the examples that were left without any, and the tokens that its model read and wrote."""

    arm: str
    task: str
    kind: str
    n: int
    asked: int
    unread: int
    queries: int
    dropped: int
    left_without: int
    input_tokens: int
    output_tokens: int
