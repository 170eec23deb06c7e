"""Rows of `decomposition` in, a figure out: how many answers of each retrieved arm are right, and why the others are
not, as stacked bars with their counts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ragmed.report import wording
from ragmed.report.rows import Chart, Group, Row, draw_rows
from ragmed.report.scores import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {
    "right": ("right", "#0072B2", ""),
    "form": ("form: no readable answer", "#222222", ""),
    "missed": ("missed: no gold passage shown", "#E69F00", "///"),
    "misled": ("misled: right without passages", "#D55E00", "xx"),
    "ignored": ("ignored: gold passage shown, still wrong", "#CC79A7", ".."),
    "unknown": ("unknown: no gold passage known", "#e6e6e6", ""),
}
"""Part -> what it is called, its colour, its hatching (for print without colour)."""


def decomposition(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> decomposition(results)[0].savefig("decomposition.png")  # doctest: +SKIP

    A bar for each retrieved arm of a task, as long as its examples; empty where nothing was decomposed.
    """
    rows = [row for row in results.get("decomposition") or () if row["n"]]
    if not rows:
        return []
    used = [part for part in PARTS if any(_counts(row).get(part) for row in rows)]
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_bar(row, used) for row in given))
        for (task, metric), given in panels(rows).items()
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


def _counts(row: wording.Row) -> dict[str, int]:
    return {"right": int(row["right"])} | {part["part"]: int(part["count"]) for part in row["parts"]}


def _bar(row: wording.Row, used: list[str]) -> Row:
    counts = _counts(row)

    def draw(axes: Axes, y: float) -> None:
        start = 0.0
        for part in used:
            share = 100 * counts.get(part, 0) / row["n"]
            _, colour, hatch = PARTS[part]
            axes.barh(
                y, share, left=start, height=0.105, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.5,
                zorder=2,
            )  # fmt: skip
            start += share

    return Row(row["arm"], draw, (str(row["n"]), *(str(counts.get(part, 0)) for part in used)))


def _key(used: list[str]) -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=PARTS[part][1], hatch=PARTS[part][2], edgecolor="white", linewidth=0.5, label=PARTS[part][0])
        for part in used
    ]
