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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from exporting import everything_once, write
from ragmed.cli.main import cli

from ragmed.errors import DataError, MismatchError, UnknownNameError, UsageError
from ragmed.experiments.results import Rules, compare_runs
from ragmed.integrations.lm_eval_export import export_lm_eval
from ragmed.integrations.lm_eval_runs import import_lm_eval
from ragmed.metrics import MetricFacts
from ragmed.records import Answer, Example, Message, Sample, Score
from ragmed.scores import scored_answers

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
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
    scores = {(s.arm, s.task, s.metric): s.value for s in compare_runs([run]).scores}
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
    answers = scored_answers(import_lm_eval(one_file(logs / "tiny__one", "results_*"), output=tmp_path / "run"))
    third = answers["tiny/one", "tiny-choice"][3]
    line = json.loads(one_file(logs / "tiny__one", "samples_tiny-choice*").read_text().splitlines()[3])
    logprobs = tuple(float(one[0][0]) for one in line["resps"])
    assert third.sample == Sample(
        arm="tiny/one",
        task="tiny-choice",
        example=Example("3", "Which is 3?", options={"A": "no 3", "B": "yes, 3 it is"}, gold="B"),
        messages=(Message("user", "Which is 3?\nAnswer:"),),
        continuations=("no 3", "yes, 3 it is"),
        option_logprobs=logprobs,
    )
    letter = "AB"[logprobs.index(max(logprobs))]
    assert third.score == Score("3", "answered", letter, {"acc": line["acc"], "acc_norm": line["acc_norm"]})
    assert line["acc"] == float(letter == "B")
    written = answers["tiny/one", "tiny-write/loose"][1]
    assert (written.sample.completion, written.example.gold) == ("lol", "lol")
    assert written.score == Score("1", "answered", "lol", {"exact_match": 1.0})


