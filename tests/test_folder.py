"""A folder of one's own, of mixed kinds: from `ragmed corpora new` to documents."""

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
    assert "3 files ignored: 2 .xml, 1 .docx; 2 of them: holds no question\n" in text


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
