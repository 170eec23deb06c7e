"""What a run's files say of its arms, and what it measured while it ran."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import RagmedError
from ragmed.experiments.config import load_experiment, make_experiment
from ragmed.experiments.facts import run_facts
from ragmed.experiments.memory import peak_memory, start_measuring
from ragmed.experiments.results import compare_runs
from ragmed.experiments.trial import run_experiment
from ragmed.runs import Run
from ragmed.workspace import Workspace

TWINS = """
models: {small: "scripted:first-option"}
index: wards
seed: 3
tasks:
  pubmedqa: {scoring: generate}
  by-letter: {task: pubmedqa, scoring: letters}
  reversed: {task: pubmedqa, scoring: letters, options: reversed}
arms:
  general: {model: small}
  rag: {model: small, context: retrieved, k: 2}
  rag-reversed: {model: small, context: retrieved, k: 2, passage_order: reversed}
comparison: {resamples: 200}
"""


@pytest.fixture
def done(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("ragmed.experiments.trial.write_results", lambda run, settings: {})  # no page, no figures
    (small.configs / "twins.yaml").write_text(TWINS)
    run_experiment(load_experiment(small.configs / "twins.yaml"), workspace=small)
    return Run(small.runs / "twins")


def test_one_task_asked_in_three_ways(done: Run) -> None:
    results = compare_runs([done])
    assert [(r.arm, r.generate_task, r.held_task) for r in results.compliance] == [
        (arm, "pubmedqa", "by-letter") for arm in ("general", "rag", "rag-reversed")
    ]
    orders = {(r.kind, r.arm, r.task): r for r in results.order}
    by_options = orders["options", "general", "by-letter"]
    # a model that always takes the first option: no answer survives, and its accuracy is turned round
    assert (by_options.other_task, by_options.n, by_options.survived) == ("reversed", 8, 0)
    assert (by_options.value or 0.0) + (by_options.other_value or 0.0) == 1.0
    by_passages = orders["passages", "rag", "pubmedqa"]
    assert (by_passages.other_arm, by_passages.n, by_passages.share) == ("rag-reversed", 8, 1.0)
    shown = {arm: done.samples()[arm, "pubmedqa"] for arm in ("rag", "rag-reversed")}
    for one, other in zip(*shown.values(), strict=True):
        assert [p.id for p in one.passages] == [p.id for p in other.passages][::-1]
    retrieval = {(r.arm, r.task): r for r in results.retrieval}
    assert retrieval["rag", "by-letter"].recall == (retrieval["rag", "by-letter"].hit or 0.0) >= 0.75
    assert retrieval["rag-reversed", "by-letter"].ndcg == retrieval["rag", "by-letter"].ndcg
    assert {(r.arm, r.closed) for r in results.decomposition} == {
        ("rag", "general"),
        ("rag-reversed", "general"),
    }


def test_the_audit_beside_a_run_is_read(done: Run) -> None:
    example = done.samples()["general", "pubmedqa"][0].example.id
    finding = {"example": example, "findings": [{"kind": "identity", "counts": True}]}
    (done.folder / "audit.json").write_text(
        json.dumps({"schema": 1, "tasks": [{"task": "pubmedqa", "examples": [finding]}]})
    )
    rows = compare_runs([done]).leakage
    assert {(row.task, row.n, row.leaked) for row in rows} == {("pubmedqa", 8, 1)}
    (done.folder / "audit.json").write_text("{")
    with pytest.raises(RagmedError, match=r"audit.*audit\.json"):
        compare_runs([done])


def test_arms_of_two_runs_keep_apart_unless_they_are_one_model(small: Workspace, done: Run) -> None:
    raw: dict[str, Any] = {
        "models": {"other": "scripted:first-option", "echo": "scripted:echo"},
        "tasks": {"pubmedqa": {"scoring": "generate"}},
        "arms": {"plain": {"model": "other"}, "loud": {"model": "echo"}},
        "seed": 3,
    }
    run_experiment(make_experiment(raw, default_name="second", where="config"), workspace=small)
    runs = [done, Run(small.runs / "second")]
    samples = {(f"{run.name}/{arm}", task): found for run in runs for (arm, task), found in run.samples().items()}
    facts = run_facts(runs, samples)
    models = {name: about["model_identity"] for name, about in facts.arms.items()}
    assert models["twins/general"] == models["twins/rag"] == models["second/plain"] != models["second/loud"]
    assert facts.arms["twins/rag"]["index"] == "twins/wards"
    assert set(facts.tasks) == {"pubmedqa", "by-letter", "reversed"}
    results = compare_runs(runs)
    assert {row.closed for row in results.decomposition if row.task == "pubmedqa"} == {"twins/general"}


def test_the_peak_is_that_of_the_system() -> None:
    start_measuring()
    assert peak_memory("endpoint") is None
    assert peak_memory("scripted") is None
    measured = peak_memory("packaged")
    assert measured is not None
    assert measured["of"] == "process"
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        high = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        assert abs(measured["peak_bytes"] - high) < 0.02 * high


def test_a_card_says_what_it_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        peak = 99

        def reset_peak_memory_stats(self) -> None:
            self.peak = 7

        def max_memory_allocated(self) -> int:
            return self.peak

    card = Card()
    monkeypatch.setattr("ragmed.experiments.memory.cuda", lambda: card)
    start_measuring()
    assert peak_memory("hf") == {"peak_bytes": 7, "of": "cuda"}
