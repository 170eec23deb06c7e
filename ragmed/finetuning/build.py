"""A recipe in, an adapter folder out: texts, check, training, search; written whole, and resumed after a kill."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ragmed.adapters import (
    CONFIG,
    MERGED,
    RESTARTED,
    SCHEMA,
    WEIGHTS,
    WORK,
    adapter_hash,
    check_adapter,
    own_template,
    read_manifest,
    write_manifest,
)
from ragmed.errors import MismatchError, UsageError
from ragmed.files import exclusive, read_json, sha256_file, sha256_json, sweep, write_atomic, write_json
from ragmed.finetuning import lora, selection
from ragmed.finetuning.checkpoints import Progress, refuse_other
from ragmed.finetuning.overlap import OverlapReport, kept_out
from ragmed.finetuning.parallel import Team, team
from ragmed.finetuning.paraphrases import paraphrased
from ragmed.finetuning.recipe import AdapterRecipe, load_adapter_recipe
from ragmed.finetuning.sequences import Rows, encode, pack, packs
from ragmed.finetuning.texts import TextSet, TrainingText
from ragmed.finetuning.training import Place, Show, Trainer
from ragmed.finetuning.training_texts import training_texts
from ragmed.machine import total
from ragmed.models import ModelSettings
from ragmed.models.adapted import template_hash, use_template
from ragmed.models.loading import check_folder, load_weights, resolve_device, weights_folder
from ragmed.models.present import weights_hash
from ragmed.models.vocabulary import resized
from ragmed.records import Access, strictest
from ragmed.workspace import Workspace

DONE = "done.json"
PACKAGES = ("torch", "transformers", "tokenizers", "peft")
Bars = Callable[[str], Show]


@dataclass(frozen=True, slots=True)
class Material:
    """What a training reads: texts that passed the check, and those of held-out documents apart."""

    texts: TextSet
    trained: tuple[TrainingText, ...]
    held: tuple[TrainingText, ...]
    report: OverlapReport

    @property
    def held_documents(self) -> list[str]:
        return sorted({text.document for text in self.held})


@dataclass(frozen=True, slots=True)
class AdapterJob:
    """One call: the recipe, where its adapter goes, what it reads, and what it is made of (`origin`)."""

    recipe: AdapterRecipe
    folder: Path
    workspace: Workspace
    team: Team
    material: Material
    origin: Mapping[str, Any]
    remedy: str
    bars: Bars | None = None

    @property
    def access(self) -> Access:
        """The strictest of what is trained on here and of what the adapter that is continued was trained on."""
        before = earlier(self.recipe, self.workspace).values()
        return strictest([self.material.texts.access, *(known["access"] for known in before if "access" in known)])

    @property
    def file_mode(self) -> int:
        return 0o644 if self.access == "open" else 0o600

    @property
    def folder_mode(self) -> int:
        return 0o755 if self.access == "open" else 0o700


def finetune(
    name: str,
    *,
    workspace: Workspace,
    output: Path | None = None,
    restart: bool = False,
    bars: Bars | None = None,
) -> tuple[Mapping[str, Any], bool]:
    """
        manifest, fresh = finetune("handbook-2031", workspace=Workspace.find())

    The adapter of a recipe (a name in adapters/, or a file): its manifest, and whether it was trained just now rather
    than found. Resumes from the last checkpoint. With `restart` an adapter that is there stays until the new one is
    trained; a restart that was stopped goes on at the next call. Raises MismatchError where the folder holds an adapter
    or a training of another recipe (`restart` starts again), DataError where a training text overlaps with what is
    evaluated, ModelError, UsageError.
    """
    recipe = load_adapter_recipe(workspace.recipe("adapters", name))
    folder = (output or workspace.adapters / recipe.name).resolve()
    with team() as processes:
        if not processes.first:
            processes.wait()  # a model's paraphrases are written by one
        material = gather(recipe, folder, workspace)
        if processes.first:
            processes.wait()
        again = f"ragmed finetune {name} --restart" + (f" --output {output}" if output else "")
        made_of = origin(recipe, material, workspace)
        job = AdapterJob(recipe, folder, workspace, processes, material, made_of, again, bars)
        make_folder(folder, job.folder_mode)
        begun = (folder / WORK / RESTARTED).is_file()
        if not restart and not begun and (found := _finished(job)):
            return found, False
        with exclusive(folder / ".lock", f"adapter '{recipe.name}'") if processes.first else nullcontext():
            if processes.first:
                sweep(folder, deep=True)
            if restart and processes.first:  # the adapter that is there stays until the new one can take its place
                shutil.rmtree(folder / WORK, ignore_errors=True)
                make_folder(folder / WORK, job.folder_mode)
                write_atomic(folder / WORK / RESTARTED, "", mode=job.file_mode)
            processes.wait()
            return _train(job), True


def gather(recipe: AdapterRecipe, folder: Path, workspace: Workspace) -> Material:
    """The texts of the corpora in all their wordings, checked against what is evaluated, some documents held out."""
    texts = paraphrased(training_texts(recipe, workspace=workspace), recipe, workspace=workspace, folder=folder)
    texts, report = kept_out(texts, recipe, workspace=workspace)
    documents = sorted({text.document for text in texts.texts}, key=lambda key: _draw(recipe.seed, key))
    count = round(recipe.training.held_out * len(documents))
    held = set(documents[:count])
    return Material(
        texts,
        tuple(text for text in texts.texts if text.document not in held),
        tuple(text for text in texts.texts if text.document in held),
        report,
    )


def origin(recipe: AdapterRecipe, material: Material, workspace: Workspace) -> dict[str, Any]:
    """What an adapter is made of, by the name under which a difference is reported."""
    folder, repository = weights_folder(recipe.base, workspace)
    check_folder(folder, repository)
    made: dict[str, Any] = {
        "recipe": recipe.as_dict(),
        "corpora": [corpus["sha256"] for corpus in material.texts.corpora],
        "base": weights_hash(folder),
        "texts": sha256_json([asdict(text) for text in (*material.trained, *material.held)]),
    }
    if _turns(material):
        made["chat template"] = sha256_json(own_template(folder) or "")
    if recipe.initial:
        initial = workspace.adapter(recipe.initial)
        made["initial"] = adapter_hash(initial, check_adapter(initial, recipe.base, made["base"]))
    return made


def _draw(seed: int, key: str) -> bytes:
    """An order by lot that does not change for the others when a document comes or goes."""
    return hashlib.sha256(f"{seed}\x00{key}".encode()).digest()


def _finished(job: AdapterJob) -> Mapping[str, Any]:
    """The manifest of the adapter that is there, if it is made of the same."""
    manifest = read_manifest(job.folder)
    for key in job.origin if manifest else ():
        if manifest["origin"].get(key) != job.origin[key]:
            raise MismatchError(
                f"'{job.folder}' holds an adapter that was made of another {key}; to replace it, run: {job.remedy}"
            )
    if manifest and job.team.first:
        shutil.rmtree(job.folder / WORK, ignore_errors=True)  # left by a kill after the manifest was written
    return manifest


def _train(job: AdapterJob) -> Mapping[str, Any]:
    cells = job.recipe.cells()
    if job.recipe.select.task:
        selection.development_task(job.recipe, job.workspace)  # refused now rather than after the training
    done = [_cell(job, cell) for cell in cells]
    chosen, search = 0, None
    if job.recipe.select.task:
        search = _search(job, cells, done)
        chosen = search["chosen"]
    if job.team.first:
        _publish(job, cells[chosen], done[chosen], search)
    job.team.wait()
    return read_manifest(job.folder)


def _cell(job: AdapterJob, cell: AdapterRecipe) -> Mapping[str, Any]:
    """One training: what it was, as a mapping that is also kept in done.json, beside the adapter's two files."""
    work = job.folder / WORK / cell.name
    make_folder(job.folder / WORK, job.folder_mode)
    make_folder(work, job.folder_mode)
    made_by = {**job.origin, "recipe": cell.as_dict(), "versions": versions(), "processes": job.team.size}
    place = Place(work, made_by, job.remedy)
    if (work / DONE).is_file():
        record = read_json(work / DONE, "training record")
        refuse_other(work, record["identity"], made_by, remedy=place.remedy)
        return record
    device = job.team.device(resolve_device(cell.training.device))
    settings = ModelSettings(cell.base, dtype=cell.training.dtype, device=device)
    folder, snapshot_of = weights_folder(cell.base, job.workspace)
    model, tokenizer, hashes = load_weights(settings, folder, snapshot_of=snapshot_of)
    _refuse_long_rows(model, cell)
    initial = job.workspace.adapter(cell.initial) if cell.initial else None
    if initial:
        _, vocabulary = resized(model, tokenizer, initial)
        if vocabulary or use_template(tokenizer, initial, cell.base):
            own = "vocabulary" if vocabulary else "chat template"
            raise UsageError(
                f"initial: '{cell.initial}' has a {own} of its own, which the new adapter would not keep; merge it "
                "into its base, and train on that"
            )
    model.to(device)
    apart = packs(model)
    rows = make_rows(job.material.trained, tokenizer, cell, apart=apart)
    held = make_rows(job.material.held, tokenizer, cell, apart=apart) if job.material.held else None
    tuned = lora.with_new_adapter(model, cell, initial=initial, base=hashes["weights"])
    trainer = Trainer(tuned, rows, held, training=cell.training, seed=cell.seed, team=job.team)
    progress = trainer.run(place, show=job.bars(cell.name) if job.bars and job.team.first else None)
    record = {
        "identity": made_by,
        "base": {"name": cell.base, **hashes, **_turns_learnt_in(job.material, tokenizer)},
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(trainer.device),
        "threads": torch_threads(),
        "rows": {"count": len(rows), "tokens": rows.tokens, "split_texts": rows.split, "packed": apart},
        "trainable": sum(one.numel() for one in trainer.weights.values()),
        "progress": asdict(progress),
        "steps_planned": len(trainer.steps),
    }
    if job.team.first:
        lora.save_adapter(tuned, work, cell, mode=job.file_mode)
        write_json(work / DONE, record, mode=job.file_mode)
        for path in work.glob("state*"):
            path.unlink()
    job.team.wait()
    return record


