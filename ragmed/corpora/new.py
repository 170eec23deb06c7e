"""A folder or file of one's own in, `corpora/NAME/recipe.yaml` out: the first step of indexing one's own references."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import yaml

from ragmed.corpora.archives import kind_of
from ragmed.corpora.fields import REQUIRED
from ragmed.corpora.folder import SUFFIXES
from ragmed.corpora.kinds import STRUCTURED, kind_of_name, kind_of_text
from ragmed.corpora.recipe import READERS, load_recipe
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import user_path, write_atomic
from ragmed.records import Access
from ragmed.workspace import Workspace

BY_SUFFIX = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_HEADER_BYTES = 1 << 16
_DELIMITERS = ",;\t|"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")  # it names a folder, and stands before the ids of its documents


def new_recipe(
    name: str,
    paths: tuple[Path, ...],
    *,
    workspace: Workspace,
    reader: str = "",
    access: Access = "private",
    license: str = "",
    title: str = "",
) -> Path:
    """
        new_recipe("guidelines", (Path("/data/guidelines"),), workspace=Workspace.find())
        # PosixPath('corpora/guidelines/recipe.yaml')

    `reader` '': by the first path's suffix, else `folder`. Where a table lacks a column that a document needs, comments
    in the recipe say which line is missing. Raises DataError where a path is missing, the recipe is there already, or
    the file is of a kind that no reader reads; UsageError or UnknownNameError for a name or a reader that cannot be.
    """
    if not _NAME.match(name):
        raise UsageError(f"'{name}' cannot name a corpus; use letters, digits, '.', '_' and '-'")
    for path in paths:
        if not path.exists():
            raise DataError(f"'{path}' does not exist")
        if not (path.is_file() or path.is_dir()):
            raise DataError(f"'{path}' is neither a file nor a folder")
    chosen = reader or BY_SUFFIX.get(paths[0].suffix.lower(), "") or _reader_of(paths[0])
    if chosen not in READERS:
        raise UnknownNameError("corpus reader", chosen, READERS)
    file = workspace.corpora / name / "recipe.yaml"
    if file.exists():
        raise DataError(f"corpus '{name}' has a recipe already: '{file}'; edit that, or choose another name")
    values = {
        "title": title or f"{name.replace('-', ' ').capitalize()} (own references)",
        "reader": chosen,
        "paths": [str(user_path(path).resolve()) for path in paths],
        "license": license,
        "access": access,
    }
    columns, mark = _columns(paths[0], chosen)
    values |= {"delimiter": mark} if mark else {}
    text = yaml.safe_dump({k: v for k, v in values.items() if v}, sort_keys=False, allow_unicode=True, width=120)
    write_atomic(file, text + _fields_to_name(columns, chosen))
    load_recipe(file, data=workspace.data)
    return file


def _reader_of(path: Path) -> str:
    """The reader of a folder, an archive or one file, by what that holds; DataError where no reader reads it."""
    if not path.is_file() or kind_of(path) != "plain":
        return "folder"
    kind, suffix = "", path.suffix.lower()
    if suffix in STRUCTURED:
        with path.open("rb") as stream:
            kind, reader = kind_of_text(path.name, stream.read(_HEADER_BYTES).decode("utf-8-sig", "replace"))
        if reader:
            return reader
    elif suffix not in SUFFIXES:
        kind = kind_of_name(path.name)
    if kind:
        raise DataError(f"'{path}' is {kind}")
    return "folder"


def _columns(path: Path, reader: str) -> tuple[list[str], str]:
    """The columns of a table that is one plain file, and what parts them where its suffix does not say that."""
    if not path.is_file() or path.suffix.lower() not in BY_SUFFIX or BY_SUFFIX[path.suffix.lower()] != reader:
        return [], ""
    if reader == "parquet":
        from pyarrow import ArrowException, parquet

        try:
            return list(parquet.read_schema(path).names), ""
        except (ArrowException, OSError):
            return [], ""  # what is wrong with it, reading it will say
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES).splitlines()  # of bytes: at \n, \r\n and \r alone
        line = start[0].decode("utf-8-sig", "replace") if start else ""
    if reader == "jsonl":
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return [], ""
        return [str(key) for key in record] if isinstance(record, dict) else [], ""
    usual = "," if path.suffix.lower() == ".csv" else "\t"
    mark = max((usual, *_DELIMITERS), key=line.count)
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return [], ""  # what is wrong with it, reading it will say
    return names, "" if mark == usual else mark


def _fields_to_name(columns: list[str], reader: str) -> str:
    """Comments for a recipe: the line that is to be filled in, where a table's columns are not named as needed."""
    missing = [name for name in REQUIRED if name not in columns]
    if not columns or not missing:
        return ""
    wanted = ", ".join(f"{name}: COLUMN" for name in missing)
    there = ", ".join(" ".join(name.split())[:60] for name in columns[:20]) + (" and more" if len(columns) > 20 else "")
    lines = [
        f"the table has no column {' and no column '.join(missing)}; its columns: {there}",
        f"put a line into the recipe that names them: fields: {{{wanted}}}",
    ]
    if "id" in missing and reader != "jsonl":
        lines.append("where no column identifies a row, write instead of the id: number_rows: true")
    return "".join(f"# {line}\n" for line in lines)
