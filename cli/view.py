"""`ragmed view`: the pages of runs, in a browser on this machine."""

from __future__ import annotations

from functools import partial

import click

from ragmed.workspace import Workspace


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
@click.pass_obj
def view(workspace: Workspace, runs: tuple[str, ...], port: int, no_browser: bool) -> None:
    """Serve the pages of RUNS on this machine (127.0.0.1), with a list, until Ctrl-C.

    The address holds a random token; who knows it can read the pages. A page that is missing or older than its run is
    written first. A browser opens where there is a screen, unless a run holds data that is not open: programs show
    their arguments to all users of a machine.

    \b
    Example:
      ragmed view quickstart finetune-vs-rag
    """
    from ragmed.experiments.viewing import cards, serve
    from ragmed.runs import find_run

    found = cards([find_run(workspace.runs, run) for run in runs], say=partial(click.echo, err=True))
    serve(found, port=port, browser=not no_browser, say=click.echo)
