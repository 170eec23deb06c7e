import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from exporting import made, trial, write
from sealed import read_lines, write_lines

from ragmed.errors import DamagedError, DataError, UnwritableError, UsageError
from ragmed.experiments.results import report_run, stored_settings
from ragmed.files import parse_json, sha256_json, write_atomic, write_json, writing
from ragmed.integrations import lm_eval_samples, mirage
from ragmed.integrations.inspect_export import export_inspect
from ragmed.integrations.inspect_runs import import_inspect
from ragmed.integrations.lm_eval_export import export_lm_eval
from ragmed.integrations.lm_eval_runs import import_lm_eval
from ragmed.planning.power import examples_needed
from ragmed.records import Example, Message, Sample
from ragmed.runs import Run, find_run
from ragmed.scores import scored_answers
from ragmed.stored import info_text

CUT = "cut \ud83d"
WHOLE = "cut \ufffd"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return trial(tmp_path_factory.mktemp("runs") / "trial", n=6)


@pytest.fixture
def run(stored, tmp_path):
    copy = Run(tmp_path / "run", access=stored.access)
    for path in [stored.info_file, *stored.folder.rglob("*.jsonl")]:
        write_atomic(copy.folder / path.relative_to(stored.folder), path.read_bytes())
    return copy


def change(path: Path, names: tuple[str, ...], value: object) -> None:
    """The second line with another value in the field that `names` lead to."""
    records = read_lines(path)
    place = records[1]
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    write_lines(path, records)


def first_file(run: Run, kind: str = "samples") -> Path:
    return min((run.folder / kind).glob("*/*.jsonl"))


# ---- lone surrogates ----


def test_a_lone_surrogate_is_written_as_its_sign_everywhere(tmp_path):
    write_atomic(tmp_path / "a.txt", CUT)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == WHOLE
    write_json(tmp_path / "a.json", {CUT: [CUT]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {WHOLE: [WHOLE]}
    assert sha256_json([CUT]) == sha256_json([WHOLE])
    assert parse_json('{"a": ["\\ud83d", "\\ud83d\\ude00", 1]}') == {"a": ["\ufffd", "\U0001f600", 1]}
    with pytest.raises(ValueError, match="two keys differ only in "):
        parse_json('{"\\ud83d": 1, "\\ud83e": 2}')


def test_a_sample_with_a_lone_surrogate_is_stored_and_resumed(tmp_path):
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.append(CUT, "t", [Sample(CUT, "t", Example(f"id {CUT}", CUT), (Message("user", CUT),), completion=CUT)])
    [((arm, _), [read])] = run.samples().items()
    assert (arm, read.example.id, read.completion, read.messages[0].content) == (WHOLE, f"id {WHOLE}", WHOLE, WHOLE)
    assert run.missing(CUT, "t", [f"id {CUT}"], window=1) == []
    assert len(list(run.samples_of(CUT, "t"))) == 1


def test_runs_with_lone_surrogates_are_reported_exported_and_imported(tmp_path):
    answers = {(arm, "t"): [made(k, arm, "t", text=CUT) for k in range(3)] for arm in ("a", "b")}
    run = write(tmp_path / "run", answers)
    report_run(run)
    export_inspect(run, tmp_path / "inspect")
    assert import_inspect([tmp_path / "inspect"], output=tmp_path / "back").samples()
    export_lm_eval(run, tmp_path / "harness")
    for path in (tmp_path / "harness").rglob("*.jsonl"):
        path.write_text(path.read_text(encoding="utf-8").replace("\ufffd", "\\ud83d"), encoding="utf-8")
    again = import_lm_eval(tmp_path / "harness", output=tmp_path / "again")
    assert {sample.example.question for _, _, sample in again.stream()} == {WHOLE}
    assert WHOLE in str(run.samples())


# ---- samples whose values are of another kind ----


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", "x"), ("input_tokens", None), ("input_tokens", 1.5), ("option_logprobs", ["a"]),
        ("passages", ["x"]), ("passages", 5), ("passages", [{"score": "high"}]), ("continuations", None),
        ("messages", None), ("messages", [{"role": "user", "content": None}]), ("finish", "odd"), ("finish", [1]),
        ("example.id", [1]), ("example.documents", [1]), ("example.gold", None), ("example.gold", {"codes": "I10"}),
        ("example.options", [1]), ("example.context", ["x"]), ("example.group", None), ("seconds", True), ("score", 1),
    ],
)  # fmt: skip
def test_a_field_of_another_kind_is_named_with_file_and_line(run, field, value):
    change(first_file(run), tuple(field.split(".")), value)
    with pytest.raises(DamagedError, match=rf"(, line 2, |unknown key '){field}.*; delete the line"):
        run.samples()


