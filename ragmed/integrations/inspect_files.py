"""A log of inspect_ai in, its header and its samples out, one at a time, as the JSON that stands in it.

`.eval` is a zip: `header.json`, and `samples/ID_epoch_N.json` for each sample, packed with Zstandard (method 93) or
deflate. `.json` is one object with the header's fields and the list `samples`. Seen in what inspect_ai 0.3.285 writes
(inspect_ai/log/_recorders/eval.py and json.py). Nothing is unpacked to disk, so no name in an archive leads anywhere.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ragmed.corpora.archives import Budget
from ragmed.errors import DataError, MissingDependencyError
from ragmed.files import parse_json, require_file

MAX_ENTRY = 256 << 20  # bytes of one sample, unpacked
MAX_JSON = 2 << 30  # bytes of a .json log, which is read whole
MAX_WINDOW = 128 << 20  # bytes that a Zstandard frame may ask to be kept in memory
ZSTANDARD = 93
PIECE = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error, NotImplementedError,
           RuntimeError, ValueError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InspectLog:
    """`header`: `version`, `status`, `eval`, `plan`, `results`, `stats`. `samples()` can be asked for anew."""

    path: Path
    header: Mapping[str, Any]
    _whole: tuple[Any, ...] | None = None

    def samples(self) -> Iterator[dict[str, Any]]:
        """DataError, naming the log and the sample, for one that is damaged or no object."""
        if self._whole is not None:
            for number, value in enumerate(self._whole):
                yield _object(value, f"'{self.path}', sample {number + 1}")
            return
        with _Archive(self.path) as archive:
            for name in archive.samples():
                yield archive.json(name)


def read_log(path: Path) -> InspectLog:
    """
    >>> read_log(Path("logs/2031-05-04_medqa.eval")).header["results"]["scores"][0]["name"]  # doctest: +SKIP
    'choice'

    DataError for what is no log of inspect_ai, is damaged, or was broken off before it had results.
    """
    require_file(path, "inspect log")
    if zipfile.is_zipfile(path):
        with _Archive(path) as archive:
            if "header.json" not in archive.entries:
                raise DataError(f"'{path}' has no header: it was broken off; finish it with `inspect eval-retry`")
            log = InspectLog(path, archive.json("header.json"))
    else:
        log = _json_log(path)
    for key in ("eval", "status"):
        if key not in log.header:
            raise DataError(f"'{path}' is no log of inspect_ai: it has no '{key}'")
    if not isinstance(log.header["eval"], dict):
        raise DataError(f"'{path}' is no log of inspect_ai: 'eval' is no object")
    if log.header["status"] != "success" or not isinstance(log.header.get("results"), dict):
        raise DataError(
            f"'{path}' has the status '{log.header['status']}' and no complete results; finish it with `inspect "
            "eval-retry`, or score it with `inspect score`"
        )
    return log


def _json_log(path: Path) -> InspectLog:
    with path.open("rb") as stream:
        if stream.read(2) == b"PK" or path.suffix == ".eval":
            raise DataError(f"'{path}' is cut or damaged: it is no whole zip archive; copy it again")
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"'{path}' is larger than {MAX_JSON >> 30} GiB; write it with `inspect log convert --to eval`")
    header = dict(_parsed(path.read_bytes(), f"'{path}'"))
    samples = header.pop("samples", None)
    if samples is not None and not isinstance(samples, list):
        raise DataError(f"'{path}' is no log of inspect_ai: 'samples' is no list")
    return InspectLog(path, header, tuple(samples or ()))


class _Archive:
    """A zip that is read in place; Zstandard, which zipfile cannot unpack before Python 3.14, is unpacked here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("rb")
        try:
            self._zip = zipfile.ZipFile(self._stream)
        except _DAMAGE as error:
            self._stream.close()
            raise DataError(f"'{path}' is cut or damaged ({error}); copy it again") from error
        self.entries = {entry.filename: entry for entry in self._zip.infolist()}  # of two of a name the last counts
        self._budget = Budget(str(path), lambda: path.stat().st_size)

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._stream.close()

    def samples(self) -> list[str]:
        inside = [name for name in self.entries if name.startswith("samples/")]
        if any(name.endswith("/sample.json") and "_epoch_" in name.split("/")[-2] for name in inside):
            raise DataError(
                f"'{self._path}' keeps its samples in pieces; write it anew with `inspect log convert --to json`"
            )
        return [name for name in inside if name.endswith(".json")]

    def json(self, name: str) -> dict[str, Any]:
        where = f"'{self._path}', {name}"
        if max(self.entries[name].file_size, self.entries[name].compress_size) > MAX_ENTRY:
            raise DataError(f"{where} unpacks to more than {MAX_ENTRY >> 20} MiB; no sample is that long")
        try:
            with self._open(self.entries[name]) as stream:
                data = self._read(stream, where)
        except DataError:
            raise
        except _DAMAGE as error:
            raise DataError(f"{where} is damaged ({error}); copy the log again") from error
        return _object(_parsed(data, where), where)

    def _read(self, stream: IO[bytes] | _Zstandard, where: str) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := stream.read(PIECE):
            size += len(piece)
            self._budget.add(len(piece))
            if size > MAX_ENTRY:
                raise DataError(f"{where} unpacks to more than {MAX_ENTRY >> 20} MiB; no sample is that long")
            pieces.append(piece)
        return b"".join(pieces)

    def _open(self, entry: zipfile.ZipInfo) -> IO[bytes] | _Zstandard:
        if entry.compress_type != ZSTANDARD:
            return self._zip.open(entry)
        try:
            import zstandard
        except ImportError as error:
            raise MissingDependencyError("logs packed with Zstandard need: pip install zstandard") from error
        self._stream.seek(entry.header_offset)
        header = self._stream.read(30)
        if header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("its local header is missing")
        names, extra = struct.unpack("<HH", header[26:30])
        self._stream.seek(names + extra, io.SEEK_CUR)
        packed = io.BytesIO(self._stream.read(entry.compress_size))
        unpack = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        try:
            return _Zstandard(unpack.stream_reader(packed, read_across_frames=True), zstandard.ZstdError)
        except zstandard.ZstdError as error:
            raise zipfile.BadZipFile(str(error)) from error


class _Zstandard(io.RawIOBase):
    """A stream of unpacked bytes whose damage is raised as that of a zip."""

    def __init__(self, inner: Any, damage: type[Exception]) -> None:
        self._inner, self._damage = inner, damage

    def read(self, size: int = -1, /) -> bytes:
        try:
            return bytes(self._inner.read(size))
        except self._damage as error:
            raise zipfile.BadZipFile(str(error)) from error


def _parsed(data: bytes, where: str) -> Any:
    try:
        return parse_json(data.decode(json.detect_encoding(data)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}; copy the log again") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} is no JSON object")
    return value
