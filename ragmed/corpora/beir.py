"""Reads a data set in BEIR's layout: corpus.jsonl -> documents; queries.jsonl and qrels/SPLIT.tsv -> dictionaries.

The layout is that of Thakur et al. 2021, "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models": every JSON Lines file may be gzip.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ragmed.corpora.fields import read_lines
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected, plain_text, string_of, text_of
from ragmed.errors import DataError
from ragmed.files import not_text, open_binary, records, require_file
from ragmed.records import Document

QRELS_HEADER = ("query-id", "corpus-id", "score")
MAX_QRELS_LINE = 64 * 1024


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.id  # '4983'

    A path is the data set's folder, or its corpus file. `_id` is the document's id. A document without a text but
    with a title has the title as its text, as BEIR's own models read it. What `metadata` says of `url`, `pubmed_id`,
    `pmid` or `doi` becomes the source and the citation.
    """
    for path in recipe.paths:
        corpus = _part(path, "corpus") if path.is_dir() else path
        yield from read_lines(corpus, "BEIR corpus", lambda record: _document(record, recipe))


def read_queries(folder: Path) -> dict[str, str]:
    """
        read_queries(Path("scifact-beir"))["0"]  # '0-dimensional biomaterials lack inductive properties.'

    Query id -> its words, in the file's order. DataError names the file and the line of what is wrong: no JSON, no
    id, no text, an id met twice.
    """
    path = _part(folder, "queries")
    queries: dict[str, str] = {}
    for where, record in records(path, "BEIR queries"):
        name, text = plain_text(record.get("_id")), record.get("text")
        if not name:
            raise DataError(f"{where}: no '_id'")
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: no 'text'")
        if name in queries:
            raise DataError(f"{where}: the id '{name}' was met before")
        queries[name] = text
    return queries


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """
        read_qrels(Path("scifact-beir/qrels/train.tsv"))["0"]  # {'31715818': 1}

    Query id -> document id -> grade, from three columns separated by tabs under BEIR's header. DataError names the
    file and the line of what is wrong, and the splits there are where there is no such file.
    """
    if not path.exists() and path.parent.is_dir():
        splits = ", ".join(sorted(file.name for file in path.parent.glob("*.tsv*"))) or "none"
        raise DataError(f"BEIR judgements '{path}' do not exist; the files there: {splits}")
    require_file(path, "BEIR judgements")
    grades: dict[str, dict[str, int]] = {}
    for number, cells in _rows(path):
        where = f"BEIR judgements '{path}', line {number}"
        if number == 1:
            if cells != QRELS_HEADER:
                raise DataError(f"{where}: the header {' '.join(QRELS_HEADER)}, separated by tabs, was expected")
            continue
        if len(cells) != 3 or not all(cells):
            raise DataError(f"{where}: three columns separated by tabs were expected, found {len(cells)}")
        query, document, score = cells
        try:
            grade = int(score)
        except ValueError as error:
            raise DataError(f"{where}: the score is a whole number, found '{score[:40]}'") from error
        if grades.setdefault(query, {}).setdefault(document, grade) != grade:
            raise DataError(f"{where}: query '{query}' and document '{document}' were judged otherwise before")
    if not grades:
        raise DataError(f"BEIR judgements '{path}' hold no judgement")
    return grades


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    number = 0
    with open_binary(path) as stream:
        while True:
            number += 1
            try:
                line = stream.readline(MAX_QRELS_LINE)
            except (EOFError, OSError, zlib.error) as error:
                raise DataError(f"BEIR judgements '{path}' are cut or damaged at line {number} ({error})") from error
            if not line:
                return
            reason = not_text(line)
            if reason:
                raise DataError(f"BEIR judgements '{path}', line {number} {reason}")
            if line.strip():
                yield number, tuple(cell.strip() for cell in line.decode("utf-8-sig").split("\t"))


def _part(folder: Path, name: str) -> Path:
    """The plain file, else the gzip one; the plain name where there is neither, so that an error names it."""
    plain, zipped = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    return zipped if zipped.exists() and not plain.exists() else plain


def _document(record: Mapping[str, object], recipe: Recipe) -> Document:
    title = text_of(record, "title")
    text = title if title and record.get("text") is None else string_of(record, "text")
    address, where = _address(record.get("metadata"))
    return recipe.document(
        text_of(record, "_id"),
        title,
        text if text.strip() else title,
        source=address,
        citation=f"{title.rstrip('.')}. {where}" if title and where else where,
    )


def _address(metadata: object) -> tuple[str, str]:
    """Where the document lies, as an address and as words of a citation; empty where the metadata do not say."""
    known = metadata if isinstance(metadata, dict) else {}
    pmid = plain_text(known.get("pubmed_id")) or plain_text(known.get("pmid"))
    doi, url = plain_text(known.get("doi")), plain_text(known.get("url"))
    if pmid:
        return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/", f"PMID {pmid}"
    if doi:
        return f"https://doi.org/{doi}", f"doi:{doi}"
    return (url or "", url or "")
