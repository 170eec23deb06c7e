"""Whether an adapter is in effect on the prompts of its first task: seen, refused where it is not, or said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, answer
from test_adapters import logprobs, make_adapter
from tiny import save_tiny

from ragmed.errors import ModelError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.effect import require_effect, served_template, unseen
from ragmed.experiments.trial import run_experiment
from ragmed.files import sha256_json
from ragmed.models import ModelSettings, load_model
from ragmed.models.endpoint.client import Patience
from ragmed.runs import find_run
from ragmed.workspace import Workspace

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "wait", lambda *given: 0.01)


def trial(models: dict[str, Any], *, limit: int = 12, **arm: Any) -> Any:
    raw = {
        "models": models,
        "index": "wards",
        "tasks": {"mmlu": {"limit": limit, "max_tokens": 2}},
        "arms": {name: {"model": name, **arm} for name in models},
        "comparison": {"resamples": 200},
    }
    return make_experiment(raw, default_name="t", where="test")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # merged, and beside the weights
def test_the_first_eight_prompts_are_answered_with_the_adapter_and_without(small: Workspace, dtype: str) -> None:
    base, adapter = save_tiny(small.root / "base", positions=2048), small.root / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj", "v_proj"])
    tuned = {"name": f"path:{base}+adapter:{adapter}", "device": "cpu", "dtype": dtype}
    run_experiment(trial({"tuned": tuned}, context="retrieved", k=1), workspace=small)
    run = find_run(small.runs, "t")
    facts = run.info()["references"]["models"]["tuned"]["adapter"]
    seen = facts["prompts"]
    assert (seen["task"], seen["arm"], seen["n"], seen["differ"]) == ("mmlu", "tuned", 8, 8)
    assert seen["by"] == "log-probabilities of the next token"
    assert (facts["merged"], "merged_differs" in facts) == (dtype == "float32", dtype == "float32")
    if dtype == "float32":
        prompts = [sample.messages for sample in run.ordered_samples("tuned", "mmlu")[:8]]
        assert "<passage 1>" in prompts[0][-1].content
        with_it: Any = load_model(ModelSettings(tuned["name"], device="cpu"), workspace=small)
        without: Any = load_model(ModelSettings(f"path:{base}", device="cpu"), workspace=small)
        ids = [with_it._encode([with_it.chat.render(prompt)])[0] for prompt in prompts]
        pairs = [(logprobs(with_it.model, one)[0, -1], logprobs(without.model, one)[0, -1]) for one in ids]
        assert seen["largest"] == pytest.approx(max(float((a - b).abs().max()) for a, b in pairs), abs=1e-3)


def test_fewer_examples_than_eight_are_fewer_prompts(small: Workspace) -> None:
    base, adapter = save_tiny(small.root / "base", positions=2048), small.root / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    tuned = {"name": f"path:{base}+adapter:{adapter}", "device": "cpu"}
    run_experiment(trial({"tuned": tuned}, limit=3), workspace=small)
    known = find_run(small.runs, "t").info()["references"]["models"]["tuned"]["adapter"]
    assert known["prompts"]["n"] == 3


def test_an_adapter_whose_numbers_are_none_is_refused(small: Workspace) -> None:
    from safetensors.torch import load_file, save_file

    base, adapter = save_tiny(small.root / "base", positions=2048), small.root / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    weights = adapter / "adapter_model.safetensors"
    save_file({key: value * float("nan") for key, value in load_file(weights).items()}, weights, {"format": "pt"})
    tuned = {"name": f"path:{base}+adapter:{adapter}", "device": "cpu", "dtype": "bfloat16"}
    with pytest.raises(ModelError, match="no finite numbers in bfloat16"):
        run_experiment(trial({"tuned": tuned}, limit=2), workspace=small)


def test_an_adapter_that_changes_no_prompt_is_refused() -> None:
    seen = {"task": "mmlu", "arm": "tuned", "n": 8, "differ": 0, "largest": 0.0, "by": "log-probabilities"}
    with pytest.raises(ModelError, match=r"'m' is not in effect: .* all of the first 8 prompts of task 'mmlu'"):
        require_effect("m", {"adapter": {"changes": 0.3, "prompts": seen}})
    with pytest.raises(ModelError, match="can read none of the first 0 prompts"):
        require_effect("m", {"adapter": {"prompts": seen | {"n": 0}}})
    require_effect("m", {"adapter": {"prompts": seen | {"differ": 1}}})


def served(small: Workspace, url: str, **tuned: Any) -> Any:
    common = {"retries": 1, "context_tokens": 4096}
    models = {
        "base": {"name": f"endpoint:{url}#base", **common},
        "tuned": {"name": f"endpoint:{url}#tuned", "base": "base", **common, **tuned},
    }
    return trial(models)


def saying(words: dict[str, str]) -> Any:
    """A server that answers by the name of the model, and knows no others."""

    def reply(body: dict[str, Any]) -> tuple[int, object]:
        if body["model"] not in words:
            return 404, {"error": {"message": f"no model {body['model']}"}}
        made = answer(words[body["model"]])
        made["usage"]["prompt_tokens"] = 0
        return 200, made

    return reply


def test_a_server_is_asked_under_both_names(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = saying({"base": "A", "tuned": "B"})
        results = run_experiment(served(small, server.url, base_served="base"), workspace=small)
        greedy = [body for body in server.seen if body.get("max_tokens") == 64]
    assert [body["model"] for body in greedy].count("base") == [body["model"] for body in greedy].count("tuned") == 8
    assert {body["temperature"] for body in greedy} == {0.0}
    info = find_run(small.runs, "t").info()
    seen = info["references"]["models"]["tuned"]["adapter"]["prompts"]
    assert (seen["n"], seen["differ"], seen["by"]) == (8, 8, "answers")
    assert "base_served" not in info["identity"]["models"]["tuned"]  # it changes no answer
    assert "base" not in info["references"].get("models", {})
    assert not any("in effect was not checked" in note for note in results.notes)
    assert any("whether its chat template is the one of its training was not checked" in n for n in results.notes)


def test_a_server_that_answers_with_its_base_is_refused(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = saying({"base": "A", "tuned": "A"})
        with pytest.raises(ModelError, match=r"#tuned' is not in effect: .* answers are the same.*base_served"):
            run_experiment(served(small, server.url, base_served="base"), workspace=small)
        server.refuse = saying({"base": "A", "tuned": "B"})
        with pytest.raises(ModelError, match=r"no answer as 'bare': .*no model bare; check base_served"):
            run_experiment(served(small, server.url, base_served="bare"), workspace=small)
    assert [arm for arm, _ in find_run(small.runs, "t").samples()] == ["base"]


def test_what_cannot_be_checked_is_said(small: Workspace) -> None:
    with FaultyServer() as server:
        server.refuse = saying({"base": "A", "tuned": "B"})
        results = run_experiment(served(small, server.url), workspace=small)
    (note,) = (note for note in results.notes if "in effect was not checked" in note)
    assert note.startswith("model tuned: ")
    assert "base_served: the name of its base there" in note


def test_whose_adapter_cannot_be_switched_off() -> None:
    assert "merged into the weights" in unseen(ModelSettings("path:merged"), {"name": "ours", "tokens": 9})
    assert "merged into the weights" in unseen(ModelSettings("vllm:merged", tuned_by="ours"), {})
    assert "a provider's model" in unseen(ModelSettings("chat:openai:ft-x"), {})
    assert unseen(ModelSettings("path:m+adapter:a"), {"tokens": 9}) == ""
    assert unseen(ModelSettings("hf:org/biomedical"), {"name": "hf:org/biomedical", "corpora": []}) == ""  # all weights


def test_the_template_that_a_server_tells_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_with = sha256_json("{{ messages }}")
    manifest = {"base": {"template": trained_with}}
    monkeypatch.setattr("ragmed.experiments.effect.read_manifest", lambda folder: manifest)
    settings, here = ModelSettings("endpoint:http://127.0.0.1:1/v1#m", tuned_by="ours"), Workspace(tmp_path)
    assert served_template(settings, trained_with, here) == ""
    assert "another chat template than the one it was trained with" in served_template(settings, "0f", here)
    assert "its server does not tell it" in served_template(settings, "", here)
    assert served_template(ModelSettings("path:m", tuned_by="ours"), "", here) == ""
