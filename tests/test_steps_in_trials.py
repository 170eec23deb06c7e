"""Arms that rerank, filter and search on, in runs: kept in samples, counted, resumed, replayed, refused where they mean
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from encoders import save_cross_encoder

from ragmed.comparison.results import read_results
from ragmed.errors import DataError, MismatchError, UsageError
from ragmed.evaluation import answer
from ragmed.experiments.binding import bind_tasks
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.integrations.retrieved import passage_lines, retrieve_experiment
from ragmed.models import load_model
from ragmed.report.terminal import render_table
from ragmed.retrieval.named import build_named
from ragmed.runs import Run, find_run
from ragmed.steps.prompts import asked_of, search_prompt
from ragmed.workspace import Workspace

SCRIPT = """
- {contains: "in order, the most helpful first", answer: "[3] > [1]"}
- {regex: "(?s)Elm ward.*Does the passage hold", answer: "No."}
- {contains: "Does the passage hold", answer: "Yes."}
- {regex: "Searched for already", answer: "Hazel ward"}
- {contains: "short search queries", answer: "extension of Maple ward\\nBay ward"}
- {default: "B"}
"""
RAG = {"model": "m", "context": "retrieved", "k": 2}
ARMS: dict[str, Any] = {
    "plain": RAG,
    "reranked": {**RAG, "rerank": {"candidates": 4}},
    "filtered": {**RAG, "evidence_filter": {"by": "model"}},
    "overlap": {**RAG, "evidence_filter": {"by": "overlap", "least": 1.0}},
    "followed": {**RAG, "follow_up": {"rounds": 2, "queries": 2}},
    "all": {
        **RAG,
        "k": 1,
        "follow_up": {"join": "appended", "queries": 2},
        "rerank": {"candidates": 4},
        "evidence_filter": {"by": "overlap", "least": 0.7, "candidates": 3},
    },
}


def config(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    (workspace.root / "script.yaml").write_text(SCRIPT)
    raw: dict[str, Any] = {
        "models": {"m": f"scripted:{workspace.root / 'script.yaml'}"},
        "index": "wards",
        "window": 3,
        "tasks": {"pubmedqa": {"scoring": "generate"}},
        "arms": ARMS,
    }
    return raw | changes


def run(raw: dict[str, Any], workspace: Workspace, name: str = "r", **words: Any) -> Run:
    build_named("wards", workspace=workspace)
    run_experiment(make_experiment(raw, default_name=name, where="config"), workspace=workspace, **words)
    return find_run(workspace.runs, name)


def shown(done: Run, arm: str) -> dict[str, list[str]]:
    return {s.example.id: [p.id for p in s.passages] for s in done.samples()[arm, "pubmedqa"]}


def test_what_was_done_stands_in_the_sample_and_is_counted(small: Workspace):
    done = run(config(small), small)
    plain, reranked = (done.samples()[arm, "pubmedqa"] for arm in ("plain", "reranked"))
    for first, sample in zip(plain, reranked, strict=True):
        (step,) = sample.steps
        assert [c.text for c in step.completions] == ["[3] > [1]"]
        assert [passage.id for passage in sample.passages] == list(step.passages[:2])
        assert step.passages[1] == first.passages[0].id  # [1] of four is second now
        assert sample.passages[0].parts == {"wards": 3}
        read = sum(c.input_tokens for c in step.completions)
        assert (sample.retrieval_input_tokens, sample.retrieval_output_tokens) == (read, 3)
        assert sample.input_tokens > read + 10
        assert first.steps == ()
    elm = next(
        s
        for s in done.samples()["filtered", "pubmedqa"]
        if s.example.question.startswith("What is the extension of Elm")
    )
    assert any(why == "the model said no" for why in elm.steps[0].dropped.values())
    followed = done.samples()["followed", "pubmedqa"][0]
    assert [step.queries for step in followed.steps] == [("extension of Maple ward", "Bay ward"), ("Hazel ward",)]
    every = done.samples()["all", "pubmedqa"][0]
    assert [step.kind for step in every.steps] == ["follow-up", "rerank", "evidence-filter"]
    assert set(every.steps[2].dropped.values()) == {"its share of the query's words, 0.5, is below 0.7"}
    assert len(every.passages) == 1

    results = read_results(done.results_file)
    rows = {(row.arm, row.kind): row for row in results.steps}
    assert rows["reranked", "rerank"].asked == rows["reranked", "rerank"].n == 8
    assert rows["filtered", "evidence-filter"].asked == 16
    assert (rows["followed", "follow-up"].asked, rows["followed", "follow-up"].queries) == (16, 24)
    (cost,) = (row for row in results.costs if row.arm == "reranked")
    assert cost.input_tokens == sum(sample.input_tokens for sample in reranked)
    assert cost.output_tokens == sum(sample.output_tokens for sample in reranked) == 8 * (3 + 1)
    left = rows["overlap", "evidence-filter"].left_without
    assert left == sum(not s.passages for s in done.samples()["overlap", "pubmedqa"])
    table = [line.split() for line in render_table(results).splitlines()]
    assert ["step", "before", "the", "question", "questions", "asked", "unread"] in [words[:7] for words in table]
    (counts,) = (words[2:8] for words in table if words[:2] == ["filtered:", "evidence-filter"])
    dropped, emptied = (rows["filtered", "evidence-filter"].dropped, rows["filtered", "evidence-filter"].left_without)
    assert counts == ["8", "16", "0", "0", str(dropped), str(emptied)]
    page = (done.folder / "report" / "index.html").read_text()
    assert "What arms did with their passages before the question" in page
    pieces = "".join(path.read_text() for path in (done.folder / "report" / "samples").glob("*.js"))
    assert '"kind":"follow-up"' in pieces
    assert "extension of Maple ward" in pieces
    assert "the model said no" in pieces


def test_an_interrupted_run_goes_on_to_the_same_samples(small: Workspace, monkeypatch: pytest.MonkeyPatch):
    raw = config(small, arms={"plain": RAG, "followed": ARMS["followed"], "reranked": ARMS["reranked"]})
    whole = run(raw, small)
    calls = 0

    def stops(*args: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return answer(*args, **words)

    with monkeypatch.context() as patch:
        patch.setattr("ragmed.experiments.trial.answer", stops)
        with pytest.raises(KeyboardInterrupt):
            run(raw, small, "again")
    again = run(raw, small, "again")

    def kept(done: Run, arm: str) -> list[Any]:
        return [(s.example.id, s.prompt, s.steps, s.completion) for s in done.samples()[arm, "pubmedqa"]]

    for arm in raw["arms"]:
        assert kept(again, arm) == kept(whole, arm)
    changed = {**raw["arms"], "reranked": {**RAG, "rerank": {"candidates": 5}}}
    with pytest.raises(MismatchError, match=r"arms\.reranked\.rerank"):
        run({**raw, "arms": changed}, small)


def test_the_same_passages_are_shown_again(small: Workspace, tmp_path: Path):
    done = run(config(small), small)
    stepped = ("reranked", "followed", "filtered")
    arms = {arm: {**RAG, "replay": f"r/{arm}"} for arm in stepped}
    for arm in ("reranked", "followed"):
        path = tmp_path / arm / "pubmedqa.txt"
        path.parent.mkdir()
        samples = done.samples()[arm, "pubmedqa"]
        path.write_text("".join(f"{line}\n" for sample in samples for line in passage_lines(sample, tag=arm)))
        arms[f"{arm}-trec"] = {**RAG, "replay": f"trec:{path}"}
    again = run(config(small, models={"m": "scripted:echo"}, arms=arms), small, "replayed")
    for arm in arms:
        assert shown(again, arm) == shown(done, arm.removesuffix("-trec"))
        assert all(sample.steps == () for sample in again.samples()[arm, "pubmedqa"])


def test_nothing_left_by_a_filter_is_said_when_it_is_shown_again(small: Workspace):
    arms = {"strict": {**RAG, "evidence_filter": {"by": "score", "least": 9.0}}}
    done = run(config(small, arms=arms), small)
    assert {len(passages) for passages in shown(done, "strict").values()} == {0}
    said = (
        "strict on pubmedqa: its evidence filter dropped all passages of 8 of 8 questions, which were asked without any"
    )
    assert said in read_results(done.results_file).notes
    arms = {"closed": {"model": "m"}, "again": {**RAG, "replay": "r/strict"}}
    again = run(config(small, arms=arms), small, "replayed")
    (row,) = read_results(again.results_file).not_run
    assert (row.arm, row.failed) == ("again", True)
    none = "no passage was shown in the run that is replayed: asked without passages"
    assert row.reason == f"no passage was found for any of 8 questions ({none})"
    with pytest.raises(DataError, match=r"'alone' has no arm with answers, for none could retrieve \(again"):
        run(config(small, arms={"again": arms["again"]}), small, "alone")


def test_a_question_that_was_shown_nothing_is_noted_where_it_is_shown_again(small: Workspace):
    words = {"words": {"method": "bm25"}}
    arms = {"some": {**RAG, "k": 1, "retriever": "words", "evidence_filter": {"by": "overlap", "least": 0.7}}}
    (small.corpora / "wards" / "pages" / "elm.md").write_text("# Elm\n\nClosed.\n")
    done = run(config(small, arms=arms, retrievers=words), small)
    shown_at_first = shown(done, "some")
    assert sum(not passages for passages in shown_at_first.values()) == 1
    again = run(config(small, arms={"again": {**RAG, "k": 1, "replay": "r/some"}}), small, "replayed")
    assert shown(again, "again") == shown_at_first
    for sample in again.samples()["again", "pubmedqa"]:
        none = "no passage was shown in the run that is replayed: asked without passages"
        assert sample.note == ("" if sample.passages else none)


def test_a_step_over_nothing_is_not_asked(small: Workspace, monkeypatch: pytest.MonkeyPatch):
    """Where the retriever finds nothing for any question, steps do not make another arm of it."""
    monkeypatch.setattr(
        "ragmed.retrieval.dense.DenseRetriever.retrieve", lambda self, queries, *, k: [[] for _ in queries]
    )
    arms = {"closed": {"model": "m"}, "reranked": ARMS["reranked"], "filtered": ARMS["filtered"]}
    arms |= {"overlap": ARMS["overlap"], "poisoned": {**RAG, "context": "poisoned"}}
    results = read_results(run(config(small, arms=arms), small).results_file)
    reason = "no passage was found for any of 8 questions (only 0 of {} passages were found)"
    assert {row.arm: row.reason for row in results.not_run} == {
        "reranked": reason.format(4), "filtered": reason.format(2), "overlap": reason.format(2),
        "poisoned": reason.format(2),
    }  # fmt: skip


def test_a_model_that_writes_queries_and_orders_passages_is_not_asked_again_to_go_on(
    small: Workspace, monkeypatch: pytest.MonkeyPatch
):
    """A server may order otherwise every time: what is kept is not held against that."""
    hyde = {**RAG, "query": "hyde", "rerank": {"candidates": 4}}
    raw = config(small, arms={"hyde": hyde})
    done = run(raw, small)
    before = done.samples()["hyde", "pubmedqa"]
    file = done.samples_file("hyde", "pubmedqa")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    with monkeypatch.context() as patch:
        patch.setattr("ragmed.steps.rerank.read_order", lambda text, count: list(range(count)))
        run(raw, small)
    after = done.samples()["hyde", "pubmedqa"]
    assert after[:3] == before[:3]
    for one, other in zip(before, after, strict=True):
        assert one.queries == other.queries
        assert one.retrieval_input_tokens == other.retrieval_input_tokens


def test_an_evidence_filter_with_other_weights_is_seen_when_nothing_is_asked(small: Workspace, tmp_path: Path):
    save_cross_encoder(tmp_path / "cross")
    judge = {"by": "cross-encoder", "least": -1e9, "model": f"path:{tmp_path / 'cross'}"}
    raw = config(small, arms={"plain": RAG, "judged": {**RAG, "evidence_filter": judge}})
    run(raw, small)
    weights = tmp_path / "cross" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(MismatchError, match="retrieval model"):
        run(raw, small)


def test_a_filter_by_a_cross_encoder_is_held_to_its_weights(small: Workspace, tmp_path: Path):
    save_cross_encoder(tmp_path / "cross")
    judge = {"by": "cross-encoder", "least": 0.0, "model": f"path:{tmp_path / 'cross'}"}
    raw = config(small, arms={"judged": {**RAG, "evidence_filter": judge}})
    done = run(raw, small)
    assert "weights" in done.info()["identity"]["evidence_filters"]["judged"]
    sample = done.samples()["judged", "pubmedqa"][0]
    assert len(sample.passages) + len(sample.steps[0].dropped) == 2


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"context": "oracle", "rerank": {}}, r"arms.a.rerank: the arm has the context 'oracle'"),
        ({"replay": "r/x", "follow_up": {}}, r"arms.a.follow_up: the arm shows passages as they were shown"),
        ({"rerank": {"window": 4, "step": 4}}, r"a step of 4 passes over passages .* such as step: 2"),
        (
            {"rerank": {"candidates": 2}, "k": 5},
            r"rerank.candidates: 2 passages are put in order, and 5 .*candidates: 5",
        ),
        ({"evidence_filter": {"by": "score"}}, r"evidence_filter: by score .*write least: NUMBER"),
        ({"evidence_filter": {"by": "overlap", "least": 1.5}}, r"least: it is a share"),
        (
            {"evidence_filter": {"by": "score", "least": 0.4}, "rerank": {}},
            r"by score reads the retriever's scores, and rerank leaves ranks in their place; .*or take rerank out",
        ),
        ({"evidence_filter": {"by": "score", "least": 0.4}, "follow_up": {}}, r"and follow_up leaves ranks"),
        ({"evidence_filter": {"by": "model", "least": 1.0}}, r"says yes or no; leave least out"),
        ({"evidence_filter": {"by": "cross-encoder", "least": 1.0}}, r"names no cross-encoder"),
        ({"evidence_filter": {"by": "score", "least": 1.0, "model": "path:x"}}, r"write by: cross-encoder"),
        ({"model": "rule", "rerank": {}}, r"asks the arm's own model, and 'extract:.*' can be asked nothing"),
        ({"retriever": "own", "follow_up": {}}, r"it searches an index, and 'own' each example's own record"),
        ({"follow_up": {"rounds": 0}}, r"at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(small: Workspace, arm: dict[str, Any], message: str):
    raw = config(small, arms={"a": {**RAG, **arm}}, retrievers={"own": {"method": "bm25", "record": True}})
    raw["models"]["rule"] = "extract:nearest-code"
    with pytest.raises(UsageError, match=message):
        make_experiment(raw, default_name="r", where="config")


def test_what_is_known_from_a_run_alone_is_not_measured_by_retrieving(small: Workspace):
    build_named("wards", workspace=small)
    again = {**RAG, "replay": "r/plain"}
    raw = config(small, arms={"plain": RAG, "reranked": ARMS["reranked"], "again": again})
    raw["search"] = {"arm": "plain", "task": "pubmedqa", "k": [1, 2]}
    outcome = retrieve_experiment(make_experiment(raw, default_name="r", where="config"), workspace=small)
    assert [row.arms for row in outcome.rows] == [("plain",)]
    said = dry_run(make_experiment(config(small), default_name="r", where="config"), workspace=small)
    assert "(dense, wards, k 1; then follow_up, rerank, evidence_filter)" in said
    assert outcome.notes == (
        "reranked: what follow_up, rerank and evidence_filter make of its passages is known from a run alone",
        "again: it is shown what r/plain holds, and retrieves nothing",
        "search: is carried out by ragmed eval; arms are taken here as the config has them before it",
    )
    search = {"arm": "reranked", "task": "pubmedqa", "k": [1, 2]}
    with pytest.raises(UsageError, match="'reranked' does more than retrieve; search with an arm without"):
        make_experiment({**raw, "search": search}, default_name="r", where="config")


@pytest.mark.slow
def test_the_small_model_takes_every_step_on_the_handbook(tmp_path: Path):
    """What it writes is seldom in the form that is asked for; that it is asked, recorded and counted is held here."""
    root = Path(__file__).parent.parent
    if not (root / "models" / "smollm2-135m" / "ragmed.json").is_file():
        pytest.skip("packaged:smollm2-135m is not fetched (ragmed models fetch smollm2-135m)")
    raw = yaml.safe_load((root / "configs" / "retrieval-with-model.yaml").read_text())
    raw["tasks"]["handbook-questions"]["limit"] = 2
    raw["arms"] = {
        "rag": raw["arms"]["rag"],
        "all": {
            **raw["arms"]["rag"],
            "follow_up": {"queries": 1},
            "rerank": {"candidates": 4, "window": 3, "step": 2},
            "evidence_filter": {"by": "model"},
        },
    }
    workspace = Workspace(root)
    output = tmp_path / "run"
    made = make_experiment(raw, default_name="with-model", where="config")
    results = run_experiment(made, workspace=workspace, output=output)
    model = load_model(made.models["small"], workspace=workspace)
    for sample in Run(output).samples()["all", "handbook-questions"]:
        follow, order, judged = sample.steps
        (asked,) = follow.completions
        bound = bind_tasks(made, workspace)["handbook-questions"]
        plain = next(s for s in Run(output).samples()["rag", "handbook-questions"] if s.example.id == sample.example.id)
        assert asked.output_tokens > 0
        assert len(order.completions) == 2  # four passages in windows of three
        assert len(judged.completions) == 3
        assert sample.retrieval_input_tokens == sum(c.input_tokens for step in sample.steps for c in step.completions)
        assert sample.input_tokens > plain.input_tokens or len(sample.passages) < len(plain.passages)
        question = asked_of(bound, sample.example)
        assert asked.input_tokens > model.count_tokens([search_prompt(question, [], [], queries=1)])[0]
    assert {row.kind for row in results.steps} == {"follow-up", "rerank", "evidence-filter"}
    assert all(row.input_tokens > 0 for row in results.steps)
