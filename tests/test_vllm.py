"""Models by vLLM, tested against a double: a module with vLLM's interface that computes by transformers on the CPU.

What the double cannot show is vLLM itself: no test here has run it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import OPENS, save_tiny, user

from ragmed.arms import Arm
from ragmed.errors import DataError, MissingDependencyError, ModelError, UsageError
from ragmed.experiments.binding import as_asked
from ragmed.experiments.check import require_constraint
from ragmed.models import ModelSettings, load_model
from ragmed.models.constraint import Constraint
from ragmed.records import Example
from ragmed.tasks import BoundTask, TaskSettings, find_task
from ragmed.workspace import Workspace

DOUBLE = """
from dataclasses import dataclass, field
from types import SimpleNamespace as Some

__version__ = "0.0.double"


@dataclass(kw_only=True)
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int = 16
    stop: list[str] = field(default_factory=list)
    stop_token_ids: list[int] = field(default_factory=list)
    prompt_logprobs: int | None = None
    structured_outputs: object = None


class LLM:
    made = []

    def __init__(self, model, *, dtype="auto", seed=0, max_model_len=None, load_format="auto",
                 generation_config="auto", trust_remote_code=False, enable_lora=False, max_lora_rank=16):
        from transformers import AutoModelForCausalLM, AutoTokenizer
        self.options = dict(dtype=dtype, seed=seed, max_model_len=max_model_len, load_format=load_format,
                            generation_config=generation_config, trust_remote_code=trust_remote_code,
                            enable_lora=enable_lora, max_lora_rank=max_lora_rank)
        self.model = AutoModelForCausalLM.from_pretrained(model).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.asked = []
        self.ends_by = None
        self.deaf = False
        LLM.made.append(self)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        self.asked.append((prompts, sampling_params, lora_request))
        self.warmth = 0.5 if lora_request and not self.deaf else 1.0  # what its adapter does to its logits
        return [self.one(p["prompt_token_ids"], sampling_params) for p in prompts]

    def one(self, ids, params):
        import torch
        with torch.inference_mode():
            read = None
            if params.prompt_logprobs is not None:
                logs = (self.warmth * self.model(torch.tensor([ids])).logits[0]).log_softmax(-1)
                read = [None]
                for row, token in zip(logs, ids[1:]):
                    rank = int((row > row[token]).sum()) + 1
                    best = int(row.argmax())
                    read.append({best: Some(logprob=float(row[best]), rank=1),
                                 token: Some(logprob=float(row[token]), rank=rank)})
            if params.structured_outputs is not None:  # the first of the choices, whatever the model would write
                text = (params.structured_outputs.choice or ["I10"])[0]
                written = [*self.tokenizer(text, add_special_tokens=False)["input_ids"], params.stop_token_ids[0]]
                said = Some(text="not read", token_ids=written, finish_reason="stop")
                return Some(outputs=[said], prompt_logprobs=read)
            written, finish = [], "length"
            while len(written) < params.max_tokens:
                written.append(int(self.model(torch.tensor([ids + written])).logits[0, -1].argmax()))
                if written[-1] in params.stop_token_ids:
                    finish = "stop"
                    break
                if any(mark in self.tokenizer.decode(written) for mark in params.stop):
                    finish = "stop"
                    break
        said = Some(text="not read", token_ids=written, finish_reason=self.ends_by or finish)
        return Some(outputs=[said], prompt_logprobs=read)
"""
STRUCTURED = """
from dataclasses import dataclass


@dataclass
class StructuredOutputsParams:
    choice: list[str] | None = None
    regex: str | None = None
    json: dict | None = None
"""
REQUEST = """
from dataclasses import dataclass


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str
"""


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `vllm` as the model's loader imports it."""
    package = tmp_path / "site" / "vllm"
    (package / "lora").mkdir(parents=True)
    (package / "__init__.py").write_text(DOUBLE)
    (package / "lora" / "__init__.py").write_text("")
    (package / "sampling_params.py").write_text(STRUCTURED)
    (package / "lora" / "request.py").write_text(REQUEST)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    import vllm  # type: ignore[import-not-found]

    yield vllm
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


