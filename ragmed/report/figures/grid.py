"""Small panels in, figures out: so many to a line, on as many pages as it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragmed.report.figures.drawing import (
    INK,
    LINE,
    SIZE,
    SMALL,
    SOFT,
    TALLEST,
    WIDTH,
    axes_at,
    fit,
    legend,
    paged,
    sheet,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Panel:
    """`draw(axes)` draws it; `title` stands over it, `words` under it, both wrapped; x and y name the axes."""

    title: str
    draw: Callable[[Axes], None]
    x: str = ""
    y: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """Panels of one figure: `across` to a line, each with a plot `tall` inches high."""

    title: str
    panels: Sequence[Panel]
    across: int
    tall: float
    under: str = ""
    key: Sequence[Any] = ()


_LEFT, _RIGHT = 0.5, 0.2


def draw_grid(grid: Grid) -> list[Figure]:
    """A figure for each page; none where there is no panel."""
    if not grid.panels:
        return []
    across = min(grid.across, len(grid.panels))
    each = WIDTH / grid.across
    width = max(each * across, 3.4)
    each = width / across
    lines = [grid.panels[i : i + across] for i in range(0, len(grid.panels), across)]
    under = fit(grid.under, width - 0.15) if grid.under else []
    columns = _columns(grid, width)
    head = 0.3 + 0.125 * len(under) + (0.15 * -(-len(grid.key) // columns) if grid.key else 0)
    pages: list[list[Sequence[Panel]]] = [[]]
    used = head
    for line in lines:
        tall = _tall(grid, line, each)
        if pages[-1] and used + tall > TALLEST:
            pages.append([])
            used = head
        pages[-1].append(line)
        used += tall
    figures = []
    for number, page in enumerate(pages, 1):
        title = paged(grid.title, number, len(pages))
        height = head + sum(_tall(grid, line, each) for line in page)
        figure = sheet(width, height, title, under="\n".join(under))
        if grid.key:
            legend(figure, grid.key, top=0.27 + 0.125 * len(under), columns=columns)
        _place(figure, grid, page, head=head, each=each)
        figures.append(figure)
    return figures


def _columns(grid: Grid, width: float) -> int:
    widest = max((width_of(h.get_label(), size=SMALL) for h in grid.key), default=0.0) + 0.6
    return max(1, min(len(grid.key), int((width - 0.1) / widest)))


def _place(figure: Figure, grid: Grid, page: Sequence[Sequence[Panel]], *, head: float, each: float) -> None:
    width, height = figure.get_size_inches()
    top = head
    for line in page:
        titles = max(len(_title(panel, each)) for panel in line)
        start = top + 0.1 + LINE * titles
        for column, panel in enumerate(line):
            left = column * each
            axes = axes_at(figure, left + _LEFT, start, width=each - _LEFT - _RIGHT, height=grid.tall)
            panel.draw(axes)
            tidy(axes, grid="both")
            axes.set_xlabel(panel.x, fontsize=SMALL, color=INK, labelpad=1.5)
            axes.set_ylabel(panel.y, fontsize=SMALL, color=INK, labelpad=2)
            figure.text(
                (left + 0.06) / width, 1 - (start - 0.06) / height, "\n".join(_title(panel, each)), fontsize=SIZE,
                fontweight="bold", va="bottom", color=INK, linespacing=1.15,
            )  # fmt: skip
            figure.text(
                (left + 0.06) / width, 1 - (start + grid.tall + _foot(line)) / height, "\n".join(_words(panel, each)),
                fontsize=SMALL, va="top", color=SOFT, linespacing=1.25,
            )  # fmt: skip
        top += _tall(grid, line, each)


def _title(panel: Panel, each: float) -> list[str]:
    return fit(panel.title, each - 0.15, size=SIZE, bold=True)


def _words(panel: Panel, each: float) -> list[str]:
    return [line for words in panel.words for line in fit(words, each - 0.15)]


def _foot(line: Sequence[Panel]) -> float:
    """Inches of the ticks' names under a plot, and of the axis's where it has one."""
    return 0.36 if any(panel.x for panel in line) else 0.24


def _tall(grid: Grid, line: Sequence[Panel], each: float) -> float:
    words = max(len(_words(panel, each)) for panel in line)
    return 0.1 + LINE * max(len(_title(p, each)) for p in line) + grid.tall + _foot(line) + 0.125 * words + 0.1
