"""Adapters where they can go wrong: shared matrices, templates and vocabularies of their own, damage, a restart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import PLAIN, save_tiny, user

from ragmed.adapters import CONFIG, MANIFEST, MERGED, SCHEMA, WEIGHTS, adapter_hash, read_manifest, write_manifest
from ragmed.errors import (
    DamagedError,
    DataError,
    MismatchError,
    MissingDependencyError,
    ModelError,
    RagmedError,
    UsageError,
)
from ragmed.finetuning import build
from ragmed.finetuning.merge import merge_adapter
from ragmed.finetuning.texts import TrainingText
from ragmed.models import ModelSettings, load_model
from ragmed.records import Message
from ragmed.workspace import Workspace

RECIPE = """
base: "path:{base}"
corpora: [wards]
saved: float32
lora: {{rank: 2, alpha: 4, targets: [q_proj, lm_head]}}
training: {{learning_rate: 0.02, epochs: 1, batch: 4, sequence_tokens: 64, held_out: 0, device: cpu}}
"""
ASKED = [user("The extension of Elm ward"), user("the cough and the fever")]
OPTIONS = [["is 4000.", "is 5000."], ["A", "B c"]]


def make_adapter(base: Path, folder: Path, *, resize: dict[str, Any] | None = None, **lora: Any) -> Any:
    """An adapter with weights drawn by lot, saved by peft; the unmerged model is returned. `resize`: a token to add ->
    the tokenizer to which it is added.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(3)
    for token, tokenizer in (resize or {}).items():
        tokenizer.add_tokens([token])
        model.resize_token_embeddings(len(tokenizer))
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, task_type="CAUSAL_LM", **lora))
    with torch.no_grad():
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.2)
    tuned.save_pretrained(folder)
    return tuned.eval()


def load(base: Path, adapter: Path | None = None, dtype: Any = "float32") -> Any:
    name = f"path:{base}" + (f"+adapter:{adapter}" if adapter else "")
    return load_model(ModelSettings(name, device="cpu", dtype=dtype), workspace=Workspace(base.parent))


def logprobs(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits.log_softmax(-1)


def scores(model: Any) -> list[float]:
    return [value for scored in model.score(ASKED, OPTIONS) for value in scored.logprobs]


pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers.:UserWarning"),
]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    ],
    ids=lambda lora: "+".join(
        [*lora["target_modules"], *(f"whole-{name}" for name in lora.get("modules_to_save", []))]
    ),
)
def test_a_merged_adapter_is_the_unmerged_one_whatever_the_head_shares(
    tmp_path: Path, lora: dict[str, Any], tied: bool
) -> None:
    import torch

    base, adapter = save_tiny(tmp_path / "base", tied=tied), tmp_path / "adapter"
    unmerged = make_adapter(base, adapter, **lora)
    model = load(base, adapter)
    ids = [7, 90, 200, 31, 8, 250]
    assert torch.allclose(logprobs(model.model, ids), logprobs(unmerged, ids), atol=1e-4)
    facts = model.notes["adapter"]
    touched = {"lm_head", "embed_tokens"} & {*lora["target_modules"], *lora.get("modules_to_save", [])}
    assert (facts["merged"], facts["untied"]) == (True, tied and bool(touched))
    assert facts["merged_differs"] < 1e-3
    assert facts["changes"] > 0.1
    beside = load(base, adapter, "bfloat16")
    assert beside.notes["adapter"].keys() == {"template", "merged", "changes"}
    assert beside.notes["adapter"]["merged"] is False
    assert scores(beside) == pytest.approx(scores(model), abs=2)
    folder = merge_adapter(f"path:{base}+adapter:{adapter}", tmp_path / "merged", workspace=Workspace(tmp_path))
    assert scores(load(folder)) == pytest.approx(scores(model), abs=1e-4)


def test_a_merge_that_is_not_the_same_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragmed.models import adapted

    base = save_tiny(tmp_path / "base", tied=True)
    make_adapter(base, tmp_path / "adapter", target_modules=["lm_head"])
    monkeypatch.setattr(adapted, "untie", lambda tuned: False)
    with pytest.raises(ModelError, match=r"other log-probabilities than beside them \(by [\d.]+ nats\)"):
        load(base, tmp_path / "adapter")


