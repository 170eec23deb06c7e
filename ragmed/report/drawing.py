"""What the figures share: a size or a text in, an empty figure, a label or tidied axes out.

Matplotlib without pyplot: no global state, no window. The same results give the same bytes.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, told apart by the colour-blind; markers differ as well."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_LABEL = 30  # characters of a label's line


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches that draws itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label(text: str) -> str:
    """Wrapped, and with nothing that would be read as a formula."""
    return "\n".join(textwrap.wrap(plain(text), _LABEL)) or " "


def plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")


def tidy(axes: Axes, *, grid: Literal["x", "both"] = "x") -> None:
    """Grid lines where values are read off, and no frame."""
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
