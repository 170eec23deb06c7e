"""Logs that lm-evaluation-harness itself writes here, imported and exported; and logs that are not what they should be.

Two of its dummy models (random log-likelihoods, the text "lol") on three tasks over local files, without a network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import DataError, MismatchError, UsageError
from ragmed.experiments.results import compare_runs
from ragmed.integrations.lm_eval_export import export_lm_eval
from ragmed.integrations.lm_eval_runs import import_lm_eval
from ragmed.records import Message, Sample
from ragmed.runs import Run

CHOICE = """
task: tiny/choice
dataset_path: json
dataset_kwargs: {data_files: {test: ROOT/choice.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: f1}
metadata: {version: 1.0}
"""
WRITE = """
task: tiny-write
dataset_path: json
dataset_kwargs: {data_files: {test: ROOT/write.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
generation_kwargs: {until: ["\\n"]}
filter_list:
  - name: strict
    filter: [{function: regex, regex_pattern: "Answer: (.*)"}, {function: take_first}]
  - name: loose
    filter: [{function: lowercase}, {function: take_first}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: bleu, aggregation: bleu, higher_is_better: true}
metadata: {version: 2.0}
"""
ROLLING = """
task: tiny-rolling
dataset_path: json
dataset_kwargs: {data_files: {test: ROOT/write.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: question
metric_list: [{metric: word_perplexity}]
"""
PROGRAM = """
import sys
import lm_eval
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
root = sys.argv[1]
tasks = ["tiny-choice", "tiny-write", "tiny-rolling"]
known = TaskManager(include_path=root, include_defaults=False)
for name, seed in (("tiny/one", 1), ("tiny/two", 2)):
    tracker = EvaluationTracker(output_path=f"{root}/logs")
    results = lm_eval.simple_evaluate(
        "dummy", model_args=f"pretrained={name}", tasks=tasks, task_manager=known,
        bootstrap_iters=0, log_samples=True, random_seed=seed, evaluation_tracker=tracker)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, lines in samples.items():
        tracker.save_results_samples(task_name=task, samples=lines)
"""
READER = """
import json, sys
from pathlib import Path
from lm_eval.utils import (get_file_datetime, get_file_task_name, get_results_filenames, get_sample_results_filenames,
                           make_table)
files = [str(path) for path in Path(sys.argv[1]).rglob("*.json*")]
for file in get_results_filenames(files):
    print(make_table(json.load(open(file))))
for file in sorted(get_sample_results_filenames(files)):
    print(get_file_task_name(Path(file).name), get_file_datetime(Path(file).name) in str(get_results_filenames(files)))
from datasets import load_dataset
print(load_dataset("json", data_files=sorted(get_sample_results_filenames(files))[0], split="train").num_rows)
"""


def run_program(code: str, *arguments: str, home: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("harness")
    choices = [
        {"question": f"Which is {i}?", "choices": [f"no {i}", f"yes, {i} it is"], "answer": i % 2} for i in range(9)
    ]
    texts = [{"question": f"Laugh {i} times", "answer": "lol" if i % 3 else "ha"} for i in range(7)]
    (root / "choice.jsonl").write_text("".join(json.dumps(one) + "\n" for one in choices))
    (root / "write.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    for name, text in (("choice", CHOICE.replace("tiny/choice", "tiny-choice")), ("write", WRITE), ("roll", ROLLING)):
        (root / f"{name}.yaml").write_text(text.replace("ROOT", str(root)))
    run_program(PROGRAM, str(root), home=root)
    return root / "logs"


@pytest.fixture
def copied(logs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(logs, tmp_path / "logs"))


def printed(logs: Path) -> dict[tuple[str, str, str], float]:
    found = {}
    for file in logs.rglob("results_*.json"):
        data = json.loads(file.read_text())
        for task, values in data["results"].items():
            for key, value in values.items():
                if "," in key and "stderr" not in key:
                    metric, filter_ = key.split(",")
                    name = task if filter_ == "none" else f"{task}/{filter_}"
                    found[data["model_name"], name, metric] = value
    return found


def one_file(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


def test_a_run_comes_to_what_the_harness_printed(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    scores = {(s["arm"], s["task"], s["metric"]): s["value"] for s in compare_runs([run])["scores"]}
    told = printed(logs)
    assert {metric for _, _, metric in scores} == {"acc", "acc_norm", "exact_match"}
    assert len(scores) == 2 * 4
    for key, value in scores.items():
        assert value == pytest.approx(told[key], abs=1e-12), key
    assert told["tiny/one", "tiny-write/loose", "exact_match"] == pytest.approx(4 / 7)
    assert len({told[arm, "tiny-choice", "acc_norm"] for arm in ("tiny/one", "tiny/two")}) == 2
    assert run.info_file.stat().st_mode & 0o777 == 0o600


def test_metrics_that_are_no_means_are_named(logs: Path, tmp_path: Path) -> None:
    notes = "\n".join(import_lm_eval(logs, output=tmp_path / "run").info()["imported"]["notes"])
    assert "task 'tiny-choice', metric 'f1', filter 'none': left out, it is no mean over samples" in notes
    assert "metric 'bleu', filter 'loose': left out, it is no mean over samples (aggregation 'bleu')" in notes
    assert "tiny-rolling: left out, since nothing that was printed is a mean over its samples." in notes


def test_a_sample_keeps_what_was_asked_and_answered(logs: Path, tmp_path: Path) -> None:
    samples = import_lm_eval(one_file(logs / "tiny__one", "results_*"), output=tmp_path / "run").samples()
    third = samples["tiny/one", "tiny-choice"][3]
    line = json.loads(one_file(logs / "tiny__one", "samples_tiny-choice*").read_text().splitlines()[3])
    logprobs = tuple(float(one[0][0]) for one in line["resps"])
    assert third == Sample(
        example="3",
        arm="tiny/one",
        task="tiny-choice",
        status="answered",
        extracted=("no 3", "yes, 3 it is")[logprobs.index(max(logprobs))],
        gold="yes, 3 it is",
        scores={"acc": line["acc"], "acc_norm": line["acc_norm"]},
        messages=(Message("user", "Which is 3?\nAnswer:"),),
        options=("no 3", "yes, 3 it is"),
        option_logprobs=logprobs,
    )
    assert third.scores["acc"] == float(third.extracted == third.gold)
    written = samples["tiny/one", "tiny-write/loose"][1]
    assert (written.completion, written.extracted, written.gold, written.scores) == (
        "lol", "lol", "lol", {"exact_match": 1.0},
    )  # fmt: skip


def test_what_no_filter_could_read_is_unparsed_and_counts_as_the_harness_counts_it(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    strict = run.samples()["tiny/two", "tiny-write/strict"]
    assert {(s.status, s.extracted, s.completion) for s in strict} == {("unparsed", None, "lol")}
    assert printed(logs)["tiny/two", "tiny-write/strict", "exact_match"] == 0


def test_an_export_is_read_back_and_read_by_the_harness(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    made = export_lm_eval(run, tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    again = import_lm_eval(tmp_path / "out", output=tmp_path / "again")
    assert again.samples() == run.samples()
    shown = run_program(READER, str(tmp_path / "out"), home=tmp_path)
    value = printed(logs)["tiny/two", "tiny-choice", "acc_norm"]
    assert re.search(rf"\|acc_norm *\|↑ *\|{value:.4f}\|", shown), shown
    assert "tiny-write_loose True" in shown
    assert shown.splitlines()[-1] == "9"


def test_our_own_run_survives_the_way_there_and_back(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    export_lm_eval(run, tmp_path / "out")
    again = import_lm_eval(tmp_path / "out", output=tmp_path / "again")
    assert again.samples() == run.samples()


def made_run(folder: Path) -> Run:
    """Everything a sample can hold, names with slashes and dots, an arm without answers, text that JSON must quote."""
    from ragmed.comparison.settings import ComparisonSettings
    from ragmed.integrations.foreign import ForeignTask, write_run

    arms, tasks = ("../up", "a/b"), ("t/1", "t_1")
    samples = {}
    for arm in arms:
        for task in tasks:
            samples[arm, task] = [
                Sample(
                    "q/..", arm, task, "answered", "B", "B", {"accuracy": 1.0, "f1": 0.25}, group="case",
                    messages=(Message("system", "Be brief."), Message("user", "W\u2028?"), Message("assistant", "So")),
                    passages=({"id": "x#1", "text": "<script>", "score": 0.5, "gold": None},), dropped=("y#2",),
                    completion="B\n\"", options=("no", "yes"), input_tokens=3, output_tokens=2, seconds=0.5,
                    thinking="hm", thinking_tokens=1, documents=("77",),
                ),
                Sample("7", arm, task, "answered", None, "x", {"accuracy": 0.0}, completion=""),
                Sample("8", arm, task, "truncated", None, "A", {}, completion="it is", options=("a", "b")),
                Sample("9", arm, task, "error", None, "A", {}, note="the server said no"),
                Sample("10", arm, task, "answered", "A", "A", {"accuracy": 1.0}, options=("a", "b"),
                       option_logprobs=(-0.5, -1.5), option_tokens=(1, 2), messages=(Message("user", "[{?"),)),
            ]  # fmt: skip
    return write_run(
        folder,
        samples=samples,
        arms={arm: {"model": "m"} for arm in arms},
        tasks={task: ForeignTask([], ("accuracy", "f1"), "made") for task in tasks},
        comparison=ComparisonSettings(baseline=arms[0]),
        origin={"kind": "test", "files": [], "notes": []},
        access="open",
    )


def change_line(file: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    lines = file.read_text().splitlines()
    record = json.loads(lines[number])
    change(record)
    lines[number] = json.dumps(record)
    file.write_text("\n".join(lines) + "\n")


def change_results(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = one_file(folder, "results_*.json")
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "score": (lambda r: r.update(acc=1 - r["acc"]), MismatchError, "task 'tiny-choice', metric 'acc', filter 'none'"),
    "nan": (lambda r: r.update(acc=float("nan")), DataError, "line 3: acc is nan; a score must be a finite number"),
    "twice": (lambda r: r.update(doc_id=0), DataError, "line 3: document 0 is there twice"),
    "shape": (lambda r: r.pop("resps"), DataError, "line 3 is no sample of lm_eval: it has no 'resps'"),
    "arguments": (lambda r: r.update(arguments=3), DataError, "'arguments' has no request"),
    "document": (lambda r: r.update(doc_hash="other"), MismatchError, "document 2 of 'tiny/two' is not the one"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_line_is_refused_by_name(copied: Path, tmp_path: Path, name: str) -> None:
    change, error, said = CHANGES[name]
    change_line(one_file(copied / "tiny__two", "samples_tiny-choice*"), 2, change)
    with pytest.raises(error, match=re.escape(said)):
        import_lm_eval(copied, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_files_that_are_missing_or_cut_are_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        import_lm_eval(tmp_path / "nowhere", output=tmp_path / "run")
    file = one_file(copied / "tiny__one", "samples_tiny-write*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    with pytest.raises(DataError, match="line 14: not JSON"):
        import_lm_eval(copied, output=tmp_path / "run")
    file.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(DataError, match="holds 6 samples of filter 'loose', but 7 were asked"):
        import_lm_eval(copied, output=tmp_path / "run")
    file.unlink()
    with pytest.raises(DataError, match="run lm_eval again with --log_samples"):
        import_lm_eval(copied, output=tmp_path / "run")


def test_results_of_another_shape_are_refused(copied: Path, tmp_path: Path) -> None:
    change_results(copied / "tiny__one", lambda data: data["results"].update({"../../x": {"acc,none": 1.0}}))
    with pytest.raises(DataError, match=r"no 'samples_\.\./\.\./x_"):
        import_lm_eval(copied, output=tmp_path / "run")
    change_results(copied / "tiny__one", lambda data: data.update(results=[1]))
    with pytest.raises(DataError, match="is no results file of lm_eval"):
        import_lm_eval(copied, output=tmp_path / "run")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no results_\*.json"):
        import_lm_eval(tmp_path / "none", output=tmp_path / "run")


def test_one_model_asked_twice_needs_folders_of_its_own(copied: Path, tmp_path: Path) -> None:
    one = copied / "tiny__one"
    for file in list(one.iterdir()):
        shutil.copy(file, one / re.sub(r"_20\d\d-", "_1999-", file.name))
    with pytest.raises(MismatchError, match="was asked task 'tiny-choice' more than once"):
        import_lm_eval(copied, output=tmp_path / "run")
    (copied / "again" / "tiny__one").mkdir(parents=True)
    for file in list(one.glob("*_1999-*")):
        file.rename(copied / "again" / "tiny__one" / file.name)
    run = import_lm_eval(copied, output=tmp_path / "run")
    assert list(run.info()["experiment"]["arms"]) == ["tiny/one (again)", "tiny/one (tiny__one)", "tiny/two"]


def test_files_as_older_versions_wrote_them_are_read(copied: Path, logs: Path, tmp_path: Path) -> None:
    def older(record: dict[str, Any]) -> None:
        record["arguments"] = [list(one.values()) for one in record["arguments"].values()]
        record["filtered_resps"] = [
            [float(one[0]), one[1] == "True"] if isinstance(one, list) else one for one in record["filtered_resps"]
        ]
        for key in ("metrics", "prompt_hash", "target_hash"):
            del record[key]

    for file in copied.rglob("samples_*.jsonl"):
        for number in range(len(file.read_text().splitlines())):
            change_line(file, number, older)
    for folder in copied.iterdir():
        change_results(folder, lambda data: [one.pop("sample_len") for one in data["results"].values()])
    run = import_lm_eval(copied, output=tmp_path / "older")
    assert run.samples() == import_lm_eval(logs, output=tmp_path / "run").samples()


def test_the_commands_say_what_they_did(logs: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "runs" / "harness", tmp_path / "out"
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "import", "lm-eval", str(logs), "-o", str(run)])
    assert done.exit_code == 0, done.output
    assert "tiny/two on tiny-choice: 9 samples, 9 answered" in done.output
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "export", "lm-eval", "harness", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "run 'harness' is private: these files hold its prompts and answers" in done.output
    with pytest.raises(UsageError, match="exists already"):
        import_lm_eval(logs, output=run)
