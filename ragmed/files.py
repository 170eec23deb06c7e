"""Files that appear whole or not at all, checksums, and JSON Lines in and out.

Text is UTF-8. A line ends at `\\n` only: U+2028, U+0085 and their like are text.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import socket
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from ragmed.checked import kind_found
from ragmed.errors import BusyError, DataError, UnwritableError

MAX_LINE_BYTES = 8 * 1024 * 1024
POINTER = b"version https://git-lfs.github.com/spec/"
"""How the few bytes begin that a clone made without Git LFS has in the place of a file."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not a JSON object; `number` starts at 1."""

    number: int
    reason: str


def user_path(text: str | Path) -> Path:
    """
    >>> user_path("~nobody-of-that-name/models")
    PosixPath('~nobody-of-that-name/models')

    A path that a user wrote, with `~` as the home folder; where nobody has that name, it is part of the file's.
    """
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def sha256_file(path: Path) -> str:
    """
    >>> sha256_file(Path(os.devnull))[:8]
    'e3b0c442'

    Hex digest of a file's bytes, read in pieces.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex digest of a value's canonical JSON: the same for equal values, whatever the order of their keys."""
    return hashlib.sha256(whole_text(canonical_json(value)).encode("utf-8")).hexdigest()


def canonical_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def whole_text(text: str) -> str:
    """
    >>> whole_text("cut \\ud83d")
    'cut \ufffd'

    A lone surrogate, such as an emoji leaves that a limit of tokens cut, has no bytes in UTF-8: it becomes U+FFFD.
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class RepeatedKey(ValueError):
    """A key that stands twice in one object: which of the two is meant, nobody knows."""


def parse_json(text: str, *, finite: bool = False, unique: bool = False) -> Any:
    """
    >>> parse_json('{"text": "cut \\\\ud83d"}')
    {'text': 'cut \ufffd'}

    JSON with whole texts only (`whole_text`). `finite`: NaN and infinity, which JSON has not, are refused. `unique`: so
    is a key that stands twice in an object, of which the last would win without a word (RepeatedKey). Raises
    ValueError, also where two keys of an object become one, and RecursionError.
    """
    value = _decode(text, finite=finite, unique=unique)
    return _whole(value) if _ESCAPED_SURROGATE.search(text) else value


def _decode(text: str, *, finite: bool = False, unique: bool = False) -> Any:
    try:
        return _DECODERS[finite, unique].decode(text)
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):  # Python's words, and its remedy is for who writes Python
            most = sys.get_int_max_str_digits()
            raise ValueError(f"a number in it has more than {most:,} digits; put it in quotes") from error
        raise


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    if isinstance(value, dict):
        made = {whole_text(key): _whole(inner) for key, inner in value.items()}
        if len(made) < len(value):
            raise ValueError("two keys differ only in lone surrogates, which are no characters; rename one")
        return made
    return value


def _no_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no JSON number")


def _finite(literal: str) -> float:
    number = float(literal)
    return number if math.isfinite(number) else _no_number(literal)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKey(next(key for place, key in enumerate(keys) if key in keys[:place]))
    return made


_DECODERS = {
    (False, False): json.JSONDecoder(),
    (False, True): json.JSONDecoder(object_pairs_hook=_unique),
    (True, False): json.JSONDecoder(parse_constant=_no_number, parse_float=_finite),
    (True, True): json.JSONDecoder(parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_unique),
}


def repeated(error: RepeatedKey, text: str) -> str:
    """What is wrong and what to do, with both lines where the text has that key on two."""
    key = str(error)
    lines = [number for number, line in enumerate(text.split("\n"), 1) if f'"{key}"' in line]
    where = f" (lines {lines[0]} and {lines[1]})" if len(lines) == 2 else ""
    return f"the key '{key}' stands twice in one object{where}; keep one"


def require_file(path: Path, what: str) -> Path:
    """The path, if it is a regular file with something in it; else a DataError that names it and says why."""
    if path.is_dir():
        raise DataError(f"{what} '{path}' is a directory, a file was expected")
    if not path.exists():
        raise DataError(f"{what} '{path}' does not exist")
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{what} '{path}' is not a regular file")
    if path.stat().st_size == 0:
        raise DataError(f"{what} '{path}' is empty")
    if not os.access(path, os.R_OK):
        raise DataError(f"{what} '{path}' may not be read by this user; change its permissions")
    with path.open("rb") as stream:
        if pointer := lfs_pointer(stream.read(len(POINTER))):
            raise DataError(f"{what} '{path}' {pointer}")
    return path


def lfs_pointer(start: bytes) -> str:
    """
    >>> lfs_pointer(b"version https://git-lfs.github.com/spec/v1")[:26]
    'is a Git LFS pointer, not '

    What is wrong with a file that starts so, where it is a pointer of Git LFS; else an empty string.
    """
    if not start.startswith(POINTER):
        return ""
    return "is a Git LFS pointer, not the file; run 'git lfs pull' in its clone, or fetch the file itself"


def refuse_pointers(folder: Path, what: str) -> None:
    """
        refuse_pointers(Path("models/medcpt"), "embedder 'path:models/medcpt'")

    DataError for the first file of a model's folder that is a pointer of Git LFS: libraries say of one that its header
    is too large, or that it is no JSON.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".txt", ".model") and path.is_file():
            with path.open("rb") as stream:
                if pointer := lfs_pointer(stream.read(len(POINTER))):
                    raise DataError(f"{what}: '{path}' {pointer}")


