"""`ragmed doctor`: what this machine can do."""

from __future__ import annotations

import click

from ragmed.workspace import Workspace

from .options import say


@click.command()
@click.pass_obj
def doctor(workspace: Workspace) -> None:
    """FAISS, torch, GPUs, models at hand, and environment variables that could let data out.

    \b
    Example:
      ragmed doctor
    """
    from ragmed.doctor import examine

    for finding in examine(workspace):
        say(f"{finding.level:<8} {finding.about:<14} {finding.text}")
