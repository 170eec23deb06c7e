"""Readers of MedQuAD, BioASQ, PubMedQA and PMC: real files counted, small records in the exact format for the rest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragmed.corpora import Corpus, load_recipe
from ragmed.corpora.medquad import QA, pairs
from ragmed.corpora.pmc import as_markdown
from ragmed.corpora.recipe import Recipe
from ragmed.records import Document
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)


def read(folder: Path, reader: str, files: dict[str, str | bytes]) -> tuple[list[Document], list[str]]:
    """The documents, and `file: reason` of what was rejected."""
    for name, data in files.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    corpus = Corpus(recipe(folder, reader), rejected=folder / "rejected.jsonl")
    documents = [replace(one, corpus="") for one in corpus.documents()]
    refused = folder / "rejected.jsonl"
    records = [json.loads(line) for line in refused.read_text().splitlines()] if refused.exists() else []
    return documents, [f"{Path(one['file']).name}: {one['reason']}" for one in records]


def recipe(folder: Path, reader: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(f"title: T\nreader: {reader}\npaths: [in]\nlicense: L\nsource: S\ndate: 2031-01-01\n")
    return load_recipe(path, data=folder)


def real(name: str) -> Corpus:
    made = load_recipe(WORKSPACE.recipe("corpora", name), data=WORKSPACE.data)
    for path in made.paths:
        if not path.exists():
            pytest.skip(f"needs {path} (RAGMED_DATA)")
    return Corpus(made)


# ---- MedQuAD

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000009" source="GARD" url="https://example.org/tarn-fever">
<Focus>Tarn fever</Focus>
<FocusAnnotations>
\t<UMLS><CUIs><CUI>C0000001</CUI><CUI>C0000002</CUI></CUIs>
\t<SemanticTypes><SemanticType>T047</SemanticType></SemanticTypes><SemanticGroup>Disorders</SemanticGroup></UMLS>
\t<Synonyms><Synonym>Wexcombe fever</Synonym><Synonym>Wexcombe fever</Synonym><Synonym>TF</Synonym></Synonyms>
</FocusAnnotations>
<QAPairs>
\t<QAPair pid="1">
\t\t\t<Question qid="0000009-1" qtype="information">What is (are) Tarn fever ?</Question>
\t\t\t<Answer>Key Points
                    - It is &lt;rare&gt;.    - It passes.

                It is   a fever.    It has no cure.</Answer>
\t</QAPair>
\t<QAPair pid="2">
\t\t\t<Question qid="0000009-2" qtype="susceptibility">Who is at risk for Tarn fever? ?</Question>
\t\t\t<Answer> </Answer>
\t</QAPair>
</QAPairs>
</Document>
"""
OLDER = (
    '<doc docid="7" corpus="NINDS" url="u"><doctitle-focus>Tarn</doctitle-focus><umls><cui></cui></umls><qaPairs>'
    '<pair pid="1"><question qid="7-1" qtype="outlook">what of tarn?</question><answer>Nothing.</answer></pair>'
    "</qaPairs></doc>"
)


def test_a_question_with_its_answer_is_a_document(tmp_path: Path) -> None:
    documents, refused = read(tmp_path, "medquad", {"2_GARD_QA/0000009.xml": PAGE, "6_NINDS_QA/7.xml": OLDER})
    assert documents[0] == Document(
        id="2_GARD_QA/0000009/1",
        title="Tarn fever",
        text="What is (are) Tarn fever?\n\nAlso called: Wexcombe fever; TF\n\n"
        "Key Points\n- It is <rare>.\n- It passes.\n\nIt is a fever.\n\nIt has no cure.",
        source="https://example.org/tarn-fever",
        license="L",
        date="2031-01-01",
        citation="Genetic and Rare Diseases Information Center: Tarn fever. https://example.org/tarn-fever",
    )
    assert (documents[1].id, documents[1].text) == ("6_NINDS_QA/7/1", "what of tarn?\n\nNothing.")
    assert refused == ["0000009.xml: pair 2 has no answer"]


