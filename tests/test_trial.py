import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sealed import edit_lines

from ragmed.comparison.results import read_results
from ragmed.comparison.rows import NotRun
from ragmed.errors import DamagedError, MismatchError, RagmedError, UnknownNameError, UsageError
from ragmed.experiments.binding import bind_tasks
from ragmed.experiments.config import Experiment, load_experiment, make_experiment
from ragmed.experiments.results import Rules, compare_runs, report_run
from ragmed.experiments.trial import describe, dry_run, run_experiment
from ragmed.models import ModelSettings
from ragmed.records import Sample
from ragmed.runs import Run, find_run
from ragmed.tasks import TaskSettings, load_task
from ragmed.workspace import Workspace


def toy(workspace: Workspace) -> Experiment:
    return load_experiment(workspace.configs / "toy.yaml")


def timeless(run: Run) -> dict[tuple[str, str], list[Sample]]:
    return {
        k: [dataclasses.replace(s, seconds=0.0, retrieval_seconds=0.0, retrieval_cpu_seconds=0.0) for s in v]
        for k, v in run.samples().items()
    }


@pytest.fixture
def done(small: Workspace) -> Run:
    run_experiment(toy(small), workspace=small)
    return find_run(small.runs, "toy")


def test_a_trial_runs_end_to_end(small: Workspace, done: Run) -> None:
    counts = {key: len(samples) for key, samples in done.samples().items()}
    arms = ("general", "general+rag", "general+distractor")
    assert {k: n for k, n in counts.items() if k[1] == "mmlu"} == {
        (a, "mmlu"): 12 for a in ("general", "general+rag", "options-only")
    }  # no oracle: this set names no gold documents; so small an index holds no distractors of another question
    assert {k: n for k, n in counts.items() if k[1] == "pubmedqa"} == {
        (a, "pubmedqa"): 8 for a in (*arms, "options-only", "general+oracle")
    }
    results = done.results_file
    assert results.is_file()
    assert (done.report_folder / "index.html").is_file()
    assert (small.indexes / "wards" / "manifest.json").is_file()  # built because it was missing


def test_passages_are_what_the_arm_says(done: Run) -> None:
    samples = done.samples()
    for sample in samples["general+oracle", "pubmedqa"]:
        assert [p.gold for p in sample.passages] == [True]
    for sample in samples["general+distractor", "pubmedqa"]:
        assert [p.gold for p in sample.passages] == [False, False]
    hit = [any(p.gold for p in s.passages) for s in samples["general+rag", "pubmedqa"]]
    assert sum(hit) >= 6
    assert all(s.passages == () for s in samples["general", "mmlu"])


def test_nothing_is_asked_twice(small: Workspace, done: Run) -> None:
    files = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in done.folder.glob("samples/*/*.jsonl")}
    first = done.results_file.read_bytes()
    run_experiment(toy(small), workspace=small)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files} == files
    assert done.results_file.read_bytes() == first
    assert compare_runs([done]) == read_results(done.results_file)


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_was_cut_ends_as_if_it_had_not(small: Workspace, done: Run, seed: int) -> None:
    whole, results = timeless(done), compare_runs([done])
    chance = random.Random(seed)
    for path in sorted(done.folder.glob("samples/*/*.jsonl")):
        data = path.read_bytes()
        path.write_bytes(data[: chance.randrange(len(data) + 1)])
    run_experiment(toy(small), workspace=small)
    assert timeless(done) == whole
    again = compare_runs([done])
    assert dataclasses.replace(again, costs=()) == dataclasses.replace(results, costs=())


