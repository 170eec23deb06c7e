"""Released answers of MIRAGE -> a run: names, readings, statuses; the published numbers where the data are at hand."""

import json
import tarfile
from pathlib import Path

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.experiments.results import Rules, compare_runs
from ragmed.integrations.mirage import import_mirage
from ragmed.records import Example
from ragmed.runs import find_run
from ragmed.scores import scored_answers
from ragmed.tasks import examples_hash
from ragmed.tasks.letters import mirage_letter
from ragmed.workspace import Workspace

DATA = Workspace.find(Path(__file__).parent.parent).data / "mirage"
ANSWERS = DATA / "prediction-gpt-35-turbo-16k.tar.xz"
COT, RAG = "gpt-x/cot", "gpt-x/rag_32"


def question(answer: str) -> dict:
    options = {"A": "one", "B": "two", "C": "three", "D": "four"}
    return {"question": "Which drug?", "options": options, "answer": answer, "PMID": [7]}


def said(choice: str) -> list[str]:
    return [json.dumps({"step_by_step_thinking": "Option A is not it.", "answer_choice": choice})]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    sets = {"mmlu": {f"q-{i}": question("B") for i in range(4)}, "medqa": {"0001": question("A")}, "pubmedqa": {}}
    (tmp_path / "benchmark.json").write_text(json.dumps(sets))
    return tmp_path / "benchmark.json"


def put(root: Path, where: str, answers: dict[str, list[str]], split: str = "test") -> None:
    folder = root / "prediction" / where
    folder.mkdir(parents=True, exist_ok=True)
    for id_, texts in answers.items():
        (folder / f"{split}_{id_}.json").write_text(json.dumps(texts))


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    closed = {"q-0": said("B. two"), "q-1": said("A. one"), "q-2": said("None of the above"), "q-3": []}
    shown = {"q-0": said("B"), "q-1": said("B"), "q-2": said("Cannot be determined"), "q-9": said("B")}
    put(tmp_path / "p", "mmlu/cot/Org/gpt-x", closed)
    put(tmp_path / "p", "mmlu/rag_32/Org/gpt-x/medcorp/RRF-4", shown)
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ('{"answer_choice": "B"}', "B"),
        ('{"step_by_step_thinking": "Option A fails", "answer_choice": "C. three"}', "C"),
        ('"answer_choice": "A", no: "answer_choice": "D/E"', "D"),
        ("B or C", "B"),
        ("It is option D", "D"),
        ("The answer: C", "C"),
        ("Both B", None),
        ("E. five", None),
        ("b", None),
        ("", None),
    ],
)
def test_letters_are_read_as_mirage_reads_them_but_never_by_default(text, letter):
    assert mirage_letter(text) == letter


def test_arms_tasks_statuses_and_contrasts(benchmark, predictions, tmp_path):
    run = import_mirage(benchmark, [predictions], output=tmp_path / "run")
    answers = scored_answers(run)
    assert list(answers) == [(COT, "mirage/mmlu"), (RAG, "mirage/mmlu")]
    closed, shown = ({a.example.id: a for a in answers[arm, "mirage/mmlu"]} for arm in (COT, RAG))
    assert [(a.score.status, a.score.value, a.sample.error) for a in closed.values()] == [
        ("answered", "B", ""),
        ("answered", "A", ""),
        ("unparsed", None, ""),
        ("refused", None, ""),
    ]
    assert closed["q-3"].sample.note == "the file holds an empty list"
    assert [a.score.status for a in shown.values()] == ["answered", "answered", "refused", "error"]
    assert shown["q-3"].sample.error == "no file holds an answer to this question"
    assert closed["q-2"].sample.completion == said("None of the above")[0]
    assert closed["q-0"].example == Example(
        "q-0", "Which drug?", options={"A": "one", "B": "two", "C": "three", "D": "four"}, gold="B", documents=("7",)
    )
    info = run.info()
    assert (info["tasks"]["mirage/mmlu"]["reader"], info["tasks"]["mirage/mmlu"]["metrics"]) == (
        "mirage-strict",
        [
            {
                "name": "accuracy", "kind": "binary", "version": 2, "higher_is_better": True, "matches_gold": True,
                "unit": "points",
            }
        ],
    )  # fmt: skip
    assert info["identity"]["tasks"]["mirage/mmlu"]["data"] == examples_hash([a.example for a in closed.values()])
    assert info["experiment"]["arms"][RAG] == {
        "model": "Org/gpt-x", "context": "retrieved", "index": "medcorp", "k": 32, "retriever": "RRF-4"
    }  # fmt: skip
    results = compare_runs([find_run(tmp_path, str(run.folder))])
    assert [(c.baseline, c.arm, c.fixed, c.broke) for c in results.contrasts] == [(COT, RAG, 1, 0)]
    assert "1 answer to questions of mmlu that the benchmark file does not hold" in results.notes


