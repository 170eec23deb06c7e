"""Pooled studies in, one plain table out."""

from __future__ import annotations

from ragmed.comparison.studies import StudiesPooled
from ragmed.report import wording
from ragmed.text_table import printable, table, wrapped


def render_studies(title: str, found: StudiesPooled) -> str:
    """
        print(render_studies("What tuning does", pooled))
        # study    points  95% interval     n  weight
        # first      -6.5  [-8.9, -4.1]  1273    52 %

    What `ragmed pool` prints: each study, then all of them together.
    """
    unit = found.studies[0].unit
    cells = [["study", wording.unit_head(unit), "95% interval", "n", "groups", "weight"]]
    for row in found.studies:
        cells.append(
            [
                row.study,
                wording.amount(row.difference, unit),
                wording.amount_span(row.ci, unit),
                str(row.n),
                str(row.groups),
                f"{100 * row.weight:.0f} %",
            ]
        )
    lines = [printable(title), "", *table(cells, right=(1, 3, 4, 5)), ""]
    text = (
        f"Together {wording.with_unit(found.difference, unit)} {wording.amount_span(found.ci, unit)}, p "
        f"{wording.p_value(found.p)} (random effects, {len(found.studies)} studies)."
    )
    if found.prediction is not None:
        text += f" A further study would lie in {wording.amount_span(found.prediction, unit)}."
    text += f" Between studies: tau {wording.size(found.tau, unit)}, I2 {100 * found.i2:.0f} %."
    for sentence in (text, *found.notes):
        lines += wrapped(sentence)
    return "\n".join(lines) + "\n"
