"""An index folder and what is about to take its place in, a record of how the two differ out, and that in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ragmed.checked import dump
from ragmed.embedding import Fingerprint
from ragmed.errors import RagmedError
from ragmed.files import BadLine, read_jsonl
from ragmed.index.manifest import DOCUMENTS, Cut, Manifest, Replaced, read_manifest
from ragmed.index.recipe import IndexRecipe
from ragmed.records import DocumentKey
from ragmed.text_table import counted, verb

MOST_COMPARED = 1_000_000
"""Documents: about 200 MB of memory, which a build may not need more and more of as a corpus grows."""
CONTENT = ("name", "shard_size")
"""Fields of a recipe that change neither a passage nor a vector."""


def replaced(folder: Path, documents: Path, *, recipe: IndexRecipe, cut: Cut, embedder: Fingerprint) -> Replaced | None:
    """
        replaced(workspace.indexes / "handbook", building / "documents.jsonl", recipe=recipe, cut=cut, embedder=made)

    How what is built differs from the index that lies in `folder`; None where none lies there, or a damaged one.
    """
    try:
        old = read_manifest(folder)
        if old.counts.documents > MOST_COMPARED:
            edited, added, removed = -1, -1, -1
        else:
            edited, added, removed = _compared(dict(_live(folder, old)), documents)
    except (RagmedError, OSError, KeyError):
        return None
    fields = {name: _text(getattr(old.recipe, name)) for name in old.recipe.differences(recipe) if name not in CONTENT}
    if "chunking" not in fields and old.chunking != cut:
        fields["chunking"] = _text(old.chunking)
    return Replaced(old.searches, fields, old.embedder != embedder and "embedder" not in fields, edited, added, removed)


def _live(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for segment in manifest.segments:
        deleted = set(manifest.tombstones.get(segment.folder, ()))
        for key, digest in _listed(folder / segment.folder / DOCUMENTS):
            if key not in deleted:
                yield key, digest


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    for item in read_jsonl(path, "list of documents"):
        if not isinstance(item, BadLine):
            line = item[1]
            yield str(DocumentKey(line["corpus"], line["id"])), line["sha256"]


def _compared(old: dict[str, str], documents: Path) -> tuple[int, int, int]:
    edited = added = 0
    for key, digest in _listed(documents):
        before = old.pop(key, None)
        added += before is None
        edited += before is not None and before != digest
    return edited, added, len(old)


def _text(value: object) -> str:
    given = dump(value) if hasattr(value, "__dataclass_fields__") else value
    if isinstance(given, dict):
        return ", ".join(f"{key} {part}" for key, part in given.items() if part != [])
    return ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


def rebuilt(manifest: Manifest, since: str) -> str:
    """
        rebuilt(manifest, "9f86d0…")  # "the index 'handbook' was rebuilt: 3 documents were edited"

    What was changed of an index since its `searches` was `since`, as far as its manifest knows: of one build.
    """
    said, old = f"the index '{manifest.name}' was rebuilt", manifest.replaced
    if old is None or old.searches != since:
        return said + " (more than once, or in another place)"
    parts = [f"{field} was {was}, is now {_text(getattr(manifest.recipe, field))}" for field, was in old.recipe.items()]
    parts += ["the embedder's files differ"] if old.embedder else []
    changes = [(old.edited, "edited"), (old.added, "added"), (old.removed, "removed")]
    parts += [f"{counted(count, 'document')} {verb(count, 'was', 'were')} {how}" for count, how in changes if count > 0]
    return f"{said}: {', '.join(parts)}" if parts else said
