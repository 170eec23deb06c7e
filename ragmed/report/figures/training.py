"""The records of adapters in, one figure out: the loss in training and on held-out documents, over tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.report.figures.drawing import sign
from ragmed.report.figures.grid import Grid, Panel, draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[float, float]]
SERIES = {"train": ("training", "#0072B2", ""), "held_out": ("held out", "#D55E00", "o")}
"""Key of a record -> what it is called, its colour, its marker."""


def losses(adapters: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """
        losses({"tuned": {"losses": [{"tokens": 512, "train": 2.1}]}})[0].savefig("x.png")

    A panel for each adapter that has any loss; empty where none has.
    """
    curves = {model: _curves(record.get("losses")) for model, record in adapters.items()}
    panels = [
        _panel(series, title=str(adapters[model].get("name") or model))
        for model, series in curves.items()
        if any(series.values())
    ]
    return draw_grid(Grid("Loss in training", panels, across=2, tall=1.9, key=_key(curves.values())))


def _curves(records: Any) -> dict[str, Points]:
    curves: dict[str, Points] = {key: [] for key in SERIES}
    for record in records if isinstance(records, Sequence) else ():
        for key in SERIES:
            if _is_number(record.get("tokens")) and _is_number(record.get(key)):
                curves[key].append((float(record["tokens"]), float(record[key])))
    return {key: sorted(points) for key, points in curves.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _panel(curves: Mapping[str, Points], *, title: str) -> Panel:
    unit, size = _unit(max(tokens for points in curves.values() for tokens, _ in points))

    def draw(axes: Axes) -> None:
        for key, (_, colour, marker) in SERIES.items():
            points = curves[key]
            if points:
                alone = "o" if len(points) == 1 else marker  # one point is no line
                xs, ys = [tokens / size for tokens, _ in points], [loss for _, loss in points]
                axes.plot(xs, ys, color=colour, marker=alone, markersize=3.5, linewidth=1.2)
        axes.margins(x=0.03, y=0.1)

    last = {key: points[-1][1] for key, points in curves.items() if points}
    words = "; ".join(f"{SERIES[key][0]} {loss:.3f}" for key, loss in last.items())
    return Panel(title, draw, x=f"{unit} of training", y="loss, nats a token", words=(f"at the end: {words}",))


def _key(curves: Iterable[Mapping[str, Points]]) -> list[Any]:
    drawn = {key for series in curves for key, points in series.items() if points}
    return [
        sign(name, (colour, marker or "None", "-")) for key, (name, colour, marker) in SERIES.items() if key in drawn
    ]


def _unit(most: float) -> tuple[str, float]:
    for name, size in (("million tokens", 1e6), ("thousand tokens", 1e3)):
        if most >= 2 * size:
            return name, size
    return "tokens", 1.0