def test_the_pairs_have_the_kind_and_the_focus_of_a_question(tmp_path: Path) -> None:
    read(tmp_path, "medquad", {"a.xml": PAGE})
    (found,) = pairs(recipe(tmp_path, "medquad"))
    assert found == QA(
        document="a/1",
        question="What is (are) Tarn fever?",
        answer="Key Points\n- It is <rare>.\n- It passes.\n\nIt is a fever.\n\nIt has no cure.",
        focus="Tarn fever",
        kind="information",
        publisher="GARD",
        url="https://example.org/tarn-fever",
        synonyms=("Wexcombe fever", "TF"),
        file=str(tmp_path / "in" / "a.xml"),
        concepts=("C0000001", "C0000002"),
    )


def test_files_that_are_no_medquad_are_told(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Document>&b;</Document>'
    files: dict[str, str | bytes] = {
        "a.xml": PAGE,
        "b.xml": "<html/>",
        "c.xml": PAGE[:-20],
        "d.xml": laughs,
        "e.xml": "<Document><QAPairs/></Document>",
        "f.xml": PAGE.replace("What is (are) Tarn fever ?", " ? "),
    }
    documents, refused = read(tmp_path, "medquad", files)
    assert [one.id for one in documents] == ["a/1"]
    assert refused[1] == "b.xml: its root is <html>, <Document> was expected: not a file of MedQuAD"
    assert refused[2].startswith("c.xml: not well-formed XML: ")
    assert refused[3] == "d.xml: the XML brings a DTD of its own, which is not read"
    assert refused[4:] == ["f.xml: pair 1 has no question", "f.xml: pair 2 has no answer"]


def test_medquad_whole() -> None:
    corpus = real("medquad")
    documents = list(corpus.documents())
    # 16,412 <QAPair>, 5 of them without an answer; 4 files of an older make hold 16 <pair> more; 6 files hold none.
    assert (corpus.records, corpus.accepted, corpus.rejected, corpus.ignored) == (16_428, 16_423, 5, 6)
    assert corpus.characters == 23_069_594
    assert sum("\n\nAlso called: " in one.text for one in documents) == 10_890
    assert not any("C0751606" in one.text for one in documents[:10])
    assert all(one.title and one.citation and one.source.startswith("http") for one in documents)


# ---- BioASQ


def snippet(pmid: str, start: int, text: str, section: str = "abstract") -> dict[str, Any]:
    return {
        "document": f"http://www.ncbi.nlm.nih.gov/pubmed/{pmid}", "text": text, "beginSection": section,
        "endSection": section, "offsetInBeginSection": start, "offsetInEndSection": start + len(text),
    }  # fmt: skip


def golden(*snippets: object) -> str:
    question = {"body": "SECRET Q?", "ideal_answer": ["SECRET"], "exact_answer": "SECRET", "snippets": list(snippets)}
    return json.dumps({"questions": [question]})


def test_snippets_of_an_article_are_merged_over_files(tmp_path: Path) -> None:
    abstract = "Tarn fever is rare. It is mild in children. Most recover. Nobody knows why it comes. None died."
    files: dict[str, str | bytes] = {
        "1.json": golden(
            snippet("11", 44, abstract[44:57]), snippet("12", 0, "Another."), snippet("11", 0, "Of tarns.", "title")
        ),
        "2.json": golden(
            snippet("11", 20, abstract[20:57]),  # holds the first
            snippet("11", 0, abstract[0:43]),  # overlaps with that
            snippet("11", 84, abstract[85:95]),  # behind a gap, off by one
            snippet("11", 84, abstract[85:95]),  # twice
        ),
    }
    documents, refused = read(tmp_path, "bioasq", files)
    assert documents[0] == Document(
        id="11",
        title="Of tarns.",
        text="Tarn fever is rare. It is mild in children. Most recover.\nNone died.",
        source="https://pubmed.ncbi.nlm.nih.gov/11/",
        license="L",
        date="2031-01-01",
        citation="Of tarns. PubMed 11. https://pubmed.ncbi.nlm.nih.gov/11/",
    )
    assert (documents[1].id, documents[1].text, documents[1].title) == ("12", "Another.", "")
    assert refused == []
    assert not any("SECRET" in str(one) for one in documents)


def test_what_only_seems_to_overlap_is_kept(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.json": golden(snippet("1", 0, "Old words here."), snippet("1", 10, "New ones."))
    }
    documents, _ = read(tmp_path, "bioasq", files)
    assert documents[0].text == "Old words here.\nNew ones."


def test_an_article_known_by_its_title_alone_has_it_as_text(tmp_path: Path) -> None:
    documents, _ = read(tmp_path, "bioasq", {"a.json": golden(snippet("1", 0, "Of tarns.", "title"))})
    assert (documents[0].title, documents[0].text) == ("Of tarns.", "Of tarns.")


def test_snippets_that_are_none_are_rejected_by_question(tmp_path: Path) -> None:
    bad: list[tuple[object, str]] = [
        (5, "no JSON object"),
        (snippet("1", 0, " "), "without text"),
        (snippet("1", 0, "x") | {"document": "http://www.ncbi.nlm.nih.gov/pmc/PMC1"}, "no PubMed record"),
        (snippet("1", 0, "x", "sections.0"), "without a position"),
        (snippet("1", 0, "x") | {"offsetInBeginSection": None}, "without a position"),
    ]
    files: dict[str, str | bytes] = {
        "a.json": golden(snippet("1", 0, "good"), *(one for one, _ in bad)),
        "b.json": "{}",
        "c.json": "[",
        "d.json": '{"questions": [{"snippets": 5}, {"body": "none"}]}',
    }
    documents, refused = read(tmp_path, "bioasq", files)
    assert [one.text for one in documents] == ["good"]
    assert all(words in reason for (_, words), reason in zip(bad, refused, strict=False))
    assert [reason[:40] for reason in refused[5:]] == [
        "b.json: no list 'questions': not a BioAS",
        "c.json: not JSON: Expecting value: line ",
        "d.json: no list 'snippets' in the questi",
    ]


def test_bioasq_whole() -> None:
    corpus = real("bioasq-snippets")
    documents = {one.id: one for one in corpus.documents()}
    assert (corpus.accepted, corpus.rejected, corpus.ignored) == (11_022, 0, 0)
    assert corpus.characters == 2_995_525
    assert documents["34022131"].title.startswith("Non-coding region variants upstream of MEF2C")
    asked = gold = 0
    for path in sorted(corpus.recipe.paths[0].rglob("*.json")):
        for question in json.loads(path.read_text())["questions"]:
            for one in question["snippets"]:
                document = documents[one["document"].rpartition("/")[2]]
                asked += 1
                # A title is one line; two that run into the abstract are marked with a line break in them.
                gold += " ".join(one["text"].split()) in " ".join(f"{document.title} {document.text}".split())
    assert asked == gold == 18_646


# ---- PubMedQA


def test_contexts_become_sections_and_nothing_else_is_read(tmp_path: Path) -> None:
    record = {
        "QUESTION": "SECRET?", "CONTEXTS": ["We asked.", "We saw."], "LABELS": ["AIM", "RESULTS"], "YEAR": "2007",
        "LONG_ANSWER": "SECRET", "final_decision": "SECRET", "MESHES": ["SECRET"],
    }  # fmt: skip
    records = {"123": record, "124": {"CONTEXTS": ["Bare."]}}
    documents, refused = read(tmp_path, "pubmedqa", {"a.json": json.dumps(records)})
    assert documents[0] == Document(
        id="123",
        title="",
        text="## AIM\n\nWe asked.\n\n## RESULTS\n\nWe saw.",
        source="https://pubmed.ncbi.nlm.nih.gov/123/",
        license="L",
        date="2007",
        citation="PubMed 123 (2007). https://pubmed.ncbi.nlm.nih.gov/123/",
    )
    assert (documents[1].text, documents[1].date) == ("Bare.", "2031-01-01")
    assert refused == []
    assert "SECRET" not in str(documents)


def test_records_that_are_none_are_rejected(tmp_path: Path) -> None:
    good = {"CONTEXTS": ["a"], "LABELS": ["B"]}
    bad: dict[str, Any] = {
        "x1": good, "2": [], "3": {}, "4": {"CONTEXTS": "a"}, "5": {"CONTEXTS": ["a", "b"], "LABELS": ["B"]},
        "6": {**good, "YEAR": [2007]}, "7": {"CONTEXTS": []}, "8": {**good, "LABELS": [1]}, "9": good,
    }  # fmt: skip
    documents, refused = read(tmp_path, "pubmedqa", {"a.json": json.dumps(bad)})
    assert [one.id for one in documents] == ["9"]
    assert refused == [
        "a.json: its key is not a PMID (digits)",
        "a.json: a JSON object was expected, found a list of 0",
        "a.json: no 'CONTEXTS'",
        "a.json: 'CONTEXTS' is no list of strings",
        "a.json: 2 CONTEXTS, but 1 LABELS: which belongs to which is unclear",
        "a.json: 'YEAR' is a list of 1, a string was expected",
        "a.json: the text is empty",
        "a.json: 'LABELS' is no list of strings",
    ]


def test_pubmedqa_whole() -> None:
    corpus = real("pubmedqa-contexts")
    documents = list(corpus.documents())
    assert (corpus.accepted, corpus.rejected, corpus.characters) == (500, 0, 690_448)
    assert sum(one.text.count("## ") for one in documents) == 1669
    records = json.loads(corpus.recipe.paths[0].read_text())
    assert not any(records[one.id]["LONG_ANSWER"] in one.text for one in documents)


# ---- PMC


def test_marks_become_headings() -> None:
    text = (
        "TITLE: \nOf tarns\nand fevers\n\n\n\n  ABSTRACT.AIMS:\nTo rest.\n\nABSTRACT.RESULTS::\nRested.\n\n"
        "BODY.2. METHODS.2.1. PARTICIPANTS:\nForty.\n# a footnote\n\nBODY.2. METHODS.2.2. DESIGN (TABLE :1)\nNone.\n\n"
        "BODY.2. METHODS.2.2. DESIGN.MASKING:\nNone.\n\nBODY.RESULTS.\nOF MEN\n:\nBODY mass: 3.\n\nBODY:\nMore.\n"
    )
    assert as_markdown(text) == (
        "Of tarns and fevers",
        "## ABSTRACT\n\n### AIMS\n\nTo rest.\n\n### RESULTS\n\nRested.\n\n"
        "## 2. METHODS\n\n### 2.1. PARTICIPANTS\n\nForty.\n\\# a footnote\n\n### 2.2. DESIGN (TABLE :1)\n\nNone.\n\n"
        "### 2.2. DESIGN\n\n#### MASKING\n\nNone.\n\n## RESULTS\n\n### OF MEN\n\nBODY mass: 3.\n\n## BODY\n\nMore.",
    )
    assert as_markdown("TITLE: \n\n\n  ABSTRACT:\nText.") == ("", "## ABSTRACT\n\nText.")
    assert as_markdown("TITLE: Only\n\nText.") == ("Only", "Text.")
    assert as_markdown("No marks.\n\nText.") == ("", "No marks.\n\nText.")


def test_an_article_is_a_document(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "PMC1.txt": "TITLE: Of tarns.\n\n  ABSTRACT:\nText.", "PMC2.txt": "", "PMC3.txt": "TITLE: Bare\n\n",
        "PMC4.txt": b"\xff", "notes.txt": "x", "PMC5.txt": "Text.",
    }  # fmt: skip
    documents, refused = read(tmp_path, "pmc", files)
    url = "https://www.ncbi.nlm.nih.gov/pmc/articles/PMC1/"
    assert documents[0] == Document(
        "PMC1", "Of tarns.", "## ABSTRACT\n\nText.", url, "L", "open", "2031-01-01",
        f"Of tarns. PubMed Central PMC1. {url}",
    )  # fmt: skip
    assert (documents[1].title, documents[1].citation[:20]) == ("PMC5", "PubMed Central PMC5.")
    assert refused == [
        "PMC2.txt: the file is empty",
        "PMC3.txt: nothing after its title",
        "PMC4.txt: is not UTF-8 (byte 0xff at offset 0); convert it to UTF-8",
        "notes.txt: the file's name is no PMC id, such as PMC1065065.txt",
    ]


def test_pmc_whole() -> None:
    corpus = real("pmc-trials")
    headings = titled = 0
    for one in corpus.documents():
        headings += len(re.findall(r"(?m)^#{2,6} \S", one.text))
        titled += one.title != one.id
    assert (corpus.records, corpus.accepted, corpus.rejected) == (2497, 2494, 3)
    assert corpus.characters == 71_590_391
    assert (headings, titled) == (52_406, 2484)
