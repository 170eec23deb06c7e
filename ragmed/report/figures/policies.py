"""Rows of `policies` and `policy_rankings` in, a figure out: each arm's score under every reading of what was not
answered, and where the order of the arms depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmed.comparison.results import Results
from ragmed.comparison.rows import PolicyScore
from ragmed.report import wording
from ragmed.report.figures.drawing import SOFT, sign
from ragmed.report.figures.rows import Chart, Group, Row, draw_rows
from ragmed.report.figures.scores import in_words
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {"wrong": ("#0072B2", "o"), "drop": ("#D55E00", "s")}
"""Policy -> its colour, its mark."""


def policies(results: Results) -> list[Figure]:
    """
        policies(results)[0].savefig("policies.png")

    Empty where no score was read under several policies, or where all of them give the same for every arm.
    """
    units = dict.fromkeys(row.unit for row in results.policies)
    return [figure for unit in units for figure in _of_unit(results, unit)]


def _of_unit(results: Results, unit: str) -> list[Figure]:
    """Scores of one unit have one axis."""
    rows = [row for row in results.policies if row.unit == unit and _values(row)]
    if not any(len(set(_values(row).values())) > 1 for row in rows):
        return []
    used = [rule for rule in STYLES if any(rule in _values(row) for row in rows)]
    depends = {(r.task, r.metric) for r in results.policy_rankings if r.depends}
    groups = tuple(
        Group(f"{task}: {metric}", tuple(_row(row, used) for row in given),
              note="the order of the arms depends on the policy" if (task, metric) in depends else "")
        for (task, metric), given in in_groups(rows, "task", "metric")
    )  # fmt: skip
    values = [value for row in rows for value in _values(row).values()]
    pad = 0.05 * (max(values) - min(values)) + 0.01
    low = min(values) - pad if min(values) - pad > 0 or min(values) < 0 else 0.0
    chart = Chart(
        title="Scores under each reading of what was not answered",
        groups=groups,
        columns=tuple(used),
        ends=(low, max(values) + pad),
        axis=f"score, {in_words(unit)}" + ("; the axis does not begin at 0" if low > 0 else ""),
        key=_key(used),
    )
    return draw_rows(chart)


def _values(row: PolicyScore) -> dict[str, float]:
    return {rule: float(value) for rule, value in row.values.items() if value is not None and rule in STYLES}


def _row(row: PolicyScore, used: list[str]) -> Row:
    values = _values(row)

    def draw(axes: Axes, y: float) -> None:
        axes.plot([min(values.values()), max(values.values())], [y, y], color=SOFT, linewidth=1, zorder=2)
        for rule, value in values.items():
            colour, marker = STYLES[rule]
            axes.plot(
                [value], [y], marker=marker, color=colour, linestyle="", markersize=4.8, zorder=3,
                markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip

    return Row(row.arm, draw, tuple(wording.fraction(values.get(rule)) for rule in used))


def _key(used: list[str]) -> list[Any]:
    return [sign(f"{rule}: {wording.POLICIES[rule]}", (*STYLES[rule], "")) for rule in used]
