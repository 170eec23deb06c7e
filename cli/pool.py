"""`ragmed pool`: several studies' differences made one; it calls no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import say

if TYPE_CHECKING:
    from ragmed.workspace import Workspace


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--policy",
    type=click.Choice(["wrong", "drop"]),
    help="What an answer that cannot be read counts as; default: the file's.",
)
@click.option("--json", "as_json", is_flag=True, help="The numbers as JSON.")
@click.pass_obj
def pool(workspace: Workspace, file: Path, policy: str | None, as_json: bool) -> None:
    """What several studies show together: risk differences, pooled with random effects.

    FILE names runs and the pairs of arms whose differences are pooled (YAML):

    \b
      title: What tuning does
      studies:
        one: {run: released-a, task: medqa, pairs: [[general, tuned]]}
        two: {run: released-b, pairs: [[general, tuned], [large, large-tuned]]}

    \b
    Example:
      ragmed pool studies.yaml
      ragmed pool studies.yaml --policy drop
    """
    from ragmed.checked import dump
    from ragmed.experiments.pool import pool_studies
    from ragmed.report.studies import render_studies

    title, found = pool_studies(file, workspace=workspace, policy=policy or "")
    if as_json:
        click.echo(json.dumps({"title": title, **dump(found)}, ensure_ascii=True, indent=1))
    else:
        say(render_studies(title, found))
