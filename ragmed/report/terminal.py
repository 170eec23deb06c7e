"""results.json in, one plain ASCII table of at most 100 columns out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.report import behind, effects, wording
from ragmed.report.verdict import headline, overall

WIDTH = 100
_NAME = 36  # a longer name gets a line of its own, so that nothing is cut


def render_table(results: Mapping[str, Any]) -> str:
    """
    >>> print(render_table(results))  # doctest: +SKIP
    medqa
      accuracy            score  95% interval          n  not answered
      general             0.250  [0.158, 0.372]       60  unparsed 2

    What `ragmed eval` and `ragmed compare` print. Every number is one of `results` (see the format of results.json).
    """
    lines = [f"run {_ascii(results['run'])}", f"not answered counts as: {wording.policy(results['policy'])}"]
    for task in wording.task_names(results):
        lines += ["", _ascii(task), *_scores(results, task), *_baselines(results, task), *_contrasts(results, task)]
        lines += [*_factorials(results, task), *_economics(results, task)]
        for said in behind.sentences(results, task):
            lines += _wrapped(said, "  ")
    lines += _overall(results)
    lines.append("")
    for row in results.get("not_run", []):
        lines += _wrapped(f"not run: {row['arm']} on {row['task']}", "")
    for note in results.get("notes", []):
        lines += _wrapped(note, "")
    lines += ["", "In words"]
    for said in headline(results):
        lines += _wrapped(said, "")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _scores(results: Mapping[str, Any], task: str) -> list[str]:
    lines: list[str] = []
    rows = wording.of_task(results["scores"], task)
    for metric in dict.fromkeys(row["metric"] for row in rows):
        cells = [[metric, "score", "95% interval", "n", "not answered"]]
        for row in rows:
            if row["metric"] == metric:
                statuses = wording.not_answered(row["status"])
                cells.append(
                    [row["arm"], wording.fraction(row["value"]), wording.span(row["ci"]), str(row["n"]), statuses]
                )
        lines += _align(cells, right=(1, 3))
    return lines


def _baselines(results: Mapping[str, Any], task: str) -> list[str]:
    rows = wording.of_task(results["baselines"], task)
    lines: list[str] = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        said = ", ".join(wording.baseline(row) for row in rows if row["metric"] == metric)
        lines += _wrapped(f"baselines ({metric}): {said}", "  ")
    return lines


def _contrasts(results: Mapping[str, Any], task: str) -> list[str]:
    lines: list[str] = []
    rows = wording.of_task(results["contrasts"], task)
    for metric in dict.fromkeys(row["metric"] for row in rows):
        cells = [[f"{metric}, difference", "points", "95% interval", "adj. p", "fixed", "broke", "verdict"]]
        for row in rows:
            if row["metric"] == metric:
                cells.append(
                    [
                        f"{row['arm']} - {row['baseline']}",
                        wording.points(row["difference"]),
                        wording.points_span(row["ci"]),
                        wording.p_value(row["p_adjusted"]),
                        wording.count(row["fixed"]),
                        wording.count(row["broke"]),
                        wording.marked(row),
                    ]
                )
        lines += _align(cells, right=(1, 3, 4, 5))
    return lines


def _factorials(results: Mapping[str, Any], task: str) -> list[str]:
    lines: list[str] = []
    for row in wording.of_task(results.get("factorials", []), task):
        arms = f"untuned: {row['control']}, {row['retrieved']}; tuned: {row['tuned']}, {row['both']}"
        mark = wording.corpora_mark(row)
        lines += _wrapped(f"{row['metric']}, 2x2 ({arms}; n {row['n']}){': ' + mark if mark else ''}", "  ")
        cells = [["effect", "points", "95% interval", "adj. p", "verdict"]]
        for effect in row["effects"]:
            cells.append(
                [
                    effect["effect"],
                    wording.points(effect["difference"]),
                    wording.points_span(effect["ci"]),
                    wording.p_value(effect["p_adjusted"]),
                    effects.verdict(row, effect),
                ]
            )
        lines += _align(cells, right=(1, 3))
    return lines


def _overall(results: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for row in results.get("overall", []):
        lines += _wrapped(f"{row['metric']}, {row['arm']} - {row['baseline']}: {overall(row)}", "  ")
    return ["", "all tasks", *lines] if lines else []


def _economics(results: Mapping[str, Any], task: str) -> list[str]:
    lines: list[str] = []
    for row in wording.of_task(results.get("economics", []), task):
        said = "; ".join(effects.break_even(one) for one in row["break_even"])
        lines += _wrapped(f"cost of {row['tuned']} and {row['retrieved']}: {said}", "  ")
    return lines


def _align(cells: Sequence[Sequence[str]], *, right: Sequence[int]) -> list[str]:
    """Columns under each other; the first takes at most _NAME characters, the last wraps below itself."""
    table = [[_ascii(cell) for cell in row] for row in cells]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    widths[0] = min(_NAME, widths[0])
    lines = []
    for name, *rest in table:
        if len(name) > widths[0]:
            lines += _wrapped(name, "  ")
            name = ""
        padded = [name.ljust(widths[0])]
        for place, cell in enumerate(rest[:-1], start=1):
            padded.append(cell.rjust(widths[place]) if place in right else cell.ljust(widths[place]))
        front = "  " + "  ".join(padded) + "  "
        last = textwrap.wrap(rest[-1], max(12, WIDTH - len(front)), break_long_words=False) or [""]
        lines += [front + last[0], *(" " * len(front) + more for more in last[1:])]
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(_ascii(text), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _ascii(text: str) -> str:
    """Names come from files: what a terminal could take for a command is shown as an escape."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text)
