"""One real prompt before the first question: what is found out by it, and that it stops no other run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from faulty_server import FaultyServer, answer

from ragmed.errors import ModelError
from ragmed.experiments import trial
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models.chat import FOLDED
from ragmed.models.endpoint.client import Patience
from ragmed.runs import find_run
from ragmed.workspace import Workspace

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
Refuse = Callable[[dict[str, Any]], tuple[int, object] | None]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "wait", lambda *given: 0.01)


def ward_trial(small: Workspace, url: str, *, arms: dict[str, Any], questions: int = 4, **model: Any) -> Any:
    with (small.root / "q.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "question", "A", "B", "answer"])
        for n in range(questions):
            rows.writerow(
                [f"q{n}", f"What is the extension of ward {n}?{' Please.' * n}", 4000 + n, 5000 + n, "AB"[n % 2]]
            )
    raw = {
        "models": {"m": {"name": f"endpoint:{url}#m", "retries": 2, **model}},
        "index": "wards",
        "tasks": {"own": {"file": str(small.root / "q.csv"), "scoring": "generate", "access": "open"}},
        "arms": arms,
        "comparison": {"resamples": 200},
    }
    return make_experiment(raw, default_name="t", where="test")


def fine(content: object = "B", finish: object = "stop", **message: object) -> dict[str, Any]:
    """An answer that counts the prompt's tokens as nobody does: as unknown."""
    made = answer(content, finish, **message)
    made["usage"]["prompt_tokens"] = 0
    return made


def otherwise_fine(refuse: Refuse = lambda body: None) -> Refuse:
    return lambda body: refuse(body) or (200, fine())


BOTH = {"general": {"model": "m"}, "rag": {"model": "m", "context": "retrieved", "k": 3}}


def asked(server: FaultyServer) -> list[list[dict[str, str]]]:
    return [body["messages"] for body in server.seen if "messages" in body]


def has_passages(body: dict[str, Any]) -> bool:
    return "<passages>" in body["messages"][-1]["content"]


def test_the_longest_prompt_is_asked_first_with_its_system_turn_and_passages(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = otherwise_fine()
        run_experiment(ward_trial(small, server.url, arms=BOTH), workspace=small)
    hello, first, *others = asked(server)
    assert hello[-1]["content"] == "Hi"
    assert [turn["role"] for turn in first] == ["system", "user"]
    lengths = [sum(len(turn["content"]) for turn in turns) for turns in others]
    assert sum(len(turn["content"]) for turn in first) == max(lengths)
    assert "</passage 3>" in first[-1]["content"]
    assert len(others) == 8
    assert first in others  # its answer is thrown away, and it is asked in its turn


def no_system(status: int, message: str) -> Refuse:
    def refuse(body: dict[str, Any]) -> tuple[int, object] | None:
        return (status, {"error": {"message": message}}) if body["messages"][0]["role"] == "system" else None

    return refuse


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "System role not supported"),
        (500, "While executing CallExpression: Jinja Exception: System role not supported"),
        (422, "Template error: invalid operation"),
        (400, "unprocessable"),
    ],
)
def test_system_text_opens_the_first_user_turn_where_a_server_takes_no_system_turn(
    small: Workspace, status: int, message: str
) -> None:
    with FaultyServer() as server:
        server.refuse = otherwise_fine(no_system(status, message))
        run_experiment(ward_trial(small, server.url, arms=BOTH), workspace=small)
    samples = [sample for _, _, sample in find_run(small.runs, "t").stream()]
    assert {sample.finish for sample in samples} == {"stop"}
    assert len(asked(server)) == 1 + 1 + 1 + 8  # refused once, asked otherwise, the check, the questions
    turns = asked(server)[-1]
    assert [turn["role"] for turn in turns] == ["user"]
    assert turns[0]["content"] in [f"{s.messages[0].content}\n\n{s.messages[1].content}" for s in samples]
    weights = find_run(small.runs, "t").info()["identity"]["weights"]["m"]
    assert weights["system"] == FOLDED


def test_a_template_that_drops_system_turns_is_found_by_its_count(small: Workspace) -> None:
    def count(body: dict[str, Any]) -> tuple[int, object]:
        return 200, {"count": sum(len(t["content"].split()) for t in body["messages"] if t["role"] != "system")}

    entry = {"id": "m", "owned_by": "vllm", "max_model_len": 4096}
    special = {"/v1/models": (200, {"data": [entry]}), "/tokenize": count}
    with FaultyServer(special) as server:
        server.refuse = otherwise_fine()
        run_experiment(ward_trial(small, server.url, arms=BOTH), workspace=small)
    chats = [body["messages"] for body in server.seen if "temperature" in body]
    assert [turn["role"] for turn in chats[-1]] == ["user"]


