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
        lines += ["", printable(task), *_scores(results, task), *_baselines(results, task), *_contrasts(results, task)]
        lines += [*_factorials(results, task), *_economics(results, task)]
        for sentence in diagnosis.sentences(results, task):
            lines += wrapped(sentence, "  ")
    lines += _overall(results)
    lines.append("")
    for row in results.not_run:
        lines += wrapped(f"not run: {row.arm} on {row.task}")
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


def _baselines(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for (metric,), rows in in_groups(of_task(results.baselines, task), "metric"):
        lines += wrapped(f"baselines ({metric}): {', '.join(map(wording.baseline, rows))}", "  ")
    return lines


def _contrasts(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for (metric,), rows in in_groups(of_task(results.contrasts, task), "metric"):
        cells = [[f"{metric}, difference", "points", "95% interval", "adj. p", "fixed", "broke", "verdict"]]
        for row in rows:
            cells.append(
                [
                    f"{row.arm} - {row.baseline}",
                    wording.points(row.difference),
                    wording.points_span(row.ci),
                    wording.p_value(row.p_adjusted),
                    wording.count(row.fixed),
                    wording.count(row.broke),
                    wording.marked(row),
                ]
            )
        lines += table(cells, right=(1, 3, 4, 5))
    return lines


def _factorials(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for row in of_task(results.factorials, task):
        arms = f"untuned: {row.control}, {row.retrieved}; tuned: {row.tuned}, {row.both}"
        mark = wording.corpora_mark(row)
        lines += wrapped(f"{row.metric}, 2x2 ({arms}; n {row.n}){': ' + mark if mark else ''}", "  ")
        cells = [["effect", "points", "95% interval", "adj. p", "verdict"]]
        for effect in row.effects:
            cells.append(
                [
                    effect.effect,
                    wording.points(effect.difference),
                    wording.points_span(effect.ci),
                    wording.p_value(effect.p_adjusted),
                    effects.verdict(row, effect),
                ]
            )
        lines += table(cells, right=(1, 3))
    return lines


def _overall(results: Results) -> list[str]:
    lines: list[str] = []
    for row in results.overall:
        lines += wrapped(f"{row.metric}, {row.arm} - {row.baseline}: {overall(row)}", "  ")
    return ["", "all tasks", *lines] if lines else []


def _economics(results: Results, task: str) -> list[str]:
    lines: list[str] = []
    for row in of_task(results.economics, task):
        outcomes = "; ".join(map(effects.break_even, row.break_even))
        lines += wrapped(f"cost of {row.tuned} and {row.retrieved}: {outcomes}", "  ")
    return lines
