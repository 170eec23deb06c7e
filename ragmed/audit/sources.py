"""An experiment in, what its arms can have read out: the passages of their indexes, the texts their models learnt."""

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
from ragmed.finetuning.overlap import all_of
from ragmed.finetuning.paraphrases import FILE as PARAPHRASES
from ragmed.finetuning.paraphrases import paraphrased
from ragmed.finetuning.recipe import AdapterRecipe, load_adapter_recipe, make_adapter_recipe
from ragmed.finetuning.texts import TrainingText, strictest, training_texts
from ragmed.models import ModelSettings, parse_model_name
from ragmed.records import Access, Passage
from ragmed.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Piece:
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
class Learnt:
    """What an adapter was tuned on. `corpora`: name -> what its documents' ids are (`pmid`, '')."""

    texts: tuple[TrainingText, ...]
    corpora: Mapping[str, str]
    access: Access
    notes: tuple[str, ...]


def indexes_of(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """Index -> the tasks of the arms that are shown its passages."""
    found: dict[str, tuple[str, ...]] = {}
    for arm in experiment.arms.values():
        if arm.needs_index:
            found[arm.index] = _joined(found.get(arm.index, ()), arm, experiment)
    return found


def tunings_of(experiment: Experiment, workspace: Workspace) -> list[Tuning]:
    """The adapters in the models that the arms use: named, said to have tuned a model, or merged into it."""
    tasks: dict[str, tuple[str, ...]] = {}
    for arm in experiment.arms.values():
        tasks[arm.model] = _joined(tasks.get(arm.model, ()), arm, experiment)
    found: dict[str, Tuning] = {}
    for model, asked in tasks.items():
        one = _tuning(experiment.models[model], asked, workspace)
        if one is None and base_of(model, experiment.models):
            one = Tuning(experiment.models[model].name, None, {}, asked)
        if one and one.name in found:
            one = Tuning(one.name, one.folder, one.manifest, tuple(dict.fromkeys((*found[one.name].tasks, *asked))))
        if one:
            found[one.name] = one
    return list(found.values())


def learnt(tuning: Tuning, workspace: Workspace) -> Learnt:
    """The training texts of an adapter and of those it went on from, made again from their recipes and corpora.

    What the overlap check took out and the documents that were only measured on are not among them. Where texts cannot
    be made again, because nobody says from what or the corpora are not here, `notes` says so.
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
                notes.append(f"adapter {name}: no manifest and no recipe says what it was tuned on: not checked")
                continue
            some, kinds, said, access = _texts(recipe, folder, manifest, workspace)
            waiting += _before(recipe, workspace)
        except RagmedError as error:
            notes.append(f"adapter {name}: what it was tuned on cannot be read here, and was not checked: {error}")
            continue
        texts += some
        corpora |= kinds
        notes += said
        tiers.append(access)
    return Learnt(tuple(texts), corpora, strictest(tiers), tuple(notes))


def _before(recipe: AdapterRecipe, workspace: Workspace) -> list[tuple[str, Path | None, Mapping[str, Any]]]:
    """What was learnt before: by the adapter that was gone on from, and by one that was merged into the base."""
    found: list[tuple[str, Path | None, Mapping[str, Any]]] = []
    if recipe.initial:
        folder = workspace.adapter(recipe.initial)
        found.append((recipe.initial, folder, read_manifest(folder)))
    base = parse_model_name(recipe.base)
    if base.scheme == "path":
        folder = Path(base.target).expanduser()
        if merged := read_manifest(folder, file=MERGED):
            found.append((str(merged["name"]), folder, merged))
    return found


def passage_pieces(passages: Iterator[Passage]) -> Iterator[Piece]:
    for one in passages:
        titles = (("title", one.title), ("heading", one.heading.rpartition(" > ")[2]))
        cited = f"{one.document} {one.source} {one.citation}"
        yield Piece(one.document_key, one.id, tuple((k, v) for k, v in titles if v), one.text, cited)


def text_pieces(texts: Sequence[TrainingText]) -> Iterator[Piece]:
    for one in texts:
        titles = (("training question", one.question),) if one.question else ()
        yield Piece(one.document, one.id, titles, all_of(one), one.document)


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
        folder = Path(name.target).expanduser()
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
            f"adapter {recipe.name}: corpus {corpus} has changed since it was tuned on; what the corpus holds now was "
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
