"""The view server: reports of runs on this machine alone, and nothing else of this machine."""

import os
import socket
import threading

import httpx
import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import DataError, UsageError
from ragmed.experiments import viewing
from ragmed.experiments.viewing import cards, serve
from ragmed.report.serving import Card, ReportServer, may_open_browser, path_parts, render_list
from ragmed.runs import Run, find_run

SECRET = "what must never be sent"
NAME = "trial & <b>error"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    """A server over two report folders, with things around and in them that it must not send."""
    root = tmp_path_factory.mktemp("site")
    for name in ("one", NAME):
        report = root / name / "report"
        (report / "figures").mkdir(parents=True)
        (report / "index.html").write_text(f"<p>page of {len(name)}</p>")
        (report / "figures" / "scores.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        (report / "figures" / "scores.png").write_bytes(b"\x89PNG" + bytes(300_000))
        (report / "page.js").write_text("// ü")
    one = root / "one"
    (one / "run.json").write_text(SECRET)
    (one / "secret.html").write_text(SECRET)
    (one / "report" / ".hidden.html").write_text(SECRET)
    (one / "report" / "notes.txt").write_text(SECRET)
    (one / "report" / "link.html").symlink_to(one / "secret.html")
    (one / "report" / "up").symlink_to(one)
    (one / "report" / "folder.html").mkdir()
    os.mkfifo(one / "report" / "pipe.html")
    shown = [
        Card(
            "one",
            one / "report",
            question="Which?",
            headline=("a is better than b.",),
            tasks=("t",),
            arms=("a", "b"),
            n=(60,),
        ),
        Card(
            NAME,
            root / NAME / "report",
            headline=("<script>alert(1)</script>\u202e",),
            access="private",
            notes=("old",),
        ),
    ]
    with ReportServer(shown) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def web(site):
    with httpx.Client(base_url=site.address, trust_env=False) as client:
        yield client


def raw(site, target: bytes, *, method: bytes = b"GET", host: bytes | None = b"127.0.0.1") -> bytes:
    """What a client that keeps to no rule gets."""
    named = b"" if host is None else b"Host: " + host + b"\r\n"
    with socket.create_connection(("127.0.0.1", site.server_port), timeout=10) as connection:
        connection.sendall(method + b" " + target + b" HTTP/1.1\r\n" + named + b"\r\n")
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_it_is_bound_to_loopback_alone(site):
    assert site.socket.getsockname()[0] == "127.0.0.1"
    assert site.address == f"http://127.0.0.1:{site.server_port}/{site.token}/"
    assert len(site.token) >= 32


def test_the_list_names_the_runs_and_escapes_them(web):
    page = web.get("")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="runs/one/">one</a>' in page.text
    assert "a is better than b." in page.text
    assert "trial &amp; &lt;b&gt;error</a>" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;(U+202E)" in page.text
    assert "<script" not in page.text
    assert '<span class="tag warn">private</span>' in page.text
    assert '<p class="notice">old</p>' in page.text
    for style in ("page.css", "list.css"):
        assert web.get(style).headers["content-type"] == "text/css; charset=utf-8"


def test_the_pages_and_their_files(web):
    assert web.get("runs/one/").text == "<p>page of 3</p>"
    assert web.get("runs/one/?x=1").status_code == 200
    assert '<a href="runs/trial%20%26%20%3Cb%3Eerror/">' in web.get("").text
    assert web.get("runs/trial%20%26%20%3Cb%3Eerror/").text == "<p>page of 16</p>"
    figure = web.get("runs/one/figures/scores.svg")
    assert figure.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert "sandbox" in figure.headers["content-security-policy"]
    picture = web.get("runs/one/figures/scores.png")
    assert (picture.headers["content-type"], len(picture.content)) == ("image/png", 300_004)
    assert web.get("runs/one/page.js").headers["content-type"] == "text/javascript; charset=utf-8"


def test_an_address_without_its_last_slash_is_led_to_it(site, web):
    moved = web.get("runs/one")
    assert (moved.status_code, moved.headers["location"]) == (301, f"/{site.token}/runs/one/")
    assert raw(site, f"/{site.token}".encode()).startswith(b"HTTP/1.0 301 ")


def test_every_answer_has_the_strict_headers(web):
    for answer in (web.get(""), web.get("runs/one/"), web.get("nothing"), web.post(""), web.get("runs/one")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-inline" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "../run.json", "../secret.html", "../../one/run.json", "figures/../../secret.html", "%2e%2e/secret.html",
        "%2E%2E/secret.html", ".%2e/secret.html", "..%2fsecret.html", "%2e%2e%2fsecret.html", "..\\secret.html",
        "..%5csecret.html", "%252e%252e/secret.html", "..;/secret.html", "./index.html", "figures//scores.svg",
        ".hidden.html", "%2ehidden.html", "link.html", "up/secret.html", "up/run.json", "up/report/index.html",
        "notes.txt", "folder.html", "folder.html/", "pipe.html", "index.html/", "index.html%00.png", "index%00.html",
        "%c0%ae%c0%ae/secret.html", "%ff.html", "x" * 300 + ".html", "figures", "figures/", "nothing.html",
        "%0aindex.html",
    ],
)  # fmt: skip
def test_nothing_but_the_files_of_a_report(site, path):
    answer = raw(site, f"/{site.token}/runs/one/{path}".encode())
    assert answer.startswith(b"HTTP/1.0 404 ")
    assert SECRET.encode() not in answer
    assert path.encode() not in answer


