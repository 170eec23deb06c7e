"""Scores are derived: made again where they are stale or damaged, kept only where they are of a whole file."""

from pathlib import Path

import pytest
from sealed import edit_info, edit_lines, read_lines, write_lines

from ragmed import runs as runs_module
from ragmed.errors import DamagedError, MismatchError, UnwritableError
from ragmed.experiments import trial
from ragmed.experiments.config import Experiment, load_experiment, make_experiment
from ragmed.experiments.results import Rules, compare_runs
from ragmed.experiments.trial import run_experiment
from ragmed.runs import Run, find_run
from ragmed.scores import score_run, scored_answers
from ragmed.workspace import Workspace


def toy(workspace: Workspace) -> Experiment:
    return load_experiment(workspace.configs / "toy.yaml").only(("general", "general+rag"))


@pytest.fixture
def done(small: Workspace) -> Run:
    run_experiment(toy(small), workspace=small)
    return find_run(small.runs, "toy")


@pytest.mark.parametrize("damage", ["", "x\n", "other", "counts", "extra", "turned", "read otherwise"])
def test_damaged_scores_are_made_again(done: Run, damage: str) -> None:
    path = done.scores_file("general", "mmlu")
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    texts = {
        "other": "".join([lines[0], *lines[2:], lines[1]]),  # of other samples than those beside them
        "counts": whole.replace('"accuracy": 1.0', '"accuracy": [1.0, 2.0]'),
        "extra": whole.replace('"accuracy": 1.0', '"accuracy": 1.0, "zzz": 1.0'),
        "turned": whole.replace('"accuracy": 0.0', '"accuracy": 1.0'),
        "read otherwise": whole.replace('"value": "A"', '"value": "B"'),
    }
    assert texts.get(damage, damage) != whole
    path.write_text(texts.get(damage, damage))
    if damage in texts:
        write_lines(path, read_lines(path))  # with checksums that are right
    scored_answers(done)
    assert path.read_text() == whole


def test_half_of_an_evaluation_is_scored_and_not_kept(done: Run) -> None:
    path, scores = done.samples_file("general", "mmlu"), done.scores_file("general", "mmlu")
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    scores.unlink()
    assert len(scored_answers(done)["general", "mmlu"]) == 5
    assert not scores.exists()
    path.write_bytes(whole)
    assert len(scored_answers(done)["general", "mmlu"]) == 12
    assert scores.exists()


