"""Articles in JATS and chapters of StatPearls: invented ones in the publishers' formats, and what of them is read."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, load_recipe
from ragmed.records import Document

ARTICLE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.3 20210610//EN"
 "JATS-archivearticle1-3-mathml3.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"
 xmlns:ali="http://www.niso.org/schemas/ali/1.0/" article-type="research-article" xml:lang="en" dtd-version="1.3">
<front><journal-meta><journal-id journal-id-type="iso-abbrev">J Tarn Med</journal-id><journal-title-group>
<journal-title>Journal of Tarn Medicine</journal-title></journal-title-group></journal-meta>
<article-meta><article-id pub-id-type="pmid">101</article-id><article-id pub-id-type="pmc">1065065</article-id>
<article-id pub-id-type="doi">10.1000/tarn.1</article-id><article-categories><subj-group><subject>Trial</subject>
</subj-group></article-categories><title-group><article-title>Rest in <italic>Tarn</italic> fever</article-title>
<subtitle>a trial</subtitle></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Doe</surname><given-names>Jo Ann</given-names></name>
<xref ref-type="aff" rid="a1">1</xref></contrib><contrib contrib-type="author"><collab>Tarn Group</collab></contrib>
<contrib contrib-type="editor"><name><surname>Ed</surname></name></contrib></contrib-group>
<aff id="a1">Tarn Hospital</aff>
<pub-date pub-type="ppub"><month>4</month><year>2031</year></pub-date>
<pub-date pub-type="epub"><day>9</day><month>12</month><year>2030</year></pub-date>
<pub-date pub-type="pmc-release"><day>1</day><month>1</month><year>2030</year></pub-date>
<volume>12</volume><issue>3</issue><fpage>45</fpage><lpage>46</lpage>
<history><date date-type="received"><year>2029</year></date></history>
<permissions><copyright-statement>Copyright 2031, Doe</copyright-statement><license license-type="open-access"
xlink:href="http://creativecommons.org/licenses/by/4.0/"><license-p>Open access.</license-p></license></permissions>
<related-article related-article-type="retraction-forward" xlink:href="10.1000/tarn.9" ext-link-type="doi"/>
<abstract><sec><title>Background</title>
<p>Of 50<sup><xref ref-type="bibr" rid="r1">12</xref></sup> men, 10<sup>3</sup>
units.</p></sec><sec><title>Results</title><p>Rest helps.</p></sec></abstract>
<abstract abstract-type="plain-language-summary"><title>In plain words</title><p>Rest.</p></abstract>
<trans-abstract xml:lang="de"><p>Ruhe hilft.</p></trans-abstract>
<kwd-group><kwd>rest</kwd></kwd-group></article-meta></front>
<body><sec id="s1"><label>1.</label><title>Introduction</title>
<p>Fever is old [<xref ref-type="bibr" rid="r1">1</xref>].
It has<list list-type="bullet"><list-item><p>heat</p></list-item><list-item><p>chills</p></list-item></list> and more
(<xref ref-type="table" rid="t1">Table 1</xref>).</p>
<sec><title>Aims</title><p>To rest.<fn><p>In bed.</p></fn></p><disp-formula id="e1"><label>(1)</label><alternatives>
<tex-math id="M1">\\documentclass{minimal}\\begin{document}$$x = 1$$\\end{document}</tex-math>
<mml:math><mml:mi>x</mml:mi>
<mml:mo>=</mml:mo><mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:mfrac></mml:math></alternatives></disp-formula>
<disp-formula>
<tex-math>\\documentclass{minimal}\\begin{document}$$\\alpha + 1$$\\end{document}</tex-math></disp-formula>
</sec></sec>
<sec><title>Results</title>
<table-wrap id="t1"><label>Table 1</label><caption><title>Doses</title><p>By group.</p></caption><table frame="hsides">
<thead><tr><th rowspan="2">Drug</th><th colspan="2">Dose</th></tr><tr><th>Day</th><th>Night</th></tr></thead><tbody>
<tr><td rowspan="2">A|B</td><td>5 mg</td><td>10<sup>2</sup> mg<sup>a</sup></td></tr><tr><td>6 mg</td><td/></tr></tbody>
</table>
<table-wrap-foot><fn id="f1"><label>a</label><p>Once.</p></fn><p>mg, milligram.</p></table-wrap-foot></table-wrap>
<fig id="g1"><label>Figure 1</label><caption><title>Fever curve</title><p>It falls</p></caption><graphic
xlink:href="g1"/></fig>
<boxed-text><caption><title>Key points</title></caption><p>Rest well.</p></boxed-text>
<def-list><def-item><term>TF</term><def><p>Tarn fever</p></def></def-item></def-list></sec></body>
<back><ack><p>We thank Ed.</p></ack><app-group><app><title>Appendix A</title><p>More data.</p></app></app-group>
<glossary><title>Abbreviations</title><def-list><def-item><term>RCT</term><def><p>trial</p></def></def-item></def-list>
</glossary><ref-list><title>References</title><ref id="r1"><mixed-citation>Old J. 1999;1:1</mixed-citation></ref>
</ref-list></back>
<floats-group><fig id="g2"><label>Figure 2</label><caption><p>A bed.</p></caption></fig></floats-group>
<sub-article article-type="reviewer-report"><front-stub><title-group><article-title>Review</article-title></title-group>
</front-stub><body><p>Fine.</p></body></sub-article></article>
"""