@pytest.mark.parametrize(
    ("field", "value"),
    [("metrics", [1]), ("metrics", {"accuracy": None}), ("metrics", {"accuracy": ["x"]}), ("status", "odd"),
     ("value", True), ("example", 5), ("note", "x")],
)  # fmt: skip
def test_a_score_of_another_kind_is_named_with_file_and_line(run, field, value):
    change(first_file(run, "scores"), (field,), value)
    with pytest.raises(DamagedError, match=rf"(, line 2, |unknown key '){field}.*import the run again"):
        scored_answers(run)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_has_not_are_refused(run, number):
    path = first_file(run)
    path.write_text(path.read_text().replace('"seconds": 0.1', f'"seconds": {number}', 1))
    with pytest.raises(DamagedError, match=r"line 1: .*; delete the line"):
        run.samples()
    run.info_file.write_text(run.info_file.read_text().replace('"alpha": 0.05', f'"alpha": {number}'))
    with pytest.raises(DataError, match=r"run\.json' is not JSON: .* is no JSON number"):
        run.info()


# ---- run.json and audit.json ----


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("experiment", "models"), 5), (("experiment", "arms", "ours/a"), 5), (("experiment", "tasks", "t"), 5),
        (("tasks", "t"), {}), (("tasks", "t"), 5), (("tasks", "t", "examples"), "x"),
        (("tasks", "t", "metrics"), ["x"]), (("tasks", "t", "metrics"), [{"name": "accuracy", "kind": "odd"}]),
        (("tasks", "t", "reader"), None),
        (("references",), 5), (("references",), {"adapters": 5}), (("imported",), 5), (("imported",), {"notes": 5}),
        (("software",), 5), (("identity", "models"), 5), (("references",), {"adapters": {"m": {"tokens": "x"}}}),
        (("references",), {"indexes": {"i": {"corpora": [5]}}}), (("references",), {"search": {"cells": []}}),
    ],
)  # fmt: skip
def test_a_part_of_run_json_of_another_kind_is_named(run, names, value):
    info = json.loads(run.info_file.read_text())
    arm, task = (next(iter(info["experiment"][key])) for key in ("arms", "tasks"))
    names = tuple({"ours/a": arm, "t": task}.get(name, name) for name in names)
    place = info
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    run.info_file.write_text(info_text(info))
    with pytest.raises(DamagedError, match=rf"run\.json': {'.'.join(names)}.*; restore it") as refused:
        report_run(run)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", "x"), ("contrasts", 5), ("contrasts", [["a"]]), ("prices", 5), ("policy", 5), ("baseline", None)],
)
def test_settings_of_another_kind_are_named(run, name, value):
    info = json.loads(run.info_file.read_text())
    info["experiment"]["comparison"][name] = value
    run.info_file.write_text(info_text(info))
    with pytest.raises(DamagedError, match=rf"run\.json', experiment\.comparison.*{name}.*; restore it"):
        stored_settings(run)


def test_a_setting_that_is_absent_counts_as_its_default(run):
    info = json.loads(run.info_file.read_text())
    del info["experiment"]["comparison"]["baseline"]
    run.info_file.write_text(info_text(info))
    assert stored_settings(run).baseline == ""  # the first arm that can be compared with


def test_settings_that_would_take_all_memory_or_are_unknown_are_refused(run):
    info = json.loads(run.info_file.read_text())
    info["experiment"]["comparison"]["resamples"] = 10**12
    run.info_file.write_text(info_text(info))
    with pytest.raises(DamagedError, match="at most 10,000,000"):
        stored_settings(run)
    info["experiment"]["comparison"] |= {"resamples": 1000, "prices": {"lunch": 1}}
    run.info_file.write_text(info_text(info))
    with pytest.raises(DamagedError, match="lunch"):
        stored_settings(run)


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        ({"tasks": 5}, "tasks: "), ({"tasks": [{"examples": []}]}, "tasks.0.task: field required"),
        ({"tasks": [{"task": "t", "examples": [5]}]}, "tasks.0.examples.0: "),
        ({"tasks": [{"task": "t", "examples": [{"example": "e", "findings": [5]}]}]}, "findings.0: "),
    ],
)  # fmt: skip
def test_an_audit_of_another_kind_is_named(run, audit, said):
    (run.folder / "audit.json").write_text(json.dumps(audit))
    with pytest.raises(DamagedError, match=rf"audit '.*': .*{said}"):
        report_run(run)


