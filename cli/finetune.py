"""`ragmed finetune`."""

from __future__ import annotations

from pathlib import Path

import click

from ragmed.workspace import Workspace

from .options import say


@click.command()
@click.argument("config")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default adapters/NAME.")
@click.option("--restart", is_flag=True, help="Start again, and replace what is there.")
@click.option("--merge", type=click.Path(path_type=Path, file_okay=False), help="Write base and adapter as one model.")
@click.option("--dry-run", is_flag=True, help="Texts, overlap check, tokens and steps; trains nothing.")
@click.pass_obj
def finetune(
    workspace: Workspace, config: str, output: Path | None, restart: bool, merge: Path | None, dry_run: bool
) -> None:
    """Corpus to LoRA adapter: the references of an index, put into the weights. Resumes where it was stopped.

    CONFIG is the name of a recipe in adapters/, or the path of one. Several GPUs: torchrun --nproc-per-node N -m
    ragmed.cli.main finetune CONFIG.

    \b
    Example:
      ragmed finetune handbook-2031 --dry-run
      ragmed finetune handbook-2031
      ragmed finetune handbook-2031 --merge models/handbook-2031
    """
    from ragmed.finetuning.build import finetune as train
    from ragmed.finetuning.describe import describe_manifest, preview
    from ragmed.finetuning.merge import merge_adapter, require_free
    from ragmed.finetuning.progress import bars

    if merge:
        require_free(merge)
    if dry_run:
        say(preview(config, workspace=workspace))
        return
    manifest, fresh = train(config, workspace=workspace, output=output, restart=restart, bars=bars)
    say(describe_manifest(manifest))
    if not fresh:
        say("it was trained before, and nothing has changed since")
    model = f"{manifest['base']['name']}+adapter:{output or manifest['name']}"
    say(f"as a model: {model}")
    if merge:
        folder = merge_adapter(model, merge, workspace=workspace)
        say(f"merged: {folder}, to be named as path:{folder}")
