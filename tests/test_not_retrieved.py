"""An arm that could not retrieve has no row and a reason: it is never scored as zero, and never a closed-book arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.comparison.rows import NotRun
from ragmed.errors import RagmedError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.results import compare_runs
from ragmed.experiments.trial import run_experiment
from ragmed.records import Hit
from ragmed.retrieval.bm25 import BM25Retriever
from ragmed.retrieval.named import build_named
from ragmed.runs import Run, find_run
from ragmed.workspace import Workspace


def config(retrievers: dict[str, Any], **arm: Any) -> dict[str, Any]:
    return {
        "name": "trial",
        "models": {"small": "scripted:first-option"},
        "tasks": {"mmlu": {"scoring": "letters"}},
        "retrievers": retrievers,
        "arms": {"general": {"model": "small"}, "rag": {"model": "small", "context": "retrieved", "k": 2, **arm}},
        "comparison": {"resamples": 200},
    }


def asked(raw: dict[str, Any], workspace: Workspace, arms: tuple[str, ...] = ()) -> Any:
    experiment = make_experiment(raw, default_name="trial", where="x")
    return run_experiment(experiment.only(arms), workspace=workspace)


def without_a_row(run: Run) -> str:
    """Why the arm has no row; its samples are nowhere, and the other arm's results are what they are without it."""
    results = compare_runs([run])
    assert {row.arm for row in results.scores} == {"general"}
    assert results.contrasts == ()
    assert not run.samples_file("rag", "mmlu").exists()
    ((arm, task, reason, failed),) = [(r.arm, r.task, r.reason, r.failed) for r in results.not_run]
    assert (arm, task, failed) == ("rag", "mmlu", True)
    return reason


def index(workspace: Workspace, name: str, *, corpus: str = "wards", embedder: str = "hashing:64") -> None:
    (workspace.indexes / name).mkdir()
    (workspace.indexes / name / "recipe.yaml").write_text(f"corpora: [{corpus}]\nembedder: {embedder}\n")


def empty(workspace: Workspace) -> dict[str, Any]:
    pages = workspace.corpora / "nothing" / "pages"
    pages.mkdir(parents=True)
    recipe = "title: N\nreader: markdown\npaths: [pages]\nlicense: none\n"
    (workspace.corpora / "nothing" / "recipe.yaml").write_text(recipe)
    index(workspace, "empty", corpus="nothing")
    return config({}, index="empty")


def no_word(workspace: Workspace) -> dict[str, Any]:
    pages = workspace.corpora / "stop" / "pages"
    pages.mkdir(parents=True)
    (pages / "a.md").write_text("the of and")
    recipe = "title: N\nreader: markdown\npaths: [pages]\nlicense: none\n"
    (workspace.corpora / "stop" / "recipe.yaml").write_text(recipe)
    index(workspace, "stop", corpus="stop")
    words = {"method": "bm25", "index": "stop", "stop_words": "english"}
    return config({"words": words}, retriever="words")


def unbuilt(workspace: Workspace) -> dict[str, Any]:
    index(workspace, "later")
    build_named("wards", workspace=workspace)
    return config({"both": {"method": "rrf", "of": ["wards", "later"]}}, retriever="both")


def no_reranker(workspace: Workspace) -> dict[str, Any]:
    build_named("wards", workspace=workspace)
    spec = {"method": "rerank", "of": ["words"], "model": "path:models/cross-encoder"}
    return config({"words": {"method": "bm25", "index": "wards"}, "best": spec}, retriever="best")


def no_encoder(workspace: Workspace) -> dict[str, Any]:
    return config({"s": {"method": "sparse", "index": "wards", "model": "path:models/splade"}}, retriever="s")


def replay_without_a_question(workspace: Workspace) -> dict[str, Any]:
    lines = [f"m{i} Q0 wards:elm#0 1 1.0 x\nm{i} Q0 wards:oak#0 2 0.5 x\n" for i in range(11)]  # there are 12
    (workspace.root / "run.txt").write_text("".join(lines))
    return config({}, index="wards", replay=f"trec:{workspace.root / 'run.txt'}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty, "nothing/pages' is empty; put files there"),
        (no_word, "holds no word that BM25 could look for"),
        (unbuilt, "index 'later' is not built yet; run: ragmed build-index later"),
        (no_reranker, "models/cross-encoder"),
        (no_encoder, "models/splade"),
        (replay_without_a_question, "ranks no passage for example 'm11'"),
    ],
)
def test_what_ends_the_call_stays_as_the_reason(small: Workspace, make: Any, said: str) -> None:
    raw = make(small)
    before = asked(raw, small, ("general",))
    with pytest.raises(RagmedError, match=said):
        asked(raw, small)
    run = find_run(small.runs, "trial")
    reason = without_a_row(run)
    assert reason.startswith("it could not retrieve: ")
    assert said in reason
    assert compare_runs([run]).scores == before.scores


