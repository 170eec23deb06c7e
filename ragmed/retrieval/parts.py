"""What a method keeps beside an index (postings, weights of words, vectors of words): made at the first need, whole.

A part lies in `INDEX/METHOD/KEY/`, KEY a hash of all that shapes it, so that another one is made where any of it
changes: arrays without pickle, and a `postings.json` with their checksums and its own, written last.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragmed.checked import dump, parse
from ragmed.errors import DamagedError, DataError
from ragmed.files import (
    folder_beside,
    fsync_file,
    fsync_folder,
    make_folder,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    writing,
)
from ragmed.index.store import Index

POSTINGS = "postings.json"
Make = Callable[[Path], Mapping[str, Any]]
"""Writes a part's files into a folder, and says what else must be known of them."""


@dataclass(frozen=True, slots=True)
class Part:
    """What `postings.json` holds. `facts`: of the method's own; `files`: name -> sha256; `checksum`: over the rest."""

    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: Mapping[str, str]
    checksum: str = ""

    def whole(self) -> Part:
        """The same record with the checksum that is right for it."""
        return replace(self, checksum=sha256_json(dump(replace(self, checksum=""))))


def open_part(index: Index, identity: Mapping[str, Any], make: Make) -> tuple[Path, Mapping[str, Any]]:
    """
        folder, facts = open_part(index, {"method": "bm25", "k1": 1.5}, make)

    The folder of a part, made first where it is missing, every file checked, and its facts. DamagedError, which names
    the file, where something is not what was written.
    """
    folder = index.folder / str(identity["method"]) / sha256_json(identity)[:16]
    if not folder.is_dir():
        _make(folder, index, identity, make)
    path, remedy = folder / POSTINGS, f"delete '{folder}', and it is rebuilt"
    what = f"{str(identity['method']).upper()} postings"
    try:
        record = parse(Part, read_json(path, what), f"'{path}'", error=DataError)
    except DataError as error:
        raise DamagedError(f"{error}; {remedy}") from error
    if record != record.whole() or record.identity != dump(identity):
        raise DamagedError(f"'{path}' is not what was written; {remedy}")
    for name, digest in record.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise DamagedError(f"'{folder / name}' is not what was written; {remedy}")
    return folder, record.facts


def _make(folder: Path, index: Index, identity: Mapping[str, Any], make: Make) -> None:
    mode = stat.S_IMODE(index.folder.stat().st_mode)  # a part gives the text away: it is as private as the index
    make_folder(folder.parent, mode=mode)
    with writing(folder), folder_beside(folder, mode=mode) as beside:
        facts = make(beside)
        files = sorted(beside.iterdir())
        for path in files:
            path.chmod(mode & 0o666)
            fsync_file(path)
        record = Part(identity, facts, {path.name: sha256_file(path) for path in files}).whole()
        write_json(beside / POSTINGS, dump(record), mode=mode & 0o666)
        fsync_folder(beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process made the same part meanwhile
                raise
        fsync_folder(folder.parent)
