"""Rows of `retrieval` in, a figure out: scores where the gold document was among the passages, and where it was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmed.comparison.diagnosis.rows import Retrieval, Side
from ragmed.comparison.results import Results
from ragmed.report import wording
from ragmed.report.figures.drawing import SOFT, points, points_span, sign
from ragmed.report.figures.rows import Chart, Group, Row, draw_rows
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES = {"found": ("gold document found", "#0072B2", "o"), "missed": ("gold document missed", "#D55E00", "s")}


def retrieval(results: Results) -> list[Figure]:
    """
        retrieval(results)[0].savefig("retrieval.png")

    Empty where no task names its gold documents.
    """
    rows = [row for row in results.retrieval if any(side.value is not None for side in _sides(row).values())]
    if not rows:
        return []
    groups = tuple(
        Group(f"{task}: {metric}", tuple(map(_row, given)))
        for (task, metric), given in in_groups(rows, "task", "metric")
    )
    chart = Chart(
        title="Answers where retrieval found the gold document, and where it did not",
        groups=groups,
        columns=("hit@k", "found (n)", "missed (n)", "points", "95 % interval"),
        ends=(-0.02, 1.02),
        axis="score, as a fraction",
        under="The examples of the two sides differ, so that their difference need not be an effect of the passages.",
        key=[sign(name, (colour, marker, "")) for name, colour, marker in SIDES.values()],
    )
    return draw_rows(chart)


def _sides(row: Retrieval) -> dict[str, Side]:
    return {"found": row.found, "missed": row.missed}


def _row(row: Retrieval) -> Row:
    def draw(axes: Axes, y: float) -> None:
        known = {name: side.value for name, side in _sides(row).items() if side.value is not None}
        axes.plot([min(known.values()), max(known.values())], [y, y], color=SOFT, linewidth=1, zorder=2)
        for name, value in known.items():
            _, colour, marker = SIDES[name]
            axes.plot([value], [y], marker=marker, color=colour, linestyle="", markersize=4.8, zorder=3)

    hit = wording.fraction(row.hit)
    sides = (f"{wording.fraction(side.value)} ({side.n})" for side in (row.found, row.missed))
    texts = (hit, *sides, points(row.difference), points_span(row.ci))
    return Row(f"{row.arm}, k {row.k}", draw, texts)
