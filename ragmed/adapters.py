"""The folder of a LoRA adapter: its configuration, its weights, and a manifest that says what made it.

adapters/NAME/adapter_config.json         peft's configuration, so that any program with peft can load it
adapters/NAME/adapter_model.safetensors   the weights
adapters/NAME/manifest.json               ours, written last; a published adapter has none, and is taken without
adapters/NAME/chat_template.jinja         the chat template it was trained with, where that is not its base's
adapters/NAME/tokenizer.json              its tokenizer, where tokens were added for it; of others' adapters alone

A manifest holds the checksums of the two files and its own: what a run keeps of it is what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import (
    Any,
    NotRequired,  # pydantic wants these on Python 3.11
)

from typing_extensions import TypedDict

from ragmed.errors import DamagedError, DataError, ModelError
from ragmed.files import read_json, read_text, require_file, sha256_file, sha256_json, write_json
from ragmed.records import Access
from ragmed.stored import misfit

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "manifest.json"
MERGED = "adapter-manifest.json"
TEMPLATE, TOKENIZER, VOCABULARY = "chat_template.jinja", "tokenizer_config.json", "tokenizer.json"
SCHEMA = 2
WORK = ".training"
RESTARTED = "restarted"
"""A file in WORK: what is trained there replaces the adapter that is still there, and goes on at the next call."""


class _Corpus(TypedDict):
    name: str
    sha256: str
    access: Access
    documents: NotRequired[int]


class _Manifest(TypedDict):
    """What every manifest has, and what is read of those that a training here wrote."""

    name: str
    access: Access
    corpora: list[_Corpus]
    files: dict[str, str]
    base: NotRequired[dict[str, str]]
    origin: NotRequired[dict[str, Any]]
    trained_as: NotRequired[dict[str, Any]]
    tokens: NotRequired[int]
    steps: NotRequired[int]
    seconds: NotRequired[float]
    rows: NotRequired[dict[str, Any]]
    overlap: NotRequired[dict[str, Any]]
    search: NotRequired[dict[str, Any] | None]
    losses: NotRequired[list[dict[str, Any]]]
    notes: NotRequired[list[str]]
    held_out_documents: NotRequired[list[str]]


def read_manifest(folder: Path, *, file: str = MANIFEST) -> Mapping[str, Any]:
    """
    >>> read_manifest(Path("adapters/handbook-2031"))["corpora"][0]["name"]
    'handbook-2031'

    What made an adapter that was trained here; empty for one that was not. DataError where it cannot be read or was
    written by another version, DamagedError where it, or a file of the adapter, is not the one that was written.
    `file`: its name, where the adapter was merged into a model (MERGED).
    """
    path = folder / file
    if not path.is_file():
        return {}
    manifest = read_json(path, "adapter manifest", finite=True)
    again = _again(folder) if file == MANIFEST else "ragmed finetune NAME --merge DIR"
    if manifest.get("schema") != SCHEMA:
        raise DataError(f"'{path}' was written by another version of ragmed; run: {again}")
    if manifest.get("checksum") != _checksum(manifest):
        raise DamagedError(f"'{path}' is damaged or was edited: its checksum differs; put it back, or run: {again}")
    if wrong := misfit(_Manifest, manifest):
        raise DamagedError(f"'{path}' cannot be the manifest of an adapter: {wrong}; put it back, or run: {again}")
    for name, digest in manifest["files"].items():
        if Path(name).name != name:
            raise DamagedError(f"'{path}' names a file outside of its folder: '{name}'; put it back, or run: {again}")
        if not (folder / name).is_file():
            raise DamagedError(f"'{folder / name}' is missing; run: {again}")
        if sha256_file(folder / name) != digest:
            raise DamagedError(f"'{folder / name}' is damaged: its sha256 differs; run: {again}")
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any], *, file: str = MANIFEST, mode: int = 0o644) -> None:
    """
        write_manifest(folder, {"schema": SCHEMA, "name": "mine", "access": "open", "corpora": [], "files": {}})

    With its checksum, whole or not at all. UnwritableError where it cannot be written.
    """
    write_json(folder / file, {**manifest, "checksum": _checksum(manifest)}, mode=mode)


def _checksum(manifest: Mapping[str, Any]) -> str:
    return sha256_json({key: value for key, value in manifest.items() if key != "checksum"})


def remedy(name: str) -> str:
    return f"ragmed finetune {name} --restart"


def _again(folder: Path) -> str:
    """A training that was to replace the adapter, and was stopped while it put its files there, only has to go on."""
    return f"ragmed finetune {folder.name}" if (folder / WORK / RESTARTED).is_file() else remedy(folder.name)


def check_template(folder: Path, name: str, template: str) -> None:
    """ModelError where an adapter learnt turns in another chat template than the one whose hash is `template`."""
    expected = read_manifest(folder).get("base", {}).get("template")
    if expected and expected != template:
        raise ModelError(
            f"the adapter '{folder}' was trained with another chat template than '{name}' has now; put that template "
            f"into the adapter's folder as chat_template.jinja, or train it again: {remedy(folder.name)}"
        )


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
    config = read_json(folder / CONFIG, "adapter configuration", finite=True)
    if config.get("peft_type") != "LORA":
        raise ModelError(f"the adapter '{folder}' is of type {config.get('peft_type')}; only LORA can be loaded")
    return config


def own_template(folder: Path) -> Any:
    """The chat template in an adapter's folder, as transformers writes it: in a file of its own, or in
    tokenizer_config.json; a mapping where there are several under names, None where there is none.
    """
    if (folder / TEMPLATE).is_file():
        return read_text(folder / TEMPLATE, "chat template of the adapter")
    if not (folder / TOKENIZER).is_file():
        return None
    template = read_json(folder / TOKENIZER, "tokenizer configuration of the adapter").get("chat_template")
    try:
        return {one["name"]: one["template"] for one in template} if isinstance(template, list) else template
    except (KeyError, TypeError) as error:
        raise DataError(f"'{folder / TOKENIZER}': its chat_template has no names; put one into {TEMPLATE}") from error


def adapter_hash(folder: Path, config: Mapping[str, Any]) -> str:
    """Over the configuration, the weights, the folder's own chat template and tokenizer: what can change an answer.
    DataError where the weights are missing.
    """
    template, vocabulary = own_template(folder), folder / VOCABULARY
    parts = [sha256_json(config), sha256_file(require_file(folder / WEIGHTS, "adapter weights"))]
    parts += [template] if template else []
    return sha256_json([*parts, sha256_file(vocabulary)] if vocabulary.is_file() else parts)
