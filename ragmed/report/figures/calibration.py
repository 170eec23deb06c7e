"""Rows of `calibration` in, a figure out: how often an answer given with some confidence is right, and the errors that
remain when the least confident answers are withheld."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragmed.comparison.diagnosis.rows import Calibration
from ragmed.comparison.results import Results
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.report import wording
from ragmed.report.figures.drawing import SMALL, SOFT, label, sign, style
from ragmed.report.figures.grid import Grid, Panel, draw_grid
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARMS = 6  # in one panel; more cannot be told apart


def calibration(results: Results) -> list[Figure]:
    """
        calibration(results)[0].savefig("calibration.png")

    Two panels for each task and at most six arms: reliability, the area of a mark being the number of answers in its
    bin, and risk over coverage. Empty where no arm was scored by log-likelihoods.
    """
    rows = [row for row in results.calibration if row.n]
    arms = list(dict.fromkeys(row.arm for row in rows))
    panels = []
    for (task,), of_task in in_groups(rows, "task"):
        each = math.ceil(len(of_task) / math.ceil(len(of_task) / _ARMS))  # seven arms are four and three
        for start in range(0, len(of_task), each):
            panels += _pair(task, of_task[start : start + each], arms)
    under = (
        "Left: on the diagonal, confidence is what it claims; a mark's area is its number of answers, which stands "
        "beside it where one arm is shown. Right: the share of errors among the answers that are kept, most confident "
        "first."
    )
    key = [sign(_short(arm), style(number)) for number, arm in enumerate(arms)]
    return draw_grid(Grid("Confidence", panels, across=2, tall=1.5, under=under, key=key))


def _pair(task: str, rows: Sequence[Calibration], arms: Sequence[str]) -> list[Panel]:
    numbers = [arms.index(row.arm) for row in rows]

    def reliability(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":", zorder=1)
        for row, number in zip(rows, numbers, strict=True):
            _bins(axes, row, number, counted=len(rows) == 1)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)

    def risk(axes: Axes) -> None:
        for row, number in zip(rows, numbers, strict=True):
            colour, _, dash = style(number)
            if row.curve:
                coverage, risks = zip(*row.curve, strict=True)
                axes.plot(coverage, risks, linewidth=1.2, color=colour, linestyle=dash, zorder=2)
        axes.set_xlim(0, 1.03)
        top = max((point[1] for row in rows for point in row.curve), default=1.0)
        axes.set_ylim(0, min(1.03, 1.15 * top + 0.05))

    errors = [f"{_short(row.arm)}: ECE {_with_interval(row.ece, row.ece_ci)}, n {row.n}" for row in rows]
    areas = [f"{_short(row.arm)}: AURC {_with_interval(row.aurc, row.aurc_ci)}" for row in rows]
    return [
        Panel(task, reliability, x="confidence", y="share right", words=tuple(errors)),
        Panel(" ", risk, x="coverage: share of answers kept", y="risk: share wrong", words=tuple(areas)),
    ]


def _short(name: str) -> str:
    lines = label(name).split("\n")
    return lines[0] if len(lines) == 1 else f"{lines[0]}…"


def _with_interval(value: float, ci: Interval | None) -> str:
    return f"{wording.fraction(value)} {wording.span(ci)}".rstrip()


def _bins(axes: Axes, row: Calibration, number: int, *, counted: bool) -> None:
    """The bins that hold answers; `counted`: with their numbers of answers beside them."""
    bins = [(b.confidence, b.right, b.n) for b in row.bins if b.confidence is not None and b.right is not None]
    colour, marker, dash = style(number)
    xs, ys = [confidence for confidence, _, _ in bins], [right for _, right, _ in bins]
    axes.plot(xs, ys, color=colour, linewidth=1, linestyle=dash, zorder=2)
    areas = [5 + 110 * count / row.n for _, _, count in bins]
    axes.scatter(xs, ys, s=areas, color=colour, marker=marker, zorder=3, edgecolor="white", linewidth=0.4)
    for confidence, right, count in bins if counted else ():
        axes.annotate(
            str(count), (confidence, right), xytext=(0, -8), textcoords="offset points",
            ha="center", va="top", fontsize=SMALL, color=SOFT,
        )  # fmt: skip