def test_a_head_that_was_tuned_is_chosen_and_merged_as_it_was_trained(small: Workspace) -> None:
    base, folder = save_tiny(small.models / "base", tied=True), small.adapters / "wards"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    build.finetune("wards", workspace=small)
    tuned = load(base, folder)
    assert tuned.notes["adapter"]["untied"]
    assert tuned.notes["adapter"]["changes"] > 1e-3
    output = merge_adapter(f"path:{base}+adapter:{folder}", small.models / "merged", workspace=small)
    assert scores(load(output)) == pytest.approx(scores(tuned), abs=1e-4)
    assert scores(tuned) == pytest.approx(scores(load(base, folder, "bfloat16")), abs=1)


def test_an_adapters_own_chat_template_is_used_and_hashed(tmp_path: Path) -> None:
    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    config = json.loads((adapter / CONFIG).read_text())
    before, hashed = load(base, adapter), adapter_hash(adapter, config)
    assert before.notes["adapter"]["template"] == "the model's"
    (adapter / "chat_template.jinja").write_text("(own)" + PLAIN)
    after = load(base, adapter)
    assert after.chat.render(ASKED[0]) == "(own)" + before.chat.render(ASKED[0])
    assert after.notes["adapter"]["template"] == "the adapter's own"
    assert after.fingerprint()["template"] != before.fingerprint()["template"]
    assert after.fingerprint()["adapter"] == adapter_hash(adapter, config) != hashed
    output = merge_adapter(f"path:{base}+adapter:{adapter}", tmp_path / "merged", workspace=Workspace(tmp_path))
    assert load(output).chat.render(ASKED[0]).startswith("(own)")
    (adapter / "chat_template.jinja").unlink()
    named = [{"name": "default", "template": "(named)" + PLAIN}, {"name": "tools", "template": "-"}]
    (adapter / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert load(base, adapter).chat.render(ASKED[0]).startswith("(named)")
    (adapter / "tokenizer_config.json").write_text(json.dumps({"chat_template": [PLAIN]}))
    with pytest.raises(DataError, match="its chat_template has no names"):
        load(base, adapter)


def test_turns_learnt_in_one_template_are_not_asked_in_another(
    small: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, folder = save_tiny(small.models / "base"), small.adapters / "wards"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    turns = (Message("user", "Elm?"), Message("assistant", "4000."))
    gather = build.gather

    def gather_turns(*given: Any) -> Any:
        texts = [TrainingText(f"t{n}", "wards:elm", "pairs", messages=turns) for n in range(4)]
        return replace(gather(*given), trained=tuple(texts))

    monkeypatch.setattr(build, "gather", gather_turns)
    manifest, _ = build.finetune("wards", workspace=small)
    assert manifest["base"]["template"] == manifest["origin"]["chat template"]
    load(base, folder)
    assert build.finetune("wards", workspace=small)[1] is False
    old = (base / "chat_template.jinja").read_text()
    (base / "chat_template.jinja").write_text(old + " ")
    with pytest.raises(MismatchError, match="made of another chat template"):
        build.finetune("wards", workspace=small)
    with pytest.raises(ModelError, match=r"trained with another chat template.*ragmed finetune wards --restart"):
        load(base, folder)
    (folder / "chat_template.jinja").write_text(old)
    assert load(base, folder).notes["adapter"]["template"] == "the adapter's own"


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("saved", [["embed_tokens", "lm_head"], None], ids=["trained-whole", "only-saved"])
def test_a_vocabulary_that_was_resized_is_loaded_with_its_tokens(
    tmp_path: Path, tied: bool, saved: list[str] | None
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapter = save_tiny(tmp_path / "base", tied=tied), tmp_path / "adapter"
    resize = {"<extra>": AutoTokenizer.from_pretrained(base)}
    unmerged = make_adapter(base, adapter, resize=resize, target_modules=["q_proj"], modules_to_save=saved)
    resize["<extra>"].save_pretrained(adapter)
    new = len(resize["<extra>"]) - 1
    ids = [7, new, 200, 31, new, 250]
    model = load(base, adapter)
    assert torch.allclose(logprobs(model.model, ids), logprobs(unmerged, ids), atol=1e-4)
    assert model.tokenizer.decode([new]) == "<extra>"
    assert (
        model.notes["adapter"]["vocabulary"]
        == "280 tokens in 280 rows, of the adapter's tokenizer; the base has 279 in 279"
    )
    assert model.notes["adapter"]["changes"] == load(base, adapter).notes["adapter"]["changes"]
    assert model.fingerprint()["tokenizer"] != load(base).fingerprint()["tokenizer"]
    assert scores(load(base, adapter, "bfloat16")) == pytest.approx(scores(model), abs=2)
    folder = merge_adapter(f"path:{base}+adapter:{adapter}", tmp_path / "merged", workspace=Workspace(tmp_path))
    assert scores(load(folder)) == pytest.approx(scores(model), abs=1e-4)
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == new + 1
    hashed = adapter_hash(adapter, {})
    (adapter / "tokenizer_config.json").rename(tmp_path / "aside")
    with pytest.raises(ModelError, match=r"a tokenizer of its own, and no tokenizer_config.json says"):
        load(base, adapter)
    (adapter / "tokenizer.json").unlink()
    assert adapter_hash(adapter, {}) != hashed
    with pytest.raises(ModelError, match=r"rows, its base 279: the vocabulary was resized.*copy tokenizer.json and"):
        load(base, adapter)


def test_tokens_that_the_adapters_files_do_not_hold_are_refused_with_the_remedy(tmp_path: Path) -> None:
    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, adapter / name)
    load(base, adapter)
    tokenizer = json.loads((adapter / "tokenizer.json").read_text())
    last = max(token["id"] for token in tokenizer["added_tokens"])
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": last + 1, "content": "<extra>"})
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"has <extra>, which the model's lacks.*lacks the whole.*merge_and_unload"):
        load(base, adapter)
    larger = save_tiny(tmp_path / "larger", special=["<extra>"])
    make_adapter(larger, tmp_path / "head", target_modules=["q_proj"], modules_to_save=["lm_head"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(larger / name, tmp_path / "head" / name)
    with pytest.raises(ModelError, match=r"lacks the whole embedding or the whole head"):
        load(base, tmp_path / "head")


def test_a_damaged_tokenizer_of_an_adapter_is_refused_in_a_sentence(tmp_path: Path) -> None:
    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    (adapter / "tokenizer.json").write_text('{"model":')
    with pytest.raises(ModelError, match=r"tokenizer\.json' cannot be read as a tokenizer"):
        load(base, adapter)


def test_tokens_in_rows_that_the_base_had_free_are_known(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(288, mean_resizing=False)
    model.save_pretrained(base)
    make_adapter(base, adapter, target_modules=["q_proj"])
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(adapter)
    tuned = load(base, adapter)
    assert tuned.tokenizer.convert_tokens_to_ids("<extra>") == 279
    assert tuned.notes["adapter"]["vocabulary"].startswith("280 tokens in 288 rows")


def test_merged_weights_that_were_changed_are_refused(tmp_path: Path) -> None:
    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    folder = merge_adapter(f"path:{base}+adapter:{adapter}", tmp_path / "merged", workspace=Workspace(tmp_path))
    assert list(read_manifest(folder, file=MERGED)["files"]) == ["model.safetensors"]
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 8
    weights.write_bytes(data)
    with pytest.raises(DamagedError, match=r"model.safetensors' is damaged: .*ragmed finetune NAME --merge DIR"):
        read_manifest(folder, file=MERGED)


def test_models_that_cannot_be_read_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny(tmp_path / "m")
    config = (folder / "config.json").read_text()
    vision = {"model_type": "llava", "vision_config": {}, "text_config": {"model_type": "llama"}}
    for changed, message in (
        (vision, r"a multimodal model \('llava'\).*endpoint:URL#MODEL"),
        ({"model_type": "t5"}, "type 't5' is no causal language model"),
        ({"model_type": "of-tomorrow"}, "knows no model type 'of-tomorrow'; run: pip install -U transformers"),
        ({**json.loads(config), "vocab_size": 500}, "other shapes than its config.json says; where the vocabulary"),
    ):
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError, match=message):
            load(folder)
    (folder / "config.json").write_text(config)
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(MissingDependencyError, match="pip install sentencepiece tiktoken"):
        load(folder)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(DataError, match="has no tokenizer"):
        load(folder)


@pytest.fixture
def lab(small: Workspace) -> Workspace:
    """The small workspace with the adapter `wards`, trained."""
    base = save_tiny(small.models / "base")
    (small.adapters / "wards").mkdir(parents=True)
    (small.adapters / "wards" / "recipe.yaml").write_text(RECIPE.format(base=base))
    build.finetune("wards", workspace=small)
    return small


def test_a_flipped_bit_in_a_manifest_is_refused(lab: Workspace) -> None:
    folder = lab.adapters / "wards"
    whole = (folder / MANIFEST).read_bytes()
    again = r"(ragmed finetune wards --restart|is not JSON|is not UTF-8|a NUL byte)"
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 300)):
        bit = place % 7
        (folder / MANIFEST).write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(DataError, match=again):
            read_manifest(folder)
        refused += 1
    assert refused >= 300
    (folder / MANIFEST).write_bytes(whole)
    assert read_manifest(folder)["name"] == "wards"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": 5}, r"corpora: "),
        ({"corpora": [{"name": "wards"}]}, r"corpora\.0\.sha256: "),
        ({"access": "public"}, r"access: "),
        ({"files": ["a"]}, r"files: "),
        ({"tokens": "many"}, r"tokens: "),
        ({"losses": {}}, r"losses: "),
        ({"base": []}, r"base: "),
    ],
)
def test_a_manifest_that_says_what_none_can_say_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    plain = {"schema": SCHEMA, "name": "a", "access": "open", "corpora": [], "files": {}}
    write_manifest(tmp_path, plain)
    assert {**read_manifest(tmp_path), "checksum": ""} == {**plain, "checksum": ""}
    write_manifest(tmp_path, plain | changes)
    with pytest.raises(DamagedError, match=f"cannot be the manifest of an adapter: {message}"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, plain | {"files": {"../other": "0"}})
    with pytest.raises(DamagedError, match=r"a file outside of its folder: '\.\./other'"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps(plain | changes))
    with pytest.raises(DamagedError, match="its checksum differs"):
        read_manifest(tmp_path)


