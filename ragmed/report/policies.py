"""Rows of `policies` and `policy_rankings` in, a figure out: each arm's score under every reading of what was not
answered, and where the order of the arms depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ragmed.report import wording
from ragmed.report.drawing import SOFT, sign
from ragmed.report.rows import Chart, Group, Row, draw_rows
from ragmed.report.scores import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RULES = {
    "wrong": ("counted as wrong", "#0072B2", "o"),
    "drop": ("left out", "#D55E00", "s"),
    "mirage": ("as MIRAGE reads it", "#222222", "^"),
}
"""Policy -> what it is called, its colour, its mark."""


def policies(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> policies(results)[0].savefig("policies.png")  # doctest: +SKIP

    Empty where no score was read under several policies, or where all of them give the same for every arm.
    """
    rows = [row for row in results.get("policies") or () if _values(row)]
    if not any(len(set(_values(row).values())) > 1 for row in rows):
        return []
    used = [rule for rule in RULES if any(rule in _values(row) for row in rows)]
    depends = {(r["task"], r["metric"]) for r in results.get("policy_rankings") or () if r["depends"]}
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_row(row, used) for row in given),
              note="the order of the arms depends on the policy" if (task, metric) in depends else "")
        for (task, metric), given in panels(rows).items()
    )  # fmt: skip
    values = [value for row in rows for value in _values(row).values()]
    pad = 0.05 * (max(values) - min(values)) + 0.01
    low = min(values) - pad if min(values) - pad > 0 or min(values) < 0 else 0.0
    chart = Chart(
        title="Scores under each reading of what was not answered",
        groups=groups,
        columns=tuple(used),
        ends=(low, max(values) + pad),
        axis="score, as a fraction" + ("; the axis does not begin at 0" if low > 0 else ""),
        key=_key(used),
    )
    return draw_rows(chart)


def _values(row: wording.Row) -> dict[str, float]:
    return {rule: float(value) for rule, value in row["values"].items() if value is not None and rule in RULES}


def _row(row: wording.Row, used: list[str]) -> Row:
    values = _values(row)

    def draw(axes: Axes, y: float) -> None:
        axes.plot([min(values.values()), max(values.values())], [y, y], color=SOFT, linewidth=1, zorder=2)
        for rule, value in values.items():
            _, colour, marker = RULES[rule]
            axes.plot(
                [value], [y], marker=marker, color=colour, linestyle="", markersize=4.8, zorder=3,
                markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip

    return Row(row["arm"], draw, tuple(wording.fraction(values.get(rule)) for rule in used))


def _key(used: list[str]) -> list[Any]:
    named = ((f"{rule}: {RULES[rule][0]}", *RULES[rule][1:]) for rule in used)
    return [sign(name, colour, marker=marker, dash="") for name, colour, marker in named]
