from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import DataError
from ragmed.metrics.concepts import Lexicon, ScispaCy, concept_metric, is_denied, lexicon_lines, read_lexicon
from ragmed.records import Example

LEXICON = Lexicon({"fever": "C1", "cough": "C2", "back pain": "C3", "low back pain": "C4"})


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("No fever was noted overnight.", True),
        ("She denies chills, sweats or fever.", True),
        ("Fever was ruled out.", True),
        ("Fever is absent.", True),
        ("He has fever.", False),
        ("No cough. Fever since Monday.", False),
        ("No cough but fever for two days.", False),
        ("Not only fever, there is a rash.", False),
        ("Fever without cough.", False),
    ],
)
def test_what_is_denied(text: str, denied: bool) -> None:
    start = text.casefold().index("fever")
    assert is_denied(text, start, start + len("fever")) == denied


def test_the_longest_term_wins() -> None:
    assert [concept.id for concept in LEXICON.concepts("Low back pain, BACK PAINS, coughs")] == ["C4", "C3", "C2"]


def test_precision_recall_and_f1_are_worked_out_by_hand() -> None:
    # answer: fever, cough, low back pain; reference: fever, no cough: one of three is right, one of two is found
    batch = [(Example("1", "?", gold="fever, no cough"), "Fever and cough, low back pain")]
    scores = [
        concept_metric(name, LEXICON).score(batch)[0] for name in ("concept_precision", "concept_recall", "concept_f1")
    ]
    assert scores == pytest.approx([1 / 3, 1 / 2, 2 / 5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"C1\tfever\nC2 cough\n", "line 2: a concept, a tab and a term"),
        (b"# nothing\n\n", "holds no term"),
        (b"C1\tfi\xe8vre\n", "cannot be read .*UTF-8"),
    ],
)
def test_a_lexicon_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lexicon(path)


def test_a_lexicon_is_read_as_it_was_written_with_all_concepts_of_a_term(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_text("\n".join(lexicon_lines([("C9", "Fever"), ("C1", "fever"), ("C2", "Dry cough")])), encoding="utf-8")
    found = read_lexicon(path).concepts("Dry cough, no fever")
    assert [(concept.id, concept.denied) for concept in found] == [("C2", False), ("C1", True), ("C9", True)]
    assert [concept.id for concept in Lexicon({"Cold": "C1", "cold ": ("C2", "C1")}).concepts("colds")] == ["C1", "C2"]


def test_scispacy_entities_count_by_their_first_candidate() -> None:
    def entity(start: int, end: int, *candidates: str) -> SimpleNamespace:
        kb_ents = [(candidate, 0.9) for candidate in candidates]
        return SimpleNamespace(start_char=start, end_char=end, _=SimpleNamespace(kb_ents=kb_ents))

    linker = ScispaCy(lambda text: SimpleNamespace(ents=[entity(3, 8, "C1", "C7"), entity(10, 14)]))
    assert [(concept.id, concept.denied) for concept in linker.concepts("No fever, rash.")] == [("C1", True)]


PAGE = """<Document id="1" source="GARD"><Focus>Gout</Focus><FocusAnnotations><UMLS><CUIs><CUI>C0018099</CUI>
<CUI>C7</CUI></CUIs></UMLS><Synonyms><Synonym>Gouty arthritis</Synonym></Synonyms></FocusAnnotations><QAPairs>
<QAPair pid="1"><Question>What is gout ?</Question><Answer>A disease.</Answer></QAPair>
<QAPair pid="2"><Question>Who has gout ?</Question><Answer>Some.</Answer></QAPair></QAPairs></Document>"""


def test_a_corpus_with_concept_ids_gives_a_lexicon(tmp_path: Path) -> None:
    for name, reader in (("pages", "medquad"), ("texts", "text")):
        folder = tmp_path / "corpora" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(f"title: t\nreader: {reader}\npaths: [files]\nlicense: x\naccess: open\n")
        (folder / "files").mkdir()
        (folder / "files" / ("a.xml" if reader == "medquad" else "a.txt")).write_text(PAGE)
    run = CliRunner().invoke
    done = run(cli, ["--root", str(tmp_path), "corpora", "lexicon", "pages", "--output", str(tmp_path / "l.tsv")])
    assert "2 terms of 2 concepts; 2 terms stand for several" in done.output, done.exception
    lexicon = read_lexicon(tmp_path / "l.tsv")
    assert [concept.id for concept in lexicon.concepts("Gouty arthritis")] == ["C0018099", "C7"]
    done = run(cli, ["--root", str(tmp_path), "corpora", "lexicon", "texts", "--output", str(tmp_path / "n.tsv")])
    assert "the reader 'text' reads carries no concept ids" in str(done.exception)
    assert not (tmp_path / "n.tsv").exists()