TEXT = """Related article (retraction forward): 10.1000/tarn.9

## Abstract

### Background

Of 50 men, 10^3 units.

### Results

Rest helps.

## In plain words (plain-language-summary)

Rest.

## Abstract (de)

Ruhe hilft.

## Introduction

Fever is old [1]. It has

- heat
- chills

and more (Table 1).

### Aims

To rest. [In bed.]

x = 1/2 (1)

\\alpha + 1

## Results

Table 1. Doses. By group.

| Drug | Dose |  |
| Drug | Day | Night |
| --- | --- | --- |
| A\\|B | 5 mg | 10^2 mg^a |
| A\\|B | 6 mg |  |

a Once.
mg, milligram.

Figure 1. Fever curve. It falls.

**Key points**

Rest well.

- TF: Tarn fever

## Figures and tables

Figure 2. A bed.

## Appendix A

More data.

## Abbreviations

- RCT: trial"""


def small(pmc: str, body: str = "<p>Text.</p>", *, ids: str = "", more: str = "") -> str:
    named = f'<article-id pub-id-type="pmcid">{pmc}</article-id>' if pmc else ids
    return (
        f"<article><front><article-meta>{named}<title-group><article-title>T {pmc}</article-title></title-group>{more}"
        f"</article-meta></front><body>{body}</body></article>"
    )


def corpus(folder: Path, reader: str, files: dict[str, str | bytes], options: str = "", path: str = "in") -> Corpus:
    for name, data in files.items():
        place = folder / "in" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
    (folder / "recipe.yaml").write_text(f"title: T\nreader: {reader}\npaths: [{path}]\nlicense: L\n{options}\n")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def read(folder: Path, reader: str, files: dict[str, str | bytes], options: str = "") -> list[Document]:
    return list(corpus(folder, reader, files, options).documents())


def refused(folder: Path) -> dict[str, str]:
    records = map(json.loads, (folder / "rejected.jsonl").read_text().splitlines())
    return {Path(one["file"]).name: one["reason"] for one in records}


