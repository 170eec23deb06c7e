"""An adapter merged into its base: a folder that any program loads as a model, and a manifest of what made it."""

from __future__ import annotations

from pathlib import Path

from ragmed.adapters import MERGED, SCHEMA, read_manifest, write_manifest
from ragmed.errors import DataError, UsageError
from ragmed.files import folder_beside, fsync_folder, make_folder, sha256_file
from ragmed.finetuning.lora import foreign_warnings
from ragmed.models import ModelSettings, parse_model_name
from ragmed.models.loading import load_folder, weights_folder
from ragmed.workspace import Workspace


def require_free(output: Path) -> None:
    """DataError where something lies there already: asked before a training, not after it."""
    if output.exists():
        raise DataError(f"'{output}' exists already; give the merged model another folder")


def merge_adapter(model: str, output: Path, *, workspace: Workspace) -> Path:
    """
        merge_adapter("path:m+adapter:a", Path("models/tuned"), workspace=workspace)  # PosixPath('models/tuned')

    Merged in float32 and written in float32, so that it answers as the model with its adapter does; written beside and
    renamed. The adapter's manifest goes with it, with the hashes of the merged weights. Raises UsageError, DataError,
    ModelError.
    """
    name = parse_model_name(model)
    if not name.adapter:
        raise UsageError(f"'{model}' has no adapter to merge; write it as MODEL+adapter:NAME")
    require_free(output)
    adapter = workspace.adapter(name.adapter)
    folder, snapshot_of = weights_folder(model, workspace)
    settings = ModelSettings(model, dtype="float32", device="cpu")
    merged = load_folder(settings, folder, snapshot_of=snapshot_of, adapter=adapter)
    known = read_manifest(folder, file=MERGED).get("access", "open")  # of a base that was merged before
    unknown = {"schema": SCHEMA, "name": name.adapter, "corpora": [], "access": known}
    manifest = dict(read_manifest(adapter)) or unknown
    open_ = manifest["access"] == "open"
    mode = 0o755 if open_ else 0o700
    make_folder(output.parent, mode=mode)
    with folder_beside(output, mode=mode) as beside:
        with foreign_warnings():
            merged.model.save_pretrained(beside)
        merged.tokenizer.save_pretrained(beside)
        weights = {path.name: sha256_file(path) for path in sorted(beside.glob("*.safetensors"))}
        write_manifest(beside, manifest | {"files": weights}, file=MERGED)
        for path in beside.iterdir():
            path.chmod(0o644 if open_ else 0o600)
        fsync_folder(beside)
        beside.rename(output)
    return output