def test_a_killed_process_loses_at_most_a_window(small: Workspace, done: Run) -> None:
    whole = timeless(done)
    output = small.runs / "killed"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom ragmed.experiments.config import load_experiment\n"
        "from ragmed.experiments import trial\nfrom ragmed.workspace import Workspace\n"
        "append = trial.Run.append\n"
        "def slow(self, *rest):\n    append(self, *rest)\n    print('window', flush=True)\n    time.sleep(0.05)\n"
        "trial.Run.append = slow\n"
        f"w = Workspace.find({str(small.root)!r})\n"
        f"trial.run_experiment(load_experiment(w.configs / 'toy.yaml'), workspace=w, output=Path({str(output)!r}))\n"
    )
    for windows in (1, 4, 9):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ.copy())
        assert process.stdout is not None
        for _ in range(windows):
            assert process.stdout.readline() == b"window\n"
        time.sleep(random.Random(windows).random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    run_experiment(toy(small), workspace=small, output=output)
    killed = find_run(small.runs, "killed")
    assert timeless(killed) == whole


def test_a_run_never_mixes(small: Workspace, done: Run) -> None:
    config = small.configs / "toy.yaml"
    text = config.read_text()
    for old, new, field in (
        ("seed: 3", "seed: 4", "seed"),
        ("retrieved, k: 2", "retrieved, k: 1", "arms.general\\+rag.k"),
        ("scoring: letters", "scoring: option-text", "tasks.mmlu.scoring"),
        ("first-option", "echo", "models.small.name"),
    ):
        config.write_text(text.replace(old, new))
        with pytest.raises(MismatchError, match=f"is not what would be made now: {field} was "):
            run_experiment(toy(small), workspace=small)


def test_an_index_that_changed_is_noticed_before_anything_is_asked(small: Workspace, done: Run) -> None:
    recipe = small.indexes / "wards" / "recipe.yaml"
    recipe.write_text("corpora: [wards]\nembedder: hashing:32\n")
    with pytest.raises(MismatchError, match="ragmed build-index wards"):
        run_experiment(toy(small), workspace=small, output=small.runs / "second")


def test_arms_and_tasks_can_join_later(small: Workspace, done: Run) -> None:
    output = small.runs / "steps"
    for arms in (("general",), ("general", "general+rag")):
        run_experiment(toy(small).only(arms, ("mmlu",)), workspace=small, output=output)
    steps = find_run(small.runs, "steps").samples()
    assert set(steps) == {("general", "mmlu"), ("general+rag", "mmlu")}
    assert len(compare_runs([find_run(small.runs, "steps")]).contrasts) == 1


def test_several_runs_are_compared_as_arms_of_one(small: Workspace, done: Run) -> None:
    other = dataclasses.replace(toy(small), name="other").only(("general",), ("mmlu",))
    run_experiment(other, workspace=small)
    results = compare_runs([done, find_run(small.runs, "other")])
    rows = [c for c in results.contrasts if c.arm == "other/general"]
    assert [(c.baseline, c.difference, c.p) for c in rows] == [("toy/general", 0.0, 1.0)]
    with pytest.raises(UnknownNameError, match="did you mean 'toy/general'"):
        compare_runs([done, find_run(small.runs, "other")], Rules(baseline="toy/genral"))


def test_runs_that_asked_otherwise_are_not_compared(small: Workspace, done: Run) -> None:
    config = small.configs / "toy.yaml"
    config.write_text(config.read_text().replace("scoring: letters", "scoring: option-text"))
    other = dataclasses.replace(toy(small), name="other").only(("general",), ("mmlu",))
    run_experiment(other, workspace=small)
    with pytest.raises(MismatchError, match="asked task 'mmlu' differently"):
        compare_runs([done, find_run(small.runs, "other")])


def test_a_report_can_be_written_elsewhere(small: Workspace, done: Run, tmp_path: Path) -> None:
    path = report_run(done, folder=tmp_path / "page")
    assert path.parent == tmp_path / "page"
    assert "general+rag" in path.read_text()


def test_a_dry_run_shows_prompts_and_touches_nothing(small: Workspace) -> None:
    text = dry_run(toy(small), workspace=small)
    assert "mmlu: 12 examples, scoring letters" in text
    assert "general+oracle: does not apply" in text
    assert "<passage 1>" in text
    assert not small.runs.exists()
    assert not (small.indexes / "wards" / "manifest.json").exists()


def test_an_arm_that_never_answered_keeps_its_row_and_says_why(small: Workspace) -> None:
    config = small.configs / "toy.yaml"
    config.write_text(config.read_text() + "context_tokens: 10\n")
    results = run_experiment(toy(small), workspace=small)
    rows = [s for s in results.scores if s.task == "mmlu"]
    assert [(s.value, s.status["error"]) for s in rows] == [(None, 12)] * 2
    assert {row.verdict for row in results.contrasts if row.task == "mmlu"} == {"no-verdict"}
    assert any("12 samples have a note" in note and "the budget is 10" in note for note in results.notes)


def test_passages_that_were_left_out_are_counted(small: Workspace) -> None:
    config = small.configs / "toy.yaml"
    config.write_text(config.read_text() + "context_tokens: 90\n")
    results = run_experiment(toy(small), workspace=small)
    assert any("did not fit the context" in note for note in results.notes)


def test_a_wrong_model_does_not_poison_a_run_that_has_no_samples(small: Workspace) -> None:
    config = small.configs / "toy.yaml"
    text = config.read_text()
    config.write_text(text.replace("scripted:first-option", "path:/nowhere"))
    with pytest.raises(RagmedError, match="does not exist"):
        run_experiment(toy(small), workspace=small)
    config.write_text(text)
    assert run_experiment(toy(small), workspace=small).contrasts


def test_an_arm_that_is_not_through_is_left_out_and_said_so(small: Workspace, done: Run) -> None:
    path = done.samples_file("general+rag", "mmlu")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    with pytest.raises(DamagedError, match=r"'general\+rag' on 'mmlu' had answered all 12 examples, and 5 are there"):
        compare_runs([done])
    done.results_file.unlink()  # as before it was through
    done.scores_file("general+rag", "mmlu").unlink()
    results = compare_runs([done])
    assert "'general+rag' has answered 5 of 12 of 'mmlu'" in results.notes[0]
    assert ("general+rag", "mmlu") not in {(s.arm, s.task) for s in results.scores}


def test_a_control_without_samples_is_replaced_in_plain_words(small: Workspace) -> None:
    results = run_experiment(toy(small).only(("general+rag", "general+distractor"), ("mmlu",)), workspace=small)
    assert "the control 'general' has no row yet: 'general+rag' stands in" in results.notes[0]


def test_a_baseline_arm_is_no_control(done: Run) -> None:
    with pytest.raises(UnknownNameError, match="unknown arm 'options-only'"):
        compare_runs([done], Rules(baseline="options-only"))


def test_one_run_is_not_compared_with_itself(done: Run) -> None:
    with pytest.raises(UsageError, match="two of the runs are called 'toy'"):
        compare_runs([done, done])


def test_samples_of_no_arm_are_named(done: Run) -> None:
    ghost = done.samples_file("ghost", "mmlu")
    ghost.parent.mkdir()
    ghost.write_bytes(done.samples_file("general", "mmlu").read_bytes())
    edit_lines(ghost, lambda lines: [line.update(arm="ghost") for line in lines])
    with pytest.raises(DamagedError, match="belongs to no arm"):
        compare_runs([done])


def test_a_run_on_private_references_is_for_its_owner_alone(small: Workspace) -> None:
    recipe = small.corpora / "wards" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("access: open", "access: private"))
    run_experiment(toy(small), workspace=small)
    for path in (small.runs / "toy").rglob("*"):
        if path.is_file() and path.name != ".lock":
            assert path.stat().st_mode & 0o777 == 0o600, path
    assert (small.runs / "toy").stat().st_mode & 0o777 == 0o700