@pytest.mark.parametrize("target", [b"/", b"/index.html", b"/{}x/", b"//{}/", b"/{}%00/", b"x", b"*", b"http://a/{}/"])
def test_without_the_token_there_is_nothing(site, target):
    token = site.token.encode()
    target = target.replace(b"{}", token[:-1] if b"x/" in target else token)
    answer = raw(site, target)
    if target == b"//" + token + b"/":
        assert answer.startswith(b"HTTP/1.0 200 ")  # the base class takes two slashes for one
    else:
        assert answer.startswith(b"HTTP/1.0 404 ")
        assert token not in answer


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example", b"10.0.0.1:80", b"[::1]", b"", None])
def test_a_name_of_somebody_else_is_refused(site, host):
    answer = raw(site, f"/{site.token}/".encode(), host=host)
    assert answer.startswith(b"HTTP/1.0 421 ")
    assert b"runs/one" not in answer


def test_two_names_are_refused_and_a_tunnel_is_not(site):
    target = f"/{site.token}/".encode()
    assert raw(site, target, host=b"127.0.0.1\r\nHost: evil.example").startswith(b"HTTP/1.0 421 ")
    assert raw(site, target, host=b"localhost:9000").startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"])
def test_it_can_only_be_read(site, method):
    answer = raw(site, f"/{site.token}/".encode(), method=method.encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"Allow: GET, HEAD\r\n" in answer


def test_a_head_has_no_body_and_a_large_post_gets_its_answer(site, web):
    head = web.head("runs/one/figures/scores.png")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "300004")
    assert raw(site, f"/{site.token}/x".encode(), method=b"HEAD").endswith(b"\r\n\r\n")
    assert web.post("", content=bytes(60_000)).status_code == 405


def test_what_is_no_http_costs_nothing(site, web):
    for junk in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"a" * 70_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", site.server_port), timeout=10) as connection:
            connection.sendall(junk)
    assert web.get("").status_code == 200


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/t/runs/a%20b/", ["t", "runs", "a b", ""]),
        ("/t/x.html?y=../z", ["t", "x.html"]),
        ("/", [""]),
        ("/t/%2e%2e/x", None),
        ("/t/a%2fb", None),
        ("/t//x", None),
        ("t", None),
        ("/t/%ff", None),
        ("/t/%E8%85%95/", ["t", "腕", ""]),
    ],
)
def test_parts_of_a_path_by_hand(target, parts):
    assert path_parts(target) == parts


def test_two_runs_of_one_name_are_refused(tmp_path):
    both = [Card("one", tmp_path / "a"), Card("one", tmp_path / "b")]
    with pytest.raises(UsageError, match="two of the runs are called 'one'; view them one by one"):
        ReportServer(both)


def test_a_port_that_is_taken_is_said(site):
    with pytest.raises(UsageError, match=rf"port {site.server_port} cannot be had"):
        ReportServer([], port=site.server_port)


