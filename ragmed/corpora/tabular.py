"""Reads tables: a row of CSV, TSV or Parquet -> one document. The recipe's `fields` say which column is which.

CSV is read as RFC 4180 has it (quotes, doubled quotes, line ends in quotes), UTF-8 unless the recipe's `encoding` says
otherwise, with a header, plain or packed, also from folders and archives. Both kinds are streamed: memory is bounded by
a row, or by a batch of rows.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ragmed.corpora.fields import check_fields, document_of, fields_of, require_columns
from ragmed.corpora.members import PIECE, Member, read_members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, found_or_rejected
from ragmed.errors import DataError
from ragmed.files import not_text, require_file
from ragmed.records import Document
from ragmed.text_table import counted, verb

CSV_SUFFIXES = (".csv", ".tsv", ".tab")
PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_ROW_BYTES = 8 * 1024 * 1024
"""A longer row, most often one whose quote was never closed, ends the reading of its file."""

BATCH_ROWS = 256
"""Rows of Parquet that are turned into documents at a time."""


_IN_RECIPE = 'name in the recipe what separates them: delimiter: ";"'


def _check_delimiter(value: object) -> str:
    if isinstance(value, str) and len(value) == 1 and value not in '"\r\n':
        return ""
    return 'is one character, such as ";" or "\\t", and no quote'


def _check_encoding(value: object) -> str:
    return "" if value in ENCODINGS else f"is one of {', '.join(ENCODINGS)}"


ENCODINGS = ("utf-8", "windows-1252", "iso-8859-1", "iso-8859-15", "mac-roman", "utf-16")
OTHERWISE = ", or write what it is into the recipe, such as encoding: windows-1252 (most spreadsheets in Windows)"
OPTIONS: Mapping[str, OptionCheck] = {
    "fields": check_fields,
    "delimiter": _check_delimiter,
    "encoding": _check_encoding,
    "number_rows": lambda value: "" if isinstance(value, bool) else "is true or false",
}
"""`number_rows`: a row's id is its file's name and its line, for tables without ids, or with the same in many files."""


def read_csv(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read_csv(recipe)).document.id

    `line` of what is found or rejected is the file's line on which the row starts. A row with more or fewer cells
    than the header is rejected. An empty cell counts as none. DataError: a file without the columns that are needed,
    with a column twice, or not text; text that follows a quote never closed cannot be parted into rows.
    """
    yield from read_members(recipe, CSV_SUFFIXES, lambda member: _read_member(member, recipe))


