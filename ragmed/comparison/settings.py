"""What a comparison is asked: plain values in, checked and frozen ComparisonSettings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from ragmed.checked import Shorthand
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.designs import Design, four_arms
from ragmed.errors import UnknownNameError, UsageError
from ragmed.published import suite_names
from ragmed.records import STATUSES

FAILURES = tuple(status for status in STATUSES if status not in ("answered", "error"))
"""What an arm did instead of an answer. `error` is none: an answer that did not come back says nothing of the arm."""
POLICIES = ("wrong", "drop")
CORRECTIONS = ("holm", "benjamini-hochberg")
MCNEMAR = ("exact", "mid-p")
PROPORTIONS = ("wilson", "clopper-pearson")
MOST_RESAMPLES = 10_000_000


def as_design(arms: Sequence[Any]) -> dict[str, Any]:
    """Four arms of a config as the design that they stand for."""
    return asdict(four_arms(arms))


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """
    >>> ComparisonSettings(baseline="general", policy={"refused": "drop"}).policy["unparsed"]
    'wrong'

    `baseline`: the arm that others are held against; in a config, where unsaid, its first arm that shows the question.
    `contrasts`: (baseline, arm) pairs; empty: every other arm against `baseline`, and in every factorial the factor
    alone against retrieval alone, and the pairs of `misled`: an arm, and the arm that is shown the same and passages
    that say otherwise; in a config all that there are. `factorials`: designs that cross tuning or reasoning with
    retrieval; four arms [control, tuned, retrieved, both] are one of tuning. `prices`: what machines and tokens cost.
    `policy`: what an answer without a value (`unparsed`, `refused`, `truncated`) counts as, `wrong` (a score of 0) or
    `drop` (left out of all arms that are compared); `wrong` unless set. One word is the policy for all of them. An
    answer that did not come back (`error`) is missing: `min_returned` is the share of an arm's answers that must have
    come back, and `min_read` the share of those that must have been read, for a verdict to be given. `correction`: what
    adjusts p over a family. `proportions`: the interval of a share. `mcnemar`: the test of two arms that are right or
    wrong, `exact`, or `mid-p`, which is less conservative and to be declared before answers are seen. `baseline_arms`:
    arms reported beside the trivial baselines, in no contrast. `published`: suites (`clue`, `jamia`) whose published
    figures and totals stand beside what is measured. Raises UsageError for values that make no sense.
    """

    baseline: str = ""
    contrasts: tuple[tuple[str, str], ...] = ()
    margin: float = 0.05
    min_returned: float = 0.95
    min_read: float = 0.5
    alpha: float = 0.05
    policy: Annotated[Mapping[str, str], Shorthand((str,), every_failure)] = field(default_factory=dict)
    correction: str = "holm"
    proportions: str = "wilson"
    mcnemar: str = "exact"
    resamples: int = 10_000
    seed: int = 0
    baseline_arms: tuple[str, ...] = ()
    factorials: tuple[Annotated[Design, Shorthand((list,), as_design)], ...] = ()
    prices: Prices = field(default_factory=Prices)
    published: tuple[str, ...] = ()
    misled: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", every_failure(self.policy))
        if self.correction not in CORRECTIONS:
            raise UnknownNameError("correction", str(self.correction), CORRECTIONS, "the comparison")
        if self.proportions not in PROPORTIONS:
            raise UnknownNameError("interval", str(self.proportions), PROPORTIONS, "the comparison's proportions")
        if self.mcnemar not in MCNEMAR:
            raise UnknownNameError("form of McNemar's test", str(self.mcnemar), MCNEMAR, "the comparison's mcnemar")
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha is {self.alpha}; give a number between 0 and 1, such as 0.05")
        if not 0 <= self.margin < 1:
            raise UsageError(f"margin is {self.margin}; give a fraction from 0 to below 1, such as 0.05 for 5 points")
        for name in ("min_returned", "min_read"):
            if not 0 < getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give a share above 0 and up to 1, such as 0.95")
        if self.resamples < 100:
            raise UsageError(f"resamples is {self.resamples}; give at least 100, better 10000")
        if self.resamples > MOST_RESAMPLES:
            raise UsageError(f"resamples is {self.resamples}; give at most {MOST_RESAMPLES:,}, more tells nothing new")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give a number that is not negative")
        for suite in self.published:
            if suite not in suite_names():
                raise UnknownNameError("suite", suite, suite_names(), "the comparison's published")
        designs = tuple(d if isinstance(d, Design) else four_arms(d) for d in self.factorials)
        object.__setattr__(self, "factorials", designs)
        for place, design in enumerate(designs):
            if design in designs[:place]:
                raise UsageError(f"the factorial {list(design.arms)} is asked for twice; name it once")


def every_failure(given: Mapping[str, str] | str) -> dict[str, str]:
    """
    >>> every_failure("drop")["refused"], every_failure({"unparsed": "drop"})["refused"]
    ('drop', 'wrong')

    The rule for every status of an answer without a value.
    """
    policy = dict.fromkeys(FAILURES, given) if isinstance(given, str) else dict(given)
    for status, rule in policy.items():
        if status not in FAILURES:
            raise UnknownNameError("status", status, FAILURES, "the policy")
        if rule not in POLICIES:
            where = "the policy" if isinstance(given, str) else f"the policy for '{status}'"
            raise UnknownNameError("rule", str(rule), POLICIES, where)
    return {status: policy.get(status, "wrong") for status in FAILURES}