def test_what_its_metrics_are_is_kept_and_our_readers_can_read_the_same_answers(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    tasks = run.info()["tasks"]
    assert {task: record["reader"] for task, record in tasks.items()} == {
        "tiny-choice": "recorded", "tiny-write/strict": "recorded", "tiny-write/loose": "recorded",
    }  # fmt: skip
    acc, acc_norm = (MetricFacts(**facts) for facts in tasks["tiny-choice"]["metrics"])
    assert acc == MetricFacts("acc", "binary", matches_gold=True)
    assert (acc_norm.name, acc_norm.kind) == ("acc_norm", "binary")
    told = printed(logs)
    for reader, metric in (("likelihood", "acc"), ("likelihood-characters", "acc_norm")):
        rows = compare_runs([run], Rules(reader=reader)).scores
        value = next(row.value for row in rows if (row.arm, row.task) == ("tiny/two", "tiny-choice"))
        assert value == pytest.approx(told["tiny/two", "tiny-choice", metric], abs=1e-12)
    with pytest.raises(DataError, match=r"2 options and 0 lengths to divide them by; choose a reader .* as likelihood"):
        compare_runs([run], Rules(reader="likelihood-tokens"))


def test_less_can_be_better(copied: Path, tmp_path: Path) -> None:
    change_results(copied / "tiny__one", lambda data: data["higher_is_better"]["tiny-choice"].update(acc=False))
    run = import_lm_eval(copied / "tiny__one", output=tmp_path / "run")
    facts = {facts["name"]: facts["higher_is_better"] for facts in run.info()["tasks"]["tiny-choice"]["metrics"]}
    assert facts == {"acc": False, "acc_norm": True}


def test_what_no_filter_could_read_is_unparsed_and_counts_as_the_harness_counts_it(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    strict = scored_answers(run)["tiny/two", "tiny-write/strict"]
    assert {(a.score.status, a.score.value, a.sample.completion) for a in strict} == {("unparsed", None, "lol")}
    assert printed(logs)["tiny/two", "tiny-write/strict", "exact_match"] == 0


def test_an_export_is_read_by_the_harness_and_as_any_log(logs: Path, tmp_path: Path) -> None:
    run = import_lm_eval(logs, output=tmp_path / "run")
    exported = export_lm_eval(run, tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in exported} == {0o600}
    again = scored_answers(import_lm_eval(tmp_path / "out", output=tmp_path / "again"))
    for (arm, task), answers in scored_answers(run).items():
        name = task.replace("/", "_")
        assert again[arm, name] == [Answer(replace(a.sample, task=name), a.score) for a in answers]
    shown = run_program(READER, str(tmp_path / "out"), home=tmp_path)
    value = printed(logs)["tiny/two", "tiny-choice", "acc_norm"]
    assert re.search(rf"\|acc_norm *\|↑ *\|{value:.4f}\|", shown), shown
    assert "tiny-write_loose True" in shown
    assert shown.splitlines()[-1] == "9"


def test_our_own_export_is_imported_as_any_log(tmp_path: Path) -> None:
    export_lm_eval(everything_once(tmp_path / "run"), tmp_path / "out")
    run = import_lm_eval(tmp_path / "out", output=tmp_path / "again", baseline="a/b")
    assert run.info()["experiment"]["comparison"]["baseline"] == "a/b"
    answers = {answer.example.id: answer for answer in scored_answers(run)["../up", "t_1"]}
    assert {id_: (a.score.status, a.score.value, a.score.metrics) for id_, a in answers.items()} == {
        "q/..": ("answered", "B", {"accuracy": 1.0}),
        "7": ("answered", "", {"accuracy": 0.0}),
        "8": ("unparsed", None, {}),
        "9": ("unparsed", None, {}),
        "10": ("answered", "A", {"accuracy": 1.0}),
    }
    ten, quoted = answers["10"].sample, answers["q/.."].sample
    assert ten.example == Example("10", "Which?", options={"A": "a", "B": "b"}, gold="A")
    assert (ten.continuations, ten.option_logprobs) == (("a", "b"), (-0.5, -1.5))
    assert (quoted.example.options, quoted.example.gold) == ({"A": "no", "B": "yes"}, "B")
    assert [message.role for message in quoted.messages] == ["system", "user", "assistant"]
    assert ten.messages == (Message("user", "[{?"),)
    with pytest.raises(UnknownNameError, match="unknown arm 'nobody'"):
        import_lm_eval(tmp_path / "out", output=tmp_path / "none", baseline="nobody")


@pytest.mark.parametrize(("scoring", "continuations"), [("letters", ("A", "B")), ("option-text", ("no", "yes"))])
def test_arms_that_did_not_answer_were_asked_the_same(tmp_path: Path, scoring: str, continuations: Any) -> None:
    def example(number: int) -> Example:
        return Example(f"q{number}", "Is it?", options={"A": "no", "B": "yes"}, gold="B")

    def likely(arm: str, number: int) -> Answer:
        sample = Sample(arm, "t", example(number), continuations=continuations, option_logprobs=(-2.0, -1.0))
        return Answer(sample, Score(f"q{number}", "answered", "B", {"accuracy": 1.0}))

    failed = Answer(Sample("b", "t", example(1), finish="error"), Score("q1", "error"))
    answers = {("a", "t"): [likely("a", 1), likely("a", 2)], ("b", "t"): [failed, likely("b", 2)]}
    export_lm_eval(write(tmp_path / "run", answers, scoring=scoring), tmp_path / "out")
    run = import_lm_eval(tmp_path / "out", output=tmp_path / "again")
    for samples in run.samples().values():
        assert [sample.example for sample in samples] == [example(1), example(2)]
    assert run.info()["experiment"]["tasks"]["t"]["scoring"] == scoring
    assert compare_runs([run]).contrasts[0].broke == 1


def test_a_placeholder_is_no_score(copied: Path, tmp_path: Path) -> None:
    def bypass(data: dict[str, Any]) -> None:
        data["results"]["tiny-choice"]["bypass,none"] = 999

    file = one_file(copied / "tiny__one", "samples_tiny-choice*")
    for number in range(9):
        change_line(file, number, lambda line: line.update(bypass=999, metrics=[*line["metrics"], "bypass"]))
    change_results(copied / "tiny__one", bypass)
    run = import_lm_eval(copied / "tiny__one", output=tmp_path / "run")
    assert set(scored_answers(run)["tiny/one", "tiny-choice"][0].score.metrics) == {"acc", "acc_norm"}
    assert "metric 'bypass', filter 'none': left out, a placeholder that stands for no score" in "\n".join(
        run.info()["imported"]["notes"]
    )


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_a_log_that_scored_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'bypass'.* left out, a placeholder .* without --predict_only"):
        import_lm_eval(CASES / "40-lm-eval-logs" / "g-predict-only", output=tmp_path / "run")


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
    assert scored_answers(run) == scored_answers(import_lm_eval(logs, output=tmp_path / "run"))


def test_a_file_named_by_output_path_is_read(copied: Path, logs: Path, tmp_path: Path) -> None:
    for folder in list(copied.iterdir()):
        results = one_file(folder, "results_*.json")
        results.rename(results.with_name(results.name.replace("results_", "x.y_")))
    whole = scored_answers(import_lm_eval(logs, output=tmp_path / "whole"))
    assert scored_answers(import_lm_eval(copied, output=tmp_path / "run")) == whole
    one = import_lm_eval(copied / "tiny__one" / "x.y.json", output=tmp_path / "one")
    assert list(one.info()["experiment"]["arms"]) == ["tiny/one"]
    with pytest.raises(DataError, match=r"z\.json' does not exist; name what lm_eval was given as --output_path"):
        import_lm_eval(copied / "z.json", output=tmp_path / "none")
    with pytest.raises(DataError, match="holds samples; name the results file beside it"):
        import_lm_eval(one_file(copied / "tiny__one", "samples_tiny-choice*"), output=tmp_path / "none")


def as_list(file: Path, name: str, without: tuple[str, ...] = ()) -> None:
    """A samples file as one list, as it was before 0.4.4."""
    records = [json.loads(line) for line in file.read_text().splitlines()]
    listed = [{key: value for key, value in record.items() if key not in without} for record in records]
    file.with_name(name).write_text(json.dumps(listed, indent=2))
    file.unlink()


def test_folders_as_older_versions_laid_them_out_are_read(copied: Path, logs: Path, tmp_path: Path) -> None:
    whole = scored_answers(import_lm_eval(logs, output=tmp_path / "whole"))
    for file in copied.rglob("samples_*.jsonl"):
        as_list(file, file.name.removesuffix("l"))
    assert scored_answers(import_lm_eval(copied, output=tmp_path / "run")) == whole
    for folder in list(copied.iterdir()):
        results = one_file(folder, "results_*.json")
        data = json.loads(results.read_text())
        del data["model_name"]
        data["config"]["model_args"] = f"pretrained=tiny/{folder.name[-3:]}"
        filters = [key.partition(",")[2] for key in data["results"]["tiny-write"] if key.startswith("exact_match,")]
        (folder / "results.json").write_text(json.dumps(data))
        results.unlink()
        for file in list(folder.glob("samples_*.json")):
            task = re.sub(r"samples_(.*)_20\d\d-.*", r"\1", file.name)
            records = json.loads(file.read_text())
            if task == "tiny-write":
                records.sort(key=lambda record: filters.index(record["filter"]))
            file.write_text("".join(json.dumps(record) + "\n" for record in records))
            as_list(file, f"pretrained__tiny__{folder.name[-3:]}_{task}.jsonl", ("filter", "doc_hash", "prompt_hash"))
    old = scored_answers(import_lm_eval(copied, output=tmp_path / "old"))
    assert {key: {a.example.id: a.score for a in answers} for key, answers in old.items()} == {
        key: {a.example.id: a.score for a in answers} for key, answers in whole.items()
    }
    one_file(copied / "tiny__one", "*_tiny-choice.jsonl").write_text('[{"doc_id": 1')
    with pytest.raises(DataError, match=r"is no list of samples .* the file is cut or damaged: copy it again"):
        import_lm_eval(copied, output=tmp_path / "none")
    results = copied / "tiny__one" / "results.json"
    results.write_text(json.dumps({"results": {"tiny-choice": {"acc": 0.5}}, "configs": {}, "config": {}}))
    with pytest.raises(DataError, match=r"results\.json' was written by lm_eval before 0\.4"):
        import_lm_eval(results, output=tmp_path / "none")


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


def test_prompts_with_passages_come_back(tmp_path: Path) -> None:
    shown = Message("user", "<passages>\n<passage 1>\nElm\n</passage 1>\n</passages>\n\nQuestion: Which?\nA. x\nB. y")
    example = Example("q1", "Which?", options={"A": "x", "B": "y"}, gold="A")
    sample = Sample("general", "letters", example, messages=(shown,), completion="A")
    run = write(
        tmp_path / "run", {("general", "letters"): [Answer(sample, Score("q1", "answered", "A", {"accuracy": 1.0}))]}
    )
    export_lm_eval(run, tmp_path / "out")
    again = import_lm_eval(tmp_path / "out", output=tmp_path / "again")
    ((read,),) = again.samples().values()
    assert read.messages == (shown,)
