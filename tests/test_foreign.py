"""What all imports and exports do: the control, long names, private folders, errors that name file and remedy."""

import os
import stat

import pytest
from click.testing import CliRunner
from exporting import made, trial, write
from ragmed.cli.main import cli

from ragmed.errors import DataError, UsageError
from ragmed.integrations.foreign import foreign_metric, reader_of
from ragmed.integrations.inspect_export import export_inspect
from ragmed.integrations.inspect_runs import import_inspect
from ragmed.integrations.lm_eval_export import export_lm_eval
from ragmed.integrations.lm_eval_runs import import_lm_eval
from ragmed.integrations.reading import reading
from ragmed.metrics import MetricFacts
from ragmed.records import Example, Sample, Score
from ragmed.scores import scored_answers


def test_without_a_baseline_the_first_arm_is_the_control_and_a_note_says_so(tmp_path):
    export_lm_eval(trial(tmp_path / "run", n=6), tmp_path / "logs")
    again = import_lm_eval(tmp_path / "logs", output=tmp_path / "again")
    assert again.access == "private"
    assert again.info()["experiment"]["comparison"]["baseline"] == "general"
    notes = again.info()["imported"]["notes"]
    assert notes[0] == (
        "The control is 'general', the first arm in the order of the files; name another with --baseline."
    )
    done = CliRunner().invoke(
        cli, ["import", "lm-eval", str(tmp_path / "logs"), "-o", str(tmp_path / "b"), "--baseline", "tuned+rag"]
    )
    assert done.exit_code == 0, done.output
    assert "note: The control" not in done.output


@pytest.mark.parametrize("kind", ["lm-eval", "inspect"])
def test_long_names_are_cut_in_file_names_and_folders_above_are_as_private(tmp_path, kind):
    old = os.umask(0o022)
    try:
        arm = "b" * 150
        run = write(tmp_path / "run", {(arm, "t" * 150): [made(i, arm, "t" * 150) for i in (1, 2)]}, access="private")
        export, import_ = (export_lm_eval, import_lm_eval) if kind == "lm-eval" else (export_inspect, import_inspect)
        export(run, tmp_path / "deep" / "out")
        assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
        logs = tmp_path / "deep" / "out"
        again = scored_answers(import_(logs if kind == "lm-eval" else [logs], output=tmp_path / "again"))
        assert list(again) == [(arm, "t" * 150)]
        assert [a.score.metrics for a in again[arm, "t" * 150]] == [{"accuracy": 1.0}, {"accuracy": 0.0}]
    finally:
        os.umask(old)


def asked(id_: str, completion: str, status: str, value: str | None, **metrics: float):
    example = Example(id_, "?", options={"A": "10 mg", "B": "40 mg"}, gold="B")
    return Sample("gpt", "t", example, completion=completion), Score(id_, status, value, metrics)


def test_a_reader_of_ours_is_taken_where_it_gives_the_very_same_numbers():
    right, odd = asked("1", "ANSWER: B", "answered", "B", accuracy=1.0), asked("2", "Well.", "unparsed", None)
    samples, scores = zip(right, odd, strict=True)
    assert reader_of(samples, scores, ["accuracy"]) == "letter"
    assert reader_of(samples, scores, ["accuracy", "graded_by_a_model"]) == "recorded"
    generous = asked("2", "Well.", "answered", "B", accuracy=1.0)
    samples, scores = zip(right, generous, strict=True)
    assert reader_of(samples, scores, ["accuracy"]) == "recorded"


def test_what_a_foreign_metric_is_shows_in_its_numbers():
    question = Example("1", "?", gold="B")
    right, wrong = (Score("1", "answered", value, {"m": number}) for value, number in (("b ", 1.0), ("A", 0.0)))
    facts = foreign_metric("m", [(question, right), (question, wrong)])
    assert facts == MetricFacts("m", "binary", matches_gold=True)
    graded = Score("1", "answered", "A", {"m": 0.5})
    assert foreign_metric("m", [(question, graded)], higher_is_better=False) == MetricFacts("m", higher_is_better=False)
    by_model = Score("1", "answered", "a long text", {"m": 1.0})
    assert foreign_metric("m", [(question, by_model)]) == MetricFacts("m", "binary")


def test_a_name_too_long_for_a_folder_is_refused_and_nothing_is_left(tmp_path):
    name = "ä" * 90
    with pytest.raises(UsageError, match="takes 540 bytes as the name of a file"):
        write(tmp_path / "other", {(name, "t"): [made(1, name, "t")]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("question"), "'question' is missing"),
        (ExceptionGroup("several", [ExceptionGroup("inner", [ValueError("bad\n  byte")])]), "bad byte"),
        (EOFError(), "EOFError"),
    ],
)
def test_whatever_a_reader_raises_names_file_reason_and_remedy(error, reason):
    with pytest.raises(DataError) as refused, reading("log 'a.eval'", remedy="copy it again"):
        raise error
    assert str(refused.value) == f"log 'a.eval' cannot be read: {reason}; copy it again"
    assert refused.value.__cause__ is error
    with pytest.raises(UsageError, match="ours"), reading("log 'a.eval'", remedy="copy it again"):
        raise UsageError("ours")
