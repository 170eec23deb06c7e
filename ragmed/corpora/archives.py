"""Tar and zip archives, plain or packed -> their members in order, as streams; nothing is ever unpacked to disk.

What a hostile archive may hold (links, paths that lead out, devices, bombs) comes out as a member with a reason in
`wrong`, or, where the whole archive is not to be trusted, as a DataError that names it and the remedy.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

from ragmed.errors import DataError
from ragmed.files import POINTER, lfs_pointer

MAX_ARCHIVE_BYTES = 64 * 1024**3
"""Unpacked bytes that one archive may hold: above it, what is asked of the reader is hours, not minutes."""

MAX_RATIO = 200
RATIO_FROM = 100 * 1024 * 1024
"""Beyond this many unpacked bytes, more than MAX_RATIO of them for each packed byte is a bomb; text packs 3 to 20:1."""

MAX_HEADER = 1024 * 1024
"""Bytes of a tar header's long names and attributes: read at once, so a forged size would fill the memory."""

XZ_MEMORY = 256 * 1024 * 1024
"""What unpacking xz may take: `xz -9` needs 65 MiB, a forged dictionary 4 GiB."""

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
ARCHIVE_NAME = re.compile(r"\.(tar(\.(gz|xz|bz2|zst|lz4|lz))?|tgz|txz|tbz2?|zip|7z|rar|zst)\Z", re.IGNORECASE)
"""Names that promise an archive, those of the kinds that are not read here too: they get a remedy, not 'no XML'."""

DAMAGES: tuple[type[Exception], ...] = (
    EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError,
    RuntimeError, ValueError, LookupError, OverflowError, struct.error,
)  # fmt: skip
"""What Python's archive modules raise on bytes that are not what they should be."""

Kind = Literal["tar", "zip", "packed", "plain"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive. `wrong`: why it must not be read, or empty. `open` is good until the next entry is asked
    for."""

    name: str
    wrong: str
    open: Callable[[], IO[bytes]]


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> object: ...


class Guarded(io.RawIOBase):
    """A stream whose damage is raised as what `explain` makes of it, and whose bytes are counted by `count`."""

    def __init__(self, inner: _Readable, explain: Callable[[Exception], Exception], count: Callable[[int], None]):
        self._inner, self._explain, self._count = inner, explain, count
        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._inner.read(len(buffer))
        except DAMAGES as error:
            raise self._explain(error) from error
        self.total += len(data)
        self._count(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class _Xz:
    """Like lzma.LZMAFile, with a limit on memory, which that one cannot be given."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._unpack = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._unpack.eof:  # several streams may follow one another, with zeros between them
                self._waiting = (self._unpack.unused_data or self._raw.read(io.DEFAULT_BUFFER_SIZE)).lstrip(b"\0")
                while not self._waiting:
                    more = self._raw.read(io.DEFAULT_BUFFER_SIZE)
                    if not more:
                        return b""
                    self._waiting = more.lstrip(b"\0")
                self._unpack = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            if self._unpack.needs_input and not self._waiting:
                self._waiting = self._raw.read(io.DEFAULT_BUFFER_SIZE)
                if not self._waiting:
                    raise EOFError("the xz stream ends before its end mark")
            data, self._waiting = self._unpack.decompress(self._waiting, size), b""
            if data:
                return data

    def close(self) -> None:
        """The raw stream is closed by who opened it."""


class Budget:
    """Counts what comes out of an archive against what went in; DataError where that is a bomb."""

    def __init__(self, file: str, packed: Callable[[], int]) -> None:
        self._file, self._packed, self._total = file, packed, 0

    def add(self, count: int) -> None:
        self._total += count
        if self._total > MAX_ARCHIVE_BYTES:
            raise DataError(f"'{self._file}' unpacks to more than {MAX_ARCHIVE_BYTES} bytes; split it")
        if self._total > RATIO_FROM and self._total > MAX_RATIO * self._packed():
            raise DataError(
                f"'{self._file}' unpacks to more than {MAX_RATIO} times its size, as archives do that are made to fill "
                "a machine; if you trust it, unpack it yourself and name the folder"
            )


def unpacked(raw: IO[bytes], explain: Callable[[Exception], Exception], count: Callable[[int], None]) -> IO[bytes]:
    """The stream under gzip, xz or bzip2, recognised by its first bytes; the stream itself where it is none of them."""
    raw = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw))
    start = raw.peek(6)[:6]
    inner: _Readable
    if start.startswith(b"\x1f\x8b"):
        inner = gzip.GzipFile(fileobj=raw)
    elif start.startswith(b"\xfd7zXZ\x00"):
        inner = _Xz(raw)
    elif start.startswith(b"BZh"):
        inner = bz2.BZ2File(raw)
    else:
        return raw
    return cast(IO[bytes], _Owner(Guarded(inner, explain, count), raw))


class _Owner(io.BufferedReader):
    """Closes the packed stream together with the unpacked one."""

    def __init__(self, stream: io.RawIOBase, below: IO[bytes]) -> None:
        super().__init__(stream)
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


