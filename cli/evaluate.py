"""`ragmed eval`: the trial."""

from __future__ import annotations

from pathlib import Path

import click

from ragmed.workspace import Workspace


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


@click.command("eval")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--arms", callback=_names, help="Only these, separated by commas.")
@click.option("--tasks", callback=_names, help="Only these, separated by commas.")
@click.option("--limit", type=click.IntRange(1), help="At most so many examples a task; kept as a run of its own.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder; default runs/NAME.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, with a prompt of each arm; call no model.")
@click.pass_obj
def evaluate(
    workspace: Workspace,
    config: Path,
    arms: tuple[str, ...],
    tasks: tuple[str, ...],
    limit: int | None,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Ask every arm the same questions, compare the arms, write the report. Goes on where it was stopped.

    \b
    Example:
      ragmed eval configs/quickstart.yaml
      ragmed eval configs/mirage-small.yaml --tasks pubmedqa --limit 20
    """
    from ragmed.experiments.config import load_experiment
    from ragmed.experiments.trial import dry_run as preview
    from ragmed.experiments.trial import run_experiment
    from ragmed.report.terminal import render_table

    experiment = load_experiment(config).only(arms, tasks, limit or 0)
    if dry_run:
        click.echo(preview(experiment, workspace=workspace))
        return
    folder = output or workspace.runs / (f"{experiment.name}-limit-{limit}" if limit else experiment.name)
    results = run_experiment(experiment, workspace=workspace, output=folder)
    click.echo(render_table(results))
    click.echo(f"report: {folder / 'report' / 'report.md'}")
