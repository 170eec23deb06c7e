"""The folder of a LoRA adapter: its configuration, its weights, and a manifest that says what made it.

adapters/NAME/adapter_config.json         peft's configuration, so that any program with peft can load it
adapters/NAME/adapter_model.safetensors   the weights
adapters/NAME/manifest.json               ours, written last; a published adapter has none, and is taken without
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError, DataError, ModelError
from ragmed.files import read_json, sha256_file, sha256_json

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "manifest.json"
MERGED = "adapter-manifest.json"
SCHEMA = 1


def read_manifest(folder: Path, *, file: str = MANIFEST) -> Mapping[str, Any]:
    """
    >>> read_manifest(Path("adapters/handbook-2031"))["corpora"][0]["name"]
    'handbook-2031'

    What made an adapter that was trained here; empty for one that was not. DataError where it cannot be read or was
    written by another version, DamagedError where a file of the adapter is not the one that was written. `file`: its
    name, where the adapter was merged into a model (MERGED).
    """
    if not (folder / file).is_file():
        return {}
    manifest = read_json(folder / file, "adapter manifest")
    if manifest.get("schema") != SCHEMA:
        raise DataError(f"'{folder / file}' was written by another version of ragmed; run: {remedy(folder.name)}")
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file():
            raise DamagedError(f"'{folder / name}' is missing; run: {remedy(folder.name)}")
        if sha256_file(folder / name) != digest:
            raise DamagedError(f"'{folder / name}' is damaged: its sha256 differs; run: {remedy(folder.name)}")
    return manifest


def remedy(name: str) -> str:
    return f"ragmed finetune {name} --restart"


def check_adapter(folder: Path, name: str, base: str) -> dict[str, Any]:
    """The configuration of a LoRA adapter; DataError or ModelError where the folder holds none that fits `base`."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        trained = (folder / "recipe.yaml").is_file()
        how = f"; train it: ragmed finetune {folder.name}" if trained else ""
        raise DataError(f"adapter folder '{folder}' lacks {CONFIG} or {WEIGHTS}{how}")
    expected = read_manifest(folder).get("base", {}).get("weights")
    if expected and expected != base:
        raise ModelError(
            f"the adapter '{folder}' was trained on other weights than '{name}' has "
            f"({str(expected)[:12]}…, not {base[:12]}…); load it on the model it was trained on"
        )
    config = read_json(folder / CONFIG, "adapter configuration")
    if config.get("peft_type") != "LORA":
        raise ModelError(f"the adapter '{folder}' is of type {config.get('peft_type')}; only LORA can be loaded")
    return config


def adapter_hash(folder: Path, config: Mapping[str, Any]) -> str:
    """Over the configuration and the weights: what can change an answer."""
    return sha256_json([sha256_json(config), sha256_file(folder / WEIGHTS)])
