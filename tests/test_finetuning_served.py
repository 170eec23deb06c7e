"""A tiny adapter wherever it can answer: beside its base, merged, by vLLM's double, and behind a server."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_served import MISSING, wait_until_ready
from test_vllm import double  # noqa: F401  a fixture
from tiny import save_tiny, user

from ragmed.adapters import MERGED, read_manifest
from ragmed.errors import DataError, ModelError, UsageError
from ragmed.files import sha256_file
from ragmed.finetuning.build import finetune
from ragmed.finetuning.lora import save_adapter, with_new_adapter
from ragmed.finetuning.merge import merge_adapter
from ragmed.finetuning.recipe import make_adapter_recipe
from ragmed.models import ModelSettings, load_model
from ragmed.models.loading import load_weights
from ragmed.workspace import Workspace

RECIPE = """
base: "path:{base}"
corpora: [wards]
lora: {{rank: 4, alpha: 8}}
training: {{learning_rate: 0.02, epochs: 2, batch: 2, micro_batch: 2, sequence_tokens: 64, held_out: 0.0, device: cpu}}
"""
ASKED = [user("The extension of Elm ward"), user("the cough and the fever"), user("Larch")]
OPTIONS = [["is 4000.", "is 5000."], ["A", "B c"], [" ward", " fever", " no"]]


@pytest.fixture
def tuned(small: Workspace) -> Workspace:
    """The small workspace with the adapter `wards`, tuned for a few steps on models/base."""
    base = save_tiny(small.models / "base")
    (small.adapters / "wards").mkdir(parents=True)
    (small.adapters / "wards" / "recipe.yaml").write_text(RECIPE.format(base=base))
    finetune("wards", workspace=small)
    return small


def local(name: str, workspace: Workspace, dtype: str = "float32") -> Any:
    return load_model(ModelSettings(f"path:{workspace.models / name}", device="cpu", dtype=dtype), workspace=workspace)


def scores(model: Any) -> list[float]:
    return [value for scored in model.score(ASKED, OPTIONS) for value in scored.logprobs]


def texts(model: Any, prompts: Any = None) -> list[str]:
    return [reply.text for reply in model.generate(prompts or ASKED, max_tokens=12)]


def merged(workspace: Workspace) -> Path:
    name = f"path:{workspace.models / 'base'}+adapter:wards"
    return merge_adapter(name, workspace.models / "merged", workspace=workspace)


def test_a_merged_adapter_answers_as_the_adapter_does(tuned: Workspace) -> None:
    folder = merged(tuned)
    base, beside, inside = (local(name, tuned) for name in ("base", "base+adapter:wards", "merged"))
    assert texts(inside) == texts(beside) != texts(base)
    assert scores(inside) == pytest.approx(scores(beside), abs=1e-5)
    assert max(abs(a - b) for a, b in zip(scores(inside), scores(base), strict=True)) > 0.1
    made_by = dict(read_manifest(tuned.adapters / "wards"))
    assert made_by["steps"] > 1
    same = read_manifest(folder, file=MERGED)
    weights = {"model.safetensors": sha256_file(folder / "model.safetensors")}
    assert {**same, "checksum": ""} == made_by | {"files": weights, "checksum": ""}
    assert stat.S_IMODE((folder / "model.safetensors").stat().st_mode) == 0o644
    assert sorted(path.name for path in tuned.models.iterdir()) == ["base", "merged"]


def test_a_merged_model_replaces_nothing_and_needs_an_adapter(tuned: Workspace) -> None:
    folder = merged(tuned)
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(DataError, match="merged' exists already; give the merged model another folder"):
        merged(tuned)
    assert (folder / "model.safetensors").read_bytes() == weights
    with pytest.raises(UsageError, match=r"no adapter to merge; write it as MODEL\+adapter:NAME"):
        merge_adapter(f"path:{tuned.models / 'base'}", tuned.models / "other", workspace=tuned)
    other = save_tiny(tuned.models / "other", swap=(7, 9))
    with pytest.raises(ModelError, match="trained on other weights"):
        merge_adapter(f"path:{other}+adapter:wards", tuned.models / "third", workspace=tuned)
    assert sorted(path.name for path in tuned.models.iterdir()) == ["base", "merged", "other"]


def test_a_merged_model_is_as_private_as_what_it_was_trained_on(small: Workspace) -> None:
    file = small.corpora / "wards" / "recipe.yaml"
    file.write_text(file.read_text().replace("access: open", "access: private"))
    (small.adapters / "wards").mkdir(parents=True)
    recipe = RECIPE.format(base=save_tiny(small.models / "base")).replace("epochs: 2", "epochs: 0.1")
    (small.adapters / "wards" / "recipe.yaml").write_text(recipe)
    finetune("wards", workspace=small)
    folder = merged(small)
    assert json.loads((folder / MERGED).read_text())["access"] == "private"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_vllm_is_asked_with_the_adapter_of_that_name(tuned: Workspace, double: Any) -> None:  # noqa: F811
    from peft import PeftModel

    from ragmed.finetuning.lora import foreign_warnings

    model: Any = load_model(f"vllm:{tuned.models / 'base'}+adapter:wards", workspace=tuned)
    model.generate(ASKED[:1], max_tokens=1)
    engine = double.LLM.made[-1]
    request = engine.asked[-1][2]
    assert request.lora_path == str(tuned.adapters / "wards")
    assert (engine.options["enable_lora"], engine.options["max_lora_rank"]) == (True, 8)
    with foreign_warnings():  # what vLLM does with such a request
        engine.model = PeftModel.from_pretrained(engine.model, request.lora_path).eval()
    engine.deaf = True  # the double's own stand-in for an adapter is not wanted beside the real one
    here = local("base+adapter:wards", tuned)
    assert texts(model) == texts(here)
    assert scores(model) == pytest.approx(scores(here), abs=1e-4)
    assert model.fingerprint()["adapter"] == here.fingerprint()["adapter"]
    other = save_tiny(tuned.models / "other", swap=(7, 9))
    with pytest.raises(ModelError, match="trained on other weights"):
        load_model(f"vllm:{other}+adapter:wards", workspace=tuned)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_of_zeros_changes_not_a_bit(small: Workspace, dtype: str) -> None:
    from safetensors.numpy import load_file

    base, folder = save_tiny(small.models / "base"), small.adapters / "zeros"
    recipe = make_adapter_recipe(
        {"base": f"path:{base}", "corpora": ["wards"], "saved": "float32"}, name="zeros", where="here"
    )
    model, _, _ = load_weights(ModelSettings(recipe.base, device="cpu", dtype="float32"), base)
    folder.mkdir(parents=True)
    save_adapter(with_new_adapter(model, recipe), folder, recipe, mode=0o644)
    tensors = load_file(folder / "adapter_model.safetensors")
    assert {bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name} == {False}
    assert {bool(tensor.any()) for name, tensor in tensors.items() if "lora_A" in name} == {True}
    plain, zeros = (local(name, small, dtype) for name in ("base", "base+adapter:zeros"))
    assert scores(zeros) == scores(plain)
    assert zeros.generate(ASKED, max_tokens=12) == plain.generate(ASKED, max_tokens=12)


@pytest.fixture
def url(tuned: Workspace, tmp_path: Path) -> Iterator[str]:
    """`transformers serve` over the merged folder."""
    folder = merged(tuned)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log.txt"
    command = [Path(sys.executable).parent / "transformers", "serve", folder, "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=out, stderr=out, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1#{folder}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}")
def test_a_merged_model_behind_a_server_answers_as_it_does_here(tuned: Workspace, url: str) -> None:
    prompts = [*ASKED, user("What is the extension of Oak ward?"), user("the fever, the fever")]
    settings = ModelSettings(f"endpoint:{url}", tokenizer=f"path:{tuned.models / 'merged'}", timeout=120.0)
    remote = load_model(settings, workspace=tuned, seed=0)
    here = local("base+adapter:wards", tuned)
    assert texts(remote, prompts) == [texts(here, [prompt])[0] for prompt in prompts]
    assert texts(here, prompts) != texts(local("base", tuned), prompts)
