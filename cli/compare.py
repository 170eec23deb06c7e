"""`ragmed compare` and `ragmed report`: from stored samples; they call no model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ragmed.workspace import Workspace


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--baseline", help="The arm that the others are compared with; default: the run's.")
@click.option("--margin", type=click.FloatRange(0, 1), help="Differences within it count as equivalent, as a fraction.")
@click.option("--json", "as_json", is_flag=True, help="The contents of results.json.")
@click.pass_obj
def compare(
    workspace: Workspace, runs: tuple[str, ...], baseline: str | None, margin: float | None, as_json: bool
) -> None:
    """Which arm does better, and how sure that is. Several RUNS are compared as arms of one.

    \b
    Example:
      ragmed compare quickstart --margin 0.03
      ragmed compare llama mistral --baseline llama/general --json
    """
    from ragmed.experiments.results import compare_runs
    from ragmed.report.terminal import render_table
    from ragmed.runs import find_run

    results = compare_runs([find_run(workspace.runs, r) for r in runs], baseline=baseline, margin=margin)
    click.echo(json.dumps(results, ensure_ascii=False, indent=1) if as_json else render_table(results))


@click.command()
@click.argument("run")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default RUN/report.")
@click.pass_obj
def report(workspace: Workspace, run: str, output: Path | None) -> None:
    """Write the page of a RUN again: Markdown with figures.

    \b
    Example:
      ragmed report quickstart --output ~/quickstart-report
    """
    from ragmed.experiments.results import report_run
    from ragmed.runs import find_run

    click.echo(report_run(find_run(workspace.runs, run), folder=output))
