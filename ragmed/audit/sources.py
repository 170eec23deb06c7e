"""An experiment in, what its arms can have read out: passages of their indexes, texts their models were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.adapters import MERGED, read_manifest
from ragmed.arms import Arm
from ragmed.corpora import load_recipe
from ragmed.errors import RagmedError, UnknownNameError
from ragmed.experiments.config import Experiment, base_of
from ragmed.experiments.references import index_names
from ragmed.files import user_path
from ragmed.finetuning.overlap import words_from_corpora
from ragmed.finetuning.paraphrases import FILE as PARAPHRASES
from ragmed.finetuning.paraphrases import paraphrased
from ragmed.finetuning.recipe import AdapterRecipe, load_adapter_recipe, make_adapter_recipe
from ragmed.finetuning.texts import TrainingText
from ragmed.finetuning.training_texts import training_texts
from ragmed.models import ModelSettings, parse_model_name
from ragmed.records import Access, Passage, strictest
from ragmed.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text that may hold a question. `titles`: what stands above it, by what it is called; `cited`: its source."""

    document: str
    passage: str
    titles: tuple[tuple[str, str], ...]
    text: str
    cited: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A tuned model's adapter, as far as it is known: `folder` is where its manifest or recipe lies, if anywhere.

    `tasks`: those that an arm with it is asked.
    """

    name: str
    folder: Path | None
    manifest: Mapping[str, Any]
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What an adapter was trained on. `corpora`: name -> what its documents' ids are (`pmid`, '')."""

    texts: tuple[TrainingText, ...]
    corpora: Mapping[str, str]
    access: Access
    notes: tuple[str, ...]


