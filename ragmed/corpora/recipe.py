"""A recipe says where a corpus lies and how it is read: YAML in, a checked `Recipe` out.

Also what readers hand over, one by one: a document found, a record rejected, a file ignored.
"""

from __future__ import annotations

import datetime
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast, get_args

import yaml

from ragmed.corpora.downloads import Download, parse_downloads
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import read_text
from ragmed.records import Access, Document

DATA_MARK = "$RAGMED_DATA"

READERS: dict[str, str] = {
    "beir": "ragmed.corpora.beir:read",
    "bioasq": "ragmed.corpora.bioasq:read",
    "csv": "ragmed.corpora.tabular:read_csv",
    "folder": "ragmed.corpora.folder:read",
    "html": "ragmed.corpora.html:read",
    "jsonl": "ragmed.corpora.jsonl:read",
    "markdown": "ragmed.corpora.text:read",
    "medrag": "ragmed.corpora.medrag:read",
    "medquad": "ragmed.corpora.medquad:read",
    "openstax": "ragmed.corpora.openstax:read",
    "parquet": "ragmed.corpora.tabular:read_parquet",
    "pdf": "ragmed.corpora.pdf:read",
    "pmc": "ragmed.corpora.pmc:read",
    "pubmedqa": "ragmed.corpora.pubmedqa:read",
    "text": "ragmed.corpora.text:read",
}
"""Name -> `module:function`. The module's `OPTIONS` names the recipe keys that are this reader's own."""

CITED = ("id", "title", "date", "source")
_PLACE = re.compile(r"\{([^{}]*)\}")

# PyYAML lets the constructors of ill-formed scalars (`!!int ""`, `2032-13-45`) raise whatever they run into.
_YAML_RAISES = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_TEXTS = ("title", "license", "source", "date", "citation", "cite", "ids")
_KEYS = ("title", "reader", "paths", "license", "access", "source", "date", "citation", "cite", "ids", "downloads")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A corpus on disk and its reader. `folder`: where the recipe lies; `data`: what `$RAGMED_DATA` stood for.

    `cite`: how one of its documents is cited, with {id}, {title}, {date} and {source} to be filled in, such as
    "{title}. PubMed {id}." `ids`: what its documents' ids are (`pmid`), so that tasks know which of them they mean.
    `downloads`: what `ragmed corpora fetch` fetches, from where, to which of the paths.
    """

    name: str
    folder: Path
    title: str
    reader: str
    paths: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    license: str = ""
    access: Access = "open"
    source: str = ""
    date: str = ""
    citation: str = ""
    cite: str = ""
    ids: str = ""
    data: Path | None = None
    downloads: tuple[Download, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A document and where it was read; `line` is 0 where a file is one document."""

    document: Document
    file: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is no document, and why. The reason never quotes the record's text."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that is not of the reader's kind: counted, no record."""

    file: str
    reason: str


class Reader(Protocol):
    def __call__(self, recipe: Recipe, /) -> Iterator[Found | Rejected | Ignored]:
        """Streams a corpus. Raises DataError only for what stops everything: a path that cannot be read at all."""


OptionCheck = Callable[[object], str]
"""The value of an option -> what is wrong with it, or an empty string."""


def load_recipe(path: Path, *, data: Path) -> Recipe:
    """>>> load_recipe(Path("corpora/handbook/recipe.yaml"), data=workspace.data)  # doctest: +SKIP

    `paths` are taken relative to the recipe's folder; a leading `$RAGMED_DATA/` stands for `data`. Raises DataError
    where the file cannot be read, UsageError where a value is wrong, UnknownNameError for a key nobody knows.
    """
    where = f"recipe '{path}'"
    try:
        values = parse_yaml(read_text(path, "recipe"))
    except ValueError as error:
        raise UsageError(f"{where} is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{where}: a mapping of names to values was expected")
    for key in ("title", "reader", "paths"):
        if not values.get(key):
            raise UsageError(f"{where} lacks '{key}'")
    reader = _text(values, "reader", where)
    folder = path.resolve().parent
    texts = {key: _text(values, key, where) for key in _TEXTS}
    _check_cite(texts["cite"], where)
    return Recipe(
        name=folder.name if path.stem == "recipe" else path.stem,
        folder=folder,
        reader=reader,
        paths=_paths(values["paths"], folder, data, where),
        options=_options(values, reader, where),
        access=_access(values.get("access", "open"), where),
        data=data,
        downloads=parse_downloads(
            values.get("downloads"), place=lambda name: _place(name, folder, data, where), where=where
        ),
        **texts,
    )


def reader_named(name: str) -> Reader:
    """The reading function of a reader; UnknownNameError lists what there is."""
    return cast(Reader, getattr(_module(name), READERS[name].partition(":")[2]))


def require_paths(recipe: Recipe) -> None:
    """DataError where a path of the recipe does not exist: names it and says what to do."""
    for path in recipe.paths:
        try:
            if path.exists():
                continue
        except OSError as error:  # a name too long, a folder that may not be entered
            raise DataError(f"corpus '{recipe.name}': '{path}' cannot be reached ({error.strerror})") from error
        if any(path.is_relative_to(one.path) or one.path.is_relative_to(path) for one in recipe.downloads):
            remedy = f"fetch it: ragmed corpora fetch {recipe.name}"
        elif recipe.data is not None and path.is_relative_to(recipe.data):
            remedy = f"set RAGMED_DATA to the folder that holds '{path.relative_to(recipe.data)}' (now '{recipe.data}')"
        else:
            remedy = "correct 'paths' in its recipe"
        raise DataError(f"corpus '{recipe.name}': '{path}' does not exist; {remedy}")


def parse_yaml(text: str) -> object:
    """What a YAML text holds; ValueError, in one line, where it holds none, or an alias."""
    try:
        loader = _PlainLoader(text)
        try:
            return cast(object, loader.get_single_data())
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error
    except _YAML_RAISES as error:  # their own words are Python's, and say nothing to who wrote the YAML
        raise ValueError("a date, a number or a tagged value in it is malformed; put text in quotes") from error


class _PlainLoader(yaml.SafeLoader):
    """Without aliases (and so without merges of anchored mappings): a few lines of them unfold to any size."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = cast(Any, self).peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken here; write it out", mark)
        return super().compose_node(parent, index)


