"""results.json in, the tables of a paper out: scores, differences and 2x2 effects, as LaTeX or as Markdown.

Every number is worded as in the report. LaTeX needs booktabs and longtable; tables of more lines than fit a page are
set as longtable, and none is wider than the text of an article on A4. Names may hold anything: what LaTeX would read
as a command is shown as it stands, and characters that nobody sees are shown by their number. Characters beyond Latin
need LuaLaTeX or XeLaTeX and a font that has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import ragmed
from ragmed.comparison.factorial import ROLES
from ragmed.experiments.results import Rules, compare_runs
from ragmed.files import write_atomic
from ragmed.integrations.widths import GAP, PAGE_LINES, fitted, word_parts
from ragmed.report import wording
from ragmed.report.escaping import escape, table
from ragmed.runs import Run

CORRECTIONS = {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}
POLICIES = {
    "wrong": "What is not answered counts as wrong.",
    "drop": "What is not answered is left out of all arms that are compared.",
    "mirage": "Answers are read as MIRAGE's parser reads them, what it cannot read as A.",
}
_COMMANDS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\char34{}", "[": "{[}", "]": "{]}",
    "*": "{*}", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
_LIGATURES = re.compile(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)")


@dataclass(frozen=True, slots=True)
class PaperTable:
    """`numbers`: places of the columns that are aligned to the right. `caption`: what a reader must know, in plain
    text. `groups`: how many columns, from the first, rows have in common that stand together: columns in Markdown, in
    LaTeX one line over these rows, worded as `group`."""

    name: str
    caption: str
    header: Sequence[str]
    numbers: Sequence[int]
    rows: Sequence[Sequence[str]]
    groups: int = 2
    group: str = "{}, {}"


def export_paper(run: Run, path: Path, *, form: Literal["latex", "markdown"], policy: str | None = None) -> Path:
    """
    >>> export_paper(find_run(runs, "quickstart"), Path("tables.tex"), form="latex")  # doctest: +SKIP
    PosixPath('tables.tex')

    The results as `ragmed compare` gives them with the run's own settings but for a `policy` that is given, in one
    file, with the run's permissions.
    """
    results = compare_runs([run], Rules(policy=policy))
    text = (latex if form == "latex" else markdown)(paper_tables(results), run=run.name)
    write_atomic(path, text, mode=run.file_mode)
    return path


def paper_tables(results: Mapping[str, Any]) -> list[PaperTable]:
    """Scores, and contrasts, effects over all tasks and 2x2 effects where there are any."""
    found = [_scores(results), _contrasts(results), _overall(results), _effects(results)]
    return [one for one in found if one.rows]


def _scores(results: Mapping[str, Any]) -> PaperTable:
    rows = [
        [
            *(row[key] for key in ("task", "metric", "arm")),
            _joined(wording.fraction(row["value"]), wording.span(row["ci"])),
            str(row["n"]),
            wording.not_answered(row["status"]),
        ]
        for row in results["scores"]
    ]
    caption = f"Score of each arm with its 95 % interval, {_ns(results['scores'])}. {_policy(results['policy'])}"
    header = ["Task", "Metric", "Arm", "Score [95 %]", "n", "Not answered"]
    return PaperTable("scores", caption, header, (3, 4), rows)


def _contrasts(results: Mapping[str, Any]) -> PaperTable:
    rows = [
        [
            *(row[key] for key in ("task", "metric", "baseline", "arm")),
            *_difference(row),
            *(wording.count(row[key]) for key in ("fixed", "broke")),
            wording.marked(row),
        ]
        for row in results["contrasts"]
    ]
    caption = (
        f"Differences in percentage points with their 95 % intervals, each arm against its control on the same "
        f"examples, {_ns(results['contrasts'])}. Fixed: wrong under the control and right under the arm; broke: the "
        f"reverse. p is adjusted by {_correction(results)} method for all {results['family']} contrasts. Margin of "
        f"equivalence: {wording.margin(results['margin'])}. {_policy(results['policy'])}"
    )
    header = ["Task", "Metric", "Control", "Arm", "Points [95 %]", "p", "Fixed", "Broke", "Verdict"]
    return PaperTable("contrasts", caption, header, (4, 5, 6, 7), rows, 3, "{}, {}, against {}")


def _overall(results: Mapping[str, Any]) -> PaperTable:
    rows = [
        [
            *(row[key] for key in ("metric", "baseline", "arm")),
            *(wording.count(row["k"]), *_difference(row), wording.points_span(row["prediction"])),
            *(wording.fraction(row["i2"]), wording.marked(row)),
        ]
        for row in results.get("overall", [])
    ]
    caption = (
        "Differences over all tasks in percentage points (random effects over tasks, Hartung and Knapp's interval). "
        "Prediction: where the difference on another such task would lie. p is adjusted by "
        f"{_correction(results)} method for all {results.get('overall_family', 0)} of them. "
        f"{_policy(results['policy'])}"
    )
    header = ["Metric", "Control", "Arm", "Tasks", "Points [95 %]", "p", "Prediction", "I2", "Verdict"]
    return PaperTable("overall", caption, header, (3, 4, 5, 6, 7), rows, 2, "{}, against {}")


def _effects(results: Mapping[str, Any]) -> PaperTable:
    factorials = results.get("factorials", [])
    count = Counter((row["task"], row["metric"]) for row in factorials)
    rows = []
    for row in factorials:
        which = f" ({row['tuned']}, {row['retrieved']})" if count[row["task"], row["metric"]] > 1 else ""
        for effect in row["effects"]:
            verdict = wording.verdict({"higher_is_better": row["higher_is_better"], **effect})
            name = effect["effect"].replace("-", " ") + which
            rows.append([row["task"], row["metric"], name, *_difference(effect), verdict])
    designs = dict.fromkeys(tuple(row[role] for role in ROLES) for row in factorials)
    named = "; ".join(", ".join(design) for design in designs)
    caption = (
        f"2x2 effects in percentage points with their 95 % intervals, {_ns(factorials)}. Arms "
        f"(control, tuned, retrieved, both): {named}. Tuning and retrieval are each averaged over the other; "
        f"interaction is what retrieval does for the tuned model, less what it does for the untuned one. p is adjusted "
        f"by {_correction(results)} method for all {results.get('factorial_family', 0)} effects. "
        f"{_policy(results['policy'])}"
    )
    return PaperTable("effects", caption, ["Task", "Metric", "Effect", "Points [95 %]", "p", "Verdict"], (3, 4), rows)


def _difference(row: Mapping[str, Any]) -> list[str]:
    span = wording.points_span(row["ci"])
    return [_joined(wording.points(row["difference"]), span), wording.p_value(row["p_adjusted"])]


def _joined(value: str, span: str) -> str:
    return f"{value} {span}".rstrip()


def _ns(rows: Sequence[Mapping[str, Any]]) -> str:
    found = sorted({int(row["n"]) for row in rows})
    return f"n = {found[0]}" if len(found) == 1 else f"n from {found[0]} to {found[-1]}" if found else "n = 0"


def _policy(rules: Mapping[str, str]) -> str:
    one = next(iter(rules.values())) if len(set(rules.values())) == 1 else ""
    return POLICIES.get(one) or f"What is not answered counts as follows: {wording.policy(rules)}."


def _correction(results: Mapping[str, Any]) -> str:
    name = str(results.get("correction", "holm"))
    return CORRECTIONS.get(name, name)


def markdown(tables: Sequence[PaperTable], *, run: str) -> str:
    """The tables under their captions, every cell escaped."""
    parts = [f"# {escape(run)}"]
    for one in tables:
        parts += [f"## {escape(one.name.capitalize())}", escape(one.caption), table(one.header, one.rows, one.numbers)]
    return "\n\n".join(parts) + "\n"


def latex(tables: Sequence[PaperTable], *, run: str) -> str:
    """A file to `\\input`: one table environment each, labelled `tab:RUN-scores` and so on."""
    slug = re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-") or "run"
    head = f"% ragmed {ragmed.__version__}; in the preamble: \\usepackage{{booktabs}} and \\usepackage{{longtable}}"
    return "\n\n".join([head, *("\n".join(_latex_lines(one, slug)) for one in tables)]) + "\n"


def _latex_lines(one: PaperTable, slug: str) -> Iterator[str]:
    numbers = [place - one.groups for place in one.numbers]
    header, rows = one.header[one.groups :], [row[one.groups :] for row in one.rows]
    fit = fitted([header, *rows], numbers)
    columns = "".join("r" if width is None else f"p{{{width:.3f}\\linewidth}}" for width in fit.widths)
    size = f"\\{fit.size}\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}"
    title = [f"\\caption{{{_breakable(one.caption)}}}", f"\\label{{tab:{slug}-{one.name}}}"]
    top = _latex_row(header, numbers)
    body = list(_latex_rows(one, numbers))
    if fit.lines + len(body) - len(rows) <= PAGE_LINES:
        yield from (r"\begin{table}", r"\centering", size, *title, f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}")
        yield from (r"\toprule", top, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}")
        return
    yield from (
        f"{{{size}\\setlength{{\\LTcapwidth}}{{\\linewidth}}",
        f"\\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        title[0] + title[1] + r"\\",
        r"\toprule",
        top,
    )
    yield from (r"\midrule", r"\endfirsthead", r"\toprule", top, r"\midrule", r"\endhead", r"\bottomrule")
    yield from (r"\endfoot", *body, r"\end{longtable}}")


def _latex_rows(one: PaperTable, numbers: Sequence[int]) -> Iterator[str]:
    """A line over each group, as wide as the page so that the table is too, and white above each but the first."""
    columns = len(one.header) - one.groups
    for before, row in pairwise([None, *one.rows]):
        assert row is not None
        group = list(row[: one.groups])
        if before is None or list(before[: one.groups]) != group:
            if before is not None:
                yield r"\addlinespace"
            said = _breakable(one.group.format(*group))
            span = f"\\multicolumn{{{columns}}}{{@{{}}p{{\\linewidth}}@{{}}}}"
            yield f"{span}{{\\raggedright\\itshape {said}}} \\tabularnewline*"
        yield _latex_row(row[one.groups :], numbers)


def _latex_row(cells: Sequence[str], numbers: Sequence[int]) -> str:
    shown = (
        latex_number(cell) if place in numbers else f"\\raggedright {_breakable(cell)}"
        for place, cell in enumerate(cells)
    )
    return " & ".join(shown) + r" \tabularnewline"  # \raggedright has its own use for \\


def _breakable(text: str) -> str:
    """Text whose long words, which names often are, may go on in the next line."""
    return " ".join(r"\allowbreak{}".join(map(latex_text, word_parts(word))) for word in text.split())


def latex_text(text: str) -> str:
    r"""
    >>> latex_text("a_b & 5 % {x}")
    'a\\_b \\& 5 \\% \\{x\\}'

    One line of text that LaTeX sets as it stands, in a cell, a caption or an optional argument.
    """
    parted = _LIGATURES.sub("\0", " ".join(text.split()).replace("\0", "(U+0000)"))
    return "".join(
        "{}" if c == "\0" else _COMMANDS.get(c) or (f"(U+{ord(c):04X})" if _unseen(c) else c) for c in parted
    )


def latex_number(text: str) -> str:
    """
    >>> latex_number("-1.5"), latex_number("<0.001")
    ('$-$1.5', '$<$0.001')
    """
    return "".join({"-": "$-$", "<": "$<$", "%": "\\%", "+": "$+$", "[": "{[}", "]": "{]}"}.get(c, c) for c in text)


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")
