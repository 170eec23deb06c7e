"""What may be concluded from one contrast: an adjusted p and an interval in, one of four words out."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["better", "worse", "equivalent", "cannot-tell"]


def decide(p_adjusted: float, interval: tuple[float, float], *, alpha: float, margin: float) -> Verdict:
    """
    >>> decide(0.4, (-0.03, 0.04), alpha=0.05, margin=0.05)
    'equivalent'

    `better` or `worse` need both: the adjusted p under alpha and an interval without 0. `equivalent`: the whole
    interval lies within the margin. A large p alone says nothing: then it is `cannot-tell`.
    """
    low, high = interval
    if p_adjusted < alpha and low > 0:
        return "better"
    if p_adjusted < alpha and high < 0:
        return "worse"
    if -margin <= low and high <= margin:
        return "equivalent"
    return "cannot-tell"