def test_a_damaged_manifest_reaches_no_run(lab: Workspace) -> None:
    from ragmed.experiments.config import load_experiment
    from ragmed.experiments.trial import run_experiment

    base = lab.models / "base"
    (lab.configs / "toy.yaml").write_text(
        f'models: {{small: "path:{base}", tuned: "path:{base}+adapter:wards"}}\n'
        "tasks: {mmlu: {scoring: letters, limit: 2}}\n"
        "arms: {general: {model: small}, tuned: {model: tuned}}\ncomparison: {resamples: 100}\n"
    )
    file = lab.adapters / "wards" / MANIFEST
    whole = file.read_text()
    assert '"tokens": ' in whole
    file.write_text(whole.replace('"tokens": ', '"tokens": 9', 1))
    with pytest.raises(DamagedError, match="its checksum differs"):
        run_experiment(load_experiment(lab.configs / "toy.yaml"), workspace=lab)
    assert not (lab.runs / "toy").exists()
    file.write_text(whole)
    run_experiment(load_experiment(lab.configs / "toy.yaml"), workspace=lab)
    info = json.loads((lab.runs / "toy" / "run.json").read_text())
    assert info["references"]["models"].keys() == {"tuned"}
    noted = info["references"]["models"]["tuned"]["adapter"]
    assert noted["merged"]
    assert noted["merged_differs"] < 1e-3 < noted["changes"]


