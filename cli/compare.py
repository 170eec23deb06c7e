"""`ragmed compare` and `ragmed report`: from stored samples; they call no model."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import PRICES, RULES, RUN, StoredRun, exit_without_verdict

if TYPE_CHECKING:
    from ragmed.runs import Run
    from ragmed.workspace import Workspace


@click.command()
@click.argument("runs", nargs=-1, required=True, type=StoredRun(packed=True))
@RULES
@PRICES
@click.option("--json", "as_json", is_flag=True, help="The contents of results.json.")
def compare(runs: tuple[Run, ...], as_json: bool, **given: Any) -> None:
    """Which arm does better, and how sure that is. Several RUNS are compared as arms of one.

    With prices, also from how many questions on tuning costs less than retrieving. What is not priced in the command
    is priced as in the run's config.

    \b
    Example:
      ragmed compare quickstart --margin 0.03
      ragmed compare llama mistral --baseline llama/general --json
      ragmed compare imported --reader mirage --correction benjamini-hochberg
      ragmed compare quickstart --price-hour 1.80 --currency EUR
    """
    from ragmed.checked import dump
    from ragmed.comparison.costs.prices import Prices
    from ragmed.experiments.results import Rules, compare_runs
    from ragmed.report.terminal import render_table

    prices = Prices(**{field.name: given.pop(field.name) for field in fields(Prices)})
    rules = Rules(**given | {"reader": given["reader"] or "", "prices": prices})
    results = compare_runs(runs, rules)
    click.echo(json.dumps(dump(results), ensure_ascii=False, indent=1) if as_json else render_table(results))
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
    click.echo(report_run(run, folder=output, rules=other, workspace=workspace))
