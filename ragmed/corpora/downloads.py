"""A recipe's `downloads` in, checked `Download`s out: what is fetched from where, to which place, with which hash."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ragmed.errors import UsageError


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """An entry of a recipe's `downloads`."""

    url: str
    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that its publisher gives. `sha256`: 64 hex digits, or empty where nobody has computed it yet."""

    url: str
    path: Path
    sha256: str = ""


def downloads(entries: Sequence[DownloadEntry], *, place: Callable[[str], Path], where: str) -> tuple[Download, ...]:
    """
    >>> downloads([DownloadEntry("https://a.org/b.tar.gz", "b.tar.gz")], place=Path, where="recipe")[0].url
    'https://a.org/b.tar.gz'

    `place` says where on disk a path of the recipe is. UsageError names what is wrong and how it should be.
    """
    where = f"{where}, downloads"
    checked = []
    for number, entry in enumerate(entries):
        mine, path = f"{where}.{number}", entry.path
        if not allowed(entry.url):
            raise UsageError(f"{mine}: 'url' is an https address, found {entry.url!r}")
        if not path.strip() or path.startswith(("/", "~")) or ".." in path.split("/"):
            raise UsageError(f"{mine}: 'path' is a file name below the recipe's folder, found {path!r}")
        if not re.fullmatch(r"([0-9a-fA-F]{64})?", entry.sha256):
            raise UsageError(f"{mine}: 'sha256' is 64 hex digits in quotes, found {entry.sha256!r}")
        checked.append(Download(entry.url, place(path), entry.sha256.lower()))
    paths = [download.path for download in checked]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UsageError(f"{where}: two downloads go to '{twice}'")
    return tuple(checked)


def allowed(url: str) -> bool:
    """Whether it is https, or http to this very machine, and carries no password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or parts.username or parts.password or re.search(r"[\s\x00-\x1f]", url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
