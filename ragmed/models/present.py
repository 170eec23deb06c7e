"""What lies here of a model, by the hashes of its files: known without loading it.

A run keeps them, and is held to them whenever it is looked at again, finished or not.
"""

from __future__ import annotations

import re
from pathlib import Path

from ragmed.files import sha256_file, sha256_json, user_path
from ragmed.models.names import parse_model_name
from ragmed.models.scripted import load_scripted
from ragmed.models.settings import ModelSettings
from ragmed.packaged import NOTE
from ragmed.workspace import Workspace

# What decides how texts become ids and prompts, what is computed with them, and where an answer ends.
_DECIDES = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|chat_template|vocab|modules|"
    r"sentence_bert_config|config_sentence_transformers)\.json|merges\.txt|vocab\.txt|.*\.(model|jinja|tiktoken)"
)

_LAYER = re.compile(r"\d+_\w+")


def present_files(settings: ModelSettings, workspace: Workspace) -> dict[str, str]:
    """
        present_files(ModelSettings("path:models/m"), workspace)  # {"weights": "9b2d…", "config.json": "03fe…", …}

    File -> sha256, and `weights` for all safetensors together; of a scripted model what it answers; of a server's model
    the files of the `tokenizer` that counts for it. Empty where nothing lies here, such as weights deleted since.
    Raises what reading a scripted model's file raises.
    """
    name = parse_model_name(settings.name)
    if name.scheme == "scripted":
        file = user_path(name.target)
        if file.suffix and not file.exists():
            return {}
        return load_scripted(settings.name, name.target).fingerprint()
    folder = _folder(settings.name, workspace)
    if folder is None and settings.tokenizer:
        folder = _folder(settings.tokenizer, workspace)
    return folder_files(folder) if folder else {}


def folder_files(folder: Path) -> dict[str, str]:
    """The same of a model's folder, and of an embedder's layers in it (`1_Pooling`, `2_Dense`); what else lies below,
    such as checkpoints of a training, is not the model's.
    """
    files = {}
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and _LAYER.fullmatch(path.name))]:
        name = "" if place == folder else f"{place.name}/"
        if any(place.glob("*.safetensors")):
            files[f"{name}weights"] = weights_hash(place)
        decides = sorted(path for path in place.iterdir() if path.is_file() and _DECIDES.fullmatch(path.name))
        files |= {f"{name}{path.name}": sha256_file(path) for path in decides}
    return files


def _folder(model: str, workspace: Workspace) -> Path | None:
    name = parse_model_name(model)
    if name.scheme == "packaged":
        folder = workspace.models / name.target
        return folder if (folder / NOTE).is_file() else None
    if name.scheme in ("path", "vllm") and user_path(name.target).is_dir():
        return user_path(name.target)
    if name.scheme not in ("hf", "vllm"):
        return None
    repository, _, revision = name.target.partition("@")
    return _snapshot(repository, name.revision or revision)


def _snapshot(repository: str, revision: str) -> Path | None:
    """Where the hub's local cache has a repository; the hub is not asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def weights_hash(folder: Path) -> str:
    """
        weights_hash(Path("models/m"))

    One hash over the names and sha256 of a folder's safetensors. Read again each time (about 1 s a gigabyte): a hash
    kept beside the weights could outlive a change of them. In the hub's cache a file is a link to a blob that the hub
    named after its sha256, and the name is taken.
    """
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        blob = path.resolve()
        named = path.is_symlink() and len(blob.name) == 64 and all(c in "0123456789abcdef" for c in blob.name)
        hashes[path.name] = blob.name if named else sha256_file(path)
    return sha256_json(hashes)