def test_what_ended_in_an_error_is_asked_again_and_the_rest_stays(small: Workspace, done: Run) -> None:
    whole = {key: list(samples) for key, samples in timeless(done).items()}
    file = done.samples_file("general+rag", "pubmedqa")
    lost = {"finish": "error", "completion": None, "error": "503"}
    edit_lines(file, lambda lines: [lines[place].update(lost) for place in (1, 6)])
    run_experiment(toy(small), workspace=small)
    assert [s.finish for s in done.samples()["general+rag", "pubmedqa"]].count("error") == 2
    run_experiment(toy(small), workspace=small, retry_errors=True)
    assert timeless(done) == whole


def test_a_server_may_be_reached_otherwise_on_the_next_day(small: Workspace) -> None:
    experiment = toy(small)
    model = ModelSettings("endpoint:http://127.0.0.1:9/v1#m", timeout=5)
    first = dataclasses.replace(experiment, models={"small": model})
    later = dataclasses.replace(experiment, models={"small": dataclasses.replace(model, timeout=50, concurrency=2)})
    bound = bind_tasks(first, small)
    run = Run(small.runs / "x")
    one, two = (describe(e, bound, run, {})["identity"] for e in (first, later))
    assert one == two
    warmer = dataclasses.replace(experiment, models={"small": dataclasses.replace(model, temperature=0.5)})
    assert describe(warmer, bound, run, {})["identity"] != one