def tar_gz(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            packed.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


# ---- JATS


def test_an_article_is_read_whole(tmp_path: Path) -> None:
    made = corpus(tmp_path, "jats", {"x.xml": ARTICLE})
    (found,) = made.documents()
    assert found.text == TEXT
    assert (found.id, found.title) == ("PMC1065065", "Rest in Tarn fever: a trial")
    assert (found.date, found.license) == ("2030-12-09", "CC BY 4.0")
    assert found.source == "https://pmc.ncbi.nlm.nih.gov/articles/PMC1065065/"
    assert found.citation == (
        "Doe JA, Tarn Group. Rest in Tarn fever. Journal of Tarn Medicine. 2030;12(3):45-46. doi:10.1000/tarn.1. "
        "PubMed Central PMC1065065"
    )
    assert (made.records, made.left_out) == (1, 1)
    assert "left out: " in made.describe()
    assert "a sub-article (reviewer-report)" in made.describe()


REF, FOOT = '<xref ref-type="bibr" rid="r1">', '<xref ref-type="table-fn" rid="f1">'


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("Of 50<sup>" + REF + "12</xref></sup> men", "Of 50 men"),
        ("Of 50" + REF + "<sup>12</sup></xref> men", "Of 50 men"),
        ("Of 50" + REF + "<sup>1</sup></xref><sup>,</sup>" + REF + "<sup>2</sup></xref>.", "Of 50."),
        ("Of 50<sup>[" + REF + "1</xref>–" + REF + "3</xref>]</sup>.", "Of 50."),
        ("Of 50 [" + REF + "12</xref>].", "Of 50 [12]."),
        ("Of 50 (" + REF + "1</xref>, " + REF + "2</xref>).", "Of 50 (1, 2)."),
        ("Of 50" + REF + "12</xref> men", "Of 50 men"),
        ("Of 50." + REF + "1</xref>,\n" + REF + "2</xref>–" + REF + "4</xref> Men", "Of 50. Men"),
        ("Of 50" + REF + "<sup>1</sup></xref>, " + REF + "<sup>2</sup></xref>, men", "Of 50, men"),
        ("by " + REF + "Doe 1999</xref> and ref. " + REF + "7</xref>", "by Doe 1999 and ref. 7"),
        ("5" + FOOT + "2</xref> mg", "5 [2] mg"),
        ("12.5<sup>" + FOOT + "1</xref>," + FOOT + "2</xref></sup> mg", "12.5 [1,2] mg"),
        ("12.5<sup>" + FOOT + "1*</xref></sup> mg", "12.5 [1*] mg"),
        ("12.5<sup>" + FOOT + "1</xref></sup><sup>,</sup><sup>" + FOOT + "2</xref></sup>", "12.5 [1], [2]"),
        ("by Doe" + REF + "1999</xref>, see ref." + REF + "7</xref>", "by Doe1999, see ref.7"),
        ("5 mg" + FOOT + "2</xref>/day, 50" + REF + "12a</xref>", "5 mg [2]/day, 50"),
        ("<sup>1</sup>50 men", "1 50 men"),
        ("<sup>1</sup><bold>50</bold> men, then <sup>1,2</sup>50, <sup>14</sup>C", "1 50 men, then 1,2 50, 14C"),
        ("see " + REF + "3</xref>," + REF + "4</xref> on it", "see 3,4 on it"),
        ("(50" + REF + "12</xref>), (1950–2010" + REF + "12</xref>)", "(50), (1950–2010)"),
        ("45 (12" + FOOT + "1</xref>), as Doe" + REF + "2005a</xref>", "45 (12 [1]), as Doe2005a"),
        ("aged 50," + REF + "120</xref> and [6," + REF + "7</xref>]", "aged 50, and [6,7]"),
        ("[" + REF + "1</xref>–" + REF + "3</xref>], (" + REF + "4</xref>,", "[1–3], (4,"),
        ("at 5 mg/dL" + REF + "5</xref>; was it?" + REF + "6</xref>", "at 5 mg/dL; was it?"),
        ("see Table 5 " + FOOT + "2</xref>", "see Table 5 2"),
        ("12.5" + FOOT + "<sup>1</sup></xref> mg", "12.5 [1] mg"),
        ("12.5<sup>" + FOOT + "1</xref></sup> mg", "12.5 [1] mg"),
        ("Dose" + FOOT + "<sup>*</sup></xref>", "Dose*"),
        ("10<italic><sup>6</sup></italic> cells", "10^6 cells"),
        ("10<bold>9<sup>6</sup></bold> cells", "109^6 cells"),
        ("10<inline-formula><sup>-3</sup></inline-formula> M", "10^-3 M"),
        ("Ca<italic><sup>2+</sup></italic>, HCO3<sup>-</sup>, 5<sup>*</sup>", "Ca2+, HCO3-, 5*"),
    ],
)
def test_raised_marks_never_change_a_number(tmp_path: Path, marked: str, said: str) -> None:
    body = f"<p>{marked}</p><table-wrap><table><tr><td>{marked}</td></tr></table></table-wrap>"
    assert read(tmp_path, "jats", {"a.xml": small("PMC1", body)})[0].text.split("\n\n") == [said, f"| {said} |"]


