"""A file of rows in, its rows out, each with its place: CSV, TSV, JSON, JSON Lines, Parquet; packed and in archives.

Nothing is unpickled or evaluated. A row that cannot be read is counted with its reason, and those after it are read; a
file that is no table is a DataError. `printed`: figures that the file itself prints of all its rows.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ragmed.checked import kind_found
from ragmed.corpora.members import Member, load_text, members
from ragmed.corpora.recipe import Rejected
from ragmed.corpora.tabular import (
    BATCH_ROWS,
    CSV_SUFFIXES,
    MAX_ROW_BYTES,
    OTHERWISE,
    PARQUET_SUFFIXES,
    Lines,
    csv_header,
    csv_reason,
    parquet_values,
)
from ragmed.errors import DataError, UnknownNameError
from ragmed.files import RepeatedKey, parse_json, repeated
from ragmed.integrations.reading import reading

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
SUFFIXES = (*CSV_SUFFIXES, *JSON_SUFFIXES, *PARQUET_SUFFIXES)
MAX_BYTES = 512 * 1024 * 1024
"""Of a JSON file, which is read whole; a larger one is to be written as JSON Lines."""
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npy", ".rds", ".feather")
_SHEETS = (".xlsx", ".xls", ".ods")
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|table|\?xml|head|body)\b", re.IGNORECASE)
_DECLARED = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=(.)"?\r?\n', re.IGNORECASE)
_NULL = r"\N"
"""As MySQL and PostgreSQL write what is not there."""


@dataclass(frozen=True, slots=True)
class Row:
    """`line`: the line of the file on which it starts, or its number in it. `cells`: column -> what stands there."""

    line: int
    cells: Mapping[str, Any]


@dataclass(slots=True)
class TableFile:
    """One file of rows. `name`: its path in the folder or archive. `refused`: rows that cannot be read, and why."""

    name: str
    file: str
    columns: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    printed: Mapping[str, Any] = field(default_factory=dict)


def read_tables(path: Path, *, only: str = "", records: str = "", delimiter: str = "") -> list[TableFile]:
    """
        read_tables(Path("answers.tar.xz"), only="*.csv")[0].rows[0].cells["question"]

    `path`: a file, a folder or an archive. `only`: a pattern of the names that are meant, such as `runs/*.csv`.
    `records`: in JSON, the dotted name of the list of rows; found by itself where the file holds one list alone. Raises
    DataError, with file and remedy, where there is no table, or where one is damaged as a whole.
    """
    if not path.exists():
        raise DataError(f"table '{path}' does not exist; name the file, folder or archive that holds the rows")
    found = []
    for item in members(path, SUFFIXES):
        if isinstance(item, Rejected):
            raise DataError(f"table '{item.file}': {item.reason}")
        if isinstance(item, Member) and (not only or fnmatchcase(item.name, only)):
            found.append(_read(item, records, delimiter))
    if not found:
        matching = f" that match '{only}'" if only else ""
        raise DataError(f"no tables{matching} in '{path}'; files that end in {', '.join(SUFFIXES)} are read")
    return found


def _read(member: Member, records: str, delimiter: str) -> TableFile:
    suffix = PurePosixPath(member.name).suffix.lower()
    where = f"table '{member.file}'"
    if suffix in _PICKLES:
        raise DataError(
            f"{where}: {suffix} can run a program when it is read, and is never opened; save it as Parquet or CSV"
        )
    if suffix in _SHEETS:
        raise DataError(f"{where}: spreadsheets are not read; save the sheet as 'CSV UTF-8'")
    read: Callable[[], TableFile]
    if suffix in PARQUET_SUFFIXES:
        read = lambda: _parquet(member)  # noqa: E731
    elif suffix in (".jsonl", ".ndjson"):
        read = lambda: _json_lines(member)  # noqa: E731
    elif suffix == ".json":
        read = lambda: _json(member, records)  # noqa: E731
    else:
        read = lambda: _csv(member, suffix, delimiter)  # noqa: E731
    with reading(where, remedy="make or fetch the file again"):
        table = read()
    if not table.rows and not table.refused:
        raise DataError(f"{where} has a header and no rows; name a file that holds answers")
    return table


def narrow(table: TableFile, wanted: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """
    >>> table = TableFile("log", "log.jsonl", ["type", "data"], [Row(1, {"type": "match", "data": {"picked": "B"}})])
    >>> narrow(table, {"type": "match"}, ["data.picked"]), table.rows[0].cells["data.picked"]
    ([], 'B')

    Columns with dotted names, which reach into objects and lists, become columns of their own; then rows whose cells
    are not those that are `wanted` are taken out, and a note says how many. UnknownNameError for a wanted column that
    no row has, DataError where no row is left.
    """
    for name in dict.fromkeys((*columns, *wanted)):
        first, dot, rest = name.partition(".")
        if not dot or name in table.columns or first not in table.columns:
            continue
        reached = [_reach(row.cells.get(first), rest.split(".")) for row in table.rows]
        if any(cell is not None for cell in reached):
            table.columns = [*table.columns, name]
            table.rows = [
                Row(row.line, {**row.cells, name: cell}) for row, cell in zip(table.rows, reached, strict=True)
            ]
    for name in wanted:
        if name not in table.columns:
            raise UnknownNameError("column", name, table.columns, f"table '{table.file}', rows")
    kept = [row for row in table.rows if all(text_of(row.cells.get(name)) == cell for name, cell in wanted.items())]
    left = len(table.rows) - len(kept)
    said = ", ".join(f"{name} {cell}" for name, cell in wanted.items())
    if not kept and wanted:
        raise DataError(f"table '{table.file}': no row has {said}; correct rows")
    table.rows = kept
    name = PurePosixPath(table.name).name
    return [f"{name}: {left:,} rows are not {said}, and not read."] if left else []


def _reach(cell: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(cell, Mapping):
            cell = cell.get(part)
        elif isinstance(cell, list | tuple) and part.isdecimal() and len(part) < 10 and int(part) < len(cell):
            cell = cell[int(part)]
        else:
            return None
    return cell


def _delimiter(head: bytes, suffix: str) -> str:
    """What stands between the names of the header: the usual mark, else the commonest of comma, semicolon and tab."""
    header = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    usual = "," if suffix == ".csv" else "\t"
    marks = sorted((",", ";", "\t"), key=lambda mark: -header.count(mark))
    return usual if usual in header or marks[0] not in header else marks[0]


def _csv(member: Member, suffix: str, delimiter: str) -> TableFile:
    csv.field_size_limit(MAX_ROW_BYTES + 1)
    with member.stream() as opened:
        stream = io.BufferedReader(cast(io.RawIOBase, opened))
        head = stream.peek(8192)
        if _PAGE.match(head):
            raise DataError(f"table '{member.file}' is a web page; export the table as CSV, or fetch the file itself")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as spreadsheets write "Unicode text"
            stream = io.BufferedReader(cast(io.RawIOBase, io.BytesIO(_from_utf16(member))))
            head = stream.peek(8192)
        lines = Lines(stream)
        if declared := _DECLARED.match(head):  # as Excel writes it before the header
            delimiter = delimiter or declared[1].decode()
            next(lines)
        rows = csv.reader(lines, delimiter=delimiter or _delimiter(head, suffix), strict=True)
        header = csv_header(rows, lines, f"table '{member.file}'", remedy="name what separates them with --delimiter")
        table = TableFile(member.name, member.file, header)
        for _ in iter(int, 1):
            lines.begin_row()
            try:
                cells = next(rows)
            except StopIteration:
                return table
            except csv.Error as error:
                table.refused.append((lines.first, csv_reason(error, lines)))
                if lines.ended:
                    return table
                continue
            if lines.wrong:
                wrong = lines.wrong.replace(OTHERWISE, "; save the file as UTF-8 (spreadsheets: 'CSV UTF-8')")
                table.refused.append((lines.first, f"the row {wrong}"))
            elif len(cells) == len(header):
                table.rows.append(Row(lines.first, dict(zip(header, cells, strict=True))))
            elif cells:
                table.refused.append((lines.first, f"the row has {len(cells)} cells, the header has {len(header)}"))
    return table


def _from_utf16(member: Member) -> bytes:
    try:
        return member.read(MAX_BYTES).decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise DataError(f"table '{member.file}' is damaged UTF-16 ({error.reason}); save it as UTF-8") from error


def _json_lines(member: Member) -> TableFile:
    table = TableFile(member.name, member.file, [])
    with member.stream() as stream:
        for number, line in _lines(stream):
            try:
                value = parse_json(line.decode("utf-8-sig" if number == 1 else "utf-8"), unique=True)
            except UnicodeDecodeError:
                table.refused.append((number, "the line is not UTF-8; convert it"))
                continue
            except RepeatedKey as error:
                table.refused.append((number, f"the key '{error}' stands twice in one object; keep one"))
                continue
            except (ValueError, RecursionError) as error:
                table.refused.append((number, f"the line is not JSON ({' '.join(str(error).split())[:120]})"))
                continue
            _add(table, number, value)
    _name_columns(table)
    return table


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            raise ValueError(f"line {number} is longer than {MAX_ROW_BYTES} bytes")
        if line.strip():
            yield number, line


def _json(member: Member, records: str) -> TableFile:
    text, where = load_text(member, MAX_BYTES), f"table '{member.file}'"
    try:
        value = parse_json(text, unique=True)
    except RepeatedKey as error:
        raise DataError(f"{where}: {repeated(error, text)}") from error
    table = TableFile(member.name, member.file, [])
    if isinstance(value, dict):
        table.printed = {key: found for key, found in value.items() if isinstance(found, int | float)}
    for number, row in enumerate(_records(value, records, where), 1):
        _add(table, number, row)
    _name_columns(table)
    return table


def _records(value: Any, named: str, where: str) -> Sequence[Any]:
    """The list of rows; columns of lists (`{"id": [...], "gold": [...]}`) and objects by id are taken apart."""
    if named:
        for key in named.split("."):
            if not isinstance(value, dict) or key not in value:
                raise DataError(f"{where} has no '{named}'; name the list of rows with records")
            value = value[key]
    elif isinstance(value, dict):
        lists = [
            key for key, found in value.items() if isinstance(found, list) and found and isinstance(found[0], dict)
        ]
        if len(lists) > 1:
            raise DataError(f"{where} holds several lists of rows ({', '.join(lists[:5])}); name one with records")
        if lists:
            return list(value[lists[0]])
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value and all(isinstance(found, dict) for found in value.values()):
        return [{"id": key, **found} for key, found in value.items()]
    if isinstance(value, dict) and value and all(isinstance(found, list) for found in value.values()):
        columns = {key: len(found) for key, found in value.items()}
        if len(set(columns.values())) > 1:
            raise DataError(f"{where}: its columns are of different lengths ({columns}); make or fetch the file again")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    raise DataError(f"{where} holds no list of rows; a list of objects, or an object of objects by id, was expected")


def _add(table: TableFile, number: int, value: Any) -> None:
    if isinstance(value, dict):
        table.rows.append(Row(number, {str(key): cell for key, cell in value.items()}))
    else:
        table.refused.append((number, f"the row is no object of columns but {kind_found(value)}"))


def _name_columns(table: TableFile) -> None:
    table.columns = list(dict.fromkeys(name for row in table.rows for name in row.cells))


def _parquet(member: Member) -> TableFile:
    from pyarrow import parquet

    source: Any = member.path or io.BytesIO(member.read(MAX_BYTES))
    with parquet.ParquetFile(source, pre_buffer=False) as opened:
        names = list(opened.schema_arrow.names)
        if len(names) != len(set(names)):
            raise DataError("it has a column more than once; rename one of them")
        table = TableFile(member.name, member.file, names)
        number = 0
        for batch in opened.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            columns = {name: parquet_values(batch.column(name)) for name in names}
            for place in range(batch.num_rows):
                number += 1
                cells = {name: columns[name][place] for name in names}
                bad = next((name for name, cell in cells.items() if isinstance(cell, Exception)), "")
                if bad:
                    table.refused.append((number, f"column '{bad}' holds a value that cannot be read"))
                else:
                    table.rows.append(Row(number, cells))
    return table


def text_of(cell: Any) -> str:
    """
    >>> text_of(" B "), text_of(None), text_of(3.0), text_of(True), text_of(["a"])
    ('B', '', '3', 'true', '["a"]')

    What a cell says, without blanks around it; nothing for null, NaN and a database's \\N.
    """
    if cell is None or cell != cell or cell == _NULL:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, list | dict | tuple):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell).strip()