def _turns_learnt_in(material: Material, tokenizer: Any) -> dict[str, str]:
    """The hash of the chat template, where turns were learnt: asked in another one, the adapter would not know them."""
    return {"template": template_hash(tokenizer)} if _turns(material) else {}


def _turns(material: Material) -> bool:
    return any(text.messages for text in (*material.trained, *material.held))


def _refuse_long_rows(model: Any, recipe: AdapterRecipe) -> None:
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if most and recipe.training.sequence_tokens > most:
        raise UsageError(
            f"training.sequence_tokens: '{recipe.base}' reads {most} tokens at most, the recipe has "
            f"{recipe.training.sequence_tokens}"
        )


def make_rows(texts: Sequence[TrainingText], tokenizer: Any, recipe: AdapterRecipe, *, apart: bool) -> Rows:
    """The texts as rows; one a row where the model cannot keep texts of one row apart."""
    length = recipe.training.sequence_tokens
    pieces, split = encode(texts, tokenizer, length=length)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return pack(pieces, length=length, pad=pad, split=split, share_rows=apart)


def _search(job: AdapterJob, cells: Sequence[AdapterRecipe], done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each cell asked the development examples; kept beside it, so that a kill costs one cell at most."""
    rows = []
    for cell, record in zip(cells, done, strict=True):
        work = job.folder / WORK / cell.name
        rows.append(
            {
                "learning_rate": cell.training.learning_rate,
                "epochs": cell.training.epochs,
                "tokens": record["progress"]["tokens"],
                "train_seconds": record["progress"]["seconds"],
                "train_cpu_seconds": record["progress"].get("cpu_seconds"),
                "train_gpu_seconds": record["progress"].get("gpu_seconds"),
                **_development(job, work, work / "development.json"),
            }
        )
    return {
        "task": job.recipe.select.task,
        "scoring": job.recipe.select.scoring,
        "untrained": _development(job, None, job.folder / WORK / "development-of-base.json"),
        "cells": rows,
        "chosen": selection.choose(rows),
        "tokens": sum(row["tokens"] for row in rows),
        "seconds": round(sum(row["train_seconds"] + row["seconds"] for row in rows), 1),
        "cpu_seconds": total(row.get(key) for row in rows for key in ("train_cpu_seconds", "cpu_seconds")),
        "gpu_seconds": total(row.get(key) for row in rows for key in ("train_gpu_seconds", "gpu_seconds")),
    }


def _development(job: AdapterJob, adapter: Path | None, file: Path) -> dict[str, Any]:
    """The development score of an adapter (None: of the base), from its file where that is of the same question."""
    asked = sha256_json([asdict(job.recipe.select), sha256_file(adapter / WEIGHTS) if adapter else ""])
    score = read_json(file, "development score") if file.is_file() else {}
    if score.get("asked") != asked and job.team.first:
        score = selection.development_score(adapter, job.recipe, job.workspace)
        write_json(file, {"asked": asked, **score}, mode=job.file_mode)
    job.team.wait()
    return {key: value for key, value in read_json(file, "development score").items() if key != "asked"}


def _publish(job: AdapterJob, cell: AdapterRecipe, record: Mapping[str, Any], search: Mapping[str, Any] | None) -> None:
    """Files first, the manifest last; then the work folder goes. After a kill in between, the next call does it again:
    until then an older manifest does not fit the files, and the adapter is refused.
    """
    for name in (CONFIG, WEIGHTS):
        write_atomic(job.folder / name, (job.folder / WORK / cell.name / name).read_bytes(), mode=job.file_mode)
    files = {name: sha256_file(job.folder / name) for name in (CONFIG, WEIGHTS)}
    write_manifest(job.folder, describe(job, cell, record, search) | {"files": files}, mode=job.file_mode)
    (job.folder / WORK / RESTARTED).unlink(missing_ok=True)
    shutil.rmtree(job.folder / WORK)


def describe(
    job: AdapterJob, cell: AdapterRecipe, record: Mapping[str, Any], search: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The manifest: what the adapter is made of, what it was trained on, and what that cost."""
    progress = Progress(**record["progress"])
    return {
        "schema": SCHEMA,
        "name": job.recipe.name,
        "title": job.recipe.title,
        "access": job.access,
        "base": record["base"],
        "corpora": [*(dict(corpus) for corpus in job.material.texts.corpora), *_trained_before(job)],
        "origin": dict(job.origin),
        "trained_as": cell.as_dict(),
        "texts": dict(job.material.texts.counts) | {"learnt": len(job.material.trained)},
        "held_out_documents": job.material.held_documents,
        "overlap": asdict(job.material.report),
        "rows": record["rows"],
        "trainable_parameters": record["trainable"],
        "tokens": progress.tokens,
        "learnt_tokens": progress.trained_tokens,
        "steps": progress.step,
        "steps_planned": record["steps_planned"],
        "stopped_early": progress.stopped_early,
        "kept_step": progress.best_step or progress.step,
        "seconds": progress.seconds,
        "cpu_seconds": progress.cpu_seconds,
        "gpu_seconds": progress.gpu_seconds,
        "device": record["device"],
        "dtype": record["dtype"],
        "threads": record["threads"],
        "processes": job.team.size,
        "peak_memory_bytes": progress.peak_memory,
        "energy_joules": progress.joules,
        "losses": progress.losses,
        "search": dict(search) if search else None,
        "notes": progress.notes,
        "versions": versions(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _trained_before(job: AdapterJob) -> list[dict[str, Any]]:
    """The corpora of the adapter that was continued; without a hash where nothing says what it was trained on."""
    hashes = {corpus["sha256"] for corpus in job.material.texts.corpora}
    corpora = []
    for name, known in earlier(job.recipe, job.workspace).items():
        before = known.get("corpora") or [{"name": name, "sha256": "", "access": "open"}]
        corpora += [dict(corpus) for corpus in before if corpus["sha256"] not in hashes]
    return corpora


def earlier(recipe: AdapterRecipe, workspace: Workspace) -> dict[str, Mapping[str, Any]]:
    """What went into the weights before: the manifests of the adapter that is continued, and of a merged base."""
    manifests = {}
    if recipe.initial:
        manifests[recipe.initial] = read_manifest(workspace.adapter(recipe.initial))
    folder, _ = weights_folder(recipe.base, workspace)
    if merged := read_manifest(folder, file=MERGED):
        manifests[recipe.base] = merged
    return manifests


def make_folder(folder: Path, mode: int) -> None:
    """A folder that is closed to others where what it holds is; also one that was there before."""
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    if mode == 0o700:
        folder.chmod(mode)


def versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


def torch_threads() -> int:
    import torch

    return int(torch.get_num_threads())
