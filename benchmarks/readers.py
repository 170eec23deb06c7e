"""How fast readers of XML read, on one thread: invented files of the publishers' formats, MB/s of unpacked XML.

    OMP_NUM_THREADS=1 python benchmarks/readers.py --megabytes 200

Each file is made anew in a temporary folder, and read to its end as `ragmed corpora info` reads it (ids and hash
included). CPU-seconds of this process, so that other work on the machine matters little; the peak of memory with them.
"""

from __future__ import annotations

import gzip
import io
import random
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from ragmed.corpora import Corpus, load_recipe

WORDS = (
    "the of and in patients with was were to for by after treatment dose group clinical study results tarn fever risk "
    "median months response placebo baseline outcome significant between compared increased reduced therapy cells"
).split()


def words(random_: random.Random, count: int) -> str:
    return " ".join(random_.choice(WORDS) for _ in range(count)).capitalize() + "."


def citation(pmid: int, random_: random.Random) -> str:
    """A record as long, and of as many elements, as a recent one: authors with addresses, MeSH, references."""
    authors = "".join(
        f"<Author ValidYN='Y'>\n<LastName>Doe{n}</LastName>\n<ForeName>Jo</ForeName>\n<Initials>J</Initials>\n"
        f"<AffiliationInfo>\n<Affiliation>{words(random_, 12)}</Affiliation>\n</AffiliationInfo>\n</Author>\n"
        for n in range(5)
    )
    parts = "".join(
        f'<AbstractText Label="{label}" NlmCategory="{label}">{words(random_, 55)} p&lt;0.05</AbstractText>\n'
        for label in ("BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS")
    )
    mesh = "".join(
        f'<MeshHeading>\n<DescriptorName UI="D{n:06}" MajorTopicYN="N">{words(random_, 2)}</DescriptorName>\n'
        f'<QualifierName UI="Q1" MajorTopicYN="Y">therapy</QualifierName>\n</MeshHeading>\n'
        for n in range(10)
    )
    references = "".join(
        f"<Reference>\n<Citation>{words(random_, 10)}</Citation>\n<ArticleIdList>\n"
        f'<ArticleId IdType="pubmed">{n}</ArticleId>\n</ArticleIdList>\n</Reference>\n'
        for n in range(15)
    )
    return (
        f'<PubmedArticle>\n<MedlineCitation Status="MEDLINE" Owner="NLM">\n<PMID Version="1">{pmid}</PMID>\n'
        "<DateRevised>\n<Year>2031</Year>\n<Month>05</Month>\n<Day>01</Day>\n</DateRevised>\n"
        '<Article PubModel="Print">\n'
        "<Journal>\n<JournalIssue CitedMedium='Print'>\n<Volume>4</Volume>\n<Issue>2</Issue>\n<PubDate>\n"
        "<Year>2031</Year>\n<Month>Mar</Month>\n</PubDate>\n</JournalIssue>\n"
        "<Title>The Tarn journal</Title>\n</Journal>\n"
        f"<ArticleTitle>{words(random_, 14)}</ArticleTitle>\n<Pagination>\n"
        "<MedlinePgn>1-9</MedlinePgn>\n</Pagination>\n"
        f"<Abstract>\n{parts}</Abstract>\n<AuthorList CompleteYN='Y'>\n{authors}</AuthorList>\n"
        "<Language>eng</Language>\n"
        "<PublicationTypeList>\n<PublicationType UI='D016428'>Journal Article</PublicationType>\n"
        "</PublicationTypeList>\n"
        f"</Article>\n<MeshHeadingList>\n{mesh}</MeshHeadingList>\n</MedlineCitation>\n<PubmedData>\n<ReferenceList>\n"
        f"{references}</ReferenceList>\n</PubmedData>\n</PubmedArticle>\n"
    )


def pubmed(folder: Path, size: int) -> int:
    """Files of a tenth of the size each; one in ten records of all but the first revises one of the file before it."""
    random_, written, pmid = random.Random(1), 0, 0
    for number in range(1, 11):
        data = io.StringIO()
        data.write('<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet SYSTEM "pubmed_250101.dtd">\n')
        data.write("<PubmedArticleSet>\n")
        first = pmid
        while data.tell() < size // 10:
            pmid += 1
            revised = pmid - 1000 if first > 1000 and pmid % 10 == 0 else pmid
            data.write(citation(revised, random_))
        data.write("</PubmedArticleSet>\n")
        written += data.tell()
        with gzip.open(folder / f"pubmed31n{number:04}.xml.gz", "wt", compresslevel=6) as stream:
            stream.write(data.getvalue())
    return written