def test_a_run_that_may_only_be_read_is_compared(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done.scores_file("general", "mmlu").unlink()

    def refused(*given: object, **named: object) -> None:
        raise UnwritableError("read-only")

    monkeypatch.setattr(runs_module, "write_atomic", refused)
    assert len(scored_answers(done)["general", "mmlu"]) == 12


def test_a_metric_that_no_task_measures_yet_is_added_as_a_secondary_one_and_stays(small: Workspace, done: Run) -> None:
    assert "accuracy 2, abstained 1" in score_run(done, tasks=["mmlu"], metrics=["abstained"])[0]
    run_experiment(toy(small), workspace=small)
    rows = {(row.task, row.metric): row.primary for row in compare_runs([done]).contrasts}
    assert rows == {("mmlu", "accuracy"): True, ("mmlu", "abstained"): False, ("pubmedqa", "accuracy"): True}


def test_a_reader_leaves_tasks_that_it_cannot_read_as_they_are_and_tells(done: Run) -> None:
    results = compare_runs([done], Rules(reader="text"))
    assert any("reader 'text' reads no such answers" in note for note in results.notes)
    assert {row.value for row in results.scores} != {0.0}


def test_an_arm_that_is_missing_from_the_identity_counts_as_its_defaults(small: Workspace, done: Run) -> None:
    edit_info(done.info_file, lambda info: info["identity"]["arms"].pop("general+rag"))
    with pytest.raises(MismatchError, match=r'arms\.general\+rag\.model was "", is now "small"'):
        run_experiment(toy(small), workspace=small)


def fail(done: Run, place: int) -> None:
    path = done.samples_file("general+rag", "pubmedqa")
    edit_lines(path, lambda lines: lines[place].update(finish="error", completion=None, error="503"))


def test_what_is_asked_again_is_held_to_versions_and_prompts(
    small: Workspace, done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(done, 2)
    with monkeypatch.context() as other:
        other.setattr(trial, "_version", lambda name: "0.0")
        with pytest.raises(MismatchError, match=r"torch was "):
            run_experiment(toy(small), workspace=small, retry_errors=True)
    monkeypatch.setattr("ragmed.evaluation._ordered", lambda hits, order, example: hits[::-1])
    with pytest.raises(MismatchError, match="another prompt than it would be now"):
        run_experiment(toy(small), workspace=small, retry_errors=True)


def test_runs_that_asked_in_other_words_are_not_compared(small: Workspace, done: Run) -> None:
    raw = {
        "models": {"m": "scripted:first-option"},
        "seed": 3,
        "tasks": {"mmlu": {"scoring": "letters", "system_instruction": "Always answer B."}},
        "arms": {"other": {"model": "m"}},
    }
    run_experiment(make_experiment(raw, default_name="words", where="config"), workspace=small)
    with pytest.raises(MismatchError, match=r"asked task 'mmlu' differently \(prompts\)"):
        compare_runs([done, find_run(small.runs, "words")])


def test_a_private_run_stays_private_when_only_open_tasks_are_asked(small: Workspace) -> None:
    (small.root / "q.csv").write_text("question,A,B,answer\nOak?,x,y,A\nElm?,x,y,B\n")
    raw = {
        "models": {"m": "scripted:first-option"},
        "tasks": {"ours": {"file": "q.csv"}, "mmlu": {}},
        "arms": {"a": {"model": "m"}, "b": {"model": "m", "tasks": ["mmlu"]}},
    }
    experiment = make_experiment(raw, default_name="mixed", where="config")
    run_experiment(experiment.only(("a",)), workspace=small)
    run_experiment(experiment.only((), ("mmlu",)), workspace=small)
    modes = {path: path.stat().st_mode & 0o777 for path in (small.runs / "mixed").rglob("*") if path.name != ".lock"}
    assert set(modes.values()) == {0o600, 0o700}, [str(path) for path, mode in modes.items() if mode & 0o077]


def test_scores_lie_beside_samples(done: Run) -> None:
    assert done.scores_file("general", "mmlu") == Path(done.folder) / "scores" / "general" / "mmlu.jsonl"


FORGED: dict[str, dict[str, object]] = {
    "question": {"question": "Where?"},
    "options": {"options": {"A": "x", "B": "y", "C": "z", "D": "w"}},
    "documents": {"documents": ["elsewhere"]},
    "gold": {"gold": "D"},
}


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("name", FORGED)
def test_questions_that_were_not_asked_are_refused_though_their_checksums_fit(
    done: Run, name: str, everywhere: bool
) -> None:
    arms = ("general", "general+rag") if everywhere else ("general+rag",)
    for arm in arms:
        of_one = read_lines(done.samples_file(arm, "mmlu"))
        of_one[-1]["example"].update(FORGED[name])
        write_lines(done.samples_file(arm, "mmlu"), of_one)
    with pytest.raises(DamagedError, match=r"mmlu\.jsonl' holds other questions, .* `ragmed eval` .* asks those again"):
        compare_runs([done])


def test_an_experiment_at_odds_with_what_its_answers_are_held_to_is_refused(done: Run) -> None:
    edit_info(done.info_file, lambda info: info["experiment"]["arms"]["general+rag"].update(context="none"))
    with pytest.raises(DamagedError, match=r"arms\.general\+rag\.context is not what identity\.arms\.general\+rag"):
        compare_runs([done])


def test_the_order_of_samples_is_no_change(done: Run) -> None:
    rows = compare_runs([done]).contrasts
    edit_lines(done.samples_file("general", "mmlu"), lambda lines: lines.reverse())
    assert compare_runs([done]).contrasts == rows
