"""results.json in, PNG files out: the scores of every arm, the differences between arms with the margin, and how the
loss of each adapter fell.

Matplotlib without pyplot: no global state, no window. The same results give the same bytes.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmed.files import write_atomic
from ragmed.report import wording
from ragmed.report.curves import losses
from ragmed.report.drawing import COLOURS, MARKERS, blank, label, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {
    "better": ("#0072B2", "o"),
    "worse": ("#D55E00", "s"),
    "equivalent": ("#009E73", "D"),
    "cannot-tell": ("#767676", "o"),
}
MARKS = {
    "different": ("†", "different corpora, so which references are used differs as well as how"),
    "unknown": ("‡", "corpora not known to be the same"),
}
TRAINING = ("training.png",)
_MAX_PIXELS = 60_000  # what the drawing library takes is 2 ** 16


def write_figures(
    results: Mapping[str, Any],
    folder: Path,
    *,
    adapters: Mapping[str, Mapping[str, Any]] | None = None,
    mode: int = 0o644,
) -> list[Path]:
    """
    >>> write_figures(results, Path("report"))  # doctest: +SKIP
    [PosixPath('report/scores.png'), PosixPath('report/contrasts.png')]

    A figure without anything to show (no contrast, no score) is not written and not in the list. `adapters`: model ->
    the record of its training, for `training.png`.
    """
    drawn = {"scores.png": _scores(results), "contrasts.png": _contrasts(results), TRAINING[0]: losses(adapters or {})}
    written = []
    for name, figure in drawn.items():
        if figure is not None:
            buffer = io.BytesIO()
            dpi = min(150.0, _MAX_PIXELS / max(figure.get_size_inches()))
            figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
            write_atomic(folder / name, buffer.getvalue(), mode=mode)
            written.append(folder / name)
    return written


def _scores(results: Mapping[str, Any]) -> Figure | None:
    rows = [row for row in results["scores"] if row["value"] is not None]
    panels = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    if not panels:
        return None
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    of_panel = [[row for row in rows if (row["task"], row["metric"]) == panel] for panel in panels]
    columns = 1 if len(panels) == 1 else 2
    lines = math.ceil(len(panels) / columns)
    row_inches = 0.16 + 0.16 * max(label(arm).count("\n") + 1 for arm in arms)
    tallest = max(len(panel) for panel in of_panel)
    figure = blank(5.5 * columns, 0.6 + lines * (0.95 + row_inches * tallest))
    grid = figure.subplots(lines, columns, squeeze=False)
    low = min(0.0, *(row["ci"][0] for row in rows))
    high = max(1.0, *(row["ci"][1] for row in rows))
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        chance = _baseline(results, panels[place], "chance")
        _score_panel(axes, of_panel[place], arms=arms, chance=chance)
        axes.set_xlim(low - 0.02, high + 0.02)
        axes.set_title(_title(*panels[place]), fontsize=10, loc="left")
        axes.set_xlabel(plain(panels[place][1]), fontsize=9)
    figure.suptitle("Scores with 95 % intervals", fontsize=12)
    return figure


def _title(task: str, metric: str) -> str:
    return "\n".join(textwrap.wrap(plain(f"{task}: {metric}"), 52))


def _baseline(results: Mapping[str, Any], panel: tuple[str, str], name: str) -> float | None:
    for row in results["baselines"]:
        if (row["task"], row["metric"], row["name"]) == (*panel, name):
            return float(row["value"])
    return None


def _score_panel(axes: Axes, rows: Sequence[wording.Row], *, arms: Sequence[str], chance: float | None) -> None:
    for height, row in enumerate(rows):
        number = arms.index(row["arm"])
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot(row["ci"], [height, height], color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
        axes.plot([row["value"]], [height], color=colour, marker=marker, markersize=7, zorder=3)
    if chance is not None:
        axes.axvline(chance, color="#767676", linestyle=":", linewidth=1.2, zorder=1)
        axes.text(chance, -0.62, " chance", color="#555555", fontsize=8, va="top")
    axes.set_yticks(range(len(rows)), [f"{label(row['arm'])}" for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -1.1 if chance is not None else -0.6)
    tidy(axes)


def _contrasts(results: Mapping[str, Any]) -> Figure | None:
    rows = [row for row in results["contrasts"] if row["ci"] is not None]
    if not rows:
        return None
    heights, headings, bottom = _places(rows)
    figure = blank(9.0, 1.5 + 0.19 * bottom)
    axes = figure.subplots()
    margin = 100 * max(row["margin"] for row in rows)
    axes.axvspan(-margin, margin, color="#009E73", alpha=0.13, linewidth=0, zorder=0)
    axes.axvline(0, color="#333333", linewidth=1, zorder=1)
    for row, height in zip(rows, heights, strict=True):
        colour, marker = VERDICTS[row["verdict"]]
        face = "white" if row["verdict"] == "cannot-tell" else colour
        axes.plot([100 * x for x in row["ci"]], [height, height], color=colour, linewidth=2, zorder=2)
        axes.plot([100 * row["difference"]], [height], color=colour, marker=marker, markerfacecolor=face, zorder=3)
        axes.annotate(
            wording.verdict(row), (1.01, height), xycoords=axes.get_yaxis_transform(), fontsize=8.5, color=colour,
            va="center", annotation_clip=False,
        )  # fmt: skip
    labels = [_pair(row) for row in rows]
    axes.set_yticks(heights + [at for _, at in headings], labels + [text for text, _ in headings], fontsize=8.5)
    for tick in axes.get_yticklabels()[len(rows) :]:
        tick.set_fontweight("bold")
    axes.set_ylim(bottom, -0.8)
    ends = [100 * x for row in rows for x in row["ci"]] + [-margin, margin]
    pad = 0.04 * (max(ends) - min(ends)) + 0.1
    axes.set_xlim(min(ends) - pad, max(ends) + pad)
    said = [f"difference in percentage points, with 95 % interval; green band: margin of {margin:g} points"]
    said += [f"{sign}: {words}" for sign, words in MARKS.values() if any(_pair(row).endswith(sign) for row in rows)]
    axes.set_xlabel("\n".join(said), fontsize=9)
    axes.set_title("Differences between arms on the same examples", fontsize=12, loc="left")
    tidy(axes)
    return figure


def _pair(row: wording.Row) -> str:
    """`tuned - general+rag †`: what is compared, and the mark of references that are not known to be the same."""
    sign = MARKS.get(row.get("corpora", ""), ("", ""))[0]
    return label(f"{row['arm']} - {row['baseline']} {sign}".rstrip())


def _places(rows: Sequence[wording.Row]) -> tuple[list[float], list[tuple[str, float]], float]:
    """Where each row and each heading stands, in lines of text from the top, and where the last line ends."""
    heights: list[float] = []
    headings: list[tuple[str, float]] = []
    at, panel = 0.0, ("", "")
    for row in rows:
        if (row["task"], row["metric"]) != panel:
            panel = (row["task"], row["metric"])
            heading = label(f"{panel[0]}: {panel[1]}")
            at += 0.6 if headings else 0.0
            headings.append((heading, at + heading.count("\n") / 2))
            at += heading.count("\n") + 1.5
        lines = _pair(row).count("\n") + 1
        heights.append(at + (lines - 1) / 2)
        at += lines + 0.5
    return heights, headings, at