def read_parquet(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read_parquet(recipe)).document.id

    A path is a file, or a folder of them (as `datasets` writes them). `line` is the row's number in its file, from 1.
    Only the columns that are needed are read, row group by row group. DataError: not Parquet, damaged, a column that
    is missing.
    """
    yield from read_members(recipe, PARQUET_SUFFIXES, lambda member: _read_parquet_file(member.path, recipe))


def _read_member(member: Member, recipe: Recipe) -> Iterator[Found | Rejected]:
    encoding = recipe.options.get("encoding", "utf-8")
    delimiter = recipe.options.get("delimiter") or ("," if member.name.lower().endswith(".csv") else "\t")
    try:
        with member.stream() as stream:
            lines = Lines(stream if encoding == "utf-8" else cast(IO[bytes], _Recoded(stream, encoding)))
            yield from _read_rows(lines, delimiter, member.file, recipe)
    except UnicodeError as error:
        why = error.reason if isinstance(error, UnicodeDecodeError) else error
        raise DataError(
            f"'{member.file}' is not {encoding}, as the recipe's 'encoding' has it ({why}); correct that"
        ) from error
    except ValueError as error:
        # What was read of a file stays read; that the rest is missing must not pass as the end.
        raise DataError(f"'{member.file}': {error}") from error


def _read_rows(lines: Lines, delimiter: str, file: str, recipe: Recipe) -> Iterator[Found | Rejected]:
    # The limit is the module's own, for the whole process: set high once, the rows are bounded by Lines.
    csv.field_size_limit(MAX_ROW_BYTES + 1)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header = csv_header(rows, lines, f"'{file}'")
    require_columns(recipe, [*header, *_own_columns(recipe)], f"'{file}'")
    fields = fields_of(recipe)
    while True:
        lines.begin_row()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(file, lines.first, csv_reason(error, lines))
            if lines.ended:
                return
            continue
        if lines.wrong:
            yield Rejected(file, lines.first, lines.wrong)
        elif len(cells) == len(header):
            record: dict[str, object] = {name: cell or None for name, cell in zip(header, cells, strict=True)}
            record |= _numbered(file, lines.first, fields, recipe)
            yield found_or_rejected(partial(document_of, record, fields, recipe), file, lines.first)
        elif cells:
            reason = f"the row has {counted(len(cells), 'cell')}, the header has {len(header)}"
            yield Rejected(file, lines.first, reason)


def _own_columns(recipe: Recipe) -> list[str]:
    return [fields_of(recipe)["id"]] if recipe.options.get("number_rows") else []


def _numbered(file: str, line: int, fields: Mapping[str, str], recipe: Recipe) -> dict[str, object]:
    """The id of a row where the recipe has its rows numbered."""
    if not recipe.options.get("number_rows"):
        return {}
    return {fields["id"]: f"{PurePosixPath(file.rpartition('!')[2]).stem}-{line}"}


def csv_header(
    rows: Iterator[list[str]],
    lines: Lines,
    where: str,
    *,
    remedy: str = 'name in the recipe what separates them: delimiter: ";"',
) -> list[str]:
    """The names of a table's columns; DataError where it is empty, has one column that holds marks, or one twice."""
    lines.begin_row()
    try:
        header = [name.strip() for name in next(rows)]
    except StopIteration:
        raise DataError(f"{where} is empty; a header with the names of its columns was expected") from None
    except csv.Error as error:
        raise DataError(f"{where}: the header cannot be read: {_plain(error)}") from error
    if lines.wrong:
        raise DataError(f"{where}: the header {lines.wrong}")
    twice = sorted(name for name, count in Counter(header).items() if name and count > 1)
    if len(header) == 1 and any(mark in header[0] for mark in ",;\t|"):
        raise DataError(f"{where} has one column, '{header[0][:60]}'; {remedy}")
    if twice:
        raise DataError(f"{where} has the column '{twice[0]}' more than once; rename one of them")
    return header


def csv_reason(error: csv.Error, lines: Lines) -> str:
    if "unexpected end of data" in str(error):
        lost = lines.number - lines.first + 1
        return (
            f"a quote that opens in this row is never closed, so the file's last {counted(lost, 'line')} "
            f"{verb(lost, 'was', 'were')} read as one row"
        )
    return f"not a row of CSV: {_plain(error)}"


def _plain(error: csv.Error) -> str:
    """The csv module's words, but for those that speak to a programmer."""
    if "new-line character" in str(error):
        return "it has a carriage return without a line feed, where other lines have one; end all lines alike"
    return str(error)


