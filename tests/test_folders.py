"""Readers of folders: BEIR, MedRAG, HTML; every file is a document or has a reason, none costs another."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import zipfile
from pathlib import Path

import pytest

from ragmed.chunking.structure import sections
from ragmed.corpora import Corpus, load_recipe
from ragmed.corpora.beir import read_qrels, read_queries
from ragmed.corpora.html import decoded, page
from ragmed.errors import DataError, MissingDependencyError

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / ".." / "shared" / "cases"
DATA = Path(os.environ.get("RAGMED_DATA") or ROOT / ".." / "shared" / "data")


def corpus(folder: Path, reader: str, path: str = "data", extra: str = "") -> Corpus:
    (folder / "recipe.yaml").write_text(f"title: T\nreader: {reader}\npaths: [{path}]\n{extra}", encoding="utf-8")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def put(folder: Path, **files: bytes | list[object]) -> None:
    for name, data in files.items():
        path = folder / "data" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else "\n".join(map(json.dumps, data)).encode())


def refused(folder: Path) -> dict[str, str]:
    path = folder / "rejected.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {f"{Path(one['file']).name}:{one['line']}": one["reason"] for one in records}


# ---- BEIR


def test_a_beir_folder_is_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        corpus_jsonl=[
            {
                "_id": "d1",
                "title": "A title",
                "text": "A text",
                "metadata": {"pubmed_id": "77", "url": "https://a.org"},
            },
            {"_id": 2, "title": "", "text": "B", "metadata": {}},
            {"_id": "d3", "title": "Only a title", "text": "", "metadata": {"url": "https://a.org/3"}},
            {"_id": "d4", "title": "", "text": ""},
            {"title": "no id", "text": "C"},
            {"_id": "d6", "text": ["D"]},
        ],
    )
    made = corpus(tmp_path, "beir", extra="cite: cited {id}\nsource: S\n")
    assert [(one.id, one.text, one.source, one.citation) for one in made.documents()] == [
        ("d1", "A text", "https://pubmed.ncbi.nlm.nih.gov/77/", "A title. PMID 77"),
        ("2", "B", "S", "cited 2"),
        ("d3", "Only a title", "https://a.org/3", "Only a title. https://a.org/3"),
    ]
    assert refused(tmp_path) == {
        "corpus.jsonl:4": "the text is empty",
        "corpus.jsonl:5": "the id is empty",
        "corpus.jsonl:6": "'text' is a list of 1, a string was expected",
    }


def test_beir_files_may_be_packed_or_missing(tmp_path: Path) -> None:
    put(tmp_path, corpus_jsonl_gz=gzip.compress(b'{"_id": "d1", "text": "A"}\n'))
    assert [one.id for one in corpus(tmp_path, "beir").documents()] == ["d1"]
    (tmp_path / "data" / "corpus.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"BEIR corpus '.*/data/corpus\.jsonl' does not exist"):
        list(corpus(tmp_path, "beir").documents())


def test_beir_queries_and_judgements(tmp_path: Path) -> None:
    put(tmp_path, queries_jsonl=[{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two", "metadata": {}}])
    assert read_queries(tmp_path / "data") == {"q1": "one", "q2": "two"}
    put(tmp_path, qrels__test_tsv=b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\r\nq1\td1\t2\r\n\r\nq1\td2\t0\nq2\td1\t-1\n")
    qrels = tmp_path / "data" / "qrels"
    assert read_qrels(qrels / "test.tsv") == {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": -1}}
    with pytest.raises(DataError, match=r"train\.tsv' do not exist; the files there: test\.tsv"):
        read_qrels(qrels / "train.tsv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q1\td1\t1\n", "line 1: the header query-id corpus-id score"),
        ("query-id\tcorpus-id\tscore\n", "hold no judgement"),
        ("query-id\tcorpus-id\tscore\nq1\td1\n", "line 2: three columns .* found 2"),
        ("query-id\tcorpus-id\tscore\nq1\t\t1\n", "line 2: three columns"),
        ("query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "line 2: the score is a whole number, found 'high'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td1\t0\n", "line 3: query 'q1' and document 'd1' were judged"),
        ("\xff", "line 1 is not UTF-8"),
    ],
)
def test_wrong_judgements_are_named(tmp_path: Path, text: str, words: str) -> None:
    put(tmp_path, test_tsv=text.encode("latin-1"))
    with pytest.raises(DataError, match=words):
        read_qrels(tmp_path / "data" / "test.tsv")


def test_wrong_queries_are_named(tmp_path: Path) -> None:
    for record, words in (
        ({"_id": "q1"}, "line 2: no 'text'"),
        ({"text": "a"}, "line 2: no '_id'"),
        ({"_id": "q0", "text": "a"}, "line 2: the id 'q0' was met before"),
    ):
        put(tmp_path, queries_jsonl=[{"_id": "q0", "text": "a"}, record])
        with pytest.raises(DataError, match=words):
            read_queries(tmp_path / "data")


def test_scifact_is_read_whole() -> None:
    folder = DATA / "scifact-beir"
    if not folder.is_dir():
        pytest.skip(f"no SciFact at {folder}; set RAGMED_DATA")
    made = Corpus(load_recipe(ROOT / "corpora" / "scifact" / "recipe.yaml", data=DATA))
    ids = {one.id for one in made.documents()}
    assert (made.accepted, made.rejected) == (5183, 0)
    queries, grades = read_queries(folder), read_qrels(folder / "qrels" / "train.tsv")
    assert (len(queries), len(grades), sum(map(len, grades.values()))) == (809, 809, 919)
    assert {one for judged in grades.values() for one in judged} <= ids


# ---- MedRAG


def test_a_medrag_folder_is_read(tmp_path: Path) -> None:
    one = {"id": "Invented_0", "title": "Invented", "content": "First part.", "contents": "Invented. First part."}
    two = {"id": "pubmed23n0001_0", "title": "On x.", "content": "B", "contents": "On x. B", "PMID": 21}
    put(tmp_path, chunk__b_jsonl=[two, one | {"id": "c"}, {"id": "x"}], chunk__a_jsonl=[one, {"id": "y", "content": 5}])
    put(tmp_path, chunk__notes_txt=b"x", README_md=b"x", chunk__c_jsonl=[one])
    made = corpus(tmp_path, "medrag", extra="citation: Invented textbooks\nlicense: L\n")
    found = list(made.documents())
    assert found[0].text == "First part."
    assert [(one.id, one.title, one.source, one.citation) for one in found] == [
        ("Invented_0", "Invented", "", "Invented. Invented textbooks, Invented_0"),
        ("pubmed23n0001_0", "On x.", "https://pubmed.ncbi.nlm.nih.gov/21/", "On x. PMID 21"),
        ("c", "Invented", "", "Invented. Invented textbooks, c"),
    ]
    assert refused(tmp_path) == {
        "a.jsonl:2": "'content' is a whole number, a string was expected",
        "b.jsonl:3": "no 'content'",
        "c.jsonl:1": "the id 'Invented_0' was met before",
    }
    assert made.ignored == 1
    by_pmid = corpus(tmp_path, "medrag", extra="named_by: PMID\n")
    assert [one.id for one in by_pmid.documents()] == ["21"]
    assert refused(tmp_path)["b.jsonl:2"] == "no 'PMID', by which the recipe names its documents"


def test_a_pmid_that_a_table_made_a_float_is_a_pmid(tmp_path: Path) -> None:
    (tmp_path / "data" / "chunk").mkdir(parents=True)
    line = json.dumps({"id": "pubmed_0", "title": "T", "content": "Text.", "PMID": 23.0})
    (tmp_path / "data" / "chunk" / "a.jsonl").write_text(line + "\n")
    (one,) = corpus(tmp_path, "medrag", extra="named_by: PMID\n").documents()
    assert (one.id, one.source, one.citation) == ("23", "https://pubmed.ncbi.nlm.nih.gov/23/", "T. PMID 23")


def test_medrag_without_its_files_is_told(tmp_path: Path) -> None:
    put(tmp_path, notes_txt=b"x")
    with pytest.raises(DataError, match=r"holds no \.jsonl or \.jsonl\.gz file; give the folder above 'chunk'"):
        list(corpus(tmp_path, "medrag").documents())
    put(tmp_path, a_jsonl=b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n")
    with pytest.raises(DataError, match="is a Git LFS pointer, not the file; run 'git lfs pull'"):
        list(corpus(tmp_path, "medrag").documents())


# ---- HTML

PAGE = """<!doctype html><html><head><title>Asthma | Site</title><meta charset="utf-8">
<meta property="article:modified_time" content="2032-03-01T10:00:00Z"><meta name="author" content="A. Author">
<meta property="og:site_name" content="Example Trust"><link rel="canonical" href="https://example.org/asthma">
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><div role="navigation">Menu</div>
<h1>Asthma</h1><p>Count 10<sup>9</sup>/L, H<sub>2</sub>O &amp; <del>5</del> 6&nbsp;mg.<br>Next line.
<script>alert(1)</script></p>
tail<h2>Steps<br>now</h2><ul><li>a<li>b <p>more</p><ol start=3><li>c<li>d</ol></ul>
<table><caption>Doses</caption><thead><tr><td>Drug<td>Dose</thead>
<tr><td rowspan=2>A<td>1|2<tr><td><ul><li>x<li>y</ul><tr><td colspan=2>both</table>
<table><tr><td><h3>Laid out</h3>left<td>right</table>
<pre>  keep
   # this</pre><p># no heading</p><details><summary>More</summary>folded</details><img alt="A graph" src="x">
