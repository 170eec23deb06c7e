"""CodiEsp: folders and archives in the publisher's layout, English and Spanish, and the real sets where they are."""

import shutil
import tarfile
from pathlib import Path

import pytest
from coding_trial import run_coding_trial

from ragmed.errors import DataError
from ragmed.prompts import build_messages
from ragmed.records import ContextDocument, Example
from ragmed.runs import find_run
from ragmed.tasks import TaskSettings, invent_sample, load_task
from ragmed.tasks.codiesp import CODIESP, CODIESP_ES
from ragmed.tasks.coding import note_queries
from ragmed.workspace import Workspace

REAL = Workspace.find(Path(__file__).parent.parent)
needs_codiesp = pytest.mark.skipif(not (REAL.data / "codiesp").is_dir(), reason="needs codiesp/ under RAGMED_DATA")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    invent_sample("codiesp", tmp_path / "data")
    return Workspace.find(tmp_path)


@needs_codiesp
def test_the_sets_are_whole_and_no_article_is_both_shown_and_scored() -> None:
    for task in (CODIESP, CODIESP_ES):
        split = task.load(REAL)
        assert len(split.examples) == 250
        assert len(split.shots) == 500 - 18  # 15 articles are on both sides, with 18 training reports
        assert sum(len(example.gold) for example in split.examples) == 2677
        assert not {e.group for e in split.shots} & {e.group for e in split.examples}
        assert all(max(len(query.split()) for query in task.query(example)) <= 60 for example in split.examples)
    first = {e.id: e for e in CODIESP_ES.load(REAL).examples}["S0004-06142005000900016-1"]
    assert first.gold[:3] == ("Q62.11", "N28.89", "N39.0")
    assert first.group == "S0004-06142005000900016"


def test_one_report_in_two_languages_has_the_same_codes(here: Workspace) -> None:
    english, spanish = CODIESP.load(here), CODIESP_ES.load(here)
    assert [e.gold for e in english.examples] == [e.gold for e in spanish.examples]
    assert english.examples[0].text.startswith("A man of 40 years is seen for asthma and cough.")
    assert spanish.examples[0].text.startswith("Varón de 40 años con asma y tos.")
    assert (len(english.examples), len(english.shots), len({e.group for e in english.examples})) == (12, 6, 6)


def test_a_training_report_with_the_text_of_a_scored_one_is_not_shown(here: Workspace) -> None:
    folder = here.data / "codiesp"
    text = (folder / "dev" / "text_files_en" / "S0000-DEV0000-1.txt").read_text()
    (folder / "train" / "text_files_en" / "S0000-TRAIN0000-1.txt").write_text(text)
    assert "S0000-TRAIN0000-1" not in {example.id for example in CODIESP.load(here).shots}
    assert "S0000-TRAIN0000-1" in {example.id for example in CODIESP_ES.load(here).shots}


def test_the_queries_hold_every_word_of_a_report_that_has_no_full_stops() -> None:
    words = [f"w{n}" for n in range(200)]
    note = Example("n", "", (ContextDocument(" ".join(words[:150]) + "\n" + " ".join(words[150:]) + ". One. Two."),))
    queries = note_queries(note)
    assert " ".join(queries) == " ".join([*words, "."]).replace(" .", ".") + " One. Two."
    assert [len(query.split()) for query in queries] == [60, 60, 30, 52]


def test_an_archive_is_read_in_place_as_the_folder_is(here: Workspace) -> None:
    before = CODIESP.load(here)
    for split in ("dev", "train"):
        folder = here.data / "codiesp" / split
        with tarfile.open(folder.with_suffix(".tar.xz"), "w:xz") as archive:
            archive.add(folder, arcname=split)
        shutil.rmtree(folder)
    assert CODIESP.load(here) == before


def test_the_codes_are_asked_for_and_shown_with_their_points(here: Workspace) -> None:
    bound = load_task("codiesp", TaskSettings(shots=1), workspace=here, seed=0)
    system, question, answer, *_ = build_messages(bound, bound.examples[0])
    assert "ICD-10-CM codes" in system.content
    assert question.content.startswith("Case report: A man of")
    assert answer.content == "; ".join(bound.shots[0].gold)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "devD.tsv").write_text("S1-1 r05\n"), "line 1: a report's id and an ICD-10-CM code"),
        (lambda f: (f / "devD.tsv").write_text("S1-1\t786.2\n"), "line 1: a report's id and an ICD-10-CM code"),
        (lambda f: (f / "devD.tsv").unlink(), "holds no devD.tsv"),
        (lambda f: shutil.rmtree(f / "text_files_en"), "holds no text_files_en/"),
        (lambda f: (f / "text_files_en" / "S0000-DEV0000-1.txt").unlink(), "codes in devD.tsv and no text in"),
        (lambda f: (f / "text_files_en" / "S0000-X-1.txt").write_text("New."), "a text and no code"),
        (lambda f: (f / "text_files_en" / "S0000-DEV0000-1.txt").write_bytes(b"\xff"), "is not UTF-8"),
        (shutil.rmtree, r"one archive of it \(dev.tar.xz, dev.zip\) was expected, found none: put CodiEsp's dev set"),
    ],
)
def test_what_is_not_as_published_is_named(here: Workspace, change: object, message: str) -> None:
    change(here.data / "codiesp" / "dev")  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        CODIESP.load(here)


@pytest.mark.parametrize("task", ["codiesp", "codiesp_es"])
def test_five_reports_go_through_every_arm(here: Workspace, task: str) -> None:
    results, workspace = run_coding_trial(task, here.root)
    assert {row.arm for row in results.scores} == {"general", "general+rag", "general+oracle", "general+distractor"}
    oracle = next(row for row in results.scores if (row.arm, row.metric) == ("general+oracle", "code_f1"))
    assert oracle.value > 0.5  # what is repeated of the prompt holds the oracle's codes
    nearest = find_run(workspace.runs, "r").samples()["nearest-code", task]
    assert all(sample.completion and sample.input_tokens == 0 for sample in nearest)
    assert {row.name for row in results.baselines if row.metric == "code_f1"} >= {"nearest-code", "lead-3"}
