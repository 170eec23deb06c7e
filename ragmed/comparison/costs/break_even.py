"""What two ways of answering cost, once and for each question, in; from how many questions on the first costs less out.

    bounded(Line(3600, 0.5, reach=0.1), Line(60, 2.0, reach=0.2)).between

A number alone would promise more than was measured: it comes with the numbers that it may lie between, or not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ragmed.comparison.costs.rows import Line, Outcome

ONCE_VARIES = 0.25
"""By what share of itself a cost that was measured once is taken to vary. The same training step, repeated on one
shared machine, took 0.84 to 1.23 times its mean in CPU-seconds (docs/benchmarks.md)."""
LEAST_WINDOWS = 3
"""Of fewer windows of questions there is no interval worth the name."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """`questions`: where both cost the same, `between` which numbers that may lie; `reason`: why it cannot be told."""

    outcome: Outcome
    questions: int | None = None
    between: tuple[int, int] | None = None
    reason: str = ""


def break_even(tuning: Line, retrieval: Line) -> tuple[Outcome, int | None]:
    """
    >>> break_even(Line(once=3600, each=0.5), Line(once=60, each=2.0))
    ('after', 2360)

    When tuning costs less in total, taking the costs as exact. `after`: at and beyond so many questions; `until`: up to
    so many, and no longer beyond them; `from-the-first` question on; `never`; `equal`: both cost the same, whatever the
    number; `unknown`: a part is missing. The number is the whole one next to where the two totals are equal.
    """
    if tuning.once is None or tuning.each is None or retrieval.once is None or retrieval.each is None:
        return "unknown", None
    once, each = tuning.once - retrieval.once, tuning.each - retrieval.each
    if once == each == 0:
        return "equal", None
    if once <= 0 and each <= 0:
        return "from-the-first", None
    if once >= 0 and each >= 0:
        return "never", None
    number = once / -each
    if not math.isfinite(number):  # a saving too small to be reached
        return ("never", None) if once > 0 else ("from-the-first", None)
    return ("after", math.ceil(number)) if once > 0 else ("until", math.floor(number))


def bounded(tuning: Line, retrieval: Line) -> Crossing:
    """
    >>> bounded(Line(3600, 0.5, reach=0.0), Line(60, 2.0, reach=0.0)).between
    (1750, 2970)
    >>> bounded(Line(3600, 1.9, reach=0.2), Line(60, 2.0, reach=0.2)).outcome
    'unknown'

    As `break_even`, with what is not known of the costs: `reach` of each question's mean (95 %; the two combined by
    Zou and Donner's MOVER, Stat Med 2008;27:1693), and `ONCE_VARIES` of what was paid once. Where either difference
    may have the other sign, nothing is said.
    """
    outcome, questions = break_even(tuning, retrieval)
    if outcome in ("unknown", "equal"):
        return Crossing(outcome)
    if tuning.reach is None or retrieval.reach is None:
        reason = f"an interval of what a question costs needs {LEAST_WINDOWS} windows of questions that were measured"
        return Crossing("unknown", reason=reason)
    assert tuning.once is not None
    assert retrieval.once is not None
    assert tuning.each is not None
    assert retrieval.each is not None
    once, varies = tuning.once - retrieval.once, ONCE_VARIES * (tuning.once + retrieval.once)
    each, reach = tuning.each - retrieval.each, math.hypot(tuning.reach, retrieval.reach)
    if varies and abs(once) <= varies:
        return Crossing("unknown", reason="what was paid once differs by no more than one measurement of it may vary")
    if reach and abs(each) <= reach:
        return Crossing("unknown", reason="what a question costs differs by no more than it varies")
    if questions is None:
        return Crossing(outcome)
    least, most = (abs(once) - varies) / (abs(each) + reach), (abs(once) + varies) / (abs(each) - reach)
    if not math.isfinite(most):
        return Crossing("unknown", reason="what a question costs differs by no more than it varies")
    whole = math.ceil if outcome == "after" else math.floor
    return Crossing(outcome, questions, (whole(least), whole(most)))