class _Recoded(io.RawIOBase):
    """A binary stream of text in another encoding, as UTF-8; UnicodeDecodeError where it is in another one yet."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and (piece := self._stream.read(PIECE)):
            self._ready = self._decoder.decode(piece).encode("utf-8")
        if not self._ready:
            self._ready = self._decoder.decode(b"", final=True).encode("utf-8")
        taken, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


class Lines:
    """A binary stream as text lines for the csv module, which joins those that a quoted cell spans. Lines end with a
    line feed, or with carriage returns alone where there is no line feed at the start, as old programs for Macs do.

    Bytes that are no UTF-8 are replaced, and the row is marked `wrong`: it is rejected, and those after it are read.
    `first`: the line that the row began on. ValueError once a row is longer than MAX_ROW_BYTES.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = (
            stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
        )
        start = self._stream.peek(PIECE)
        self._readline = self._to_return if b"\r" in start[:-1] and b"\n" not in start else self._stream.readline
        self._ahead = b""
        self.number = 0
        self.ended = False
        self.begin_row()

    def begin_row(self) -> None:
        self.first, self.wrong, self._size = self.number + 1, "", 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._readline(MAX_ROW_BYTES + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if self._size > MAX_ROW_BYTES:
            raise ValueError(
                f"the row that starts on line {self.first} is longer than {MAX_ROW_BYTES} bytes: "
                "a quote that is never closed, or no CSV; check 'delimiter' and the quotes there"
            )
        if self.number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ValueError(
                "the file is UTF-16; save it as UTF-8 (spreadsheets call that 'CSV UTF-8'), or write encoding: utf-16 "
                "into the recipe"
            )
        if not self.wrong and (wrong := not_text(line)):
            self.wrong = wrong if b"\x00" in line else wrong + OTHERWISE
        # A byte-order mark is not part of the first column's name.
        return line.removeprefix(codecs.BOM_UTF8 if self.number == 1 else b"").decode("utf-8", "replace")

    def _to_return(self, limit: int) -> bytes:
        """The next line up to a carriage return, with a line feed in its place."""
        pieces, size = [self._ahead], len(self._ahead)
        while b"\r" not in pieces[-1] and size < limit and (piece := self._stream.read(PIECE)):
            pieces.append(piece)
            size += len(piece)
        line, mark, self._ahead = b"".join(pieces).partition(b"\r")
        return line + b"\n" if mark else line


def _read_parquet_file(path: Path | None, recipe: Recipe) -> Iterator[Found | Rejected]:
    if path is None:
        raise ValueError("Parquet is read from its end; unpack the archive that holds it")
    import pyarrow
    from pyarrow import parquet

    require_file(path, "Parquet file")
    fields = fields_of(recipe)
    try:
        # Pre-buffering would hold whole row groups, and a file's own pages are read as they are needed.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1024 * 1024) as table:
            names = table.schema_arrow.names
            if len(names) != len(set(names)):
                raise DataError(f"'{path}' has a column more than once; rename one of them")
            require_columns(recipe, [*names, *_own_columns(recipe)], f"'{path}'")
            wanted = [name for name in dict.fromkeys(fields.values()) if name in names]
            row = 0
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False):
                columns = {name: parquet_values(batch.column(name)) for name in batch.schema.names}
                for index in range(batch.num_rows):
                    row += 1
                    record = {name: columns[name][index] for name in columns}
                    record |= _numbered(str(path), row, fields, recipe)
                    yield found_or_rejected(partial(_document, record, fields, recipe), str(path), row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        words = " ".join(str(error).split())[:200]
        raise DataError(f"'{path}' cannot be read as Parquet ({words}); fetch or make the file again") from error


def _document(record: Mapping[str, object], fields: Mapping[str, str], recipe: Recipe) -> Document:
    for column, value in record.items():
        if isinstance(value, Exception):
            words = " ".join(str(value).split())[:120]
            raise ValueError(f"'{column}' holds a value that cannot be read ({words})")
    return document_of(record, fields, recipe)


# A date in the year 2,000,000, nanoseconds, a time zone nobody knows, text that is no UTF-8: sound for Parquet.
_NO_VALUE = (ValueError, LookupError, ArithmeticError, TypeError)


def parquet_values(column: Any) -> list[object]:
    """A column's cells; for one that cannot be read, which costs its row alone, the error."""
    try:
        return cast(list[object], column.to_pylist())
    except _NO_VALUE:
        return [_value(cell) for cell in column]


def _value(cell: Any) -> object:
    try:
        return cast(object, cell.as_py())
    except _NO_VALUE as error:
        return error
