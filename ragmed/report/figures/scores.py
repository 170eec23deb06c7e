"""Rows of `scores` and `baselines` in, a figure out: the score of every arm with its interval, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragmed.comparison.results import Results
from ragmed.comparison.rows import Score
from ragmed.metrics import POINTS
from ragmed.report import wording
from ragmed.report.figures.drawing import SOFT, sign, style
from ragmed.report.figures.rows import Chart, Draw, Group, Row, Span, draw_rows
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scores(results: Results) -> list[Figure]:
    """
        scores(results)[0].savefig("scores.png")

    An arm without any score keeps its row, which says so. Empty where nothing was scored.
    """
    units = dict.fromkeys(row.unit for row in results.scores)
    return [figure for unit in units for figure in _of_unit(results, unit)]


def _of_unit(results: Results, unit: str) -> list[Figure]:
    """Scores of one unit have one axis."""
    rows = [row for row in results.scores if row.unit == unit]
    known = [row.ci or (row.value, row.value) for row in rows if row.value is not None]
    if not known:
        return []
    arms = list(dict.fromkeys(row.arm for row in rows))
    chance = {(b.task, b.metric): b.value for b in results.baselines if b.name == "chance"}
    open_ = any(_open(row) for row in rows)
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_row(row, arms.index(row.arm)) for row in given),
              draw=_chance(chance.get((task, metric))))
        for (task, metric), given in in_groups(rows, "task", "metric")
    )  # fmt: skip
    bounds = [end for ci in known for end in ci]
    low, high = min(0.0, *bounds), max(1.0, *bounds)
    chart = Chart(
        title="Scores",
        groups=groups,
        columns=("score", "95 % interval", "n", *(["not answered"] if open_ else [])),
        ends=(low - 0.02 * (high - low), high + 0.02 * (high - low)),
        axis=f"score, {in_words(unit)}",
        key=[sign("what guessing gives", (SOFT, "None", ":"))]
        if any((g.task, g.metric) in chance for g in rows if g.value is not None)
        else (),
    )
    return draw_rows(chart)


def in_words(unit: str) -> str:
    return "as a fraction" if unit == POINTS else f"in {unit}" if unit else "on the metric's own scale"


def _open(row: Score) -> int:
    return sum(int(count) for name, count in row.status.items() if name != "answered")


def _row(row: Score, number: int) -> Row:
    texts = (wording.fraction(row.value), wording.span(row.ci), str(row.n), str(_open(row) or ""))
    return Row(row.arm, mark(row.value, row.ci, number), texts)


def mark(value: float | None, ci: Sequence[float] | None, number: int) -> Draw:
    """A point with its interval, in the colour and shape of the arm of that number."""

    def draw(axes: Axes, y: float) -> None:
        if value is not None:
            low, high = ci if ci is not None else (value, value)
            colour, marker, _ = style(number)
            axes.plot(
                [low, value, high], [y] * 3, color=colour, linewidth=1.4, markersize=4.5, marker=marker, markevery=[1],
                solid_capstyle="butt", zorder=3,
            )  # fmt: skip

    return draw


def _chance(value: float | None) -> Span | None:
    if value is None:
        return None

    def draw(axes: Axes, top: float, bottom: float) -> None:
        axes.plot([value, value], [top, bottom], color=SOFT, linestyle=":", linewidth=1.1, zorder=1)

    return draw
