from __future__ import annotations

import json

import pytest

from ragmed.arms import COT_TOKENS, Arm
from ragmed.errors import UnknownNameError, UsageError
from ragmed.experiments.binding import as_asked, bind_tasks
from ragmed.experiments.config import make_experiment
from ragmed.experiments.identity import arm_identity
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.prompts import build_messages
from ragmed.records import Example, Sample
from ragmed.runs import find_run
from ragmed.scores import scored_answers
from ragmed.tasks.reading import find_reader

QUESTION = Example("q1", "Which dose?", options={"A": "10 mg", "B": "40 mg", "C": "80 mg"}, gold="B")
LABELLED = Example("q1", "Does it follow?", options={"A": "entailment", "B": "neutral"}, gold="A")
FREE = Example("q1", "Which codes?", gold="I10")


def read(name, text, example, finish="stop"):
    return find_reader(name).read(Sample("m", "t", example, completion=text, finish=finish))


@pytest.mark.parametrize(
    ("name", "example", "text", "value"),
    [
        ("cot:letter", QUESTION, "A is too little, C too much.\nAnswer: B", "B"),
        ("cot:letter", QUESTION, "The answer is A? No, the kidneys are well.\n\n**Final answer:** B", "B"),
        ("cot:letter", QUESTION, "Answer: A\nWait, that is a child's dose.\nAnswer: B", "B"),
        ("cot:letter", QUESTION, "So.\nAnswer: B\n\nQuestion: Which drug?\nAnswer: C", "B"),
        ("cot:label", LABELLED, "It might be neutral, but it says so.\nAnswer: entailment", "A"),
        ("cot:text", FREE, "First the pressure.\nAnswer: high blood pressure", "high blood pressure"),
        ("cot:list", FREE, "Two things.\nAnswer: fever; cough", ("fever", "cough")),
        ("cot:codes", FREE, "E11.9 is diabetes, which he has not.\nAnswer: I10", ("I10",)),
        ("cot:number", FREE, "2 x 20 mg\nAnswer: 40", 40.0),
    ],
)
def test_the_answer_stands_behind_the_mark(name, example, text, value):
    status, found = read(name, text, example)
    assert (status, tuple(found) if isinstance(found, list) else found) == ("answered", value)


def test_a_json_object_stands_behind_the_mark():
    status, found = read("cot:json", '{"a": 1} will not do.\nAnswer: {"b": 2}', FREE)
    assert status == "answered"
    assert (json.loads(found) if isinstance(found, str) else found) == read("json", '{"b": 2}', FREE)[1]


@pytest.mark.parametrize("name", ["cot:letter", "cot:text", "cot:codes", "cot:number", "cot:list"])
def test_without_the_mark_there_is_no_answer(name):
    example = QUESTION if name == "cot:letter" else FREE
    assert read(name, "B is right, which is I10 and 40.", example) == ("unparsed", None)
    assert read(name, "B is right, which is I10 and 40, bec", example, finish="length") == ("truncated", None)


def test_answers_that_disagree_are_none():
    assert read("cot:letter", "Answer: A\nA good one.\nAnswer: B", QUESTION) == ("unparsed", None)


def test_only_readers_of_text_read_behind_the_mark():
    with pytest.raises(UnknownNameError):
        find_reader("cot:likelihood")


def experiment(small, arms, **task):
    (small.root / "q.csv").write_text(
        "id,question,A,B,answer,split\n"
        + "".join(f"q{i},Is tree {i} old?,yes{i},no{i},B,{'dev' if i > 23 else 'test'}\n" for i in range(26))
    )
    (small.root / "reasons.jsonl").write_text(
        json.dumps({"regex": "tree 7 ", "answer": "It must be B."})
        + "\n"
        + json.dumps({"default": "A is for young ones.\nAnswer: B"})
        + "\n"
    )
    raw = {
        "models": {"m": f"scripted:{small.root / 'reasons.jsonl'}"},
        "index": "wards",
        "tasks": {"ours": {"file": "q.csv", **task}},
        "arms": arms,
    }
    return make_experiment(raw, default_name="reasoning", where="config")


ARMS = {
    "plain": {"model": "m"},
    "cot": {"model": "m", "cot": True},
    "rag": {"model": "m", "context": "retrieved", "k": 1},
    "both": {"model": "m", "context": "retrieved", "k": 1, "cot": True},
}


def test_a_trial_reads_each_arm_by_its_own_reader(small):
    results = run_experiment(experiment(small, {name: ARMS[name] for name in ("plain", "cot")}), workspace=small)
    run = find_run(small.runs, "reasoning")
    assert run.info()["tasks"]["ours"]["reader"] == "letter"
    assert run.info()["tasks"]["ours"]["readers"] == {"cot": "cot:letter"}
    read = scored_answers(run)
    status = {answer.sample.example.id: answer.score.status for answer in read["cot", "ours"]}
    assert status == {f"q{i}": "unparsed" if i == 7 else "answered" for i in range(24)}
    assert all(
        answer.score.status == "answered" for answer in read["plain", "ours"] if answer.sample.example.id == "q7"
    )
    assert {row.arm: row.n for row in results.scores} == {"plain": 24, "cot": 24}
    one, other = (run.ordered_samples(arm, "ours")[0] for arm in ("plain", "cot"))
    assert one.prompt != other.prompt
    assert 'write "Answer:" on a line of its own' in other.messages[0].content
    assert "Reason step by step" not in one.messages[0].content


def test_few_shot_examples_end_in_the_mark_and_more_may_be_written(small):
    asked = experiment(small, ARMS, shots=2)
    bound = bind_tasks(asked, small)["ours"]
    reasoned = as_asked(asked.arms["cot"], bound)
    shown = [m.content for m in build_messages(reasoned, bound.examples[0]) if m.role == "assistant"]
    assert shown == ["Answer: B", "Answer: B"]
    assert [m.content for m in build_messages(bound, bound.examples[0]) if m.role == "assistant"] == ["B", "B"]
    assert reasoned.max_tokens == bound.max_tokens + COT_TOKENS
    assert as_asked(Arm("a", "m", cot=True, cot_tokens=9), bound).max_tokens == bound.max_tokens + 9
    assert as_asked(asked.arms["plain"], bound) is bound


def test_the_settings_belong_to_an_arms_identity():
    plain, cot, short = Arm("a", "m"), Arm("a", "m", cot=True), Arm("a", "m", cot=True, cot_tokens=9)
    assert arm_identity(plain) != arm_identity(cot) != arm_identity(short)


@pytest.mark.parametrize(
    ("task", "reason"),
    [({"scoring": "letters"}, "leaves the model nothing to write"), ({"protocol": "clue"}, "asks for an answer alone")],
)
def test_where_nothing_can_be_reasoned_it_is_refused(small, task, reason):
    with pytest.raises(UsageError, match=reason):
        run_experiment(experiment(small, ARMS, **task), workspace=small)
    with pytest.raises(UsageError, match=reason):
        dry_run(experiment(small, ARMS, **task), workspace=small)


def test_settings_that_mean_nothing_are_refused(small):
    with pytest.raises(UsageError, match="add cot: true"):
        experiment(small, {"a": {"model": "m", "cot_tokens": 9}})
    raw = {"models": {"m": "extract:lead-3"}, "tasks": {"ours": {"file": "q.csv"}}}
    with pytest.raises(UsageError, match="cannot reason"):
        make_experiment(raw | {"arms": {"a": {"model": "m", "cot": True}}}, default_name="x", where="config")
