"""`ragmed score`: stored answers in, their scores computed again out; it calls no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import RUN, say

if TYPE_CHECKING:
    from ragmed.runs import Run


@click.command()
@RUN
@click.option("--task", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--metric", "metrics", multiple=True, help="Only this metric, the others stay; may be repeated.")
def score(run: Run, tasks: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Read the stored answers of a RUN again, and measure them again. No model is asked.

    `compare` and `report` make scores that are missing or stale by themselves. What another program scored and nobody
    here can score again stays as it was imported.

    \b
    Example:
      ragmed score quickstart
      ragmed score quickstart --task handbook-notes --metric rouge_l
    """
    from ragmed.scores import score_run

    with run.held():
        for line in score_run(run, tasks=tasks, metrics=metrics):
            say(line)
