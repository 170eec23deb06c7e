"""Answers that are there already: read again, scored again, and nothing is asked."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sealed import edit_lines, read_lines, write_lines

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation
from ragmed.errors import DataError, MismatchError, UnknownNameError, UsageError
from ragmed.evaluation import answer
from ragmed.experiments.config import load_experiment, make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import load_model
from ragmed.records import Answer, Example, Sample, Score
from ragmed.runs import Run, find_run
from ragmed.scores import score_samples, scored_answers
from ragmed.tasks import BoundTask, Split, Task, TaskSettings
from ragmed.workspace import Workspace

TASK = Task(
    name="toy", title="Toy", kind="choice", instruction="You answer.", load=lambda workspace: Split(()),
    source="here", license="none", metrics=("accuracy",),
)  # fmt: skip
EXAMPLES = tuple(Example(str(i), f"Question {i}?", options={"A": "wrong", "B": "right"}, gold="B") for i in range(3))
BOUND = BoundTask(TASK, TaskSettings(scoring="generate"), EXAMPLES, ())


def recorded(file: Path, *lines: dict[str, Any]) -> Any:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_model(f"recorded:{file}", workspace=Workspace(file.parent))


def ask(model: Any, bound: BoundTask = BOUND, context: str = "none") -> list[Sample]:
    shown = [Augmentation()] * len(bound.examples)
    arm = Arm("old", "m", context, "i", 2)  # type: ignore[arg-type]
    return answer(arm, bound, bound.examples, shown, model=model, budget=1000)


def test_a_file_is_read_by_task_and_id(tmp_path: Path) -> None:
    model = recorded(
        tmp_path / "a.jsonl",
        {"task": "toy", "id": "1", "text": "<think>A?</think>The answer is B."},
        {"task": "toy", "id": "0", "text": "A."},
        {"task": "toy", "id": "gone", "text": "A."},
        {"task": "other", "id": "2", "text": "B."},
    )
    first, second, third = ask(model)
    assert score_samples([first], "letter", ["accuracy"]) == [Score("0", "answered", "A", {"accuracy": 0.0})]
    assert first.note == "1 recorded answer is of no example that is asked here"
    assert (second.thinking, second.completion, second.note) == ("A?", "The answer is B.", "")
    assert third.finish == "error"
    assert third.error.endswith("holds no answer to '2' of task 'toy'")
    assert set(model.fingerprint()) == {"recorded"}


def test_a_file_for_one_task_need_not_name_it(tmp_path: Path) -> None:
    model = recorded(tmp_path / "a.jsonl", *({"id": str(i), "text": "B"} for i in range(3)))
    assert [s.completion for s in ask(model)] == ["B", "B", "B"]
    other = dataclasses.replace(BOUND, task=dataclasses.replace(TASK, name="other"))
    with pytest.raises(DataError, match="both 'toy' and 'other' are asked; add 'task'"):
        ask(model, other)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "1", "text": "A"}, {"id": "1", "text": "A"}], "line 2: a second answer to '1'; keep one"),
        ([{"id": 1, "text": "A"}], "line 1: expected id and text"),
        ([{"id": "1"}], "line 1: expected id and text"),
        ([{"id": "1", "text": "A", "answer": "A"}], "found answer, id, text"),
        ([{"id": "1", "text": "A"}, {"task": "toy", "id": "2", "text": "A"}], "some lines name their task"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        recorded(tmp_path / "a.jsonl", *lines)


def test_what_cannot_be_found_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(DataError, match=r"'.*none\.jsonl' does not exist"):
        load_model(f"recorded:{tmp_path / 'none.jsonl'}", workspace=workspace)
    with pytest.raises(DataError, match="there is no run 'toy'"):
        load_model("recorded:toy/general", workspace=workspace)
    with pytest.raises(UsageError, match="cannot be read; write it as recorded:RUN/ARM"):
        load_model("recorded:toy", workspace=workspace)


def test_passages_cannot_be_added_to_what_was_said(tmp_path: Path) -> None:
    model = recorded(tmp_path / "a.jsonl", {"id": "1", "text": "B"})
    with pytest.raises(UsageError, match="its context must be none"):
        ask(model, context="retrieved")
    with pytest.raises(UsageError, match="cannot answer a prompt"):
        model.generate([], max_tokens=3)


@pytest.fixture
def done(small: Workspace) -> Run:
    run_experiment(load_experiment(small.configs / "toy.yaml"), workspace=small)
    return find_run(small.runs, "toy")


def again(small: Workspace, arm: str, **changes: str) -> dict[tuple[str, str], list[Answer]]:
    text = (small.configs / "toy.yaml").read_text()
    text = text[: text.index("arms:")] + "arms:\n  old: {model: small}\nname: again\n"
    for old, new in {"scripted:first-option": f"recorded:{arm}", **changes}.items():
        text = text.replace(old, new)
    (small.configs / "again.yaml").write_text(text)
    run_experiment(load_experiment(small.configs / "again.yaml"), workspace=small)
    return scored_answers(find_run(small.runs, "again"))


def test_an_arm_of_a_run_gives_the_same_samples(small: Workspace, done: Run) -> None:
    new = again(small, "toy/general+rag")
    for task in ("mmlu", "pubmedqa"):  # chosen by likelihood, and read out of a text
        old = [dataclasses.replace(s, arm="old") for s in done.samples()["general+rag", task]]
        assert [answer.sample for answer in new["old", task]] == old
        assert old[0].passages


def test_todays_reader_decides(small: Workspace, done: Run) -> None:
    path = done.samples_file("general", "pubmedqa")
    lines = read_lines(path)
    lines[0] |= {"completion": "The answer is A."}
    lines[1] |= {"finish": "length", "completion": "Well, one might"}
    lines[2] |= {"finish": "refused", "completion": "The answer is B."}  # a filter's word, whatever else it wrote
    lines[3] |= {"completion": "No."}
    lines[4] |= {"finish": "error", "completion": None, "error": "out of memory"}
    write_lines(path, lines)
    got = again(small, f"{done.folder}/general")["old", "pubmedqa"]
    assert [(a.score.status, a.score.value) for a in got[:5]] == [
        ("answered", "A"), ("truncated", None), ("refused", None), ("unparsed", None), ("error", None),
    ]  # fmt: skip
    assert got[4].sample.error == "out of memory"


def test_likelihoods_are_those_of_the_same_question(small: Workspace, done: Run) -> None:
    with pytest.raises(MismatchError, match="scored 'mmlu' by letters, and option-text is asked"):
        again(small, "toy/general", **{"scoring: letters": "scoring: option-text"})
    path = done.samples_file("general", "mmlu")
    lines = read_lines(path)
    options = lines[0]["example"]["options"]
    lines[0]["example"]["options"] = dict(zip(options, reversed(options.values())))
    lines[1]["option_logprobs"] = []
    lines[2]["option_logprobs"] = [-1.0]
    write_lines(path, lines)
    got = again(small, "toy/general")["old", "mmlu"]
    assert [a.score.status for a in got[:4]] == ["error", "error", "error", "answered"]
    assert "another order of them" in got[0].sample.error
    assert "holds no log-likelihoods" in got[1].sample.error
    assert "lacks the log-likelihood of an option" in got[2].sample.error


def test_how_many_tokens_options_had_is_recorded_or_missed(small: Workspace, done: Run) -> None:
    by_tokens = {"{scoring: letters}": "{scoring: letters, normalise: tokens}"}
    assert {a.score.status for a in again(small, "toy/general", **by_tokens)["old", "mmlu"]} == {"answered"}
    path = done.samples_file("general", "mmlu")
    edit_lines(path, lambda lines: [line.update(option_tokens=[0, 0]) for line in lines])
    shutil.rmtree(small.runs / "again")
    got = again(small, "toy/general", **by_tokens)["old", "mmlu"]
    assert {(a.score.status, a.sample.error) for a in got} == {
        ("error", "how many tokens each option had is not recorded; set normalise to none or characters")
    }


def test_what_was_reasoned_is_read_as_such_or_refused(small: Workspace) -> None:
    (small.root / "reasons.yaml").write_text('- {default: "A ward is large, or B.\\nAnswer: B"}\n')

    def trial(name: str, model: str, **arm: bool) -> Any:
        raw = {
            "models": {"m": model},
            "tasks": {"pubmedqa": {"scoring": "generate"}},
            "arms": {"cot": {"model": "m", **arm}},
        }
        return run_experiment(make_experiment(raw, default_name=name, where="config"), workspace=small)

    first = trial("reasoned", f"scripted:{small.root / 'reasons.yaml'}", cot=True)
    assert trial("again", "recorded:reasoned/cot", cot=True).scores == first.scores
    with pytest.raises(MismatchError, match=r"'recorded:reasoned/cot' answered after reasoning, .*; write cot: true"):
        trial("direct", "recorded:reasoned/cot")
    trial("at-once", f"scripted:{small.root / 'reasons.yaml'}")
    with pytest.raises(MismatchError, match=r"'recorded:at-once/cot' answered at once, .*; take cot out"):
        trial("other", "recorded:at-once/cot", cot=True)
    info = small.runs / "reasoned" / "run.json"
    info.write_text(info.read_text().replace('"schema": 3', '"schema": 2'))
    with pytest.raises(MismatchError, match="has schema 2, this version reads 3; read it with the ragmed that wrote"):
        load_model("recorded:reasoned/cot", workspace=small)


def test_an_unknown_arm_is_answered_with_near_ones(small: Workspace, done: Run) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'general\+rag'"):
        load_model("recorded:toy/general+rga", workspace=small)
    path = done.samples_file("general", "mmlu")
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match="sample 13: a second answer to 'm8' of task 'mmlu'"):
        load_model("recorded:toy/general", workspace=small)


def test_what_quotes_private_passages_stays_private(small: Workspace) -> None:
    recipe = small.corpora / "wards" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("access: open", "access: private"))
    run_experiment(load_experiment(small.configs / "toy.yaml"), workspace=small)
    experiment = rerun(small, "recorded:toy/general+rag")
    run_experiment(experiment, workspace=small)
    run = find_run(small.runs, "again")
    assert run.info()["access"] == "private"
    assert {p.stat().st_mode & 0o777 for p in run.folder.glob("samples/*/*.jsonl")} == {0o600}
    assert {p.stat().st_mode & 0o777 for p in (run.folder / "samples").rglob("*") if p.is_dir()} == {0o700}


def rerun(small: Workspace, name: str) -> Any:
    config = {"models": {"m": name}, "tasks": {"pubmedqa": {}}, "arms": {"old": {"model": "m"}}}
    return make_experiment(config, default_name="again", where="config")


def test_an_answer_to_another_question_is_an_error_not_a_score(small: Workspace) -> None:
    run_experiment(load_experiment(small.configs / "toy.yaml"), workspace=small)
    file = small.data / "mirage" / "benchmark.json"
    sets = json.loads(file.read_text())
    sets["pubmedqa"]["p0"]["question"] = "Another question?"
    sets["pubmedqa"]["p1"]["options"] = {"A": "5001", "B": "4001"}
    file.write_text(json.dumps(sets))
    run_experiment(rerun(small, "recorded:toy/general"), workspace=small)
    samples = {s.example.id: s for s in find_run(small.runs, "again").samples()["old", "pubmedqa"]}
    assert {id_ for id_, s in samples.items() if s.finish == "error"} == {"p0", "p1"}
    assert "to another question" in samples["p0"].error
    assert "to other options" in samples["p1"].error


def test_a_recorded_file_that_changed_is_another_run(small: Workspace) -> None:
    file = small.root / "a.jsonl"
    file.write_text("".join(json.dumps({"id": f"p{i}", "text": "A"}) + "\n" for i in range(8)))
    run_experiment(rerun(small, f"recorded:{file}"), workspace=small)
    file.write_text(file.read_text().replace('"A"', '"B"'))
    with pytest.raises(MismatchError, match="recorded"):
        run_experiment(rerun(small, f"recorded:{file}"), workspace=small)
