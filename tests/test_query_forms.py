"""Query forms: what a retriever is asked, by rule or in the words of the arm's own model, which are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import MismatchError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.integrations.retrieved import render_retrieved, retrieve_experiment
from ragmed.models.scripted import Entry, ScriptedModel
from ragmed.queries import MOST_TOKENS, Asked, Queries, keywords, query_messages, query_text
from ragmed.retrieval.named import build_named
from ragmed.runs import Run, find_run
from ragmed.tasks import BoundTask, TaskSettings, load_task
from ragmed.workspace import Workspace

SCRIPT = """\
- {regex: "search query[\\\\s\\\\S]*Oak", answer: "Search query: 'extension oak ward'\\nas asked"}
- {regex: "search query[\\\\s\\\\S]*Elm", answer: "  "}
- {contains: "Write nothing but the query", answer: "ward extension"}
- {contains: "Write a short passage", answer: "Passage: The extension\\nof the ward is 4001."}
- {default: A}
"""


@pytest.fixture
def lab(small: Workspace) -> Workspace:
    (small.root / "script.yaml").write_text(SCRIPT)
    build_named("wards", workspace=small)
    return small


def experiment(lab: Workspace, query: str, **changes: Any) -> Any:
    raw: dict[str, Any] = {
        "models": {"m": f"scripted:{lab.root / 'script.yaml'}"},
        "index": "wards",
        "retrievers": {"words": {"method": "bm25"}},
        "tasks": {"pubmedqa": {}},
        "arms": {"rag": {"model": "m", "context": "retrieved", "retriever": "words", "k": 2, "query": query}},
        "window": 3,
    }
    return make_experiment(raw | changes, default_name="q", where="config")


def bound_of(lab: Workspace, name: str = "pubmedqa") -> BoundTask:
    return load_task(name, TaskSettings(), workspace=lab, seed=0)


def test_a_rule_says_what_is_asked_and_only_one_form_has_the_options(lab: Workspace) -> None:
    bound = bound_of(lab)
    example = bound.examples[0]
    asked = {
        form: Queries(form).of(bound, [example])[0].queries for form in ("question", "question+options", "keywords")
    }
    assert asked["question"] == (example.question,)
    assert asked["question+options"] == (" ".join([example.question, *example.options.values()]),)
    assert asked["keywords"] == (keywords(example.question),)
    assert keywords("Is it the?") == "Is it the?"
    assert not Queries("keywords").needs_model
    assert Queries("hyde").needs_model


@pytest.mark.parametrize("form", ["hyde", "rewrite"])
def test_a_model_is_told_the_question_and_neither_options_nor_gold(lab: Workspace, form: Any) -> None:
    bound = bound_of(lab)
    for example in bound.examples:
        [message] = query_messages(form, bound, example)
        assert message.role == "user"
        assert example.question in message.content
        assert not any(f" {text}" in message.content for text in example.options.values())


def test_what_a_model_answers_is_read_as_a_query() -> None:
    assert query_text("rewrite", "\n\nSearch query:\n“gout treatment”\nBecause") == "gout treatment"
    assert query_text("rewrite", " ** ") == ""
    assert query_text("hyde", "Passage: Gout is\n treated.") == "Gout is treated."


class Narrow(ScriptedModel):
    context_tokens = 60
    thinking_tokens = 0


def test_a_question_that_leaves_no_room_for_a_query_is_an_error_of_its_own(lab: Workspace) -> None:
    bound = bound_of(lab)
    model = Narrow("scripted:x", entries=[Entry("", "gout")])
    assert MOST_TOKENS["hyde"] > 60
    found = Queries("hyde").of(bound, bound.examples[:2], model)
    assert [one.queries for one in found] == [(), ()]
    assert "no query was written: its prompt and 128 tokens are more than 'scripted:x' holds" in found[0].error


def samples(lab: Workspace) -> dict[str, Any]:
    return {sample.example.id: sample for sample in find_run(lab.runs, "q").samples()["rag", "pubmedqa"]}


def test_a_written_query_is_kept_counted_and_never_replaced_by_the_question(lab: Workspace) -> None:
    results = run_experiment(experiment(lab, "rewrite"), workspace=lab)
    found = samples(lab)
    by_ward = {next(w for w in ("Oak", "Elm", "") if w in s.example.question): s for s in found.values()}
    assert by_ward["Oak"].queries == ("extension oak ward",)
    assert by_ward["Oak"].passages[0].document == "wards:oak"
    assert by_ward["Oak"].retrieval_output_tokens == len("Search query: 'extension oak ward' as asked".split())
    assert by_ward["Oak"].output_tokens == by_ward["Oak"].retrieval_output_tokens + 1
    read = sum(len(m.content.split()) for m in by_ward["Oak"].messages)
    assert by_ward["Oak"].input_tokens == by_ward["Oak"].retrieval_input_tokens + read
    failed = by_ward["Elm"]
    assert (failed.finish, failed.error) == ("error", "no query was written: the answer is empty")
    assert (failed.queries, failed.passages, failed.completion) == ((), (), None)
    assert failed.input_tokens == failed.retrieval_input_tokens > 0  # what was asked for, and no prompt that was not
    assert any("no query was written" in note for note in results.notes)
    [cost] = results.costs
    assert cost.input_tokens == sum(sample.input_tokens for sample in found.values())
    page = "".join(path.read_text() for path in (lab.runs / "q" / "report").rglob("*.js"))
    assert "extension oak ward" in page


def test_what_was_written_before_is_not_written_again(lab: Workspace) -> None:
    bound = bound_of(lab)
    first, second = bound.examples[:2]
    model = ScriptedModel("scripted:x", entries=[Entry("", "anew")])
    queries = Queries("rewrite", recorded={first.id: Asked(("kept",), 7, 1)})
    assert [one.queries for one in queries.of(bound, [first, second], model)] == [("kept",), ("anew",)]
    assert queries.of(bound, [first], None) == [Asked(("kept",), 7, 1)]
    with pytest.raises(UsageError, match="no model is loaded here; name a run that holds them"):
        queries.of(bound, [first, second], None)


def test_a_run_that_goes_on_takes_the_queries_that_are_written(lab: Workspace) -> None:
    run_experiment(experiment(lab, "rewrite"), workspace=lab)
    before = samples(lab)
    file = Run(lab.runs / "q").samples_file("rag", "pubmedqa")
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    run_experiment(experiment(lab, "rewrite"), workspace=lab)
    assert {id_: sample.queries for id_, sample in samples(lab).items()} == {
        id_: s.queries for id_, s in before.items()
    }
    with pytest.raises(MismatchError, match=r'arms.rag.query was "rewrite", is now "hyde"'):
        run_experiment(experiment(lab, "hyde"), workspace=lab)


def test_retrieval_alone_takes_written_queries_from_a_run_and_writes_none(lab: Workspace) -> None:
    made = experiment(lab, "hyde")
    with pytest.raises(UsageError, match=r"whose models write their queries, .* --queries RUN"):
        retrieve_experiment(made, workspace=lab)
    run_experiment(made, workspace=lab)
    outcome = retrieve_experiment(made, workspace=lab, written_in="q")
    assert (outcome.rows[0].query, outcome.rows[0].n) == ("hyde", 8)
    assert "words hyde" in render_retrieved(outcome)
    (lab.configs / "q.yaml").write_text(
        "models: {m: scripted:echo}\nindex: wards\nretrievers: {words: {method: bm25}}\ntasks: {pubmedqa: {}}\n"
        "arms:\n  rag: {model: m, context: retrieved, retriever: words, k: 2, query: hyde}\n"
        "  plain: {model: m, context: retrieved, retriever: words, k: 2}\n"
        "  options: {model: m, context: retrieved, retriever: words, k: 2, query: question+options}\n"
    )
    command = ["--root", str(lab.root), "retrieve", str(lab.configs / "q.yaml")]
    shown = CliRunner().invoke(cli, [*command, "--queries", "q"])
    assert shown.exit_code == 0, shown.output
    assert "words question+options: the options stand in its queries, and one of them is the answer" in shown.output
    without = CliRunner().invoke(cli, command)
    assert (without.exit_code, "words hyde" in without.output) == (0, False)
    assert "note: rag: its model writes its queries; name a run that holds them (--queries RUN)" in without.output


def test_options_in_a_query_are_said_in_the_results(lab: Workspace) -> None:
    results = run_experiment(experiment(lab, "question+options"), workspace=lab)
    assert "the retriever of rag was asked with the options, of which one is the answer" in results.notes
    assert all(sample.queries and not sample.retrieval_input_tokens for sample in samples(lab).values())
    plain = experiment(lab, "question")
    run_experiment(plain, workspace=lab, output=lab.runs / "plain")
    assert not any(s.queries for s in find_run(lab.runs, "plain").samples()["rag", "pubmedqa"])


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"context": "oracle", "query": "keywords"}, "has the context 'oracle' and asks no query of its own"),
        ({"context": "retrieved", "query": "hyde", "replay": "a/b"}, "replays passages and asks no query"),
        ({"context": "retrieved", "query": "hyd"}, "query"),
        ({"context": "retrieved", "query": "hyde", "model": "e"}, "writes nothing, and so no query"),
    ],
)
def test_a_form_that_means_nothing_is_refused(lab: Workspace, arm: dict[str, Any], message: str) -> None:
    models = {"m": "scripted:echo", "e": "extract:best-sentence"}
    with pytest.raises(UsageError, match=message):
        experiment(lab, "", models=models, arms={"rag": {"model": "m", "k": 2, "retriever": "words", **arm}})


def test_retriever_and_query_are_chosen_on_development_examples(lab: Workspace, tmp_path: Path) -> None:
    questions = [
        {"id": f"q{i}", "split": "dev" if i < 4 else "test", "question": "What is the extension of Oak ward?",
         "options": {"A": "4000", "B": "4001"}, "answer": "AB"[i % 2]}
        for i in range(8)
    ]  # fmt: skip
    (lab.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    rag = {"model": "m", "context": "retrieved", "k": 2}
    made = experiment(
        lab, "", tasks={"own": {"file": "own.jsonl", "access": "open"}},
        retrievers={"words": {"method": "bm25"}, "both": {"method": "rrf", "of": ["words", "wards"]}},
        arms={"rag": rag, "again": rag, "other": {**rag, "k": 1}},
        search={
            "arm": "rag", "task": "own", "retriever": ["both", "words"], "query": ["question", "rewrite"], "k": [1, 2],
        },
    )  # fmt: skip
    results = run_experiment(made, workspace=lab)
    run = find_run(lab.runs, "q")
    found = json.loads((run.folder / "search.json").read_text())
    assert [(cell["retriever"], cell["query"], cell["k"]) for cell in found["cells"]] == [
        (retriever, query, k) for retriever in ("both", "words") for query in ("question", "rewrite") for k in (1, 2)
    ]
    written = {
        (retriever, k): [c["input_tokens"] for c in found["cells"] if (c["retriever"], c["k"]) == (retriever, k)]
        for retriever in ("both", "words") for k in (1, 2)
    }  # fmt: skip
    more = {asked[1] - asked[0] for asked in written.values()}
    assert len(more) == 1  # of the queries, which both k's of a retriever have in common
    assert found["input_tokens"] == sum(cell["input_tokens"] for cell in found["cells"]) - 2 * more.pop()
    chosen = found["cells"][found["chosen"]]
    assert chosen["score"] == max(cell["score"] for cell in found["cells"])
    arms = run.info()["experiment"]["arms"]
    for name in ("rag", "again"):
        assert {key: arms[name][key] for key in ("retriever", "query", "k")} == {
            key: chosen[key] for key in ("retriever", "query", "k")
        }
    assert (arms["other"]["retriever"], arms["other"]["index"], arms["other"]["k"]) == ("", "wards", 1)
    assert any(f"{chosen['retriever']}, query {chosen['query']}, k {chosen['k']}" in note for note in results.notes)
    with pytest.raises(UsageError, match="unknown retriever 'word'"):
        experiment(
            lab, "", tasks={"own": {"file": "own.jsonl"}}, arms={"rag": rag},
            search={"arm": "rag", "task": "own", "retriever": ["word"]},
        )  # fmt: skip


def test_what_a_search_chooses_is_checked_in_every_arm_that_is_shown_it(lab: Workspace) -> None:
    rag = {"model": "m", "context": "retrieved", "k": 2}
    arms = {
        "rag": rag,
        "sure": {**rag, "context": "oracle"},
        "keeps": {**rag, "evidence_filter": {"by": "model", "candidates": 10}},
    }
    retrievers = {"words": {"method": "bm25"}, "varied": {"method": "mmr", "of": ["words"], "depth": 3}}
    tasks: dict[str, Any] = {"pubmedqa": {}}
    search = {"arm": "rag", "task": "pubmedqa", "retriever": ["words", "varied"], "query": ["rewrite"]}
    with pytest.raises(
        UsageError, match=r"what is chosen holds for arms.keeps: 10 passages are asked for, .* first 3 "
    ):
        experiment(lab, "", arms=arms, retrievers=retrievers, tasks=tasks, search=search)
    recorded = {**rag, "model": "e"}
    with pytest.raises(
        UsageError, match=r"what is chosen holds for arms.extract.query: 'extract:best-sentence' writes"
    ):
        experiment(
            lab, "", arms={"rag": rag, "extract": recorded}, retrievers=retrievers, tasks=tasks, search=search,
            models={"m": f"scripted:{lab.root / 'script.yaml'}", "e": "extract:best-sentence"},
        )  # fmt: skip
    made = experiment(
        lab, "", arms={"rag": rag, "sure": arms["sure"]}, retrievers=retrievers, tasks=tasks, search=search
    )
    shown = made.showing("rag", made.tried()[0]).arms
    assert (shown["rag"].query, shown["sure"].query) == ("rewrite", "question")
    assert (shown["rag"].retriever, shown["sure"].retriever) == ("words", "words")


def test_who_follows_a_search_asks_the_same_or_is_shown_what_is_right(lab: Workspace) -> None:
    rag = {"model": "m", "context": "retrieved", "k": 2}
    arms = {"rag": {**rag, "query": "keywords"}, "plain": rag}
    arms |= {context: {**rag, "context": context} for context in ("oracle", "poisoned", "distractor")}
    made = experiment(lab, "", arms=arms, comparison={"misled": [["plain", "poisoned"]]})
    assert made.following("rag") == ("rag", "oracle")
    assert made.following("plain") == ("plain", "oracle", "poisoned", "distractor")


def test_a_prompt_that_nobody_read_costs_what_its_query_took(lab: Workspace) -> None:
    run_experiment(experiment(lab, "rewrite", context_tokens=20), workspace=lab)
    samples = find_run(lab.runs, "q").samples()["rag", "pubmedqa"]
    unread = [sample for sample in samples if "the prompt has" in sample.error]
    assert unread
    for sample in unread:
        assert sample.input_tokens == sample.retrieval_input_tokens > 0
        assert sample.output_tokens == sample.retrieval_output_tokens > 0


@pytest.mark.parametrize("query", ["question", "rewrite"])
def test_what_finds_nothing_is_not_chosen_as_a_closed_book(lab: Workspace, query: str) -> None:
    questions = [
        {"id": f"q{i}", "split": "dev" if i < 4 else "test", "question": f"Zzz {i}?", "options": {"A": "1", "B": "2"},
         "answer": "A"}
        for i in range(8)
    ]  # fmt: skip
    (lab.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    (lab.root / "script.yaml").write_text("- {contains: search query, answer: qqq}\n- {default: A}\n")
    rag = {"model": "m", "context": "retrieved", "k": 2}
    made = experiment(
        lab, "", tasks={"own": {"file": "own.jsonl", "access": "open"}}, arms={"rag": rag},
        search={"arm": "rag", "task": "own", "retriever": ["words"], "query": [query], "k": [1, 2]},
    )  # fmt: skip
    with pytest.raises(
        MismatchError,
        match=f"search: 'words' asked by {query} cannot be tried on 'own': no passage was found for any of 4 questions",
    ):
        run_experiment(made, workspace=lab)