ASKED = [user("the fever"), user("the cough and the fever, the fever")]


def both(folder: Path, seed: int = 0, **settings: Any) -> tuple[Any, Any]:
    local = {"thinking_tokens": settings.get("thinking_tokens", 0)}
    one = load_model(ModelSettings(f"vllm:{folder}", **settings), workspace=Workspace(folder), seed=seed)
    other = load_model(ModelSettings(f"path:{folder}", device="cpu", **local), workspace=Workspace(folder))
    return one, other


def test_it_answers_as_transformers_does(tmp_path: Path, double: Any) -> None:
    model, local = both(save_tiny(tmp_path / "m"))
    expected = local.generate(ASKED, max_tokens=12)
    assert model.generate(ASKED, max_tokens=12) == expected
    mark = expected[0].text[3:5]
    assert model.generate(ASKED, max_tokens=12, stop=[mark]) == local.generate(ASKED, max_tokens=12, stop=[mark])
    assert model.count_tokens(ASKED) == local.count_tokens(ASKED)
    assert model.generate([], max_tokens=3) == []
    options = [["A", "B c"], [" no"]]
    for got, want in zip(model.score(ASKED, options), local.score(ASKED, options), strict=True):
        assert got.logprobs == pytest.approx(want.logprobs, abs=1e-4)
        assert (got.tokens, got.greedy, got.input_tokens) == (want.tokens, want.greedy, want.input_tokens)


def test_it_thinks_within_a_budget_as_transformers_does(tmp_path: Path, double: Any) -> None:
    model, local = both(save_tiny(tmp_path / "m", template=OPENS), thinking_tokens=14)
    assert model.generate(ASKED, max_tokens=5) == local.generate(ASKED, max_tokens=5)
    assert [c.thinking_tokens for c in model.generate(ASKED, max_tokens=5)] == [14, 14]


def test_what_the_engine_is_told(tmp_path: Path, double: Any) -> None:
    import os

    settings = {"temperature": 0.7, "top_p": 0.9, "dtype": "float16", "context_tokens": 200}
    model, _ = both(save_tiny(tmp_path / "m"), seed=5, **settings)
    engine = double.LLM.made[-1]
    assert engine.options == {
        "dtype": "float16", "seed": 5, "max_model_len": 200, "load_format": "safetensors", "generation_config": "vllm",
        "trust_remote_code": False, "enable_lora": False, "max_lora_rank": 16,
    }  # fmt: skip
    model.generate(ASKED[:1], max_tokens=4, stop=["x"])
    prompts, params, request = engine.asked[-1]
    assert prompts == [{"prompt_token_ids": model._encode([model.chat.render(ASKED[0])])[0]}]
    assert (params.temperature, params.top_p, params.seed, params.max_tokens, params.stop) == (0.7, 0.9, 5, 4, ["x"])
    assert (params.stop_token_ids, request) == ([0], None)
    fingerprint = model.fingerprint()
    assert (fingerprint["engine"], fingerprint["dtype"]) == ("vllm 0.0.double", "float16")
    assert fingerprint["sampling"] == "temperature=0.7, top_p=0.9, seed=5"
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_an_adapter_is_a_request(tmp_path: Path, double: Any) -> None:
    folder, adapter = save_tiny(tmp_path / "m"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 12}))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    model: Any = load_model(f"vllm:{folder}+adapter:{adapter}", workspace=Workspace(tmp_path))
    assert (double.LLM.made[-1].options["enable_lora"], double.LLM.made[-1].options["max_lora_rank"]) == (True, 16)
    model.generate(ASKED[:1], max_tokens=2)
    assert double.LLM.made[-1].asked[-1][2].lora_path == str(adapter)
    assert len(model.fingerprint()["adapter"]) == 64
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1000}))
    with pytest.raises(ModelError, match="vLLM takes 1 to 512"):
        load_model(f"vllm:{folder}+adapter:{adapter}", workspace=Workspace(tmp_path))


