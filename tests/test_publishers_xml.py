"""Safe XML, formulas, CNXML modules and OpenStax books."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, load_recipe, safe_xml
from ragmed.corpora.cnxml import exercises_text, module_text
from ragmed.corpora.inline import running_text
from ragmed.corpora.mathml import math_text, raised
from ragmed.corpora.safe_xml import local, parse_xml
from ragmed.errors import DataError, UsageError
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)

# ---- safe XML

LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


def test_xml_is_read_as_by_the_standard_library() -> None:
    root = parse_xml('<a xmlns="urn:x" xmlns:y="urn:y" y:k="v">é<b/>&lt;tail<!-- no --></a>'.encode())
    assert (root.tag, dict(root.attrib), root.text) == ("{urn:x}a", {"{urn:y}k": "v"}, "é")
    assert (local(root[0]), root[0].tail) == ("b", "<tail")
    assert parse_xml('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1")).text == "é"
    assert parse_xml("<a>é</a>".encode("utf-16")).text == "é"


def test_a_doctype_that_names_its_dtd_is_passed_over_and_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.dtd").write_text('<!ENTITY own "SECRET">')
    start = f'<!DOCTYPE a PUBLIC "-//X//EN" "file://{tmp_path}/a.dtd"><a>'
    assert parse_xml(f"{start}1&nbsp;&alpha;</a>".encode()).text == "1\xa0α"
    with pytest.raises(ValueError, match="refers to the entity 'own', which only its DTD explains"):
        parse_xml(f"{start}&own;</a>".encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (f"{LAUGHS}]><l>&j;</l>", "a DTD of its own"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "a DTD of its own"),
        ('<!DOCTYPE a [<!ENTITY % x SYSTEM "http://localhost/x.dtd"> %x;]><a/>', "a DTD of its own"),
        ('<!DOCTYPE a [<!ATTLIST a b CDATA "x">]><a/>', "a DTD of its own"),
        ("<a>" * 201 + "</a>" * 201, "nested deeper than 200"),
        ("<a>" + "<b/>" * 60 + "</a>", "more than 50 elements"),
        ("<a>" + "x" * 3000 + "</a>", "larger than 2000 bytes"),
        ("<a><b></a>", "not well-formed XML: mismatched tag: line 1"),
        ("", "not well-formed XML: no element found"),
        ("plain", "not well-formed XML"),
        ("<a>&nbsp;</a>", "not well-formed XML: undefined entity"),
        ('<?xml version="1.0" encoding="x-none"?><a/>', "unknown encoding|not known here"),
        ("<a>\x00</a>", "not well-formed XML"),
    ],
)
def test_hostile_or_broken_xml_is_refused(monkeypatch: pytest.MonkeyPatch, data: str, words: str) -> None:
    monkeypatch.setattr(safe_xml, "MAX_ELEMENTS", 50 if "<b/>" in data else 10_000)
    monkeypatch.setattr(safe_xml, "MAX_XML_BYTES", 2000)
    started = time.monotonic()
    with pytest.raises(ValueError, match=words):
        parse_xml(data.encode())
    assert time.monotonic() - started < 2


# ---- formulas


def formula(inner: str) -> str:
    prefixed = inner.replace("<", "<m:").replace("<m:/", "</m:")
    return math_text(parse_xml(f'<m:math xmlns:m="urn:m">{prefixed}</m:math>'.encode()))


@pytest.mark.parametrize(
    ("base", "above", "text"),
    [("10", "6", "10^6"), ("10", "−6", "10^−6"), ("Ca", "2+", "Ca2+"), ("Na", "+ ", "Na+ "), ("HCO3", "−", "HCO3−"),
     ("SO4", "2−", "SO4^2−"), ("mm", "3", "mm3"), ("s", "−1", "s^−1"), ("the ", "14", "the 14"), ("17", "th", "17th"),
     ("98", "°", "98°"), ("I", "A", "I^A"), ("HPO4", "2 −", "HPO4^2−"), ("x", "a b", "x^(a b)"), ("(a)", "2", "(a)^2")],
)  # fmt: skip
def test_superscripts_never_change_a_number(base: str, above: str, text: str) -> None:
    assert raised(base, above) == text


def test_a_superscript_in_italics_is_of_what_stands_before() -> None:
    assert running_text(parse_xml(b"<p>2<i><sup>n</sup></i>, 10<b><i><sup>6</sup></i></b></p>")) == "2^n, 10^6"


def test_formulas_are_readable() -> None:
    fraction = "<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><msup><mn>10</mn><mn>3</mn></msup></mfrac>"
    assert formula(f"<mi>x</mi><mo>=</mo>{fraction}") == "x = (a + b)/10^3"
    water = "<msub><mtext>H</mtext><mn>2</mn></msub><mtext>O</mtext>"
    assert formula(f"{water}<munder><mo>→</mo><mtext>heat</mtext></munder><mtext>steam</mtext>") == "H2O → (heat) steam"
    assert formula("<msubsup><mtext>HCO</mtext><mn>3</mn><mo>−</mo></msubsup>") == "HCO3−"
    assert formula("<msqrt><mn>2</mn></msqrt><mfenced><mi>a</mi><mi>b</mi></mfenced>") == "sqrt(2)(a, b)"
    assert formula("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd/></mtr></mtable>") == "1 2"


# ---- modules

MODULE = """<document xmlns="http://cnx.rice.edu/cnxml"><title>Tarn <emphasis>Fever</emphasis></title>
<metadata xmlns:md="http://cnx.rice.edu/mdml"><md:title>Tarn Fever</md:title><md:content-id>m1</md:content-id>
<md:abstract><para id="o">You will be able to:</para><list><item>Name it</item></list></md:abstract></metadata>
<content><para id="p">Fever of 10<sup>6</sup> in <emphasis effect="italics">Tarn</emphasis> men
  (<link target-id="f1"/>).<footnote id="n">Tarn <emphasis>2031</emphasis>.</footnote> It has <list id="i"
  display="inline"><item>one</item><item>two</item></list> stages.</para>
