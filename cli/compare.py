"""`ragmed compare` and `ragmed report`: from stored samples; they call no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ragmed.workspace import Workspace

PRICE = click.FloatRange(min=0)


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--baseline", help="The arm that the others are compared with; default: the run's.")
@click.option("--margin", type=click.FloatRange(0, 1), help="Differences within it count as equivalent, as a fraction.")
@click.option("--policy", help="What an answer that cannot be read counts as: wrong, drop or mirage (for all tasks).")
@click.option("--correction", help="What adjusts p for many contrasts: holm (the default) or benjamini-hochberg.")
@click.option("--price-hour", "machine_hour", type=PRICE, default=0.0, help="An hour of the machine.")
@click.option("--price-input", "million_input_tokens", type=PRICE, default=0.0, help="A million input tokens.")
@click.option(
    "--price-output",
    "million_output_tokens",
    type=click.FloatRange(min=0),
    default=0.0,
    help="A million output tokens.",
)
@click.option("--currency", default="", help="What the prices are in, such as EUR; prices unsaid are the config's.")
@click.option("--json", "as_json", is_flag=True, help="The contents of results.json.")
@click.pass_obj
def compare(
    workspace: Workspace,
    runs: tuple[str, ...],
    baseline: str | None,
    margin: float | None,
    policy: str | None,
    correction: str | None,
    as_json: bool,
    **price: Any,
) -> None:
    """Which arm does better, and how sure that is. Several RUNS are compared as arms of one.

    With prices, also from how many questions on tuning costs less than retrieving. What is not priced in the command
    is priced as in the run's config.

    \b
    Example:
      ragmed compare quickstart --margin 0.03
      ragmed compare llama mistral --baseline llama/general --json
      ragmed compare imported --policy mirage --correction benjamini-hochberg
      ragmed compare quickstart --price-hour 1.80 --currency EUR
    """
    from ragmed.comparison.prices import Prices
    from ragmed.experiments.results import compare_runs
    from ragmed.report.terminal import render_table
    from ragmed.runs import find_run

    found = [find_run(workspace.runs, r, packed=True) for r in runs]
    results = compare_runs(
        found, baseline=baseline, margin=margin, policy=policy, correction=correction, prices=Prices(**price)
    )
    click.echo(json.dumps(results, ensure_ascii=False, indent=1) if as_json else render_table(results))


@click.command()
@click.argument("run")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default RUN/report.")
@click.pass_obj
def report(workspace: Workspace, run: str, output: Path | None) -> None:
    """Write results.json and the page of a RUN again: a folder whose index.html opens from disk.

    \b
    Example:
      ragmed report quickstart --output ~/quickstart-report
    """
    from ragmed.experiments.results import report_run
    from ragmed.runs import find_run

    click.echo(report_run(find_run(workspace.runs, run), folder=output))
