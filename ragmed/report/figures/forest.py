"""Rows of `contrasts` and `overall` in, a figure out: differences with intervals, margin and verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragmed.comparison.results import Results
from ragmed.comparison.rows import Contrast, Overall
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.metrics import POINTS
from ragmed.report import wording
from ragmed.report.figures.drawing import INK, SOFT, amount, amount_span, sign
from ragmed.report.figures.rows import Chart, Draw, Group, Row, draw_rows
from ragmed.report.grouping import in_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {
    "better": ("#0072B2", "^"),
    "worse": ("#C04A00", "v"),
    "equivalent": ("#00775a", "D"),
    "cannot-tell": ("#5a5a5a", "o"),
    "secondary": ("#5a5a5a", "s"),
    "no-verdict": ("#5a5a5a", "x"),
}
HOLLOW = ("cannot-tell", "secondary")
MARKS = {
    "different": ("†", "different corpora, so which references are used differs as well as how"),
    "unknown": ("‡", "corpora not known to be the same"),
}
Ends = tuple[float, float]


def forest(results: Results) -> list[Figure]:
    """
        forest(results)[0].savefig("forest.png")

    A row for each contrast, and one with its prediction interval for each effect over all tasks; the mark is that of
    the verdict, as in the tables. A contrast without any example left keeps its row. Empty where no two arms were
    compared.
    """
    every: list[Contrast | Overall] = [*results.contrasts, *results.overall]
    units = dict.fromkeys(row.unit for row in every)
    return [figure for unit in units for figure in _of_unit(results, unit)]


def _of_unit(results: Results, unit: str) -> list[Figure]:
    """Differences of one unit have one axis."""
    singles = [row for row in results.contrasts if row.unit == unit]
    overall = [row for row in results.overall if row.unit == unit]
    every: list[Contrast | Overall] = [*singles, *overall]
    rows = [row for row in every if row.ci is not None]
    if not rows:
        return []
    margin = _scale(rows[0]) * max(row.margin for row in rows)
    ends = _ends(rows, margin)
    groups = [
        Group(f"{task}: {metric}", tuple(_row(row, ends) for row in group))
        for (task, metric), group in in_groups(singles, "task", "metric")
    ]
    groups += [
        Group(f"Over {k} tasks: {metric}", tuple(_row(row, ends) for row in group))
        for (metric, k), group in in_groups(overall, "metric", "k")
    ]
    chart = Chart(
        title="Differences between arms on the same examples",
        groups=tuple(groups),
        columns=(wording.unit_head(unit), "95 % interval", "adjusted p", "verdict"),
        ends=ends,
        axis=f"difference{_of(unit)}; shaded: within the margin of {wording.margin(max(r.margin for r in rows), unit)}",
        under=" ".join(_notes(every, ends)),
        backdrop=_backdrop(margin),
        key=_key(rows),
    )
    return draw_rows(chart)


def _ends(rows: Sequence[Contrast | Overall], margin: float) -> Ends:
    """Over all contrasts. Intervals over two or three tasks can be wider than all else: they get half as much again on
    either side, and then leave the axis."""
    singles = [row for row in rows if isinstance(row, Contrast)] or rows
    scale, most = _scale(rows[0]), 100.0 if rows[0].unit == POINTS else math.inf
    known = [-margin, margin, *(scale * (row.difference or 0.0) for row in rows)]
    known += [max(-most, min(most, scale * end)) for row in singles for end in row.ci or ()]
    spare = (max(known) - min(known)) / 2
    low, high = min(known) - spare, max(known) + spare
    known += [max(low, min(high, end)) for row in rows for end in _reach(row)]
    pad = 0.04 * (max(known) - min(known)) + 0.1
    return min(known) - pad, max(known) + pad


def _scale(row: Contrast | Overall) -> float:
    """Shares are drawn times 100, everything else as it is."""
    return 100.0 if row.unit == POINTS else 1.0


def _of(unit: str) -> str:
    return " in percentage points" if unit == POINTS else f" in {unit}" if unit else " on the metric's own scale"


def _reach(row: Contrast | Overall) -> tuple[float, float]:
    """From where to where all that is drawn of a row goes, on the axis."""
    known = [_scale(row) * end for end in (*(row.ci or ()), *(_prediction(row) or ()))]
    return min(known), max(known)


def _prediction(row: Contrast | Overall) -> Interval | None:
    return row.prediction if isinstance(row, Overall) else None


def _notes(rows: Sequence[Contrast | Overall], ends: Ends) -> list[str]:
    notes = [f"{mark} {words}." for key, (mark, words) in MARKS.items() if any(r.corpora == key for r in rows)]
    if any(verdict(row).endswith("*") for row in rows):
        notes.append("* shown not to be worse by more than the margin.")
    drawn = [_reach(row) for row in rows if row.ci is not None]
    if any(low < ends[0] or high > ends[1] for low, high in drawn):
        notes.append("An arrow: the line goes on.")
    return notes


def _backdrop(margin: float) -> Draw:
    def draw(axes: Axes, tall: float) -> None:
        axes.axvspan(-margin, margin, color="#009E73", alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)

    return draw


def pair(row: Contrast | Overall) -> str:
    """`tuned − general+rag †`: what is compared, and the mark of references that are not known to be the same."""
    mark = MARKS.get(row.corpora, ("", ""))[0]
    return f"{row.arm} − {row.baseline} {mark}".rstrip()


def verdict(row: Contrast | Overall) -> str:
    """The verdict in a column: a margin that all rows share is not repeated."""
    if row.verdict == "cannot-tell":
        return "cannot tell *" if row.noninferiority.shown else "cannot tell"
    return "equivalent" if row.verdict == "equivalent" else wording.verdict(row)


def _texts(row: Contrast | Overall) -> tuple[str, ...]:
    return (
        amount(row.difference, row.unit),
        amount_span(row.ci, row.unit),
        wording.p_value(row.p_adjusted),
        verdict(row),
    )


def _row(row: Contrast | Overall, ends: Ends) -> Row:
    colour, marker = VERDICTS[row.verdict]

    def draw(axes: Axes, y: float) -> None:
        if row.ci is None or row.difference is None:
            return
        if ends_ := _prediction(row):
            prediction = [_scale(row) * end for end in ends_]
            axes.plot(
                prediction, [y, y], color=colour, linewidth=0.9, linestyle="--", marker="|", markersize=5, zorder=2
            )
        face = "white" if row.verdict in HOLLOW else colour
        xs = [_scale(row) * value for value in (row.ci[0], row.difference, row.ci[1])]
        axes.plot(
            xs, [y] * 3, color=colour, linewidth=1.4, solid_capstyle="butt", marker=marker, markevery=[1],
            markerfacecolor=face, markersize=4.5, zorder=3,
        )  # fmt: skip
        low, high = _reach(row)
        inside = 0.01 * (ends[1] - ends[0])
        if low < ends[0]:
            axes.plot([ends[0] + inside], [y], marker="<", color=SOFT, markersize=4, linestyle="", zorder=4)
        if high > ends[1]:
            axes.plot([ends[1] - inside], [y], marker=">", color=SOFT, markersize=4, linestyle="", zorder=4)

    return Row(pair(row), draw, _texts(row), colour)


def _key(rows: Sequence[Contrast | Overall]) -> list[Any]:
    from matplotlib.patches import Patch

    names = {"better": "better", "worse": "worse", "equivalent": "equivalent", "cannot-tell": "cannot tell"}
    names |= {"secondary": "secondary metric, no verdict", "no-verdict": "no verdict: answers are missing"}
    if any(row.higher_is_better is None for row in rows):
        names |= {"better": "better, or higher", "worse": "worse, or lower"}
    key = [
        sign(names[verdict], (colour, marker, "-"), face="white" if verdict in HOLLOW else None)
        for verdict, (colour, marker) in VERDICTS.items()
        if any(row.verdict == verdict for row in rows)
    ]
    if any(map(_prediction, rows)):
        key.append(sign("where a further task is expected", (INK, "None", "--")))
    return [*key, Patch(facecolor="#009E73", alpha=0.2, label="margin")]
