"""`ragmed eval`: the trial, from a config or from flags."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ragmed.workspace import Workspace

from .options import exit_without_verdict, named, say

if TYPE_CHECKING:
    from ragmed.experiments.config import Experiment


class EitherDash(click.Command):
    """`--num_fewshot` is `--num-fewshot`: both are typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_dashed(arg) for arg in args])


def _dashed(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, mark, value = word.partition("=")
    return name.replace("_", "-") + mark + value


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("a number of examples, or a fraction below 1")
    return value


FILE_ONLY = ("arms",)
FLAGS_ONLY = (
    *("model", "model_args", "index", "k", "num_fewshot", "batch_size", "seed", "gen_kwargs", "system_instruction"),
    *("scoring", "device", "save_config"),
)
LIMIT = "At most so many examples a task, or a fraction of them below 1; kept as a run of its own."


@click.command("eval", cls=EitherDash)
@click.argument("config", type=click.Path(path_type=Path), required=False)
@named("-t", "--tasks", help="Tasks, separated by commas; with CONFIG, only these of its.")
@click.option("-L", "--limit", type=click.FloatRange(0, min_open=True), callback=_finite, help=LIMIT)
@click.option("-o", "--output", "--output-path", type=click.Path(path_type=Path, file_okay=False), help="Run folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, with a prompt of each arm; call no model.")
@click.option(
    "--retry-errors/--no-retry-errors",
    default=None,
    help="Ask samples that ended in an error again, of every model or of none; unless said, those of servers.",
)
@click.option("--restart", is_flag=True, help="Ask everything again; the run that is there is kept under another name.")
@named("--arms", help="With CONFIG: only these, separated by commas.")
@click.option("-m", "--model", help="A model's name (`ragmed models list`), or hf, vllm, local-chat-completions.")
@click.option("-a", "--model-args", help="key=value,…: pretrained, revision, peft, dtype, base_url, num_concurrent …")
@click.option("-i", "--index", help="An index: its passages make a second arm, which is compared with the first.")
@click.option("-k", type=click.IntRange(1), help="How many passages are shown; 5 unless set.")
@click.option("-f", "--num-fewshot", type=click.IntRange(0), help="Few-shot examples before each question.")
@click.option("-b", "--batch-size", help="For servers: requests at a time. Elsewhere prompts are batched by length.")
@click.option("--seed", help="Decides which examples are asked and shown; sent to servers.")
@click.option("--gen-kwargs", help="key=value,… or JSON: temperature, top_p, max_gen_toks.")
@click.option("--system-instruction", help="Words before the task's own in the system message.")
@click.option("--scoring", help="letters, option-text or generate; letters where log-likelihoods can be had.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, map.")
@click.option("--save-config", type=click.Path(path_type=Path, dir_okay=False), help="Write the config that does this.")
@click.option("-s", "--log-samples", is_flag=True, help="Nothing to switch on: every sample is kept.")
@click.option("--apply-chat-template", is_flag=False, flag_value="", help="Nothing to switch on: always applied.")
@click.option("--fewshot-as-multiturn", is_flag=False, flag_value="", help="Nothing to switch on: always so.")
@click.pass_context
def evaluate(context: click.Context, config: Path | None, output: Path | None, dry_run: bool, **given: Any) -> None:
    """Ask every arm the same questions, compare the arms, write the report. Resumes where it was stopped.

    With a CONFIG, or without one, by the flags of lm-evaluation-harness (with - or _):

    \b
    Example:
      ragmed eval configs/quickstart.yaml
      ragmed eval configs/mirage-small.yaml --tasks pubmedqa --limit 20
      ragmed eval -m packaged:smollm2-135m -t handbook-questions -i handbook -k 3
      ragmed eval --model hf --model_args pretrained=ORG/NAME,dtype=bfloat16 --tasks medqa --num_fewshot 5
      ragmed eval -m endpoint:http://127.0.0.1:8000/v1#NAME -t medqa --batch_size 16 --save-config my.yaml
    """
    from ragmed.experiments.trial import dry_run as preview
    from ragmed.experiments.trial import run_experiment
    from ragmed.report.terminal import render_table

    workspace: Workspace = context.obj
    if given["apply_chat_template"]:
        raise click.UsageError("--apply-chat-template takes no name here: the model's own template is always applied")
    experiment = _from_file(config, given) if config else _from_flags(given, workspace)
    if dry_run:
        say(preview(experiment, workspace=workspace))
        return
    limited = config and given["limit"]
    folder = output or workspace.runs / (f"{experiment.name}-limit-{given['limit']:g}" if limited else experiment.name)
    results = run_experiment(
        experiment, workspace=workspace, output=folder, retry_errors=given["retry_errors"], restart=given["restart"]
    )
    say(render_table(results))
    say(f"page: {folder / 'report' / 'index.html'}")
    exit_without_verdict(results)


def _from_file(config: Path, given: dict[str, Any]) -> Experiment:
    from ragmed.experiments.config import load_experiment

    for name in FLAGS_ONLY:
        if given[name] is not None:
            flag = "-k" if name == "k" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} and a config were given: write it into '{config}', or leave the config out")
    return load_experiment(config).only(given["arms"], given["tasks"], given["limit"] or 0)


def _from_flags(given: dict[str, Any], workspace: Workspace) -> Experiment:
    from ragmed.experiments.config import make_experiment, save_config
    from ragmed.experiments.flags import Flags, config_from_flags

    if given["arms"]:
        raise click.UsageError("--arms chooses among the arms of a config; without one, -i INDEX makes the second arm")
    if not given["model"]:
        raise click.UsageError("name a config, or a model and tasks: ragmed eval -m packaged:smollm2-135m -t medqa")
    known = {name: given[name] for name in (*FLAGS_ONLY, "tasks", "limit") if given[name] is not None}
    saved = known.pop("save_config", None)
    flags = Flags(**known)
    raw = config_from_flags(flags, workspace=workspace)
    experiment = make_experiment(raw, default_name="eval", where="the flags")
    for note in flags.notes:
        say(f"note: {note}", err=True)
    if saved:
        save_config(raw, saved)
        say(f"config: {saved}")
    return experiment
