"""A folder, a file or an archive -> its files of the wanted kinds, one by one, each with a name and a stream.

The one place that walks what a corpus is made of: sorted folders, links that leave them, archives read in place.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from ragmed.checked import kind_found
from ragmed.corpora.archives import Budget, Entry, Guarded, Kind, kind_of, tar_entries, unpacked, zip_entries
from ragmed.corpora.recipe import Ignored, Recipe, Rejected
from ragmed.errors import DataError
from ragmed.files import POINTER, RepeatedKey, lfs_pointer, not_text, parse_json, repeated

T = TypeVar("T")
MAX_MEMBER_BYTES = 64 * 1024 * 1024
"""A larger member is not read whole; a reader that takes it in pieces uses `stream()`."""

MAX_JSON_PARTS = 2_000_000
"""Lists and objects of a JSON file read whole, a quarter of its commas: `[],` takes 25 times its bytes in memory."""

PIECE = 256 * 1024

PACKED = (".gz", ".xz", ".bz2")
"""Behind another suffix (`a.xml.gz`): a packed file counts as what it holds."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a corpus. `name`: its posix path below the folder or in the archive, without `.gz`, for ids.

    `file`: what messages call it, such as `trials.tar.xz!txt/PMC1.txt`. `path`: where it lies on disk as it is,
    neither packed nor in an archive; None otherwise. A member of an archive is read before the next one is asked for.
    """

    name: str
    file: str
    path: Path | None
    _open: Callable[[], IO[bytes]] = field(repr=False)

    def stream(self) -> IO[bytes]:
        """
            with member.stream() as stream: ...

        The bytes, unpacked, from the start, without a limit on their number. Opening and reading raise ValueError,
        with the reason, where the member is damaged or no regular file; DataError where the archive is, or is a bomb.
        """
        try:
            return self._open()
        except OSError as error:
            raise ValueError(f"the file cannot be read ({error.strerror})") from error

    def read(self, limit: int = MAX_MEMBER_BYTES) -> bytes:
        """All bytes. ValueError where there are more than `limit`, or as for `stream`."""
        pieces: list[bytes] = []
        left = limit + 1
        with self.stream() as stream:
            # In pieces, because Python's streams set aside at once whatever is asked for.
            while left and (piece := stream.read(min(left, PIECE))):
                pieces.append(piece)
                left -= len(piece)
        if not left:
            raise ValueError(f"the file is larger than {limit} bytes; split it into its documents")
        return b"".join(pieces)

    def bare_name(self, suffixes: Collection[str]) -> str:
        """The name without its suffix, where that is one of these."""
        name = PurePosixPath(self.name)
        return (name.with_suffix("") if name.suffix.lower() in suffixes else name).as_posix()


def members(path: Path, suffixes: Collection[str]) -> Iterator[Member | Rejected | Ignored]:
    """
        for item in members(Path("pages.zip"), (".md", ".txt")): ...

    Suffixes are lower case, with the dot. Folders come in sorted order, archives (tar: plain, gz, xz, bz2; zip;
    recognised by their bytes) in their own. A hidden file is passed over; a file of another kind is Ignored, and so
    is an archive in a folder: it may hold anything, and a recipe that means it names it. A link that leaves the folder,
    and in archives any link, device, encrypted file or path that leads out, is Rejected. A path that is itself one
    file, packed or not, is a member whatever its suffix. DataError: an empty folder or archive; an archive that is cut,
    damaged (what came before it broke has been handed over), or a bomb.
    """
    if path.is_dir():
        items: Iterator[Member | Rejected | Ignored] = _in_folder(path, suffixes)
    elif not stat.S_ISREG(path.stat().st_mode) or not path.stat().st_size:
        items = iter([_on_disk(path, path.parent)])
    else:
        kind = kind_of(path)
        if kind == "tar":
            items = _in_archive(path, tar_entries(path), suffixes)
        elif kind == "zip" and path.suffix.lower() not in suffixes:  # some formats, such as docx, are zips themselves
            items = _in_archive(path, zip_entries(path), suffixes)
        else:
            items = iter([_on_disk(path, path.parent, kind)])
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        what = "folder" if path.is_dir() else "archive"
        raise DataError(f"the {what} '{path}' is empty; put files there ({', '.join(suffixes)})")


def read_members(
    recipe: Recipe, suffixes: Collection[str], read: Callable[[Member], Iterable[T]]
) -> Iterator[T | Rejected | Ignored]:
    """What `read` makes of every member of the recipe's paths; one of which it raises ValueError is Rejected."""
    for path in recipe.paths:
        for item in members(path, suffixes):
            if not isinstance(item, Member):
                yield item
                continue
            try:
                yield from read(item)
            except ValueError as error:
                yield Rejected(item.file, 0, str(error))


