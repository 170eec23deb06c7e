"""A recipe says where a corpus lies and how it is read: YAML in, a checked `Recipe` out.

Also what readers hand over, one by one: a document found, a record rejected, a file ignored.
"""

from __future__ import annotations

import datetime
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Protocol, cast

from ragmed.checked import Shorthand, kind_found, parse
from ragmed.corpora.downloads import Download, DownloadEntry, downloads
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.records import PLANTED, RECORD, Access, Document
from ragmed.yaml_files import read_mapping

DATA_MARK = "$RAGMED_DATA"

READERS: dict[str, str] = {
    "beir": "ragmed.corpora.beir:read",
    "bioasq": "ragmed.corpora.bioasq:read",
    "csv": "ragmed.corpora.tabular:read_csv",
    "folder": "ragmed.corpora.folder:read",
    "html": "ragmed.corpora.html:read",
    "icd10cm": "ragmed.corpora.icd10cm:read",
    "jats": "ragmed.corpora.jats:read",
    "jsonl": "ragmed.corpora.jsonl:read",
    "markdown": "ragmed.corpora.text:read",
    "medrag": "ragmed.corpora.medrag:read",
    "medquad": "ragmed.corpora.medquad:read",
    "openstax": "ragmed.corpora.openstax:read",
    "parquet": "ragmed.corpora.tabular:read_parquet",
    "pdf": "ragmed.corpora.pdf:read",
    "pmc": "ragmed.corpora.pmc:read",
    "pubmed": "ragmed.corpora.pubmed:read",
    "pubmedqa": "ragmed.corpora.pubmedqa:read",
    "statpearls": "ragmed.corpora.statpearls:read",
    "text": "ragmed.corpora.text:read",
}
"""Name -> `module:function`. The module's `OPTIONS`, if any, names the recipe keys that are this reader's own."""

