"""results.json in, one plain ASCII table of at most 100 columns out."""

from __future__ import annotations

from ragmed.comparison.results import Results
from ragmed.report import diagnosis, effects, wording
from ragmed.report.grouping import in_groups, of_task, task_names
from ragmed.report.verdict import headline, overall
from ragmed.text_table import printable, table, wrapped


def render_table(results: Results) -> str:
    """
        print(render_table(results))
        # medqa
        #   accuracy            score  95% interval          n  not answered
        #   general             0.250  [0.158, 0.372]       60  unparsed 2

    What `ragmed eval` and `ragmed compare` print. Every number is one of `results` (see the format of results.json).
    """
    lines = [f"run {printable(results.run)}", f"not answered counts as: {wording.policy(results.policy)}"]
    for task in task_names(results):
        lines += [
            "",
            printable(task),
            *_scores(results, task),
            *_fitting(results, task),
            *_baselines(results, task),
            *_contrasts(results, task),
            *_alike(results, task),
        ]
        lines += [*_factorials(results, task), *_failures(results, task)]
        lines += [*_steps(results, task), *_economics(results, task)]
        for sentence in diagnosis.sentences(results, task):
            lines += wrapped(sentence, "  ")
    lines += [*_overall(results), *_published(results), *_suites(results)]
    lines.append("")
    for error in results.measured_errors:
        lines += wrapped(wording.measured_error(error))
    for (arm, reason), rows in in_groups(results.not_run, "arm", "reason"):
        tasks = ", ".join(row.task for row in rows)
        lines += wrapped(f"not run: {arm} on {tasks}" + (f": {reason}" if reason else ""))
    for note in results.notes:
        lines += wrapped(note)
    lines += ["", "In words"]
    for sentence in headline(results):
        lines += wrapped(sentence)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _scores(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for (metric,), rows in in_groups(of_task(results.scores, task), "metric"):
        cells = [[metric, "score", "95% interval", "n", "not answered"]]
        for row in rows:
            statuses = wording.not_answered(row.status)
            cells.append([row.arm, wording.fraction(row.value), wording.span(row.ci), str(row.n), statuses])
        lines += table(cells, right=(1, 3))
    return lines


def _fitting(results: Results, task: str) -> list[str]:
    """How many items did not fit, and all arms on those that fit every arm; nothing where all fit."""
    lines: list[str] = []
    for item in of_task(results.fits, task):
        lines += wrapped(wording.not_fitting(item), "  ")
    for (metric,), rows in in_groups(of_task(results.fitting_scores, task), "metric"):
        cells = [[f"{metric}, items that fit every arm", "score", "95% interval", "n", "not answered"]]
        for score in rows:
            statuses = wording.not_answered(score.status)
            cells.append([score.arm, wording.fraction(score.value), wording.span(score.ci), str(score.n), statuses])
        lines += table(cells, right=(1, 3))
    for (metric,), pairs in in_groups(of_task(results.fitting_contrasts, task), "metric"):
        head = wording.unit_head(pairs[0].unit)
        cells = [[f"{metric}, difference on items that fit every arm", head, "95% interval", "p", "n"]]
        for row in pairs:
            points, span = wording.amount(row.difference, row.unit), wording.amount_span(row.ci, row.unit)
            cells.append([f"{row.arm} - {row.baseline}", points, span, wording.p_value(row.p), str(row.n)])
        lines += table(cells, right=(1, 3, 4))
    return lines


def _baselines(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for (metric,), rows in in_groups(of_task(results.baselines, task), "metric"):
        lines += wrapped(f"baselines ({metric}): {', '.join(map(wording.baseline, rows))}", "  ")
    return lines


def _contrasts(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for (metric,), rows in in_groups(of_task(results.contrasts, task), "metric"):
        head = wording.unit_head(rows[0].unit)
        cells = [[f"{metric}, difference", head, "95% interval", "adj. p", "fixed", "broke", "verdict"]]
        for row in rows:
            cells.append(
                [
                    f"{row.arm} - {row.baseline}",
                    wording.amount(row.difference, row.unit),
                    wording.amount_span(row.ci, row.unit),
                    wording.p_value(row.p_adjusted),
                    wording.count(row.fixed),
                    wording.count(row.broke),
                    wording.marked(row),
                ]
            )
        lines += table(cells, right=(1, 3, 4, 5))
        few = [row for row in rows if row.primary and wording.too_few(row, results.alpha)]
        if few:
            named = "; ".join(f"{row.arm} - {row.baseline} {wording.p_value(row.attainable)}" for row in few)
            lines += wrapped(f"too few answers differ to show a difference; the least p they could give: {named}", "  ")
    return lines


def _alike(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for row in of_task(results.alike, task):
        lines += wrapped(wording.alike(row), "  ")
    return lines


def _factorials(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for row in of_task(results.factorials, task):
        arms = "; ".join(f"{one.name}: {one.closed_book}, {one.with_passages}" for one in row.levels)
        mark = wording.corpora_mark(row)
        lines += wrapped(f"{row.metric}, {row.design.shape} ({arms}; n {row.n}){': ' + mark if mark else ''}", "  ")
        cells = [["effect", wording.unit_head(row.unit), "95% interval", "adj. p", "verdict"]]
        for effect in row.effects:
            cells.append(
                [
                    effect.effect if len(row.levels) == 2 else f"{effect.effect} {effect.level}".strip(),
                    wording.amount(effect.difference, row.unit),
                    wording.amount_span(effect.ci, row.unit),
                    wording.p_value(effect.p_adjusted),
                    effects.verdict(row, effect),
                ]
            )
        lines += table(cells, right=(1, 3))
    return lines


def _failures(results: Results, task: str) -> list[str]:
    """Hallucination and instruction adherence: a table a kind; in one line those of which no arm has any."""
    by_kind = in_groups(of_task(results.failures, task), "kind")
    lines: list[str] = []
    for kind, rows in ((kind, rows) for (kind,), rows in by_kind if any(row.share for row in rows)):
        cells = [[wording.FAILURES[kind], "share", "95% interval", "count", "of", "difference", "p"]]
        for row in rows:
            told = [one for one in of_task(results.failure_contrasts, task) if (one.kind, one.arm) == (kind, row.arm)]
            against = told[0] if len(told) == 1 else None
            cells.append(
                [
                    row.arm,
                    wording.fraction(row.share),
                    wording.span(row.ci),
                    wording.count(row.count),
                    str(row.n),
                    f"{wording.points(against.difference)} {wording.points_span(against.ci)}" if against else "",
                    wording.p_value(against.p) if against else "",
                ]
            )
        lines += table(cells, right=(1, 3, 4, 6))
    none = [wording.FAILURES[kind] for (kind,), rows in by_kind if not any(row.share for row in rows)]
    return lines + (wrapped(f"none in any arm: {', '.join(none)}", "  ") if none else [])


def _steps(results: Results, task: str) -> list[str]:
    rows = of_task(results.steps, task)
    if not rows:
        return []
    head = ["step before the question", "questions", "asked", "unread", "queries", "dropped", "left without", "tokens"]
    cells = [head]
    for row in rows:
        counts = (row.n, row.asked, row.unread, row.queries, row.dropped, row.left_without)
        tokens = f"{row.input_tokens:,} + {row.output_tokens:,}"
        cells.append([f"{row.arm}: {row.kind}", *(f"{count:,}" for count in counts), tokens])
    return table(cells, right=range(1, len(head)))


def _overall(results: Results) -> list[str]:
    lines: list[str] = []
    for row in results.overall:
        lines += wrapped(f"{row.metric}, {row.arm} - {row.baseline}: {overall(row)}", "  ")
    return ["", "all tasks", *lines] if lines else []


def _published(results: Results) -> list[str]:
    if not results.published:
        return []
    cells = [["published and measured", "task", "metric", "published", "measured", "95% interval"]]
    for row in results.published:
        measured = wording.fraction(row.measured)
        cells.append([row.arm, row.task, row.metric, wording.fraction(row.published), measured, wording.span(row.ci)])
    return ["", *table(cells, right=(3, 4))]


def _suites(results: Results) -> list[str]:
    if not results.suites:
        return []
    cells = [["totals", "arm", "published", "measured"]]
    for row in results.suites:
        level = f"{row.suite}, {row.level}"
        cells.append([level, row.arm, wording.fraction(row.published), wording.fraction(row.value)])
    return ["", *table(cells, right=(2, 3)), *suites_lack(results)]


def suites_lack(results: Results) -> list[str]:
    """What totals without a value are waiting for, each once."""
    lacking = {(row.suite, row.level): row.missing for row in results.suites if row.missing}
    lines: list[str] = []
    for (suite, level), missing in lacking.items():
        lines += wrapped(f"no total of {suite}, {level}, without {', '.join(missing)}", "  ")
    return lines


def _economics(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for row in of_task(results.economics, task):
        outcomes = "; ".join(map(effects.break_even, row.break_even))
        lines += wrapped(f"cost of {row.tuned} and {row.retrieved}: {outcomes}", "  ")
    return lines
