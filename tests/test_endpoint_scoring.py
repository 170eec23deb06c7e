"""Token counts and log-likelihoods by way of a server, against those of the same model in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer
from test_endpoint import load, user
from test_models import save_tiny

from ragmed.errors import ModelError
from ragmed.models import ModelSettings, load_model
from ragmed.workspace import Workspace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


def test_counting(tmp_path: Path, tiny: Path) -> None:
    local = load_model(ModelSettings(f"path:{tiny}", device="cpu"), workspace=Workspace(tmp_path))
    with FaultyServer() as server:
        estimated = load(server, tmp_path)
        assert estimated.fingerprint()["counted"].startswith("estimated")
        assert estimated.context_tokens >= 1_000_000
        exact = load(server, tmp_path, tokenizer=f"path:{tiny}")
        prompts = [user("the fever and the cough"), user("ok")]
        assert exact.count_tokens(prompts) == local.count_tokens(prompts)
        cut = exact.generate([user("the fever " * 40 + "ok")], max_tokens=9)[0]
    assert cut.finish == "error"
    assert "it cut the prompt" in cut.error


def echo_server(local: Any) -> Any:
    """What vLLM does with echo and logprobs: an entry for each token of the prompt, and one for what it generates."""
    import torch

    def reply(body: dict[str, Any]) -> tuple[int, object]:
        assert (body["echo"], body["logprobs"], body["temperature"], body["stream"]) == (True, 1, 0, False)
        with torch.inference_mode():
            table = local.model(input_ids=torch.tensor([body["prompt"]])).logits[0].float().log_softmax(-1)
        ids = body["prompt"]
        rows = [{"logprob": float(row[token]), "top": float(row.max())} for row, token in zip(table, ids[1:])]
        logprobs = {
            "tokens": [local.tokenizer.decode([token]) for token in ids] + ["x"],
            "token_logprobs": [None, *(row["logprob"] for row in rows), -0.5],
            "top_logprobs": [None, *({"t": row["top"]} for row in rows), {"x": -0.5}],
        }
        return 200, {"choices": [{"text": "", "logprobs": logprobs, "finish_reason": "length"}]}

    return reply


def test_scores_are_those_of_the_model_itself(tmp_path: Path, tiny: Path) -> None:
    local: Any = load_model(ModelSettings(f"path:{tiny}", device="cpu"), workspace=Workspace(tmp_path))
    prompts = [user("the fever"), user("and the cough, the fever")]
    options = [["A", " the cough", "the"], ["yes", "no"]]
    with FaultyServer({"/v1/completions": echo_server(local)}) as server:
        got = load(server, tmp_path, tokenizer=f"path:{tiny}").score(prompts, options)
        with pytest.raises(ModelError, match=r"need its tokenizer and chat template.*scoring: generate"):
            load(server, tmp_path).score(prompts, options)
    for mine, other in zip(got, local.score(prompts, options), strict=True):
        assert mine.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert (mine.tokens, mine.greedy, mine.input_tokens) == (other.tokens, other.greedy, other.input_tokens)


def echoed(**logprobs: object) -> tuple[int, object]:
    return 200, {"choices": [{"text": "x", "logprobs": logprobs or None, "finish_reason": "length"}]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((400, {"error": {"message": "Only no echo is supported"}}), "Only no echo is supported; score by"),
        ((404, {"error": "not found"}), "status 404"),
        (echoed(), "left out the log-likelihoods"),
        (echoed(token_logprobs=[-0.1], tokens=["x"]), "gave 1 log-likelihoods for the"),
        (lambda body: echoed(token_logprobs=[None] + [-1] * len(body["prompt"])), "does not report to which tokens"),
        (lambda body: echoed(token_logprobs=[None] + [-(10**400)] * len(body["prompt"])), "gives no log-likelihoods"),
    ],
)
def test_a_server_that_cannot_score_is_found_out_first(tmp_path: Path, tiny: Path, reply: Any, words: str) -> None:
    with FaultyServer({"/v1/completions": reply}) as server:
        model = load(server, tmp_path, tokenizer=f"path:{tiny}")
        before = len(server.seen)
        with pytest.raises(ModelError, match=words):
            model.score([user("the fever")] * 9, [["A", "B"]] * 9)
        assert len(server.seen) == before + 1


def test_an_option_without_a_likelihood_is_an_error_of_its_question(tmp_path: Path, tiny: Path) -> None:
    asked: list[int] = []
    local: Any = load_model(ModelSettings(f"path:{tiny}", device="cpu"), workspace=Workspace(tmp_path))

    def reply(body: dict[str, Any]) -> tuple[int, object]:
        asked.append(count := len(body["prompt"]))
        if len(asked) == 3:
            return 400, {"error": {"message": "maximum context length is 9 tokens"}}
        last = {5: None, 6: -(10**400), 7: float("-inf")}.get(len(asked), -2.0)
        tokens = [local.tokenizer.decode([token]) for token in body["prompt"]]
        tops = [None] + [{"t": 10**400, "u": float("nan")}] * (count - 1)
        return echoed(token_logprobs=[None] + [-1.0] * (count - 2) + [last], tokens=tokens, top_logprobs=tops)

    with FaultyServer({"/v1/completions": reply}) as server:
        model = load(server, tmp_path, tokenizer=f"path:{tiny}", concurrency=1)
        first, second, huge, third = model.score([user("the fever")] * 4, [["A", "B"]] * 4)
    assert (first.logprobs, first.tokens) == ((), (1, 1))
    assert "maximum context length is 9 tokens" in first.error
    assert "no log-likelihood for some" in second.error
    assert "no log-likelihood for some" in huge.error
    assert (third.logprobs, third.greedy, third.error) == ((-2.0, -2.0), (False, False), "")


def test_a_token_put_before_the_prompts_is_found_out(tmp_path: Path, tiny: Path) -> None:
    local: Any = load_model(ModelSettings(f"path:{tiny}", device="cpu"), workspace=Workspace(tmp_path))

    def reply(body: dict[str, Any]) -> tuple[int, object]:
        tokens = ["<s>", *(local.tokenizer.decode([token]) for token in body["prompt"])]
        return echoed(token_logprobs=[None] + [-1.0] * len(body["prompt"]), tokens=tokens)

    with FaultyServer({"/v1/completions": reply}) as server:
        model = load(server, tmp_path, tokenizer=f"path:{tiny}")
        with pytest.raises(ModelError, match="decodes the tokens to another text"):
            model.require_scoring()


def test_a_tokenizer_of_another_model_is_found_out(tmp_path: Path, tiny: Path) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, object]:
        count = len(body["prompt"])
        return echoed(token_logprobs=[None] + [-1.0] * (count - 1), tokens=["zebra"] * count)

    with FaultyServer({"/v1/completions": reply}) as server:
        model = load(server, tmp_path, tokenizer=f"path:{tiny}")
        with pytest.raises(ModelError, match="decodes the tokens to another text"):
            model.require_scoring()
