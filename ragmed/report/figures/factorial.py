"""Rows of `factorials` in, a figure out: the four arms of each 2x2 with their intervals, closed book and with
passages, untuned and tuned; lines that are not parallel show an interaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmed.comparison.results import Results
from ragmed.comparison.rows import Factorial
from ragmed.report import effects, wording
from ragmed.report.figures.drawing import SMALL, Dash, points, points_span, sign
from ragmed.report.figures.grid import Grid, Panel, draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODELS: dict[str, tuple[tuple[str, str], str, str, Dash]] = {
    "untuned": (("control", "retrieved"), "#0072B2", "o", "-"),
    "tuned": (("tuned", "both"), "#D55E00", "s", "--"),
}
"""Which model -> its two cells, colour, mark, line."""


def factorial(results: Results) -> list[Figure]:
    """
        factorial(results)[0].savefig("factorial.png")

    A panel for each 2x2 of each task and metric; empty where no four arms make one.
    """
    rows = [row for row in results.factorials if row.cells]
    if not rows:
        return []
    ends = [end for row in rows for cell in row.cells.values() for end in cell.ci]
    limits = (min(0.0, *ends), max(1.0, *ends))
    several = len({row.arms for row in rows}) > 1
    panels = [_panel(row, limits, several) for row in rows]
    under = "with 95 % intervals; were the lines parallel, tuning and retrieval would simply add up"
    return draw_grid(Grid("Tuning and retrieval together", panels, across=3, tall=1.45, under=under, key=_key()))


def _panel(row: Factorial, limits: tuple[float, float], several: bool) -> Panel:
    def draw(axes: Axes) -> None:
        pad = 0.03 * (limits[1] - limits[0])
        axes.set_xlim(-0.42, 1.42)
        axes.set_ylim(limits[0] - pad, limits[1] + pad)
        axes.set_xticks([0, 1], ["closed book", "with passages"])
        values = {model: [row.cells[cell].value for cell in cells] for model, (cells, *_) in MODELS.items()}
        for number, (model, (cells, colour, marker, dash)) in enumerate(MODELS.items()):
            shift = 0.03 * (2 * number - 1)
            places = [shift, 1 + shift]
            axes.plot(places, values[model], color=colour, linestyle=dash, linewidth=1.2, zorder=2)
            axes.plot(places, values[model], color=colour, marker=marker, markersize=4.2, linestyle="", zorder=3)
            for side, cell in enumerate(cells):
                axes.plot([places[side]] * 2, row.cells[cell].ci, color=colour, linewidth=0.9, zorder=2)
                other = values["untuned" if model == "tuned" else "tuned"][side]
                _number(axes, side, values[model][side], number=number, other=other, limits=limits)

    interaction = next((e for e in row.effects if e.effect == "interaction"), None)
    words = f"n {row.n}"
    if interaction is not None and interaction.difference is not None:
        words = (
            f"interaction {points(interaction.difference)} points "
            f"{points_span(interaction.ci)}, {wording.p_in_words(interaction)}: "
            f"{effects.verdict(row, interaction)}; {words}"
        )
    arms = f" ({row.tuned}, {row.retrieved})" if several else ""
    return Panel(f"{row.task}{arms}", draw, y=row.metric, words=(words,))


def _number(axes: Axes, side: int, value: float, *, number: int, other: float, limits: tuple[float, float]) -> None:
    """Outside of the lines, and so far from the other model's number that both can be read."""
    apart = 0.085 * (limits[1] - limits[0])
    at = value
    if abs(value - other) < apart:
        upper = value > other or (value == other and number == 1)
        at = (value + other) / 2 + (apart / 2 if upper else -apart / 2)
    at = min(max(at, limits[0] + 0.02), limits[1] - 0.02)
    axes.text(
        -0.09 if side == 0 else 1.09, at, wording.fraction(value), ha="right" if side == 0 else "left", va="center",
        fontsize=SMALL, color=list(MODELS.values())[number][1],
    )  # fmt: skip


def _key() -> list[Any]:
    return [sign(f"{name} model", (colour, marker, dash)) for name, (_, colour, marker, dash) in MODELS.items()]