def test_an_adapter_is_shown_to_be_in_effect_by_requests_with_and_without_it(tmp_path: Path, double: Any) -> None:
    folder, adapter = save_tiny(tmp_path / "m"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    seen: list[Any] = []
    name, workspace = f"vllm:{folder}+adapter:{adapter}", Workspace(tmp_path)
    model: Any = load_model(name, workspace=workspace, while_apart=lambda apart: seen.append(apart))
    assert seen == [model]
    changes = model.adapter_changes(ASKED)
    assert all(change > 0.01 for change in changes)
    requests = [request for _, _, request in double.LLM.made[-1].asked]
    assert [bool(request) for request in requests] == [True, False]
    model.generate(ASKED[:1], max_tokens=2)
    assert double.LLM.made[-1].asked[-1][2] is not None  # it is on again
    double.LLM.made[-1].deaf = True
    assert model.adapter_changes(ASKED) == [0.0, 0.0]
    load_model(f"vllm:{folder}", workspace=workspace, while_apart=lambda apart: pytest.fail("it has no adapter"))


def test_answers_are_held_to_a_form_by_structured_outputs(tmp_path: Path, double: Any) -> None:
    folder = save_tiny(tmp_path / "m")
    model, _ = both(folder, constrained_by="structured_outputs")
    forms = [Constraint("choice", ("B", "C")), Constraint("codes"), Constraint("choice", ("B", "C"))]
    came: list[int] = []
    given = model.generate_within(
        [*ASKED, user("x")], forms, max_tokens=9, each=lambda place, answer: came.append(place)
    )
    assert [(answer.text, answer.finish) for answer in given] == [("B", "stop"), ("I10", "stop"), ("B", "stop")]
    assert sorted(came) == [0, 1, 2]
    engine = double.LLM.made[-1]
    told = [params.structured_outputs for _, params, _ in engine.asked]
    assert [one.choice for one in told] == [["B", "C"], None]
    assert told[1].regex == forms[1].plain()["regex"]
    free = model.generate(ASKED[:1], max_tokens=2)
    assert engine.asked[-1][1].structured_outputs is None
    assert free[0].text != "B"
    held = as_asked(
        Arm("held", "m", constrained=True),
        BoundTask(find_task("mednli"), TaskSettings(), (Example("q", "?", options={"A": "yes"}, gold="A"),), ()),
        "structured_outputs",
    )
    require_constraint([held], model)
    thinking, _ = both(save_tiny(tmp_path / "t", template=OPENS), thinking_tokens=14)
    with pytest.raises(UsageError, match="what is thought cannot be held"):
        thinking.generate_within(ASKED, forms[:2], max_tokens=9)


def test_what_goes_wrong_is_said(tmp_path: Path, double: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = both(save_tiny(tmp_path / "m"))
    double.LLM.made[-1].ends_by = "abort"
    with pytest.raises(ModelError, match="for the reason 'abort'"):
        model.generate(ASKED[:1], max_tokens=2)
    (long,) = model.generate([user("fever " * 300)], max_tokens=2)
    assert "together more than the 255" in long.error
    with pytest.raises(UsageError, match="it names no repository"):
        load_model("vllm:nowhere", workspace=Workspace(tmp_path))
    with pytest.raises(DataError, match=r"no config\.json"):
        load_model(f"vllm:{tmp_path}", workspace=Workspace(tmp_path))
    monkeypatch.setattr(double.LLM, "__init__", lambda self, **given: given["memory"])
    with pytest.raises(ModelError, match=r"vLLM could not load 'vllm:.*': KeyError"):
        both(tmp_path / "m")


def test_without_vllm_it_says_what_to_install(tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    with pytest.raises(MissingDependencyError, match=r"ragmed\[vllm\]"):
        load_model(f"vllm:{tmp_path}", workspace=Workspace(tmp_path))