CITED = ("id", "title", "date", "source")
_PLACE = re.compile(r"\{([^{}]*)\}")


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

    def document(
        self, id: str, title: str, text: str, *,
        source: str = "", license: str = "", date: str = "", citation: str = "",
    ) -> Document:  # fmt: skip
        """A document of this corpus; the recipe says what its own record does not."""
        return Document(
            id, title, text, source or self.source, license or self.license, self.access, date or self.date, citation
        )


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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records of a file that are sound and no documents: replaced or deleted by later ones, or not asked for. They are
    counted by themselves, beside accepted and rejected ones.
    """

    file: str
    records: int
    reason: str


class Reader(Protocol):
    def __call__(self, recipe: Recipe, /) -> Iterator[Found | Rejected | Ignored | LeftOut]:
        """Streams a corpus. Raises DataError only for what stops everything: a path that cannot be read at all."""


OptionCheck = Callable[[object], str]
"""The value of an option -> what is wrong with it, or an empty string."""


def one_of(*known: str) -> OptionCheck:
    """The check of an option that is one of a few words."""
    return lambda value: "" if value in known else f"is one of {', '.join(known)}"


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


def text_of(record: Mapping[str, object], key: str, what: str = "") -> str:
    """`plain_text` of a field, empty where it is missing; ValueError names one that holds something else."""
    value = plain_text(record.get(key))
    if value is None:
        raise ValueError(f"'{key}'{what} is {kind_found(record[key])}, a string was expected")
    return value


def string_of(record: Mapping[str, object], key: str, what: str = "") -> str:
    """A field that must be there and is taken as it is; ValueError where it is missing, or no string."""
    value = record.get(key)
    if value is None:
        raise ValueError(f"no '{key}'{what}")
    if not isinstance(value, str):
        raise ValueError(f"'{key}'{what} is {kind_found(value)}, a string was expected")
    return value


def found_or_rejected(make: Callable[[], Document], file: str, line: int = 0) -> Found | Rejected:
    """The document that `make` gives, or the record rejected for the reason of its ValueError."""
    try:
        return Found(make(), file, line)
    except ValueError as error:
        return Rejected(file, line, str(error))


Text = Annotated[str, Shorthand((str, type(None), int, float, datetime.date, datetime.datetime), plain_text)]


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """What a recipe.yaml holds beside the options of its reader; see `Recipe`."""

    title: Text
    reader: Text
    paths: tuple[str, ...]
    license: Text = ""
    access: Access = "open"
    source: Text = ""
    date: Text = ""
    citation: Text = ""
    cite: Text = ""
    ids: Text = ""
    downloads: Annotated[tuple[DownloadEntry, ...], Shorthand((type(None),), lambda _: [])] = ()


_KEYS = tuple(f.name for f in fields(RecipeFile))


def load_recipe(path: Path, *, data: Path) -> Recipe:
    """
    >>> load_recipe(Path("corpora/handbook/recipe.yaml"), data=Path("data")).reader
    'markdown'

    `paths` are taken relative to the recipe's folder; a leading `$RAGMED_DATA/` stands for `data`. Raises DataError
    where the file cannot be read, UsageError where a value is wrong, UnknownNameError for a key nobody knows.
    """
    where, values = read_mapping(path, "recipe", error=UsageError)
    own = {key: value for key, value in values.items() if key in _KEYS}
    given = parse(RecipeFile, own, where)
    for key in ("title", "reader", "paths"):
        if not getattr(given, key):
            raise UsageError(f"{where}: '{key}' is empty")
    if not all(name.strip() for name in given.paths):
        raise UsageError(f"{where}, paths: a name is empty")
    _check_cite(given.cite, where)
    if recipe_name(path) in (RECORD, PLANTED):
        raise UsageError(
            f"{where}: '{recipe_name(path)}' is what passages that come from no corpus are called; give the corpus "
            "another name"
        )
    folder = path.resolve().parent
    as_given = {key: getattr(given, key) for key in _KEYS if key not in ("paths", "downloads")}
    return Recipe(
        name=recipe_name(path),
        folder=folder,
        paths=tuple(_place(name, folder, data, where) for name in given.paths),
        options=_options({key: value for key, value in values.items() if key not in own}, given.reader, where),
        data=data,
        downloads=downloads(given.downloads, place=lambda name: _place(name, folder, data, where), where=where),
        **as_given,
    )


def reader_named(name: str) -> Reader:
    """The reading function of a reader; UnknownNameError lists what there is."""
    return cast(Reader, getattr(reader_module(name), READERS[name].partition(":")[2]))


def require_paths(recipe: Recipe) -> None:
    """DataError where a path of the recipe does not exist: names it and says what to do."""
    for path in recipe.paths:
        try:
            if path.exists():
                continue
        except OSError as error:  # a name too long, a folder that may not be entered
            raise DataError(f"corpus '{recipe.name}': '{path}' cannot be reached ({error.strerror})") from error
        targets = [download.path for download in recipe.downloads]
        if any(path.is_relative_to(target) or target.is_relative_to(path) for target in targets):
            remedy = f"fetch it: ragmed corpora fetch {recipe.name}"
        elif recipe.data is not None and path.is_relative_to(recipe.data):
            remedy = f"set RAGMED_DATA to the folder that holds '{path.relative_to(recipe.data)}' (now '{recipe.data}')"
        else:
            remedy = "correct 'paths' in its recipe"
        raise DataError(f"corpus '{recipe.name}': '{path}' does not exist; {remedy}")


def recipe_name(path: Path) -> str:
    """What a recipe is called: its folder's name, or its file's, where that is not recipe.yaml."""
    return path.resolve().parent.name if path.stem == "recipe" else path.stem


def reader_module(reader: str) -> Any:
    """The module of a reader, with what it knows beside `read`; UnknownNameError with near names."""
    if reader not in READERS:
        raise UnknownNameError("corpus reader", reader, READERS)
    return importlib.import_module(READERS[reader].partition(":")[0])


def _check_cite(template: str, where: str) -> None:
    for name in _PLACE.findall(template):
        if name not in CITED:
            raise UnknownNameError("place", "{" + name + "}", ["{" + known + "}" for known in CITED], f"{where}, cite")


def cited(document: Document, recipe: Recipe, *, name: str = "") -> str:
    """How a document is cited: as its reader says, else as `cite` says, else by title, corpus and `name`, else id."""
    if document.citation:
        return document.citation
    if recipe.cite:
        filled = _PLACE.sub(lambda field: str(getattr(document, field[1])), recipe.cite)
        return " ".join(filled.split())
    parts = (document.title, recipe.citation or document.source or recipe.title)
    return f"{'. '.join(part.rstrip('.') for part in parts if part)}, {name or document.id}"


def _place(name: str, folder: Path, data: Path, where: str) -> Path:
    if name == DATA_MARK or name.startswith(DATA_MARK + "/"):
        return data / name[len(DATA_MARK) + 1 :]
    if name.startswith("$"):
        raise UsageError(f"{where}: in '{name}', {DATA_MARK}/ is the only variable that is replaced")
    return folder / name


def _options(values: Mapping[str, Any], reader: str, where: str) -> Mapping[str, Any]:
    checks: Mapping[str, OptionCheck] = getattr(reader_module(reader), "OPTIONS", {})
    for key, value in values.items():
        if key not in checks:
            raise UnknownNameError("key", str(key), [*_KEYS, *checks], where)
        reason = checks[key](value)
        if reason:
            raise UsageError(f"{where}: '{key}' {reason}")
    return MappingProxyType(dict(values))
