"""What loaders of tasks share: where a publisher's file lies, its lines with their places, one error for a bad record.

A loader of JSON Lines is then a function from a record to an example:

    def load(workspace: Workspace) -> Split:
        path = data_file(workspace, "scifact", "claims_train.jsonl", of="SciFact")
        return Split(tuple(examples_of(path, "SciFact claims", _example)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ragmed.errors import DataError
from ragmed.files import records
from ragmed.records import Example
from ragmed.tasks.task import Split
from ragmed.workspace import Workspace

Made = TypeVar("Made")
BAD_RECORD = (KeyError, TypeError, AttributeError, ValueError, IndexError)
"""What taking fields out of a record of another shape raises."""


def data_file(workspace: Workspace, *parts: str, of: str) -> Path:
    """The file at `parts` under RAGMED_DATA; DataError with the remedy where it is not there."""
    path = workspace.data.joinpath(*parts)
    if not path.exists():
        raise DataError(
            f"'{path}' does not exist: put {of}'s {parts[-1]} there, or set RAGMED_DATA to the folder that holds "
            f"{'/'.join(parts)}"
        )
    return path


def made(make: Callable[[Mapping[str, Any]], Made], record: Mapping[str, Any], where: str) -> Made:
    """What `make` makes of a record; DataError names the place and the field where it is of another shape."""
    try:
        return make(record)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except BAD_RECORD as error:
        raise DataError(f"{where}: missing or wrong field {error}") from error


def examples_of(path: Path, what: str, make: Callable[[Mapping[str, Any]], Made]) -> Iterator[Made]:
    """What `make` makes of every record of a JSON Lines file, in order; see `made`."""
    for where, record in records(path, what):
        yield made(make, record, where)


def split_of(
    paths: Iterable[Path],
    what: str,
    make: Callable[[Mapping[str, Any]], Example],
    *,
    keep: Callable[[Mapping[str, Any]], bool] = lambda record: True,
) -> Split:
    """The examples of files whose records name their `split`, test or dev. `keep`: which test records are scored."""
    splits: dict[str, list[Example]] = {"test": [], "dev": []}
    for where, record in (item for path in paths for item in records(path, what)):
        split = made(lambda given: splits[given["split"]], record, where)
        if record["split"] == "dev" or keep(record):
            split.append(made(make, record, where))
    return Split(tuple(splits["test"]), tuple(splits["dev"]))
