"""Rows of `contrasts` and `overall` in, a figure out: differences with intervals, margin and verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragmed.report import wording
from ragmed.report.drawing import INK, points, points_span, sign
from ragmed.report.rows import Chart, Draw, Group, Row, draw_rows
from ragmed.report.scores import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {
    "better": ("#0072B2", "^"),
    "worse": ("#C04A00", "v"),
    "equivalent": ("#00775a", "D"),
    "cannot-tell": ("#5a5a5a", "o"),
}
MARKS = {
    "different": ("†", "different corpora, so which references are used differs as well as how"),
    "unknown": ("‡", "corpora not known to be the same"),
}


def forest(results: Mapping[str, Any]) -> list[Figure]:
    """
    >>> forest(results)[0].savefig("forest.png")  # doctest: +SKIP

    A row for each contrast, and one with its prediction interval for each effect over all tasks; the mark is that of
    the verdict, as on the page. A contrast without any example left keeps its row. Empty where no two arms were
    compared.
    """
    singles, overall = list(results.get("contrasts") or ()), list(results.get("overall") or ())
    rows = [row for row in [*singles, *overall] if row["ci"] is not None]
    if not rows:
        return []
    margin = 100 * max(row["margin"] for row in rows)
    ends = [100 * end for row in rows for end in [*row["ci"], *(row.get("prediction") or [])]] + [-margin, margin]
    pad = 0.04 * (max(ends) - min(ends)) + 0.1
    groups = [Group(f"{t}: {m}", tuple(map(_row, given))) for (t, m), given in panels(singles).items()]
    for metric, k in dict.fromkeys((row["metric"], row["k"]) for row in overall):
        given = [row for row in overall if (row["metric"], row["k"]) == (metric, k)]
        groups.append(Group(f"Over {k} tasks: {metric}", tuple(map(_row, given))))
    chart = Chart(
        title="Differences between arms on the same examples",
        groups=tuple(groups),
        columns=("points", "95 % interval", "adjusted p", "verdict"),
        ends=(min(ends) - pad, max(ends) + pad),
        axis=f"difference in percentage points; shaded: within the margin of {margin:g} points",
        under=" ".join(_said(singles + overall)),
        behind=_behind(margin),
        key=_key(rows),
    )
    return draw_rows(chart)


def _said(rows: Sequence[wording.Row]) -> list[str]:
    said = [f"{sign} {words}." for key, (sign, words) in MARKS.items() if any(r.get("corpora") == key for r in rows)]
    if any(verdict(row).endswith("*") for row in rows):
        said.append("* shown not to be worse by more than the margin.")
    return said


def _behind(margin: float) -> Draw:
    def draw(axes: Axes, tall: float) -> None:
        axes.axvspan(-margin, margin, color="#009E73", alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)

    return draw


def pair(row: wording.Row) -> str:
    """`tuned − general+rag †`: what is compared, and the mark of references that are not known to be the same."""
    sign = MARKS.get(row.get("corpora", ""), ("", ""))[0]
    return f"{row['arm']} − {row['baseline']} {sign}".rstrip()


def verdict(row: wording.Row) -> str:
    """The verdict in a column: a margin that all rows share is not said again."""
    found = str(row["verdict"])
    if found == "cannot-tell":
        shown = (row.get("noninferiority") or {}).get("shown")
        return "cannot tell *" if shown else "cannot tell"
    return wording.verdict(row) if found != "equivalent" else "equivalent"


def _texts(row: wording.Row) -> tuple[str, ...]:
    adjusted = row.get("p_adjusted")
    return (
        points(row["difference"]),
        points_span(row["ci"]),
        wording.MISSING if adjusted is None else wording.p_value(adjusted),
        verdict(row),
    )


def _row(row: wording.Row) -> Row:
    colour, marker = VERDICTS[row["verdict"]]

    def draw(axes: Axes, y: float) -> None:
        if row["ci"] is None:
            return
        if row.get("prediction"):
            ends = [100 * x for x in row["prediction"]]
            axes.plot(ends, [y, y], color=colour, linewidth=0.9, linestyle="--", marker="|", markersize=5, zorder=2)
        face = "white" if row["verdict"] == "cannot-tell" else colour
        xs = [100 * x for x in (row["ci"][0], row["difference"], row["ci"][1])]
        axes.plot(
            xs, [y] * 3, color=colour, linewidth=1.4, solid_capstyle="butt", marker=marker, markevery=[1],
            markerfacecolor=face, markersize=4.5, zorder=3,
        )  # fmt: skip

    return Row(pair(row), draw, _texts(row), colour)


def _key(rows: Sequence[wording.Row]) -> list[Any]:
    from matplotlib.patches import Patch

    names = {"better": "better", "worse": "worse", "equivalent": "equivalent", "cannot-tell": "cannot tell"}
    if any(not row.get("higher_is_better", True) for row in rows):
        names |= {"better": "better, or higher", "worse": "worse, or lower"}
    found = [
        sign(names[key], colour, marker=marker, face="white" if key == "cannot-tell" else None)
        for key, (colour, marker) in VERDICTS.items()
        if any(row["verdict"] == key for row in rows)
    ]
    if any(row.get("prediction") for row in rows):
        found.append(sign("where a further task is expected", INK, dash="--"))
    return [*found, Patch(facecolor="#009E73", alpha=0.2, label="margin")]