def test_nothing_of_a_figure_a_file_a_definition_or_a_footnote_is_lost(tmp_path: Path) -> None:
    body = (
        "<supplementary-material><label>File 1</label><media><caption><p>Data of all.</p></caption></media>"
        "</supplementary-material><supplementary-material><p>More data.</p></supplementary-material>"
        "<fig><label>Fig 1</label><caption><p>A bed.</p></caption><p>Made of oak.</p><graphic/></fig>"
        "<table-wrap><label>Table 1</label><table><tr><td>a</td></tr></table><p>Of 31 men.</p><fn-group><fn>"
        "<p>Once.</p></fn></fn-group></table-wrap>"
        "<def-list><def-item><term>TF</term><def><p>Tarn fever</p></def><def><p>also transferrin</p></def></def-item>"
        '</def-list><p>All of 31<xref ref-type="fn" rid="n1 n9">1</xref> men, '
        '5%<xref ref-type="fn" rid="n2">2</xref>.</p>'
    )
    notes = (
        '<back><fn-group><fn id="n1"><label>1</label><p>Not in children.</p></fn><fn id="n0"><p>Neutral.</p></fn>'
        '<fn fn-type="abbr"><p>TF, Tarn fever.</p></fn>'
        '<fn fn-type="COI-statement"><p>None.</p></fn><fn id="n2"><p><sup>2</sup>95% CI.</p></fn></fn-group></back>'
    )
    article = small("PMC1", body).replace("</article>", notes + "</article>")
    assert read(tmp_path, "jats", {"a.xml": article})[0].text.split("\n\n") == [
        "File 1. Data of all.", "More data.", "Fig 1. A bed.", "Made of oak.", "Table 1.", "| a |", "Of 31 men.",
        "Once.", "- TF: Tarn fever; also transferrin", "All of 31 [1] men, 5% [2].", "## Footnotes",
        "1 Not in children.\nTF, Tarn fever.\n2 95% CI.",
    ]  # fmt: skip


def test_an_archive_of_articles_is_read_in_place(tmp_path: Path) -> None:
    name = "oa_comm_xml.PMC000xxxxxx.baseline.2031-06-26.tar.gz"
    files = {"PMC000xxxxxx/PMC1.xml": small("PMC1"), "PMC000xxxxxx/PMC22.xml": small("", ids="")}
    made = corpus(tmp_path, "jats", {name: tar_gz(files)}, path=f"in/{name}")
    assert [one.id for one in made.documents()] == ["PMC1", "PMC22"]


