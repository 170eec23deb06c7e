"""results.json in, the tables of a paper out, as LaTeX or as Markdown: scores, differences, 2x2 effects, failures.

Every number is worded as in the report. LaTeX needs booktabs and tabularx: a table is as wide as the text, its columns
of names share what the numbers leave, and a table of more rows than fit a page comes in parts. Names may hold anything:
what LaTeX would read as a command is shown as it stands, and invisible characters are shown by their number. Characters
beyond Latin need LuaLaTeX or XeLaTeX and a font that has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import ragmed
from ragmed.comparison.designs import explained, shapes
from ragmed.comparison.results import Results
from ragmed.comparison.rows import AnyDifference, Contrast, Factorial, Score
from ragmed.experiments.results import Rules, compare_runs
from ragmed.files import write_atomic
from ragmed.report import wording
from ragmed.report.escaping import escape, table
from ragmed.runs import Run

CORRECTIONS = {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}
POLICIES = {
    "wrong": "What is not answered counts as wrong.",
    "drop": "What is not answered is left out of all arms that are compared.",
}
_COMMANDS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\char34{}", "[": "{[}", "]": "{]}",
    "*": "{*}", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
TEXT_COLUMN = r">{\raggedright\arraybackslash}X"
PAGE_LINES = 40  # what fits a page beside the caption, where some names take two lines
_PART = re.compile(r"[^+/_.:,;@|=-]{1,14}[+/_.:,;@|=-]*|[+/_.:,;@|=-]+")
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
        export_paper(find_run(runs, "quickstart"), Path("tables.tex"), form="latex")

    The results as `ragmed compare` gives them with the run's own settings but for a `policy` that is given, in one
    file, with the run's permissions.
    """
    results = compare_runs([run], Rules(policy=policy))
    text = (latex if form == "latex" else markdown)(paper_tables(results), run=run.name)
    write_atomic(path, text, mode=run.file_mode)
    return path


def paper_tables(results: Results) -> list[PaperTable]:
    """Scores, and contrasts, effects over all tasks, 2x2 effects, failures and their differences, if there are any."""
    tables = [
        *(_scores(results), _contrasts(results), _overall(results), _effects(results)),
        *(_failures(results), _failure_contrasts(results)),
    ]
    return [table for table in tables if table.rows]


def _scores(results: Results) -> PaperTable:
    rows = [
        [
            *(row.task, row.metric, row.arm),
            _joined(wording.fraction(row.value), wording.span(row.ci)),
            str(row.n),
            wording.not_answered(row.status),
        ]
        for row in results.scores
    ]
    caption = f"Score of each arm with its 95 % interval, {_ns(results.scores)}. {_policy(results.policy)}"
    header = ["Task", "Metric", "Arm", "Score [95 %]", "n", "Not answered"]
    return PaperTable("scores", caption, header, (3, 4), rows)


def _contrasts(results: Results) -> PaperTable:
    rows = [
        [
            *(row.task, row.metric, row.baseline, row.arm),
            *_difference(row),
            *(wording.count(row.fixed), wording.count(row.broke)),
            wording.marked(row),
        ]
        for row in results.contrasts
    ]
    caption = (
        f"Differences in percentage points with their 95 % intervals, each arm against its control on the same "
        f"examples, {_ns(results.contrasts)}. Fixed: wrong under the control and right under the arm; broke: the "
        f"reverse. p is adjusted by {_correction(results)} method for all {results.family} contrasts by a task's "
        f"primary metric; others are secondary, and in no family. Margin of "
        f"equivalence: {wording.margin(results.margin)}. {_policy(results.policy)}"
    )
    header = ["Task", "Metric", "Control", "Arm", "Points [95 %]", "p", "Fixed", "Broke", "Verdict"]
    return PaperTable("contrasts", caption, header, (4, 5, 6, 7), rows, 3, "{}, {}, against {}")


def _overall(results: Results) -> PaperTable:
    rows = [
        [
            *(row.metric, row.baseline, row.arm),
            *(wording.count(row.k), *_difference(row), wording.amount_span(row.prediction, row.unit)),
            *(wording.fraction(row.i2), wording.marked(row)),
        ]
        for row in results.overall
    ]
    caption = (
        "Differences over all tasks in percentage points (random effects over tasks, Hartung and Knapp's interval). "
        "Prediction: where the difference on another such task would lie. p is adjusted by "
        f"{_correction(results)} method for all {results.overall_family} of them. "
        f"{_policy(results.policy)}"
    )
    header = ["Metric", "Control", "Arm", "Tasks", "Points [95 %]", "p", "Prediction", "I2", "Verdict"]
    return PaperTable("overall", caption, header, (3, 4, 5, 6, 7), rows, 2, "{}, against {}")


