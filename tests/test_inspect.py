"""Logs that inspect_ai itself writes here, imported and exported; and logs that are not what they should be.

Its `mockllm` models answer eight questions: read by `choice`, in epochs, by a scorer that gives every kind of value
and none, by one that gives several, with a solver that fails. Without a network.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from exporting import everything_once
from inspect_ai.log import EvalLog, read_eval_log
from ragmed.cli.main import cli

from ragmed.corpora import archives
from ragmed.errors import DataError, MismatchError, MissingDependencyError, UnknownNameError
from ragmed.experiments.results import compare_runs
from ragmed.integrations.inspect_export import export_inspect
from ragmed.integrations.inspect_runs import import_inspect
from ragmed.integrations.inspect_samples import as_number
from ragmed.records import Example, Message, Score
from ragmed.scores import score_run, scored_answers

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
PROGRAM = """
import sys
from inspect_ai import Epochs, Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, accuracy, choice, includes, mean, scorer, stderr
from inspect_ai.solver import generate, multiple_choice, solver

@scorer(metrics=[accuracy(), stderr()])
def odd():
    async def score(state, target):
        given = ["C", "P", "N", None, "I", True, 0.25, "yes"][int(str(state.sample_id))]
        return Score.unscored(reason="grader_failed") if given is None else Score(value=given)
    return score

@scorer(metrics={"right": [accuracy()], "far": [mean()]})
def several():
    async def score(state, target):
        number = int(str(state.sample_id))
        return Score(value={"right": "C" if number % 2 else "I", "far": number / 10})
    return score

@solver
def failing(epoch):
    async def solve(state, generate):
        if str(state.sample_id) == "5" and state.epoch == epoch:
            raise ValueError("the server said no")
        return state
    return solve

options = ["aspirin", "heparin", "warfarin"]
questions = [Sample(id=i, input=f"Question {i}?", choices=options, target="ABC"[i % 3]) for i in range(8)]

def model(name, shift):
    made = []
    for i in range(40):
        text = f"Well.\\n\\nANSWER: {'ABCD'[(i + shift) % 4]}"
        made.append(ModelOutput.from_content(name, text, stop_reason="max_tokens" if i == 3 else "stop"))
        made[-1].usage = ModelUsage(input_tokens=11, output_tokens=7, total_tokens=18)
    return get_model(name, custom_outputs=made)

def tasks():
    data = MemoryDataset(questions)
    return [
        Task(name="letters", dataset=data, solver=multiple_choice(), scorer=choice()),
        Task(name="epochs", dataset=data, solver=[failing(2), multiple_choice()], scorer=choice(),
             epochs=Epochs(3, ["mean", "at_least_2"]), fail_on_error=False),
        Task(name="odd", dataset=data, solver=[failing(1), generate()], scorer=[odd(), includes()],
             fail_on_error=False),
        Task(name="several", dataset=data, solver=generate(), scorer=several()),
    ]

for form, names in (("eval", ["one", "two"]), ("json", ["one"])):
    for shift, name in enumerate(names):
        for task in tasks():
            eval(task, model=model(f"mockllm/{name}", shift), log_dir=f"{sys.argv[1]}/{form}", log_format=form,
                 display="none", max_samples=1)
"""
READER = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries, recompute_metrics
found = []
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    summaries = len(read_eval_log_sample_summaries(info))
    printed = {s.name: {n: m.value for n, m in s.metrics.items()} for s in log.results.scores}
    recompute_metrics(log)
    again = {s.name: {n: m.value for n, m in s.metrics.items()} for s in log.results.scores}
    found.append([log.eval.model, log.eval.task, summaries, len(log.samples), printed, again,
                  log.samples[0].messages[0].content if log.samples[0].messages else ""])
print(json.dumps(found))
"""


