"""Every reader against damaged files: no traceback, no record lost, nothing kept in memory, no hang, the same twice.

200 damaged files a reader (20 where a worker process reads them), 1,000 with RAGMED_FULL=1 in the environment.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import random
import resource
import signal
import tarfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pyarrow as pa
import pytest
from mutator import Mutate, json_values, mutated, pdf_objects, table_cells, xml_tags
from pyarrow import parquet
from test_jats import ARTICLE as ARTICLE_XML
from test_jats import CHAPTER, small
from test_pdf import pdf_of, shown
from test_pubmed import WHOLE, deleting, short, whole

from ragmed.corpora import READERS, Corpus, load_recipe
from ragmed.errors import RagmedError

FULL = os.environ.get("RAGMED_FULL") == "1"
ALONE, TOGETHER = (1000, 1000) if FULL else (200, 20)
pytestmark = [pytest.mark.slow] if FULL else []
FILE_SECONDS = 20.0
"""CPU seconds that a damaged file may take in this process. A worker process is bounded by its reader: 60 s a page."""

DOCUMENT_SECONDS = 120.0
"""Seconds from one document to the next, on a machine that does other work too."""

GROWTH = 400 * 1024 * 1024
"""Bytes that the largest memory taken may lie above what was taken before the damaged files, over all of them."""


@dataclass(frozen=True)
class Seed:
    """Files of a small whole corpus; `hit`: the one that is damaged. `intact`: the document of a file beside it that no
    damage may cost. `together`: many damaged copies in one folder."""

    files: dict[str, bytes]
    hit: str
    also: tuple[Mutate, ...] = ()
    path: str = "data"
    intact: str = ""
    together: bool = False


def lines(*records: dict[str, object]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in records)


def parquet_of(table: pa.Table, size: int = 1000) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, row_group_size=size)
    return out.getvalue()


def odd_columns(data: bytes, random_: random.Random) -> bytes:
    """Parquet: sound files with columns of other types than a document's."""
    odd = (
        pa.array([1, None]), pa.array([1.5, float("nan")]), pa.array([b"\xff", b"a"]), pa.array([[1], None]),
        pa.array([{"a": 1}, {"a": 2}]), pa.array([2**62, -(2**62)], pa.timestamp("ms")),
        pa.array([0, 1], pa.time64("ns")),
        pa.array([2**30, -(2**30)], pa.date32()), pa.array([1, 2], pa.timestamp("us", "No/Where")),
        pa.array([1, 2**62], pa.timestamp("ns", "UTC")), pa.array([True, None]), pa.nulls(2), pa.array(["a", "b"]),
        pa.array([1, 2], pa.duration("ns")), pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "\0"]),
        pa.array(["", "x" * 100_000]), pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
    )  # fmt: skip
    return parquet_of(pa.table({name: random_.choice(odd) for name in ("id", "text", "title", "date")}))


