"""What loaders of tasks share: where a file lies, its records with their places, one error for a bad record.

A loader is then a function from a record to an example:

    def load(workspace: Workspace) -> Split:
        path = data_file(workspace, "openi", "validate.jsonl", of="Open-i")
        return Split(tuple(examples_of(json_records(path, "Open-i reports"), _example)))

Which examples are scored and which may be shown: `ragmed.tasks.splits`.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ragmed.checked import kind_found
from ragmed.errors import DataError
from ragmed.files import RepeatedKey, open_binary, parse_json, read_json, read_text, records, repeated, require_file
from ragmed.records import Example
from ragmed.tasks.task import Split
from ragmed.text_table import counted
from ragmed.workspace import Workspace

Made = TypeVar("Made")
BAD_RECORD = (KeyError, TypeError, AttributeError, ValueError, IndexError)
"""What taking fields out of a record of another shape raises."""
MOST_CELL = 8 * 1024 * 1024  # of a CSV; the longest discharge summary has 60,000 characters
REMEDY = "correct it, or fetch the file again"
_REMEDIES = re.compile(r"; (?:correct|fetch|keep|take|convert|run) ")


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
    """What `make` makes of a record; DataError names the place, the field and the remedy where it cannot be used."""
    try:
        return make(record)
    except DataError as error:
        raise DataError(f"{where}: {_with_remedy(str(error))}") from error
    except BAD_RECORD as error:
        raise DataError(f"{where}: missing or wrong field {error}; {REMEDY}") from error


def _with_remedy(said: str) -> str:
    return said if _REMEDIES.search(said) else f"{said}; {REMEDY}"


def examples_of(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    make: Callable[[Mapping[str, Any]], Example | tuple[Example, ...]],
) -> list[Example]:
    """
        examples_of(csv_records(path, "ACI-Bench", needs=("dialogue", "note")), _example)

    The examples of every record with its place, in order: `make` makes one, or several, of each. DataError for a record
    that cannot be used (`made`), and for an id that stands twice, with both places.
    """
    examples: list[Example] = []
    first: dict[str, str] = {}
    for where, record in rows:
        found = made(make, record, where)
        for example in (found,) if isinstance(found, Example) else found:
            if example.id in first:
                raise DataError(f"{where}: the id '{example.id}' occurs twice, first at {first[example.id]}; keep one")
            first[example.id] = where
            examples.append(example)
    return examples


def split_of(
    paths: Iterable[Path],
    what: str,
    make: Callable[[Mapping[str, Any]], Example],
    *,
    keep: Callable[[Mapping[str, Any]], bool] = lambda record: True,
) -> Split:
    """The examples of files whose records name their `split`, test or dev. `keep`: which test records are scored."""
    splits: dict[str, list[Example]] = {"test": [], "dev": []}
    for where, record in (item for path in paths for item in json_records(path, what)):
        split = made(lambda given: splits[given["split"]], record, where)
        if record["split"] == "dev" or keep(record):
            split.append(made(make, record, where))
    return Split(tuple(splits["test"]), tuple(splits["dev"]))


def csv_records(path: Path, what: str, *, needs: Collection[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """
        next(csv_records(Path("valid.csv"), "ACI-Bench notes", needs=("dialogue", "note")))

    Every row, all cells as text (`008.45` and `NA` are what they are), with its place: the file's line it begins on.
    Lines within a cell end in a line feed, whatever the file's do. The file, plain or gzip, is streamed. DataError for
    a column that is needed and missing or that stands twice, a row with other cells than the header, what is no CSV in
    UTF-8, and a file that is cut or damaged.
    """
    require_file(path, what)
    csv.field_size_limit(MOST_CELL)
    where = f"{what} '{path}', line 1"
    with open_binary(path) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig"), strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            _check_header(header, needs, where)
            where = f"{what} '{path}', line {rows.line_num + 1}"
            empty = True
            for cells in rows:
                empty = empty and not cells
                if cells and len(cells) != len(header):
                    raise DataError(
                        f"{where}: the row has {counted(len(cells), 'cell')}, the header has {len(header)}; put quotes "
                        "around text that holds commas, or fetch the file again"
                    )
                if any("\0" in cell for cell in cells):
                    raise DataError(f"{where}: it holds a NUL byte, as no text does; fetch the file again")
                if cells:
                    yield where, dict(zip(header, cells, strict=True))
                where = f"{what} '{path}', line {rows.line_num + 1}"
            if empty:
                raise DataError(f"{what} '{path}' has a header and no row below it; fetch the file again")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where} or after it: not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as CSV in UTF-8"
            ) from error
        except csv.Error as error:
            raise DataError(f"{where}: not CSV ({error}); fetch the file again") from error
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{where} or after it: cut or damaged ({error}); fetch the file again") from error


def _check_header(header: list[str], needs: Collection[str], where: str) -> None:
    found = ", ".join(header) or "none"
    if missing := [name for name in needs if name not in header]:
        raise DataError(f"{where}: the column '{missing[0]}' is missing, found {found}; {_of_header(header)}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise DataError(f"{where}: the column '{twice[0]}' stands twice; keep one")


def _of_header(header: list[str]) -> str:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        return "its cells are separated by another mark; save it with commas"
    return "name the columns as they are published"


def json_records(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """
        next(json_records(Path("MeDiSumQA.json"), "MeDiSumQA"))

    Every record with its place, of a JSON list or of JSON Lines, whatever the file's name ends in.
    """
    require_file(path, what)
    with open_binary(path) as stream:
        first = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first != b"[":
        try:
            yield from records(path, what)
        except DataError as error:
            raise DataError(_with_remedy(str(error))) from error
        return
    text = read_text(path, what)
    try:
        listed = parse_json(text, unique=True)
    except RepeatedKey as error:
        raise DataError(f"{what} '{path}': {repeated(error, text)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} '{path}': not JSON ({error}); {REMEDY}") from error
    for number, record in enumerate(listed, 1):
        where = f"{what} '{path}', record {number}"
        if not isinstance(record, dict):
            raise DataError(f"{where}: an object was expected, found {kind_found(record)}; {REMEDY}")
        yield where, record


def json_object(path: Path, what: str) -> dict[str, Any]:
    """
        json_object(Path("benchmark_v5.json"), "LongHealth file").items()

    The one object that a file holds; DataError with the remedy where it holds none.
    """
    try:
        return read_json(path, what)
    except DataError as error:
        raise DataError(_with_remedy(str(error))) from error


def id_of(record: Mapping[str, Any], field: str) -> str:
    """The id in a field, a text or a whole number, as text; DataError where it is missing, empty or neither."""
    given = record.get(field)
    if isinstance(given, bool) or not isinstance(given, int | str) or not str(given).strip():
        raise DataError(
            f"'{field}' is {'missing' if field not in record else 'empty, or neither text nor whole number'}"
        )
    return str(given).strip()


def text_of(record: Mapping[str, Any], field: str) -> str:
    """The text of a field, without white space around it; DataError where it is missing, empty or no text."""
    return as_given(record, field).strip()


def as_given(record: Mapping[str, Any], field: str) -> str:
    """The same with its white space. A text that nobody sees (zero-width characters alone) is empty."""
    text = record.get(field)
    if not isinstance(text, str) or not any(one.isprintable() and not one.isspace() for one in text):
        raise DataError(f"'{field}' is {'missing' if field not in record else 'empty or no text'}")
    return text
