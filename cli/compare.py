"""`ragmed compare` and `ragmed report`: from stored samples; they call no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ragmed.workspace import Workspace

PRICE = click.FloatRange(min=0)
BASELINE = "The arm that the others are compared with; default: the run's."
MARGIN = "Differences within it count as equivalent, as a fraction."
POLICY = "What an answer that cannot be read counts as: wrong, drop or mirage (for all tasks)."
CORRECTION = "What adjusts p for many contrasts: holm (the default) or benjamini-hochberg."


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--baseline", help=BASELINE)
@click.option("--margin", type=click.FloatRange(0, 1), help=MARGIN)
@click.option("--policy", help=POLICY)
@click.option("--correction", help=CORRECTION)
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
    from ragmed.experiments.results import Rules, compare_runs
    from ragmed.report.terminal import render_table
    from ragmed.runs import find_run

    found = [find_run(workspace.runs, r, packed=True) for r in runs]
    rules = Rules(baseline=baseline, margin=margin, policy=policy, correction=correction, prices=Prices(**price))
    results = compare_runs(found, rules)
    click.echo(json.dumps(results, ensure_ascii=False, indent=1) if as_json else render_table(results))


@click.command()
@click.argument("run")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default RUN/report.")
@click.option("--baseline", help=BASELINE)
@click.option("--margin", type=click.FloatRange(0, 1), help=MARGIN)
@click.option("--policy", help=POLICY)
@click.option("--correction", help=CORRECTION)
@click.pass_obj
def report(workspace: Workspace, run: str, output: Path | None, **rules: Any) -> None:
    """Write results.json and the page of a RUN again: a folder whose index.html opens from disk.

    With other rules than the run's config declares, the page alone, into a folder of its own.

    \b
    Example:
      ragmed report quickstart
      ragmed report quickstart --policy drop --output ~/quickstart-dropped
    """
    from ragmed.experiments.results import Rules, report_run
    from ragmed.runs import find_run

    other = Rules(**rules) if any(value is not None for value in rules.values()) else None
    click.echo(report_run(find_run(workspace.runs, run), folder=output, rules=other))