ROWS: tuple[dict[str, object], ...] = (
    {"id": "d1", "title": "Ärzte", "text": "First text, 5 mg.", "date": 2032, "source": "S"},
    {"id": 2, "title": None, "text": "Second text “quoted”.", "date": "2032-03-01"},
    {"id": "d3", "text": "Third\nover lines."},
)
PAGE = """<!doctype html><html><head><title>Asthma</title><meta charset="utf-8"><meta name="author" content="A. B.">
<link rel="canonical" href="https://example.org/a"></head><body><nav>Menu</nav><main><h1>Asthma</h1><p>Count
10<sup>9</sup>/L &amp; é.<ul><li>a<li>b<ol start=3><li>c</ol></ul><table><tr><th>Drug<th>Dose<tr><td rowspan=2>A<td
colspan=2>1|2<tr><td>x</table><pre> keep</pre><table><tr><td><h3>In</h3></table></main></body></html>""".encode()
NOTE = (
    b"---\ntitle: Sepsis\ndate: 2032-03-01\nlicense: L\n---\n# Sepsis\n\nGive 5 mg, caf\xc3\xa9.\n\n## Next\n\nMore\n"
)
MEDQUAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000001_1" source="CancerGov" url="https://example.org/x"><Focus>Sample disease</Focus><FocusAnnotations>
<UMLS><CUIs><CUI>C0000001</CUI></CUIs><SemanticTypes><SemanticType>T191</SemanticType></SemanticTypes></UMLS><Synonyms>
<Synonym>Other name</Synonym></Synonyms></FocusAnnotations><QAPairs><QAPair pid="1"><Question qid="1-1"
qtype="treatment">How is it treated ?</Question><Answer>By rest.    - with tea   - with é</Answer></QAPair><QAPair
pid="2"><Question qid="1-2" qtype="causes">What causes it ? ?</Question><Answer/></QAPair></QAPairs></Document>
""".encode()
COLLECTION = b"""<col:collection xmlns:col="http://cnx.rice.edu/collxml" xmlns:md="http://cnx.rice.edu/mdml">
<col:metadata><md:title>A book</md:title><md:slug>a-book</md:slug><md:license
url="http://creativecommons.org/licenses/by/4.0/"/></col:metadata><col:content><col:module document="m1"/>
<col:subcollection><md:title>Chapter</md:title><col:content><col:module document="m2"/></col:content>
</col:subcollection></col:content></col:collection>"""
MODULE = """<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML"><title>Cells</title>
<metadata xmlns:md="http://cnx.rice.edu/mdml"><md:abstract><para id="p0">Learn é.</para></md:abstract></metadata>
<content><para id="p1">Ten <sup>6</sup> is <m:math><m:mfrac><m:mn>1</m:mn><m:msup><m:mn>10</m:mn><m:mn>3</m:mn></m:msup>
</m:mfrac></m:math>, see <link target-id="fig-1"/>.<footnote id="f">Note.</footnote></para><section id="s1">
<title>Walls</title><note class="career"><title>N</title><para>Text.</para></note><list list-type="enumerated"
start-value="2"><item>a</item><item>b<list><item>c</item></list></item></list><figure id="fig-1"><media alt="drawn"/>
<caption>A cell</caption></figure><table id="t"><title>T</title><tgroup cols="2"><colspec colname="a"/><colspec
colname="b"/><thead><row><entry namest="a" nameend="b">H</entry></row></thead><tbody><row><entry
morerows="1">x</entry><entry>y</entry></row><row><entry>z</entry></row></tbody></tgroup></table><exercise><problem><para>Q?
</para></problem><solution><para>A.</para></solution></exercise></section></content><glossary><definition><term>cell</term>
<meaning>unit</meaning></definition></glossary></document>""".encode()
ARTICLE = "TITLE: \nA trial of rest\n\nABSTRACT.AIMS:\nTo rest.\n\nBODY.METHODS.1.2 SETTING:\nA bed, é.\n\nBODY:\n# x\n"
QUESTIONS = json.dumps({
    "questions": [
        {"id": "q1", "body": "What?", "snippets": [
            {"text": text, "document": "http://www.ncbi.nlm.nih.gov/pubmed/123", "beginSection": section,
             "offsetInBeginSection": start, "offsetInEndSection": start + len(text)}
            for text, section, start in (
                ("A title.", "title", 0), ("First words of the abstract", "abstract", 0),
                ("of the abstract and more", "abstract", 12), ("Much later.", "abstract", 400),
            )
        ]},
        {"id": "q2", "body": "Why?", "snippets": []},
    ]
}).encode()  # fmt: skip
PUBMEDQA = json.dumps({
    "123": {"QUESTION": "Q?", "CONTEXTS": ["One.", "Two."], "LABELS": ["BACKGROUND", "METHODS"], "YEAR": "2031"},
    "124": {"QUESTION": "Q?", "CONTEXTS": ["Three."], "YEAR": None, "LONG_ANSWER": "Yes."},
}).encode()  # fmt: skip
PDF = pdf_of(shown("First page, double-", "blind."), shown("# Dose", "5 mg"), info=b"/Title(On rest)/Author(A)")
BEIR = lines(
    {"_id": "1", "title": "T", "text": "A text", "metadata": {"url": "https://e.org"}}, {"_id": 2, "text": "é"}
)
MEDRAG = lines(
    {"id": "a_0", "title": "T", "content": "A text", "contents": "T. A text", "PMID": 5}, {"id": "b", "content": "é"}
)
ICD10CM = (
    b"code\tbillable\tlong_desc\nE11\t0\tType 2 diabetes\nE1165\t1\tType 2 diabetes with hyperglyc\xc3\xa9mia\n"
    b"I10\t1\tHypertension\n"
)
CITATIONS = whole(WHOLE, short(1), short(2), short(3), deleting(3))
REVISED = whole(short(2, "Revised.", more="<CommentsCorrectionsList/>"), short(4))
CITATION_9 = whole(short(9))

SEEDS: dict[str, Seed] = {
    "beir": Seed({"corpus.jsonl": BEIR}, "corpus.jsonl", (json_values,)),
    "bioasq": Seed(
        {"golden.json": QUESTIONS, "z.json": QUESTIONS.replace(b"123", b"999")},
        "golden.json",
        (json_values,),
        intact="999",
    ),
    "csv": Seed(
        {"a.csv": 'id,title,text,date\n1,"A, b","said ""two""\nover lines",2032\n2,,café,\n3,c,d,e\n'.encode()},
        "a.csv",
        (table_cells,),
    ),
    "folder": Seed({"a.md": NOTE, "b.txt": b"Text.", "c.html": PAGE, "d.pdf": PDF}, "*", (xml_tags,), together=True),
    "html": Seed({"a.html": PAGE}, "*", (xml_tags,), together=True),
    "jats": Seed(
        {"PMC1.xml": ARTICLE_XML.encode(), "PMC2.xml": small("PMC2").encode()}, "PMC1.xml", (xml_tags,), intact="PMC2"
    ),
    "icd10cm": Seed({"t.tsv": ICD10CM}, "t.tsv", path="data/t.tsv"),
    "jsonl": Seed({"a.jsonl": lines(*ROWS)}, "a.jsonl", (json_values,), "data/a.jsonl"),
    "markdown": Seed({"a.md": NOTE, "z.md": b"Intact."}, "a.md", intact="z"),
    "medrag": Seed({"chunk/a.jsonl": MEDRAG}, "chunk/a.jsonl", (json_values,)),
    "medquad": Seed({"x/1.xml": MEDQUAD, "z/2.xml": MEDQUAD}, "x/1.xml", (xml_tags,), intact="z/2/1"),
    "openstax": Seed(
        {
            "collections/a.collection.xml": COLLECTION,
            "modules/m1/index.cnxml": MODULE,
            "modules/m2/index.cnxml": MODULE,
        },
        "?",
        (xml_tags,),
    ),
    "parquet": Seed(
        {"a.parquet": parquet_of(pa.table({"id": range(200), "text": [f"Text {n**5}." for n in range(200)]}), 20)},
        "a.parquet",
        (odd_columns,),
    ),
    "pdf": Seed({"a.pdf": PDF}, "*", (pdf_objects,), together=True),
    "pmc": Seed({"PMC1.txt": ARTICLE.encode(), "PMC2.txt": b"TITLE: T\n\nBODY:\nx"}, "PMC1.txt", intact="PMC2"),
    "pubmed": Seed(
        {"pubmed31n0001.xml": CITATIONS, "pubmed31n0002.xml": REVISED, "set.xml": CITATION_9},
        "pubmed31n0001.xml",
        (xml_tags,),
    ),
    "pubmedqa": Seed(
        {"ori.json": PUBMEDQA, "z.json": b'{"9": {"CONTEXTS": ["x"]}}'}, "ori.json", (json_values,), intact="9"
    ),
    "statpearls": Seed(
        {"article-17.nxml": CHAPTER.encode(), "z.nxml": CHAPTER.replace("article-17", "z").encode()},
        "article-17.nxml",
        (xml_tags,),
        intact="z.s1",
    ),
    "text": Seed({"a.txt": "Plain text, é.\n".encode() * 9, "z.txt": b"Intact."}, "a.txt", intact="z"),
}


@dataclass
class Tally:
    accepted: int = 0
    rejected: int = 0
    errors: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def corpus_at(folder: Path, reader: str, path: str) -> Corpus:
    (folder / "recipe.yaml").write_text(f"title: T\nreader: {reader}\npaths: ['{path}']\n", encoding="utf-8")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class TookTooLong(BaseException):
    """No Exception, so that no reader takes it for damage."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """TookTooLong after that many seconds of CPU time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def read_once(corpus: Corpus, tally: Tally) -> tuple[list[tuple[str, ...]], list[str], str]:
    """The documents, the lines of the rejected, and what stopped the reading; every record is accounted for."""
    got: list[tuple[str, ...]] = []
    error = ""
    start = time.monotonic()
    try:
        for document in corpus.documents():
            got.append((document.id, document.text, document.title, document.citation))
            tally.slowest, start = max(tally.slowest, time.monotonic() - start), time.monotonic()
    except RagmedError as stopped:
        error = str(stopped)
    tally.slowest = max(tally.slowest, time.monotonic() - start)
    path = corpus.rejected_path
    refused = path.read_text().splitlines() if path and path.exists() else []
    assert corpus.accepted + corpus.rejected == corpus.records
    assert corpus.accepted == len(got)
    assert corpus.rejected == len(refused)
    assert all(json.loads(one)["reason"].strip() for one in refused)
    assert got or refused or error or corpus.ignored, "damage that left no trace"
    return got, refused, error


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    return sum(os.times()[:4])


