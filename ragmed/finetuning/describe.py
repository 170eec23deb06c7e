"""Adapters in words: what made one, what it was trained on, what that cost; and what a training would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ragmed.adapters import MANIFEST, read_manifest
from ragmed.errors import RagmedError
from ragmed.finetuning.recipe import WAYS, AdapterRecipe, load_adapter_recipe
from ragmed.text_table import columns, counted
from ragmed.workspace import Workspace


def describe_adapter(name: str, workspace: Workspace) -> str:
    """The manifest of an adapter (a name or a folder), its checksums verified."""
    folder = workspace.adapter(name)
    manifest = read_manifest(folder)
    if not manifest:
        recipe = load_adapter_recipe(workspace.recipe("adapters", name))
        return f"adapter {recipe.name}: not trained yet; run: ragmed finetune {recipe.name}"
    return describe_manifest(manifest)


def describe_manifest(manifest: Mapping[str, Any]) -> str:
    """The manifest as a user wants to read it."""
    corpora = manifest["corpora"]
    names = ", ".join(f"{corpus['name']} ({corpus['access']}, {corpus['sha256'][:12]})" for corpus in corpora)
    lora = manifest["trained_as"]["lora"]
    lines = [
        f"adapter {manifest['name']} for {manifest['base']['name']}: rank {lora['rank']}, "
        f"{manifest['trainable_parameters']:,} trainable parameters",
        f"trained on {names}",
        f"{counted(manifest['tokens'], 'token')} in {counted(manifest['steps'], 'step')}, "
        f"{manifest['seconds']:.0f} s on "
        f"{manifest['device']} ({manifest['dtype']}), peak memory {manifest['peak_memory_bytes'] / 1e9:.1f} GB, energy "
        + ("not measurable here" if manifest["energy_joules"] is None else f"{manifest['energy_joules']:.0f} J"),
    ]
    if manifest["losses"]:
        first, last = manifest["losses"][0], manifest["losses"][-1]
        held = "" if last["held_out"] is None else f"; held out {first['held_out']:.3f} -> {last['held_out']:.3f}"
        lines.append(f"loss {first['train']:.3f} -> {last['train']:.3f}{held}")
    if manifest["search"]:
        lines += _search(manifest["search"])
    if manifest["held_out_documents"]:
        lines.append(f"held out, not trained on: {counted(len(manifest['held_out_documents']), 'document')}")
    checked = manifest["overlap"]["tasks"]
    lines.append(
        f"kept out and checked: {', '.join(checked)}" if checked else "not checked against any task (keep_out is empty)"
    )
    if manifest["access"] != "open":
        lines.append(f"made from {manifest['access']} text: the adapter is {manifest['access']} too; do not pass it on")
    return "\n".join([*lines, *manifest["notes"]])


def _search(search: Mapping[str, Any]) -> list[str]:
    lines = [f"chosen on {search['untrained']['n']} development examples of {search['task']} (untrained "
             f"{search['untrained']['score']:.3f}):"]  # fmt: skip
    for number, cell in enumerate(search["cells"]):
        mark = " <- chosen" if number == search["chosen"] else ""
        lines.append(
            f"  learning rate {cell['learning_rate']:g}, {cell['epochs']:g} epochs: {cell['score']:.3f} "
            f"({cell['tokens']:,} tokens, {cell['train_seconds']:.0f} s){mark}"
        )
    return lines


def describe_adapters(workspace: Workspace) -> str:
    """One line an adapter: its name, and whether it is trained, or what is wrong with its recipe."""
    lines = []
    for name in workspace.names("adapters"):
        try:
            recipe = load_adapter_recipe(workspace.recipe("adapters", name))
            trained = (workspace.adapters / name / MANIFEST).is_file()
            state = "trained" if trained else f"not trained; run: ragmed finetune {name}"
            about = f"{recipe.base} on {', '.join(recipe.corpora)}: {state}"
        except RagmedError as error:
            about = f"broken: {error}"
        lines.append((name, about))
    return "\n".join(columns(lines))


def preview(name: str, *, workspace: Workspace) -> str:
    """What `finetune` would do: texts, check, tokens and steps of every cell; trains nothing, loads no weights."""
    recipe = load_adapter_recipe(workspace.recipe("adapters", name))
    from transformers import AutoTokenizer

    from ragmed.finetuning.build import gather
    from ragmed.models.loading import check_folder, weights_folder

    unasked = replace(recipe, paraphrases=replace(recipe.paraphrases, model=""))
    material = gather(unasked, workspace.adapters / recipe.name, workspace)
    folder, repository = weights_folder(recipe.base, workspace)
    check_folder(folder, repository)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    counts = material.texts.counts
    ways = ", ".join(f"{counts[way]} {way}" for way in WAYS if counts[way])
    lines = [
        f"adapter {recipe.name} for {recipe.base}, from {', '.join(recipe.corpora)} ({material.texts.access})",
        f"{counted(len(material.trained), 'text')} to train on, {len(material.held)} held out ({ways}; "
        f"{counts['templates']} of them other wordings of the same)",
        f"kept out: {', '.join(material.report.tasks) or 'nothing was checked (keep_out is empty)'}",
    ]
    if recipe.paraphrases.model:
        lines.append(f"and what {recipe.paraphrases.model} will write, which is not asked now")
    return "\n".join([*lines, *(_planned(cell, material.trained, tokenizer) for cell in recipe.cells())])


def _planned(cell: AdapterRecipe, texts: Any, tokenizer: Any) -> str:
    from ragmed.finetuning.build import make_rows
    from ragmed.finetuning.training import plan_steps

    rows = make_rows(texts, tokenizer, cell, apart=True)
    steps = plan_steps(rows, cell.training, seed=cell.seed)
    tokens = sum(int(rows.used[step].sum()) for step in steps)
    read = f"{counted(len(steps), 'step')}, {counted(tokens, 'token')}"
    return f"{cell.name}: {read} (learning rate {cell.training.learning_rate:g})"
