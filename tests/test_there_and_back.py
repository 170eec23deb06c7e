"""A run out as another program's logs and in again: the comparison is the original's, number by number."""

import json
import os
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from exporting import made, trial, write
from ragmed.cli.main import cli

from ragmed.errors import DataError, MismatchError, UnknownNameError, UsageError
from ragmed.experiments.results import compare_runs
from ragmed.files import read_json, write_json
from ragmed.integrations.inspect_export import export_inspect
from ragmed.integrations.inspect_runs import import_inspect
from ragmed.integrations.lm_eval_export import export_lm_eval
from ragmed.integrations.lm_eval_runs import import_lm_eval

KINDS = ["lm-eval", "inspect"]
SAME = (
    *("scores", "contrasts", "factorials", "calibration", "overall", "policies", "policy_contrasts", "decomposition"),
    *("retrieval", "order", "compliance", "ledger", "baselines", "margin", "policy", "correction", "not_run"),
)


@pytest.fixture
def run(tmp_path):
    """Settings of which none is what an import would guess."""
    one = trial(tmp_path / "runs" / "original", margin=0.2, policy="drop", correction="benjamini-hochberg")
    info = read_json(one.info_file, "run")
    experiment = info["experiment"]
    experiment["comparison"] |= {
        "baseline": "tuned", "seed": 7, "factorials": [["tuned", "general", *list(
            experiment["arms"])[2:]]], "contrasts": [["tuned", "m/rag_32"], ["m/rag_32", "tuned+rag"]],
    }  # fmt: skip
    for task, normalise in (("medqa", "characters"), ("names", "tokens")):
        changed = {"scoring": "option-text", "normalise": normalise, "options": "published", "file": "/secret/q.jsonl"}
        experiment["tasks"][task] |= changed
        info["identity"]["tasks"][task] |= changed
    experiment["models"] = {"model of tuned": {"name": "packaged:m+adapter:a", "base": ""}}
    info["references"] = {"adapters": {"model of tuned": {"corpora": [{"name": "books", "sha256": "ab" * 32}]}}}
    write_json(one.info_file, info)
    return one


def exported(run, kind, folder):
    (export_lm_eval if kind == "lm-eval" else export_inspect)(run, folder)
    return folder