def read_twice(corpus: Corpus, tally: Tally, name: str, seconds: float = FILE_SECONDS * 2) -> set[str]:
    """Ids of the documents that there were."""
    start = cpu_seconds()
    try:
        with bounded(seconds):
            got, refused, error = read_once(corpus, tally)
            assert (got, refused, error) == read_once(corpus, tally), "not the same twice"
    except (TookTooLong, Exception):
        tally.failures.append(f"{name}: {traceback.format_exc()[-1500:]}")
        return set()
    tally.seconds += cpu_seconds() - start
    tally.accepted += corpus.accepted
    tally.rejected += corpus.rejected
    tally.errors += bool(error)
    return {one[0] for one in got}


def peak() -> int:
    """Bytes of the largest memory taken since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # another system: its memory is then not measured
        return False
    return True


def report(name: str, tally: Tally, grown: int, capsys: pytest.CaptureFixture[str]) -> None:
    if FULL:
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        with capsys.disabled():
            print(
                f"\n{name:<20} accepted {tally.accepted:>6} rejected {tally.rejected:>6} errors {tally.errors:>5} "
                f"CPU {tally.seconds:>6.1f} s slowest {tally.slowest:>5.2f} s grown {grown // 2**20:>4} MiB "
                f"largest child so far {children} MiB"
            )
    assert not tally.failures, f"{len(tally.failures)} of them failed:\n" + "\n".join(tally.failures[:3])
    assert tally.slowest < DOCUMENT_SECONDS
    assert grown < GROWTH


def mutants(reader: str, count: int, seed: Seed) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A name that says how to make it again, and the corpus' files, one of them damaged."""
    for number in range(count):
        random_ = random.Random(f"{reader} {number}")
        name = seed.hit if seed.hit in seed.files else random_.choice(list(seed.files))
        yield f"{reader} {number} {name}", {name: mutated(seed.files[name], random_, seed.also)}


