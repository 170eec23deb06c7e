"""The manifest of an index: what made it, and the size and hash of every file; written last, refused when altered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from ragmed.checked import Shorthand, dump, parse
from ragmed.embedding import Fingerprint
from ragmed.errors import DamagedError, DataError
from ragmed.files import sha256_file, sha256_json, write_atomic
from ragmed.index.recipe import IndexRecipe
from ragmed.machine import Spent
from ragmed.records import Access

SCHEMA = 4
"""Raised whenever a manifest, or an index of an equal recipe, comes to mean something else; 4: a passage keeps the date
and the access tier of its document."""
MANIFEST = "manifest.json"
DOCUMENTS = "documents.jsonl"


@dataclass(frozen=True, slots=True)
class FileFacts:
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """What a corpus was when it was read. `stamp`: its files' paths, sizes and times; `sha256`: over its documents;
    `left_out`: sound records that later ones replaced or deleted; `reasons`: a line for each reason why records were
    rejected or left out, or files ignored.
    """

    name: str
    sha256: str
    documents: int
    records: int
    characters: int
    rejected: int = 0
    ignored: int = 0
    left_out: int = 0
    title: str = ""
    license: str = ""
    access: Access = "open"
    ids: str = ""
    citation: str = ""
    source: str = ""
    stamp: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """How documents became what the embedder read; equal cuts of equal documents are equal texts.

    `fits`: of the other embedders that can read the passages as well, what each counts tokens by, hashed.
    """

    splitter: str
    splitter_version: str
    max_tokens: int
    overlap_sentences: int
    embedder_reads: int
    input_version: int = 1
    fits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approximation:
    """What an index that is not exact loses: the part of the exact top ten that it finds, over `sample` passages."""

    recall_at_10: float
    sample: int
    search: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """Passages and vectors that never change once they are there; `folder` holds nothing else.

        documents.jsonl   a line a document: its corpus, its id, the sha256 of all its fields
        passages.arrow    row number = vector number
        vectors/          float16, a shard a file; vectors.faiss or shards/: the same for FAISS

    `identity`: one hash of what decides its content. `longest`: the length of its longest vector.
    """

    folder: str
    identity: str
    documents: int
    passages: int
    longest: float = 1.0
    approximation: Approximation | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """`taken_over`: vectors that came from the corpora's own indexes; `ready`: that were ready-made. Of the other
    ready-made ones, `ready_cut` are of documents that are several passages here, whose vectors they cannot be, and
    `ready_unknown` of documents that the corpora lack."""

    documents: int
    passages: int
    vectors: int
    taken_over: int = 0
    ready: int = 0
    ready_cut: int = 0
    ready_unknown: int = 0


@dataclass(frozen=True, slots=True)
class Replaced:
    """The index that lay in the folder before, and in what this one is another: who used that one can be told.

    `searches`: what its manifest's `searches` was. `recipe`: field -> what it was. `edited`, `added`, `removed`:
    documents; -1 where they were too many to be compared.
    """

    searches: str
    recipe: Mapping[str, str] = field(default_factory=dict)
    embedder: bool = False
    edited: int = 0
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """`identity`: one hash of what decides the content (recipe, embedder, corpora); equal identity, equal index.

    `segments` are searched as one, their rows counted through. `tombstones`: a segment's folder -> the keys
    (`CORPUS:ID`) of the documents that are deleted in it. `device`: where it was embedded; `searched_on`: where and by
    what its self-check searched it. `seconds`: what building took; a number alone is the wall clock's, and of a build
    that went on where another had stopped no more is known. `files`: path relative to the folder -> size and hash.
    `replaced`: of the index that was there before. A field that is absent from the file is at its default.
    """

    name: str
    identity: str
    recipe: IndexRecipe
    corpora: tuple[CorpusFacts, ...]
    chunking: Cut
    embedder: Fingerprint
    counts: Counts
    segments: tuple[Segment, ...]
    files: Mapping[str, FileFacts]
    versions: Mapping[str, str]
    device: str
    created: str
    seconds: Annotated[Spent, Shorthand((float, int), lambda wall: {"wall": wall})]
    tombstones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    searched_on: str = "cpu by faiss"
    schema: int = SCHEMA
    storage: str = "float16"
    replaced: Replaced | None = None

    @property
    def dimension(self) -> int:
        return self.embedder.dimension

    @property
    def searches(self) -> str:
        """One hash of what decides a search by vectors: the segments, and what is deleted in them."""
        segments = [segment.identity for segment in self.segments]
        return sha256_json([segments, {name: sorted(keys) for name, keys in self.tombstones.items() if keys}])


def render(manifest: Manifest) -> str:
    """The manifest's text: pretty JSON whose `checksum` is over everything else in it."""
    values = dump(manifest)
    return _text(values | {"checksum": sha256_json(values)})


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_manifest(folder: Path, manifest: Manifest, *, mode: int = 0o644) -> None:
    write_atomic(folder / MANIFEST, render(manifest), mode=mode)


def read_manifest(folder: Path) -> Manifest:
    """Reads it: `read_manifest(workspace.indexes / "handbook").counts.passages`.

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
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"'{path}' is damaged; {remedy(folder.name)}") from error
    schema = values.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise DataError(f"'{path}' was written by another version of ragmed (schema {schema}); {remedy(folder.name)}")
    where = f"index manifest '{path}' of another version of ragmed"
    return parse(Manifest, values, where, error=DataError, remedy=remedy(folder.name))


def remedy(name: str) -> str:
    return f"run: ragmed build-index {name}"


def describe_files(folder: Path, relative: Sequence[str]) -> dict[str, FileFacts]:
    """Size and hash of files, by path relative to the folder, sorted."""
    return {name: FileFacts(sha256_file(folder / name), (folder / name).stat().st_size) for name in sorted(relative)}


def check_files(folder: Path, manifest: Manifest, *, hashes: bool) -> None:
    """DamagedError for the first file that is missing or is not the one that was written; sizes first, being quick.

    DataError where the manifest names a file outside of the folder, or a segment whose files it does not list.
    """
    folders = {segment.folder for segment in manifest.segments}
    strange = [name for name in sorted(folders) if f"{name}/passages.arrow" not in manifest.files]
    strange += sorted(manifest.tombstones.keys() - folders)
    if strange:
        raise DataError(f"'{folder / MANIFEST}' names a segment without files: '{strange[0]}'; {remedy(manifest.name)}")
    for name, expected in manifest.files.items():
        path = _inside(folder, name)
        if not path.is_file():
            raise DamagedError(f"'{path}' is missing; {remedy(manifest.name)}")
        size = path.stat().st_size
        if size != expected.bytes:
            raise DamagedError(
                f"'{path}' has {size} bytes where {expected.bytes} were written; {remedy(manifest.name)}"
            )
    if not hashes:
        return
    for name, expected in manifest.files.items():
        if sha256_file(folder / name) != expected.sha256:
            raise DamagedError(f"'{folder / name}' is damaged: its sha256 differs; {remedy(manifest.name)}")


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise DataError(f"'{folder / MANIFEST}' names a file outside its folder: '{name}'")
    return folder / name
