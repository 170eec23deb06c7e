"""`ragmed compare` and `ragmed report`: from stored samples; they call no model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .options import PRICES, RULES, RUN, StoredRun, exit_without_verdict, say, say_json

if TYPE_CHECKING:
    from ragmed.runs import Run
    from ragmed.workspace import Workspace


CONDITION_HOLDS = 6
"""The exit code of `--fail-if`; 1 to 5 say that there is no result."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=StoredRun(packed=True))
@RULES
@PRICES
@click.option(
    "--join",
    type=click.Choice(["id", "text"]),
    default="id",
    show_default=True,
    help="By what questions of several RUNS are the same. text: by their words and options, whatever ids and task "
    "names they have; two golds for one question are refused.",
)
@click.option("--json", "as_json", is_flag=True, help="The contents of results.json.")
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit code 6 where it holds on any task, such as 'rag worse than closed' or 'rag not better than closed on "
    "medqa'. May be repeated.",
)
def compare(
    runs: tuple[Run, ...], join: Literal["id", "text"], as_json: bool, conditions: tuple[str, ...], **given: Any
) -> None:
    """Which arm does better, and how sure that is. Several RUNS are compared as arms of one.

    With prices, also from how many questions on tuning costs less than retrieving. What is not priced in the command
    is priced as in the run's config.

    \b
    Example:
      ragmed compare quickstart --margin 0.03
      ragmed compare llama mistral --baseline llama/general --json
      ragmed compare mirage afrimed --join text
      ragmed compare imported --reader mirage --correction benjamini-hochberg
      ragmed compare quickstart --price-hour 1.80 --currency EUR
      ragmed compare quickstart --fail-if 'general+rag worse than general'
    """
    from ragmed.checked import dump
    from ragmed.comparison.conditions import Condition
    from ragmed.comparison.costs.prices import Prices
    from ragmed.experiments.results import Rules, compare_runs
    from ragmed.report.terminal import render_table
    from ragmed.text_table import printable

    asked = [Condition.of(text) for text in conditions]
    prices = Prices(**{field.name: given.pop(field.name) for field in fields(Prices)})
    rules = Rules(**given | {"reader": given["reader"] or "", "prices": prices})
    results = compare_runs(runs, rules, join=join)
    held = [(text, one.where(results.contrasts)) for text, one in zip(conditions, asked, strict=True)]
    if as_json:
        say_json(dump(results))
    else:
        say(render_table(results))
    if any(tasks for _, tasks in held):
        for text, tasks in held:
            if tasks:
                click.echo(f"ragmed: {printable(text)}: holds on {', '.join(map(printable, tasks))}", err=True)
        click.get_current_context().exit(CONDITION_HOLDS)
    exit_without_verdict(results)


@click.command()
@RUN
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default RUN/report.")
@RULES
@click.pass_obj
def report(workspace: Workspace, run: Run, output: Path | None, **rules: Any) -> None:
    """Write results.json and the page of a RUN again: a folder whose index.html opens from disk.

    With other rules than the run's config declares, the page alone, into a folder of its own.

    \b
    Example:
      ragmed report quickstart
      ragmed report quickstart --policy drop --output ~/quickstart-dropped
    """
    from ragmed.experiments.results import Rules, report_run

    given = {name: value for name, value in rules.items() if value is not None}
    other = Rules(**given) if given else None
    say(report_run(run, folder=output, rules=other, workspace=workspace))