def test_an_adapter_without_weights_or_with_a_number_that_is_none_is_refused_in_a_sentence(lab: Workspace) -> None:
    from ragmed.experiments.config import make_experiment
    from ragmed.experiments.tuned import adapter_hashes

    folder, base = lab.models / "foreign", lab.models / "base"
    shutil.copytree(lab.adapters / "wards", folder)
    (folder / MANIFEST).unlink()
    name = f"path:{base}+adapter:{folder}"
    raw = {"models": {"tuned": name}, "tasks": {"mmlu": {"limit": 2}}, "arms": {"tuned": {"model": "tuned"}}}
    experiment = make_experiment(raw, default_name="toy", where="here")
    config = (folder / CONFIG).read_text()
    assert set(adapter_hashes(experiment, lab)) == {"tuned"}
    (folder / CONFIG).write_text(config.replace('"lora_alpha": 4', '"lora_alpha": NaN'))
    assert "NaN" in (folder / CONFIG).read_text()
    for ask in (lambda: adapter_hashes(experiment, lab), lambda: load(base, folder)):
        with pytest.raises(DataError, match="adapter configuration"):
            ask()
    (folder / CONFIG).write_text(config)
    (folder / WEIGHTS).unlink()
    with pytest.raises(DataError, match=r"adapter weights '.*' does not exist"):
        adapter_hashes(experiment, lab)


