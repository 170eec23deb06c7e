"""Rows of `scores` and `baselines` in, a figure out: the score of every arm with its interval, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.report import wording
from ragmed.report.drawing import COLOURS, MARKERS, SOFT, sign
from ragmed.report.rows import Chart, Draw, Group, Row, Span, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(rows: Sequence[wording.Row]) -> dict[tuple[str, str], list[wording.Row]]:
    """Rows by (task, metric), in the order in which they come."""
    found: dict[tuple[str, str], list[wording.Row]] = {}
    for row in rows:
        found.setdefault((row["task"], row["metric"]), []).append(row)
    return found


def scores(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> scores(results)[0].savefig("scores.png")  # doctest: +SKIP

    An arm without any score keeps its row, which says so. Empty where nothing was scored.
    """
    rows = list(results.get("scores") or ())
    known = [row for row in rows if row["value"] is not None]
    if not known:
        return []
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    chance = {(b["task"], b["metric"]): float(b["value"]) for b in results["baselines"] if b["name"] == "chance"}
    open_ = any(_open(row) for row in rows)
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_row(row, arms.index(row["arm"])) for row in given),
              draw=_chance(chance.get((task, metric))))
        for (task, metric), given in panels(rows).items()
    )  # fmt: skip
    bounds = [end for row in known for end in (row["ci"] or [row["value"]])]
    low, high = min(0.0, *bounds), max(1.0, *bounds)
    chart = Chart(
        title="Scores",
        groups=groups,
        columns=("score", "95 % interval", "n", *(["not answered"] if open_ else [])),
        ends=(low - 0.02 * (high - low), high + 0.02 * (high - low)),
        axis="score, as a fraction",
        key=[sign("what guessing gives", SOFT, dash=":")]
        if any((g["task"], g["metric"]) in chance for g in known)
        else (),
    )
    return draw_rows(chart)


def _open(row: wording.Row) -> int:
    return sum(int(count) for name, count in (row.get("status") or {}).items() if name != "answered")


def _row(row: wording.Row, number: int) -> Row:
    texts = (wording.fraction(row["value"]), wording.span(row["ci"]), str(row["n"]), str(_open(row) or ""))
    return Row(row["arm"], mark(row["value"], row["ci"], number), texts)


def mark(value: float | None, ci: Sequence[float] | None, number: int) -> Draw:
    """A point with its interval, in the colour and shape of the arm of that number."""

    def draw(axes: Axes, y: float) -> None:
        if value is not None:
            low, high = ci if ci is not None else (value, value)
            axes.plot(
                [low, value, high], [y] * 3, color=COLOURS[number % len(COLOURS)], linewidth=1.4, markersize=4.5,
                marker=MARKERS[number % len(MARKERS)], markevery=[1], solid_capstyle="butt", zorder=3,
            )  # fmt: skip

    return draw


def _chance(value: float | None) -> Span | None:
    if value is None:
        return None

    def draw(axes: Axes, top: float, bottom: float) -> None:
        axes.plot([value, value], [top, bottom], color=SOFT, linestyle=":", linewidth=1.1, zorder=1)

    return draw