# ---- folders of others ----


def test_a_report_takes_no_folder_of_somebody_else(run, tmp_path):
    mine = tmp_path / "mine"
    for name in ("figures/cost.svg", "figures/scores-9.png", "index.html"):
        write_atomic(mine / name, "mine")
    with pytest.raises(UsageError, match=r"mine' holds files that are no report's, such as 'figures'"):
        report_run(run, folder=mine)
    assert {path.read_text() for path in mine.rglob("*.*")} == {"mine"}
    old = run.report_folder
    for name in ("report.md", "scores.png", "notes.txt"):
        write_atomic(old / name, "old")
    report_run(run)
    assert (old / "notes.txt").exists()
    assert not (old / "report.md").exists()
    assert (old / "index.html").exists()
    report_run(run)
    write_atomic(old / "figures" / "scores-9.png", "mine")
    report_run(run)
    assert (old / "figures" / "scores-9.png").read_text() == "mine"


@pytest.mark.parametrize("link", ["report", "report/figures", "report/samples"])
def test_a_report_follows_no_link(run, tmp_path, link):
    (tmp_path / "else").mkdir()
    (run.folder / link).parent.mkdir(exist_ok=True)
    (run.folder / link).symlink_to(tmp_path / "else")
    with pytest.raises(UsageError, match="is a link to somewhere else"):
        report_run(run)
    assert list((tmp_path / "else").iterdir()) == []


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableError, match=r"cannot write '.*x\.json': File exists; choose another place"):
        write_json(tmp_path / "file" / "x.json", {})
    with pytest.raises(UnwritableError, match="File name too long"):
        write_json(tmp_path / ("x" * 300), {})
    with pytest.raises(UnwritableError, match="No space left on device; make room"), writing(tmp_path / "x"):
        raise OSError(28, "No space left on device")


# ---- others' files ----


def test_a_damaged_lzma_zip_is_refused(stored, tmp_path):
    path = tmp_path / "run.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("run/run.json", stored.info_file.read_bytes())
    data = bytearray(path.read_bytes())
    data[50:120] = bytes(70)
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be unpacked"):
        find_run(tmp_path, str(path), packed=True)


def test_logs_with_a_time_that_is_none_are_exported(run, tmp_path):
    info = json.loads(run.info_file.read_text())
    run.info_file.write_text(info_text(info | {"started": "yesterday"}))
    assert "_1970-01-01T" in export_lm_eval(run, tmp_path / "out")[0].name
    assert export_inspect(run, tmp_path / "logs")


def test_a_defect_is_one_line_and_says_how_to_see_more():
    code = (
        "import sys; sys.argv = ['ragmed', *sys.argv[1:], 'models']\n"
        "from ragmed.cli import main\n"
        "main.Workspace.find = lambda root: int('\\ud800 \\n x')\n"
        "main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ragmed: unexpected ValueError: invalid literal")
    assert done.stderr.endswith("(this is a defect; --debug shows where)\n")
    assert done.stderr.count("\n") == 1
    shown = subprocess.run([sys.executable, "-c", code, "--debug"], capture_output=True, text=True, check=False)
    assert "Traceback" in shown.stderr


def test_numbers_of_thousands_of_digits_are_names(tmp_path):
    assert lm_eval_samples._place("9" * 5000, ("a", "b")) is None
    assert mirage._arm_settings(mirage.Way("m", "rag_" + "9" * 5000, corpus="c", retriever="r"))["k"] == 0
    assert examples_needed(0.25, 1e-300, 0.05, 0.8) is None
    write_json(tmp_path / "results_1.json", {"results": {"": {"acc,none": 1.0}}})
    with pytest.raises(DataError, match="a task without a name"):
        import_lm_eval(tmp_path, output=tmp_path / "out")
