"""Rows of `factorials` in, figures out: the arms of each design with their intervals, closed book and with passages, at
each level of its factor; lines that are not parallel show an interaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragmed.comparison.results import Results
from ragmed.comparison.rows import Factorial
from ragmed.report import effects, wording
from ragmed.report.figures.drawing import SMALL, Dash, amount, amount_span, sign
from ragmed.report.figures.grid import Grid, Panel, draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS: tuple[tuple[str, str, Dash], ...] = (
    ("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "D", ":"), ("#CC79A7", "^", "-."),
)  # fmt: skip
"""Colour, mark and line of the first level, and of those that are held against it."""


def factorial(results: Results) -> list[Figure]:
    """
        factorial(results)[0].savefig("factorial.png")

    A panel for each design of each task and metric, factor by factor; empty where no arms make one.
    """
    rows = [row for row in results.factorials if row.cells]
    if not rows:
        return []
    grids = []
    for factor, unit in dict.fromkeys((row.factor, row.unit) for row in rows):
        mine = [row for row in rows if (row.factor, row.unit) == (factor, unit)]
        ends = [end for row in mine for cell in row.cells.values() for end in cell.ci]
        limits = (min(0.0, *ends), max(1.0, *ends))
        several = len({row.arms for row in mine}) > 1
        grids.append(
            Grid(
                f"{factor.capitalize()} and retrieval together",
                [_panel(row, limits, several) for row in mine],
                across=3,
                tall=1.45,
                under=f"with 95 % intervals; were the lines parallel, {factor} and retrieval would simply add up",
                key=_key(mine),
            )
        )
    return [figure for grid in grids for figure in draw_grid(grid)]


def _panel(row: Factorial, limits: tuple[float, float], several: bool) -> Panel:
    def draw(axes: Axes) -> None:
        pad = 0.03 * (limits[1] - limits[0])
        axes.set_xlim(-0.42, 1.42)
        axes.set_ylim(limits[0] - pad, limits[1] + pad)
        axes.set_xticks([0, 1], ["closed book", "with passages"])
        cells = [[row.cells[role] for role in row.design.cells(level)] for level in row.levels]
        for number, own in enumerate(cells):
            colour, marker, dash = LEVELS[number % len(LEVELS)]
            shift = 0.03 * (2 * number - len(cells) + 1)
            places, values = [shift, 1 + shift], [cell.value for cell in own]
            axes.plot(places, values, color=colour, linestyle=dash, linewidth=1.2, zorder=2)
            axes.plot(places, values, color=colour, marker=marker, markersize=4.2, linestyle="", zorder=3)
            for side, cell in enumerate(own):
                axes.plot([places[side]] * 2, cell.ci, color=colour, linewidth=0.9, zorder=2)
        for side in (0, 1):
            _numbers(axes, side, [own[side].value for own in cells], limits)

    words = []
    for effect in (one for one in row.effects if one.effect == "interaction" and one.difference is not None):
        which = f" ({effect.level})" if len(row.levels) > 2 else ""
        words.append(
            f"interaction{which} {amount(effect.difference, row.unit)} {row.unit} ".rstrip()
            + f" {amount_span(effect.ci, row.unit)}, "
            f"{wording.p_in_words(effect)}: {effects.verdict(row, effect)}"
        )
    said = "; ".join([*words, f"n {row.n}"])
    arms = f" ({', '.join(row.arms[1:-1])})" if several else ""
    return Panel(f"{row.task}{arms}", draw, y=row.metric, words=(said,))


def _numbers(axes: Axes, side: int, values: Sequence[float], limits: tuple[float, float]) -> None:
    """Outside of the lines, in the order of the values, and so far from each other that all can be read."""
    apart = 0.085 * (limits[1] - limits[0])
    order = sorted(range(len(values)), key=lambda number: (values[number], number))
    places: list[list[float]] = []  # runs of values that are too near to each other, spread about their mean
    for number in order:
        places.append([values[number]])
        while len(places) > 1 and _spread(places[-1], apart)[0] - _spread(places[-2], apart)[-1] < apart:
            last = places.pop()
            places[-1] += last
    at = [place for run in places for place in _spread(run, apart)]
    for number, place in zip(order, at, strict=True):
        axes.text(
            -0.09 if side == 0 else 1.09, min(max(place, limits[0] + 0.02), limits[1] - 0.02),
            wording.fraction(values[number]), ha="right" if side == 0 else "left", va="center",
            fontsize=SMALL, color=LEVELS[number % len(LEVELS)][0],
        )  # fmt: skip


def _spread(run: Sequence[float], apart: float) -> list[float]:
    middle = sum(run) / len(run)
    return [middle + (place - (len(run) - 1) / 2) * apart for place in range(len(run))]


def _key(rows: Sequence[Factorial]) -> list[Any]:
    longest = max((row.levels for row in rows), key=len)
    alike = {tuple(level.name for level in row.levels) for row in rows}
    names = [level.name for level in longest] if len(alike) == 1 else [f"level {n + 1}" for n in range(len(longest))]
    return [sign(_named(rows[0], name), LEVELS[number % len(LEVELS)]) for number, name in enumerate(names)]


def _named(row: Factorial, level: str) -> str:
    return f"{level} model" if row.factor == "tuning" else level