def load_text(member: Member, limit: int = MAX_MEMBER_BYTES) -> str:
    """The text that a file holds, without a byte-order mark; ValueError, with the reason, where it holds none."""
    data = member.read(limit)
    reason = "the file is empty" if not data else not_text(data)
    if reason:
        raise ValueError(reason)
    return data.decode("utf-8-sig")


def _in_folder(root: Path, suffixes: Collection[str]) -> Iterator[Member | Rejected | Ignored]:
    unreadable: list[OSError] = []
    home = root.resolve()
    for folder, names, files in os.walk(root, onerror=unreadable.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted([*files, *(name for name in names if Path(folder, name).is_symlink())]):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            reason = _bad_link(path, home) if path.is_symlink() else ""
            if reason:
                yield Rejected(str(path), 0, reason)
            elif path.is_dir():
                yield Ignored(str(path), "a link to a folder that is read at its own place")
            elif _wanted(name, suffixes):
                yield _on_disk(path, root)
            else:
                yield Ignored(str(path), f"not one of {', '.join(suffixes)}")
    for error in unreadable:
        yield Rejected(str(error.filename), 0, f"the folder cannot be read ({error.strerror})")


def _bad_link(path: Path, home: Path) -> str:
    """Why a link is not followed, or an empty string."""
    try:
        inside = path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # which of the two a loop raises depends on the version of Python
        return "a link that leads in a circle"
    return "" if inside else "a link that leaves the corpus folder is not followed"


def _in_archive(
    archive: Path, entries: Iterator[Entry], suffixes: Collection[str]
) -> Iterator[Member | Rejected | Ignored]:
    for entry in entries:
        file = f"{archive}!{entry.name}"
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        if any(part.startswith(".") and part != ".." for part in parts):
            continue
        if entry.wrong:
            yield Rejected(file, 0, entry.wrong)
        elif parts and _wanted(parts[-1], suffixes):
            yield Member(_plain_name("/".join(parts)), file, None, _unpacking(entry.open, file))
        else:
            yield Ignored(file, f"not one of {', '.join(suffixes)}")


def _on_disk(path: Path, root: Path, kind: Kind = "plain") -> Member:
    def open_() -> IO[bytes]:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("not a regular file")
        return path.open("rb")

    name = path.relative_to(root).as_posix()
    plain = kind != "packed" and name == _plain_name(name)
    return Member(_plain_name(name), str(path), path if plain else None, _unpacking(open_, str(path)))


def _unpacking(open_: Callable[[], IO[bytes]], file: str) -> Callable[[], IO[bytes]]:
    """The same, a packed file unpacked; what is wrong with the packing is a ValueError."""

    def explain(error: Exception) -> Exception:
        if isinstance(error, ValueError):  # from the archive around it: reported already
            return error
        return ValueError(f"cut or damaged ({' '.join(str(error).split())[:200]}); fetch or make the file again")

    def open_unpacked() -> IO[bytes]:
        raw = Guarded(open_(), explain, lambda _: None)
        try:
            buffered = io.BufferedReader(raw)
            if pointer := lfs_pointer(buffered.peek(len(POINTER))[: len(POINTER)]):
                raise ValueError(pointer)
            return unpacked(buffered, explain, Budget(file, lambda: raw.total).add)
        except BaseException:
            raw.close()
            raise

    return open_unpacked


def _wanted(name: str, suffixes: Collection[str]) -> bool:
    return Path(_plain_name(name)).suffix.lower() in suffixes


def _plain_name(name: str) -> str:
    """`a.xml` for `a.xml.gz`; a name with no other suffix is left as it is."""
    path = Path(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in PACKED and Path(path.stem).suffix else name


def load_object(member: Member) -> dict[str, Any]:
    """The JSON object that a file holds. ValueError, with the reason, where it holds none."""
    text = load_text(member)
    if text.count("[") + text.count("{") > MAX_JSON_PARTS or text.count(",") > 4 * MAX_JSON_PARTS:
        raise ValueError(f"the JSON holds more than {MAX_JSON_PARTS} lists and objects; split it")
    try:
        value = parse_json(text, unique=True)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except RepeatedKey as error:
        raise ValueError(repeated(error, text)) from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, found {kind_found(value)}")
    return value
