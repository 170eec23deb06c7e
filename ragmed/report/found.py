"""Rows of `retrieval` in, a figure out: scores where the gold document was among the passages, and where it was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ragmed.report import wording
from ragmed.report.drawing import SOFT, points, points_span, sign
from ragmed.report.rows import Chart, Group, Row, draw_rows
from ragmed.report.scores import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES = {"found": ("gold document found", "#0072B2", "o"), "missed": ("gold document missed", "#D55E00", "s")}


def retrieval(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> retrieval(results)[0].savefig("retrieval.png")  # doctest: +SKIP

    Empty where no task names its gold documents.
    """
    rows = [
        row for row in results.get("retrieval") or () if row["n"] and any(_value(row, s) is not None for s in SIDES)
    ]
    if not rows:
        return []
    groups = tuple(
        Group(f"{task}: {metric}" if metric else task, tuple(map(_row, given)))
        for (task, metric), given in panels([{"metric": "", **row} for row in rows]).items()
    )
    chart = Chart(
        title="Answers where retrieval found the gold document, and where it did not",
        groups=groups,
        columns=("hit@k", "found (n)", "missed (n)", "points", "95 % interval"),
        ends=(-0.02, 1.02),
        axis="score, as a fraction",
        under="The examples of the two sides differ, so that their difference need not be an effect of the passages.",
        key=[sign(name, colour, marker=marker, dash="") for name, colour, marker in SIDES.values()],
    )
    return draw_rows(chart)


def _value(row: wording.Row, side: str) -> float | None:
    value = (row.get(side) or {}).get("value")
    return None if value is None else float(value)


def _row(row: wording.Row) -> Row:
    values = {side: _value(row, side) for side in SIDES}

    def draw(axes: Axes, y: float) -> None:
        known = {side: value for side, value in values.items() if value is not None}
        axes.plot([min(known.values()), max(known.values())], [y, y], color=SOFT, linewidth=1, zorder=2)
        for side, value in known.items():
            _, colour, marker = SIDES[side]
            axes.plot([value], [y], marker=marker, color=colour, linestyle="", markersize=4.8, zorder=3)

    hit = wording.fraction(row.get("hit"))
    sides = (f"{wording.fraction(values[side])} ({(row.get(side) or {}).get('n', 0)})" for side in SIDES)
    texts = (hit, *sides, points(row.get("difference")), points_span(row.get("ci")))
    return Row(f"{row['arm']}, k {row['k']}", draw, texts)