<svg><text>drawn</text></svg><button>Press</button></body></html>"""

TEXT = """# Asthma

Count 10^9/L, H2O & ~~5~~ 6 mg.
Next line.

tail

## Steps now

- a
- b

  more

  3. c
  4. d

Doses

| Drug | Dose |
| --- | --- |
| A | 1\\|2 |
| A | - x - y |
| both |  |

### Laid out

left

right

````
  keep
   # this
````

\\# no heading

More

folded

[image: A graph]
"""


def test_a_page_becomes_markdown_with_its_address(tmp_path: Path) -> None:
    put(tmp_path, a__page_html=PAGE.encode())
    (document,) = corpus(tmp_path, "html", extra="access: private\n").documents()
    assert document.text == TEXT
    assert (document.id, document.title, document.date) == ("a/page", "Asthma", "2032-03-01")
    assert document.source == "https://example.org/asthma"
    assert document.license == "https://creativecommons.org/licenses/by/4.0/"
    assert document.citation == "A. Author. Asthma. Example Trust. 2032-03-01. https://example.org/asthma"
    assert document.access == "private"
    assert [one.heading for one in sections(TEXT, "Asthma")] == ["", "Steps now", "Steps now > Laid out"]


SEEN = b"""<meta charset=utf-8><style>
.note{display:none} @media print{.kept1{display:none}} .kept2{display:none} .kept2.on{display:block}
/* .kept3{display:none} */ p.q, #z {margin: 0; visibility: hidden}</style>
<style media=print>.kept1, h2 {display: none}</style>
<body><header><button aria-controls=menu>Menu</button><ul id=menu hidden><li>No</ul></header>
<h2><button aria-controls=s1>Dose</button></h2><div id=s1 hidden>Give 5 mg.</div>
<button><h3>Route</h3></button><p class=note>No<p class=kept1>Kept 1<p class=kept2>Kept 2<p class=kept3>Kept 3
<p class=q>No<p id=z>No<p style="color:red; DISPLAY : none">No<p hidden>No<p hidden=until-found>Kept 4
<div aria-hidden=true>No</div><div aria-hidden=false>Kept 5</div><div role=tabpanel hidden>Kept 6</div>
<table><tr><th><button>Age</button><th>mg<tr><td>1<td>2</table><button>Print</button>
<article>Kept 7<footer>By A.</footer></article><p>Fact<sup><a href=#n1>1</a></sup>
<footer><ol><li id=n1>The source</ol></footer><footer id=end>Imprint</footer><div role=contentinfo>No</div>"""


def test_a_page_is_what_its_reader_sees_or_can_open() -> None:
    (found,) = page(SEEN)
    assert found["text"].split("\n\n") == [
        "## Dose", "Give 5 mg.", "### Route", "Kept 1", "Kept 2", "Kept 3", "Kept 4", "Kept 5", "Kept 6",
        "| Age | mg |\n| --- | --- |\n| 1 | 2 |", "Kept 7", "By A.", "Fact^1", "1. The source\n",
    ]  # fmt: skip


def test_a_page_saved_under_a_notice_keeps_its_text() -> None:
    (found,) = page(b"<div aria-hidden=true><h1>Gout</h1><p>Rest.</div><div role=dialog>Accept all?</div>")
    assert found["text"] == "# Gout\n\nRest.\n"


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_the_page_with_hidden_parts_among_the_cases() -> None:
    (found,) = page((CASES / "06-html-page" / "page.html").read_bytes())
    assert found["text"].startswith("# Sulfacort\n\nStart at 20 mg a day.^3 Stop below 0.5×10^9/L")
    for hidden in ("cookies", "900", "Loading", "Ward 7", "Home"):
        assert hidden not in found["text"], hidden
    assert "Halve the dose when eGFR is under 30.\n\nSee also: Prednol" in found["text"]


def test_pages_come_from_archives_and_the_main_part_is_taken(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed:
        packed.writestr("x/a.htm", "<header>Banner</header><main><p>Kept</main><footer>Foot</footer>")
        packed.writestr("x/b.html", "<header>Banner</header><main></main><p>All<footer>Foot</footer>")
        packed.writestr("x/c.css", "p {}")
    made = corpus(tmp_path, "html", "data.zip", "cite: '{title}, {id}'\n")
    assert [(one.id, one.title, one.text, one.citation) for one in made.documents()] == [
        ("x/a", "a", "Kept\n", "a, x/a"),
        ("x/b", "b", "Banner\n\nAll\n", "b, x/b"),
    ]
    assert made.ignored == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<p>café".encode(), "<p>café"),
        ("\ufeff<p>café".encode(), "<p>café"),
        ("<p>café".encode("utf-16"), "<p>café"),
        (b'<meta charset="iso-8859-1">\x93caf\xe9\x94', '<meta charset="iso-8859-1">“café”'),
        (b'<META http-equiv=Content-Type content="text/html; charset=windows-1251">\xe4',
         '<META http-equiv=Content-Type content="text/html; charset=windows-1251">д'),
        (b'<?xml version="1.0" encoding="ISO-8859-15"?>\xa4', '<?xml version="1.0" encoding="ISO-8859-15"?>€'),
        ('<meta charset="latin1">café'.encode(), '<meta charset="latin1">café'),
    ],
)  # fmt: skip
def test_encodings_are_told(data: bytes, text: str) -> None:
    assert decoded(data) == text


def test_pages_that_cannot_be_read_are_rejected_with_the_reason(tmp_path: Path) -> None:
    put(
        tmp_path,
        a_html=b"<p>caf\xe9",
        b_html=b'<meta charset="utf-8">caf\xe9',
        c_html=b'<meta charset="klingon">x',
        d_html=b'<meta charset="unicode_escape">x',
        e_html=b"<script>only()</script><nav>x</nav>",
        f_html=b"",
        g_html=b"<p>a\x00b",
        h_html=b"<p>good",
    )
    assert [one.id for one in corpus(tmp_path, "html").documents()] == ["h"]
    reasons = refused(tmp_path)
    for name, words in (
        ("a", 'is not UTF-8 (byte 0xe9 at offset 6), and declares no encoding; convert it to UTF-8, or add <meta'),
        ("b", "is not UTF-8 (byte 0xe9 at offset 25), and declares the encoding utf-8"),
        ("c", "declares the encoding klingon, which nobody knows"),
        ("d", "which is none of the web's"),
        ("e", "the page has no text"),
        ("f", "no text"),
        ("g", "NUL"),
    ):  # fmt: skip
        assert words in reasons.pop(f"{name}.html:0")
    assert not reasons


def test_external_entities_and_includes_stay_unread(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    entity = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{secret}">]><p>before &x; after<iframe src="file://{secret}">'
    (found,) = page(entity.encode())
    assert "secret words" not in found["text"]
    assert "before &x; after" in found["text"]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, a_html=b"<p>a")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for reader in ("html", "pdf"):
        with pytest.raises(MissingDependencyError, match=rf"pip install 'ragmed\[{reader}\]'"):
            list(corpus(tmp_path, reader).documents())