def test_a_retriever_that_breaks_down_leaves_no_half_arm(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = config({"words": {"method": "bm25", "index": "wards"}}, retriever="words")
    asked(raw, small, ("general",))

    def broken(self: BM25Retriever, queries: list[str], *, k: int) -> list[list[Hit]]:
        raise RuntimeError("the disk went away")

    with monkeypatch.context() as patched:
        patched.setattr(BM25Retriever, "retrieve", broken)
        with pytest.raises(RuntimeError, match="the disk went away"):
            asked(raw, small)
    assert without_a_row(find_run(small.runs, "trial")) == "it could not retrieve: the disk went away"
    results = asked(raw, small)  # mended: the arm is asked, and the reason is gone
    assert results.not_run == ()
    assert {row.arm for row in results.scores} == {"general", "rag"}


def test_an_arm_that_finds_nothing_is_not_asked_as_a_closed_book_one(
    small: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a filter leaves no passage: the others are asked, and the call says and ends as what it is."""
    raw = config({"words": {"method": "bm25", "index": "wards"}}, retriever="words")
    monkeypatch.setattr(BM25Retriever, "retrieve", lambda self, queries, *, k: [[] for _ in queries])
    results = asked(raw, small)
    reason = "no passage was found for any of 12 questions (only 0 of 2 passages were found)"
    assert results.not_run == (NotRun("rag", "mmlu", reason, failed=True),)
    assert f"'rag' is not asked 'mmlu': {reason}" in capsys.readouterr().err
    assert without_a_row(find_run(small.runs, "trial")) == reason
    path = Path(small.configs) / "trial.yaml"
    path.write_text(yaml.safe_dump(raw))
    called = CliRunner().invoke(cli, ["--root", str(small.root), "eval", str(path)])
    assert called.exit_code == 1  # no result that a script may take
    assert f"not run: rag on mmlu: {reason}" in " ".join(called.output.split())


@pytest.mark.parametrize("arm", [{"query": "rewrite"}, {"query": "hyde"}, {"follow_up": {"rounds": 1}}])
def test_an_arm_that_finds_nothing_by_what_its_model_writes_has_no_row(
    small: Workspace, monkeypatch: pytest.MonkeyPatch, arm: dict[str, Any]
) -> None:
    raw = config({"words": {"method": "bm25", "index": "wards"}}, retriever="words", **arm)
    whole = BM25Retriever.retrieve
    monkeypatch.setattr(BM25Retriever, "retrieve", lambda self, queries, *, k: [[] for _ in queries])
    results = asked(raw, small)
    run = find_run(small.runs, "trial")
    assert run.samples_file("rag", "mmlu").exists()  # asked, and kept: what was paid for is not thrown away
    ((name, task, reason, failed),) = [(r.arm, r.task, r.reason, r.failed) for r in results.not_run]
    assert (name, task, failed) == ("rag", "mmlu", True)
    assert reason.startswith("no passage was found for any of 12 questions")
    assert {row.arm for row in results.scores} == {"general"}
    assert results.contrasts == ()
    monkeypatch.setattr(
        BM25Retriever, "retrieve", lambda self, queries, *, k: whole(self, ["extension of ward"] * len(queries), k=k)
    )
    assert {row.arm for row in asked({**raw, "name": "found"}, small).scores} == {"general", "rag"}


def test_questions_without_passages_among_others_are_noted(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BM25Retriever.retrieve

    def some(self: BM25Retriever, queries: list[str], *, k: int) -> list[list[Hit]]:
        return [hits if place % 2 else [] for place, hits in enumerate(whole(self, queries, k=k))]

    monkeypatch.setattr(BM25Retriever, "retrieve", some)
    results = asked(config({"words": {"method": "bm25", "index": "wards"}}, retriever="words"), small)
    assert any("6 samples have a note, the first" in note and "only 0 of 2" in note for note in results.notes)
    monkeypatch.setattr(
        BM25Retriever, "retrieve", lambda self, queries, *, k: [*[[]] * 7, *whole(self, queries, k=k)[7:]]
    )
    results = asked(
        {**config({"words": {"method": "bm25", "index": "wards"}}, retriever="words"), "name": "most"}, small
    )
    (row,) = results.contrasts
    assert (row.verdict, "got none in 7 of 12 questions" in row.reason) == ("no-verdict", True)
