"""Small models and answers of the field that once failed, where they are beside the checkout."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from ragmed.models import ModelSettings, load_model
from ragmed.models.thinking import split_thinking
from ragmed.records import Message
from ragmed.workspace import Workspace

CASES = Path(__file__).parents[1].parent / "shared" / "cases"
MAKER = CASES / "70-models" / "make_tiny_models.py"
pytestmark = pytest.mark.skipif(not MAKER.is_file(), reason="the folder of cases is not beside this checkout")
ASKED = [Message("system", "Be brief."), Message("user", "Which dose of Zelvarin?")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, before = tmp_path_factory.mktemp("models"), sys.argv
    sys.argv = [str(MAKER), str(folder)]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            runpy.run_path(str(MAKER))
    finally:
        sys.argv = before
    return folder


def load(made: Path, name: str, adapter: str = "") -> Any:
    named = f"path:{made / name}" + (f"+adapter:{made / 'adapters' / adapter}" if adapter else "")
    return load_model(ModelSettings(named, device="cpu"), workspace=Workspace(made))


@pytest.mark.parametrize("name", ["tied", "strftime", "parts", "nosystem", "base"])
def test_every_template_asks_the_question(made: Path, name: str) -> None:
    model = load(made, name)
    assert "Be brief." in model.chat.render(ASKED)
    assert "Which dose of Zelvarin?" in model.chat.render(ASKED)
    assert model.fingerprint().get("template_date", "") == ("2024-07-26" if name == "strftime" else "")
    assert model.score([ASKED], [["12 mg", "24 mg"]])[0].error == ""


@pytest.mark.parametrize("adapter", ["plain", "lmhead", "embed"])
def test_an_adapter_of_a_tied_matrix_is_what_it_is_unmerged(made: Path, adapter: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = load(made, "tied", adapter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = AutoModelForCausalLM.from_pretrained(made / "tied")
        beside = PeftModel.from_pretrained(plain, str(made / "adapters" / adapter)).eval()
    ids = torch.tensor([model._encode([model.chat.render(ASKED)])[0]])
    with torch.inference_mode():
        got, wanted = (one(ids).logits.log_softmax(-1) for one in (model.model, beside))
    assert torch.allclose(got, wanted, atol=1e-3)


def test_an_adapters_template_and_its_vocabulary(made: Path) -> None:
    tuned = load(made, "base", "with-tokenizer")
    assert tuned.notes["adapter"]["template"] == "the adapter's own"
    assert tuned.chat.render(ASKED).endswith("<|im_start|>assistant\n")
    larger = load(made, "base", "resized")
    assert larger.notes["adapter"]["vocabulary"].startswith("358 tokens in 358 rows")
    assert "<|extra1|>" in larger.tokenizer.get_vocab()


@pytest.mark.parametrize(
    "said",
    [
        "<unused94>thought\nThe dose is A, or is it? Answer: A<unused95>B",
        "<|channel>thought\nAnswer: A\n<channel|>B",
        "<|channel|>analysis<|message|>Answer: A<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>",
        "<seed:think>Answer: A</seed:think>B",
        "<|inner_prefix|>Answer: A<|inner_suffix|>B",
    ],
)
def test_the_letter_that_was_only_thought_of_is_no_answer(said: str) -> None:
    thinking, answer = split_thinking(said)
    assert ("A" in thinking, answer) == (True, "B")
