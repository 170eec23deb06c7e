"""The key of a server: where it comes from, and that it is written nowhere: no message, no log, no file of a run."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest
from faulty_server import FaultyServer, answer
from test_endpoint import load, user

from ragmed.errors import ModelError, UsageError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import ModelSettings, check_settings, load_model
from ragmed.models.endpoint.secret import Secret, read_secret
from ragmed.workspace import Workspace

KEY = "sk-ward/7-very-secret-value"
RUN = """
models: {{served: {{name: "endpoint:{url}#m", key: WARD_KEY, timeout: 10, retries: 1}}}}
window: 3
tasks: {{mmlu: {{scoring: generate, limit: 4}}}}
arms: {{general: {{model: served}}}}
comparison: {{resamples: 200}}
"""


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer() as server:
        load(server, tmp_path)
        assert KEY not in "".join(server.heads)
        load(server, tmp_path, key="OPENAI_API_KEY")
        assert f"Bearer {KEY}" in server.heads[-1]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="'OPENAI_API_KEY', which key: names, is empty"):
        read_secret("OPENAI_API_KEY")


def test_the_key_is_written_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARD_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    words = {"error": {"message": f"bad key {KEY} {json.dumps(KEY)}"}}
    with FaultyServer() as server:
        model = load(server, tmp_path, key="WARD_KEY")
        said += [repr(model), repr(model._client.secret), repr(vars(model)), json.dumps(model.fingerprint())]
        for status in (200, 400, 401, 403, 404, 500, 503):
            server.refuse = lambda body, status=status: (status, words)
            for attempt in (
                lambda: model.generate([user("ok")], max_tokens=9),
                lambda: load(server, tmp_path, key="WARD_KEY"),
            ):
                try:
                    said.append(repr(attempt()))
                except ModelError as error:
                    said += ["".join(traceback.format_exception(error)), repr(error.__dict__)]
        server.refuse = lambda body: (200, answer(f"the key is {KEY}"))
        said.append(repr(model.generate([user("ok")], max_tokens=9)))
    try:
        model.generate([user("ok")], max_tokens=9)
    except ModelError as error:
        said.append("".join(traceback.format_exception(error)))
    captured = capfd.readouterr()
    assert sum(f"Bearer {KEY}" in head for head in server.heads) > 10
    assert "WARD_KEY" in "".join(said)
    assert "[key]" in "".join(said)
    for text in [*said, caplog.text, captured.out, captured.err]:
        assert KEY not in text
        assert json.dumps(KEY).replace("/", "\\/")[1:-1] not in text


def test_a_run_holds_no_key(monkeypatch: pytest.MonkeyPatch, small: Workspace) -> None:
    monkeypatch.setenv("WARD_KEY", KEY)
    config = small.root / "configs" / "served.yaml"
    with FaultyServer() as server:
        config.write_text(RUN.format(url=server.url))
        said = {**answer(f"A, says {KEY}"), "usage": None}  # its 7 tokens would show that prompts were cut
        server.refuse = lambda body: (200, said) if len(server.seen) % 2 else (500, f"no {KEY}")
        run_experiment(load_experiment(config), workspace=small)
        assert any(f"Bearer {KEY}" in head for head in server.heads)
    files = [path for path in small.root.rglob("*") if path.is_file()]
    assert any(path.name == "run.json" and b"WARD_KEY" in path.read_bytes() for path in files)
    assert any(path.suffix == ".jsonl" and b"[key]" in path.read_bytes() for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("given", ["sk-ward-7", "two words", "7KEY", "Bearer x", "sk_abc123def456ghi789jkl", "0" * 32])
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(given: str, tmp_path: Path) -> None:
    settings = ModelSettings("endpoint:http://127.0.0.1:9/v1#m", key=given)
    with pytest.raises(UsageError, match="it names the environment variable that holds the key") as caught:
        load_model(settings, workspace=Workspace(tmp_path))
    assert given not in "".join(traceback.format_exception(caught.value))


def test_what_may_be_a_key_is_repeated_by_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("abcdefgh", "sk_abcdefghijklmnopqrst"):
        with pytest.raises(ModelError, match="the environment variable, which key: names, is empty or not") as caught:
            read_secret(given)
        assert given not in str(caught.value)
    monkeypatch.setenv("ward_llm_key_of_2026_a", KEY)  # an odd name, but that of a variable
    check_settings(ModelSettings("endpoint:http://127.0.0.1:9/v1#m", key="ward_llm_key_of_2026_a"), "here")


def test_pieces_of_a_key_are_told_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARD_KEY", KEY)
    with FaultyServer() as server:
        model = load(server, tmp_path, key="WARD_KEY", retries=0)
        server.refuse = lambda body: (400, {"error": f"Incorrect key {KEY[:11]}**** or ****{KEY[-9:]}, {KEY[:4]}"})
        (got,) = model.generate([user("ok")], max_tokens=9)
        assert got.error.endswith("status 400: Incorrect key [key]**** or ****[key], sk-w")
        server.refuse = lambda body: (200, answer("B", f"of {KEY[3:12]}"))
        (got,) = model.generate([user("ok")], max_tokens=9)
        assert got.error == "the answer ended for the reason 'of [key]'"
        server.refuse = lambda body: (200, answer(f"a very secret value of {KEY[:14]}"))
        (got,) = model.generate([user("ok")], max_tokens=9)
        assert got.text == "a very secret value of [key]"


def test_a_key_cannot_be_copied_or_broken_into_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="not to be copied"):
        pickle.dumps(Secret("WARD_KEY", KEY))
    monkeypatch.setenv("WARD_KEY", "two words")
    with pytest.raises(UsageError, match="holds characters that no key has"):
        read_secret("WARD_KEY")


def test_a_short_key_does_not_change_answers() -> None:
    short = Secret("WARD_KEY", "EMPTY")
    assert short.scrub_reply("an EMPTY stomach") == "an EMPTY stomach"
    assert short.quote("bad key EMPTY") == "bad key [key]"