def run_program(code: str, folder: Path) -> str:
    environment = {**os.environ, "INSPECT_LOG_LEVEL": "error", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    run_program(PROGRAM, folder)
    return folder


def header(file: Path) -> EvalLog:
    return read_eval_log(file, header_only=True)


def log_of(folder: Path, task: str, model: str = "one") -> Path:
    files = [file for file in sorted(folder.iterdir()) if f"_{task}_" in file.name]
    return next(file for file in files if header(file).eval.model == f"mockllm/{model}")


def printed(folder: Path) -> dict[tuple[str, str, str], float]:
    values = {}
    for log in map(header, folder.iterdir()):
        for score in log.results.scores:
            for metric in score.metrics.values():
                if metric.name in ("accuracy", "mean") and score.reducer in (None, "mean"):
                    name = score.name if log.eval.task in ("odd", "several") else metric.name
                    values[log.eval.model, log.eval.task, name] = metric.value
    return values


def test_a_run_comes_to_what_inspect_printed(logs: Path, tmp_path: Path) -> None:
    run = import_inspect([logs / "eval"], output=tmp_path / "run")
    scores = {(s.arm, s.task, s.metric): s.value for s in compare_runs([run]).scores}
    told = printed(logs / "eval")
    assert len(scores) == len(told) == 2 * 6
    uneven = {key for key in told if key[1] == "epochs"}
    for key, value in told.items():
        if key not in uneven:
            assert scores[key] == pytest.approx(value, abs=1e-12), key
    # (1 + 0.5 + 0 + 0 + 0.25 + 1) / 6: the fourth has no value, the sixth failed
    assert told["mockllm/one", "odd", "odd"] == pytest.approx(2.75 / 6)


def test_where_epochs_are_uneven_the_difference_is_told(logs: Path, tmp_path: Path) -> None:
    run = import_inspect([log_of(logs / "eval", "epochs")], output=tmp_path / "run")
    answers = scored_answers(run)["mockllm/one", "epochs"]
    assert [a.example.id for a in answers if a.example.group == "5"] == ["5#1", "5#2", "5#3"]
    counted = [a for a in answers if a.score.status != "error"]
    values = [a.score.metrics.get("accuracy", 0.0) for a in counted]
    assert len(values) == 23
    told = printed(logs / "eval")["mockllm/one", "epochs", "accuracy"]
    by_example = [
        [a.score.metrics.get("accuracy", 0.0) for a in counted if a.example.group == str(i)] for i in range(8)
    ]
    assert sum(sum(v) / len(v) for v in by_example) / 8 == pytest.approx(told, abs=1e-12)
    notes = "\n".join(run.info()["imported"]["notes"])
    assert "epochs reduced by at_least_2) is no mean over samples" in notes
    assert f"here, is {sum(values) / 23}" in notes


def test_both_formats_give_one_run(logs: Path, tmp_path: Path) -> None:
    def read(form: str) -> Any:
        files = [log_of(logs / form, task) for task in ("letters", "epochs", "odd", "several")]
        run = import_inspect(files, output=tmp_path / form)
        return [
            (a.example, a.score, a.sample.messages, a.sample.completion, a.sample.error, a.sample.note)
            for given in scored_answers(run).values()
            for a in given
        ]

    assert read("eval") == read("json")


def test_a_sample_keeps_what_was_asked_and_answered(logs: Path, tmp_path: Path) -> None:
    run = import_inspect([logs / "eval"], output=tmp_path / "run")
    answers = scored_answers(run)
    letters = answers["mockllm/one", "letters"]
    first = letters[0].sample
    assert first.example == Example(
        "0", "Question 0?", options={"A": "aspirin", "B": "heparin", "C": "warfarin"}, gold="A"
    )
    assert letters[0].score == Score("0", "answered", "A", {"accuracy": 1.0})
    assert first.completion == "Well.\n\nANSWER: A"
    assert (first.input_tokens, first.output_tokens) == (11, 7)
    assert isinstance(first.messages[0], Message)
    assert first.messages[0].content.endswith("Question 0?\n\nA) aspirin\nB) heparin\nC) warfarin")
    statuses = [*["answered"] * 3, "truncated", *["answered"] * 3, "unparsed"]  # D is none of three options
    assert [a.score.status for a in letters] == statuses
    assert letters[3].sample.finish == "length"
    odd = answers["mockllm/one", "odd"]
    assert [a.score.metrics.get("odd") for a in odd] == [1.0, 0.5, 0.0, None, 0.0, None, 0.25, 1.0]
    assert [a.score.status for a in odd] == ["answered"] * 5 + ["error"] + ["answered"] * 2
    assert (odd[5].sample.finish, odd[5].sample.error) == ("error", "ValueError('the server said no')")


def test_what_our_reader_reads_alike_can_be_scored_again_and_other_scores_stay(logs: Path, tmp_path: Path) -> None:
    run = import_inspect([logs / "eval"], output=tmp_path / "run")
    tasks = run.info()["tasks"]
    assert {task: record["reader"] for task, record in tasks.items()} == {
        "epochs": "letter", "letters": "letter", "odd": "recorded", "several": "recorded",
    }  # fmt: skip
    assert [(facts["name"], facts["kind"], facts["matches_gold"]) for facts in tasks["odd"]["metrics"]] == [
        ("odd", "graded", False), ("includes", "binary", False),
    ]  # fmt: skip
    before = scored_answers(run)
    lines = score_run(run)
    assert "mockllm/one on letters: 6 of 8 answered; reader letter 5; accuracy 2" in lines
    assert "mockllm/one on several: 8 of 8 answered; right, far as imported" in lines
    assert scored_answers(run) == before


@pytest.mark.parametrize(
    ("value", "number", "readable"),
    [("C", 1.0, True), ("P", 0.5, True), ("I", 0.0, True), ("N", 0.0, True), (True, 1.0, True), ("No", 0.0, True),
     ("0.3", 0.3, True), (7, 7.0, True), (math.nan, None, True), ("about", 0.0, False), ("nan", 0.0, False),
     ([1], 0.0, False)],
)  # fmt: skip
def test_values_are_read_as_inspect_reads_them(value: Any, number: float | None, readable: bool) -> None:
    assert as_number(value) == (number, readable)


def test_an_export_is_read_by_inspect_and_as_any_log(logs: Path, tmp_path: Path) -> None:
    run = import_inspect([logs / "eval"], output=tmp_path / "run")
    exported = export_inspect(run, tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in exported} == {0o600}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in exported)
    again = scored_answers(import_inspect([tmp_path / "out"], output=tmp_path / "again"))
    for key, answers in scored_answers(run).items():
        read = {answer.example.id: answer for answer in again[key]}
        assert len(read) == len(answers)
        for first in answers:
            second = read[first.example.id]
            assert second.example == replace(first.example, group="")
            assert (second.sample.completion, second.sample.messages) == (
                first.sample.completion,
                first.sample.messages,
            )
            assert (second.score.status, second.score.value) == (first.score.status, first.score.value)
    export_inspect(everything_once(tmp_path / "made"), tmp_path / "out")
    values = {(s.arm, s.task, s.metric): s.value for s in compare_runs([run]).scores}
    read = json.loads(run_program(READER, tmp_path / "out"))
    assert len(read) == 2 * 4 + 2 * 2
    for model, task, summaries, samples, means, recomputed, _ in read:
        assert summaries == samples == {"epochs": 24, "t/1": 5, "t_1": 5}.get(task, 8)
        for metric, by_name in means.items():
            ((name, value),) = by_name.items()
            assert recomputed[metric][name] == pytest.approx(value, abs=1e-12)
            if (model, task, metric) in values:
                assert value == pytest.approx(values[model, task, metric], abs=1e-12)


