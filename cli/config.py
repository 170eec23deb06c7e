"""`ragmed config`: what a config may hold, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def config() -> None:
    """The keys of a config.

    \b
    Example:
      ragmed config schema
    """


@config.command("schema")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
def config_schema(output: Path | None) -> None:
    """The JSON Schema of a config: every key, its type, its bounds, its default.

    An editor with a YAML language server completes and checks a config whose first line names the schema:
    `# yaml-language-server: $schema=schema.json`.

    \b
    Example:
      ragmed config schema --output configs/schema.json
    """
    from ragmed.experiments.config import config_schema
    from ragmed.files import write_atomic

    text = json.dumps(config_schema(), ensure_ascii=False, indent=1)
    if output:
        write_atomic(output, text + "\n")
    else:
        click.echo(text)
