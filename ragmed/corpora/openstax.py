"""Reads OpenStax books (CNXML modules and the collection files that order them): one module -> one document.

A path is a book's folder or archive, with `*.collection.xml` and `modules/ID/index.cnxml` somewhere in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from ragmed.corpora.cnxml import child, exercises_text, module_text, module_title
from ragmed.corpora.licences import creative_commons
from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, one_of
from ragmed.corpora.safe_xml import local, parse_xml
from ragmed.errors import DataError
from ragmed.records import Document

SUFFIXES = (".xml", ".cnxml")
OPTIONS: Mapping[str, OptionCheck] = {"exercises": one_of("exclude", "only")}


@dataclass(frozen=True, slots=True)
class _Book:
    file: str
    title: str
    slug: str
    license: str
    modules: tuple[tuple[str, str], ...]
    """Module id and title of its chapter, in the order of the book."""


@dataclass(frozen=True, slots=True)
class _Module:
    file: str
    title: str
    text: str


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.title  # 'Preface'

    Modules in the order of their book, each once; the id is the module's, the title has its chapter in brackets. A
    module that the book names and that is missing is Rejected, one in no book Ignored. With `exercises: only` the
    documents are the questions and answers at the end of modules, and a module without any is Ignored. The texts of
    one path are in memory at once (a book: 5 MB), since archives have an order of their own.
    """
    for path in recipe.paths:
        yield from _of_path(path, recipe)


def _of_path(path: Path, recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    books: list[_Book] = []
    modules: dict[str, _Module | Rejected] = {}
    only = recipe.options.get("exercises") == "only"
    refused = ""
    for item in members(path, SUFFIXES):
        if not isinstance(item, Member):
            yield item
            continue
        name = PurePosixPath(item.name)
        try:
            outcome: _Book | _Module | Ignored | Rejected = _read(item, only=only)
        except (ValueError, RecursionError) as error:
            words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            outcome = Rejected(item.file, 0, words)
        if isinstance(outcome, _Book):
            books.append(outcome)
        elif isinstance(outcome, Ignored) or (isinstance(outcome, Rejected) and name.suffix != ".cnxml"):
            refused = refused or (f" ('{outcome.file}': {outcome.reason})" if isinstance(outcome, Rejected) else "")
            yield outcome
        elif name.parent.name in modules:
            yield Rejected(item.file, 0, f"a module '{name.parent.name}' was met before, in another folder")
        else:
            modules[name.parent.name] = outcome
    if not books:
        what = f"no collection file that can be read{refused}" if refused else "no collection file"
        raise DataError(f"'{path}' holds {what}; name the folder with 'collections' and 'modules' in it")
    yield from _in_order(books, modules, recipe)


def _read(member: Member, *, only: bool) -> _Book | _Module | Ignored:
    root = parse_xml(member.read())
    if local(root) == "collection":
        return _book(root, member.file)
    if local(root) == "document":
        return _Module(member.file, module_title(root), exercises_text(root) if only else module_text(root))
    return Ignored(member.file, f"its root is <{local(root)}>: neither a module nor a collection")


def _in_order(
    books: list[_Book], modules: dict[str, _Module | Rejected], recipe: Recipe
) -> Iterator[Found | Rejected | Ignored]:
    done: set[str] = set()
    for book in books:
        for identity, chapter in book.modules:
            if identity in done:
                continue
            done.add(identity)
            module = modules.get(identity) or Rejected(
                book.file, 0, f"the module '{identity}' that it names is missing"
            )
            if isinstance(module, Rejected):
                yield module
            elif module.text:
                yield Found(_document(identity, module, chapter, book=book, recipe=recipe), module.file)
            elif recipe.options.get("exercises") == "only":
                yield Ignored(module.file, "a module without exercises")
            else:
                yield Rejected(module.file, 0, "a module without text")
    for identity, module in modules.items():
        if identity not in done:
            yield Ignored(module.file, "a module that no collection names")


def _document(identity: str, module: _Module, chapter: str, *, book: _Book, recipe: Recipe) -> Document:
    title = f"{module.title} ({chapter})" if chapter else module.title
    url = f"https://openstax.org/details/books/{book.slug}" if book.slug else ""
    license_ = book.license or recipe.license
    parts = [f"{title}.", ", ".join(part for part in (book.title, "OpenStax", license_, url) if part)]
    return recipe.document(identity, title, module.text, source=url, license=license_, citation=" ".join(parts))


def _book(root: Element, file: str) -> _Book:
    metadata = child(root, "metadata")
    texts = {local(entry): " ".join((entry.text or "").split()) for entry in metadata}
    return _Book(
        file=file,
        title=texts.get("title", ""),
        slug=texts.get("slug", ""),
        license=creative_commons(child(metadata, "license").get("url", "")),
        modules=tuple(_modules(child(root, "content"), "")),
    )


def _modules(content: Element, chapter: str) -> Iterator[tuple[str, str]]:
    for entry in content:
        if local(entry) == "module":
            yield entry.get("document", ""), chapter
        elif local(entry) == "subcollection":
            title = " ".join((child(entry, "title").text or "").split())
            yield from _modules(child(entry, "content"), title)