def kind_of(path: Path) -> Kind:
    """What a file is by its first bytes. DataError where it is named as an archive and is none that is read here."""
    kind: Kind = "plain"
    try:
        with path.open("rb") as raw:
            start = raw.read(len(POINTER))
            if pointer := lfs_pointer(start):
                raise DataError(f"'{path}' {pointer}")
            if start[:4] in ZIP_STARTS:
                return "zip"
            raw.seek(0)
            with unpacked(raw, _damaged(path, "its start"), lambda _: None) as stream:
                packed = stream is not raw
                kind = "tar" if _is_tar(stream.read(tarfile.BLOCKSIZE)) else "packed" if packed else "plain"
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror})") from error
    except DataError:
        if ARCHIVE_NAME.search(path.name) or lfs_pointer(start):
            raise
        return "packed"
    if kind != "tar" and ARCHIVE_NAME.search(path.name):
        raise DataError(
            f"'{path}' is named as an archive, but is neither tar (plain, gz, xz, bz2) nor zip; "
            "fetch it again, or repack it as .tar.xz or .zip"
        )
    return kind


def _is_tar(block: bytes) -> bool:
    if len(block) < tarfile.BLOCKSIZE:
        return False
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return not block.strip(b"\0")  # an empty tar is zeros
    return True


def _damaged(path: Path, where: str) -> Callable[[Exception], Exception]:
    def explain(error: Exception) -> Exception:
        return DataError(f"'{path}' is cut or damaged at {where} ({_words(error)}); fetch or make it again")

    return explain


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _StrictInfo(tarfile.TarInfo):
    """Where tarfile takes a cut or damaged header for the end of the archive, this one raises."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _LONG and info.size > MAX_HEADER):
            raise tarfile.ReadError("a header with an impossible size")
        return info

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictInfo:
        try:
            return super().fromtarfile(tarfile_)
        except cast(Any, tarfile).EOFHeaderError:
            raise
        except cast(Any, tarfile).HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


_LONG = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
)  # fmt: skip


def tar_entries(path: Path) -> Iterator[Entry]:
    """
        [entry.name for entry in tar_entries(Path("a.tar.xz"))]

    The archive's files in its order, read in one pass. DataError where it is cut or damaged, or a bomb.
    """
    where = "its start"
    count = 0

    def explain(error: Exception) -> Exception:
        return _damaged(path, where)(error)

    with path.open("rb") as raw:
        budget = Budget(str(path), raw.tell)
        with unpacked(raw, explain, budget.add) as stream, _opened(stream, explain) as tar:
            while True:
                try:
                    info = tar.next()
                except DAMAGES as error:
                    raise explain(error) from error
                if info is None:
                    return
                cast(Any, tar).members.clear()  # it would keep every header of the archive
                count += 1
                where = f"member {count}, '{info.name}'"
                if not info.isdir():
                    unread = [info]
                    yield Entry(info.name, _wrong_in_tar(info), _tar_opener(tar, info, explain, unread=unread))
                    unread.clear()
                where = f"the header after member {count}, '{info.name}'"


@contextmanager
def _opened(stream: IO[bytes], explain: Callable[[Exception], Exception]) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.TarFile.open(fileobj=stream, mode="r|", tarinfo=_StrictInfo, encoding="utf-8")
    except DAMAGES as error:
        raise explain(error) from error
    with tar:
        yield tar


def _tar_opener(
    tar: tarfile.TarFile,
    info: tarfile.TarInfo,
    explain: Callable[[Exception], Exception],
    *,
    unread: list[tarfile.TarInfo],
) -> Callable[[], IO[bytes]]:
    def open_() -> IO[bytes]:
        if cast(Any, tar).closed or not unread or unread.pop() is not info:
            raise RuntimeError("a member of an archive is read before the next one is asked for, and once")
        try:
            stream = tar.extractfile(info)
        except DAMAGES as error:
            raise explain(error) from error
        assert stream is not None  # a regular file, see _wrong_in_tar
        return cast(IO[bytes], io.BufferedReader(Guarded(stream, explain, lambda _: None)))

    return open_


def _wrong_in_tar(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link; links in archives are not followed"
    if not info.isreg():
        return "not a regular file"
    if info.issparse():
        return "a sparse file; pack the archive without --sparse"
    return _wrong_path(info.name)


def zip_entries(path: Path) -> Iterator[Entry]:
    """The files of a zip archive in its order. DataError where its table of contents is cut or damaged, or it is a
    bomb; a damaged member is reported by its stream (ValueError), and the others can still be read."""
    with path.open("rb") as raw:
        try:
            archive = zipfile.ZipFile(raw)
        except DAMAGES as error:
            raise _damaged(path, "its table of contents")(error) from error
        size = path.stat().st_size
        budget = Budget(str(path), lambda: size)
        for info in archive.infolist():
            if not info.filename.endswith("/"):
                yield Entry(info.filename.replace("\\", "/"), _wrong_in_zip(info), _zip_opener(archive, info, budget))


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Callable[[], IO[bytes]]:
    def explain(error: Exception) -> Exception:
        return ValueError(f"the member is damaged ({_words(error)}); fetch or make the archive again")

    def open_() -> IO[bytes]:
        try:
            stream = archive.open(info)
        except DAMAGES as error:
            raise explain(error) from error
        return cast(IO[bytes], io.BufferedReader(Guarded(stream, explain, budget.add)))

    return open_


def _wrong_in_zip(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a link; links in archives are not followed"
    if kind not in (0, stat.S_IFREG):
        return "not a regular file"
    if info.flag_bits & 1:
        return "encrypted; repack the archive without a password"
    return _wrong_path(info.filename)


def _wrong_path(name: str) -> str:
    if not name:
        return "it has no name"
    parts = re.split(r"[/\\]", name)
    if not parts[0] or re.match(r"[A-Za-z]:", name):
        return "its path is absolute"
    return "its path leads out of the archive ('..')" if ".." in parts else ""
