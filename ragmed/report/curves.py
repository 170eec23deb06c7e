"""The records of adapters in, one figure out: the loss in training and on held-out documents, over tokens."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.report.drawing import blank, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[float, float]]
SERIES = {"train": ("training", "#56B4E9", ""), "held_out": ("held out", "#D55E00", "o")}
"""Key of a record -> what it is called, its colour, its marker."""


def losses(adapters: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """
    >>> losses({"tuned": {"losses": [{"tokens": 512, "train": 2.1}]}}).savefig("x.png")  # doctest: +SKIP

    A panel for each adapter that has any loss; None where none has.
    """
    curves = {model: _curves(record.get("losses")) for model, record in adapters.items()}
    shown = [model for model, found in curves.items() if any(found.values())]
    if not shown:
        return None
    columns = min(2, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = blank(6.0 if columns == 1 else 5.0 * columns, 0.4 + 2.8 * lines)
    for place, axes in enumerate(figure.subplots(lines, columns, squeeze=False).flat):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        model = shown[place]
        _panel(axes, curves[model], title=str(adapters[model].get("name") or model))
    figure.suptitle("Loss in training", fontsize=12)
    return figure


def _curves(records: Any) -> dict[str, Points]:
    found: dict[str, Points] = {key: [] for key in SERIES}
    for record in records if isinstance(records, Sequence) else ():
        for key in SERIES:
            if _is_number(record.get("tokens")) and _is_number(record.get(key)):
                found[key].append((float(record["tokens"]), float(record[key])))
    return {key: sorted(points) for key, points in found.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _panel(axes: Axes, curves: Mapping[str, Points], *, title: str) -> None:
    unit, size = _unit(max(tokens for points in curves.values() for tokens, _ in points))
    for key, (name, colour, marker) in SERIES.items():
        points = curves[key]
        if points:
            alone = "o" if len(points) == 1 else marker  # one point is no line
            xs, ys = [tokens / size for tokens, _ in points], [loss for _, loss in points]
            axes.plot(xs, ys, color=colour, marker=alone, markersize=4, linewidth=1.4, label=name)
    axes.set_title("\n".join(textwrap.wrap(plain(title), 46)), fontsize=10, loc="left")
    axes.set_xlabel(f"{unit} of training", fontsize=9)
    axes.set_ylabel("loss, nats a token", fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.margins(x=0.02, y=0.12)
    tidy(axes, grid="both")


def _unit(most: float) -> tuple[str, float]:
    for name, size in (("million tokens", 1e6), ("thousand tokens", 1e3)):
        if most >= 2 * size:
            return name, size
    return "tokens", 1.0
