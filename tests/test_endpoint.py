"""Models behind a server: what is sent, what each fault ends in, how long it may take."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer

from ragmed.errors import ModelError, UsageError
from ragmed.models import ModelSettings, load_model
from ragmed.models.endpoint import client as transport
from ragmed.models.endpoint.client import Patience
from ragmed.models.endpoint.names import Endpoint, endpoint_host, is_loopback, parse_endpoint
from ragmed.models.refusals import about_context, about_system, lasts
from ragmed.records import Completion, Message
from ragmed.workspace import Workspace


def user(text: str) -> list[Message]:
    return [Message("user", text)]


def load(server: FaultyServer, tmp_path: Path, *, model: str = "m", seed: int = 3, **settings: Any) -> Any:
    given = ModelSettings(f"endpoint:{server.url}#{model}", **{"timeout": 10.0, "retries": 2, **settings})
    loaded: Any = load_model(given, workspace=Workspace(tmp_path), seed=seed)
    loaded._client.patience = Patience(given.timeout, given.retries, first_wait=0.01, longest_wait=0.1)
    return loaded


def one(server: FaultyServer, tmp_path: Path, fault: str, **settings: Any) -> Completion:
    completions: list[Completion] = load(server, tmp_path, **settings).generate([user(fault)], max_tokens=9)
    return completions[0]


def test_names() -> None:
    assert parse_endpoint("endpoint:http://127.0.0.1:8000/v1/#org/m:7b") == Endpoint(
        "http://127.0.0.1:8000/v1", "org/m:7b", "127.0.0.1", True
    )
    assert parse_endpoint("endpoint:https://llm.example:443/v1#m").url == "https://llm.example/v1"
    assert endpoint_host("endpoint:https://LLM.example/v1#m") == "llm.example"
    loops = ["http://localhost/v1", "http://127.8.8.8", "http://[::1]:8", "http://[::ffff:127.0.0.1]/"]
    others = ["http://10.0.0.7", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://0.0.0.0"]
    assert [is_loopback(url) for url in loops + others] == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://h/v1", "names no model"),
        ("http://h/v1#", "names no model"),
        ("ftp://h/v1#m", "no http"),
        ("h:8000/v1#m", "no http"),
        ("http://h:99999/v1#m", "cannot be read"),
        ("http://127.0.0.1\\.evil.example/v1#m", "do not belong"),
        ("http://user:hunter2@h/v1#m", "would be recorded"),
        ("http:user:hunter2@h/v1#m", "would be recorded"),
        ("http://h/v1?api_key=hunter2#m", "would be recorded"),
    ],
)
def test_malformed_addresses_are_refused(target: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_endpoint(f"endpoint:{target}")
    assert "hunter2" not in str(caught.value)


def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there: proxies are not used
    with FaultyServer() as server:
        model = load(server, tmp_path, temperature=0.5, top_p=0.9, thinking_tokens=0)
        prompt = [Message("system", "Be brief."), Message("user", "ok")]
        assert model.generate([prompt], max_tokens=9, stop=["\n"]) == [Completion("B", "stop", 7, 3)]
    assert server.seen[-1] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "ok"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["\n"],
        "stream": False,
    }
    assert "authorization" not in "".join(server.heads).lower()


ASKED_AGAIN = (
    "500", "reset", "close", "html", "cut-json", "nested", "list", "no-choices", "choices-text", "no-message", "null",
    "no-parts", "empty-no-finish", "abort", "stream", "error-200",
)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "finish", "text", "words"),
    [
        ("empty", "stop", "", ""),
        ("500", "error", "", "status 500: oh dear"),
        ("html", "error", "", "no whole JSON, with content type text/html: <html>"),
        ("cut-json", "error", "", "no whole JSON"),
        ("nested", "error", "", "no whole JSON"),
        ("list", "error", "", "no object"),
        ("no-choices", "error", "", "no answer"),
        ("choices-text", "error", "", "no answer"),
        ("no-message", "error", "", "no answer"),
        ("null", "error", "", "content is null"),
        ("no-parts", "error", "", "content is null or an empty list"),
        ("empty-no-finish", "error", "", "does not report how it ended"),
        ("number", "error", "", "neither text nor null"),
        ("no-finish", "error", "B", "does not report how it ended"),
        ("length", "length", "B and", ""),
        ("filter", "refused", "", ""),
        ("refusal", "refused", "I cannot say.", ""),
        ("tool", "error", "", "called a tool"),
        ("abort", "error", "B", "'abort'"),
        ("no-usage", "stop", "B", ""),
        ("bad-usage", "stop", "B", ""),
        ("wrong-type", "stop", "B", ""),
        ("stream", "error", "", "text/event-stream"),
        ("error-200", "error", "", "the GPU is on fire"),
        ("too-long", "error", "", "maximum context length is 64 tokens"),
        ("redirect", "error", "", "redirects are not followed"),
        ("zip", "error", "", "compressed"),
        ("reset", "error", "", "connection broke"),
        ("close", "error", "", "connection broke"),
        ("surrogate", "stop", "B �", ""),
        ("again-429", "stop", "B", ""),
        ("again-503", "stop", "B", ""),
        ("again-close", "stop", "B", ""),
        ("again-reset", "stop", "B", ""),
        ("again-html", "stop", "B", ""),
        ("again-cut-json", "stop", "B", ""),
        ("again-null", "stop", "B", ""),
        ("again-no-parts", "stop", "B", ""),
        ("again-empty-no-finish", "stop", "B", ""),
        ("again-error-200", "stop", "B", ""),
        ("template", "error", "", "System role not supported"),
        ("short-500", "error", "", "available context size"),
        ("error-200-lasts", "error", "", "maximum context length"),
        ("repetition", "length", "B B B", ""),
        ("mistral", "stop", "B", ""),
        ("tags-in-reasoning", "stop", "B", ""),
        ("only-reasoning", "error", "", "reasoning parser"),
    ],
)
def test_each_fault_ends_in_its_completion(tmp_path: Path, fault: str, finish: str, text: str, words: str) -> None:
    with FaultyServer() as server:
        got = one(server, tmp_path, fault)
    assert (got.finish, got.text) == (finish, text), got
    assert words in got.error
    assert bool(got.error) == (finish == "error")
    again = dict.fromkeys(ASKED_AGAIN, 3)
    assert server.asked[fault] == (2 if fault.startswith("again-") else again.get(fault, 1))


NO_SYSTEM = [
    "System role not supported",
    "Jinja Exception: System role not supported",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "messages[0].role: invalid value 'system'",
    "this model does not support system messages",
    "Only user and assistant roles are supported!",
]
SHORT = [
    "This model's maximum context length is 512 tokens. However, you requested 16 output tokens",
    "the request exceeds the available context size, try increasing it",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 512: too many tokens",
    "Request Entity Too Large",
]
PASSES = [
    "upstream connect error",
    "the file system is not writable",
    "CUDA out of memory",
    'oh dear, could not answer {"role": "system", "content": "Do not say more than a letter."}',
    "the server is overloaded; do not send more requests",
]


def test_what_servers_say_of_their_refusals() -> None:
    assert [words for words in NO_SYSTEM if not (about_system(words) and lasts(words))] == []
    assert [words for words in SHORT if not (about_context(words) and lasts(words))] == []
    assert [words for words in (*SHORT, *PASSES) if about_system(words)] == []
    assert [words for words in (*NO_SYSTEM, *PASSES) if about_context(words)] == []
    assert [words for words in PASSES if lasts(words)] == []


def test_thinking_is_kept_apart(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path, thinking_tokens=50)
        prompts = [user("thinking"), user("inline"), user("only-thinking")]
        apart, inline, cut = model.generate(prompts, max_tokens=9)
    assert apart == Completion("B", "stop", 7, 3, "", "It is a cold.", 2)
    assert inline == Completion("B", "stop", 7, 3, "", "It is a cold.")
    assert cut == Completion("", "length", 7, 3, "", "It is")
    assert server.seen[-1]["max_tokens"] == 59
    assert server.seen[-1]["chat_template_kwargs"] == {"enable_thinking": True}


def test_a_stop_string_left_in_by_the_server_is_taken_off(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path)
        assert model.generate([user("one STOP two")], max_tokens=9, stop=["STOP"])[0].text == "one "


def test_each_request_is_timed_by_itself(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path, timeout=0.5, retries=0)
        slow, quick = model.generate([user("never"), user("one")], max_tokens=9)
        assert 0.45 < slow.seconds < 3
        assert 0 < quick.seconds < slow.seconds
        server.delay = 0.2
        assert 0.2 <= model.generate([user("one")], max_tokens=9)[0].seconds < 0.5


@pytest.mark.parametrize("fault", ["drip", "drip-head", "never"])
def test_a_request_has_a_hard_deadline(tmp_path: Path, fault: str) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path, timeout=0.5, retries=0)
        started = time.monotonic()
        got = model.generate([user(fault)], max_tokens=9)[0]
        assert time.monotonic() - started < 3
    assert (got.finish, got.error) == ("error", "no whole reply within 0.5 s")


def test_a_huge_reply_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 100_000)
    with FaultyServer() as server:
        assert one(server, tmp_path, "huge").error == "the reply is longer than 100000 bytes"


FINISHES = {
    **dict.fromkeys(("ok", "again-429", "again-503", "again-reset", "again-close", "wrong-type", "thinking"), "stop"),
    **dict.fromkeys(("html", "cut-json", "no-choices", "null", "tool", "too-long", "redirect", "500"), "error"),
    **dict.fromkeys(("huge", "number", "reset"), "error"),
    **{"length": "length", "filter": "refused", "refusal": "refused"},
}
HELD = ("drip", "drip-head", "never")


def test_a_thousand_mixed_faults_are_all_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 100_000)
    kinds = [fault for fault in FINISHES for _ in range(46)] + [fault for fault in HELD for _ in range(3)]
    kinds += ["ok"] * (1000 - len(kinds))
    random.Random(5).shuffle(kinds)
    with FaultyServer() as server:
        model = load(server, tmp_path, concurrency=16)
        server.delay = 0.002
        model._client.patience = Patience(2.0, 2, first_wait=0.01, longest_wait=0.1)
        started = time.monotonic()
        got = model.generate([user(f"question {n} {kind}") for n, kind in enumerate(kinds)], max_tokens=9)
        seconds = time.monotonic() - started
    assert len(got) == 1000
    wrong = [(kind, c) for kind, c in zip(kinds, got, strict=True) if c.finish != FINISHES.get(kind, "error")]
    assert wrong == []
    assert Counter(c.finish for c in got)["error"] == 46 * 11 + 3 * 3
    assert all(bool(c.error) == (c.finish == "error") for c in got)
    assert all(count <= 3 for count in server.asked.values())
    assert 2 <= server.peak <= 16
    assert seconds < 60


def test_answers_come_in_the_order_of_the_prompts_and_no_more_at_a_time(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path, concurrency=5)
        server.delay = 0.02
        prompts = [user(f"echo this {n}") for n in range(40)]
        assert [c.text for c in model.generate(prompts, max_tokens=9)] == [f"echo this {n}" for n in range(40)]
        assert server.peak == 5

        async def notebook() -> Any:
            return model.generate(prompts[:2], max_tokens=9)

        assert [c.text for c in asyncio.run(notebook())] == ["echo this 0", "echo this 1"]
        assert model.generate([], max_tokens=9) == []


def test_waits() -> None:
    patience = Patience(9, 5, first_wait=0.5, longest_wait=60)
    waits = [patience.wait(attempt, None, random.Random(1)) for attempt in range(9)]
    assert all(0.25 * 2**n <= w <= 0.5 * 2**n for n, w in enumerate(waits[:7]))
    assert waits[8] == 60
    assert patience.wait(3, None, random.Random(1)) == waits[3]
    assert patience.wait(0, 7.0, random.Random(1)) == 7.0
    assert patience.wait(0, 3600.0, random.Random(1)) == 60
    assert transport._seconds("2.5") == 2.5
    assert 25 < (transport._seconds(formatdate(time.time() + 30, usegmt=True)) or 0) <= 30
    assert [transport._seconds(text) for text in ("", "soon", "-1", "nan")] == [None] * 4


def test_a_server_is_asked_again_when_it_says(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path)
        model._client.patience = Patience(10, 2, first_wait=0.01, longest_wait=5)
        started = time.monotonic()
        assert model.generate([user("again-later")], max_tokens=9)[0].text == "B"
        assert 0.6 <= time.monotonic() - started < 4


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with FaultyServer() as server:
        model = load(server, tmp_path)
        server.refuse = lambda body: (401, {"error": "who are you?"})
        with pytest.raises(ModelError, match=r"does not accept requests without a key .status 401.*key:"):
            model.generate([user("ok")] * 4, max_tokens=9)
    with pytest.raises(ModelError, match=f"no server answers at '{server.url}'"):
        load(server, tmp_path)
    with pytest.raises(ModelError, match="no server answers"):
        model.generate([user("ok")], max_tokens=9)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with FaultyServer({"/v1/models": (200, {"data": [{"id": "a"}, {"id": "b"}]})}) as server:
        server.refuse = lambda body: (404, {"error": {"message": "no such model"}})
        with pytest.raises(ModelError, match=r"has no model 'm' \(no such model\); it lists: a, b"):
            load(server, tmp_path)


def test_an_address_where_no_such_server_is(tmp_path: Path) -> None:
    with FaultyServer() as server:
        server.refuse = lambda body: (200, "<html>")
        with pytest.raises(ModelError, match=r"does not answer as an OpenAI-compatible server does.*/v1"):
            load(server, tmp_path)


def test_what_a_server_does_not_take(tmp_path: Path) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, object] | None:
        for name, words in (("max_tokens", "use 'max_completion_tokens' instead"), ("seed", "extra inputs: seed")):
            if name in body:
                return 400, {"error": {"message": words}}
        return None

    with FaultyServer() as server:
        server.refuse = refuse
        model = load(server, tmp_path)
        assert model.generate([user("ok")], max_tokens=9)[0].text == "B"
        assert server.seen[-1]["max_completion_tokens"] == 9
        assert "seed" not in server.seen[-1]
        assert model.fingerprint()["seed"] == "not sent: the server does not take it"
        with pytest.raises(ModelError, match=r"refuses the request .status 400.: extra inputs: seed"):
            load(server, tmp_path, temperature=0.7)


def test_facts_of_vllm(tmp_path: Path) -> None:
    entry = {"id": "m", "owned_by": "vllm", "root": "/models/m", "max_model_len": 4096, "created": 1}
    special = {"/v1/models": (200, {"data": [entry]}), "/version": (200, {"version": "0.16.0"})}
    with FaultyServer({**special, "/tokenize": (200, {"count": 11, "tokens": []})}) as server:
        model = load(server, tmp_path)
        assert model.context_tokens == 4096
        assert model.count_tokens([user("a"), user("b")]) == [11, 11]
        assert server.seen[-1]["chat_template_kwargs"] == {"enable_thinking": False}
        assert model.fingerprint() == {
            "url": server.url, "model": "m", "server_id": "m", "server_owned_by": "vllm", "server_root": "/models/m",
            "server_version": "0.16.0", "temperature": "0.0", "top_p": "1.0", "limit": "max_tokens", "seed": "3",
            "enable_thinking": "false", "thinking_tokens": "0", "context": "4096", "counted": "by the server (vllm)",
        }  # fmt: skip
        assert not model.remote
        assert load(server, tmp_path, context_tokens=99).context_tokens == 99

        def mistral(body: dict[str, Any]) -> tuple[int, object] | None:
            return (400, {"error": "chat_template is not supported"}) if "chat_template_kwargs" in body else None

        server.refuse = mistral
        assert load(server, tmp_path).fingerprint()["enable_thinking"] == "not sent"


def test_facts_of_llamacpp(tmp_path: Path) -> None:
    props = {"default_generation_settings": {"n_ctx": 2048}, "model_path": "/m.gguf", "build_info": "b1"}
    replies = {
        "/v1/models": (200, {"data": [{"id": "/m.gguf", "owned_by": "llamacpp"}]}),
        "/props": (200, props),
        "/apply-template": (200, {"prompt": "<user>Hi"}),
        "/tokenize": (200, {"tokens": [1, 2, 3]}),
    }
    with FaultyServer(replies) as server:
        model = load(server, tmp_path)
        assert (model.context_tokens, model.count_tokens([user("Hi")])) == (2048, [3])
        assert model.fingerprint()["server_model_path"] == "/m.gguf"
        server.special["/tokenize"] = (500, "no")
        with pytest.raises(ModelError, match="could not count"):
            model.count_tokens([user("Hi")])


def test_facts_of_ollama_and_tgi(tmp_path: Path) -> None:
    tags = {"models": [{"name": "other", "digest": "bad"}, {"name": "m:latest", "digest": "c0ffee"}]}
    loaded = {"models": [{"name": "m:latest", "context_length": 4096}]}
    ollama = {"/api/version": (200, {"version": "0.12"}), "/api/tags": (200, tags), "/api/ps": (200, loaded)}
    with FaultyServer(ollama) as server:
        model = load(server, tmp_path)
        found = model.fingerprint()
        assert (found["server_digest"], found["server_version"]) == ("c0ffee", "0.12")
        assert (model.context_tokens, load(server, tmp_path, context_tokens=99).context_tokens) == (4096, 99)
        with pytest.raises(ModelError, match="runs 'm' with 4096 tokens of context and cuts longer prompts in silence"):
            load(server, tmp_path, context_tokens=4097)
        server.special["/api/ps"] = (404, "not found")  # as older ones say
        with pytest.raises(
            ModelError, match="does not report from which length on; set context_tokens to its OLLAMA_CON"
        ):
            load(server, tmp_path)
        assert load(server, tmp_path, context_tokens=99).context_tokens == 99
    info = {"model_id": "org/m", "model_sha": "ab", "max_total_tokens": 512, "version": "3.0"}
    with FaultyServer({"/info": (200, info), "/v1/models": (500, "no")}) as server:
        model = load(server, tmp_path)
        assert (model.context_tokens, model.fingerprint()["server_model_sha"]) == (512, "ab")
