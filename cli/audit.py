"""`ragmed audit`: which examples stand in what the arms look up or were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ragmed.workspace import Workspace

from .options import named, say, say_json


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@named("-t", "--tasks", help="Only these of its tasks, separated by commas.")
@click.option(
    "-L", "--limit", type=click.IntRange(1), help="At most so many examples a task, as `ragmed eval --limit`."
)
@click.option("--ngram", type=click.Choice(["8", "13"]), default="8", show_default=True, help="Words an n-gram.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="The share of a question's n-grams in one text from which it counts as leaked.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="The cosine from which a nearest passage or training question is shown.",
)
@click.option("--embeddings/--no-embeddings", default=True, help="Whether nearest passages are looked for.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder; default: eval's.")
@click.option("--json", "as_json", is_flag=True, help="The contents of audit.json.")
@click.pass_obj
def audit(
    workspace: Workspace,
    /,
    config: Path,
    tasks: tuple[str, ...],
    limit: int | None,
    ngram: str,
    output: Path | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Find the examples that stand in what the arms of CONFIG look up or were tuned on. Calls no model.

    Writes audit.json into the run's folder, whether the run is there yet or not; `ragmed compare` then shows every
    score with and without the leaked examples.

    \b
    Example:
      ragmed audit configs/quickstart.yaml
      ragmed audit configs/mirage-small.yaml --tasks pubmedqa,bioasq --ngram 13
      ragmed audit configs/mirage-small.yaml --no-embeddings --json
    """
    from ragmed.audit.check import AuditSettings, audit_experiment
    from ragmed.audit.table import render_audit
    from ragmed.experiments.config import load_experiment

    settings = AuditSettings(ngram=int(ngram), **rest)
    contents, path = audit_experiment(
        load_experiment(config), workspace=workspace, output=output, settings=settings, tasks=tasks, limit=limit or 0
    )
    if as_json:
        say_json(contents)
    else:
        say(render_audit(contents), nl=False)
        say(f"audit: {path}")
