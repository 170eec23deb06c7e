from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import MismatchError, RagmedError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.results import compare_runs
from ragmed.experiments.trial import run_experiment
from ragmed.runs import Run
from ragmed.scores import settings_of
from ragmed.workspace import Workspace


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Twelve invented questions of consumers, and two lexicons."""
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "meqsum").mkdir(parents=True)
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "QS"
    sheet.append(("File", "CHQ", "Summary"))
    for i in range(12):
        sheet.append((f"{i}.txt", f"I have a fever, number {i}. What helps?", f"What treats fever {i}?"))
    book.save(tmp_path / "data" / "meqsum" / "MeQSum.xlsx")
    (tmp_path / "one.tsv").write_text("C1\tfever\n")
    (tmp_path / "two.tsv").write_text("C1\tfever\nC2\thelps\n")
    return Workspace.find(tmp_path)


def evaluated(here: Workspace, metrics: dict[str, Any], task: str = "meqsum") -> Run:
    config = {
        "name": "trial",
        "models": {"m": "scripted:echo"},
        "tasks": {task: {"limit": 5}},
        "arms": {"general": {"model": "m"}},
        "metrics": metrics,
        "comparison": {"baseline": "general", "resamples": 200},
    }
    file = here.root / "trial.yaml"
    file.write_text(yaml.safe_dump(config))
    run_experiment(load_experiment(file), workspace=here)
    return Run(here.runs / "trial")


def numbers(run: Run) -> list[Any]:
    stored = run.scores("general", "meqsum")
    assert stored is not None
    return [score.metrics["concept_f1"] for score in stored[1]]


def said(here: Workspace, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["--root", str(here.root), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_another_lexicon_makes_other_scores_of_the_same_answers(here: Workspace) -> None:
    run = evaluated(here, {"concept_f1": {"lexicon": "one.tsv"}})
    assert numbers(run) == [1.0] * 5  # the echo holds the fever of the reference
    answers = run.samples_file("general", "meqsum")
    before = answers.read_bytes(), answers.stat().st_mtime_ns
    run = evaluated(here, {"concept_f1": {"lexicon": "two.tsv"}})
    assert numbers(run) == pytest.approx([2 / 3] * 5)  # and "helps", which no reference has
    assert (answers.read_bytes(), answers.stat().st_mtime_ns) == before


def test_a_run_without_the_section_is_measured_by_a_named_lexicon(here: Workspace) -> None:
    run = evaluated(here, {})
    said(here, "score", "trial", "--metric", "concept_f1", "--lexicon", "two.tsv")
    assert numbers(run) == pytest.approx([2 / 3] * 5)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"concept_f2": {"lexicon": "one.tsv"}}, "concept_f1"),
        ({"concept_f1": {"lexicon": "one.tsv", "layer": 3}}, "concept_f1.layer: it means nothing .*take it out"),
        ({"concept_f1": {"lexicon": "three.tsv"}}, "does not exist; name a file that does"),
        ({"bertscore": {"model": "path:minilm"}}, "add layer"),
        ({"bertscore": {"model": "hf:some/model", "layer": 1}}, "hf:ORG/NAME@REVISION, pinned"),
        ({"bertscore": {"model": "lexical", "layer": 1}}, "write path:FOLDER, or hf:"),
        ({"completeness": {"model": "path:minilm"}}, "none of the tasks .*take it out"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_asked(
    here: Workspace, metrics: dict[str, Any], message: str
) -> None:
    with pytest.raises(RagmedError, match=message):
        evaluated(here, metrics)
    assert not (here.runs / "trial").exists()


def test_results_are_made_again_without_the_lexicon(here: Workspace) -> None:
    evaluated(here, {"concept_f1": {"lexicon": "one.tsv"}})
    (here.root / "one.tsv").unlink()
    assert "concept_f1" in said(here, "compare", "trial")
    said(here, "report", "trial")
    (here.runs / "trial" / "scores" / "general" / "meqsum.jsonl").unlink()
    done = CliRunner().invoke(cli, ["--root", str(here.root), "compare", "trial"])
    assert "one.tsv' does not exist; name a file that does" in str(done.exception)


def test_each_metric_takes_what_is_its_own(here: Workspace) -> None:
    run = evaluated(here, {})
    with pytest.raises(RagmedError, match="--layer is for a metric that needs it"):
        settings_of(["concept_f1"], {"lexicon": "one.tsv", "layer": 3})
    both = settings_of(["concept_f1", "bertscore"], {"lexicon": "one.tsv", "layer": 3, "model": "path:minilm"})
    assert (both["concept_f1"].layer, both["bertscore"].lexicon) == (0, "")
    done = CliRunner().invoke(cli, ["--root", str(here.root), "score", run.name, "--metric", "concept_f1"])
    assert "needs lexicon: name them under `metrics:`" in str(done.exception)


def test_a_model_of_the_hub_is_fetched_before_anything_is_asked(
    here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def absent(repository: str, **_: Any) -> str:
        raise OSError(f"{repository} cannot be reached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    with pytest.raises(RagmedError, match="metric 'bertscore': some/model cannot be reached"):
        evaluated(here, {"bertscore": {"model": "hf:some/model@abc", "layer": 1}})
    assert not (here.runs / "trial").exists()


def test_runs_that_were_measured_with_different_files_are_not_joined(here: Workspace) -> None:
    one = evaluated(here, {"concept_f1": {"lexicon": "one.tsv"}})
    one.folder.rename(here.runs / "first")
    two = evaluated(here, {"concept_f1": {"lexicon": "two.tsv"}})
    first = Run(here.runs / "first")
    with pytest.raises(MismatchError, match=r"'first' and 'trial' measured concept_f1 of task 'meqsum' with different"):
        compare_runs([first, two])
    said(here, "score", "first", "--metric", "concept_f1", "--lexicon", "two.tsv")
    assert {score.metric for score in compare_runs([Run(here.runs / "first"), two]).scores} >= {"rouge_l", "concept_f1"}
