"""Edits of a run's records by somebody who knows of the checksums, so that what else is wrong is seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ragmed.checksums import KEY, sealed_line
from ragmed.files import write_atomic
from ragmed.stored import info_text


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    bare = [{key: value for key, value in record.items() if key != KEY} for record in records]
    path.write_text("".join(map(sealed_line, bare)), "utf-8")


def edit_lines(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """`change` alters the list of records in place."""
    records = read_lines(path)
    change(records)
    write_lines(path, records)


def edit_info(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """`change` alters the mapping of a run.json in place."""
    info = json.loads(path.read_text("utf-8"))
    change(info)
    write_atomic(path, info_text(info))