def imported(kind, folder, output, **words):
    return import_lm_eval(folder, output=output, **words) if kind == "lm-eval" else import_inspect(
        [folder], output=output, **words
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_is_the_originals(run, tmp_path, kind):
    again = imported(kind, exported(run, kind, tmp_path / "logs"), tmp_path / "again")
    before, after = compare_runs([run]), compare_runs([again])
    for key in SAME:
        assert json.dumps(after.get(key)) == json.dumps(before.get(key)), key
    assert all(before[key] for key in ("calibration", "factorials"))
    assert len(before["contrasts"]) > 2
    assert {row["normalise"] for row in again.info()["identity"]["tasks"].values()} == {"characters", "tokens"}
    assert again.access == "private"
    assert "The control is 'tuned', and the comparison is asked, as in run 'original'." in after["notes"]
    assert "/secret" not in again.info_file.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_without_some_arms_what_names_them_is_left_out(run, tmp_path, kind):
    folder = exported(run, kind, tmp_path / "logs")
    for path in folder.rglob("*"):
        if path.is_file() and "tuned" in str(path.relative_to(folder)):
            path.unlink()
    notes = "\n".join(imported(kind, folder, tmp_path / "again").info()["imported"]["notes"])
    assert "Arms of run 'original' that are not in these logs: tuned, tuned+rag." in notes
    assert "The control of run 'original', 'tuned', is not in these logs: 'general' stands in for it" in notes
    assert "1 of 1 factorials of run 'original' name arms that are not in these logs" in notes
    again = imported(kind, folder, tmp_path / "named", baseline="m/rag_32")
    assert again.info()["experiment"]["comparison"]["baseline"] == "m/rag_32"
    with pytest.raises(UnknownNameError, match="nobody"):
        imported(kind, folder, tmp_path / "none", baseline="nobody")


def test_logs_that_say_nothing_have_the_first_arm_as_control_and_a_note(run, tmp_path):
    folder = exported(run, "lm-eval", tmp_path / "logs")
    for path in folder.rglob("results_*.json"):
        data = json.loads(path.read_text())
        del data["ragmed"]
        path.write_text(json.dumps(data))
    again = import_lm_eval(folder, output=tmp_path / "again")
    notes = again.info()["imported"]["notes"]
    assert "The control is 'general', the first arm in the order of the files" in "\n".join(notes)
    assert again.info()["experiment"]["tasks"]["medqa"]["normalise"] == "none"
    done = CliRunner().invoke(
        cli, ["import", "lm-eval", str(folder), "-o", str(tmp_path / "b"), "--baseline", "tuned+rag"]
    )
    assert done.exit_code == 0, done.output
    assert "The control is 'tuned+rag', as --baseline says." in done.output


BAD = {
    "scoring": (lambda d: d["tasks"]["medqa"].update(scoring="eval"), "scoring = 'eval' is none of ours"),
    "k": (lambda d: d["arms"]["general"].update(k=-1), "k = -1 is none of ours"),
    "arms": (lambda d: d.update(arms=[1]), "has no mapping 'arms'"),
    "resamples": (lambda d: d["comparison"].update(resamples=10**12), "resamples is 1000000000000"),
    "contrasts": (lambda d: d["comparison"].update(contrasts=[["general"]]), "a contrast is a pair of arms"),
    "comparison": (lambda d: d.update(comparison=3), "comparison is no mapping"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_log_cannot_say_is_refused_by_name(run, tmp_path, name):
    change, said = BAD[name]
    path = next(exported(run, "lm-eval", tmp_path / "logs").rglob("results_*.json"))
    data = json.loads(path.read_text())
    change(data["ragmed"]["described"])
    path.write_text(json.dumps(data))
    with pytest.raises((DataError, UsageError), match=re.escape(said)):
        import_lm_eval(path, output=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_log_cannot_open_what_it_holds(run, tmp_path):
    path = next(exported(run, "lm-eval", tmp_path / "logs").rglob("results_*.json"))
    data = json.loads(path.read_text())
    data["ragmed"]["described"] |= {"access": "open"}
    path.write_text(json.dumps(data))
    assert import_lm_eval(path, output=tmp_path / "again").info()["access"] == "private"


def test_two_exports_together_keep_their_settings_but_no_comparison(run, tmp_path):
    other = write(tmp_path / "runs" / "other", {("solo", "new"): [made(i, "solo", "new") for i in range(4)]})
    exported(run, "lm-eval", tmp_path / "logs")
    exported(other, "lm-eval", tmp_path / "logs")
    info = import_lm_eval(tmp_path / "logs", output=tmp_path / "again").info()
    assert info["experiment"]["arms"]["solo"]["model"] == "other/model of solo"
    assert info["experiment"]["tasks"]["names"]["normalise"] == "tokens"
    assert "These logs are of several exports" in "\n".join(info["imported"]["notes"])
    clash = write(tmp_path / "runs" / "clash", {("solo", "names"): [made(i, "solo", "names") for i in range(60)]})
    exported(clash, "lm-eval", tmp_path / "logs2")
    exported(run, "lm-eval", tmp_path / "logs2")
    with pytest.raises(MismatchError):
        import_lm_eval(tmp_path / "logs2", output=tmp_path / "no")


def test_names_too_long_for_a_file_are_said_and_folders_above_are_as_private(tmp_path):
    old = os.umask(0o022)
    try:
        samples = {("b" * 150, "t" * 150): [made(1, "b" * 150, "t" * 150), made(2, "b" * 150, "t" * 150)]}
        long = write(tmp_path / "deep" / "er" / "run", samples, access="private")
        assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
        for kind in KINDS:
            folder = exported(long, kind, tmp_path / "out" / kind)
            assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
            again = imported(kind, folder, tmp_path / f"again-{kind}").samples()
            assert list(again) == list(long.samples())
            assert [s.scores for given in again.values() for s in given] == [{"accuracy": 1.0}, {"accuracy": 0.0}]
        name = "ä" * 90
        with pytest.raises(UsageError, match="takes 540 bytes as the name of a file"):
            write(tmp_path / "other", {(name, "t"): [made(1, name, "t")]})
        assert [path.name for path in Path(tmp_path).iterdir() if "other" in path.name] == []
    finally:
        os.umask(old)