<figure id="f1"><title>A tarn</title><media alt="A lake"><image src="a.jpg"/></media><caption>Deep</caption></figure>
<figure id="f2"><media alt="A hill"><image src="b.jpg"/></media></figure>
<section id="s"><title>Signs</title><para id="q">Heat.</para>
 <note id="c" class="micro clinical-focus"><title>Part 1</title><para id="r">Jo is hot.</para></note>
 <list id="l" list-type="enumerated" number-style="upper-alpha"><item>Red</item>
   <item>Hot<list id="k"><item>very</item></list></item></list>
 <equation id="e"><m:math xmlns:m="urn:m"><m:mi>x</m:mi><m:mo>=</m:mo><m:mn>1</m:mn></m:math></equation>
 <section id="t"><title>Late</title><para id="u">Cold.</para></section></section>
<table id="tb" summary="s"><title>Doses</title><tgroup cols="3"><colspec colname="c1"/><colspec colname="c2"/>
 <colspec colname="c3"/><thead><row><entry>Drug</entry><entry namest="c2" nameend="c3">Dose</entry></row></thead>
 <tbody><row><entry morerows="1">A|B</entry><entry>1</entry><entry>mg</entry></row>
 <row><entry>2</entry><entry>g</entry></row></tbody></tgroup></table>
<section id="x" class="review"><title>Review</title>
 <exercise id="x1"><problem id="x2"><para id="x3">What is it?</para><list id="x4" list-type="enumerated"
 number-style="lower-alpha"><item>a lake</item><item>a fever</item></list></problem>
 <solution id="x5"><label/><para id="x6">B</para></solution></exercise>
 <exercise id="y1"><problem id="y2"><para id="y3">Why?</para></problem></exercise></section></content>
