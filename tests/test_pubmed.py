"""PubMed's baseline and update files: invented citations in NLM's format, what of them is read, and in which order."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, load_recipe, xml_records
from ragmed.corpora.safe_xml import parse_cut
from ragmed.corpora.xml_records import cut_records
from ragmed.errors import DataError
from ragmed.records import Document

START = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January '
    '2025//EN" "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n<PubmedArticleSet>\n'
)
END = "</PubmedArticleSet>\n"

WHOLE = """<PubmedArticle>
  <MedlineCitation Status="MEDLINE" IndexingMethod="Manual" Owner="NLM">
    <PMID Version="1">101</PMID>
    <DateCompleted><Year>2031</Year><Month>07</Month><Day>01</Day></DateCompleted>
    <DateRevised><Year>2032</Year><Month>01</Month><Day>05</Day></DateRevised>
    <Article PubModel="Print-Electronic">
      <Journal><ISSN IssnType="Electronic">0000-0001</ISSN><JournalIssue CitedMedium="Internet"><Volume>12</Volume>
        <Issue>3</Issue><PubDate><Year>2031</Year><Month>Mar</Month></PubDate></JournalIssue>
        <Title>Journal of tarn medicine</Title><ISOAbbreviation>J Tarn Med</ISOAbbreviation></Journal>
      <ArticleTitle>[Rest in <i>Tarn</i> fever: a trial with 10<sup>3</sup> men].</ArticleTitle>
      <Pagination><StartPage>45</StartPage><EndPage>46</EndPage><MedlinePgn>45-6</MedlinePgn></Pagination>
      <ELocationID EIdType="doi" ValidYN="Y">10.1000/tarn.1</ELocationID>
      <Abstract>
        <AbstractText Label="BACKGROUND" NlmCategory="BACKGROUND">Fever of &gt;10<sup>6</sup> units.</AbstractText>
        <AbstractText Label="FINDINGS" NlmCategory="RESULTS">Rest helps (p &lt; 0.05), H<sub>2</sub>O does not;
          <mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn>
          </mml:mfrac></mml:math> of them.</AbstractText>
        <AbstractText Label="UNLABELLED">Registered.</AbstractText>
        <CopyrightInformation>Copyright 2031, The Tarn Society.</CopyrightInformation>
      </Abstract>
      <AuthorList CompleteYN="Y">
        <Author ValidYN="Y"><LastName>Doe</LastName><ForeName>Jo Ann</ForeName><Initials>JA</Initials></Author>
        <Author ValidYN="Y"><LastName>Roe</LastName><Initials>R</Initials></Author>
        <Author ValidYN="Y"><CollectiveName>Tarn Group</CollectiveName></Author>
        <Author ValidYN="Y"><LastName>Last</LastName></Author>
      </AuthorList>
      <Language>ger</Language>
      <DataBankList CompleteYN="Y"><DataBank><DataBankName>ClinicalTrials.gov</DataBankName>
        <AccessionNumberList><AccessionNumber>NCT00000001</AccessionNumber></AccessionNumberList></DataBank></DataBankList>
      <PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType>
        <PublicationType UI="D016441">Retracted Publication</PublicationType></PublicationTypeList>
      <VernacularTitle>Ruhe bei Tarnfieber.</VernacularTitle>
      <ArticleDate DateType="Electronic"><Year>2030</Year><Month>12</Month><Day>9</Day></ArticleDate>
    </Article>
    <MedlineJournalInfo><MedlineTA>J Tarn Med</MedlineTA></MedlineJournalInfo>
    <ChemicalList><Chemical><RegistryNumber>0</RegistryNumber>
      <NameOfSubstance UI="D014867">Water</NameOfSubstance></Chemical></ChemicalList>
    <CommentsCorrectionsList>
      <CommentsCorrections RefType="Cites"><RefSource>Old J. 1999;1:1</RefSource></CommentsCorrections>
      <CommentsCorrections RefType="CommentIn"><RefSource>J Tarn Med. 2031 Apr;12(4):50</RefSource>
        <PMID Version="1">103</PMID></CommentsCorrections>
      <CommentsCorrections RefType="ErratumIn"><RefSource>J Tarn Med. 2031 May;12(5):1</RefSource>
        <Note>Dose corrected</Note></CommentsCorrections>
      <CommentsCorrections RefType="RetractionIn"><RefSource>J Tarn Med. 2032 Jan;13(1):9.</RefSource>
        <PMID Version="1">104</PMID></CommentsCorrections>
    </CommentsCorrectionsList>
    <MeshHeadingList><MeshHeading><DescriptorName UI="D005334" MajorTopicYN="N">Fever</DescriptorName>
      <QualifierName UI="Q000628" MajorTopicYN="Y">therapy</QualifierName></MeshHeading>
      <MeshHeading><DescriptorName UI="D006801" MajorTopicYN="N">Humans</DescriptorName></MeshHeading></MeshHeadingList>
    <OtherAbstract Type="plain-language-summary" Language="eng"><AbstractText>Resting helped.</AbstractText>
    </OtherAbstract>
    <OtherAbstract Type="Publisher" Language="ger"><AbstractText Label="ZIEL">Ruhe pr\u00fcfen.</AbstractText>
      <AbstractText Label="ERGEBNIS">Sie hilft.</AbstractText></OtherAbstract>
    <OtherAbstract Type="Publisher" Language="fre"><AbstractText>Abstract available from the publisher.</AbstractText>
    </OtherAbstract>
    <KeywordList Owner="NOTNLM"><Keyword MajorTopicYN="N">rest</Keyword></KeywordList>
  </MedlineCitation>
  <PubmedData><ReferenceList><Reference><Citation>Old J. 1999;1:1</Citation></Reference></ReferenceList></PubmedData>
