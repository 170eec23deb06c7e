"""Rows of `economics` in, a figure out: what tuning and what retrieval cost in all, over the number of questions, and
where the lines cross."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmed.comparison.costs.rows import BreakEven, Economics
from ragmed.comparison.results import Results
from ragmed.report import effects
from ragmed.report.figures.drawing import SMALL, SOFT, Dash, sign
from ragmed.report.figures.grid import Grid, Panel, draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES: dict[str, tuple[str, Dash]] = {"tuning": ("#D55E00", "-"), "retrieval": ("#0072B2", "--")}
_FAR = 10_000  # questions, where the lines never cross


def cost(results: Results) -> list[Figure]:
    """
        cost(results)[0].savefig("cost.png")

    A panel for each task, design and unit (seconds of computing, and money where tokens have prices) of which both
    sides are known; shaded: between which numbers of questions they may cross.
    """
    rows = [(row, unit) for row in results.economics for unit in row.break_even if _known(unit)]
    panels = [_panel(row, unit) for row, unit in rows]
    under = "once (training with its search; embedding the corpus with its search) and for each question"
    return draw_grid(
        Grid("What tuning and retrieval cost in all", panels, across=3, tall=1.35, under=under, key=_key())
    )


def _known(unit: BreakEven) -> bool:
    return all(part is not None for line in (unit.tuning, unit.retrieval) for part in (line.once, line.each))


def _panel(row: Economics, unit: BreakEven) -> Panel:
    lines = {"tuning": unit.tuning, "retrieval": unit.retrieval}
    costs = {side: (line.once or 0.0, line.each or 0.0) for side, line in lines.items()}
    crossing = unit.questions if unit.outcome in ("after", "until") else None
    last = 2.0 * crossing if crossing else float(_FAR)
    most = max(once + last * each for once, each in costs.values())
    name, size = _scale(unit.unit, most)

    def draw(axes: Axes) -> None:
        for side, (colour, dash) in SIDES.items():
            once, each = (part / size for part in costs[side])
            axes.plot([0, last], [once, once + last * each], color=colour, linestyle=dash, linewidth=1.3, zorder=3)
        axes.set_xlim(0, last)
        axes.set_ylim(0, 1.12 * most / size if most else 1)
        axes.xaxis.set_major_locator(_few())
        axes.yaxis.set_major_locator(_few())
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.6g}")
        if unit.between:
            axes.axvspan(*(min(end, last) for end in unit.between), color=SOFT, alpha=0.15, linewidth=0, zorder=1)
        if crossing:
            axes.axvline(crossing, color=SOFT, linewidth=0.9, linestyle=":", zorder=2)
            axes.text(
                crossing, 0.03, f" {crossing:,}", transform=axes.get_xaxis_transform(), fontsize=SMALL, color=SOFT
            )

    return Panel(
        f"{row.task}: {row.tuned}, {row.retrieved}", draw, x="questions", y=name,
        words=(effects.break_even(unit),),
    )  # fmt: skip


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _scale(unit: str, most: float) -> tuple[str, float]:
    """Many seconds as hours or minutes, and much of anything else in thousands or millions."""
    if unit.endswith("-seconds"):
        for name, size in (("hours", 3600.0), ("minutes", 60.0)):
            if most >= 2 * size:
                return f"{unit.removesuffix('seconds')}{name}", size
    for name, size in (("million", 1e6), ("thousand", 1e3)):
        if most >= 20 * size:
            return f"{name} {unit}", size
    return unit, 1.0


def _key() -> list[Any]:
    return [sign(name, (colour, "None", dash)) for name, (colour, dash) in SIDES.items()]
