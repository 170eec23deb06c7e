"""`ragmed retrieve`: what the retrievers of a config find, without a language model."""

from __future__ import annotations

from pathlib import Path

import click

from ragmed.workspace import Workspace

from .options import say, say_json


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), help="At most so many examples a task.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="A folder for TREC runs and qrels.")
@click.option("--queries", "run", default="", metavar="RUN", help="The run that holds the queries that models wrote.")
@click.option("--json", "as_json", is_flag=True, help="The measures as data.")
@click.pass_obj
def retrieve(
    workspace: Workspace, /, config: Path, limit: int | None, output: Path | None, run: str, as_json: bool
) -> None:
    """How well do the retrievers of CONFIG rank? Loads no language model.

    nDCG, recall and MRR with intervals where tasks name gold documents, and the time of a query. What is measured is
    what the retriever finds, before any budget of a prompt. Arms with `query: hyde` or `query: rewrite` take the
    queries that their models wrote in a run (--queries).

    \b
    Example:
      ragmed retrieve configs/quickstart.yaml --output out
    """
    from ragmed.checked import dump
    from ragmed.experiments.config import load_experiment
    from ragmed.integrations.retrieved import render_retrieved, retrieve_experiment

    experiment = load_experiment(config).only(limit=limit or 0)
    outcome = retrieve_experiment(experiment, workspace=workspace, output=output, written_in=run)
    if as_json:
        say_json([dump(row) for row in outcome.rows])
    else:
        say(render_retrieved(outcome))
