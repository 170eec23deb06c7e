"""Groups of rows in, figures out: names at the left, marks on one common axis, numbers in columns at the right.

Scores, contrasts, policies, causes of wrong answers and retrieval are all drawn so, on as many pages as it takes.
"""

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
    label,
    legend,
    paged,
    sheet,
    tidy,
    width_of,
    write_lines,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", float], None]
Span = Callable[["Axes", float, float], None]


@dataclass(frozen=True, slots=True)
class Row:
    """`draw(axes, y)` puts the marks at height y; `texts` stand in the columns at the right, in `colour`."""

    name: str
    draw: Draw
    texts: tuple[str, ...] = ()
    colour: str = INK


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading. `note` stands after the heading; `draw(axes, top, bottom)` is drawn behind the rows."""

    heading: str
    rows: tuple[Row, ...]
    note: str = ""
    draw: Span | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What a figure of rows shows. `ends`: from where to where the axis goes, in the unit that `axis` names."""

    title: str
    groups: tuple[Group, ...]
    columns: tuple[str, ...]
    ends: tuple[float, float]
    axis: str
    key: Sequence[Any] = ()
    backdrop: Draw | None = None
    under: str = ""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things stand, in inches: the plot from `left`, `width` wide, then the columns' right edges."""

    left: float
    width: float
    edges: tuple[float, ...]
    total: float


_GAP, _EDGE, _PLOT, _FOOT = 0.12, 0.06, 1.9, 0.42


def draw_rows(chart: Chart) -> list[Figure]:
    """A figure for each page; none where no group has a row."""
    groups = [group for group in chart.groups if group.rows]
    if not groups:
        return []
    frame = _frame(chart, groups)
    head = _head(chart, frame)
    pages = _pages(groups, room=TALLEST - head - _foot(chart, frame))
    return [_page(chart, page, frame, title=paged(chart.title, n, len(pages))) for n, page in enumerate(pages, 1)]


def _frame(chart: Chart, groups: Sequence[Group]) -> _Frame:
    rows = [row for group in groups for row in group.rows]
    left = _EDGE + max(width_of(label(row.name)) for row in rows) + _GAP
    widths = []
    for number, name in enumerate(chart.columns):
        cells = {row.texts[number] for row in rows if number < len(row.texts)}
        widths.append(max(width_of(name, size=SMALL), *(width_of(cell, size=SMALL) for cell in cells), 0.1))
    right = sum(widths) + _GAP * len(widths) + _EDGE
    width = max(_PLOT, WIDTH - left - right)
    edges, at = [], left + width
    for column in widths:
        at += _GAP + column
        edges.append(at)
    return _Frame(left, width, tuple(edges), left + width + right)


def _under(chart: Chart, frame: _Frame) -> list[str]:
    return fit(chart.under, frame.total - 0.15) if chart.under else []


def _key_columns(chart: Chart, frame: _Frame) -> int:
    widest = max((width_of(h.get_label(), size=SMALL) for h in chart.key), default=0.0) + 0.6
    return max(1, min(len(chart.key), int((frame.total - 0.1) / widest)))


def _head(chart: Chart, frame: _Frame) -> float:
    """Inches above the plot: title, words, key, headings of the columns."""
    lines = -(-len(chart.key) // _key_columns(chart, frame)) if chart.key else 0
    return 0.27 + 0.125 * len(_under(chart, frame)) + 0.15 * lines + 0.2


def _axis(chart: Chart, frame: _Frame) -> list[str]:
    return fit(chart.axis, frame.width + 2 * min(frame.left, frame.total - frame.left - frame.width) - 0.2)


def _foot(chart: Chart, frame: _Frame) -> float:
    return _FOOT + LINE * (len(_axis(chart, frame)) - 1)


def _heading(group: Group, again: bool) -> list[str]:
    text = f"{group.heading} (continued)" if again else group.heading
    return fit(text + (f" – {group.note}" if group.note else ""), WIDTH - 0.2, size=SIZE, bold=True)


def _tall(row: Row) -> float:
    return LINE * (label(row.name).count("\n") + 1) + 0.045


def _pages(groups: Sequence[Group], *, room: float) -> list[list[tuple[Group, bool]]]:
    """Groups, page by page; a group is broken only where it would not fit a page of its own."""
    pages: list[list[tuple[Group, bool]]] = [[]]
    left = room
    for group in groups:
        rest, again = group.rows, False
        while rest:
            head = LINE * len(_heading(group, again)) + 0.16
            need = head + sum(map(_tall, rest))
            if need > left and pages[-1] and (need <= room or left < 0.4 * room):
                pages.append([])
                left = room
                continue
            count, used = 0, head
            while count < len(rest) and (used + _tall(rest[count]) <= left or count == 0):
                used += _tall(rest[count])
                count += 1
            part = Group(group.heading, rest[:count], note=group.note, draw=group.draw)
            pages[-1].append((part, again))
            rest, again, left = rest[count:], True, left - used
            if rest:
                pages.append([])
                left = room
    return pages


def _page(chart: Chart, groups: Sequence[tuple[Group, bool]], frame: _Frame, *, title: str) -> Figure:
    head = _head(chart, frame)
    tall = sum(LINE * len(_heading(g, again)) + 0.16 + sum(map(_tall, g.rows)) for g, again in groups)
    figure = sheet(frame.total, head + tall + _foot(chart, frame), title, under="\n".join(_under(chart, frame)))
    axes = axes_at(figure, frame.left, head, width=frame.width, height=tall)
    axes.set_xlim(*chart.ends)
    axes.set_ylim(tall, 0)
    axes.set_yticks([])
    if chart.backdrop is not None:
        chart.backdrop(axes, tall)
    at = 0.0
    for group, again in groups:
        at = _group(axes, group, at, frame=frame, again=again)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("\n".join(_axis(chart, frame)), fontsize=SMALL, color=INK, labelpad=3)
    _columns(figure, chart, frame, top=head - 0.06)
    if chart.key:
        columns = _key_columns(chart, frame)
        legend(figure, chart.key, top=0.27 + 0.125 * len(_under(chart, frame)), columns=columns)
    return figure


def _columns(figure: Figure, chart: Chart, frame: _Frame, *, top: float) -> None:
    width, height = figure.get_size_inches()
    for edge, name in zip(frame.edges, chart.columns, strict=True):
        figure.text(edge / width, 1 - top / height, name, fontsize=SMALL, color=SOFT, ha="right", va="baseline")


def _group(axes: Axes, group: Group, at: float, *, frame: _Frame, again: bool) -> float:
    """Draws the heading and the rows from `at` inches on; returns where they end."""

    def across(inches: float) -> float:
        return (inches - frame.left) / frame.width

    transform = axes.get_yaxis_transform()
    lines = _heading(group, again)
    top = at + LINE * len(lines) + 0.08
    axes.text(
        across(_EDGE), at + 0.04, "\n".join(lines), transform=transform, fontsize=SIZE, fontweight="bold", color=INK,
        va="top", linespacing=1.15, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=1.5,
    )  # fmt: skip
    at = top
    for row in group.rows:
        tall = _tall(row)
        middle = at + tall / 2
        row.draw(axes, middle)
        write_lines(axes, -_GAP / 2 / frame.width, middle, text=label(row.name))
        for edge, text in zip(frame.edges, row.texts, strict=False):
            write_lines(axes, across(edge), middle, text=text, size=SMALL, colour=row.colour)
        at += tall
    if group.draw is not None:
        group.draw(axes, top, at)
    return at + 0.08