def test_sets_of_articles_namespaces_and_ids(tmp_path: Path) -> None:
    spaced = small("").replace("<article>", '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.4/">')
    ids = '<article-id pub-id-type="{}">{}</article-id>'
    sets = f"<pmc-articleset>{small('PMC7')}{small('', ids=ids.format('pmcaid', '8'))}{small('')}</pmc-articleset>"
    found = read(
        tmp_path, "jats", {"PMC5.xml": spaced, "PMC6.nxml": small("", ids=ids.format("pmc", "PMC66")), "s.xml": sets}
    )
    assert [(one.id, one.text, one.license, one.date) for one in found] == [
        (name, "Text.", "L", "") for name in ("PMC5", "PMC66", "PMC7", "PMC8")
    ]
    assert refused(tmp_path) == {"s.xml": "it has no PMC id, and its file's name is none, such as PMC1065065.xml"}


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        ("<license><license-p>See <ext-link xmlns:x='http://www.w3.org/1999/xlink' x:href="
         "'https://creativecommons.org/licenses/by-nc-nd/4.0/'>here</ext-link></license-p></license>",
         "CC BY-NC-ND 4.0"),
        ("<license><license_ref>https://creativecommons.org/publicdomain/zero/1.0/</license_ref></license>", "CC0 1.0"),
        ("<license xmlns:a='http://www.niso.org/schemas/ali/1.0/'><a:license_ref>"
         "http://creativecommons.org/licenses/by/2.0"
         "</a:license_ref></license>", "CC BY 2.0"),
        ("<copyright-statement>Copyright 2031.</copyright-statement><license><license-p>Ask.</license-p></license>",
         "Copyright 2031."),
        ("", "L"),
    ],
)  # fmt: skip
def test_the_licence_is_the_articles_own(tmp_path: Path, permissions: str, said: str) -> None:
    (found,) = read(tmp_path, "jats", {"a.xml": small("PMC1", more=f"<permissions>{permissions}</permissions>")})
    assert found.license == said


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ("<pub-date pub-type='collection'><year>2031</year></pub-date>"
         "<pub-date pub-type='epub'><day>3</day><month>2</month>"
         "<year>2031</year></pub-date>", "2031-02-03"),
        ("<pub-date pub-type='pmc-release'><year>2030</year></pub-date>", "2030"),
        ("<pub-date date-type='pub' publication-format='electronic'>"
         "<day>31</day><month>6</month><year>2031</year></pub-date>",
         "2031-06"),
        ("<pub-date date-type='retracted'><year>2030</year></pub-date>", ""),
    ],
)  # fmt: skip
def test_the_date_is_that_of_first_publication(tmp_path: Path, dates: str, said: str) -> None:
    (found,) = read(tmp_path, "jats", {"a.xml": small("PMC1", more=dates)})
    assert found.date == said