TOO_LONG = (400, {"error": {"message": "This model's maximum context length is 64 tokens."}})


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda body: (200, answer()), "has at least .* it cut the prompt"),
        (lambda body: TOO_LONG if has_passages(body) else None, r"longest prompt of arm 'rag' on task 'own' \(3 pas"),
        (lambda body: (500, TOO_LONG[1]) if has_passages(body) else None, "context_tokens to what it holds"),
        (lambda body: (200, answer(None)), "no answer to a short question.*content is null"),
        (lambda body: (200, answer("B", None)), "no answer to a short question.*does not report how it ended"),
        (lambda body: (200, answer("B", "abort")), "no answer to a short question.*'abort'"),
        (lambda body: (200, fine("")), "counts 3 tokens of answer, and the answer's content holds none"),
        (lambda body: (200, fine("", "length", reasoning="Let me see")), "thinking_tokens is 0: set it"),
        (lambda body: (418, {"error": "I am a teapot"}), "status 418: I am a teapot"),
        (lambda body: (413, "too large") if has_passages(body) else None, "longest prompt of arm 'rag'"),
    ],
)
def test_a_server_that_cannot_answer_is_found_before_the_first_question(
    small: Workspace, refuse: Refuse, words: str
) -> None:
    with FaultyServer() as server:
        server.refuse = otherwise_fine(refuse)
        with pytest.raises(ModelError, match=words):
            run_experiment(ward_trial(small, server.url, arms=BOTH), workspace=small)
        assert len(asked(server)) <= 4  # a refusal that lasts is not asked six times
    assert [*find_run(small.runs, "t").stream()] == []