def article(number: int, random_: random.Random) -> str:
    """A full text of some 80 kB with its front, 40 paragraphs, two tables and a hundred references."""
    cited = ' <xref ref-type="bibr" rid="r1">1</xref> <italic>in vitro</italic>'
    paragraphs = [f"<p>{words(random_, 90)}{cited}.</p>\n" for _ in range(40)]
    cells = "".join(f"<tr>{''.join(f'<td>{n}.{c}</td>' for c in range(6))}</tr>\n" for n in range(20))
    table = (
        f'<table-wrap id="t"><label>Table 1</label><caption><p>{words(random_, 8)}</p></caption><table><thead><tr>'
        f"{'<th>Head</th>' * 6}</tr></thead><tbody>{cells}</tbody></table></table-wrap>\n"
    )
    names = ("Introduction", "Methods", "Results", "Discussion")
    body = "".join(
        f"<sec><title>{name}</title>\n{''.join(paragraphs[nth::4])}{table if nth in (1, 2) else ''}</sec>\n"
        for nth, name in enumerate(names)
    )
    references = "".join(
        f'<ref id="r{n}"><element-citation><name><surname>Doe{n}</surname><given-names>J</given-names></name>'
        f"<article-title>{words(random_, 12)}</article-title><source>J Tarn</source><year>2030</year>"
        "</element-citation></ref>\n"
        for n in range(100)
    )
    return (
        f'<article><front><article-meta><article-id pub-id-type="pmcid">PMC{number}</article-id><title-group>'
        f"<article-title>{words(random_, 14)}</article-title></title-group><abstract><p>{words(random_, 200)}"
        f"</p></abstract></article-meta></front><body>{body}</body><back><ref-list>{references}</ref-list></back></article>"
    )


def packed(path: Path, make: Callable[[int, random.Random], str], name: str, size: int) -> int:
    random_, written, number = random.Random(1), 0, 0
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        while written < size:
            number += 1
            data = make(number, random_).encode()
            info = tarfile.TarInfo(name.format(number))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            written += len(data)
    return written


def jats(folder: Path, size: int) -> int:
    return packed(folder / "oa.tar.gz", article, "PMC000xxxxxx/PMC{}.xml", size)


def chapter(number: int, random_: random.Random) -> str:
    sections = "".join(
        f"<sec><title>Section {n}</title>{''.join(f'<p>{words(random_, 60)}</p>' for _ in range(5))}"
        f"<list><list-item><p>{words(random_, 8)}</p></list-item></list></sec>\n"
        for n in range(12)
    )
    return (
        f"<book-part-wrapper><book-part><book-part-meta><title-group><title>Fever {number}</title></title-group>"
        f"</book-part-meta><body>{sections}</body></book-part></book-part-wrapper>"
    )


def statpearls(folder: Path, size: int) -> int:
    return packed(folder / "statpearls.tar.gz", chapter, "statpearls_NBK430685/article-{}.nxml", size)


FORMATS: dict[str, Callable[[Path, int], int]] = {"pubmed": pubmed, "jats": jats, "statpearls": statpearls}


@click.command(help=__doc__)
@click.option("--megabytes", default=200, show_default=True)
@click.option("--reader", "readers", multiple=True, type=click.Choice(list(FORMATS)), default=tuple(FORMATS))
def main(megabytes: int, readers: tuple[str, ...]) -> None:
    for reader in readers:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / reader
            (folder / "data").mkdir(parents=True)
            size = FORMATS[reader](folder / "data", megabytes * 1_000_000)
            recipe = folder / "recipe.yaml"
            archives = [f"data/{path.name}" for path in (folder / "data").glob("*.tar.gz")]
            paths = ", ".join(archives or ["data"])
            recipe.write_text(f"title: Invented\nreader: {reader}\npaths: [{paths}]\n", encoding="utf-8")
            corpus = Corpus(load_recipe(recipe, data=folder))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start = time.process_time()
            documents = sum(1 for _ in corpus.documents())
            seconds = time.process_time() - start
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(
                f"{reader:<12} {size / 1e6:6.0f} MB {documents:>7} documents {corpus.left_out:>6} left out "
                f"{corpus.rejected} rejected {seconds:6.1f} CPU-s {size / 1e6 / seconds:6.1f} MB/s  "
                f"grown {grown:.0f} MiB"
            )


if __name__ == "__main__":
    main()
