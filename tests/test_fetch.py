"""Downloads: a file is fetched whole and checked, or it is not there, and one sentence says what to do."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.corpora import fetch as module
from ragmed.corpora.downloads import Download
from ragmed.corpora.fetch import fetch
from ragmed.corpora.recipe import load_recipe, require_paths
from ragmed.errors import BusyError, DamagedError, DataError, RagmedError, UnknownNameError, UsageError
from ragmed.files import exclusive

DATA = bytes(range(256)) * 2000
SHA = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """`answer` is what the next requests get; `seen` what they asked."""

    answer: Callable[[BaseHTTPRequestHandler], None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []
        self.answer = whole
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range") or ""))
        self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, DATA)


def ranged(handler: BaseHTTPRequestHandler) -> None:
    start = int((handler.headers.get("Range") or "bytes=0-")[len("bytes=") : -1])
    if not start:
        send(handler, 200, DATA)
    elif start >= len(DATA):
        send(handler, 416, Content_Range=f"bytes */{len(DATA)}")
    else:
        send(handler, 206, DATA[start:], Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, DATA[:300_000], Content_Length=str(len(DATA)))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def get(folder: Path, url: str, sha256: str = "", *, more: str = "", max_bytes: int = 10**9) -> list[str]:
    hashed = f', sha256: "{sha256}"' if sha256 else ""
    (folder / "recipe.yaml").write_text(
        f"title: T\nreader: jsonl\npaths: [sub/a.bin]\ndownloads: [{{url: '{url}', path: sub/a.bin{hashed}}}]\n{more}"
    )
    said: list[str] = []
    fetch(load_recipe(folder / "recipe.yaml", data=folder / "data"), max_bytes=max_bytes, say=said.append)
    return said


def there(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "sub").iterdir())


def test_a_file_is_fetched_checked_and_then_left_alone(server: Server, tmp_path: Path) -> None:
    said = get(tmp_path, server.url + "/a.bin", SHA.upper())
    assert said == [f"fetched {tmp_path}/sub/a.bin: 512000 bytes, sha256 as in the recipe"]
    assert (tmp_path / "sub" / "a.bin").read_bytes() == DATA
    assert there(tmp_path) == ["a.bin"]
    said = get(tmp_path, server.url + "/a.bin", SHA)
    assert said == [f"there already: {tmp_path}/sub/a.bin, sha256 as in the recipe"]
    assert server.seen == [("/a.bin", "")]


def test_without_a_hash_the_line_for_the_recipe_is_told(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url)[-1] == f"  sha256: {SHA}"
    assert get(tmp_path, server.url)[-1].endswith(f"\n  sha256: {SHA}")
    assert len(server.seen) == 1


def test_a_cut_download_is_gone_on_with_where_a_hash_checks_the_whole(server: Server, tmp_path: Path) -> None:
    server.answer = cut
    words = r"the connection was cut after 300000 of 512000 bytes; what has come is kept.*put it at '.*sub/a\.bin'"
    with pytest.raises(DataError, match=words):
        get(tmp_path, server.url, SHA)
    assert there(tmp_path) == ["a.bin.part"]
    server.answer = ranged
    get(tmp_path, server.url, SHA)
    assert server.seen == [("/", ""), ("/", "bytes=300000-")]
    assert (tmp_path / "sub" / "a.bin").read_bytes() == DATA
    assert there(tmp_path) == ["a.bin"]


def test_without_a_hash_a_cut_download_begins_anew(server: Server, tmp_path: Path) -> None:
    server.answer = cut
    with pytest.raises(DataError, match="cut after 300000 of 512000 bytes; get it by other means"):
        get(tmp_path, server.url)
    server.answer = ranged
    get(tmp_path, server.url)
    assert server.seen == [("/", ""), ("/", "")]
    assert (tmp_path / "sub" / "a.bin").read_bytes() == DATA


def test_a_server_without_ranges_is_asked_for_the_whole(server: Server, tmp_path: Path) -> None:
    server.answer = cut
    with pytest.raises(DataError, match="cut after"):
        get(tmp_path, server.url, SHA)
    server.answer = whole
    get(tmp_path, server.url, SHA)
    assert (tmp_path / "sub" / "a.bin").read_bytes() == DATA
    assert server.seen[1:] == [("/", "bytes=300000-"), ("/", "")]


def test_pieces_of_two_versions_are_kept_aside_and_the_next_fetch_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin.part").write_bytes(b"x" * 1000)
    server.answer = ranged
    with pytest.raises(DamagedError, match="they are kept as"):
        get(tmp_path, server.url, SHA)
    get(tmp_path, server.url, SHA)
    assert (tmp_path / "sub" / "a.bin").read_bytes() == DATA
    assert server.seen == [("/", "bytes=1000-"), ("/", "")]


def test_what_had_come_whole_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin.part").write_bytes(DATA)
    server.answer = ranged
    get(tmp_path, server.url, SHA)
    assert there(tmp_path) == ["a.bin"]
    assert server.seen == [("/", "bytes=512000-")]


def test_a_wrong_hash_is_kept_aside(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=rf"sha256 {SHA}, the recipe has {'0' * 64}; they are kept as .*mismatch"):
        get(tmp_path, server.url, "0" * 64)
    assert there(tmp_path) == ["a.bin.mismatch"]
    get(tmp_path, server.url, SHA)
    with pytest.raises(DamagedError, match="move it away"):
        get(tmp_path, server.url, "0" * 64)


def test_refusals_say_which_file_to_put_where(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler: send(handler, 404, b"no")
    with pytest.raises(
        DataError, match=r"^http://.*/x could not be fetched: the server answers 404 Not Found; get it by"
    ):
        get(tmp_path, server.url + "/x", SHA)
    server.answer = lambda handler: send(handler, 200)
    with pytest.raises(DataError, match="could not be fetched: the server gave an empty file; get it by"):
        get(tmp_path, server.url + "/x")
    assert there(tmp_path) == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"refused; get it by other means and put it at '.*/sub/a\.bin'$"):
        get(tmp_path, f"http://127.0.0.1:{port}/x")


def test_redirects_lead_to_https_only(server: Server, tmp_path: Path) -> None:
    for target, words in (
        ("http://example.invalid/a", "it redirects to http://example.invalid/a, which is not https"),
        ("ftp://example.invalid/a", "it redirects to ftp://example.invalid/a, which is not https"),
        ("file:///etc/passwd", "it redirects to file://.*/etc/passwd, which is not https"),
    ):
        server.answer = lambda handler, to=target: send(handler, 302, Location=to)  # type: ignore[misc]
        with pytest.raises(DataError, match=words):
            get(tmp_path, server.url)
    server.answer = lambda handler: whole(handler) if handler.path == "/b" else send(handler, 302, Location="/b")
    get(tmp_path, server.url + "/a", SHA)
    server.answer = lambda handler: send(handler, 302, Location="/round")
    (tmp_path / "sub" / "a.bin").unlink()
    with pytest.raises(DataError, match="Exceeded maximum allowed redirects"):
        get(tmp_path, server.url + "/round")


def test_a_server_that_drips_is_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, Content_Length="1000")
        while not over.wait(0.02):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    def head(handler: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    monkeypatch.setattr(module, "STALL_SECONDS", 0.2)
    started = time.monotonic()
    server.answer = drip
    with pytest.raises(DataError, match=r"gave only \d+ bytes in 0 seconds; get it by other means"):
        get(tmp_path, server.url)
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    server.answer = head
    with pytest.raises(DataError, match="timed out"):
        get(tmp_path, server.url)
    over.set()
    assert time.monotonic() - started < 10


def test_size_is_bounded_with_and_without_a_length(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 512000 bytes, more than the 1000 allowed"):
        get(tmp_path, server.url, max_bytes=1000)

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(DATA)

    server.answer = endless
    with pytest.raises(DataError, match="gives more than 1000 bytes"):
        get(tmp_path, server.url, max_bytes=1000)
    assert "a.bin" not in there(tmp_path)


def test_one_process_at_a_time_and_restricted_files_stay_private(server: Server, tmp_path: Path) -> None:
    get(tmp_path, server.url, SHA, more="access: credentialed\n")
    made = tmp_path / "sub" / "a.bin"
    assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    made.unlink()
    with exclusive(tmp_path / "sub" / "a.bin.part", "it"), pytest.raises(BusyError, match=r"a\.bin\.part' is in use"):
        get(tmp_path, server.url, SHA)


@pytest.mark.parametrize(
    ("downloads", "error", "words"),
    [
        ("{url: 'https://a.org/b', path: b}", UsageError, "downloads: a list was expected, found a mapping"),
        ("[{url: 'http://a.org/b', path: b}]", UsageError, "'url' is an https address, found 'http://a.org/b'"),
        ("[{url: 'file:///etc/passwd', path: b}]", UsageError, "'url' is an https"),
        ("[{url: 'https://me:secret@a.org/b', path: b}]", UsageError, "'url' is an https"),
        ("[{url: 'https://[a/b', path: b}]", UsageError, "'url' is an https"),
        ("[{url: 'https://a.org/b', path: ../../b}]", UsageError, "'path' is a file name below"),
        ("[{url: 'https://a.org/b', path: /etc/b}]", UsageError, "'path' is a file name below"),
        ("[{url: 'https://a.org/b', path: $HOME/b}]", UsageError, "only variable"),
        ("[{url: 'https://a.org/b'}]", UsageError, "downloads.0: 'path' is missing"),
        ("[{url: 'https://a.org/b', path: b, sha256: abc}]", UsageError, "64 hex digits in quotes, found 'abc'"),
        ("[{url: 'https://a.org/b', path: b, md5: abc}]", UnknownNameError, "unknown key 'md5'"),
        ("[{url: 'https://a.org/b', path: b}, {url: 'https://a.org/c', path: b}]", UsageError, "two downloads"),
    ],
)
def test_wrong_downloads_are_named(tmp_path: Path, downloads: str, error: type[RagmedError], words: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"title: T\nreader: jsonl\npaths: [a]\ndownloads: {downloads}\n")
    with pytest.raises(error, match=re.escape(words).replace(r"\ ", " ")):
        load_recipe(path, data=tmp_path)


def test_a_download_may_go_to_the_data_folder(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "title: T\nreader: jsonl\npaths: [$RAGMED_DATA/x/a]\ndownloads:\n"
        f"- {{url: 'https://a.org/b?c=d', path: $RAGMED_DATA/x/a, sha256: '{SHA}'}}\n"
        "- {url: 'https://a.org', path: b}\n"
    )
    assert load_recipe(path, data=tmp_path / "data").downloads == (
        Download("https://a.org/b?c=d", tmp_path / "data" / "x" / "a", SHA),
        Download("https://a.org", tmp_path / "b", ""),
    )


def test_the_command_and_the_hint_to_it(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    text = f"title: T\nreader: jsonl\npaths: [a.bin]\ndownloads: [{{url: '{server.url}', path: a.bin}}]\n"
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(DataError, match="does not exist; fetch it: ragmed corpora fetch mine"):
        require_paths(load_recipe(folder / "recipe.yaml", data=tmp_path))
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "corpora", "fetch", "mine"], catch_exceptions=False)
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"  sha256: {SHA}")
    (folder / "recipe.yaml").write_text("title: T\nreader: jsonl\npaths: [a.bin]\nsource: Somebody\n")
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "corpora", "fetch", "mine"], catch_exceptions=False)
    assert (done.exit_code, "is here already" in done.output) == (0, True)
    (folder / "a.bin").unlink()
    with pytest.raises(UsageError, match=r"names no downloads; get its files from its publisher \(Somebody\) and put"):
        fetch(load_recipe(folder / "recipe.yaml", data=tmp_path))