def measured(work: Callable[[], None]) -> int:
    known = reset_peak()
    before = peak() if known else 0
    work()
    return peak() - before if known else 0


@pytest.mark.parametrize("reader", sorted(READERS))
def test_damaged_files_end_in_documents_or_reasons(
    tmp_path: Path, reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = SEEDS[reader]
    put(tmp_path, seed.files)
    whole = corpus_at(tmp_path, reader, seed.path)
    assert list(whole.documents()), "the seed is no corpus of this reader"
    tally = Tally()

    def alone() -> None:
        for name, files in mutants(reader, ALONE, seed):
            put(tmp_path, seed.files | files)
            read_twice(whole, tally, name)

    def together() -> None:
        many = {}
        for number, (_, files) in enumerate(mutants(reader, TOGETHER, seed)):
            ((name, data),) = files.items()
            many[f"{number:04}-{name}"] = data
        put(tmp_path, many)
        told = read_twice(whole, tally, reader, FILE_SECONDS * TOGETHER) | refused_files(whole)
        assert tally.failures or {Path(one).stem for one in many} <= told, "a file that left no trace"

    grown = measured(together if seed.together else alone)
    report(reader, tally, grown, capsys)


def refused_files(corpus: Corpus) -> set[str]:
    refused = corpus.rejected_path.read_text().splitlines() if corpus.rejected_path else []
    return {Path(json.loads(line)["file"]).stem for line in refused}


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


PACK: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    ".gz": lambda files: gzip.compress(next(iter(files.values())), mtime=0),
    ".tar.xz": lambda files: lzma.compress(tar_of(files)),
    ".tar.gz": lambda files: gzip.compress(tar_of(files), mtime=0),
    ".zip": zip_of,
}
PACKED = [
    ("jsonl", ".gz"), ("beir", ".gz"), ("csv", ".gz"), ("csv", ".zip"), ("markdown", ".tar.xz"), ("markdown", ".zip"),
    ("medquad", ".tar.gz"), ("medquad", ".tar.xz"), ("medquad", ".zip"), ("openstax", ".tar.xz"), ("openstax", ".zip"),
    ("pubmed", ".gz"), ("jats", ".tar.gz"),
    ("statpearls", ".tar.gz"), ("pubmedqa", ".gz"), ("bioasq", ".zip"), ("pmc", ".tar.gz"), ("text", ".zip"),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "suffix"), PACKED)