def _effects(results: Results) -> PaperTable:
    factorials = results.factorials
    count = Counter((row.task, row.metric) for row in factorials)
    rows = []
    for row in factorials:
        which = f" ({', '.join(row.arms[1:-1])})" if count[row.task, row.metric] > 1 else ""
        for effect in row.effects:
            level = f" of {effect.level}" if effect.level and len(row.levels) > 2 else ""
            name = effect.effect.replace("-", " ") + level + which
            rows.append([row.task, row.metric, name, *_difference(effect), wording.verdict(effect)])
    designs = list(dict.fromkeys(row.design for row in factorials))
    by_roles: dict[str, list[str]] = {}
    for design in designs:
        by_roles.setdefault(", ".join(design.roles), []).append(", ".join(design.arms))
    named = "; ".join(f"({roles}): {'; '.join(arms)}" for roles, arms in by_roles.items())
    caption = (
        f"{shapes(designs)} effects in percentage points with their 95 % intervals, {_ns(factorials)}. Arms {named}. "
        f"{explained(designs)} p is adjusted by {_correction(results)} method for all {results.factorial_family} "
        f"effects. {_policy(results.policy)}"
    )
    return PaperTable("effects", caption, ["Task", "Metric", "Effect", "Points [95 %]", "p", "Verdict"], (3, 4), rows)


def _failures(results: Results) -> PaperTable:
    """Kinds of failure that no arm of a task has are named below, not listed."""
    found = {(row.task, row.kind) for row in results.failures if row.examples}
    rows = [
        [
            *(row.task, wording.FAILURES[row.kind], row.arm),
            _joined(wording.fraction(row.share), wording.span(row.ci)),
            *(wording.count(row.count), str(row.n), row.of),
        ]
        for row in results.failures
        if (row.task, row.kind) in found
    ]
    none: dict[str, list[str]] = {}
    for row in results.failures:
        if (row.task, row.kind) not in found:
            none.setdefault(row.task, []).append(wording.FAILURES[row.kind])
    caption = " ".join(
        [
            "How answers fail apart from being wrong: shares of n with their 95 % intervals. False answers, codes that "
            "do not exist, statements without support or contradicted are hallucinations; wrong form, refusals and "
            "answers cut off are instructions not followed.",
            *(f"{task}: none in any arm: {', '.join(dict.fromkeys(kinds))}." for task, kinds in none.items()),
            *(f"{said[:1].upper()}{said[1:]}." for said in map(wording.measured_error, results.measured_errors)),
        ]
    )
    header = ["Task", "Failure", "Arm", "Share [95 %]", "Count", "n", "Of"]
    return PaperTable("failures", caption, header, (3, 4, 5), rows)


def _failure_contrasts(results: Results) -> PaperTable:
    rows = [
        [
            *(row.task, wording.FAILURES[row.kind], row.baseline, row.arm),
            _joined(wording.points(row.difference), wording.points_span(row.ci)),
            *(wording.p_value(row.p), str(row.n)),
        ]
        for row in results.failure_contrasts
    ]
    caption = (
        "Differences in the share that fails, in percentage points with their 95 % intervals; above 0 is worse. p is "
        "not adjusted, and nothing is concluded from it."
    )
    header = ["Task", "Failure", "Control", "Arm", "Points [95 %]", "p", "n"]
    return PaperTable("failure-contrasts", caption, header, (4, 5, 6), rows, 3, "{}, {}, against {}")


def _difference(row: AnyDifference) -> list[str]:
    span = wording.amount_span(row.ci, row.unit)
    return [_joined(wording.in_points(row.difference, row.unit), span), wording.p_value(row.p_adjusted)]


def _joined(value: str, span: str) -> str:
    return f"{value} {span}".rstrip()


def _ns(rows: Sequence[Score | Contrast | Factorial]) -> str:
    ns = sorted({row.n for row in rows})
    return f"n = {ns[0]}" if len(ns) == 1 else f"n from {ns[0]} to {ns[-1]}" if ns else "n = 0"