def indexes_of(experiment: Experiment, workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Index -> the tasks of the arms that are shown its passages."""
    tasks: dict[str, tuple[str, ...]] = {}
    for arm in experiment.arms.values():
        for index in index_names(experiment, workspace, [arm]):
            tasks[index] = _joined(tasks.get(index, ()), arm, experiment)
    return tasks


def tunings_of(experiment: Experiment, workspace: Workspace) -> list[Tuning]:
    """The adapters in the models that the arms use: named, declared to have tuned a model, or merged into it."""
    tasks: dict[str, tuple[str, ...]] = {}
    for arm in experiment.arms.values():
        tasks[arm.model] = _joined(tasks.get(arm.model, ()), arm, experiment)
    tunings: dict[str, Tuning] = {}
    for model, asked in tasks.items():
        tuning = _tuning(experiment.models[model], asked, workspace)
        if tuning is None and base_of(model, experiment.models):
            tuning = Tuning(experiment.models[model].name, None, {}, asked)
        if tuning and tuning.name in tunings:
            all_tasks = tuple(dict.fromkeys((*tunings[tuning.name].tasks, *asked)))
            tuning = Tuning(tuning.name, tuning.folder, tuning.manifest, all_tasks)
        if tuning:
            tunings[tuning.name] = tuning
    return list(tunings.values())


def trained_on(tuning: Tuning, workspace: Workspace) -> TrainedOn:
    """The training texts of an adapter and of those it was continued from, rebuilt from their recipes and corpora.

    What the overlap check took out and the documents that were only measured on are not among them. Where texts cannot
    be rebuilt, because nothing says from what or the corpora are not here, `notes` says so.
    """
    texts: list[TrainingText] = []
    corpora: dict[str, str] = {}
    notes: list[str] = []
    tiers: list[Access] = []
    waiting, seen = [(tuning.name, tuning.folder, tuning.manifest)], set[str]()
    while waiting:
        name, folder, manifest = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        tiers += [manifest["access"]] if "access" in manifest else []
        try:
            recipe = _recipe(name, folder, manifest) if folder else None
            if folder is None or recipe is None:
                notes.append(f"adapter {name}: no manifest and no recipe names what it was trained on: not checked")
                continue
            some, kinds, text_notes, access = _texts(recipe, folder, manifest, workspace)
            waiting += _before(recipe, workspace)
        except RagmedError as error:
            notes.append(f"adapter {name}: what it was trained on cannot be read here, and was not checked: {error}")
            continue
        texts += some
        corpora |= kinds
        notes += text_notes
        tiers.append(access)
    return TrainedOn(tuple(texts), corpora, strictest(tiers), tuple(notes))


def _before(recipe: AdapterRecipe, workspace: Workspace) -> list[tuple[str, Path | None, Mapping[str, Any]]]:
    """What was trained before: the adapter that was continued, and one that was merged into the base."""
    adapters: list[tuple[str, Path | None, Mapping[str, Any]]] = []
    if recipe.initial:
        folder = workspace.adapter(recipe.initial)
        adapters.append((recipe.initial, folder, read_manifest(folder)))
    base = parse_model_name(recipe.base)
    if base.scheme == "path":
        folder = user_path(base.target)
        if merged := read_manifest(folder, file=MERGED):
            adapters.append((str(merged["name"]), folder, merged))
    return adapters


def texts_of_passages(passages: Iterator[Passage]) -> Iterator[SourceText]:
    for passage in passages:
        titles = (("title", passage.title), ("heading", passage.heading.rpartition(" > ")[2]))
        cited = f"{passage.document} {passage.source} {passage.citation}"
        kept = tuple((name, title) for name, title in titles if title)
        yield SourceText(str(passage.document_key), passage.id, kept, passage.text, cited)


def texts_of_training(texts: Sequence[TrainingText]) -> Iterator[SourceText]:
    for text in texts:
        titles = (("training question", text.question),) if text.question else ()
        yield SourceText(text.document, text.id, titles, words_from_corpora(text), text.document)


def _joined(known: tuple[str, ...], arm: Arm, experiment: Experiment) -> tuple[str, ...]:
    asked = arm.tasks or tuple(experiment.tasks)
    return tuple(name for name in experiment.tasks if name in known or name in asked)


def _tuning(settings: ModelSettings, tasks: tuple[str, ...], workspace: Workspace) -> Tuning | None:
    name = parse_model_name(settings.name)
    adapter = name.adapter or settings.tuned_by
    if adapter:
        folder = workspace.adapter(adapter)
        if not folder.is_dir():
            raise UnknownNameError("adapter", adapter, workspace.names("adapters"))
        return Tuning(Path(adapter).name or adapter, folder, read_manifest(folder), tasks)
    if name.scheme in ("path", "vllm"):
        folder = user_path(name.target)
        merged = read_manifest(folder, file=MERGED)
        return Tuning(str(merged["name"]), folder, merged, tasks) if merged else None
    return None


def _recipe(name: str, folder: Path, manifest: Mapping[str, Any]) -> AdapterRecipe | None:
    """The recipe that made an adapter, by its manifest; one that is not trained yet: the recipe that lies there."""
    if manifest:
        return make_adapter_recipe(manifest["origin"]["recipe"], name=name, where=f"manifest of adapter '{name}'")
    path = folder / "recipe.yaml"
    return load_adapter_recipe(path) if path.is_file() else None


def _texts(
    recipe: AdapterRecipe, folder: Path, manifest: Mapping[str, Any], workspace: Workspace
) -> tuple[list[TrainingText], dict[str, str], list[str], Access]:
    textset = training_texts(recipe, workspace=workspace)
    made_from = {one["name"]: one["sha256"] for one in manifest.get("corpora", ())}
    changed = [one["name"] for one in textset.corpora if made_from.get(one["name"]) != one["sha256"]]
    notes = []
    if not manifest:
        notes.append(f"adapter {recipe.name}: not trained yet; the texts of its recipe were checked")
    for corpus in changed if manifest else ():
        notes.append(
            f"adapter {recipe.name}: corpus {corpus} has changed since the training; what the corpus holds now was "
            "checked"
        )
    if recipe.paraphrases.model and manifest and not changed and (folder / PARAPHRASES).is_file():
        textset = paraphrased(textset, recipe, workspace=workspace, folder=folder)  # all there: no model is asked
    elif recipe.paraphrases.model:
        notes.append(f"adapter {recipe.name}: the paraphrases that a model wrote are not known here: not checked")
    dropped = set(manifest.get("overlap", {}).get("dropped", ()))
    held = set(manifest.get("held_out_documents", ()))
    texts = [one for one in textset.texts if one.id not in dropped and one.document not in held]
    kinds = {n: load_recipe(workspace.recipe("corpora", n), data=workspace.data).ids for n in recipe.corpora}
    return texts, kinds, notes, textset.access