def test_our_own_export_is_imported_as_any_log(tmp_path: Path) -> None:
    export_inspect(everything_once(tmp_path / "run"), tmp_path / "out")
    run = import_inspect([tmp_path / "out"], output=tmp_path / "again", baseline="a/b")
    assert run.info()["experiment"]["comparison"]["baseline"] == "a/b"
    answers = {answer.example.id: answer for answer in scored_answers(run)["../up", "t/1"]}
    assert {id_: (a.score.status, a.score.value, a.score.metrics) for id_, a in answers.items()} == {
        "q/..": ("answered", "B", {"accuracy": 1.0, "overlap": 0.25}),
        "7": ("answered", None, {"accuracy": 0.0}),
        "8": ("truncated", None, {}),
        "9": ("error", None, {}),
        "10": ("answered", "A", {"accuracy": 1.0}),
    }
    quoted = answers["q/.."].sample
    assert quoted.example == Example("q/..", "W\u2028?", options={"A": "no", "B": "yes"}, gold="B")
    assert quoted.thinking == "hm"
    assert [message.role for message in quoted.messages] == ["system", "user", "assistant"]
    with pytest.raises(UnknownNameError, match="unknown arm 'nobody'"):
        import_inspect([tmp_path / "out"], output=tmp_path / "none", baseline="nobody")