def test_a_report_that_is_a_link_is_not_served(tmp_path):
    (tmp_path / "report").symlink_to(tmp_path)
    with pytest.raises(DataError, match="is a link to somewhere else"):
        ReportServer([Card("one", tmp_path / "report")])


def test_one_run_is_called_one_run(tmp_path):
    assert "<h1>1 run</h1>" in render_list([Card("one", tmp_path)])


@pytest.mark.parametrize(
    ("environment", "platform", "opens"),
    [({}, "linux", False), ({"DISPLAY": ":0"}, "linux", True), ({"WAYLAND_DISPLAY": "w"}, "linux", True),
     ({}, "darwin", True), ({"SSH_CONNECTION": "x"}, "darwin", False)],
)  # fmt: skip
def test_a_browser_needs_a_screen(environment, platform, opens):
    assert may_open_browser(environment, platform) is opens


@pytest.mark.parametrize(("access", "opened"), [("open", 1), ("private", 0)])
def test_ctrl_c_is_the_ordinary_end_and_a_private_address_goes_to_no_program(tmp_path, monkeypatch, access, opened):
    asked: list[str] = []

    def interrupted(self: ReportServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ReportServer, "serve_forever", interrupted)
    monkeypatch.setattr(viewing, "may_open_browser", lambda: True)
    monkeypatch.setattr(viewing.webbrowser, "open", asked.append)
    said: list[str] = []
    serve([Card("one", tmp_path, access=access)], port=0, browser=True, say=said.append)
    assert said[0].startswith("http://127.0.0.1:")
    assert said[-1].strip() == "stopped"
    assert asked == said[:1] * opened
    assert any("some of it is not open" in line for line in said) is not opened


@pytest.fixture
def run(small, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that was really made, with its results and its page."""
    monkeypatch.chdir(small.root)
    done = CliRunner().invoke(cli, ["--root", str(small.root), "build-index", "wards"])
    assert done.exit_code == 0, done.output
    asked = ["eval", "configs/toy.yaml", "--arms", "general,general+rag", "--tasks", "mmlu"]
    done = CliRunner().invoke(cli, ["--root", str(small.root), *asked])
    assert done.exit_code == 0, done.output
    return find_run(small.runs, "toy")


def test_a_page_that_is_missing_or_old_is_written(run, monkeypatch):
    page = run.report_folder / "index.html"
    page.unlink()
    (card,) = cards([run])
    assert page.is_file()
    assert (card.name, card.tasks, card.n) == ("toy", ("mmlu",), (12,))
    assert card.arms == ("general", "general+rag")
    assert "general+rag" in card.headline[0]
    assert card.made.endswith(" UTC")
    written = page.stat().st_mtime_ns
    cards([run])
    assert page.stat().st_mtime_ns == written
    os.utime(run.results_file, ns=(written + 1, written + 1))
    cards([run])
    assert page.stat().st_mtime_ns > written

    def refused(run: Run, settings: object) -> dict:
        raise PermissionError(13, "Permission denied", str(run.report_folder))

    monkeypatch.setattr(viewing, "write_results", refused)
    os.utime(run.results_file, ns=(2 * written, 2 * written))
    assert "older than what the run holds now" in cards([run])[0].notes[0]
    page.unlink()
    with pytest.raises(DataError, match=r"run 'toy' has no page: cannot write '.*report': Permission denied"):
        cards([run])


def test_the_command_prints_the_address_and_serves(run, monkeypatch):
    found: list[int] = []

    def once(self: ReportServer) -> None:
        thread = threading.Thread(target=self.handle_request)
        thread.start()
        found.append(httpx.get(f"{self.address}runs/toy/", trust_env=False).status_code)
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(ReportServer, "serve_forever", once)
    done = CliRunner().invoke(cli, ["--root", str(run.folder.parent.parent), "view", "toy", "--no-browser"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("http://127.0.0.1:")
    assert "1 run, on this machine alone; Ctrl-C ends it" in done.output
    assert found == [200]
    wrong = CliRunner().invoke(cli, ["view", "nowhere"])
    assert isinstance(wrong.exception, UsageError)
