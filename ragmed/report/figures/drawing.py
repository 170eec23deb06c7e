"""What the figures share: a size, a text or a number in; a sheet, a wrapped label or axes at a place out.

Matplotlib without pyplot and without its layout engines: every place is computed in inches from measured texts, which
is fast and gives the same bytes for the same results. Texts are set as they are, never as formulas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ragmed.report import wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#000000", "#767676")
"""After Okabe and Ito, told apart by the colour-blind (yellow and orange darkened for white paper); markers differ
as well."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
Dash = Literal["-", "--", "-.", ":", ""]
DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")
Style = tuple[str, str, Dash]
"""Colour, marker, line."""
INK, SOFT, FAINT = "#222222", "#5a5a5a", "#d9d9d9"
WIDTH = 7.0
"""Inches of two columns of a journal."""
TALLEST = 9.0
"""Inches of a page's text; what is longer goes on in a further file."""
SIZE = 7.5
"""Points of the text; nothing is set smaller than 7."""
SMALL = 7.0
LINE = 0.125
"""Inches from one line of text to the next."""
_LABEL = 30  # characters of a label's line
_LINES = 4


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's settings for the block: text stays text in SVG, ids are the same each time, `$` is a dollar."""
    from matplotlib import rc_context

    with rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "ragmed",
            "text.parse_math": False,
            "font.family": ["sans-serif"],
            "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that sizes are the same everywhere
            "font.size": SIZE,
            "axes.linewidth": 0.6,
            "axes.edgecolor": SOFT,
            "axes.unicode_minus": True,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
        }
    ):
        yield


def sheet(width: float, height: float, title: str, *, under: str = "") -> Figure:
    """An empty figure of so many inches with its title, and a smaller line under it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(0.06 / width, 1 - 0.07 / height, title, fontsize=9, fontweight="bold", va="top", color=INK)
    if under:
        figure.text(0.06 / width, 1 - 0.25 / height, under, fontsize=SMALL, va="top", color=SOFT, linespacing=1.25)
    return figure


def axes_at(figure: Figure, left: float, top: float, *, width: float, height: float) -> Axes:
    """Axes at so many inches from the left and from the top."""
    whole = figure.get_size_inches()
    return figure.add_axes(
        (left / whole[0], 1 - (top + height) / whole[1], width / whole[0], height / whole[1]), frameon=True
    )


@lru_cache(maxsize=4096)
def width_of(text: str, *, size: float = SIZE, bold: bool = False) -> float:
    """Inches that the widest line of the text takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    lines = text.split("\n")
    return max(float(text_to_path.get_text_width_height_descent(line, font, False)[0]) for line in lines) / 72


def style(number: int) -> Style:
    """
    >>> style(0), style(8)
    (('#0072B2', 'o', '-'), ('#0072B2', 'o', '--'))

    How the arm of that number is drawn everywhere; 32 can be told apart.
    """
    dash = DASHES[(number + number // len(COLOURS)) % len(DASHES)]
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], dash


def plain(text: object) -> str:
    """One line of what can be seen: line breaks are spaces; control and direction characters are question marks."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in line)


def points(value: float | None) -> str:
    """As in the tables, with a minus sign as wide as the plus."""
    return wording.points(value).replace("-", "−") if value is not None else wording.MISSING


def amount(value: float | None, unit: str) -> str:
    return wording.amount(value, unit).replace("-", "−") if value is not None else wording.MISSING


def amount_span(ci: tuple[float, float] | None, unit: str) -> str:
    return wording.amount_span(ci, unit).replace("-", "−")


def points_span(ci: tuple[float, float] | None) -> str:
    return wording.points_span(ci).replace("-", "−")


def units(text: str) -> int:
    """How many columns a text takes: wide characters two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrap(text: object, width: int) -> list[str]:
    """
    >>> wrap("one two tuned+retrieved", 9)
    ['one two', 'tuned+', 'retrieved']

    Lines of at most `width` columns; a longer word is broken, after a mark such as `-` or `/` where it has one.
    """
    lines: list[str] = []
    current = ""
    for word in plain(text).split(" "):
        rest = word
        if current and units(current) + 1 + units(rest) > width:
            lines.append(current)
            current = ""
        while units(rest) > width:
            cut = _longest(rest, width)
            lines.append(rest[:cut])
            rest = rest[cut:]
        current = f"{current} {rest}" if current else rest
    return [*lines, current] if current or not lines else lines


def fit(text: object, inches: float, *, size: float = SMALL, bold: bool = False) -> list[str]:
    """Lines none of which is wider than so many inches; of more than four the middle ones are `…`."""
    columns = int(72 * inches / (0.5 * size))
    lines = wrap(text, columns)
    while columns > 4 and width_of("\n".join(lines), size=size, bold=bold) > inches:
        columns = min(columns - 1, int(0.95 * columns))
        lines = wrap(text, columns)
    return lines if len(lines) <= _LINES else [*lines[: _LINES - 2], "…", lines[-1]]


def _longest(text: str, width: int) -> int:
    """How many characters go into a line of `width` columns: one at least, up to a mark where there is one."""
    fits = next((n for n in range(1, len(text)) if units(text[: n + 1]) > width), len(text))
    marked = max(text[:fits].rfind(mark) for mark in "-/+_:.,") + 1
    return marked if marked > fits // 3 else fits


def label(text: object, width: int = _LABEL) -> str:
    """A name in at most four lines. Of a longer one the beginning and the end are shown, with `…` between."""
    lines = wrap(text, width)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 2], lines[_LINES - 2][: width - 1] + "…", lines[-1]]
    return "\n".join(lines)


def paged(title: str, page: int, pages: int) -> str:
    return title if pages == 1 else f"{title} ({page} of {pages})"


def tidy(axes: Axes, *, grid: Literal["x", "y", "both"] = "x") -> None:
    """Grid lines where values are read off, and no frame."""
    axes.tick_params(axis="both", labelsize=SMALL, length=2.5, labelcolor=INK, pad=2)
    axes.grid(axis=grid, color=FAINT, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def sign(name: str, drawn: Style, *, face: str | None = None) -> Any:
    """One entry of a key: a line, a mark (`None`: none), or both."""
    from matplotlib.lines import Line2D

    colour, marker, dash = drawn
    return Line2D(
        [], [], color=colour, marker=marker, linestyle=dash, linewidth=1.2, markersize=4.5, label=name,
        markerfacecolor=face or colour,
    )  # fmt: skip


def write_lines(axes: Axes, x: float, middle: float, *, text: str, size: float = SIZE, colour: str = INK) -> None:
    """Right-aligned lines around the height `middle`, in inches of axes that grow downwards.

    Each line stands on its own baseline: centred boxes would lift a name without tall letters above its neighbours.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines):
        baseline = middle + (number - (len(lines) - 1) / 2) * 1.15 * size / 72 + 0.36 * size / 72
        axes.text(
            x, baseline, line, transform=axes.get_yaxis_transform(), ha="right", va="baseline", fontsize=size,
            color=colour,
        )  # fmt: skip


def legend(figure: Figure, handles: Sequence[Any], *, top: float, columns: int, left: float = 0.06) -> None:
    """The key of a whole sheet, `top` inches from its top."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(left / width, 1 - top / height), ncols=columns,
        fontsize=SMALL, frameon=False, borderaxespad=0, borderpad=0, columnspacing=1.4, handletextpad=0.5,
        handlelength=2.6,
    )  # fmt: skip
