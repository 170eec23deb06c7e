"""A folder of one's own, of mixed kinds: from `ragmed corpora new` to documents."""

import os
import zipfile
from pathlib import Path

import pytest
from test_cli import call, out
from test_pdf import pdf_of

from ragmed.corpora import Corpus, folder, load_recipe
from ragmed.corpora.new import new_recipe
from ragmed.errors import DataError, MissingDependencyError, RagmedError
from ragmed.workspace import Workspace


@pytest.fixture
def guidelines(tmp_path: Path) -> Path:
    made = tmp_path / "guidelines"
    (made / "sepsis").mkdir(parents=True)
    (made / "asthma.md").write_text("# Asthma\n\nGive salbutamol.\n")
    (made / "sepsis" / "adults.html").write_text(
        '<meta charset="utf-8"><h1>Sepsis in adults</h1><p>Antibiotics within an hour.</p>'
    )
    (made / "transfusion.pdf").write_bytes(pdf_of(b"BT /F1 12 Tf 72 700 Td (Two people check the bag.) Tj ET"))
    (made / "notes.txt").write_text("Call 4711.")
    (made / "old.docx").write_bytes(b"PK")
    return made


def corpus(workspace: Workspace, name: str) -> Corpus:
    return Corpus(load_recipe(workspace.recipe("corpora", name), data=workspace.data))