def test_read_as_its_authors_do_what_has_no_letter_is_a(benchmark, predictions, tmp_path):
    run = import_mirage(benchmark, [predictions], output=tmp_path / "run")
    read = scored_answers(run, reader="mirage")
    assert [a.score.value for a in read[COT, "mirage/mmlu"]] == ["B", "A", "A", None]
    assert [a.score.value for a in scored_answers(run)[COT, "mirage/mmlu"]] == ["B", "A", None, None]
    results = compare_runs([run], Rules(reader="mirage"))
    assert "Answers were read by the reader 'mirage', not by the run's own." in results.notes


def test_a_record_that_is_none_is_named(predictions, tmp_path):
    sets = {"mmlu": {"q-0": {"question": "?"}, **{f"q-{i}": question("B") for i in (1, 2, 3)}}}
    (tmp_path / "benchmark.json").write_text(json.dumps(sets))
    with pytest.raises(DataError, match="MIRAGE set 'mmlu', record 'q-0': question, options and answer are needed"):
        import_mirage(tmp_path / "benchmark.json", [predictions], output=tmp_path / "run")


def test_an_archive_gives_the_same_run_as_its_folder(benchmark, predictions, tmp_path):
    with tarfile.open(tmp_path / "p.tar.xz", "w:xz") as tar:
        tar.add(predictions / "prediction", "prediction")
    one = import_mirage(benchmark, [predictions / "prediction"], output=tmp_path / "one")
    two = import_mirage(benchmark, [tmp_path / "p.tar.xz"], output=tmp_path / "two")
    assert one.samples() == two.samples()


def test_several_models_are_each_compared_with_themselves(benchmark, predictions, tmp_path):
    put(tmp_path / "q", "mmlu/cot/Org/gpt-y", {"q-0": said("A")})
    put(tmp_path / "q", "mmlu/rag_32/Org/gpt-y/medcorp/RRF-4", {"q-0": said("B")})
    put(tmp_path / "q", "mmlu/rag_32/Org/gpt-y/textbooks/bm25", {"q-0": said("C")})
    run = import_mirage(benchmark, [predictions, tmp_path / "q"], output=tmp_path / "run")
    contrasts = compare_runs([run]).contrasts
    assert [(c.baseline, c.arm) for c in contrasts] == [
        ("gpt-x/cot", "gpt-x/rag_32"),
        ("gpt-y/cot", "Org/gpt-y/rag_32/medcorp/RRF-4"),
        ("gpt-y/cot", "Org/gpt-y/rag_32/textbooks/bm25"),
    ]


