"""`ragmed plan`: what an experiment can show and what it takes, before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ragmed.workspace import Workspace

from .options import PRICES, StoredRun, say, say_json

if TYPE_CHECKING:
    from ragmed.runs import Run


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("-L", "--limit", type=click.IntRange(1), help="At most so many examples a task, as in `ragmed eval`.")
@click.option("-n", "n", type=int, help="So many examples a task, instead of those it has.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Chance of the verdict, if it is true.")
@click.option("--discordance", type=float, help="Share of examples that one arm alone gets right; 0.25 is assumed.")
@click.option("--sd", type=float, help="Of graded scores' paired differences; 0.25 is assumed.")
@click.option("--icc", type=float, help="How alike the differences within a group are, 0 to 1; 0 is assumed.")
@click.option("--pilot", type=StoredRun(), help="A stored run that says how often arms differ, and what they cost.")
@click.option("--difference", type=float, help="Say how many examples it needs; a fraction. Default: the margin.")
@click.option("--tokens-per-second", type=float, help="Read and written, for the time that no pilot has measured.")
@PRICES
@click.option("--json", "as_json", is_flag=True, help="The plan as data.")
@click.pass_obj
def plan(
    workspace: Workspace, /, config: Path | None, limit: int | None, pilot: Run | None, as_json: bool, **given: Any
) -> None:
    """What can this experiment show, and what will it take? Loads no weights and asks no model.

    With a CONFIG, for its tasks and arms. Without one, what -n examples of one right/wrong task can show.

    \b
    Example:
      ragmed plan configs/quickstart.yaml
      ragmed plan configs/quickstart.yaml --limit 20
      ragmed plan configs/quickstart.yaml --pilot quickstart-limit-20 --price-hour 1.80 --currency EUR
      ragmed plan -n 70 --discordance 0.3
    """
    from ragmed.planning.plan import assumptions, plan_examples, plan_experiment
    from ragmed.planning.table import render_plan

    asked = assumptions(given)
    if config is None:
        if pilot or asked.n is None:
            raise click.UsageError("name a config, or a number of examples: ragmed plan -n 70 --discordance 0.3")
        if limit:
            raise click.UsageError("--limit is for the tasks of a config; without one, -n says how many examples")
        outcome = plan_examples(asked.n, asked)
    else:
        from ragmed.experiments.config import load_experiment

        experiment = load_experiment(config).only(limit=limit or 0)
        outcome = plan_experiment(experiment, workspace=workspace, given=asked, pilot=pilot)
    if as_json:
        say_json(outcome)
    else:
        say(render_plan(outcome), nl=False)
