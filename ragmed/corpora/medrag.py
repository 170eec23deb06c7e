"""Reads the corpora of MedRAG as its hub publishes them: folders of `chunk/*.jsonl`, one snippet a line -> documents.

The layout is that of Xiong et al. 2024, "Benchmarking Retrieval-Augmented Generation for Medicine": `id`, `title`,
`content`, and `contents`, which is title and content in one and is not read; PubMed's has a `PMID` beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ragmed.corpora.fields import read_lines
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, one_of, string_of, text_of
from ragmed.errors import DataError
from ragmed.records import Document

SUFFIXES = (".jsonl", ".jsonl.gz")
OPTIONS: Mapping[str, OptionCheck] = {"named_by": one_of("id", "PMID")}
"""`named_by: PMID`: a document's id is its PMID, not the number of its line: MedRAG's PubMed has one snippet a PMID."""


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.id  # 'Anatomy_Gray_0'

    A path is a corpus' folder, its `chunk` folder, or one file of it. Files come in sorted order; ids are unique over
    all of them. DataError: no such file in the folder.
    """
    for path in recipe.paths:
        folder = path / "chunk" if (path / "chunk").is_dir() else path
        if not path.is_dir():
            yield from _read_file(path, recipe)
            continue
        any_file = False
        try:
            files = sorted(folder.iterdir())
        except OSError as error:
            raise DataError(f"corpus '{recipe.name}': '{folder}' cannot be read ({error.strerror})") from error
        for file in files:
            if file.name.startswith("."):
                continue
            if not file.name.endswith(SUFFIXES):
                yield Ignored(str(file), f"not one of {', '.join(SUFFIXES)}")
                continue
            any_file = True
            yield from _read_file(file, recipe)
        if not any_file:
            raise DataError(
                f"corpus '{recipe.name}': '{folder}' holds no {' or '.join(SUFFIXES)} file; "
                "give the folder above 'chunk', as the hub publishes it"
            )


def _read_file(path: Path, recipe: Recipe) -> Iterator[Found | Rejected]:
    yield from read_lines(path, "MedRAG chunk file", lambda record: _document(record, recipe))


def _document(record: Mapping[str, object], recipe: Recipe) -> Document:
    name, title, pmid = (text_of(record, key) for key in ("id", "title", "PMID"))
    pmid = pmid.removesuffix(".0")  # a table's column with a gap makes floats of whole numbers
    if recipe.options.get("named_by") == "PMID":
        if not pmid:
            raise ValueError("no 'PMID', by which the recipe names its documents")
        name = pmid
    return recipe.document(
        name,
        title,
        string_of(record, "content"),
        source=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid else "",
        citation=f"{title.rstrip('.')}. PMID {pmid}" if title and pmid else f"PMID {pmid}" if pmid else "",
    )
