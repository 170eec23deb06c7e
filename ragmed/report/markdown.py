"""results.json, the samples and what is known of the run in, `report.md` and its figures out.

Every text that came from a file or a model is escaped: it can neither break a table nor become HTML, a link or an
image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed.files import write_atomic
from ragmed.records import STATUSES, Sample
from ragmed.report import tuning, wording
from ragmed.report.escaping import escape, table
from ragmed.report.examples import worked_examples
from ragmed.report.figures import TRAINING, write_figures

__all__ = ["answer", "escape", "render_report", "table", "write_report"]

Samples = Mapping[tuple[str, str], Sequence[Sample]]


def write_report(
    results: Mapping[str, Any], *, run_info: Mapping[str, Any], samples: Samples, folder: Path, mode: int = 0o644
) -> Path:
    """
    >>> write_report(results, run_info=info, samples=samples, folder=Path("runs/trial/report"))  # doctest: +SKIP
    PosixPath('runs/trial/report/report.md')

    Writes the figures, then the page, each whole or not at all. `run_info`: what made the run (models, index,
    versions, hardware, seeds), shown as it is. `mode`: permissions of the files; give 0o600 for restricted data.
    """
    figures = write_figures(results, folder, adapters=tuning.adapters_of(run_info), mode=mode)
    page = folder / "report.md"
    text = render_report(results, run_info=run_info, samples=samples, figures=[path.name for path in figures])
    write_atomic(page, text, mode=mode)
    return page


def render_report(
    results: Mapping[str, Any], *, run_info: Mapping[str, Any], samples: Samples, figures: Sequence[str] = ()
) -> str:
    """The page as text. `figures`: names of the files that lie beside it."""
    parts = [
        f"# {escape(results['run'])}: which arm is better?",
        *([escape(asked)] if (asked := dict(run_info.get("experiment", {})).get("question")) else []),
        _question(results),
        *_answers(results),
        *(escape(_capital(note)) for note in results.get("corpora_notes", [])),
        *tuning.tuning_and_retrieval(results),
        "## Scores",
        *_scores(results),
        "## Differences",
        *_contrasts(results),
        *(f"![{_ALT.get(name, name)}]({name})" for name in figures if name not in TRAINING),
        *tuning.training(run_info, [name for name in figures if name in TRAINING]),
        "## Baselines",
        *_baselines(results),
        *tuning.what_it_cost(results),
        "## Costs",
        *_costs(results),
        "## Examples",
        *_examples(results, samples),
        "## How it was made",
        *_made(results, run_info),
    ]
    return "\n\n".join(parts) + "\n"


_LOSSES = re.compile(r"references\.adapters\..*\.losses\.\d+\.")  # hundreds of them, and the figure shows them
_ALT = {
    "scores.png": "Scores of every arm with 95 % intervals",
    "contrasts.png": "Differences between arms with 95 % intervals and the margin",
}


def _question(results: Mapping[str, Any]) -> str:
    return (
        f"For each task: is an arm better than the arm it is compared with, and how sure is that? The control is "
        f"**{escape(results['baseline'])}**. Arms answered the same examples. A difference counts as shown when p, "
        f"adjusted for all {results['family']} contrasts of this run, is below {results['alpha']:g} and the 95 % "
        f"interval excludes 0; arms count as equivalent when the interval lies within "
        f"{wording.margin(results['margin'])} on either side of 0."
    )


def _capital(note: str) -> str:
    return note[:1].upper() + note[1:]


def _answers(results: Mapping[str, Any]) -> Iterator[str]:
    for task in wording.task_names(results):
        rows = wording.of_task(results["contrasts"], task)
        said = [f"- {answer(row)}" for row in rows] or [f"- On **{escape(task)}** no two arms were compared."]
        yield "\n".join(said)


def answer(row: wording.Row) -> str:
    """One contrast as a sentence that claims what its verdict allows, and no more."""
    where = f"On **{escape(row['task'])}** ({escape(row['metric'])})"
    arm, control = f"**{escape(row['arm'])}**", f"**{escape(row['baseline'])}**"
    if row["difference"] is None:
        return (
            f"{where} nothing can be told of {arm} and {control}: no example is left that both arms have a score for."
        )
    said = {
        "better": f"{arm} is {wording.verdict(row)} than {control}",
        "worse": f"{arm} is {wording.verdict(row)} than {control}",
        "equivalent": f"{arm} and {control} are {wording.verdict(row)}",
        "cannot-tell": f"it cannot be told whether {arm} and {control} differ, nor that they are the same within "
        f"{wording.margin(row['margin'])}",
    }[row["verdict"]]
    numbers = (
        f"{wording.fraction(row['arm_value'])} vs {wording.fraction(row['baseline_value'])}, difference "
        f"{wording.points(row['difference'])} points {wording.points_span(row['ci'])}, "
        f"adjusted p {wording.p_value(row['p_adjusted'])}, n {row['n']}"
    )
    if row["fixed"] is not None:
        numbers += f"; {arm} fixed {row['fixed']} and broke {row['broke']}"
    if wording.corpora_mark(row):
        numbers += f"; **{wording.corpora_mark(row)}**"
    return f"{where} {said}: {numbers}."


def _scores(results: Mapping[str, Any]) -> Iterator[str]:
    header = ["task", "metric", "arm", "score", "95 % interval", "n", *STATUSES]
    rows = [
        [row["task"], row["metric"], row["arm"], wording.fraction(row["value"]), wording.span(row["ci"]), row["n"]]
        + [row["status"].get(status, 0) for status in STATUSES]
        for row in results["scores"]
    ]
    yield table(header, rows, numbers=(3, *range(5, 6 + len(STATUSES)))) if rows else "No arm has a score."
    if results.get("not_run"):
        names = (f"{escape(row['arm'])} on {escape(row['task'])}" for row in results["not_run"])
        yield f"Not run: {', '.join(names)}."


def _contrasts(results: Mapping[str, Any]) -> Iterator[str]:
    header = ["task", "metric", "arm", "against", "points", "95 % interval", "n", "test", "p", "adjusted p"]
    header += ["fixed", "broke", "verdict"]
    rows = [
        [
            *(row[key] for key in ("task", "metric", "arm", "baseline")),
            wording.points(row["difference"]),
            wording.points_span(row["ci"]),
            row["n"],
            row["test"],
            *(wording.p_value(row[key]) for key in ("p", "p_adjusted")),
            *(wording.count(row[key]) for key in ("fixed", "broke")),
            wording.marked(row),
        ]
        for row in results["contrasts"]
    ]
    yield table(header, rows, numbers=(4, 6, 8, 9, 10, 11)) if rows else "No two arms were compared."
    yield "fixed: wrong under the arm compared with and right under this one; broke: the reverse."


def _baselines(results: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        [
            *(row[key] for key in ("task", "metric", "name")),
            wording.fraction(row["value"]),
            wording.span(row.get("ci")),
            row.get("n", ""),
            wording.not_answered(row["status"]) if row.get("status") else "",
        ]
        for row in results["baselines"]
    ]
    header = ["task", "metric", "baseline", "value", "95 % interval", "n", "not answered"]
    yield table(header, rows, numbers=(3, 5)) if rows else "No task here has a baseline that needs no model."


def _costs(results: Mapping[str, Any]) -> Iterator[str]:
    tokens = ["input_tokens", "output_tokens"]
    if any(row.get("thinking_tokens") for row in results["costs"]):
        tokens.append("thinking_tokens")  # part of the output tokens
    keys = ("task", "arm", *tokens)
    rows = [[*(row[key] for key in keys), f"{row['seconds']:.1f}"] for row in results["costs"]]
    header = ["task", "arm", *(key.replace("_", " ") for key in tokens), "seconds"]
    yield table(header, rows, numbers=tuple(range(2, len(header))))


def _examples(results: Mapping[str, Any], samples: Samples) -> Iterator[str]:
    nothing = True
    for example in worked_examples(results, samples):
        nothing = False
        lines = [
            f"### {escape(example.task)}: {escape(example.kind)}",
            f"Example `{_code(example.id)}`, **{escape(example.arm)}** against **{escape(example.baseline)}** "
            f"({escape(example.metric)}).",
            f"Asked: {escape(example.question.removeprefix('Question: '))}",
            f"Expected: {escape(example.gold)}",
            "\n".join(
                f"- **{escape(name)}** ({escape(outcome)}): {escape(text)}"
                + (f" — passages: {escape('; '.join(passages))}" if passages else "")
                for name, outcome, text, passages in example.answers
            ),
        ]
        yield "\n\n".join(lines)
    if nothing:
        yield "No example has a different outcome under the arms that were compared."


def _code(text: str) -> str:
    """For a code span: only what cannot end it."""
    return "".join(c if c.isprintable() and c not in "`|<>&" else "?" for c in text)


def _made(results: Mapping[str, Any], run_info: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"What a sample that is not answered counts as: {escape(wording.policy(results['policy']))}. Seed of the "
        f"resampling: {results['seed']}, with {results['resamples']} resamples."
    )
    yield "\n".join(f"- {escape(note)}" for note in results["notes"])
    named = {name: text for name, text in _flat(run_info) if not _LOSSES.match(name)}
    rows = [
        [name, text]
        for name, text in named.items()
        # the identity repeats much of the experiment, and a setting that is empty says nothing
        if text and not (name.startswith("identity.") and name.replace("identity.", "experiment.", 1) in named)
    ]
    yield table(["what", "value"], rows) if rows else "Nothing is recorded of what made this run."


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested values by their dotted names, so that nothing of the record is left out."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{place}")
    elif name:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
