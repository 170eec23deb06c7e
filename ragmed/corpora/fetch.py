"""A recipe with `downloads` in, its files in their places out: whole, checked, or not there at all.

What was fetched so far lies beside as `NAME.part`, with `NAME.part.json` saying of which version it is; a cut download
goes on from there. A file with another hash than the recipe's is kept as `NAME.mismatch` and never put in its place.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import IO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ragmed.corpora.downloads import Download, allowed, is_loopback
from ragmed.corpora.recipe import Recipe
from ragmed.errors import DamagedError, DataError, UsageError
from ragmed.files import exclusive, fsync_file, fsync_folder, read_json, sha256_file, write_json

MAX_BYTES = 20 * 1024**3
READ_SECONDS = 30.0
"""Without one byte for so long, a server counts as gone."""

ANSWER_SECONDS = 120.0
"""Until the whole head of its answer has come."""

STALL_SECONDS, STALL_BYTES = 60.0, 64 * 1024
"""Fewer bytes than these in that time is a server that drips."""

PIECE = 1 << 18


def fetch(recipe: Recipe, *, max_bytes: int = MAX_BYTES, say: Callable[[str], None] = print) -> None:
    """>>> fetch(load_recipe(path, data=workspace.data))  # doctest: +SKIP
    fetched corpora/mine/pages.tar.gz: 1234 bytes, sha256 as the recipe says

    Files that are there already are checked and left. `max_bytes` bounds each file. UsageError: its files are not here,
    and the recipe names no downloads. DataError: no network, a refusal, a server that stops; its sentence says which
    file to put where. DamagedError: another sha256 than the recipe's. BusyError: another process fetches the same.
    """
    if not recipe.downloads:
        places = ", ".join(f"'{path}'" for path in recipe.paths)
        if all(path.exists() for path in recipe.paths):
            say(f"corpus '{recipe.name}' is here already: {places}")
            return
        raise UsageError(
            f"the recipe of corpus '{recipe.name}' names no downloads; get its files from its publisher "
            f"({recipe.source or 'see its citation'}) and put them at {places}"
        )
    private = recipe.access != "open"
    for one in recipe.downloads:
        if one.path.exists():
            _check_there(one, say)
            continue
        one.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
        part = _beside(one.path, ".part")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600 if private else 0o644))
        with exclusive(part, f"'{part}'"):
            if one.path.exists():  # whoever held it has just finished
                _check_there(one, say)
                continue
            try:
                _download(one, part, max_bytes)
            finally:
                if not part.stat().st_size:
                    part.unlink()
                    _beside(part, ".json").unlink(missing_ok=True)
            _put_in_place(one, part, say)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _check_there(one: Download, say: Callable[[str], None]) -> None:
    if not one.path.is_file():
        raise DataError(f"'{one.path}' is there and is no file; move it away to fetch {one.url}")
    found = sha256_file(one.path)
    if not one.sha256:
        say(f"there already: {one.path}; to have it checked, put this into its download:\n  sha256: {found}")
    elif found == one.sha256:
        say(f"there already: {one.path}, sha256 as the recipe says")
    else:
        raise DamagedError(
            f"'{one.path}' has the sha256 {found}, its recipe says {one.sha256}; move it away and fetch again"
        )


def _put_in_place(one: Download, part: Path, say: Callable[[str], None]) -> None:
    found, size = sha256_file(part), part.stat().st_size
    _beside(part, ".json").unlink(missing_ok=True)
    if one.sha256 and found != one.sha256:
        aside = _beside(one.path, ".mismatch")
        part.replace(aside)
        raise DamagedError(
            f"{one.url} gave {size} bytes with the sha256 {found}, the recipe says {one.sha256}; they are kept as "
            f"'{aside}': compare with what its publisher says now, then correct the recipe or fetch again"
        )
    fsync_file(part)
    part.replace(one.path)
    fsync_folder(one.path.parent)
    if one.sha256:
        say(f"fetched {one.path}: {size} bytes, sha256 as the recipe says")
    else:
        say(f"fetched {one.path}: {size} bytes; to have them checked from now on, put this into its download:")
        say(f"  sha256: {found}")


def _download(one: Download, part: Path, max_bytes: int) -> None:
    try:
        offset, headers, noted = _resumed(one, part)
        response = _answer(one.url, headers)
        if response.status == 416 and response.headers.get("Content-Range") == f"bytes */{offset}":
            response.close()
            return  # all of it had come; only the check was missing
        if offset and not _goes_on(response, offset, noted):
            response.close()
            offset, response = 0, _answer(one.url, {})
        with closing(response):
            if response.status not in ((200, 206) if offset else (200,)):
                raise DataError(_sorry(one, f"the server answers {response.status} {response.reason}".rstrip()))
            _receive(one, response, part, offset, max_bytes)
    except (URLError, HTTPException, TimeoutError, ConnectionError, SSLError) as error:
        cause = getattr(error, "reason", "") or error
        words = cause.strerror if isinstance(cause, OSError) and not isinstance(cause, SSLError) else ""
        raise DataError(_sorry(one, words or str(cause) or type(error).__name__)) from error


def _sorry(one: Download, reason: str) -> str:
    text = f"{one.url} could not be fetched: {reason}; "
    if _beside(one.path, ".part").stat().st_size:
        text += "what has come is kept, try again; or "
    return f"{text}get it by other means and put it at '{one.path}'"


def _resumed(one: Download, part: Path) -> tuple[int, dict[str, str], Mapping[str, object]]:
    """How much is there already, the headers that ask for the rest of the same version, and what was noted of it."""
    offset, known = part.stat().st_size, _beside(part, ".json")
    if not offset:
        return 0, {}, {}
    about: Mapping[str, object] = {}
    with suppress(DataError):
        about = read_json(known, "download state")
    about = about if about.get("url") == one.url else {}
    version = about.get("version")
    if isinstance(version, str) and version:
        return offset, {"Range": f"bytes={offset}-", "If-Range": version}, about
    # Without a version only the hash can tell whether both pieces are of one file.
    return (offset, {"Range": f"bytes={offset}-"}, about) if one.sha256 else (0, {}, {})


def _goes_on(response: HTTPResponse, offset: int, noted: Mapping[str, object]) -> bool:
    """Whether it is the rest of what was noted: some servers send a piece of another version, If-Range or not."""
    if response.status != 206 or not (response.headers.get("Content-Range") or "").startswith(f"bytes {offset}-"):
        return False
    same = ((_version(response), noted.get("version")), (_total(response, offset), noted.get("total")))
    return all(not now or not then or now == then for now, then in same)


def _version(response: HTTPResponse) -> str:
    """A strong ETag, else the day of the last change."""
    tag = response.headers.get("ETag") or ""
    return tag if tag.startswith('"') else response.headers.get("Last-Modified") or ""


def _total(response: HTTPResponse, offset: int) -> int | None:
    """Bytes of the whole file, where the server says them."""
    whole = (response.headers.get("Content-Range") or "").rpartition("/")[2] if response.status == 206 else ""
    if whole.isascii() and whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length") or ""
    return offset + int(length) if length.isascii() and length.isdigit() else None


def _receive(one: Download, response: HTTPResponse, part: Path, offset: int, max_bytes: int) -> None:
    from tqdm import tqdm

    total = _total(response, offset)
    if total is not None and total > max_bytes:
        raise DataError(f"{one.url} has {total} bytes, more than the {max_bytes} allowed; raise the limit to fetch it")
    write_json(_beside(part, ".json"), {"url": one.url, "version": _version(response), "total": total})
    with (
        part.open("r+b") as stream,
        tqdm(desc=one.path.name, total=total, initial=offset, unit="B", unit_scale=True, disable=None) as bar,
    ):
        stream.truncate(offset)
        stream.seek(offset)
        size = _copy(response, stream, offset, max_bytes, bar.update)
    if size > max_bytes:
        raise DataError(f"{one.url} gives more than the {max_bytes} bytes allowed; raise the limit to fetch it")
    if total is not None and size < total:
        raise DataError(_sorry(one, f"the connection was cut after {size} of {total} bytes"))
    if not size:
        raise DataError(_sorry(one, "the server gave an empty file"))


def _copy(response: HTTPResponse, stream: IO[bytes], size: int, max_bytes: int, moved: Callable[[int], object]) -> int:
    since, then = time.monotonic(), size
    while piece := response.read1(PIECE):
        stream.write(piece)
        size += len(piece)
        moved(len(piece))
        if size > max_bytes:
            break
        now = time.monotonic()
        if now - since > STALL_SECONDS:
            if size - then < STALL_BYTES:
                raise TimeoutError(f"the server gave only {size - then} bytes in {now - since:.0f} seconds")
            since, then = now, size
    return size


def _answer(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    """The server's answer, its head read. TimeoutError where that takes too long, be it a byte now and then."""
    request = Request(url, headers={"User-Agent": "ragmed", "Accept": "*/*", **headers})
    answers: list[HTTPResponse | BaseException] = []

    def ask() -> None:
        try:
            answers.append(_opener(url).open(request, timeout=READ_SECONDS))
        except HTTPError as error:  # an answer too, if not the one hoped for; it is read like one
            answers.append(cast(HTTPResponse, error))
        except (OSError, HTTPException, DataError, ValueError) as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not answers:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} seconds")
    answer = answers[0]
    if isinstance(answer, HTTPError) or not isinstance(answer, BaseException):
        return cast(HTTPResponse, answer)
    raise answer


def _opener(url: str) -> OpenerDirector:
    own = [ProxyHandler({})] if is_loopback(urlsplit(url).hostname or "") else []
    return build_opener(_Redirects(), *own)


class _Redirects(HTTPRedirectHandler):
    """Follows only to where a download may come from: https, or http on this machine when that is where it began."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        local = is_loopback(urlsplit(req.full_url).hostname or "")
        if not allowed(newurl) or (is_loopback(urlsplit(newurl).hostname or "") and not local):
            fp.close()
            raise URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
