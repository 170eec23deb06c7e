"""The manifest of an index: what made it, and the size and hash of every file; written last, refused when altered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from ragmed.errors import DamagedError, DataError
from ragmed.files import sha256_file, sha256_json, write_atomic

SCHEMA = 2
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`identity`: one hash of what decides the content (recipe, embedder, corpora); equal identity, equal index.

    `files`: path relative to the folder -> `{sha256, bytes}`. `approximation`: empty for an exact index, else what it
    loses against exact search.
    """

    name: str
    identity: str
    recipe: Mapping[str, Any]
    corpora: Sequence[Mapping[str, Any]]
    chunking: Mapping[str, Any]
    embedder: Mapping[str, str]
    factory: str
    dimension: int
    counts: Mapping[str, int]
    files: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    device: str
    created: str
    seconds: float
    approximation: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    metric: str = "inner_product"
    storage: str = "float16"


def render(manifest: Manifest) -> str:
    """The manifest's text: pretty JSON whose `checksum` is over everything else in it."""
    values = asdict(manifest)
    return _text(values | {"checksum": sha256_json(values)})


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_manifest(folder: Path, manifest: Manifest, *, mode: int = 0o644) -> None:
    write_atomic(folder / MANIFEST, render(manifest), mode=mode)


def read_manifest(folder: Path) -> Manifest:
    """>>> read_manifest(Path("indexes/handbook")).counts["passages"]  # doctest: +SKIP

    DataError where there is none; DamagedError where its bytes are not those that were written, down to the last
    blank: the parsed values must hash to the checksum, and write themselves again as the very same text.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"'{folder}' holds no finished index ({MANIFEST} is missing); {remedy(folder.name)}")
    try:
        raw = path.read_bytes()
        values = json.loads(raw.decode("utf-8"))
        same = _text(values).encode("utf-8") == raw
        checksum = values.pop("checksum")
        if not same or checksum != sha256_json(values):
            raise ValueError("its checksum differs")
        schema = values["schema"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"'{path}' is damaged; {remedy(folder.name)}") from error
    if schema != SCHEMA or set(values) != {one.name for one in fields(Manifest)}:
        raise DataError(f"'{path}' was written by another version of ragmed (schema {schema}); {remedy(folder.name)}")
    return Manifest(**values)


def remedy(name: str) -> str:
    return f"run: ragmed build-index {name}"


def describe_files(folder: Path, relative: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Size and hash of files, by path relative to the folder, sorted."""
    return {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in sorted(relative)
    }


def check_files(folder: Path, manifest: Manifest, *, hashes: bool) -> None:
    """DamagedError for the first file that is missing or is not the one that was written; sizes first, being quick."""
    for name, expected in manifest.files.items():
        path = _inside(folder, name)
        if not path.is_file():
            raise DamagedError(f"'{path}' is missing; {remedy(manifest.name)}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DamagedError(
                f"'{path}' has {size} bytes where {expected['bytes']} were written; {remedy(manifest.name)}"
            )
    if not hashes:
        return
    for name, expected in manifest.files.items():
        if sha256_file(folder / name) != expected["sha256"]:
            raise DamagedError(f"'{folder / name}' is damaged: its sha256 differs; {remedy(manifest.name)}")


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise DataError(f"'{folder / MANIFEST}' names a file outside its folder: '{name}'")
    return folder / name
