"""Files that are sound and made to hurt: each costs seconds and a bounded memory, and ends in documents or a reason."""

from __future__ import annotations

import io
import json
import os
import re
import time
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from test_cli import out
from test_mutations import COLLECTION, PDF, corpus_at, put, zip_of
from test_pdf import pdf_of, shown

from ragmed.corpora import Corpus, bioasq
from ragmed.corpora.safe_xml import parse_xml
from ragmed.errors import DataError
from ragmed.workspace import Workspace

SECONDS = 10.0
"""CPU seconds: far above what each of these takes, far below the hours that each took by an algorithm of n²."""


def told(corpus: Corpus) -> tuple[list[str], list[str]]:
    """Ids, and the reasons of what was rejected; within SECONDS."""
    start = time.process_time()
    try:
        ids = [one.id for one in corpus.documents()]
    except DataError as error:
        if "holds no document" not in str(error):
            raise
        ids = []
    assert time.process_time() - start < SECONDS
    path = corpus.rejected_path
    return ids, [json.loads(line)["reason"] for line in path.read_text().splitlines()] if path and path.exists() else []


def one_file(folder: Path, reader: str, name: str, data: str | bytes) -> tuple[list[str], list[str]]:
    put(folder, {name: data.encode() if isinstance(data, str) else data})
    return told(corpus_at(folder, reader, "data"))


# ---- tables


def test_a_header_of_100_000_columns_is_read(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(100_000))
    assert one_file(tmp_path, "csv", "a.csv", f"id,text,{names}\n1,a{',x' * 100_000}\n") == (["1"], [])
    put(tmp_path, {"a.csv": f"id,{names}\n".encode()})
    start = time.process_time()
    with pytest.raises(DataError, match="no column 'text'"):
        list(corpus_at(tmp_path, "csv", "data").documents())
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([2**30, 0], pa.date32()), "'date' holds a value that cannot be read"),
        (pa.array([2**62, 0], pa.timestamp("ms")), "'date' holds a value that cannot be read"),
        (pa.array([1, 0], pa.timestamp("us", "No/Where")), "'date' holds a value that cannot be read"),
        (pa.array([[1], None]), "'date' (date) is a list of 1, a string was expected"),
        (pa.array([{"a": 1}, None]), "'date' (date) is a mapping, a string was expected"),
        (pa.array([b"\xff", None]), "'date' (date) is bytes, a string was expected"),
    ],
)
def test_a_value_that_python_has_not_costs_its_row(tmp_path: Path, values: pa.Array, words: str) -> None:
    out = io.BytesIO()
    parquet.write_table(pa.table({"id": ["1", "2"], "text": ["a", "b"], "date": values}), out)
    ids, reasons = one_file(tmp_path, "parquet", "a.parquet", out.getvalue())
    assert all(reason.startswith(words) for reason in reasons)
    assert (ids, len(reasons)) == ((["2"], 1) if "No/Where" not in str(values.type) else ([], 2))


# ---- XML


def test_a_tag_of_a_million_attributes_is_refused_before_it_fills_the_memory() -> None:
    data = b"<a" + b"".join(b' a%d=""' % number for number in range(1_000_000)) + b"/>"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="a tag or comment longer than 1048576 bytes"):
            parse_xml(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_an_element_of_a_hundred_thousand_attributes_costs_its_file_alone(tmp_path: Path) -> None:
    attributes = " ".join(f"a{number}='1'" for number in range(100_000))
    put(tmp_path, {"a.xml": f"<Document {attributes}/>".encode(), "b.xml": medquad(PAIR).encode()})
    ids, reasons = told(corpus_at(tmp_path, "medquad", "data"))
    assert (ids, reasons) == (["b/1"], ["the XML has an element with more than 1000 attributes"])
    assert parse_xml(f"<a {attributes[:8000].rpartition(' ')[0]}/>".encode()).get("a0") == "1"


def test_long_text_between_tags_is_no_long_tag() -> None:
    text = "é<![CDATA[<]]>" + "word\n" * 1_000_000
    assert parse_xml(f"<a>{text}<b/></a>".encode()).text == "é<" + "word\n" * 1_000_000


PAIR = '<QAPair pid="1"><Question>q</Question><Answer>a</Answer></QAPair>'


def medquad(pairs: str) -> str:
    return f"<Document><QAPairs>{pairs}</QAPairs></Document>"


def test_medquad_with_runs_of_signs_and_thousands_of_pairs(tmp_path: Path) -> None:
    run = f'<QAPair pid="1"><Question>q{"?" * 300_000}b ? ?</Question><Answer>a{" " * 300_000}b</Answer></QAPair>'
    many = "".join(f'<QAPair pid="{n}"><Question>q</Question><Answer>a</Answer></QAPair>' for n in range(2, 5000))
    ids, reasons = one_file(tmp_path, "medquad", "a.xml", medquad(run + many))
    assert (len(ids), reasons) == (4999, [])


def module(tmp_path: Path, content: str) -> list[str]:
    """The reasons that a module with this content gives, beside the missing one of the book."""
    put(tmp_path, {"a.collection.xml": COLLECTION})
    _, reasons = one_file(
        tmp_path,
        "openstax",
        "modules/m1/index.cnxml",
        f'<document xmlns="http://cnx.rice.edu/cnxml"><title>T</title><content>{content}</content></document>',
    )
    return [reason for reason in reasons if "'m2'" not in reason]


COLUMNS = "".join(f"<colspec colname='c{number}'/>" for number in range(2000))
WIDE = "<row><entry namest='c0' nameend='c1999'>x</entry></row>"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"<para>a{' ' * 300_000}b</para>", ""),
        ("<note><title>" * 90 + "x" + "</title></note>" * 90 + "<para>x</para>", ""),
        ("<para><footnote>" * 95 + "x" + "</footnote></para>" * 95, ""),
        (f"<para>{'aaaaaaaaaaaaaaaaaaaa<emphasis>b</emphasis>' * 20_000}</para>", "a paragraph with links or formats"),
        (
            f"<table><tgroup>{COLUMNS}<tbody>{WIDE * 2000}</tbody></tgroup></table>",
            "a table whose cells span",
        ),
        (
            f"<table><tgroup><tbody><row><entry morerows='999'>{'x' * 50_000}</entry></row>"
            f"{'<row><entry>y</entry></row>' * 900}</tbody></tgroup></table>",
            "a table whose cells span",
        ),
    ],
)  # fmt: skip
def test_modules_that_grow_without_measure_are_rejected(tmp_path: Path, content: str, words: str) -> None:
    reasons = module(tmp_path, content)
    assert [words in reason for reason in reasons] == [True] * bool(words)


