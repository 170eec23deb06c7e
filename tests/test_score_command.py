"""`ragmed score`: scores made again from stored answers, all or some, without a model."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from exporting import made, write
from ragmed.cli.main import cli
from sealed import edit_lines

import ragmed.metrics.accuracy
import ragmed.metrics.overlap
from ragmed.comparison.settings import ComparisonSettings
from ragmed.integrations.foreign import ForeignTask, write_run
from ragmed.integrations.mirage import import_mirage
from ragmed.metrics import metric_facts
from ragmed.records import Example, Sample
from ragmed.runs import Run
from ragmed.scores import scored_answers
from ragmed.tasks.reading import READERS
from ragmed.workspace import Workspace


def call(root: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["--root", str(root), *words])
    assert done.exception is None, done.exception
    return done.output


def notes(root: Path) -> Run:
    """Two texts, measured by ROUGE-L and ROUGE-1; and a lettered question, by accuracy."""
    written = [Example("1", "Sum up.", gold="the cat sat"), Example("2", "Sum up.", gold="the dog")]
    lettered = Example("1", "?", options={"A": "no", "B": "yes"}, gold="B")
    samples = {
        ("general", "notes"): [Sample("general", "notes", example, completion="the cat sat") for example in written],
        ("general", "letters"): [Sample("general", "letters", lettered, completion="The answer is B.")],
    }
    tasks = {
        "notes": ForeignTask(written, "text", metric_facts(["rouge_l", "rouge_1"]), "made for a test"),
        "letters": ForeignTask([lettered], "letter", metric_facts(["accuracy"]), "made for a test"),
    }
    origin = {"kind": "test", "files": [], "notes": []}
    settings = ComparisonSettings("general")
    return write_run(
        root / "runs" / "notes", samples=samples, arms={"general": {}}, tasks=tasks, comparison=settings, origin=origin
    )


def lines_of(run: Run, task: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.scores_file("general", task).read_text().splitlines()]


def test_scores_of_a_run_of_our_own_are_made_again(small: Workspace) -> None:
    call(small.root, "eval", str(small.configs / "toy.yaml"), "--arms", "general")
    file = Run(small.runs / "toy").scores_file("general", "mmlu")
    before = file.read_bytes()
    file.write_text("damaged")
    assert call(small.root, "score", "toy", "--task", "mmlu") == (
        "general on mmlu: 12 of 12 answered; reader likelihood 1; accuracy 2\n"
    )
    assert file.read_bytes() == before
    assert "general on pubmedqa: 8 of 8 answered; reader letter 5; accuracy 2" in call(small.root, "score", "toy")


def test_answers_that_mirage_released_are_read_again(tmp_path: Path) -> None:
    record = {"question": "?", "options": {"A": "no", "B": "yes"}, "answer": "B"}
    (tmp_path / "benchmark.json").write_text(json.dumps({"mmlu": {"1": record, "2": record}}))
    folder = tmp_path / "p" / "mmlu" / "cot" / "Org" / "gpt"
    folder.mkdir(parents=True)
    for id_, text in (("1", "B. yes"), ("2", "Neither")):
        (folder / f"test_{id_}.json").write_text(json.dumps([text]))
    run = import_mirage(tmp_path / "benchmark.json", [tmp_path / "p"], output=tmp_path / "runs" / "mirage")
    assert not run.scores_file("gpt/cot", "mirage/mmlu").exists()
    assert call(tmp_path, "score", "mirage") == (
        "gpt/cot on mirage/mmlu: 1 of 2 answered; reader mirage-strict 2; accuracy 2\n"
    )
    assert run.scores_file("gpt/cot", "mirage/mmlu").exists()


def test_a_reader_of_another_version_makes_all_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = notes(tmp_path)
    call(tmp_path, "score", "notes")
    newer = replace(READERS["letter"], version=99, read_text=lambda sample, text: "A")
    monkeypatch.setitem(READERS, "letter", newer)
    assert scored_answers(run)["general", "letters"][0].score.value == "A"
    assert lines_of(run, "letters")[0]["reader_version"] == 99
    assert "reader letter 99; accuracy 2" in call(tmp_path, "score", "notes", "--task", "letters")


def test_a_metric_of_another_version_makes_all_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = notes(tmp_path)
    call(tmp_path, "score", "notes")
    old = ragmed.metrics.accuracy.ACCURACY
    newer = replace(old, facts=replace(old.facts, version=99), score=lambda batch: [0.0] * len(batch))
    monkeypatch.setattr(ragmed.metrics.accuracy, "ACCURACY", newer)
    assert scored_answers(run)["general", "letters"][0].score.metrics == {"accuracy": 0.0}
    assert "reader letter 5; accuracy 99" in call(tmp_path, "score", "notes", "--task", "letters")


def test_one_metric_alone_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = notes(tmp_path)
    call(tmp_path, "score", "notes")
    file = run.scores_file("general", "notes")
    edit_lines(file, lambda lines: lines[1]["metrics"].update(rouge_l=0.125))  # to see that it is not made again
    old = ragmed.metrics.overlap.ROUGE_1
    newer = replace(old, facts=replace(old.facts, version=99), score=lambda batch: [0.5] * len(batch))
    monkeypatch.setattr(ragmed.metrics.overlap, "ROUGE_1", newer)
    line = "general on notes: 2 of 2 answered; reader text 2; rouge_l 2, rouge_1 99\n"  # letters has no such metric
    assert call(tmp_path, "score", "notes", "--metric", "rouge_1") == line
    header, first, _ = lines_of(run, "notes")
    assert header["metrics"] == {"rouge_l": 2, "rouge_1": 99}
    assert first["metrics"] == {"rouge_l": 0.125, "rouge_1": 0.5}
    monkeypatch.setitem(READERS, "text", replace(READERS["text"], version=99))  # then the others are stale, too
    assert "reader text 99" in call(tmp_path, "score", "notes", "--metric", "rouge_1")
    assert lines_of(run, "notes")[1]["metrics"] == {"rouge_l": 1.0, "rouge_1": 0.5}


def test_scores_of_another_program_stay(tmp_path: Path) -> None:
    run = write(tmp_path / "runs" / "theirs", {("a", "t"): [made(1, "a", "t", metrics={"graded_by_a_model": 0.75})]})
    before = run.scores_file("a", "t").read_bytes()
    assert call(tmp_path, "score", "theirs") == "a on t: 1 of 1 answered; graded_by_a_model as imported\n"
    assert run.scores_file("a", "t").read_bytes() == before


def started(root: Path, *words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.argv = ['ragmed', '--root', {str(root)!r}, *{list(words)!r}]\n{code}"
    program += "\nfrom ragmed.cli.main import main\nmain()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ.copy())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nots"], "no run 'nots'"),
        (["notes", "--task", "leters"], "unknown task 'leters'.*did you mean 'letters'"),
        (["notes", "--metric", "rouge_3"], "unknown metric 'rouge_3'.*did you mean 'rouge_[l12]'"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(tmp_path: Path, words: list[str], message: str) -> None:
    import re

    notes(tmp_path)
    done = started(tmp_path, "score", *words)
    assert (done.returncode, bool(re.search(message, " ".join(done.stderr.split())))) == (2, True), done.stderr


def test_a_run_that_somebody_writes_to_is_left_alone(tmp_path: Path) -> None:
    with notes(tmp_path).held():
        assert started(tmp_path, "score", "notes").returncode == 4


def test_no_model_library_is_loaded(tmp_path: Path) -> None:
    notes(tmp_path)
    code = (
        "import atexit\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'faiss', 'langchain_core'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules))))"
    )
    done = started(tmp_path, "score", "notes", code=code)
    assert done.stdout.endswith("heavy: []\n"), done.stdout + done.stderr
    assert "general on notes: 2 of 2 answered" in done.stdout