def test_what_is_wrong_is_named(benchmark, predictions, tmp_path):
    with pytest.raises(DataError, match="nowhere' do not exist"):
        import_mirage(benchmark, [tmp_path / "nowhere"], output=tmp_path / "run")
    with pytest.raises(DataError, match="another answer to 'q-0' in the same way"):
        import_mirage(benchmark, [predictions, predictions / "prediction"], output=tmp_path / "run")
    put(tmp_path / "bad", "mmlu/cot/Org/gpt-z", {})
    (tmp_path / "bad/prediction/mmlu/cot/Org/gpt-z/test_q-0.json").write_text('["cut')
    with pytest.raises(DataError, match=r"test_q-0\.json' cannot be read: Unterminated string.*; download it again"):
        import_mirage(benchmark, [tmp_path / "bad"], output=tmp_path / "run")
    (tmp_path / "bad/prediction/mmlu/cot/Org/gpt-z/test_q-0.json").write_text('{"answer": "B"}')
    with pytest.raises(DataError, match="a list of texts was expected"):
        import_mirage(benchmark, [tmp_path / "bad"], output=tmp_path / "run")
    put(tmp_path / "other", "mmlu", {"q-0": said("B")})
    with pytest.raises(DataError, match="no answers in"):
        import_mirage(benchmark, [tmp_path / "other"], output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        import_mirage(benchmark, [predictions], output=tmp_path / "run")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    if not ANSWERS.exists():
        pytest.skip(f"'{ANSWERS}' is not at hand: set RAGMED_DATA to the folder that holds mirage/")
    return import_mirage(DATA / "benchmark.json", [ANSWERS], output=tmp_path_factory.mktemp("mirage") / "run")


# Closed book, MedRAG, fixed, broke, p: as MIRAGE reads the answers. 78 questions of MMLU are asked twice (in two of its
# subjects) and 5 of MedMCQA, so there the test goes by group; exact McNemar's p would be 0.075 and 0.00056.
PUBLISHED = {
    "mirage/mmlu": (72.91, 75.48, 129, 101, 0.090, "sign-flip-permutation"),
    "mirage/medqa": (64.89, 66.61, 157, 135, 0.22, "mcnemar-exact"),
    "mirage/medmcqa": (55.13, 58.04, 676, 554, 0.00070, "sign-flip-permutation"),
}
UNREADABLE_WRONG = {
    "mirage/mmlu": (71.99, 74.66),
    "mirage/medqa": (64.57, 65.59),
    "mirage/medmcqa": (53.55, 53.45),
}


def test_reader_mirage_gives_what_its_authors_published(released):
    found = {c.task: c for c in compare_runs([released], Rules(reader="mirage")).contrasts}
    for task, (closed, shown, fixed, broke, p, test) in PUBLISHED.items():
        row = found[task]
        assert (round(100 * row.baseline_value, 2), round(100 * row.arm_value, 2)) == (closed, shown)
        assert (row.fixed, row.broke) == (fixed, broke)
        assert row.p == pytest.approx(p, rel=0.02)
        assert row.test == test
    assert (found["mirage/mmlu"].n, found["mirage/mmlu"].groups) == (1089, 1011)


def test_policy_wrong_takes_the_published_gain_away(released):
    found = {c.task: c for c in compare_runs([released], Rules(policy="wrong")).contrasts}
    for task, (closed, shown) in UNREADABLE_WRONG.items():
        row = found[task]
        assert (round(100 * row.baseline_value, 2), round(100 * row.arm_value, 2)) == (closed, shown)
    assert found["mirage/medmcqa"].difference < 0
    row = found["mirage/medmcqa"]  # equivalent where unreadable answers are wrong, better where they are left out
    assert (row.verdict, row.depends) == ("cannot-tell", True)


def test_access_is_open_unless_said_otherwise(benchmark, predictions, tmp_path):
    assert import_mirage(benchmark, [predictions], output=tmp_path / "open").access == "open"
    closed = import_mirage(benchmark, [predictions], output=tmp_path / "closed", access="private")
    assert (closed.info()["access"], closed.info_file.stat().st_mode & 0o777) == ("private", 0o600)


def test_an_object_in_place_of_a_list_and_ids_without_the_split_are_taken_and_counted(tmp_path, benchmark):
    folder = tmp_path / "p" / "prediction" / "mmlu" / "cot" / "Org" / "gpt-x"
    folder.mkdir(parents=True)
    (folder / "q-0.json").write_text(json.dumps({"step_by_step_thinking": "Not A.", "answer_choice": "B. two"}))
    (folder / "test_q-1.json").write_text(json.dumps(said("B")))
    run = import_mirage(benchmark, [tmp_path / "p"], output=tmp_path / "run")
    read = {a.example.id: (a.score.status, a.score.value) for a in scored_answers(run)[COT, "mirage/mmlu"]}
    assert (read["q-0"], read["q-1"]) == (("answered", "B"), ("answered", "B"))
    notes = run.info()["imported"]["notes"]
    assert "1 file with the answer as an object, where MIRAGE has a list with its text" in notes
    (folder / "q-1.json").write_text(json.dumps(said("A")))
    with pytest.raises(DataError, match="there is another answer to 'q-1' in the same way"):
        import_mirage(benchmark, [tmp_path / "p"], output=tmp_path / "again")