def plain_text(value: object) -> str | None:
    """A scalar as text (YAML makes dates and numbers of some), or None where it is a list, a mapping, a truth value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, datetime.date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # thousands of digits: no id, no date
            return None
    return None


def _module(reader: str) -> Any:
    if reader not in READERS:
        raise UnknownNameError("corpus reader", reader, READERS)
    return importlib.import_module(READERS[reader].partition(":")[0])


def _text(values: Mapping[str, Any], key: str, where: str) -> str:
    text = plain_text(values.get(key))
    if text is None:
        raise UsageError(f"{where}: '{key}' is text, found {type(values[key]).__name__}")
    return text


def _check_cite(template: str, where: str) -> None:
    for name in _PLACE.findall(template):
        if name not in CITED:
            raise UnknownNameError("place", "{" + name + "}", ["{" + one + "}" for one in CITED], f"{where}, cite")


def cited(document: Document, recipe: Recipe, *, name: str = "") -> str:
    """How a document is cited: as its reader says, else as `cite` says, else by title, corpus and `name`, else id."""
    if document.citation:
        return document.citation
    if recipe.cite:
        filled = _PLACE.sub(lambda place: str(getattr(document, place[1])), recipe.cite)
        return " ".join(filled.split())
    parts = (document.title, recipe.citation or document.source or recipe.title)
    return f"{'. '.join(part.rstrip('.') for part in parts if part)}, {name or document.id}"


def _access(value: object, where: str) -> Access:
    if value not in get_args(Access):
        raise UsageError(f"{where}: 'access' is one of {', '.join(get_args(Access))}, found {value!r}")
    return cast(Access, value)


def _paths(value: object, folder: Path, data: Path, where: str) -> tuple[Path, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise UsageError(f"{where}: 'paths' is a list of file or folder names")
    return tuple(_place(one, folder, data, where) for one in value)


def _place(name: str, folder: Path, data: Path, where: str) -> Path:
    if name == DATA_MARK or name.startswith(DATA_MARK + "/"):
        return data / name[len(DATA_MARK) + 1 :]
    if name.startswith("$"):
        raise UsageError(f"{where}: in '{name}', {DATA_MARK}/ is the only variable that is replaced")
    return folder / name


def _options(values: Mapping[str, Any], reader: str, where: str) -> Mapping[str, Any]:
    checks: Mapping[str, OptionCheck] = _module(reader).OPTIONS
    options = {}
    for key, value in values.items():
        if key in _KEYS:
            continue
        if key not in checks:
            raise UnknownNameError("key", key, [*_KEYS, *checks], where)
        reason = checks[key](value)
        if reason:
            raise UsageError(f"{where}: '{key}' {reason}")
        options[key] = value
    return MappingProxyType(options)
