"""A folder or file of one's own in, `corpora/NAME/recipe.yaml` out: the first step of indexing one's own references."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ragmed.corpora.recipe import READERS, load_recipe
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import write_atomic
from ragmed.records import Access
from ragmed.workspace import Workspace

BY_SUFFIX = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
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
    """>>> new_recipe("guidelines", (Path("/data/guidelines"),), workspace=Workspace.find())  # doctest: +SKIP

    PosixPath('corpora/guidelines/recipe.yaml')

    `reader` '': by the first path's suffix, else `folder`. Raises DataError where a path is missing or the recipe is
    there already, UsageError or UnknownNameError for a name or a reader that cannot be.
    """
    if not _NAME.match(name):
        raise UsageError(f"'{name}' cannot name a corpus; use letters, digits, '.', '_' and '-'")
    for path in paths:
        if not path.exists():
            raise DataError(f"'{path}' does not exist")
    chosen = reader or BY_SUFFIX.get(paths[0].suffix.lower(), "folder")
    if chosen not in READERS:
        raise UnknownNameError("corpus reader", chosen, READERS)
    file = workspace.corpora / name / "recipe.yaml"
    if file.exists():
        raise DataError(f"corpus '{name}' has a recipe already: '{file}'; edit that, or choose another name")
    values = {
        "title": title or f"{name.replace('-', ' ').capitalize()} (own references)",
        "reader": chosen,
        "paths": [str(path.expanduser().resolve()) for path in paths],
        "license": license,
        "access": access,
    }
    text = yaml.safe_dump({k: v for k, v in values.items() if v}, sort_keys=False, allow_unicode=True, width=120)
    write_atomic(file, text)
    load_recipe(file, data=workspace.data)
    return file
