"""Indexes by name: where each lies, built where it is missing, opened, described."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ragmed.errors import DataError, MismatchError, RagmedError, UnknownNameError, UsageError
from ragmed.index.build import Progress, build_index
from ragmed.index.manifest import MANIFEST, Manifest, read_manifest
from ragmed.index.recipe import IndexRecipe, load_index_recipe
from ragmed.index.sources import changed_corpora
from ragmed.index.store import Index
from ragmed.progress import Bar, make_bar
from ragmed.text_table import columns, counted, verb
from ragmed.workspace import Workspace

DEFAULT_EMBEDDER = "packaged:minilm"


def index_recipe(name: str, workspace: Workspace) -> IndexRecipe:
    """The recipe of an index, by name or path; a corpus without one of its own gets the defaults."""
    try:
        path = workspace.recipe("indexes", name)
    except UnknownNameError:
        if name in workspace.names("corpora"):
            return IndexRecipe(name, (name,), DEFAULT_EMBEDDER)
        known = {*workspace.names("indexes"), *workspace.names("corpora")}
        raise UnknownNameError("index or corpus", name, known, str(workspace.root)) from None
    return load_index_recipe(path)


def require_index(name: str, workspace: Workspace) -> None:
    """UnknownNameError where no index and no corpus is called so; whether it is built does not matter."""
    if not any((folder / MANIFEST).is_file() for folder in (Path(name), workspace.indexes / name)):
        index_recipe(name, workspace)


def index_folder(name: str, workspace: Workspace) -> Path:
    """Where an index lies: a folder given as such, else indexes/NAME; UnknownNameError where nobody knows the name."""
    if (Path(name) / MANIFEST).is_file():
        return Path(name)
    folder = workspace.indexes / name
    if (folder / MANIFEST).is_file():
        return folder
    index_recipe(name, workspace)
    raise UsageError(f"index '{name}' is not built yet; run: ragmed build-index {name}")


def build_named(
    name: str,
    *,
    workspace: Workspace,
    embedder: str | None = None,
    factory: str | None = None,
    device: str = "auto",
    output: Path | None = None,
) -> tuple[Manifest, bool]:
    """Builds an index (or finds it whole and unchanged) and says whether it was built now.

    `embedder` and `factory` stand in for the recipe's; such an index needs an `output` of its own, since the one
    under indexes/NAME is what experiments expect there.
    """
    recipe = index_recipe(name, workspace)
    changed = replace(recipe, embedder=embedder or recipe.embedder, factory=factory or recipe.factory)
    if changed != recipe and output is None:
        raise UsageError(
            f"index '{name}' with another embedder or factory than its recipe's is another index: "
            "give it an --output, or write it a recipe of its own"
        )
    folder = output or workspace.indexes / recipe.name
    before = _created(folder)
    with _bars(recipe.name) as progress:
        manifest = build_index(changed, workspace=workspace, output=folder, device=device, progress=progress)
    return manifest, manifest.created != before


def open_index(name: str, *, workspace: Workspace, device: str = "auto") -> Index:
    """The index, built first where it is missing.

    Raises MismatchError where an index lies there that its recipe would not make, or that was made from another state
    of its corpora: it names the field or the corpus.
    """
    recipe = index_recipe(name, workspace)
    if current_manifest(name, workspace=workspace) is None:
        build_named(name, workspace=workspace, device=device)
    return Index.open(workspace.indexes / recipe.name, devices=device)


def current_manifest(name: str, *, workspace: Workspace) -> Manifest | None:
    """The manifest of an index that is what its recipe and its corpora would make today; None where it is not built.

    Raises MismatchError otherwise: it names the field or the corpus. No index is loaded.
    """
    recipe = index_recipe(name, workspace)
    folder = workspace.indexes / recipe.name
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    for key in manifest.recipe.differences(recipe):
        raise MismatchError(
            f"index '{name}' was built with {key} = {getattr(manifest.recipe, key)}, its recipe now has "
            f"{getattr(recipe, key)}; run: ragmed build-index {name}"
        )
    changed = changed_corpora(recipe.corpora, manifest.corpora, workspace=workspace)
    if changed:
        raise MismatchError(
            f"index '{name}' was built before its corpus changed ({', '.join(changed)}); run: ragmed build-index {name}"
        )
    return manifest


def stale(name: str, workspace: Workspace) -> str:
    """Why an index is not what its recipe and its corpora would make today; '' where it is, or where nobody can tell
    (a folder elsewhere, a corpus that is not here).
    """
    try:
        current_manifest(name, workspace=workspace)
    except MismatchError as error:
        return str(error)
    except RagmedError:
        return ""
    return ""


def describe_indexes(workspace: Workspace) -> str:
    """One line an index, with a recipe or built: what it is made over, that it is not built, or what is wrong."""
    built = (path.parent.name for path in workspace.indexes.glob(f"*/{MANIFEST}"))
    names = sorted({*workspace.names("indexes"), *built})
    return "\n".join(columns([(name, *_about(name, workspace)) for name in names]))


def _about(name: str, workspace: Workspace) -> tuple[str, ...]:
    """Embedder, factory, state and corpora; of one that is broken, what is wrong with it alone."""
    folder, state = workspace.indexes / name, "not built"
    made: IndexRecipe | None = None
    if (folder / MANIFEST).is_file():
        try:
            manifest = read_manifest(folder)
            made = manifest.recipe
            passages, documents = manifest.counts.passages, manifest.counts.documents
            state = f"{counted(passages, 'passage')} of {counted(documents, 'document')}"
        except RagmedError as error:
            return (f"broken: {error}",)
    try:
        recipe = index_recipe(name, workspace)
    except UnknownNameError as error:  # built elsewhere, or over a corpus that is gone
        if not made:
            return (f"broken: {error}",)
        recipe = made
    except RagmedError as error:  # one broken recipe must not hide the others
        return (f"broken: {error}",)
    return recipe.embedder, recipe.factory, state, ", ".join(recipe.corpora)


def describe_index(name: str, workspace: Workspace) -> str:
    """What made an index, once every checksum has been verified."""
    return describe_manifest(Index.open(index_folder(name, workspace)).manifest)


def describe_manifest(manifest: Manifest) -> str:
    """The manifest as a user wants to read it."""
    size = sum(file.bytes for file in manifest.files.values())
    counts, embedder = manifest.counts, manifest.embedder
    how = ("normalised, " if embedder.normalise else "") + embedder.metric.replace("_", " ")
    lines = [
        f"index {manifest.name}: {counted(counts.passages, 'passage')} of {counted(counts.documents, 'document')}, "
        f"{size / 1e6:.1f} MB",
        f"embedder {manifest.recipe.embedder} ({manifest.embedder.precision}), {manifest.dimension} dimensions, {how}; "
        f"FAISS {manifest.recipe.factory}; on {manifest.device}; checked on {manifest.searched_on}; "
        f"built {manifest.created} in {manifest.seconds.wall:.1f} s",
    ]
    for corpus in manifest.corpora:
        left = [
            f"{counted(count, what)} {how}"
            for count, what, how in (
                (corpus.rejected, "record", "rejected"),
                (corpus.left_out, "record", "left out"),
                (corpus.ignored, "file", "ignored"),
            )
            if count
        ]
        about = f"{counted(corpus.documents, 'document')}, {corpus.license or 'licence not stated'}, {corpus.access}"
        lines.append(f"corpus {corpus.name}: {', '.join([about, *left])}")
        lines += [f"  {line}" for line in corpus.reasons]
    if counts.taken_over:
        lines.append(f"taken over from the corpora's own indexes: {counted(counts.taken_over, 'vector')}")
    if manifest.recipe.vectors:
        embedded = counts.vectors - counts.taken_over - counts.ready
        cut = counted(counts.ready_cut, "document")
        lines.append(
            f"vectors: {counts.ready:,} ready-made, {embedded:,} embedded here ({cut} with a vector cut into several "
            f"passages); {counts.ready_unknown:,} ready-made {verb(counts.ready_unknown, 'one is', 'ones are')} of "
            "documents that are not here"
        )
    for lost in (segment.approximation for segment in manifest.segments if segment.approximation):
        lines.append(f"approximate: recall@10 against exact search {lost.recall_at_10:.3f}")
    return "\n".join(lines)


def _created(folder: Path) -> str:
    try:
        return read_manifest(folder).created
    except DataError:  # none is there, or one that is damaged or of another version, which is built again
        return ""


@contextmanager
def _bars(name: str) -> Iterator[Progress]:
    """Progress on stderr, a bar or lines for each stage."""
    bars: dict[str, Bar] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            for earlier in bars.values():
                earlier.close()
            bars[stage] = make_bar(total=total or None, desc=f"{name}: {stage}", unit="passages")
        bars[stage].update(done - int(bars[stage].n))

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