<glossary><definition id="d"><term>tarn</term><meaning>a <term>lake</term></meaning></definition></glossary>
</document>"""


def test_a_module_is_written_as_markdown() -> None:
    assert module_text(parse_xml(MODULE.encode())).split("\n\n") == [
        "You will be able to:",
        "- Name it",
        "Fever of 10^6 in Tarn men (Figure). [1] It has",
        "- one\n- two",
        "stages.",
        "Figure: A tarn. Deep.",
        "[Image: A hill]",
        "## Signs",
        "Heat.",
        "**Clinical focus: Part 1**",
        "Jo is hot.",
        "A. Red\nB. Hot\n  - very",
        "x = 1",
        "### Late",
        "Cold.",
        "Table: Doses",
        "| Drug | Dose |  |\n| --- | --- | --- |\n| A\\|B | 1 | mg |\n| A\\|B | 2 | g |",
        "## Key Terms",
        "- tarn: a lake",
        "## Footnotes",
        "[1] Tarn 2031.",
    ]


def test_exercises_are_kept_apart_with_their_answers() -> None:
    assert exercises_text(parse_xml(MODULE.encode())).split("\n\n") == [
        "## Review", "1. What is it?", "a. a lake\nb. a fever", "Answer: B", "2. Why?",
    ]  # fmt: skip
    assert exercises_text(parse_xml(b"<document><content/></document>")) == ""


# ---- books

BOOK = """<col:collection xmlns:col="http://cnx.rice.edu/collxml" xmlns:md="http://cnx.rice.edu/mdml"><col:metadata>
<md:title>Tarns</md:title><md:slug>tarns</md:slug><md:license url="http://creativecommons.org/licenses/by/4.0/"/>
</col:metadata><col:content><col:module document="m3"/><col:subcollection><md:title>Fevers</md:title><col:content>
<col:module document="m1"/><col:module document="m9"/><col:module document="m3"/></col:content></col:subcollection>
</col:content></col:collection>"""
PLAIN = (
    '<document xmlns="http://cnx.rice.edu/cnxml"><title>Preface</title><content><para>Hi.</para></content></document>'
)
FILES = {
    "collections/tarns.collection.xml": BOOK, "modules/m1/index.cnxml": MODULE, "modules/m2/index.cnxml": PLAIN,
    "modules/m3/index.cnxml": PLAIN, "META-INF/books.xml": "<container/>", "media/a.jpg": "x",
}  # fmt: skip


def book(folder: Path, files: dict[str, str], more: str = "") -> Corpus:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"osbooks-tarns-0123/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    (folder / "book.tgz").write_bytes(gzip.compress(data.getvalue()))
    (folder / "recipe.yaml").write_text(f"title: T\nreader: openstax\npaths: [book.tgz]\nlicense: L\n{more}")
    made = load_recipe(folder / "recipe.yaml", data=folder)
    return Corpus(made, rejected=folder / "rejected.jsonl")


def test_a_book_is_read_in_its_order(tmp_path: Path) -> None:
    corpus = book(tmp_path, FILES)
    preface, fever = corpus.documents()
    assert (preface.id, preface.title, preface.text) == ("m3", "Preface", "Hi.")
    assert (fever.id, fever.title, fever.license) == ("m1", "Tarn Fever (Fevers)", "CC BY 4.0")
    assert fever.citation == "Tarn Fever (Fevers). Tarns, OpenStax, CC BY 4.0, https://openstax.org/details/books/tarns"
    assert fever.source == "https://openstax.org/details/books/tarns"
    refused = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [one["reason"] for one in refused] == ["the module 'm9' that it names is missing"]
    assert corpus.ignored == 3  # m2, which no collection names; the picture; the other XML


def test_the_exercises_of_a_book_are_a_corpus_of_their_own(tmp_path: Path) -> None:
    corpus = book(tmp_path, FILES, "exercises: only\n")
    assert [one.id for one in corpus.documents()] == ["m1"]
    assert corpus.ignored == 4
    with pytest.raises(UsageError, match="'exercises' is one of exclude, only"):
        book(tmp_path, FILES, "exercises: both\n")


def test_a_broken_module_is_rejected_once_and_a_book_needs_a_collection(tmp_path: Path) -> None:
    corpus = book(tmp_path, {**FILES, "modules/m1/index.cnxml": "<document>"})
    assert [one.id for one in corpus.documents()] == ["m3"]
    assert (corpus.rejected, corpus.records) == (2, 3)
    files = {name: text for name, text in FILES.items() if "collection" not in name}
    with pytest.raises(DataError, match=r"book\.tgz' holds no collection file; name the folder"):
        list(book(tmp_path, files).documents())


@pytest.mark.parametrize(
    ("name", "modules", "characters", "headings", "rows", "figures", "terms", "notes"),
    [
        ("anatomy-physiology", 198, 3_317_836, 1425, 1060, 720, 3190, 0),
        ("microbiology", 159, 3_021_324, 1132, 1077, 758, 0, 458),
    ],
)
def test_the_books_whole(
    name: str, modules: int, characters: int, headings: int, rows: int, figures: int, terms: int, notes: int
) -> None:
    made = load_recipe(WORKSPACE.recipe("corpora", name), data=WORKSPACE.data)
    if not made.paths[0].exists():
        pytest.skip(f"needs {made.paths[0]} (RAGMED_DATA)")
    corpus = Corpus(made)
    found: Counter[str] = Counter()
    for one in corpus.documents():
        assert not re.search(r"</?[a-z]+[ >]", one.text)
        found["headings"] += len(re.findall(r"(?m)^#{2,6} \S", one.text))
        found["rows"] += len(re.findall(r"(?m)^\| .*\|$", one.text))
        found["figures"] += len(re.findall(r"(?m)^Figure: ", one.text))
        found["terms"] += len(re.findall(r"(?m)^- [^\n:]+: ", one.text.partition("## Key Terms")[2]))
        found["notes"] += len(re.findall(r"(?m)^\[\d+\] ", one.text))
    assert (corpus.accepted, corpus.rejected, corpus.ignored, corpus.characters) == (modules, 0, 0, characters)
    assert [found[key] for key in ("headings", "rows", "figures", "terms", "notes")] == [
        headings, rows, figures, terms, notes
    ]  # fmt: skip