def _policy(rules: Mapping[str, str]) -> str:
    only = next(iter(rules.values())) if len(set(rules.values())) == 1 else ""
    return POLICIES.get(only) or f"What is not answered counts as follows: {wording.policy(rules)}."


def _correction(results: Results) -> str:
    return CORRECTIONS[results.correction]


def markdown(tables: Sequence[PaperTable], *, run: str) -> str:
    """The tables under their captions, every cell escaped."""
    parts = [f"# {escape(run)}"]
    for paper in tables:
        rows = table(paper.header, paper.rows, paper.numbers)
        title = paper.name.replace("-", " ").capitalize()
        parts += [f"## {escape(title)}", escape(paper.caption), rows]
    return "\n\n".join(parts) + "\n"


def latex(tables: Sequence[PaperTable], *, run: str) -> str:
    """A file to `\\input`: a table environment for each, labelled `tab:RUN-scores` and so on; the parts of a long
    table from the second on `tab:RUN-scores-2`."""
    slug = re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-") or "run"
    head = f"% ragmed {ragmed.__version__}; in the preamble: \\usepackage{{booktabs}} and \\usepackage{{tabularx}}"
    parts = [part for table in tables for part in _latex_parts(table, f"tab:{slug}-{table.name}")]
    return "\n\n".join([head, *parts]) + "\n"


def _latex_parts(table: PaperTable, label: str) -> Iterator[str]:
    parts = _parts(table)
    for number, rows in enumerate(parts, 1):
        caption = table.caption if len(parts) == 1 else f"{table.caption} Part {number} of {len(parts)}."
        part = replace(table, caption=caption, rows=rows)
        yield "\n".join(_latex_lines(part, label if number == 1 else f"{label}-{number}"))


def _parts(table: PaperTable) -> list[list[Sequence[str]]]:
    """The rows, as many together as fit a page with the lines over their groups."""
    parts: list[list[Sequence[str]]] = []
    lines = 0
    for row in table.rows:
        opens = not parts or list(row[: table.groups]) != list(parts[-1][-1][: table.groups])
        if not parts or lines + 1 + opens > PAGE_LINES:
            parts.append([])
            lines, opens = 0, True
        parts[-1].append(row)
        lines += 1 + opens
    return parts


def _latex_lines(table: PaperTable, label: str) -> Iterator[str]:
    header = table.header[table.groups :]
    numbers = [place - table.groups for place in table.numbers]
    columns = "".join("r" if place in numbers else TEXT_COLUMN for place in range(len(header)))
    yield from (
        r"\begin{table}",
        f"\\{'footnotesize' if len(header) <= 6 else 'scriptsize'}\\setlength{{\\tabcolsep}}{{3pt}}",
        f"\\caption{{{_breakable(table.caption)}}}",
        f"\\label{{{label}}}",
        f"\\begin{{tabularx}}{{\\linewidth}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(header, numbers),
        r"\midrule",
        *_latex_rows(table, numbers),
        r"\bottomrule",
        r"\end{tabularx}",
        r"\end{table}",
    )


def _latex_rows(table: PaperTable, numbers: Sequence[int]) -> Iterator[str]:
    """A line over each group, as wide as the table, and white above each but the first."""
    columns = len(table.header) - table.groups
    group: list[str] = []
    for row in table.rows:
        if list(row[: table.groups]) != group:
            if group:
                yield r"\addlinespace"
            group = list(row[: table.groups])
            title = _breakable(table.group.format(*group))
            span = f"\\multicolumn{{{columns}}}{{@{{}}p{{\\linewidth}}@{{}}}}"
            yield f"{span}{{\\raggedright\\itshape {title}}} \\tabularnewline"
        yield _latex_row(row[table.groups :], numbers)


def _latex_row(cells: Sequence[str], numbers: Sequence[int]) -> str:
    shown = (latex_number(cell) if place in numbers else _breakable(cell) for place, cell in enumerate(cells))
    return " & ".join(shown) + r" \tabularnewline"  # \raggedright has its own use for \\


def _breakable(text: str) -> str:
    """Text whose long words, which names often are, may be broken: after their marks, else after 14 letters."""
    return " ".join(
        r"\allowbreak{}".join(map(latex_text, _PART.findall(word) if len(word) > 14 else [word]))
        for word in text.split()
    )


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
