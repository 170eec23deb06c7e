"""`ragmed score`: stored answers in, their scores computed again out; it calls no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import RUN, say

if TYPE_CHECKING:
    from ragmed.runs import Run
    from ragmed.workspace import Workspace


@click.command()
@RUN
@click.option("--task", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--metric", "metrics", multiple=True, help="Only this metric, the others stay; may be repeated.")
@click.option(
    "--model",
    default="",
    help="What measures: path:FOLDER, hf:ORG/NAME@REVISION, or (unsupported) lexical.",
)
@click.option("--layer", type=click.IntRange(min=1), help="The layer whose vectors bertscore takes.")
@click.option("--lexicon", default="", help="Concepts and terms, for concept_f1: a TSV file.")
@click.option("--table", default="", help="The ICD-10-CM table, for valid_codes.")
@click.pass_obj
def score(workspace: Workspace, run: Run, tasks: tuple[str, ...], metrics: tuple[str, ...], **named: Any) -> None:
    """Read the stored answers of a RUN again, and measure them again. No model is asked.

    `compare` and `report` make scores that are missing or stale by themselves. What another program scored and nobody
    here can score again stays as it was imported.

    \b
    Example:
      ragmed score quickstart
      ragmed score quickstart --task handbook-notes --metric rouge_l
      ragmed score quickstart --metric bertscore --model path:models/minilm --layer 6
    """
    from ragmed.scores import name_resources, score_run, settings_of

    with run.held():
        name_resources(run, settings_of(metrics, named), workspace)
        for line in score_run(run, tasks=tasks, metrics=metrics):
            say(line)