def test_with_the_context_that_the_message_asks_for_the_run_goes_through(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = otherwise_fine(lambda body: TOO_LONG if has_passages(body) else None)
        run_experiment(ward_trial(small, server.url, arms=BOTH, context_tokens=160), workspace=small)
    samples = find_run(small.runs, "t").samples()["rag", "own"]
    assert {sample.finish for sample in samples} == {"stop"}
    assert all(len(sample.dropped) == 3 for sample in samples)


def test_one_question_that_is_refused_for_what_stands_in_it_stops_no_run(small: Workspace) -> None:
    def filtered(body: dict[str, Any]) -> tuple[int, object] | None:
        refused = "Please. Please. Please." in body["messages"][-1]["content"]  # the longest one
        return (400, {"error": {"message": "flagged by a filter of ours"}}) if refused else None

    with FaultyServer() as server:
        server.refuse = otherwise_fine(filtered)
        run_experiment(ward_trial(small, server.url, arms={"general": {"model": "m"}}), workspace=small)
    finishes = Counter(sample.finish for _, _, sample in find_run(small.runs, "t").stream())
    assert finishes == {"stop": 3, "error": 1}


def searching(small: Workspace, url: str, count: int = 8) -> Any:
    with (small.root / "q.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "question", "A", "B", "answer", "split"])
        rows.writerows(
            [f"q{n}", f"Where is ward {n}?", "Here", "There", "A", "test" if n % 2 else "dev"] for n in range(count)
        )
    raw = {
        "models": {"m": f"endpoint:{url}#m"},
        "index": "wards",
        "tasks": {"own": {"file": str(small.root / "q.csv"), "scoring": "generate", "access": "open"}},
        "arms": {"general": {"model": "m"}, "rag": {"model": "m", "context": "retrieved", "k": 1}},
        "search": {"arm": "rag", "task": "own", "k": [1, 3]},
    }
    return make_experiment(raw, default_name="t", where="test")


def test_a_search_over_k_is_checked_at_its_largest_before_it_chooses(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = otherwise_fine(lambda body: TOO_LONG if "</passage 3>" in str(body["messages"]) else None)
        with pytest.raises(ModelError, match=r"longest prompt of arm 'rag' on task 'own' \(3 passages\)"):
            run_experiment(searching(small, server.url), workspace=small)
        assert len(asked(server)) == 2


def test_a_question_that_a_server_never_answers_is_left_out_of_all_cells(small: Workspace) -> None:
    def of_one_ward(body: dict[str, Any]) -> Any:
        text = str(body["messages"])
        flagged = (400, {"error": {"message": "flagged by a filter of ours"}})
        return flagged if "</passage 3>" in text and "Where is ward 2?" in text else None

    with FaultyServer() as server:
        server.refuse = otherwise_fine(of_one_ward)
        results = run_experiment(searching(small, server.url, 22), workspace=small)
    found = json.loads((small.runs / "t" / "search.json").read_text())
    assert (found["unanswered"], found["n"]) == (["q2"], 10)
    assert [cell["unanswered"] for cell in found["cells"]] == [[], ["q2"]]
    assert len({cell["score"] for cell in found["cells"]}) == 1  # the same answers to the same ten
    assert found["chosen"] == 0
    assert any("1 more, which a server did not answer in every cell" in note for note in results.notes)


def test_what_a_server_did_not_answer_is_no_0_of_a_search_and_what_was_tried_is_kept(small: Workspace) -> None:
    busy = (400, {"error": "busy"})

    def of_one_ward(body: dict[str, Any]) -> Any:
        text = str(body["messages"])
        wards = ("Where is ward 2?", "Where is ward 4?")
        return busy if "</passage 3>" in text and any(ward in text for ward in wards) else None

    with FaultyServer() as server:
        server.refuse = otherwise_fine(of_one_ward)
        with pytest.raises(
            ModelError, match=r"with k 3 cannot be scored: 2 of 4 examples for development got no answer"
        ):
            run_experiment(searching(small, server.url), workspace=small)
        tried = json.loads((small.runs / "t" / "search.json").read_text())
        assert ([cell["k"] for cell in tried["cells"]], "chosen" in tried) == ([1], False)
        server.refuse = otherwise_fine()
        before = len(asked(server))
        results = run_experiment(searching(small, server.url), workspace=small)
        # the greeting and the longest prompt, twice; the second cell's four; two arms of four: no first cell again
        assert len(asked(server)) - before == 2 + 4 + 2 + 8
    found = json.loads((small.runs / "t" / "search.json").read_text())
    same = {key: value for key, value in tried["cells"][0].items() if key != "measures"}
    assert {key: value for key, value in found["cells"][0].items() if key != "score"} == same
    assert ([cell["k"] for cell in found["cells"]], found["chosen"]) == ([1, 3], 0)
    assert any("wards, query question, k 1" in note for note in results.notes)


def test_answers_in_the_reasoning_field_are_read_where_nothing_else_is_ever_in_it(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = lambda body: (200, fine("", reasoning="B"))
        run_experiment(ward_trial(small, server.url, arms=BOTH), workspace=small)
        experiment = ward_trial(small, server.url, arms=BOTH, thinking_tokens=9)
        with pytest.raises(ModelError, match="reasoning parser"):  # with thinking on, this may be thinking alone
            run_experiment(experiment, workspace=small, output=small.runs / "thinks")
    run = find_run(small.runs, "t")
    assert {(s.completion, s.thinking) for _, _, s in run.stream()} == {("B", "")}
    assert "reasoning field" in run.info()["identity"]["weights"]["m"]["answers"]


def test_samples_that_are_asked_again_need_no_check(small: Workspace) -> None:
    with FaultyServer() as server:
        experiment = ward_trial(small, server.url, arms={"general": {"model": "m"}})
        busy = (400, {"error": "busy"})
        server.refuse = otherwise_fine(lambda body: busy if "ward 2" in body["messages"][-1]["content"] else None)
        run_experiment(experiment, workspace=small)
        server.refuse = otherwise_fine()
        before = len(asked(server))
        run_experiment(experiment, workspace=small, retry_errors=True)
        assert len(asked(server)) == before + 2  # the greeting, and the one question
    assert {sample.finish for _, _, sample in find_run(small.runs, "t").stream()} == {"stop"}


def test_a_model_of_this_process_is_not_checked(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "require_answers", lambda *given: pytest.fail("asked"))
    raw = {"models": {"m": "scripted:first-option"}, "tasks": {"mmlu": {}}, "arms": {"general": {"model": "m"}}}
    run_experiment(make_experiment(raw, default_name="t", where="test"), workspace=small)


# Mode of the invented server -> how answers end, or the words of the refusal before the first question.
MODES = {
    **dict.fromkeys(("plain", "no-models", "ollama", "no-usage", "parts", "leading-space"), "stop"),
    **dict.fromkeys(("vllm-no-system", "llamacpp-no-system", "llamacpp-alternate"), "stop"),
    "reasoning-empty-content": "stop",
    "finish-null": "does not report how it ended",
    "finish-empty": "ended for the reason ''",
    "finish-word load": "'load'",
    "finish-word abort": "'abort'",
    "finish-word repetition": "length",
    "ollama-thinking": "thinking alone",
    "vllm-context": "cannot hold the longest prompt",
    "sse": "it streams unasked",
    "null-content": "content is null",
}


@pytest.fixture
def quirky(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(mode: str) -> str:
        port = 20_000 + os.getpid() % 20_000 + len(started)
        word, _, said = mode.partition(" ")
        script = [sys.executable, str(CASES / "quirky_server.py"), str(port), word, said or "B"]
        started.append(subprocess.Popen(script, cwd=tmp_path))
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        return f"http://127.0.0.1:{port}/v1"

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases that are kept outside of the project are not here")
def test_every_mode_of_the_quirky_server(small: Workspace, quirky: Callable[[str], str]) -> None:
    for mode, expected in MODES.items():
        url, output = quirky(mode), small.runs / mode.replace(" ", "-")
        task = {"file": str(CASES / "20-basic" / "q.csv"), "scoring": "generate", "access": "open"}
        raw = {"models": {"m": {"name": f"endpoint:{url}#m", "retries": 2}}, "tasks": {"own": task},
               "arms": {"general": {"model": "m"}}, "comparison": {"resamples": 200}}  # fmt: skip
        experiment = make_experiment(raw, default_name="t", where="test")
        if expected not in ("stop", "length"):
            with pytest.raises(ModelError, match=expected):
                run_experiment(experiment, workspace=small, output=output)
            continue
        run_experiment(experiment, workspace=small, output=output)
        samples = [sample for _, _, sample in find_run(small.runs, str(output)).stream()]
        assert {sample.finish for sample in samples} == {expected}, mode
        assert {(sample.completion or "").strip() for sample in samples} <= {"B", "repetition"}, mode