def test_files_that_are_no_article_or_hurt_are_told(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    spans = "<td rowspan='100' colspan='100'>x</td>" * 20
    files: dict[str, str | bytes] = {
        "PMC1.xml": small("PMC1"),
        "b.xml": "<html/>",
        "c.xml": laughs + small("PMC3", "<p>&b;</p>"),
        "d.xml": small("PMC4", "").replace("<body></body>", ""),
        "e.xml": small("PMC5", "<p>" + "aaaaaaaaaa<bold>b</bold>" * 40_000 + "</p>"),
        "f.xml": small("PMC6", f"<table-wrap><table>{f'<tr>{spans}</tr>' * 2000}</table></table-wrap>"),
        "g.xml": small("PMC7", "<p>" + "<bold>" * 60 + "x" + "</bold>" * 60 + "</p>"),
        "h.xml": small("PMC8")[:-20],
        "i.xml": "<pmc-articleset/>",
        "j.txt": "x",
    }
    made = corpus(tmp_path, "jats", files)
    assert [one.id for one in made.documents()] == ["PMC1"]
    assert refused(tmp_path) == {
        "b.xml": "its root is <html>, <article> was expected: not an article in JATS",
        "c.xml": "the XML brings a DTD of its own, which is not read",
        "d.xml": "it has neither an abstract nor a body",
        "e.xml": "a text with links or formats in it is longer than 262144 characters",
        "f.xml": "a table whose cells span so many rows and columns that it passes 4194304 characters",
        "g.xml": "markup nested deeper than 50 elements",
        "h.xml": "not well-formed XML: unclosed token: line 1, column 180",
        "i.xml": "a <pmc-articleset> without an <article>",
    }
    assert made.ignored == 1


@pytest.mark.parametrize(
    ("opening", "closing", "deep"),
    [
        ("<sec><title>t</title>", "</sec>", 190),
        ("<p><list><list-item>", "</list-item></list></p>", 60),
        ("<p><fn>", "</fn></p>", 90),
        ("<table-wrap><table><tr><td>", "</td></tr></table></table-wrap>", 48),
        ("<table-wrap><label>", "</label></table-wrap>", 90),
        ("<fig><caption><title>", "</title></caption></fig>", 60),
        ("<def-list><def-item><def>", "</def></def-item></def-list>", 60),
        ("<inline-formula>", "</inline-formula>", 190),
    ],
)
def test_articles_nested_deeply_are_read_or_refused_at_once(
    tmp_path: Path, opening: str, closing: str, deep: int
) -> None:
    files: dict[str, str | bytes] = {
        "a.xml": small("PMC1", opening * deep + "x" + closing * deep),
        "b.xml": small("PMC2"),
    }
    start = time.process_time()
    assert "PMC2" in [one.id for one in read(tmp_path, "jats", files)]
    assert time.process_time() - start < 5


# ---- StatPearls

LONG = "A long sentence on fluids that goes on. " * 6
CHAPTER = f"""<?xml version="1.0"?>
<!DOCTYPE book-part-wrapper PUBLIC "-//NLM//DTD BITS Book Interchange DTD v2.0 20151225//EN" "BITS-book2.dtd">
<book-part-wrapper xmlns:xlink="http://www.w3.org/1999/xlink" content-type="chapter" id="article-17">
<book-meta><book-id book-id-type="pmcid">statpearls</book-id><book-title-group><book-title>StatPearls</book-title>
</book-title-group><permissions><license xlink:href="http://creativecommons.org/licenses/by-nc-nd/4.0/">
<license-p>x</license-p>
</license></permissions></book-meta>
<book-part book-part-type="chapter"><book-part-meta><book-part-id book-part-id-type="pmcid">article-17</book-part-id>
<title-group><title>Tarn Fever</title></title-group><contrib-group><contrib contrib-type="author"><name>
<surname>Doe</surname><given-names>Jo</given-names></name></contrib></contrib-group><pub-history><date
date-type="revised"><day>7</day><month>8</month><year>2031</year></date></pub-history></book-part-meta>
<body><sec id="article-17.s1" sec-type="Introduction"><title>Introduction</title>
<p>Fever of 10<sup>3</sup> <bold>men</bold>
[<xref ref-type="bibr" rid="r1">1</xref>].</p><p>Short.</p><list list-type="bullet"><list-item><p>heat</p></list-item>
<list-item><p>chills</p></list-item></list></sec>
<sec id="article-17.s2"><title>Treatment</title><p>{LONG}</p><p>{LONG}</p><p><bold>Fluids</bold></p><list><list-item>
<p>water</p></list-item></list><p>{LONG}</p><p><bold>Drugs </bold></p><p>None.</p>
<table-wrap><label>Table 1</label><table><tr><th>A</th></tr><tr><td>b</td></tr></table></table-wrap>
<sec><title>Children</title><p>Less.</p></sec></sec>
<sec><title>Lists</title>
<list>{"".join(f"<list-item><p>{'word ' * 60}{n}</p></list-item>" for n in range(4))}</list></sec>
<sec><title>Empty</title></sec></body>
<back><ref-list><title>References</title><ref id="r1"><mixed-citation>Old J</mixed-citation></ref></ref-list></back>
</book-part></book-part-wrapper>"""
CONTENTS = "<book-part-wrapper><book-part><body><p>Tarn Fever</p></body></book-part></book-part-wrapper>"


def test_statpearls_is_read_by_sections(tmp_path: Path) -> None:
    files = {"statpearls_NBK430685/article-17.nxml": CHAPTER, "statpearls_NBK430685/TOC.nxml": CONTENTS}
    made = corpus(tmp_path, "statpearls", {"s.tar.gz": tar_gz(files)}, path="in/s.tar.gz")
    found = list(made.documents())
    long = LONG.strip()
    assert [(one.id, one.title, one.text.replace(long, "LONG")) for one in found] == [
        ("article-17.s1", "Tarn Fever -- Introduction", "Fever of 10^3 men [1].\n\nShort.\n\n- heat\n- chills"),
        ("article-17.s2", "Tarn Fever -- Treatment", "LONG\n\nLONG"),
        ("article-17.s2.1", "Tarn Fever -- Treatment -- Fluids", "- water\n\nLONG"),
        ("article-17.s2.2", "Tarn Fever -- Treatment -- Drugs", "None.\n\nTable 1.\n\n| A |\n| --- |\n| b |"),
        ("article-17.s2.s1", "Tarn Fever -- Treatment -- Children", "Less."),
        ("article-17.s3", "Tarn Fever -- Lists", "\n".join(f"- {'word ' * 60}{n}" for n in range(4))),
    ]
    assert (found[0].date, found[0].license) == ("2031-08-07", "CC BY-NC-ND 4.0")
    assert found[0].citation == "Doe J. Tarn Fever -- Introduction. StatPearls. 2031. article-17"
    assert (made.rejected, made.ignored) == (0, 1)


def test_a_chapters_own_title_abstract_and_loose_text_are_read(tmp_path: Path) -> None:
    chapter = CHAPTER.replace("<book-meta>", "<book-meta><notes><title>Notice</title><p>x</p></notes>")
    chapter = chapter.replace("</book-part-meta>", "<abstract><p>In short.</p></abstract></book-part-meta>")
    chapter = chapter.replace("<body><sec", "<body><p>Before all.</p><sec", 1)
    found = read(tmp_path, "statpearls", {"article-17.nxml": chapter})
    assert [(one.id, one.title, one.text) for one in found][:2] == [
        ("article-17.abstract", "Tarn Fever -- Abstract", "In short."),
        ("article-17.0", "Tarn Fever", "Before all."),
    ]
    assert [one.title for one in found[2:4]] == ["Tarn Fever -- Introduction", "Tarn Fever -- Treatment"]


def test_statpearls_snippets_are_medrags(tmp_path: Path) -> None:
    """Ids, titles and texts as MedRAG's chunking of the same chapter gives them."""
    found = read(tmp_path, "statpearls", {"article-17.nxml": CHAPTER}, "documents: snippets")
    long, item = LONG.strip(), ("word " * 60)
    assert [(one.id, one.title, one.text.replace(long, "LONG").replace(item, "ITEM ")) for one in found] == [
        ("article-17_0", "Tarn Fever -- Introduction", "Fever of 10 3 men [ 1 ]. Short. heat chills"),
        ("article-17_1", "Tarn Fever -- Treatment", "LONG"),
        ("article-17_2", "Tarn Fever -- Treatment", "LONG"),
        ("article-17_3", "Tarn Fever -- Treatment -- Fluids", "water"),
        ("article-17_4", "Tarn Fever -- Treatment", "LONG"),
        ("article-17_5", "Tarn Fever -- Treatment -- Drugs", "None."),
        ("article-17_6", "Tarn Fever -- Children", "Less."),
        *((f"article-17_{7 + n}", "Tarn Fever -- Lists", f"ITEM {n}") for n in range(4)),
    ]


def test_what_is_no_chapter_is_told(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.nxml": CHAPTER, "b.nxml": "<article/>", "c.nxml": CHAPTER[:-9],
        "d.nxml": "<book-part-wrapper><sec><title>T</title></sec></book-part-wrapper>",
        "e.nxml": "<book-part-wrapper>" + "<sec>" * 60 + "<p>x</p>" + "</sec>" * 60 + "</book-part-wrapper>",
    }  # fmt: skip
    assert len(read(tmp_path, "statpearls", files)) == 6
    told = refused(tmp_path)
    assert told.pop("c.nxml").startswith("not well-formed XML")
    assert told == {
        "b.nxml": "its root is <article>, <book-part-wrapper> was expected: no chapter of the Bookshelf",
        "d.nxml": "its sections hold no text",
        "e.nxml": "markup nested deeper than 50 elements",
    }
