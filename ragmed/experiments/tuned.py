"""Which of an experiment's models were tuned, and on what: the manifests of adapters, trained first where missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.adapters import CONFIG, MANIFEST, MERGED, adapter_hash, read_manifest, remedy
from ragmed.errors import MismatchError, UnknownNameError
from ragmed.experiments.config import Experiment, base_of
from ragmed.files import read_json, user_path
from ragmed.finetuning.recipe import load_adapter_recipe
from ragmed.models import ModelSettings, parse_model_name
from ragmed.records import strictest
from ragmed.workspace import Workspace

KEPT = (
    "name", "corpora", "access", "tokens", "steps", "seconds", "cpu_seconds", "gpu_seconds", "device", "dtype",
    "peak_memory_bytes", "energy_joules", "losses", "search", "trained_as", "rows", "overlap", "held_out_documents",
    "trainable_parameters", "notes",
)  # fmt: skip
"""What a run keeps of an adapter's manifest."""


def train_missing(experiment: Experiment, workspace: Workspace) -> None:
    """Trains the adapters that the arms use, that have a recipe in adapters/, and that are not there yet.

    MismatchError where an adapter was made by another recipe than the one that lies beside it.
    """
    for _, adapter in _adapters(experiment):
        recipe = workspace.adapters / adapter / "recipe.yaml"
        if Path(adapter).name != adapter or not recipe.is_file():
            continue
        if not (recipe.parent / MANIFEST).is_file():
            from ragmed.finetuning.build import finetune
            from ragmed.finetuning.progress import bars

            finetune(adapter, workspace=workspace, bars=bars)
        elif read_manifest(recipe.parent)["origin"]["recipe"] != load_adapter_recipe(recipe).as_dict():
            raise MismatchError(
                f"adapter '{adapter}' was made by another recipe than '{recipe}'; run: {remedy(adapter)}"
            )


def adapters_to_train(experiment: Experiment, workspace: Workspace) -> list[str]:
    """The adapters that the arms use and that would be trained first; UnknownNameError for one that nobody can make."""
    missing = []
    for name, adapter in _adapters(experiment):
        if (workspace.adapter(adapter) / CONFIG).is_file():
            continue
        if not (workspace.adapters / adapter / "recipe.yaml").is_file():
            raise UnknownNameError("adapter", adapter, workspace.names("adapters"), f"models.{name}")
        missing.append(adapter)
    return list(dict.fromkeys(missing))


def adapter_hashes(experiment: Experiment, workspace: Workspace) -> dict[str, str]:
    """Model -> the hash of its adapter's files: an adapter that was trained anew is another one."""
    found = {}
    for name, adapter in _adapters(experiment):
        folder = workspace.adapter(adapter)
        if (folder / CONFIG).is_file():
            found[name] = adapter_hash(folder, read_json(folder / CONFIG, "adapter configuration", finite=True))
    return found


def manifests(experiment: Experiment, workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Model -> what is known of its tuning, for the models that were tuned: only a name where nothing is declared."""
    known = {}
    for name in dict.fromkeys(arm.model for arm in experiment.arms.values()):
        base = _merged(experiment.models[name])
        manifest = _manifest(experiment.models[name], workspace, base)
        if manifest:
            known[name] = {key: manifest[key] for key in KEPT if key in manifest}
        elif base_of(name, experiment.models) or parse_model_name(experiment.models[name].name).adapter:
            known[name] = {"name": experiment.models[name].name, "corpora": []}
        if base:  # what was merged before an adapter was put on top still counts
            known[name]["access"] = strictest([base["access"], known[name].get("access", "open")])
    return known


def _adapters(experiment: Experiment) -> list[tuple[str, str]]:
    """The models that the arms use and that name an adapter, each once, with it."""
    used = dict.fromkeys(arm.model for arm in experiment.arms.values())
    named = [(name, parse_model_name(experiment.models[name].name).adapter) for name in used]
    return [(name, adapter) for name, adapter in named if adapter]


def _merged(settings: ModelSettings) -> Mapping[str, Any]:
    """The manifest in a folder that an adapter was merged into; all its weights are read once more for it."""
    name = parse_model_name(settings.name)
    return read_manifest(user_path(name.target), file=MERGED) if name.scheme in ("path", "vllm") else {}


def _manifest(settings: ModelSettings, workspace: Workspace, merged: Mapping[str, Any]) -> Mapping[str, Any]:
    name = parse_model_name(settings.name)
    if name.adapter:
        return read_manifest(workspace.adapter(name.adapter))
    if settings.tuned_by:
        folder = workspace.adapter(settings.tuned_by)
        if not (folder / MANIFEST).is_file():
            raise UnknownNameError("adapter", settings.tuned_by, workspace.names("adapters"), "tuned_by")
        return read_manifest(folder)
    return merged
