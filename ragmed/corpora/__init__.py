"""Corpora: a recipe in, a stream of documents out, with every record accounted for: accepted or rejected."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from ragmed.corpora.kinds import kind_of_name
from ragmed.corpora.recipe import (
    READERS,
    Found,
    Ignored,
    LeftOut,
    Reader,
    Recipe,
    Rejected,
    cited,
    load_recipe,
    reader_named,
    require_paths,
)
from ragmed.errors import DataError, RagmedError, UsageError
from ragmed.files import canonical_json
from ragmed.records import Document
from ragmed.text_table import columns, counted, visible
from ragmed.workspace import Workspace

__all__ = [
    "READERS", "Corpus", "Found", "Ignored", "LeftOut", "Reader", "Recipe", "Rejected", "describe_corpora",
    "load_recipe",
]  # fmt: skip

_HASHED = ("id", "title", "text", "source", "license", "access", "date", "citation")
SHOWN = 10  # reasons why something was left out that are told, each with the first it holds for
_KINDS = 1000  # of reasons that are kept apart
_DETAIL = re.compile(r"'[^']*'|0x[0-9a-f]+|\d+")  # what differs between two reasons of one kind


@dataclass(slots=True)
class _Reason:
    """Why records or files were left out: the first of them, and how many there are."""

    where: str
    reason: str
    count: int = 0


class Corpus:
    """
        corpus = Corpus(load_recipe(path, data=workspace.data), rejected=Path("rejected.jsonl"))
        for document in corpus.documents(): ...
        corpus.summary()["rejected"]  # 0

    `accepted`, `rejected`, `ignored` and `records` count while the stream runs; accepted + rejected = records, always.
    `left_out` counts sound records that are no documents (replaced or deleted by later ones), not among these.
    Why a record was rejected is written to the file `rejected`, one `{file, line, reason}` a line.
    """

    def __init__(self, recipe: Recipe, *, rejected: Path | None = None) -> None:
        self.recipe = recipe
        self.rejected_path = rejected
        self._reset()

    def _reset(self) -> None:
        self.accepted = self.rejected = self.ignored = self.left_out = self.records = self.characters = 0
        self._hash = hashlib.sha256()
        # 16-byte digests: about 90 bytes an id whatever its length, 2 GB for the 24 million of PubMed, and a false
        # alarm among them less likely than 1e-23.
        self._ids: set[bytes] = set()
        self._done = False
        self._why: dict[str, dict[str, _Reason]] = {"rejected": {}, "ignored": {}, "left out": {}}

    def documents(self) -> Iterator[Document]:
        """Streams the accepted documents, in the reader's order; each call reads the corpus again.

        DataError: a path is missing or of the wrong kind, or the corpus holds no document at all.
        """
        self._reset()
        require_paths(self.recipe)
        with _rejected_file(self.rejected_path, private=self.recipe.access != "open") as refuse:
            for item in reader_named(self.recipe.reader)(self.recipe):
                if isinstance(item, Ignored):
                    self.ignored += 1
                    self._note("ignored", item.file, _why_ignored(item))
                    continue
                if isinstance(item, LeftOut):
                    self.left_out += item.records
                    self._note("left out", item.file, item.reason, item.records)
                    continue
                self.records += 1
                if isinstance(item, Found):
                    item = replace(item, document=self._cited(item.document))
                reason = item.reason if isinstance(item, Rejected) else self._accept(item)
                if reason:
                    self.rejected += 1
                    item = Rejected(item.file, item.line, reason)
                    refuse(item)
                    self._note("rejected", f"{item.file}, line {item.line}" if item.line else item.file, reason)
                elif isinstance(item, Found):
                    yield item.document
        if not self.accepted:
            raise DataError(self._nothing())
        self._done = True
        self._ids.clear()

    def _cited(self, document: Document) -> Document:
        return replace(document, corpus=self.recipe.name, citation=cited(document, self.recipe))

    def describe(self) -> str:
        """Source, licence, access and citation; counts and a first document, from reading the whole corpus."""
        first = None
        for document in self.documents():
            first = first or document
        recipe, counts = self.recipe, self.summary()
        replaced = f", {counted(self.left_out, 'record')} left out" if self.left_out else ""
        lines = [
            f"{recipe.name}: {recipe.title}",
            f"source: {recipe.source or 'not stated'}   licence: {recipe.license or 'not stated'}   "
            f"access: {recipe.access}",
            f"citation: {recipe.citation or 'not stated'}",
            f"{counted(self.accepted, 'document')}, {counted(self.characters, 'character')}; "
            f"{self.rejected:,} of {counted(self.records, 'record')} rejected, "
            f"{counted(self.ignored, 'file')} ignored{replaced}; "
            f"sha256 {str(counts['sha256'])[:16]}",
        ]
        lines.extend(self.reasons())
        if first:
            lines.append(f"first document {first.id}: {' '.join(first.text.split())[:200]}")
            lines.append(f"cited as: {first.citation or 'nothing: give the recipe a title, a citation or cite'}")
        return "\n".join(lines)

    def _note(self, what: str, where: str, reason: str, count: int = 1) -> None:
        known = self._why[what]
        kind = _DETAIL.sub("", reason)
        if kind in known or len(known) < _KINDS:
            known.setdefault(kind, _Reason(where, reason)).count += count

    def reasons(self) -> list[str]:
        """What the corpus holds that is no document of it: a line for each kind of reason, with its first case."""
        lines = []
        for what, total in (("ignored", self.ignored), ("left out", self.left_out), ("rejected", self.rejected)):
            told = sorted(self._why[what].values(), key=lambda one: -one.count)[:SHOWN]
            for one in told:
                more = f" (and {one.count - 1} more like it)" if one.count > 1 else ""
                lines.append(f"{what}: {one.where}: {one.reason}{more}")
            if rest := total - sum(one.count for one in told):
                lines.append(f"{what}: {rest} more, for other reasons")
        return [visible(line) for line in lines]

    def summary(self) -> dict[str, int | str]:
        """What the whole stream was: `documents + rejected = records`; `sha256` over the accepted documents, in order.

        UsageError before the stream has been read to its end.
        """
        if not self._done:
            raise UsageError(f"corpus '{self.recipe.name}' has not been read to its end; read documents() first")
        return {
            "documents": self.accepted,
            "rejected": self.rejected,
            "ignored": self.ignored,
            "left_out": self.left_out,
            "records": self.records,
            "characters": self.characters,
            "sha256": self._hash.hexdigest(),
        }

    def _accept(self, item: Found) -> str:
        """Counts a document in, or says why it cannot be."""
        document = item.document
        if not document.id.strip():
            return "the id is empty"
        if not document.text.strip():
            return "the text is empty"
        try:
            payload = canonical_json({name: getattr(document, name) for name in _HASHED}).encode("utf-8")
        except UnicodeEncodeError:
            return "holds a lone surrogate, which is no character; repair the export that wrote it"
        if b"\\u0000" in payload and "\x00" in document.id + document.title + document.text:
            return "holds a NUL character: it is not text"
        digest = hashlib.blake2b(document.id.encode("utf-8"), digest_size=16).digest()
        if digest in self._ids:
            if item.line:
                return f"the id '{document.id}' was met before"
            return (
                f"the id '{document.id}' was met before, of another file; where files themselves are the documents, it "
                "is the path without the suffix: rename one of them, else take one away"
            )
        self._ids.add(digest)
        self._hash.update(payload + b"\n")
        self.accepted += 1
        self.characters += len(document.text)
        return ""

    def _nothing(self) -> str:
        said = f"{counted(self.rejected, 'record')} rejected, {counted(self.ignored, 'file')} ignored"
        said += f", {counted(self.left_out, 'record')} left out" if self.left_out else ""
        text = f"corpus '{self.recipe.name}' holds no document: {said}"
        if self.rejected and self.rejected_path:
            text += f"; see '{self.rejected_path}'"
        elif not self.rejected and not self.left_out:
            text += "; check 'reader' and 'paths' in its recipe"
        return "\n".join([text, *self.reasons()])


def _why_ignored(item: Ignored) -> str:
    """What a file is, where its name says it; else by its suffix, so that those of a kind are told together."""
    if not item.reason.startswith("not one of "):
        return item.reason
    suffix = Path(item.file).suffix.lower()
    kind = kind_of_name(item.file) or item.reason
    return f"a {suffix} file, {item.reason}" if suffix and kind == item.reason else kind


def describe_corpora(workspace: Workspace) -> str:
    """One line a corpus: its name and title, or what is wrong with its recipe."""
    lines = []
    for name in workspace.names("corpora"):
        try:
            about = load_recipe(workspace.recipe("corpora", name), data=workspace.data).title
        except RagmedError as error:
            about = f"broken: {error}"
        lines.append((name, about))
    return "\n".join(columns(lines))


@contextmanager
def _rejected_file(path: Path | None, *, private: bool) -> Iterator[Callable[[Rejected], None]]:
    """What writes a refused record. The file is made with the first one; what an earlier reading left is removed. 0600
    where data is restricted.
    """
    opened: list[IO[str]] = []
    if path:
        path.unlink(missing_ok=True)
    with ExitStack() as stack:

        def write(item: Rejected) -> None:
            if path and not opened:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o644)
                opened.append(stack.enter_context(os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")))
            if opened:  # ASCII, because a file name need not be Unicode
                opened[0].write(json.dumps(asdict(item)) + "\n")

        yield write