def test_each_file_is_read_by_its_kind(guidelines: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    text = out(workspace, "corpora", "new", "guidelines", str(guidelines), "--license", "internal")
    assert "ragmed build-index guidelines" in text
    made = corpus(workspace, "guidelines")
    found = {document.id: document for document in made.documents()}
    assert sorted(found) == ["asthma", "notes", "sepsis/adults", "transfusion"]
    assert "salbutamol" in found["asthma"].text
    assert "Antibiotics within an hour." in found["sepsis/adults"].text
    assert "## Page 1\n\nTwo people check the bag." in found["transfusion"].text
    assert {document.access for document in found.values()} == {"private"}
    assert found["sepsis/adults"].citation == "Sepsis in adults. Guidelines (own references), sepsis/adults.html"
    assert found["transfusion"].citation == "transfusion. Guidelines (own references), transfusion.pdf"
    assert (made.rejected, made.ignored) == (0, 1)


def test_a_recipe_says_otherwise_how_files_are_cited(guidelines: Path, tmp_path: Path) -> None:
    file = new_recipe("guidelines", (guidelines,), workspace=Workspace(tmp_path))
    file.write_text(file.read_text() + 'cite: "{title}, our guideline {id}"\n')
    citations = {document.id: document.citation for document in corpus(Workspace(tmp_path), "guidelines").documents()}
    assert citations["transfusion"] == "transfusion, our guideline transfusion"


def test_a_description_says_why_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pair = '<QAPair pid="1"><Question>Why?</Question><Answer>So.</Answer></QAPair>'
    for name, pairs in (("a.xml", pair), ("b.xml", ""), ("c.xml", ""), ("d.docx", "")):
        (tmp_path / "data" / name).write_text(f"<Document><QAPairs>{pairs}</QAPairs></Document>")
    new_recipe("medquad", (tmp_path / "data",), workspace=Workspace(tmp_path), reader="medquad")
    text = corpus(Workspace(tmp_path), "medquad").describe()
    assert f"ignored: {tmp_path / 'data' / 'b.xml'}: holds no question (and 1 more like it)\n" in text
    assert f"ignored: {tmp_path / 'data' / 'd.docx'}: a Word or text document, which no reader reads; save it" in text


STRUCTURED = {
    "a.nxml": (
        "<!-- x --><!DOCTYPE article PUBLIC 'x'><article xml:lang='en'><body/></article>",
        "jats",
        "an article in JATS XML",
    ),
    "k.nxml": ("<book-part-wrapper/>", "statpearls", "a chapter of NCBI's Bookshelf"),
    "b.xml": ("<Document id='1'><Focus>F</Focus><QAPairs/></Document>", "medquad", "MedQuAD's XML"),
    "c.xml": ('<document xmlns="http://cnx.rice.edu/cnxml"/>', "openstax", "OpenStax CNXML"),
    "d.xml": ("<?xml version='1.0'?><drug><dose/></drug>", "", "XML with the root element 'drug'"),
    "e.xml": ("<PubmedArticleSet/>", "pubmed", "PubMed's XML"),
    "f.json": ('{"questions": [{"snippets": []}]}', "bioasq", "BioASQ's JSON"),
    "g.json": ('{"1": {"QUESTION": "q", "CONTEXTS": []}}', "pubmedqa", "PubMedQA's JSON"),
    "h.json": ('[{"id": "1"}]', "", "one JSON list, which is no JSON Lines; write an object a line"),
    "i.json": ('{"id": "1", "text": "a"}\n', "jsonl", "JSON Lines"),
    "j.json": ('{\n "id": "1"}', "", "one JSON object, which is no JSON Lines"),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_one_file_of_xml_or_json_is_no_plain_text(tmp_path: Path, name: str) -> None:
    text, reader, kind = STRUCTURED[name]
    (tmp_path / name).write_text(text)
    workspace = Workspace(tmp_path)
    said = f"not plain text but {kind}" + (f"; 'reader: {reader}' reads it" if reader else "")
    for explicit in ("text", "folder"):
        new_recipe(explicit, (tmp_path / name,), workspace=workspace, reader=explicit)
        with pytest.raises(DataError) as refused:
            list(corpus(workspace, explicit).documents())
        assert f"rejected: {tmp_path / name}: {said}" in str(refused.value)
    if reader:
        file = new_recipe("chosen", (tmp_path / name,), workspace=workspace)
        assert f"reader: {reader}\n" in file.read_text()
    else:
        with pytest.raises(DataError, match=kind):
            new_recipe("chosen", (tmp_path / name,), workspace=workspace)


def test_a_list_in_place_of_json_lines_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    texts = ('[\n {"id": "1",\n "text": "a"}\n]', '[{"id": "1", "text": "a"}]', '{\n"id": "1"\n}')
    for number, text in enumerate(texts):
        path.write_text(text)
        new_recipe(f"n{number}", (path,), workspace=Workspace(tmp_path))
        with pytest.raises(DataError, match=r"a\.jsonl' is one JSON (list|object over many lines), .*jq -c"):
            list(corpus(Workspace(tmp_path), f"n{number}").documents())
    path.write_text('[{"id": "0"}]\n{"id": "1", "text": "a"}\n')
    assert [one.id for one in corpus(Workspace(tmp_path), "n0").documents()] == ["1"]


def test_archives_within_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as packed:
        packed.writestr("inner.zip", b"PK")
    (tmp_path / "data" / "inner.tar.gz").write_bytes(b"x")
    for name, path, words in (
        ("outer", "outer.zip", r"ignored: .*outer\.zip!inner\.zip: an archive within an archive, which is not opened"),
        ("folder", "data", r"ignored: .*inner\.tar\.gz: an archive in a folder, which is not opened; name it in"),
    ):
        new_recipe(name, (tmp_path / path,), workspace=Workspace(tmp_path))
        with pytest.raises(DataError, match=words):
            list(corpus(Workspace(tmp_path), name).documents())


CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
SAID = {
    "04-scan/scan-only.pdf": "page 1 holds an image and no text",
    "07-csv/cp1252.csv": "line 2: is not UTF-8 (byte 0xe9 at offset 5); convert it to UTF-8",
    "09-archives/only-nested.zip": ".zip: an archive within an archive, which is not opened",
    "11-jsonl/array.jsonl": "is one JSON list, which is no JSON Lines; write an object a line",
    "12-parquet/nested.parquet": "line 1: 'context' (text) is a ",
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
@pytest.mark.parametrize("name", SAID)
def test_the_cases_without_a_document_say_why(tmp_path: Path, name: str) -> None:
    recipe = new_recipe("one", (CASES / name,), workspace=Workspace(tmp_path))
    if name.endswith("parquet"):
        recipe.write_text(recipe.read_text() + "fields: {text: context}\n")
    with pytest.raises(DataError) as refused:
        list(corpus(Workspace(tmp_path), "one").documents())
    assert SAID[name] in str(refused.value)


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_the_tables_and_archives_among_the_cases_are_read(tmp_path: Path) -> None:
    for number, name in enumerate(("07-csv/mac.csv", "09-archives/windows.zip", "09-archives/mac.zip")):
        new_recipe(f"n{number}", (CASES / name,), workspace=Workspace(tmp_path))
        found = list(corpus(Workspace(tmp_path), f"n{number}").documents())
        assert [one.text for one in found] == ["one", "two"] if name.endswith("csv") else found


def test_two_files_of_one_name_do_not_hide_each_other(guidelines: Path, tmp_path: Path) -> None:
    (guidelines / "asthma.html").write_text("<p>Another page.</p>")
    new_recipe("guidelines", (guidelines,), workspace=Workspace(tmp_path))
    made = corpus(Workspace(tmp_path), "guidelines")
    assert len(list(made.documents())) == 4
    assert made.rejected == 1
    assert "rename one of them" in made.describe()


def test_a_kind_whose_package_is_missing_is_rejected_by_name(
    guidelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(recipe: object, stack: object) -> None:
        raise MissingDependencyError("reading PDF needs pypdf; pip install 'ragmed[pdf]'")

    monkeypatch.setattr(folder.pdf, "member_reader", missing)
    new_recipe("guidelines", (guidelines,), workspace=Workspace(tmp_path))
    made = corpus(Workspace(tmp_path), "guidelines")
    assert "ragmed[pdf]" in made.describe()
    assert (made.accepted, made.rejected) == (3, 1)


def test_the_reader_follows_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,Give salbutamol.\n")
    file = new_recipe("table", (tmp_path / "a.csv",), workspace=Workspace(tmp_path), access="open")
    assert "reader: csv" in file.read_text()
    assert [document.text for document in corpus(Workspace(tmp_path), "table").documents()] == ["Give salbutamol."]


@pytest.mark.parametrize(
    ("name", "text", "fields", "said"),
    [
        (
            "a.csv",
            "pmid;abstract\n1;Give salbutamol.\n",
            "{id: pmid, text: abstract}",
            "fields: {id: COLUMN, text: COLUMN}",
        ),
        ("a.tsv", "id\tabstract\n1\tGive salbutamol.\n", "{text: abstract}", "fields: {text: COLUMN}"),
        ("a.jsonl", '{"pmid": 1, "text": "Give salbutamol."}\n', "{id: pmid}", "its columns: pmid, text"),
    ],
)
def test_columns_that_have_other_names_are_asked_for(
    tmp_path: Path, name: str, text: str, fields: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    workspace = Workspace(tmp_path)
    assert said in out(workspace, "corpora", "new", "table", str(tmp_path / name))
    file = workspace.recipe("corpora", "table")
    assert "# " in file.read_text()
    with pytest.raises(DataError):
        list(corpus(workspace, "table").documents())
    file.write_text(file.read_text() + f"fields: {fields}\n")
    assert [document.text for document in corpus(workspace, "table").documents()] == ["Give salbutamol."]


def test_an_index_without_a_recipe_and_an_empty_workspace_are_listed(small: Workspace, tmp_path: Path) -> None:
    out(small, "build-index", "wards")
    (small.indexes / "wards").rename(small.indexes / "old")
    assert "old" in out(small, "indexes", "list")
    (small.indexes / "old" / "recipe.yaml").unlink()
    assert "12 passages of 12 documents" in out(small, "indexes", "list")
    empty = Workspace(tmp_path / "nothing")
    assert "ragmed corpora new NAME FOLDER" in out(empty, "corpora", "list")
    assert "ragmed build-index CORPUS" in out(empty, "indexes", "list")


@pytest.mark.parametrize(
    ("name", "path", "reader", "words"),
    [
        ("a b", "data", "", "cannot name a corpus"),
        ("../a", "data", "", "cannot name a corpus"),
        ("a", "none", "", "does not exist"),
        ("a", "data", "pfd", "did you mean 'pdf'"),
    ],
)
def test_a_corpus_that_cannot_be_is_named(tmp_path: Path, name: str, path: str, reader: str, words: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(RagmedError, match=words):
        new_recipe(name, (tmp_path / path,), workspace=Workspace(tmp_path), reader=reader)
    assert not (tmp_path / "corpora").exists()


def test_a_recipe_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    new_recipe("a", (tmp_path / "data",), workspace=Workspace(tmp_path))
    with pytest.raises(DataError, match="has a recipe already"):
        new_recipe("a", (tmp_path / "data",), workspace=Workspace(tmp_path))
    assert call(Workspace(tmp_path), "corpora", "new", "b").exit_code == 2


def test_what_is_neither_file_nor_folder_is_no_corpus(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv' is neither a file nor a folder"):
        new_recipe("pipe", (tmp_path / "pipe.csv",), workspace=Workspace(tmp_path))