def test_a_module_met_twice_is_told(tmp_path: Path) -> None:
    put(tmp_path, {"b/m1/index.cnxml": b"<document><content><para>x</para></content></document>"})
    assert module(tmp_path, "<para>x</para>") == ["a module 'm1' was met before, in another folder"]


# ---- text and JSON


@pytest.mark.parametrize(
    "text",
    [
        "BODY." + " " * 300_000 + "a\nb:\ntext", "BODY.\n" * 100_000, "BODY." + "a." * 300_000 + ":\ntext",
        "BODY.a" + "\n" * 300_000 + "x:\nBODY:\ntext",
    ],
)  # fmt: skip
def test_articles_with_runs_of_spaces_and_marks(tmp_path: Path, text: str) -> None:
    assert one_file(tmp_path, "pmc", "PMC1.txt", f"TITLE: x\n\n{text}\n\nBODY.END:\nx") == (["PMC1"], [])


def snippets(*texts: str) -> str:
    found = [
        {"text": text, "document": "http://x/pubmed/1", "beginSection": "abstract", "offsetInBeginSection": number * 9}
        for number, text in enumerate(texts)
    ]
    return json.dumps({"questions": [{"snippets": found}]})


@pytest.mark.slow
def test_snippets_of_one_article_are_bounded(tmp_path: Path) -> None:
    ids, reasons = one_file(tmp_path, "bioasq", "a.json", snippets(*(f"snippet {n} {'x' * 80}" for n in range(5000))))
    assert (ids, set(reasons)) == (
        ["1"],
        {f"the snippets of the article 1 are more than {bioasq.MAX_ARTICLE} characters"},
    )
    assert one_file(tmp_path, "bioasq", "a.json", snippets("a" * 90_000 + "b", "a" * 90_000 + "c")) == (["1"], [])


@pytest.mark.slow
@pytest.mark.parametrize(("part", "reader"), [("[],", "pubmedqa"), ("{},", "bioasq"), ("1.5,", "pubmedqa")])
def test_json_of_millions_of_parts_is_refused_before_it_fills_the_memory(
    tmp_path: Path, part: str, reader: str
) -> None:
    _, reasons = one_file(tmp_path, reader, "a.json", '{"1": [' + part * 9_000_000 + "1]}")
    assert reasons == ["the JSON holds more than 2000000 lists and objects; split it"]


def test_front_matter_with_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    ids, reasons = one_file(tmp_path, "markdown", "a.md", f"---\ntitle: 0x{'F' * 9000}\n---\ntext")
    assert (ids, reasons) == ([], ["'title' in the front matter is a whole number, a string was expected"])


@pytest.mark.slow
def test_a_line_of_300_megabytes_costs_that_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"id": 1, "text": "a"}\n')
        stream.writelines([b"x" * 1_000_000] * 300)
        stream.write(b'\n{"id": 2, "text": "b"}\n')
    tracemalloc.start()
    try:
        assert told(corpus_at(tmp_path, "jsonl", "a.jsonl")) == (["1", "2"], ["the line is longer than 8388608 bytes"])
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


# ---- HTML and PDF


def test_pages_nested_deeply_cost_no_other(tmp_path: Path) -> None:
    put(tmp_path, {"z.html": b"<p>Fine"})
    put(tmp_path, {f"{n}.html": b"<p>x" + tag * 5000 + b"deep" for n, tag in enumerate((b"<div>", b"<table><tr><td>"))})
    assert told(corpus_at(tmp_path, "html", "data")) == (["0", "1", "z"], [])


