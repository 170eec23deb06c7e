"""What a method keeps beside an index (postings, weights of words, vectors of words): made at the first need, whole.

A part lies in `INDEX/METHOD/KEY/`, KEY a hash of all that shapes it, so that another one is made where any of it
changes: arrays without pickle, and a `postings.json` with their checksums and its own. `took.json` says what making it
took, and is no part of it: two that are made alike differ in nothing else.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
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
from ragmed.machine import Spent, Stopwatch

POSTINGS = "postings.json"
TOOK = "took.json"
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
    folder = index.folder / str(identity["method"]) / part_key(identity)
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


def part_key(identity: Mapping[str, Any]) -> str:
    """What the folder of a part is called."""
    return sha256_json(identity)[:16]


def unfinished(index: Index, identity: Mapping[str, Any]) -> Path:
    """A folder for what a method has made so far of a part, so that it goes on there after a kill."""
    return index.folder / str(identity["method"]) / f".{part_key(identity)}.blocks"


def parts_took(index: Index, identity: Mapping[str, Any]) -> list[Spent]:
    """What making the parts beside an index took that a retriever of this identity reads, itself or by what it is made
    of, each once."""
    paths = dict.fromkeys(path for path in _records(index, identity) if path.is_file())
    return [parse(Spent, read_json(path, "record of time"), f"'{path}'", error=DataError) for path in paths]


def _records(index: Index, identity: Mapping[str, Any]) -> Iterator[Path]:
    yield index.folder / str(identity.get("method", "")) / part_key(identity) / TOOK
    for part in identity.get("of", ()):
        yield from _records(index, part)


def _make(folder: Path, index: Index, identity: Mapping[str, Any], make: Make) -> None:
    mode = stat.S_IMODE(index.folder.stat().st_mode)  # a part gives the text away: it is as private as the index
    make_folder(folder.parent, mode=mode)
    watch, resumed = Stopwatch(), unfinished(index, identity).exists()
    with writing(folder), folder_beside(folder, mode=mode) as beside:
        facts = make(beside)
        files = sorted(beside.iterdir())
        for path in files:
            path.chmod(mode & 0o666)
            fsync_file(path)
        record = Part(identity, facts, {path.name: sha256_file(path) for path in files}).whole()
        write_json(beside / POSTINGS, dump(record), mode=mode & 0o666)
        spent = watch.spent().rounded()
        write_json(beside / TOOK, dump(Spent(spent.wall) if resumed else spent), mode=mode & 0o666)
        fsync_folder(beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process made the same part meanwhile
                raise
        fsync_folder(folder.parent)