</PubmedArticle>
"""


def short(pmid: int, text: str = "Text.", *, version: int = 1, more: str = "", date: str = "") -> str:
    abstract = f"<Abstract><AbstractText>{text}</AbstractText></Abstract>" if text else ""
    return (
        f'<PubmedArticle>\n<MedlineCitation Status="MEDLINE" Owner="NLM">\n<PMID Version="{version}">{pmid}</PMID>\n'
        f"<Article><Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue></Journal>"
        f"<ArticleTitle>Title {pmid}</ArticleTitle>{abstract}</Article>{more}</MedlineCitation></PubmedArticle>\n"
    )


def deleting(*pmids: int, version: int = 1) -> str:
    named = "".join(f'<PMID Version="{version}">{pmid}</PMID>' for pmid in pmids)
    return f"<DeleteCitation>\n{named}\n</DeleteCitation>\n"


def whole(*records: str) -> bytes:
    return (START + "".join(records) + END).encode()


def corpus(folder: Path, files: dict[str, bytes], options: str = "", paths: str = "[in]") -> Corpus:
    for name, data in files.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    (folder / "recipe.yaml").write_text(f"title: T\nreader: pubmed\npaths: {paths}\n{options}\n")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def read(folder: Path, files: dict[str, bytes], options: str = "") -> dict[str, Document]:
    return {one.id: one for one in corpus(folder, files, options).documents()}


def refused(folder: Path) -> list[str]:
    records = map(json.loads, (folder / "rejected.jsonl").read_text().splitlines())
    return [f"{Path(one['file']).name}:{one['line']}: {one['reason']}" for one in records]


def test_a_citation_is_read_whole(tmp_path: Path) -> None:
    found = read(tmp_path, {"pubmed31n0001.xml.gz": whole(WHOLE)})["101"]
    assert found.title == "[Rest in Tarn fever: a trial with 10^3 men]."
    assert found.text.split("\n\n") == [
        "Retraction in: J Tarn Med. 2032 Jan;13(1):9. PMID 104.",
        "Erratum in: J Tarn Med. 2031 May;12(5):1. Dose corrected.",
        "BACKGROUND: Fever of >10^6 units.",
        "FINDINGS: Rest helps (p < 0.05), H2O does not; 1/2 of them.",
        "Registered.",
        "Other abstract (plain-language-summary, eng):",
        "Resting helped.",
        "Other abstract (Publisher, ger):",
        "ZIEL: Ruhe prüfen.",
        "ERGEBNIS: Sie hilft.",
        "Vernacular title: Ruhe bei Tarnfieber.\n"
        "Publication types: Retracted Publication\n"
        "MeSH headings: Fever / therapy*; Humans\n"
        "Chemicals: Water\n"
        "Keywords: rest\n"
        "Registered: ClinicalTrials.gov NCT00000001\n"
        "Comment in: J Tarn Med. 2031 Apr;12(4):50. PMID 103.",
    ]
    assert (found.date, found.license) == ("2030-12-09", "Copyright 2031, The Tarn Society.")
    assert found.source == "https://pubmed.ncbi.nlm.nih.gov/101/"
    assert found.citation == (
        "Doe JA, Roe R, Tarn Group, et al. [Rest in Tarn fever: a trial with 10^3 men]. J Tarn Med. "
        "2031 Mar;12(3):45-6. doi:10.1000/tarn.1. PMID 101"
    )
    bare = read(tmp_path, {}, "indexing: exclude")["101"].text.split("\n\n")
    assert bare[-1] == ("Vernacular title: Ruhe bei Tarnfieber.\nComment in: J Tarn Med. 2031 Apr;12(4):50. PMID 103.")


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("<Year>2031</Year>", "2031"),
        ("<Year>2031</Year><Month>12</Month><Day>5</Day>", "2031-12-05"),
        ("<Year>2031</Year><Month>Sep</Month><Day>31</Day>", "2031-09"),
        ("<Year>2031</Year><Season>Summer</Season>", "2031"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "1998-12"),
        ("<MedlineDate>2000 Spring</MedlineDate>", "2000"),
        ("<MedlineDate>1976-1977</MedlineDate>", "1976"),
        ("<MedlineDate>2031 Nov 7-14</MedlineDate>", "2031-11-07"),
        ("<MedlineDate>Fall 2017</MedlineDate>", "2017"),
        ("<Year>31</Year>", ""),
        ("", ""),
    ],
)
def test_dates_are_as_exact_as_the_record(tmp_path: Path, date: str, said: str) -> None:
    assert read(tmp_path, {"a.xml": whole(short(1, date=date))})["1"].date == said


def test_the_earlier_date_counts_and_of_equal_ones_the_more_exact(tmp_path: Path) -> None:
    day = "<ArticleDate><Year>{}</Year><Month>{}</Month><Day>02</Day></ArticleDate></Article>"
    records = [
        short(pmid, date=date).replace("</Article>", day.format(*electronic))
        for pmid, (date, electronic) in enumerate(
            [("<Year>2031</Year>", (2031, 4)), ("<Year>2030</Year>", (2031, 4)), ("<Year>2032</Year>", (2031, 4))], 1
        )
    ]
    assert [one.date for one in read(tmp_path, {"a.xml": whole(*records)}).values()] == [
        "2031-04-02", "2030", "2031-04-02"
    ]  # fmt: skip


def test_titles_in_another_language_books_and_records_without_abstract(tmp_path: Path) -> None:
    vernacular = short(1, "").replace("Title 1<", "[Not Available].<").replace(
        "</Article>", "<VernacularTitle>Ruhe.</VernacularTitle></Article>"
    )  # fmt: skip
    book = (
        '<PubmedBookArticle>\n<BookDocument>\n<PMID Version="1">9</PMID><Book><Publisher><PublisherName>Tarn Press'
        "</PublisherName></Publisher><BookTitle>Tarn Book</BookTitle><PubDate><Year>2030</Year></PubDate></Book>"
        "<ArticleTitle>Fever</ArticleTitle><AuthorList><Author><LastName>Doe</LastName></Author></AuthorList><Abstract>"
        "<AbstractText>Heat.</AbstractText></Abstract></BookDocument></PubmedBookArticle>\n"
    )
    files = {"a.xml": whole(vernacular, short(2, ""), book, short(3, "", more="<CoiStatement>none</CoiStatement>"))}
    found = read(tmp_path, files)
    assert [(one.id, one.title, one.text) for one in found.values()] == [
        ("1", "Ruhe.", "Ruhe."), ("2", "Title 2", "Title 2"), ("9", "Fever", "Heat."), ("3", "Title 3", "Title 3")
    ]  # fmt: skip
    assert (found["9"].date, found["9"].citation) == ("2030", "Doe. Fever. Tarn Book. Tarn Press. 2030. PMID 9")
    with_abstract = corpus(tmp_path, {}, "abstract: required")
    assert [one.id for one in with_abstract.documents()] == ["9"]
    assert (with_abstract.left_out, with_abstract.records, with_abstract.summary()["left_out"]) == (3, 1, 3)
    assert "left out: " in with_abstract.describe()
    assert "it has no abstract (and 2 more like it)" in with_abstract.describe()


def test_update_files_are_applied_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = {
        "updatefiles/pubmed31n0004.xml.gz": whole(short(3, "Back."), short(2, "Third."), deleting(6)),
        "baseline/pubmed31n0001.xml.gz": whole(*(short(n, "First.") for n in (1, 2, 3)), short(7, "Old.", version=1)),
        "baseline/pubmed31n0002.xml.gz": whole(short(4), short(5), short(7, "Second version.", version=2)),
        "updatefiles/pubmed31n0003.xml.gz": whole(
            short(2, "Second."), short(6), short(7, "First version, revised."), deleting(3, 4, 7, 999)
        ),
        "baseline/pubmed31n0001.xml.gz.md5": b"MD5(pubmed31n0001.xml.gz)= 0",
    }
    made = corpus(tmp_path, files, paths="[in/updatefiles, in/baseline]")
    assert {one.id: one.text for one in made.documents()} == {
        "1": "First.", "5": "Text.", "7": "Second version.", "3": "Back.", "2": "Third."
    }  # fmt: skip
    assert (made.accepted, made.rejected, made.records, made.left_out, made.ignored) == (5, 0, 5, 7, 1)
    told = made.describe()
    assert "a later record replaces it (and 4 more like it)" in told
    assert "a later file deletes it (and 1 more like it)" in told
    assert "7 records left out" in told


@pytest.mark.parametrize(
    ("then", "text", "left"),
    [
        ([deleting(7, version=2)], "One.", {"a later file deletes it": 1}),  # what stands is the version before
        ([deleting(7, version=2), short(7, "Anew.")], "Anew.", {"a later file deletes it": 1, "a later record": 1}),
        ([deleting(7)], "Two.", {"a later record replaces it": 1}),
        ([deleting(7), deleting(7, version=2)], None, {"a later file deletes it": 2}),
        ([deleting(7, version=3)], "Two.", {"a later record replaces it": 1}),
    ],
)  # fmt: skip
def test_a_deletion_is_of_one_version(tmp_path: Path, then: list[str], text: str | None, left: dict[str, int]) -> None:
    first = whole(short(7, "One."), short(7, "Two.", version=2))
    files = {"pubmed31n0001.xml.gz": first, "pubmed31n0002.xml.gz": whole(short(8, "Eight."), *then)}
    made = corpus(tmp_path, files)
    assert {one.id: one.text for one in made.documents()} == {"8": "Eight."} | ({"7": text} if text else {})
    told = made.describe()
    for reason, count in left.items():
        assert f"{reason}{f' (and {count - 1} more like it)' if count > 1 else ''}" in told
    assert made.left_out == sum(left.values())


def test_files_of_any_name_follow_the_numbered_ones(tmp_path: Path) -> None:
    files = {"a-set.xml": whole(short(1, "Fetched.")), "pubmed31n0009.xml": whole(short(1), short(2))}
    assert {one.id: one.text for one in read(tmp_path, files).values()} == {"2": "Text.", "1": "Fetched."}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["pubmed31n0001.xml", "pubmed32n0002.xml"], "files of the years 31, 32"),
        (["pubmed31n0001.xml", "pubmed31n0004.xml"], r"lacks pubmed31n0002\.xml\.gz and 1 more.*'gaps: allowed'"),
        (["a/pubmed31n0001.xml", "b/pubmed31n0001.xml"], "are the same file; take one away"),
    ],
)
def test_files_that_leave_the_newest_unknown_are_refused(tmp_path: Path, files: list[str], words: str) -> None:
    data = {name: whole(short(number)) for number, name in enumerate(files, 1)}
    with pytest.raises(DataError, match=words):
        read(tmp_path, data)
    if "lacks" in words:
        assert list(read(tmp_path, data, "gaps: allowed")) == ["1", "2"]


def test_a_damaged_record_costs_itself_alone_and_revives_nothing(tmp_path: Path) -> None:
    old = whole(short(1, "Old."), short(2), short(3))
    new = whole(
        short(1, "New.").replace("</Abstract>", "</Abstrac>"),
        short(4).replace("</PubmedArticle>", ""),
        short(5).replace(">5<", ">05<"),
        short(6).replace("<PubmedArticle>", "<PubmedArticl>"),
        short(7, "&nbsp;"),
        short(8, ""),
        "<DeleteCitation><PMID>x</PMID></DeleteCitation>\n",
        short(9, "<a>" * 60 + "x" + "</a>" * 60),
        short(10),
    )
    made = corpus(tmp_path, {"pubmed31n0001.xml": old, "pubmed31n0002.xml": new})
    assert [one.id for one in made.documents()] == ["2", "3", "8", "10"]
    assert refused(tmp_path) == [
        "pubmed31n0002.xml:4: not well-formed XML: mismatched tag",
        "pubmed31n0002.xml:8: its end is missing",
        "pubmed31n0002.xml:12: it has no PMID of one to eight digits as its first element",
        "pubmed31n0002.xml:16: it belongs to no record: a damaged tag, or a file of another kind",
        "pubmed31n0002.xml:20: not well-formed XML: undefined entity",
        "pubmed31n0002.xml:28: a <DeleteCitation> that cannot be read: what it deletes is still there",
        "pubmed31n0002.xml:29: markup nested deeper than 50 elements",
    ]
    assert made.left_out == 1  # the old 1, though the new one is damaged


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (whole(short(1))[:-5], "ends before </PubmedArticleSet>: it is cut"),
        (START.replace("utf-8", "iso-8859-1").encode(), "its encoding is iso-8859-1; convert it to UTF-8"),
        (b"<html></html>", "ends before </PubmedArticleSet>"),
        (whole().decode().encode("utf-16"), "ends before"),
    ],
)
def test_files_that_are_cut_or_of_another_kind_stop_the_reading(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, {"a.xml": data})


def test_a_cut_gzip_file_and_an_archive_are_told(tmp_path: Path) -> None:
    made = corpus(tmp_path, {"pubmed31n0001.xml.gz": whole(short(1), WHOLE)})
    path = tmp_path / "in" / "pubmed31n0001.xml.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="cut or damaged"):
        list(made.documents())
    import zipfile

    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        packed.writestr("pubmed31n0001.xml", whole(short(1)))
    with pytest.raises(DataError, match="is an archive; PubMed's files are read twice"):
        list(corpus(tmp_path, {}, paths="[in.zip]").documents())


def test_entities_and_dtds_are_never_expanded(tmp_path: Path) -> None:
    laughs = START.replace('"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd"', '"x" [<!ENTITY a "ha">]')
    made = corpus(tmp_path, {"a.xml": (laughs + short(1, "&a;") + short(2) + END).encode()})
    assert [one.id for one in made.documents()] == ["2"]
    assert refused(tmp_path)[0] == "a.xml:1: it belongs to no record: a damaged tag, or a file of another kind"
    assert "undefined entity" in refused(tmp_path)[1]
    for data in (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b'<?xml version="1.0"?><a/>', b""):
        with pytest.raises(ValueError, match="no element at its start"):
            parse_cut(data)
    with pytest.raises(ValueError, match="a tag or comment longer than 65536 bytes"):
        parse_cut(b"<a" + b"".join(b' a%d=""' % number for number in range(20_000)) + b"/>")
    with pytest.raises(ValueError, match="more than 1000000 tags"):
        parse_cut(b"<a>" + b"<b/>" * 1_000_000 + b"</a>")


def test_records_are_cut_alike_wherever_the_pieces_end(monkeypatch: pytest.MonkeyPatch) -> None:
    data = whole(short(1), WHOLE, deleting(5), "\n<!-- a note -->\n", short(2))

    def cuts() -> list[xml_records.Cut]:
        return list(cut_records(io.BytesIO(data), ["PubmedArticle", "DeleteCitation"], ["PubmedArticleSet"]))

    once = cuts()
    assert [cut.name for cut in once] == ["PubmedArticle", "PubmedArticle", "DeleteCitation", "PubmedArticle"]
    assert [data.decode().split("\n")[cut.line - 1].split(" ")[0] for cut in once] == [f"<{cut.name}>" for cut in once]
    for size in (1, 7, 100):
        monkeypatch.setattr(xml_records, "_PIECE", size)
        assert cuts() == once


def test_a_record_without_measure_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_records, "MAX_RECORD", 2_000_000)
    made = corpus(tmp_path, {"a.xml": whole(short(1, "x" * 50_000_000), short(2))})
    tracemalloc.start()
    try:
        assert [one.id for one in made.documents()] == ["2"]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert refused(tmp_path)[0] == "a.xml:4: it is longer than 2000000 bytes"