def test_damaged_archives_end_in_documents_or_reasons(
    tmp_path: Path, reader: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = SEEDS[reader]
    name = f"{next(iter(seed.files))}.gz" if suffix == ".gz" else f"all{suffix}"
    place = tmp_path / Path(name).name
    whole = PACK[suffix](seed.files)
    place.write_bytes(whole)
    corpus = corpus_at(tmp_path, reader, place.name)
    assert list(corpus.documents())
    tally = Tally()

    def work() -> None:
        for number in range(1000 if FULL else 25):
            place.write_bytes(mutated(whole, random.Random(f"{reader}{suffix} {number}")) or b"\n")
            read_twice(corpus, tally, f"{reader}{suffix} {number}")

    report(f"{reader}{suffix}", tally, measured(work), capsys)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"


@pytest.mark.parametrize("reader", sorted(READERS))
@pytest.mark.parametrize("alone", [False, True], ids=["folder", "file"])
def test_a_git_lfs_pointer_is_told_by_every_reader(tmp_path: Path, reader: str, alone: bool) -> None:
    seed = SEEDS[reader]
    put(tmp_path, dict.fromkeys(seed.files, POINTER))
    first = f"data/{next(iter(seed.files))}"
    with pytest.raises(RagmedError, match="is a Git LFS pointer, not the file; run 'git lfs pull' in its clone"):
        list(corpus_at(tmp_path, reader, first if alone and reader != "openstax" else seed.path).documents())


@pytest.mark.parametrize("name", ["all.tar.gz", "all.zip", "all.xml.gz"])
def test_a_git_lfs_pointer_in_the_place_of_an_archive_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(RagmedError, match="is a Git LFS pointer"):
        list(corpus_at(tmp_path, "medquad", name).documents())