class Killed(RuntimeError):
    pass


FILES = (CONFIG, WEIGHTS, MANIFEST)


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_restart_that_is_stopped_leaves_the_old_adapter_or_goes_on(
    lab: Workspace, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the training, then before each of the files is replaced."""
    folder = lab.adapters / "wards"
    old = {name: (folder / name).read_bytes() for name in FILES}
    rewritten = (folder / "recipe.yaml").read_text().replace("0.02", "0.03")
    (folder / "recipe.yaml").write_text(rewritten)
    written: list[str] = []

    def stop(*given: Any, **named: Any) -> Any:
        raise Killed

    def write(path: Path, *given: Any, **named: Any) -> None:
        if path.parent == folder and len(written) == before - 1:
            raise Killed
        written.extend([path.name] if path.parent == folder else [])
        kept(path, *given, **named)

    kept = build.write_atomic
    with monkeypatch.context() as patch:
        patch.setattr(build, "write_atomic", write)
        if before == 0:
            patch.setattr(build, "load_weights", stop)
        if before == 3:
            patch.setattr(build, "write_manifest", stop)
        with pytest.raises(Killed):
            build.finetune("wards", workspace=lab, restart=True)
    now = {name: (folder / name).read_bytes() for name in FILES}
    assert now[MANIFEST] == old[MANIFEST]
    assert [name for name in FILES if now[name] != old[name]] == [[], [], [], [WEIGHTS]][before]
    if now == old:
        assert read_manifest(folder)["name"] == "wards"
    else:
        with pytest.raises(DamagedError, match=r"sha256 differs; run: ragmed finetune wards$"):
            read_manifest(folder)
    manifest, fresh = build.finetune("wards", workspace=lab)
    assert fresh
    assert manifest["trained_as"]["training"]["learning_rate"] == 0.03
    assert sorted(path.name for path in folder.iterdir()) == sorted([".lock", "recipe.yaml", *FILES])
    assert build.finetune("wards", workspace=lab) == (manifest, False)


def test_an_adapter_with_a_template_of_its_own_is_not_gone_on_from(lab: Workspace) -> None:
    (lab.adapters / "wards" / "chat_template.jinja").write_text("(own)" + PLAIN)
    (lab.adapters / "second").mkdir()
    recipe = (lab.adapters / "wards" / "recipe.yaml").read_text()
    (lab.adapters / "second" / "recipe.yaml").write_text(recipe + "initial: wards\n")
    with pytest.raises(UsageError, match="initial: 'wards' has a chat template of its own"):
        build.finetune("second", workspace=lab)


def test_a_merged_models_manifest_is_checked_too(lab: Workspace) -> None:
    base = lab.models / "base"
    folder = merge_adapter(f"path:{base}+adapter:wards", lab.models / "merged", workspace=lab)
    assert read_manifest(folder, file=MERGED)["name"] == "wards"
    text = (folder / MERGED).read_text()
    (folder / MERGED).write_text(text.replace('"access": "open"', '"access": "free"', 1))
    with pytest.raises(RagmedError, match=r"checksum differs; put it back, or run: ragmed finetune NAME --merge DIR"):
        read_manifest(folder, file=MERGED)


def test_an_adapter_that_changes_nothing_is_not_scored_as_tuned(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from ragmed.experiments.effect import require_effect

    base, adapter = save_tiny(tmp_path / "base"), tmp_path / "adapter"
    make_adapter(base, adapter, target_modules=["q_proj"])
    require_effect("path:m", load(base, adapter).notes)
    weights = adapter / "adapter_model.safetensors"
    zeroed = {key: value * 0 if "lora_B" in key else value for key, value in load_file(weights).items()}
    save_file(zeroed, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the adapter of 'path:m' changes nothing"):
        require_effect("path:m", load(base, adapter).notes)
