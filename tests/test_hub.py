"""Models by their hub name, without a network: a cache made here, and the hub's errors raised by hand."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, errors
from tiny import save_tiny, user

from ragmed.embedding import load_embedder
from ragmed.errors import DataError, MissingDependencyError, ModelError, UsageError
from ragmed.hub import hub_reason
from ragmed.models import ModelSettings, load_model
from ragmed.workspace import Workspace

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's that holds org/tiny at main; the hub itself is out of bounds."""
    home = tmp_path / "hub"
    repository = home / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    save_tiny(repository / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return repository / "snapshots" / COMMIT


def load(name: str, **settings: Any) -> Any:
    return load_model(ModelSettings(name, **{"device": "cpu", **settings}), workspace=Workspace(Path("/nowhere")))


@pytest.mark.parametrize("name", ["hf:org/tiny@main", "hf:org/tiny", f"hf:org/tiny@{COMMIT}"])
def test_a_model_in_the_cache_needs_no_network(cache: Path, name: str) -> None:
    model, folder = load(name), load(f"path:{cache}")
    assert model.fingerprint() == {**folder.fingerprint(), "revision": COMMIT}
    assert model.generate([user("fever")], max_tokens=4) == folder.generate([user("fever")], max_tokens=4)


def test_what_is_not_in_the_cache_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"the local cache has no 'org/other', and HF_HUB_OFFLINE forbids to fetch it"):
        load("hf:org/other")
    with pytest.raises(ModelError, match=r"has no 'org/tiny' at 'v9', and HF_HUB_OFFLINE forbids"):
        load("hf:org/tiny@v9")
    with pytest.raises(ModelError, match=r"embedder 'hf:org/other@v1': the local cache has no 'org/other' at 'v1'"):
        load_embedder("hf:org/other@v1")
    with pytest.raises(ModelError, match=r"model 'hf:org/ti--ny': it could not be fetched"):
        load("hf:org/ti--ny")


def raised(kind: type[Exception], status: int = 404) -> Exception:
    if kind is errors.IncompleteSnapshotError:
        return errors.IncompleteSnapshotError("no", snapshot_path="/nowhere")
    if not issubclass(kind, errors.HfHubHTTPError):
        return kind("no")
    import httpx

    module: Any = httpx
    if not issubclass(errors.HfHubHTTPError, httpx.HTTPError):
        import httpx2

        module = httpx2
    return kind("no", response=module.Response(status, request=module.Request("GET", "http://127.0.0.1:9/x")))


ANSWERS = [
    (raised(errors.GatedRepoError, 403), "is gated: accept its terms on the model's page, then `hf auth login`"),
    (raised(errors.RepositoryNotFoundError), "the hub has no 'org/new' that you may see: check its name, or `hf auth"),
    (raised(errors.RevisionNotFoundError), "'org/new' has no revision 'v1': name a branch, a tag or a whole commit"),
    (raised(errors.DisabledRepoError, 403), "'org/new' has been disabled on the hub"),
    (raised(errors.HfHubHTTPError, 401), r"does not let you read 'org/new' at 'v1' \(401\)"),
    (raised(errors.HfHubHTTPError, 403), r"does not let you read 'org/new' at 'v1' \(403\)"),
    (raised(errors.IncompleteSnapshotError), "holds only a part of 'org/new' at 'v1', and the hub could not be"),
    (raised(errors.LocalEntryNotFoundError), "the local cache has no 'org/new' at 'v1', and the hub could not be"),
    (raised(errors.HfHubHTTPError, 500), "it could not be fetched: "),
    (TimeoutError("slow"), "it could not be fetched: slow"),
]


@pytest.mark.parametrize(
    ("error", "message"), ANSWERS, ids=[f"{type(e).__name__}-{i}" for i, (e, _) in enumerate(ANSWERS)]
)
def test_the_hubs_refusals_say_what_to_do(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def snapshot(*given: Any, **more: Any) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(ModelError, match=f"model 'hf:org/new': .*{message}"):
        load("hf:org/new@v1")
    with pytest.raises(ModelError, match=f"embedder 'hf:org/new@v1': .*{message}"):
        load_embedder("hf:org/new@v1")


def test_an_error_is_known_by_what_it_was_raised_from() -> None:
    outer = OSError("you are trying to access a gated repository")
    outer.__cause__ = raised(errors.GatedRepoError, 403)
    assert "accept its terms" in hub_reason(outer, "org/new")
    assert hub_reason(OSError("disk full"), "org/new") == ""


def test_offline_nothing_is_attempted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(repository: str, **more: Any) -> str:
        asked.append(more["local_files_only"])
        raise raised(errors.LocalEntryNotFoundError)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    for value, local in (("1", True), ("yes", True), ("0", False)):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        with pytest.raises(ModelError, match="the local cache has no"):
            load("hf:org/new")
        assert asked[-1] is local
    assert os.environ["HF_HUB_OFFLINE"] == "0"


def test_weights_that_can_hold_code_are_not_read(cache: Path) -> None:
    (cache / "model.safetensors").rename(cache / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"'org/tiny' has no \*\.safetensors; other formats can hold code"):
        load("hf:org/tiny@main")


def test_code_of_the_publisher_is_not_run(cache: Path) -> None:
    config = json.loads((cache / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "made.Made", "AutoModelForCausalLM": "made.Made"}}
    (cache / "config.json").write_text(json.dumps(config))
    (cache / "made.py").write_text("raise SystemExit('run')")
    with pytest.raises(ModelError, match="needs code of its publisher, which is not run"):
        load("hf:org/tiny@main")


def test_quantization_and_maps_need_their_packages(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name in ("bitsandbytes", "accelerate") else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingDependencyError, match=r"needs the package bitsandbytes: pip install 'ragmed\[large\]'"):
        load(f"path:{cache}", quantization="4bit")
    with pytest.raises(MissingDependencyError, match="device: map needs the package accelerate"):
        load(f"path:{cache}", device="map")
    with pytest.raises(UsageError, match="quantization: it means nothing for 'scripted:' models"):
        load_model(ModelSettings("scripted:echo", quantization="4bit"), workspace=Workspace(cache))


def test_a_mapped_model_answers_the_same(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed (pip install 'ragmed[large]')")
    import torch

    if torch.cuda.is_available():
        pytest.skip("on a GPU the two compute in different places")
    from transformers import AutoModelForCausalLM

    told: list[Any] = []
    read = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *a, **k: told.append(k.get("device_map")) or read(*a, **k)
    )
    mapped, plain = load(f"path:{cache}", device="map"), load(f"path:{cache}")
    assert told == ["auto", None]
    assert mapped.generate([user("fever")], max_tokens=6) == plain.generate([user("fever")], max_tokens=6)
    assert mapped.score([user("fever")], [["A", "B"]]) == plain.score([user("fever")], [["A", "B"]])


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_quantized_model_is_another_model(cache: Path, bits: str) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (pip install 'ragmed[large]')")
    pytest.importorskip("accelerate", reason="accelerate is not installed (pip install 'ragmed[large]')")
    small, plain = load(f"path:{cache}", quantization=bits), load(f"path:{cache}")
    assert small.fingerprint()["quantization"] == bits
    (one,), (other,) = (m.score([user("fever")], [["A", "B"]]) for m in (small, plain))
    assert one.logprobs != other.logprobs
    assert one.logprobs == pytest.approx(other.logprobs, abs=3)