def test_without_inspect_ai_the_extra_is_named(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = everything_once(tmp_path / "made")
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ragmed\[inspect\]'"):
        import_inspect([logs / "eval"], output=tmp_path / "run")
    with pytest.raises(MissingDependencyError, match=r"pip install 'ragmed\[inspect\]'"):
        export_inspect(run, tmp_path / "out")


def changed(log: Path, path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    data = json.loads(log.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "score": (
        lambda d: d["samples"][0]["scores"]["choice"].update(value="I"),
        MismatchError,
        "'accuracy': accuracy 0.375 was printed, but the samples come to 0.25",
    ),
    "infinite": (lambda d: d["samples"][0]["scores"]["choice"].update(value=math.inf), DataError, "must be finite"),
    "twice": (lambda d: d["samples"].append(d["samples"][0]), DataError, "epoch 1 of it is there twice"),
    "shape": (
        lambda d: d["samples"][2].update(scores=[3]),
        DataError,
        "a.json' cannot be read: samples.2.scores: Input should be",
    ),
    "text": (lambda d: d["samples"].append("x"), DataError, "a.json' cannot be read: samples.8: "),
    "version": (lambda d: d.update(version=999), DataError, "a.json' cannot be read: Unable to read version 999"),
    "unfinished": (lambda d: d.update(status="error", results=None), DataError, "inspect eval-retry"),
    "unscored": (lambda d: d["results"].update(scores=[]), DataError, "has no scores; score it with `inspect score`"),
    "empty": (lambda d: d.update(samples=None), DataError, "run the evaluation again with --log-samples"),
    "other": (lambda d: d.pop("eval"), DataError, "a.json' cannot be read: eval: Field required"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_log_is_refused_by_name(logs: Path, tmp_path: Path, name: str) -> None:
    change, error, said = CHANGES[name]
    log = changed(log_of(logs / "json", "letters"), tmp_path / "a.json", change)
    with pytest.raises(error, match=re.escape(said)):
        import_inspect([log], output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_models_must_have_been_asked_the_same(logs: Path, tmp_path: Path) -> None:
    original = log_of(logs / "json", "letters")

    def other(data: dict[str, Any]) -> None:
        data["eval"]["model"] = "mockllm/three"
        data["samples"][4]["input"] = "Something else?"

    with pytest.raises(MismatchError, match="sample 4 of 'mockllm/three' is not what 'mockllm/one' was asked"):
        import_inspect([original, changed(original, tmp_path / "b.json", other)], output=tmp_path / "run")


def test_one_model_with_several_logs_of_a_task_is_told_apart(logs: Path, tmp_path: Path) -> None:
    for name in ("plain", "rag"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        shutil.copy(log_of(logs / "eval", "letters"), tmp_path / "logs" / name / f"{name}.eval")
    run = import_inspect([tmp_path / "logs"], output=tmp_path / "run")
    assert list(run.info()["experiment"]["arms"]) == ["mockllm/one (plain)", "mockllm/one (rag)"]


def test_a_log_that_was_not_finished_gives_way_to_one_that_was(logs: Path, tmp_path: Path) -> None:
    def unfinished(data: dict[str, Any]) -> None:
        data.update(status="error", results=None)

    whole = log_of(logs / "json", "letters")
    (tmp_path / "logs").mkdir()
    shutil.copy(whole, tmp_path / "logs" / "whole.json")
    changed(whole, tmp_path / "logs" / "failed.json", unfinished)
    run = import_inspect([tmp_path / "logs"], output=tmp_path / "run")
    assert [len(samples) for samples in run.samples().values()] == [8]
    assert "'failed.json' was not finished and is left out: 'whole.json'" in run.info()["imported"]["notes"][0]
    for folder, id_ in (("retried", None), ("another", "other")):
        (tmp_path / folder).mkdir()

        def elsewhere(data: dict[str, Any], id_: str | None = id_) -> None:
            unfinished(data)
            data["eval"]["task_id"] = id_ or data["eval"]["task_id"]

        changed(whole, tmp_path / folder / "failed.json", elsewhere)
    both = [tmp_path / "logs" / "whole.json", tmp_path / "retried"]
    assert len(import_inspect(both, output=tmp_path / "both").samples()) == 1
    with pytest.raises(
        DataError, match=r"another/failed\.json' has the status 'error' and no complete results; finish it"
    ):
        import_inspect([tmp_path / "logs" / "whole.json", tmp_path / "another"], output=tmp_path / "none")


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_a_failed_log_among_the_cases_gives_way_to_its_retry(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    run_program((CASES / "41-inspect-logs" / "make_logs.py").read_text(), tmp_path / "made")
    run = import_inspect([tmp_path / "made" / "a-retry"], output=tmp_path / "run")
    assert [len(samples) for samples in run.samples().values()] == [6, 6]


def test_damaged_files_and_bombs_are_refused(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = log_of(logs / "eval", "letters").read_bytes()
    log = tmp_path / "a.eval"
    torn = bytearray(whole)
    torn[len(whole) // 3 : len(whole) // 3 + 3000] = bytes(3000)
    deep = b'{"eval": ' + b"[" * 100_000
    for damaged in (whole[: len(whole) // 2], torn, b"PK\x03\x04", b"no log", b"{", deep, b'{"eval": "\\ud83d"}'):
        log.write_bytes(damaged)
        with pytest.raises(DataError, match=r"inspect log '.*a\.eval' cannot be read: .+; copy the log again"):
            import_inspect([log], output=tmp_path / "run")
    log.write_bytes(whole)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 3000)
    with pytest.raises(DataError, match=r"a\.eval' unpacks to more than 3000 bytes"):
        import_inspect([log], output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_archive_that_understates_what_it_holds_is_refused(logs: Path, tmp_path: Path) -> None:
    log = tmp_path / "a.eval"
    log.write_bytes(log_of(logs / "eval", "letters").read_bytes())
    with zipfile.ZipFile(log) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.startswith("samples/"))
    data = bytearray(log.read_bytes())
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(entry.filename.encode()))
    data[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")  # the size it claims to have, unpacked
    log.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.eval' cannot be read: "):
        import_inspect([log], output=tmp_path / "run")


def test_the_commands_say_what_they_did(logs: Path, tmp_path: Path) -> None:
    root, run = ["--root", str(tmp_path)], tmp_path / "runs" / "inspect"
    done = CliRunner().invoke(cli, [*root, "import", "inspect", str(logs / "eval"), "-o", str(run)])
    assert done.exit_code == 0, done.output
    assert "mockllm/two on epochs: 24 samples" in done.output
    assert "so does this run's policy (error: drop)" in done.output
    done = CliRunner().invoke(cli, [*root, "export", "inspect", "inspect", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "these files hold its prompts and answers" in done.output