def test_an_arm_that_could_not_run_is_named(small: Workspace) -> None:
    (small.root / "q.csv").write_text("id,question,A,B,answer,documents\n1,Oak?,x,y,A,oak\n2,Elm?,x,y,B,\n")
    config = {
        "models": {"m": "scripted:first-option"},
        "index": "wards",
        "tasks": {"ours": {"file": "q.csv"}},
        "arms": {"general": {"model": "m"}, "oracle": {"model": "m", "context": "oracle", "k": 1}},
    }
    results = run_experiment(make_experiment(config, default_name="ours", where="config"), workspace=small)
    assert results.not_run == (
        NotRun("oracle", "ours", "of 1 of 2 questions the file names no documents that hold the answers"),
    )


def test_few_shot_examples_that_are_not_there_are_named(small: Workspace) -> None:
    (small.root / "q.csv").write_text("question,A,B,answer\n" + "Oak?,x,y,A\n" * 20)
    with pytest.raises(UsageError, match="split = dev"):
        load_task("ours", TaskSettings(file="q.csv", shots=2), workspace=small, seed=0)
    with pytest.raises(UsageError, match="no few-shot examples"):
        load_task("mmlu", TaskSettings(shots=2), workspace=small, seed=0)


def test_an_arm_can_be_shown_what_an_arm_of_another_run_was_shown(small: Workspace, done: Run) -> None:
    raw = {
        "models": {"other": "scripted:echo"},
        "index": "wards",
        "seed": 3,
        "tasks": {"pubmedqa": {}},
        "arms": {"again": {"model": "other", "context": "retrieved", "k": 2, "replay": "toy/general+distractor"}},
    }
    run_experiment(make_experiment(raw, default_name="replayed", where="config"), workspace=small)
    run = find_run(small.runs, "replayed")
    shown = [sample.passages for sample in done.samples()["general+distractor", "pubmedqa"]]
    assert [sample.passages for sample in run.samples()["again", "pubmedqa"]] == shown
    shown_now = done.samples_file("general+distractor", "pubmedqa")
    shown_now.write_bytes(done.samples_file("general+rag", "pubmedqa").read_bytes())
    edit_lines(shown_now, lambda lines: [line.update(arm="general+distractor") for line in lines])
    run.samples_file("again", "pubmedqa").write_bytes(b"")  # to be asked again, of other passages now
    with pytest.raises(MismatchError, match="the passages to be shown again to 'again on pubmedqa' differ"):
        run_experiment(make_experiment(raw, default_name="replayed", where="config"), workspace=small)
    raw["arms"]["again"]["replay"] = "toy/none"  # type: ignore[index]
    with pytest.raises(MismatchError, match="arm 'none' of run 'toy' was not asked 'pubmedqa'"):
        run_experiment(
            make_experiment(raw, default_name="replayed", where="config"), workspace=small, output=small.runs / "x"
        )
    raw["arms"]["again"] |= {"replay": "nowhere/none"}  # type: ignore[index]
    with pytest.raises(UsageError, match="no run 'nowhere'"):
        dry_run(make_experiment(raw, default_name="replayed", where="config"), workspace=small)
    raw["arms"]["again"] |= {"replay": "toy/general+distractor", "k": 9}  # type: ignore[index]
    with pytest.raises(MismatchError, match=r"was shown 2 passages, and k 9 asks for more; write k: 2"):
        dry_run(make_experiment(raw, default_name="replayed", where="config"), workspace=small)
    raw["arms"]["again"] |= {"context": "oracle"}  # type: ignore[index]
    with pytest.raises(UsageError, match="write RUN/ARM"):
        make_experiment(raw, default_name="replayed", where="config")
