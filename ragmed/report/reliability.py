"""Rows of `calibration` in, a figure out: how often an answer given with some confidence is right, and the errors that
remain when the least confident answers are withheld."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ragmed.report import wording
from ragmed.report.drawing import COLOURS, DASHES, MARKERS, SMALL, SOFT, label, sign
from ragmed.report.grid import Grid, Panel, draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARMS = 6  # in one panel; more cannot be told apart


def calibration(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> calibration(results)[0].savefig("calibration.png")  # doctest: +SKIP

    Two panels for each task and at most six arms: reliability, the area of a mark being the number of answers in its
    bin, and risk over coverage. Empty where no arm was scored by log-likelihoods.
    """
    rows = [row for row in results.get("calibration") or () if row["n"]]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    panels = []
    for task in dict.fromkeys(row["task"] for row in rows):
        given = [row for row in rows if row["task"] == task]
        each = math.ceil(len(given) / math.ceil(len(given) / _ARMS))  # seven arms are four and three
        for start in range(0, len(given), each):
            panels += _pair(task, given[start : start + each], arms)
    under = (
        "Left: on the diagonal, confidence is what it claims; a mark's area is its number of answers, which stands "
        "beside it where one arm is shown. Right: the share of errors among the answers that are kept, most confident "
        "first."
    )
    return draw_grid(Grid("Confidence", panels, across=2, tall=1.5, under=under))


def _pair(task: str, rows: Sequence[wording.Row], arms: Sequence[str]) -> list[Panel]:
    styles = [arms.index(row["arm"]) for row in rows]

    def reliable(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":", zorder=1)
        for row, number in zip(rows, styles, strict=True):
            _bins(axes, row, number, numbered=len(rows) == 1)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        _names(axes, rows, styles)

    def risky(axes: Axes) -> None:
        for row, number in zip(rows, styles, strict=True):
            if row["curve"]:
                axes.plot(
                    [point[0] for point in row["curve"]], [point[1] for point in row["curve"]], linewidth=1.2,
                    color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)], zorder=2,
                )  # fmt: skip
        axes.set_xlim(0, 1.03)
        top = max((point[1] for row in rows for point in row["curve"]), default=1.0)
        axes.set_ylim(0, min(1.03, 1.15 * top + 0.05))

    said = [f"{_short(row['arm'])}: ECE {_of(row, 'ece')}, n {row['n']}" for row in rows]
    areas = [
        f"{_short(row['arm'])}: area {_of(row, 'aurc')}, Brier {wording.fraction(row.get('brier'))}" for row in rows
    ]
    return [
        Panel(task, reliable, x="confidence", y="share right", words=tuple(said)),
        Panel(" ", risky, x="coverage: share of answers kept", y="risk: share wrong", words=tuple(areas)),
    ]


def _short(name: str) -> str:
    lines = label(name).split("\n")
    return lines[0] if len(lines) == 1 else f"{lines[0]}…"


def _of(row: wording.Row, key: str) -> str:
    return f"{wording.fraction(row.get(key))} {wording.span(row.get(f'{key}_ci'))}".rstrip()


def _bins(axes: Axes, row: wording.Row, number: int, *, numbered: bool) -> None:
    bins = [one for one in row["bins"] if one["n"] and one["confidence"] is not None]
    colour = COLOURS[number % len(COLOURS)]
    xs, ys = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
    axes.plot(xs, ys, color=colour, linewidth=1, linestyle=DASHES[number % len(DASHES)], zorder=2)
    areas = [5 + 110 * one["n"] / row["n"] for one in bins]
    axes.scatter(
        xs, ys, s=areas, color=colour, marker=MARKERS[number % len(MARKERS)], zorder=3, edgecolor="white",
        linewidth=0.4,
    )  # fmt: skip
    for one in bins if numbered else ():
        axes.annotate(
            str(one["n"]), (one["confidence"], one["accuracy"]), xytext=(0, -8), textcoords="offset points",
            ha="center", va="top", fontsize=SMALL, color=SOFT,
        )  # fmt: skip


def _free_corner(rows: Sequence[wording.Row]) -> Literal["upper left", "lower right"]:
    """Where fewer answers lie: above the diagonal where arms are too sure of themselves."""
    sure = sum(one["n"] * (one["confidence"] - one["accuracy"]) for row in rows for one in row["bins"] if one["n"])
    return "upper left" if sure >= 0 else "lower right"


def _names(axes: Axes, rows: Sequence[wording.Row], styles: Sequence[int]) -> None:
    handles = [
        sign(
            label(row["arm"]), COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)], dash=DASHES[n % len(DASHES)]
        )
        for row, n in zip(rows, styles, strict=True)
    ]
    axes.legend(
        handles=handles, loc=_free_corner(rows), fontsize=SMALL, framealpha=0.85, edgecolor="none", borderpad=0.2
    )  # fmt: skip
