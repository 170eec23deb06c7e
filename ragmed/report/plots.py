"""Rows of results.json in, places on the page's drawings out (percent of a width, or units of a small square).

Only what a drawing needs is worked out here: no value, interval or verdict comes from this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragmed.report import wording
from ragmed.report.forest import MARKS

Row = Mapping[str, Any]
SQUARE = 200.0  # units of a small drawing's side


@dataclass(frozen=True, slots=True)
class Scale:
    """
    >>> Scale(-0.5, 0.5, ticks=(-0.5, 0.0, 0.5)).at(0.25)
    75.0

    A straight line of values from `low` to `high`; `at` gives a place in percent of its length, within 0 and 100.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 3)


def scale(values: Iterable[float], *, least: float = 0.0) -> Scale:
    """
    >>> scale([-0.13, 0.41]).ticks
    (0.0, 0.2, 0.4)

    Reaches over all values and `least` on both sides of 0, with a few round ticks.
    """
    known = [0.0, least, -least, *values]
    low, high = min(known), max(known)
    if high - low < 1e-9:
        low, high = -0.1, 0.1
    step = _round_step((high - low) / 5)
    pad = 0.04 * (high - low)
    low, high = low - pad, high + pad
    ticks = [round(n * step, 10) + 0.0 for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Scale(low, high, tuple(ticks))


def _round_step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(size * m for m in (1, 2, 5, 10) if size * m >= rough * 0.999)


@dataclass(frozen=True, slots=True)
class Forest:
    """Lines of a forest plot in groups of task and metric; `overall` is the group of rows across tasks."""

    scale: Scale
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    overall: tuple[Row, ...]
    margins: tuple[float, ...]
    marks: tuple[tuple[str, str], ...]


def forest(results: Row) -> Forest | None:
    """What can be drawn of the contrasts and the effects across tasks; None where no difference is known.

    Intervals across two or three tasks can be wider than all else: the scale is that of the contrasts.
    """
    rows = [row for row in results.get("contrasts") or [] if row["ci"] is not None]
    overall = [row for row in results.get("overall") or [] if row.get("ci") is not None]
    if not rows and not overall:
        return None
    panels = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    spans = [end for row in rows or overall for end in row["ci"]] + [row["difference"] for row in overall]
    margins = sorted({row["margin"] for row in [*rows, *overall]})
    grouped = [
        (f"{task}, {metric}", tuple(row for row in rows if (row["task"], row["metric"]) == (task, metric)))
        for task, metric in panels
    ]
    marks = tuple(mark for kind, mark in MARKS.items() if any(row.get("corpora") == kind for row in rows))
    reach = scale((max(-1.0, min(1.0, end)) for end in spans), least=margins[-1])
    return Forest(reach, tuple(grouped), tuple(overall), tuple(margins), marks)


def score_scale(results: Row) -> Scale:
    """From 0 to 1, further where a metric goes further."""
    ends = [end for row in results["scores"] if row["ci"] is not None for end in row["ci"]]
    low, high = min([0.0, *ends]), max([1.0, *ends])
    return Scale(low, high, (low, high))


def chance(results: Row, task: str, metric: str) -> float | None:
    for row in results["baselines"]:
        if (row["task"], row["metric"], row["name"]) == (task, metric, "chance"):
            return float(row["value"])
    return None


def square(x: float, y: float) -> tuple[float, float]:
    """A point of the unit square as units of a small drawing, whose y grows downwards."""
    return round(SQUARE * min(1.0, max(0.0, x)), 2), round(SQUARE * (1 - min(1.0, max(0.0, y))), 2)


def reliability(row: Row) -> list[dict[str, Any]]:
    """A dot for each bin that holds answers: where, and how large (its area goes with its share of the answers)."""
    bins = [one for one in row["bins"] if one["n"]]
    most = max((one["n"] for one in bins), default=1)
    dots = []
    for one in bins:
        x, y = square(one["confidence"], one["accuracy"])
        said = f"confidence {wording.fraction(one['confidence'])}, right {wording.fraction(one['accuracy'])}"
        radius = round(2.5 + 7 * math.sqrt(one["n"] / most), 2)
        dots.append({"x": x, "y": y, "r": radius, "said": f"{said}, n {one['n']}"})
    return dots


def stacked(row: Row) -> list[dict[str, Any]]:
    """The right answers and the parts of the wrong ones, side by side, in percent of the bar."""
    bars, before = [], 0
    for part, count in [("right", row["right"]), *((part["part"], part["count"]) for part in row["parts"])]:
        if count:
            ends = [round(100 * place / row["n"], 3) for place in (before, before + count)]
            bars.append({"part": part, "x": ends[0], "width": round(ends[1] - ends[0], 3)})
        before += count
    return bars


def path(points: Sequence[Sequence[float]]) -> str:
    """The `points` of a polyline through pairs of values between 0 and 1."""
    return " ".join("{:g},{:g}".format(*square(x, y)) for x, y in points)