def read_text(path: Path, what: str) -> str:
    """A whole small text file (a config, a page), as UTF-8 without a byte-order mark."""
    data = require_file(path, what).read_bytes()
    reason = not_text(data)
    if reason:
        raise DataError(f"{what} '{path}' {reason}")
    return data.decode("utf-8-sig")


def not_text(data: bytes) -> str:
    """Why these bytes are not UTF-8 text, or an empty string."""
    if b"\x00" in data:
        return f"holds a NUL byte at offset {data.index(0)}: it is not a text file"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}); convert it to UTF-8"
    return ""


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream of a plain or gzip file (recognised by its first bytes, not by its name)."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield stream  # type: ignore[misc]


def read_jsonl(
    path: Path,
    what: str = "JSON Lines file",
    *,
    finite: bool = False,
    whole: bool = True,
    wrong: Callable[[bytes], str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    """Objects with their line numbers, streamed; a bad line comes as a BadLine, in its place. `finite`: `parse_json`.
    `whole`: lone surrogates are replaced, see `whole_text`; else they are left for the caller to refuse. `wrong`: what
    else is wrong with the bytes of a line that is JSON, '' where nothing is.

    Memory is bounded by MAX_LINE_BYTES: a longer line is skipped and reported. Blank lines are passed over. Raises
    DataError where the file itself cannot be read (missing, a directory, empty), or where its gzip stream is cut or
    damaged: what follows is then lost, and how much that is remains unknown.
    """
    require_file(path, what)
    with open_binary(path) as stream:
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline(MAX_LINE_BYTES + 1)
                too_long = len(line) > MAX_LINE_BYTES and not line.endswith(b"\n")
                while too_long and (rest := stream.readline(MAX_LINE_BYTES)):
                    if rest.endswith(b"\n"):
                        break
            except (EOFError, OSError, zlib.error) as error:
                raise DataError(
                    f"{what} '{path}' is cut or damaged at line {number} ({error}); fetch or make the file again"
                ) from error
            if not line:
                return
            if too_long:
                yield BadLine(number, f"the line is longer than {MAX_LINE_BYTES} bytes")
                continue
            if line.strip():
                parsed = _parse_object(line, finite=finite, whole=whole, unique=wrong is None)  # a checksum says more
                if wrong and isinstance(parsed, dict):
                    parsed = wrong(line) or parsed
                yield (number, parsed) if isinstance(parsed, dict) else BadLine(number, parsed)


def records(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record of a JSON Lines file with its place, for messages; DataError for a line that is none."""
    for item in read_jsonl(path, what):
        if isinstance(item, BadLine):
            raise DataError(f"{what} '{path}', line {item.number}: {item.reason}")
        yield f"{what} '{path}', line {item[0]}", item[1]


def _parse_object(line: bytes, *, finite: bool, whole: bool, unique: bool) -> dict[str, Any] | str:
    reason = not_text(line)
    if reason:
        return reason
    try:
        text = line.decode("utf-8-sig")
        value = parse_json(text, finite=finite, unique=unique) if whole else _decode(text, unique=unique)
    except RepeatedKey as error:
        return repeated(error, "")
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(value, dict):
        return f"a JSON object was expected, found {kind_found(value)}"
    return value


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """A folder and those above it that are missing, all with `mode`: `mkdir(parents=True)` gives it to the last one."""
    with writing(folder):
        for parent in reversed([folder, *folder.parents]):
            if parent == folder or not parent.exists():
                parent.mkdir(exist_ok=True, mode=mode)


def write_atomic(path: Path, data: str | bytes, *, mode: int = 0o644) -> None:
    """
        write_atomic(Path("manifest.json"), "{}")

    Whole or not at all: written beside, flushed to disk, renamed over `path`; what a kill left of an earlier attempt is
    taken away. Text is written as `whole_text`. Raises
    UnwritableError where the disk is full, the name too long, or the folder cannot be written to.
    """
    payload = whole_text(data).encode("utf-8") if isinstance(data, str) else data
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        unfinished = beside(path)
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
                unfinished.replace(path)
        finally:
            with suppress(OSError):  # a name that is too long cannot even be looked for
                unfinished.unlink(missing_ok=True)
        fsync_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system says against writing `path` becomes an UnwritableError that names it and the remedy."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room" if full else "choose another place"
        raise UnwritableError(f"cannot write '{path}': {error.strerror or error}; {remedy}, and run again") from error


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Pretty JSON, atomically; NaN and infinity are refused because JSON has none."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n", mode=mode)


def read_json(path: Path, what: str, *, finite: bool = False) -> dict[str, Any]:
    """A JSON object from a file (see `parse_json`); DataError names the file and says what is wrong with it."""
    try:
        text = read_text(path, what)
        value = parse_json(text, finite=finite, unique=True)
    except RepeatedKey as error:
        raise DataError(f"{what} '{path}': {repeated(error, text)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} '{path}' is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{what} '{path}': a JSON object was expected")
    return value


def fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    fsync_file(path)  # the same call: a folder's entry list is flushed through its descriptor


_POLL_S, _POLLS = 0.01, 50  # how long a holder may take from its lock to its name in the file


@contextmanager
def exclusive(lock: Path, what: str, *, signed: bool = True) -> Iterator[None]:
    """
        with exclusive(folder / ".lock", "run 'toy'"): ...

    Holds `lock` for the block; BusyError at once where another process holds it, with its pid and host. The kernel
    frees it on a kill. The file is made for its owner alone. `signed`: who holds it is written into it, so that it must
    be a file for nothing else. UnwritableError where it cannot be opened, or is no file.
    """
    with writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        if lock.exists() and not stat.S_ISREG(lock.stat().st_mode):
            raise UnwritableError(f"the lock '{lock}' is not a regular file; remove it, and run again")
        stream = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    with stream:
        _take(stream, what, signed=signed)
        if not signed:
            yield
            return
        with suppress(OSError):  # somebody else's, in a folder that several share
            os.fchmod(stream.fileno(), 0o600)
        try:
            with writing(lock):
                _sign(stream, {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T %Z")})
            yield
        finally:
            with suppress(OSError):
                _sign(stream, None)


def _sign(stream: IO[bytes], holder: dict[str, Any] | None) -> None:
    stream.truncate(0)
    stream.seek(0)
    stream.write(json.dumps(holder).encode() if holder else b"")
    stream.flush()


def _take(stream: IO[bytes], what: str, *, signed: bool) -> None:
    """The lock, or a BusyError. Who holds it writes its name a moment later: until then it is asked for again."""
    for attempt in range(_POLLS):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            holder = _holder(stream) if signed else ""
            if holder or not signed or attempt + 1 == _POLLS:
                by = holder or _in_kernel(stream) or "another process"
                raise BusyError(f"{what} is in use by {by}; wait for it, or stop it") from error
        time.sleep(_POLL_S)


def _holder(stream: IO[bytes]) -> str:
    """Who has signed the lock; '' where nobody has, or one that was killed here since."""
    stream.seek(0)
    try:
        found = json.loads(stream.read(1000))
        pid, host, since = int(found["pid"]), str(found["host"]), str(found["since"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    if host == socket.gethostname() and not _runs(pid):
        return ""
    return f"process {pid} on host {host[:64]!a} (since {ascii(since[:40])[1:-1]})"


def _in_kernel(stream: IO[bytes]) -> str:
    """Who the kernel says has locked the file; '' where that is on another machine, or no such list is kept."""
    facts = os.fstat(stream.fileno())
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    try:
        locks = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return ""
    pids = [int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5] == place and lock[4].isdigit()]
    known = next((pid for pid in pids if pid > 0 and _runs(pid)), 0)  # 0: of another container
    return f"process {known} on host {socket.gethostname()[:64]!a}" if known else ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def beside(path: Path) -> Path:
    """
    >>> beside(Path("runs/run.json")).name == f".run.json.{os.getpid()}.tmp"
    True

    The name under which this process makes what will be renamed to `path`.
    """
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def folder_beside(path: Path, *, mode: int) -> Iterator[Path]:
    """An empty folder, for what will be renamed to `path`; taken away after the block if it is still there."""
    sweep(path.parent, path.name)
    folder = beside(path)
    with writing(path):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=mode)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # where a file system locks no folders, `sweep` leaves them
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, name: str = "", *, deep: bool = False) -> None:
    """
        sweep(Path("runs/toy"), deep=True)

    Takes away what killed processes left in a folder: `.NAME.PID.tmp`, where no process of that number runs, nor, on a
    file system that several machines share, one elsewhere that still holds it. `name`: only what was to become that.
    `deep`: in the folders below too. What cannot be taken away stays: it is in nobody's way.
    """
    pattern = re.compile(rf"\.{re.escape(name) if name else '.+'}\.(\d{{1,10}})\.tmp")
    for place, folders, files in os.walk(folder):
        for found in (*folders, *files):
            match = pattern.fullmatch(found)
            if match and not _runs(int(match[1])):
                with suppress(OSError):
                    _remove_unheld(Path(place, found))
        folders[:] = [inner for inner in folders if not pattern.fullmatch(inner)] if deep else []


def _remove_unheld(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
