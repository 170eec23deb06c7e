"""A recipe's `downloads` in, checked `Download`s out: what is fetched from where, to which place, with which hash."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ragmed.errors import UnknownNameError, UsageError

KEYS = ("url", "path", "sha256")


@dataclass(frozen=True, slots=True)
class Download:
    """A file that its publisher gives. `sha256`: 64 hex digits, or empty where nobody has computed it yet."""

    url: str
    path: Path
    sha256: str = ""


def parse_downloads(value: object, *, place: Callable[[str], Path], where: str) -> tuple[Download, ...]:
    """>>> parse_downloads([{"url": "https://a.org/b.tar.gz", "path": "b.tar.gz"}], place=Path, where="recipe")[0].url
    'https://a.org/b.tar.gz'

    `place` says where on disk a path of the recipe is. UsageError names what is wrong and how it should be.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UsageError(f"{where}: 'downloads' is a list of {{url: …, path: …, sha256: …}}")
    found = tuple(_one(one, place, where) for one in value)
    paths = [one.path for one in found]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UsageError(f"{where}: two downloads go to '{twice}'")
    return found


def _one(value: dict[object, object], place: Callable[[str], Path], where: str) -> Download:
    for key in value:
        if key not in KEYS:
            raise UnknownNameError("key", str(key), KEYS, f"{where}, downloads")
    url, path, sha256 = value.get("url"), value.get("path"), value.get("sha256", "")
    if not isinstance(url, str) or not allowed(url):
        raise UsageError(f"{where}: in 'downloads', 'url' is an https address, found {url!r}")
    if not isinstance(path, str) or not path.strip() or path.startswith(("/", "~")) or ".." in path.split("/"):
        raise UsageError(f"{where}: in 'downloads', 'path' is a file name below the recipe's folder, found {path!r}")
    if not isinstance(sha256, str) or not re.fullmatch(r"([0-9a-fA-F]{64})?", sha256):
        raise UsageError(f"{where}: in 'downloads', 'sha256' is 64 hex digits in quotes, found {sha256!r}")
    return Download(url, place(path), sha256.lower())


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
