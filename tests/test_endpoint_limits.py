"""Models behind a server: texts and prompts that were cut, names that are looked up for too long, settings' limits."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, answer
from test_endpoint import load, user

from ragmed.errors import ModelError, UsageError
from ragmed.models import ModelSettings, check_settings, load_model
from ragmed.models.endpoint.client import Patience
from ragmed.records import Completion
from ragmed.workspace import Workspace


def test_a_cut_text_without_marks_may_be_thinking_alone(tmp_path: Path) -> None:
    hidden = answer("B and", "length")
    hidden["usage"]["completion_tokens_details"] = {"reasoning_tokens": 2}
    marked = [answer("<think></think>B and", "length"), answer("B and", "length", reasoning="so"), hidden]
    with FaultyServer() as server:
        model = load(server, tmp_path, thinking_tokens=50)
        bare, whole = model.generate([user("length"), user("ok")], max_tokens=9)
        assert bare == Completion("", "length", 7, 3, "", "B and", 3)
        assert whole == Completion("B", "stop", 7, 3)
        for reply in marked:
            server.refuse = lambda body, reply=reply: (200, reply)
            assert model.generate([user("x")], max_tokens=9)[0].text == "B and"
        server.refuse = None
        assert load(server, tmp_path).generate([user("length")], max_tokens=9)[0].text == "B and"


def test_a_prompt_that_was_cut_in_silence_is_an_error(tmp_path: Path) -> None:
    def says(read: int, **details: int) -> Any:
        usage = {"prompt_tokens": read, "completion_tokens": 1, "prompt_tokens_details": details}
        return lambda body: (200, {**answer(), "usage": usage})

    with FaultyServer() as server:
        model = load(server, tmp_path)
        asked = [user("a fever of many words " * 2000)]  # 10,000 words
        server.refuse = says(4096)
        cut = model.generate(asked, max_tokens=9)[0]
        assert (cut.finish, cut.input_tokens) == ("error", 4096)
        assert (
            "read 4096 tokens of a prompt that has at least 5000: it cut the prompt; give it more context" in cut.error
        )
        for reply in (says(5000), says(0), says(4096, cached_tokens=5904)):
            server.refuse = reply
            assert model.generate(asked, max_tokens=9)[0].finish == "stop"
        server.refuse = says(1)
        assert model.generate([user(text) for text in ("ok", "=" * 9999, " " * 9999)], max_tokens=9)[2].text == "B"


def test_a_slow_resolver_holds_no_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*place: Any, **hints: Any) -> Any:
        time.sleep(8)
        raise OSError("no such name")

    with FaultyServer() as server:
        url = server.url.replace("127.0.0.1", "localhost")
        given = ModelSettings(f"endpoint:{url}#m", timeout=5.0, retries=0)
        loaded: Any = load_model(given, workspace=Workspace(tmp_path))
        assert loaded.generate([user("ok")], max_tokens=9)[0].text == "B"
        loaded._client.patience = Patience(0.2, 0)
        monkeypatch.setattr("socket.getaddrinfo", slow)
        started = time.monotonic()
        assert loaded.generate([user("ok")], max_tokens=9)[0].error == "no whole reply within 0.2 s"
        assert time.monotonic() - started < 3


def test_a_host_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*place: Any, **hints: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(ModelError, match=r"no server answers at 'http://nobody\.invalid/v1'"):
        load_model(ModelSettings("endpoint:http://nobody.invalid/v1#m", retries=0), workspace=Workspace(tmp_path))


@pytest.mark.parametrize("name", ["temperature", "top_p", "timeout"])
def test_settings_that_are_no_finite_numbers_are_refused(name: str) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        given: Any = {name: value}
        with pytest.raises(UsageError, match=f"here, {name}: a number was expected, found (nan|-?inf)"):
            check_settings(ModelSettings("endpoint:http://h/v1#m", **given), "here")