@pytest.mark.slow
def test_objects_that_point_in_circles_cost_their_file(tmp_path: Path) -> None:
    form = b"<</Type/XObject/Subtype/Form/Resources<</XObject<</X 7 0 R>>>>/Length 5>>\nstream\n/X Do\nendstream"
    put(tmp_path, {
        "a.pdf": PDF.replace(b"/Kids[5 0 R", b"/Kids[2 0 R"),
        "b.pdf": pdf_of(shown("x")).replace(b"/Contents 6 0 R", b"/Contents 5 0 R"),
        "c.pdf": pdf_of(b"/X Do " + shown("Words"), objects=(form,), resources=b"/XObject<</X 7 0 R>>"),
        "z.pdf": pdf_of(shown("Fine")),
    })  # fmt: skip
    made = corpus_at(tmp_path, "pdf", "data")
    ids, reasons = told(made)
    assert "z" in ids
    assert made.accepted + made.rejected == made.records >= 4
    assert not any("IndirectObject" in reason for reason in reasons)
    assert told(made) == (ids, reasons)


# ---- names, links, archives


def test_names_of_all_kinds_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in (
        b"a\nb.txt",
        b"\xff.txt",
        "ü\u202ex.txt".encode(),
        b"a" * 250 + b".txt",
        b" .txt",
        b"%s{0}.txt",
        b"a\\b.txt",
    ):
        with Path(os.fsdecode(bytes(tmp_path / "data") + b"/" + name)).open("wb") as stream:
            stream.write(b"text")
    ids, reasons = told(corpus_at(tmp_path, "text", "data"))
    assert sorted(ids) == sorted(["a\nb", "ü\u202ex", "a" * 250, "%s{0}", "a\\b"])
    assert len(reasons) == 2


def test_links_in_circles_and_devices_are_told(tmp_path: Path) -> None:
    put(tmp_path, {"a.txt": b"x"})
    data = tmp_path / "data"
    for name, target in (("l1.txt", "l2.txt"), ("l2.txt", "l1.txt"), ("self", "."), ("z.txt", "/dev/zero")):
        (data / name).symlink_to(target)
    os.mkfifo(data / "pipe.txt")
    ids, reasons = told(corpus_at(tmp_path, "text", "data"))
    assert (ids, len(reasons)) == (["a"], 4)


def test_escape_codes_of_a_file_never_reach_the_terminal(small: Workspace) -> None:
    code = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    pages = small.corpora / "wards" / "pages"
    (pages / "elm.md").write_text(f"# Elm{code}\n\nThe extension of Elm ward é is {code} 4000.\n", encoding="utf-8")
    (pages / f"{code[:3]}x.md").write_bytes(b"\xff")
    (pages / f"{code[:3]}y.doc").write_bytes(b"x")
    for words in (
        ["corpora", "info", "wards"],
        ["build-index", "wards"],
        ["search", "wards", "Elm"],
        ["corpora", "list"],
    ):
        said = out(small, *words)
        assert not {"\x1b", "\x07", "\x9b"} & set(said), words
    built = out(small, "build-index", "wards")
    assert "1 record rejected, 1 file ignored\n  ignored: " in built
    assert "y.doc: " in built
    assert re.search(r"\n  rejected: \S+x\.md.*: .*UTF-8", built)
    assert "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m" in out(small, "search", "wards", "Elm ward 4000")
    found = out(small, "search", "wards", "Elm ward 4000", "--json")
    assert not {"\x1b", "\x07", "\x9b"} & set(found)
    assert any(code in hit["passage"]["text"] for hit in json.loads(found)["hits"])
    questions = small.root / "data" / "mirage" / "benchmark.json"
    questions.write_text(questions.read_text().replace("extension of", "extension\\u001b[2J\\u009b31m of"))
    shown = out(small, "eval", str(small.configs / "toy.yaml"), "--dry-run")
    assert not {"\x1b", "\x9b"} & set(shown)
    assert "extension\\x1b[2J\\x9b31m of" in shown
    assert "Elm ward é" in out(small, "search", "wards", "Elm ward 4000")


@pytest.mark.parametrize("reader", ["medrag", "jsonl", "beir", "parquet", "csv", "text"])
def test_a_path_that_is_a_pipe_is_told(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "data")
    with pytest.raises(DataError, match=r"not a regular file|holds no document"):
        list(corpus_at(tmp_path, reader, "data").documents())


def test_a_member_without_a_name_is_told(tmp_path: Path) -> None:
    data = zip_of({"a.txt": b"x", "N.txt": b"y"})
    (tmp_path / "all.zip").write_bytes(data.replace(b"N.txt", b"\0.txt"))  # a name ends at its first NUL
    assert told(corpus_at(tmp_path, "text", "all.zip")) == (["a"], ["it has no name"])


@pytest.mark.slow
def test_an_archive_of_many_members_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for number in range(10_000):
            packed.writestr(zipfile.ZipInfo(f"{number}.txt"), "x")
    ids, reasons = told(corpus_at(tmp_path, "text", "all.zip"))
    assert (len(ids), reasons) == (10_000, [])
