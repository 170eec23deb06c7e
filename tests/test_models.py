"""The door to models: names, the scripted double, and a tiny local model from disk with a template of its own."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragmed.adapters import SCHEMA, write_manifest
from ragmed.errors import DataError, ModelError, UnknownNameError, UsageError
from ragmed.models import ModelName, ModelSettings, describe_models, load_model, parse_model_name
from ragmed.models.scripted import load_scripted
from ragmed.records import Completion, Message
from ragmed.workspace import Workspace

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}" + TEMPLATE
MARKS = ["<end>", "<system>", "<user>", "<assistant>"]


def load_on_cpu(name: str, root: Path, *, dtype: str = "auto") -> Any:
    return load_model(ModelSettings(name, device="cpu", dtype=dtype), workspace=Workspace(root))


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
    return load_on_cpu(f"path:{folder}", folder)


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
        load_model("package:smollm2-135m", workspace=Workspace(tmp_path))
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2-135m'"):
        load_model("packaged:smollm-135m", workspace=Workspace(tmp_path))
    with pytest.raises(ModelError, match="run: ragmed models fetch packaged:smollm2-135m"):
        load_model("packaged:smollm2-135m", workspace=Workspace(tmp_path))


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
    model = load_model(f"scripted:{file}", workspace=Workspace(tmp_path))
    prompts = [user("Is it gout?"), user("Is it?"), user("Why?")]
    assert [answer.text for answer in model.generate(prompts, max_tokens=9)] == ["B", "yes", "?"]
    file.write_text('{"contain": "x"}' if form == "jsonl" else "- {contain: x}")
    with pytest.raises(DataError, match=r"(entry|line) 1"):
        load_scripted("scripted:x", str(file))


def test_score_takes_the_tokens_that_follow_the_prompt(tiny: Any) -> None:
    scores = tiny.score([user("the fever")], [["the", "the fever", "q"]])[0]
    assert scores.tokens == tuple(len(tiny.tokenizer(t).input_ids) for t in ("the", "the fever", "q"))
    assert scores.input_tokens == tiny.count_tokens([user("the fever")])[0] == 2 + scores.tokens[1] + 1
    assert all(logprob < 0 for logprob in scores.logprobs)


def test_a_border_that_melts_keeps_the_whole_continuation(tmp_path: Path) -> None:
    melting = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model: Any = load_on_cpu(f"path:{save_tiny(tmp_path, template=melting)}", tmp_path)
    assert model.tokenizer.tokenize("the fever")[-1] == "Ġfever"
    (item,) = model._items(["the fe"], [["ver"]])
    assert model._generator.decode([*item.prompt, *item.continuations[0]]) == "the fever"


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
    plain: Any = load_on_cpu(f"path:{save_tiny(tmp_path / 'a', template=None)}", tmp_path)
    assert plain.chat.render(messages) == "System: Be brief.\n\nUser: Fever?\n\nAssistant:"
    folded: Any = load_on_cpu(f"path:{save_tiny(tmp_path / 'b', template=NO_SYSTEM)}", tmp_path)
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
    plain = load_on_cpu(f"path:{base}", tmp_path)
    adapted: Any = load_on_cpu(f"path:{base}+adapter:{adapter}", tmp_path)
    assert set(adapted.fingerprint()) - set(plain.fingerprint()) == {"adapter"}
    prompt = torch.tensor([adapted._encode([adapted.chat.render(user("fever"))])[0]])
    merged = adapted.model(prompt).logits
    assert torch.allclose(merged, tuned(prompt).logits, atol=1e-4)
    assert plain.score([user("fever")], [["A"]]) != adapted.score([user("fever")], [["A"]])
    half: Any = load_on_cpu(f"path:{base}+adapter:{adapter}", tmp_path, dtype="bfloat16")
    assert half._scorer.shares
    assert len(half.score([user("fever")], [["A", "B c"]])[0].logprobs) == 2
    other = save_tiny(tmp_path / "other", hidden=16)
    with pytest.raises(ModelError, match=r"does not fit 'path:.*other'"):
        load_on_cpu(f"path:{other}+adapter:{adapter}", tmp_path)
    made_by = {"name": "a", "access": "open", "corpora": [], "base": {"weights": "0123456789abcdef"}, "files": {}}
    write_manifest(adapter, {"schema": SCHEMA, **made_by})
    with pytest.raises(ModelError, match="trained on other weights"):
        load_on_cpu(f"path:{base}+adapter:{adapter}", tmp_path)


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_on_cpu(f"path:{tmp_path / 'none'}", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("x")
    with pytest.raises(DataError, match="safetensors"):
        load_on_cpu(f"path:{tmp_path}", tmp_path)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_tensors(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def load(folder: Path, adapter: str = "") -> Any:
    return load_on_cpu(f"path:{folder}{adapter}", folder)


@pytest.fixture
def folder(tmp_path: Path, tiny: Any) -> Path:
    """A copy of the tiny model's folder, to be spoilt."""
    return Path(shutil.copytree(tiny.name.removeprefix("path:"), tmp_path / "m"))


def test_greedy_is_argmax_whatever_the_publisher_prefers(folder: Path, tiny: Any) -> None:
    edit(folder / "generation_config.json", repetition_penalty=5.0, no_repeat_ngram_size=1, suppress_tokens=[5, 6, 7])
    asked = [user("the fever"), user("the cough and the fever")]
    assert load(folder).generate(asked, max_tokens=20) == tiny.generate(asked, max_tokens=20)


