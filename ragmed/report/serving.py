"""The report folders of some runs in, a small web server on this machine's own address out.

Only 127.0.0.1 is bound. Every address holds a random token, since other users of a machine reach its loopback too. Only
regular files of known kinds inside of the report folders are sent, and only to requests that name this machine, so that
a web page elsewhere cannot reach them under a name of its own.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import socketserver
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ragmed.errors import DataError, UsageError
from ragmed.report.page import minus, visible

HOST = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".png": "image/png",
    ".json": "application/json; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PICTURE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # a figure opened by itself carries its styles
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STYLES = ("page.css", "list.css")
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)  # a tunnel may give it another port
_SLOW = 30.0  # seconds that a silent client keeps a thread
_REST = 65_536  # bytes of a refused request's body that are read, so that its answer arrives


@dataclass(frozen=True, slots=True)
class Card:
    """What the list says of a run, and the folder of its page. `notes`: what a reader must know, such as its age."""

    name: str
    folder: Path
    question: str = ""
    headline: Sequence[str] = ()
    made: str = ""
    tasks: Sequence[str] = ()
    arms: Sequence[str] = ()
    n: Sequence[int] = ()
    access: str = "open"
    notes: Sequence[str] = ()


class ReportServer(ThreadingHTTPServer):
    """
    >>> with ReportServer([card]) as server:  # doctest: +SKIP
    ...     print(server.address); server.serve_forever()

    Serves until `shutdown()`. `port` 0: any that is free. UsageError where two runs have one name or the port is
    taken; DataError where a report's folder is a link to somewhere else.
    """

    daemon_threads = True

    def __init__(self, cards: Sequence[Card], *, port: int = 0) -> None:
        names = [card.name for card in cards]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two of the runs are called '{name}'; view them one by one, or rename a folder")
        for card in cards:
            if card.folder.is_symlink():
                raise DataError(f"the report folder '{card.folder}' is a link to somewhere else; it is not served")
        self.token = secrets.token_urlsafe(24)
        self.folders: Mapping[str, Path] = {card.name: card.folder for card in cards}
        self.home = render_list(cards).encode("utf-8")
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be had ({error}); choose another, or leave --port away") from error

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # the HTTP one asks the name service who we are
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):  # a reader who went away is no error
            print(f"ragmed view: {type(error).__name__}: {error}", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    timeout = _SLOW

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _HOSTS.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        parts = path_parts(self.path)
        if not parts or not secrets.compare_digest(parts[0].encode("utf-8"), self.server.token.encode("ascii")):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        match parts[1:]:
            case [""]:
                self._send(self.server.home, TYPES[".html"])
            case [style] if style in _STYLES:
                self._send((package_files("ragmed.report") / "static" / style).read_bytes(), TYPES[".css"])
            case ["runs", name, *rest] if name in self.server.folders and rest:
                self._file(self.server.folders[name], ["index.html"] if rest == [""] else rest)
            case [] | ["runs", _]:
                self._to_folder(parts)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def _to_folder(self, parts: Sequence[str]) -> None:
        """Relative addresses in a page need the slash at the end of its own."""
        if len(parts) == 3 and parts[2] not in self.server.folders:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._head(HTTPStatus.MOVED_PERMANENTLY, TYPES[".md"], 0, location=f"/{'/'.join(map(_quoted, parts))}/")

    def _file(self, folder: Path, parts: Sequence[str]) -> None:
        kind = TYPES.get(Path(parts[-1]).suffix.lower())
        descriptor = open_inside(folder, parts) if kind else None
        if kind is None or descriptor is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with os.fdopen(descriptor, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            self._head(HTTPStatus.OK, kind, size)
            if self.command == "GET":
                shutil.copyfileobj(stream, self.wfile, 1 << 16)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, kind, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, size: int, *, location: str = "") -> None:
        self.send_response_only(status)
        policy = _PICTURE if kind == TYPES[".svg"] else _PAGE
        more = {"Location": location} if location else {}
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            more["Allow"] = "GET, HEAD"
        named = {
            "Content-Type": kind,
            "Content-Length": str(size),
            "Content-Security-Policy": policy,
            **HEADERS,
            **more,
        }
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Also what the base class answers to what is no HTTP or a method that nobody wrote. Echoes nothing."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._send(f"{status.value} {status.phrase}: {_WHY.get(status, 'not served')}\n".encode(), TYPES[".md"], status)
        self._read_rest()

    def _read_rest(self) -> None:
        length = self.headers.get("Content-Length", "") if getattr(self, "headers", None) else ""
        if length.isdecimal() and len(length) < 10:
            self.connection.settimeout(1.0)
            self.rfile.read(min(int(length), _REST))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses hold the token, and names of private runs."""


_WHY = {
    HTTPStatus.NOT_FOUND: "open the address that `ragmed view` printed, with all of its letters",
    HTTPStatus.MISDIRECTED_REQUEST: "this server answers to 127.0.0.1 and localhost alone",
    HTTPStatus.METHOD_NOT_ALLOWED: "it can be read, and nothing else",
}


def path_parts(target: str) -> list[str] | None:
    """
    >>> path_parts("/token/runs/a%20b/"), path_parts("/token/%2e%2e/x"), path_parts("/token/a%2fb/x")
    (['token', 'runs', 'a b', ''], None, None)

    The decoded parts of a request's path, an empty one last where it ends in a slash; None where a part could lead
    elsewhere (`..`, hidden names, an encoded slash, NUL, control characters) or is no UTF-8.
    """
    path = target.split("?", 1)[0].split("#", 1)[0]
    if not path.startswith("/"):
        return None
    try:
        parts = [unquote_to_bytes(part).decode("utf-8") for part in path[1:].split("/")]
    except UnicodeDecodeError:
        return None
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if (not part and not last) or part.startswith(".") or re.search(r"[\x00-\x1f\x7f/\\]", part):
            return None
    return parts


def open_inside(folder: Path, parts: Sequence[str]) -> int | None:
    """A descriptor of the regular file under `folder`, or None; no link is followed at any step."""
    descriptors: list[int] = []
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptors.append(os.open(folder, flags | os.O_DIRECTORY))
        for part in parts[:-1]:
            descriptors.append(os.open(part, flags | os.O_DIRECTORY, dir_fd=descriptors[-1]))
        found = os.open(parts[-1], flags | os.O_NONBLOCK, dir_fd=descriptors[-1])
        if stat.S_ISREG(os.fstat(found).st_mode):
            return found
        os.close(found)
    except (OSError, ValueError):
        return None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return None


def _quoted(part: str) -> str:
    return quote(part, safe="")


def render_list(cards: Sequence[Card]) -> str:
    """The list of runs as HTML; every text is escaped."""
    text: str = _template().render(cards=cards)
    return text


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ragmed.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=visible,
    )  # fmt: skip
    environment.filters |= {"quoted": _quoted, "minus": minus}
    return environment.get_template("list.html")


def may_open_browser(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> bool:
    """Whether there is a screen to open a browser on."""
    known = os.environ if environment is None else environment
    if platform in ("darwin", "win32"):
        return not known.get("SSH_CONNECTION")
    return bool(known.get("DISPLAY") or known.get("WAYLAND_DISPLAY"))
