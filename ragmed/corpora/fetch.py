"""A recipe with `downloads` in, its files in their places out: whole, checked, or not there at all.

What was fetched so far lies beside as `NAME.part`; where the recipe has a hash, which alone can tell whether two pieces
are of one file, a cut download goes on from there. A file with another hash than the recipe's is kept as
`NAME.mismatch` and never put in its place.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ragmed.corpora.downloads import Download, allowed, is_loopback
from ragmed.corpora.recipe import Recipe
from ragmed.errors import DamagedError, DataError, UsageError
from ragmed.files import exclusive, fsync_file, fsync_folder, sha256_file
from ragmed.progress import open_bar

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 20 * 1024**3
READ_SECONDS = 30.0
"""Without one byte for so long, a server counts as gone."""

STALL_SECONDS, STALL_BYTES = 60.0, 64 * 1024
"""Fewer bytes than these in that time is a server that drips."""


def fetch(recipe: Recipe, *, max_bytes: int = MAX_BYTES, say: Callable[[str], None] = print) -> None:
    """>>> fetch(load_recipe(path, data=workspace.data))  # doctest: +SKIP
    fetched corpora/mine/pages.tar.gz: 1234 bytes, sha256 as in the recipe

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
        with exclusive(part, f"'{part}'", signed=False):
            if one.path.exists():  # whoever held it has just finished
                _check_there(one, say)
                continue
            try:
                _download(one, part, max_bytes)
            finally:
                if not part.stat().st_size:
                    part.unlink()
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
        say(f"there already: {one.path}, sha256 as in the recipe")
    else:
        raise DamagedError(
            f"'{one.path}' has the sha256 {found}, its recipe says {one.sha256}; move it away and fetch again"
        )


def _put_in_place(one: Download, part: Path, say: Callable[[str], None]) -> None:
    found, size = sha256_file(part), part.stat().st_size
    if one.sha256 and found != one.sha256:
        aside = _beside(one.path, ".mismatch")
        part.replace(aside)
        raise DamagedError(
            f"{one.url} gave {size} bytes with the sha256 {found}, the recipe has {one.sha256}; they are kept as "
            f"'{aside}': compare with what its publisher says now, then correct the recipe or fetch again"
        )
    fsync_file(part)
    part.replace(one.path)
    fsync_folder(one.path.parent)
    if one.sha256:
        say(f"fetched {one.path}: {size} bytes, sha256 as in the recipe")
    else:
        say(f"fetched {one.path}: {size} bytes; to have them checked from now on, put this into its download:")
        say(f"  sha256: {found}")


def _download(one: Download, part: Path, max_bytes: int) -> None:
    import httpx

    local, offset = is_loopback(urlsplit(one.url).hostname or ""), part.stat().st_size if one.sha256 else 0

    def check(request: httpx.Request) -> None:
        """A redirect leads only to where downloads may come from: https, or http here where it began here."""
        if not allowed(str(request.url)) or (is_loopback(request.url.host) and not local):
            raise httpx.RequestError(f"it redirects to {request.url}, which is not https")

    headers = {"User-Agent": "ragmed", "Accept": "*/*", "Accept-Encoding": "identity"}
    try:
        with httpx.Client(
            headers=headers, timeout=READ_SECONDS, trust_env=not local, follow_redirects=True,
            event_hooks={"request": [check]},
        ) as http:  # fmt: skip
            if offset:
                with http.stream("GET", one.url, headers={"Range": f"bytes={offset}-"}) as response:
                    place = response.headers.get("Content-Range", "")
                    if response.status_code == 416 and place == f"bytes */{offset}":
                        return  # all of it had come; only the check was missing
                    if response.status_code == 206 and place.startswith(f"bytes {offset}-"):
                        return _receive(one, response, part, offset, max_bytes)
            with http.stream("GET", one.url) as response:
                if response.status_code != 200:
                    status = f"{response.status_code} {response.reason_phrase}".rstrip()
                    raise DataError(_sorry(one, f"the server answers {status}"))
                _receive(one, response, part, 0, max_bytes)
    except (httpx.HTTPError, TimeoutError) as error:
        raise DataError(_sorry(one, str(error) or type(error).__name__)) from error


def _sorry(one: Download, reason: str) -> str:
    text = f"{one.url} could not be fetched: {reason}; "
    if one.sha256 and _beside(one.path, ".part").stat().st_size:
        text += "what has come is kept, try again; or "
    return f"{text}get it by other means and put it at '{one.path}'"


def _receive(one: Download, response: httpx.Response, part: Path, size: int, max_bytes: int) -> None:
    """Appends the answer's bytes to the `size` that are there. TimeoutError for a server that drips."""
    import httpx

    length = response.headers.get("Content-Length", "")
    total = size + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    if total is not None and total > max_bytes:
        raise DataError(f"{one.url} has {total} bytes, more than the {max_bytes} allowed; raise the limit to fetch it")
    since, then = time.monotonic(), size
    with (
        part.open("r+b") as stream,
        open_bar(desc=one.path.name, total=total, initial=size, unit="B", scaled=True) as bar,
    ):
        stream.truncate(size)
        stream.seek(size)
        try:
            for piece in response.iter_raw():
                stream.write(piece)
                size += len(piece)
                bar.update(len(piece))
                if size > max_bytes:
                    raise DataError(f"{one.url} gives more than {max_bytes} bytes; raise the limit to fetch it")
                now = time.monotonic()
                if now - since > STALL_SECONDS:
                    if size - then < STALL_BYTES:
                        raise TimeoutError(f"the server gave only {size - then} bytes in {now - since:.0f} seconds")
                    since, then = now, size
        except httpx.RemoteProtocolError as error:
            raise TimeoutError(f"the connection was cut after {size} of {total or 'unknown'} bytes") from error
    if not size:
        raise DataError(_sorry(one, "the server gave an empty file"))
