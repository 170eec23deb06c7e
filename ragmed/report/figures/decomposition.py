"""Rows of `decomposition` in, a figure out: how many answers of each retrieved arm are right, and why the others are
not, as stacked bars with their counts beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmed.comparison.diagnosis.rows import Decomposition
from ragmed.comparison.results import Results
from ragmed.report import wording
from ragmed.report.figures.rows import Chart, Group, Row, draw_rows
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {
    "right": ("#0072B2", ""),
    "form": ("#222222", ""),
    "missed": ("#E69F00", "////"),
    "misled": ("#D55E00", "xxxx"),
    "ignored": ("#CC79A7", "...."),
    "unknown": ("#e6e6e6", ""),
}
"""Part -> its colour, its hatching (for print without colour)."""


def decomposition(results: Results) -> list[Figure]:
    """
        decomposition(results)[0].savefig("decomposition.png")

    A bar for each retrieved arm of a task, as long as its examples; empty where nothing was decomposed.
    """
    rows = [row for row in results.decomposition if row.n]
    if not rows:
        return []
    used = [part for part in STYLES if any(_counts(row).get(part) for row in rows)]
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_bar(row, used) for row in given))
        for (task, metric), given in in_groups(rows, "task", "metric")
    )
    chart = Chart(
        title="Where the answers with passages went wrong",
        groups=groups,
        columns=("n", *used),
        ends=(0, 100),
        axis="share of the examples, in %",
        key=_key(used),
    )
    return draw_rows(chart)


def _counts(row: Decomposition) -> dict[str, int]:
    return {"right": int(row.right)} | {part.part: int(part.count) for part in row.parts}


def _bar(row: Decomposition, used: list[str]) -> Row:
    counts = _counts(row)

    def draw(axes: Axes, y: float) -> None:
        start = 0.0
        for part in used:
            share = 100 * counts.get(part, 0) / row.n
            colour, hatch = STYLES[part]
            axes.barh(
                y, share, left=start, height=0.105, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.5,
                zorder=2,
            )  # fmt: skip
            start += share

    return Row(row.arm, draw, (str(row.n), *(str(counts.get(part, 0)) for part in used)))


def _key(used: list[str]) -> list[Any]:
    from matplotlib.patches import Patch

    names = {"right": "right"} | {part: f"{part}: {cause}" for part, cause in wording.CAUSES.items()}
    return [
        Patch(facecolor=STYLES[part][0], hatch=STYLES[part][1], edgecolor="white", linewidth=0.5, label=names[part])
        for part in used
    ]