def test_a_changed_config_is_another_model(folder: Path, tiny: Any) -> None:
    assert load(folder).fingerprint() == tiny.fingerprint()
    edit(folder / "generation_config.json", eos_token_id=[0, 9])
    ends = load(folder).fingerprint()
    edit(folder / "config.json", rms_norm_eps=0.5)
    changed = load(folder).fingerprint()
    assert len({hashes["config"] for hashes in (tiny.fingerprint(), ends, changed)}) == 3
    assert changed["weights"] == ends["weights"] == tiny.fingerprint()["weights"]


def test_missing_tensors_are_not_made_up(folder: Path) -> None:
    edit_tensors(folder / "model.safetensors", lambda t: {k: v for k, v in t.items() if "layers.1.mlp" not in k})
    with pytest.raises(ModelError, match=r"lack model\.layers\.1\.mlp\.down_proj\.weight"):
        load(folder)


def test_a_tied_head_is_not_missing(folder: Path) -> None:
    edit(folder / "config.json", tie_word_embeddings=True)
    edit_tensors(folder / "model.safetensors", lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"})
    assert load(folder).score([user("fever")], [["A"]])[0].error == ""


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("model.safetensors", None, ModelError),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", DataError),
        ("tokenizer.json", b"{}", ModelError),
        ("config.json", b"[1]", DataError),
        ("adapter_config.json", b'{"peft_type": "LORA"}', DataError),
        ("chat_template.jinja", b"{{ messages[", ModelError),
        ("chat_template.jinja", b"{{ 1 / 0 }}", ModelError),
    ],
)
def test_spoilt_files_end_in_a_sentence(folder: Path, file: str, content: bytes | None, kind: type) -> None:
    cut = (folder / "model.safetensors").read_bytes()[:5000]
    (folder / file).write_bytes(cut if content is None else content)
    with pytest.raises(
        kind, match=r"could not be loaded: |model config|an adapter too|template refuses|Git LFS pointer"
    ):
        load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"attn_implementation": "flash_attention_2"},
    ],
)
def test_what_needs_other_packages_ends_in_a_sentence(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(ModelError, match="could not be loaded"):
        load(folder)


def test_a_template_that_fails_later_ends_in_a_sentence(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{{ messages[0].content }}{{ messages[-1].content }}{{ 1 / (messages[-1].content | length - 3) }}"
    )
    with pytest.raises(ModelError, match=r"chat template refuses these messages \(ZeroDivisionError"):
        load(folder).score([user("abc")], [["A"]])


def test_a_likelihood_that_is_no_number_is_an_error(folder: Path) -> None:
    edit_tensors(folder / "model.safetensors", lambda t: {**t, "model.norm.weight": t["model.norm.weight"] * math.nan})
    (score,) = load(folder).score([user("fever")], [["A", "B"]])
    assert (score.logprobs, score.greedy, score.tokens) == ((), (), (1, 1))
    assert "not a finite number in float32" in score.error


def test_an_encoder_is_no_language_model(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    (folder / "model.safetensors").unlink()
    for decoder in (True, False):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            config = BertConfig(**sizes, num_hidden_layers=2, max_position_embeddings=128, is_decoder=decoder)
            BertLMHeadModel(config).save_pretrained(folder)
        if decoder:
            assert load(folder).score([user("fever")], [["A"]])[0].error == ""
        else:
            for dtype in ("float32", "bfloat16"):
                with pytest.raises(ModelError, match="reads texts in both directions"):
                    load_on_cpu(f"path:{folder}", folder, dtype=dtype)


def test_no_end_mark_before_the_answer(tmp_path: Path) -> None:
    spoilt = save_tiny(tmp_path, template=None)
    token = {"SpecialToken": {"id": "<end>", "type_id": 0}}
    single = [{"SpecialToken": {"id": "<user>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, token, token]
    special = {mark: {"id": mark, "ids": [MARKS.index(mark)], "tokens": [mark]} for mark in ("<end>", "<user>")}
    pair = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    processor = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}
    edit(spoilt / "tokenizer.json", post_processor=processor)
    (item,) = load(spoilt)._items(["the fever"], [["B", " cough"]])
    plain = load(spoilt).tokenizer("the fever", add_special_tokens=False)["input_ids"]
    assert item.prompt == (MARKS.index("<user>"), *plain)
    assert [len(option) for option in item.continuations] == [1, 1]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_that_fits_nothing_is_refused(tmp_path: Path, folder: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "adapter"
    config = LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).save_pretrained(adapter)
    load(folder, f"+adapter:{adapter}")
    file = adapter / "adapter_model.safetensors"
    whole = file.read_bytes()
    for change, reason in (
        (lambda t: {k.replace("layers.0", "layers.9"): v for k, v in t.items()}, "it lacks .*layers.0.self_attn"),
        (lambda t: {**t, "base_model.model.x.lora_A.weight": t[min(t)].clone()}, "no place for base_model.model.x"),
    ):
        edit_tensors(file, change)
        with pytest.raises(ModelError, match=reason):
            load(folder, f"+adapter:{adapter}")
        file.write_bytes(whole)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="does not fit"):
        load(folder, f"+adapter:{adapter}")
    edit(adapter / "adapter_config.json", peft_type="PROMPT_TUNING")
    with pytest.raises(ModelError, match="only LORA"):
        load(folder, f"+adapter:{adapter}")


def test_smollm2_writes_and_chooses() -> None:
    root = Workspace.find().root
    if not (root / "models" / "smollm2-135m" / "ragmed.json").is_file():
        pytest.skip("packaged:smollm2-135m is not fetched (ragmed models fetch smollm2-135m)")
    model: Any = load_on_cpu("packaged:smollm2-135m", root)
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
