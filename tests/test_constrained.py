from __future__ import annotations

import json

import pytest

from ragmed.arms import Arm
from ragmed.errors import UsageError
from ragmed.experiments.binding import as_asked, bind_tasks
from ragmed.experiments.config import make_experiment
from ragmed.experiments.identity import arm_identity
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.prompts import build_messages, continuations
from ragmed.records import Example
from ragmed.report.terminal import render_table
from ragmed.runs import find_run
from ragmed.scores import scored_answers
from ragmed.tasks import BoundTask, TaskSettings, find_task

FREE, HELD = {"model": "m"}, {"model": "m", "constrained": True}


def experiment(small, arms, model="", **task):
    rows = [f"q{i},Is tree {i} old?,yes{i},no{i},B" for i in range(6)]
    (small.root / "q.csv").write_text("\n".join(["id,question,A,B,answer", *rows]) + "\n")
    script = [{"regex": "tree [01] ", "answer": "That is hard to say."}, {"default": "B"}]
    (small.root / "says.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in script))
    raw = {
        "models": {"m": model or f"scripted:{small.root / 'says.jsonl'}"},
        "index": "wards",
        "tasks": {"ours": {"file": "q.csv", **task}},
        "arms": arms,
        "comparison": {"resamples": 200},
    }
    return make_experiment(raw, default_name="forms", where="config")


def test_a_constrained_arm_is_asked_in_the_same_words_and_always_answers(small):
    results = run_experiment(experiment(small, {"free": FREE, "held": HELD}), workspace=small)
    run = find_run(small.runs, "forms")
    assert run.info()["tasks"]["ours"]["readers"] == {"held": "likelihood"}
    read = scored_answers(run)
    status = {arm: [answer.score.status for answer in read[arm, "ours"]] for arm in ("free", "held")}
    assert (status["free"].count("unparsed"), status["held"]) == (2, ["answered"] * 6)
    free, held = (run.ordered_samples(arm, "ours") for arm in ("free", "held"))
    assert [sample.prompt for sample in free] == [sample.prompt for sample in held]
    assert all(sample.continuations == ("A", "B") and sample.completion is None for sample in held)
    assert ({sample.constraint for sample in free}, {sample.constraint for sample in held}) == ({""}, {"likelihood"})
    for answer in read["held", "ours"]:  # what the model would write is the most likely where it is an option
        logprobs = answer.sample.option_logprobs
        assert answer.score.value == "AB"[logprobs.index(max(logprobs))]
    assert sum(answer.score.value == "B" for answer in read["held", "ours"]) >= 4
    assert any("held: constrained, so that every answer has a valid form" in note for note in results.notes)
    assert "held: constrained" in " ".join(render_table(results).split())


def test_labels_are_scored_as_the_task_asks_for_them():
    example = Example("q1", "Does it follow?", options={"A": "entailment", "B": "neutral"}, gold="A")
    bound = BoundTask(find_task("mednli"), TaskSettings(), (example,), ())
    held = as_asked(Arm("held", "m", constrained=True), bound)
    assert continuations(held, example) == ["entailment", "neutral"]
    assert build_messages(held, example) == build_messages(bound, example)
    assert (held.needs_likelihoods, held.reader, bound.reader) == (True, "likelihood", "label")


def test_constrained_belongs_to_an_arms_identity():
    free, held = Arm("a", "m"), Arm("a", "m", constrained=True)
    assert arm_identity(free) != arm_identity(held)
    assert arm_identity(held, "json_schema") != arm_identity(held, "grammar")
    assert arm_identity(free, "json_schema") == arm_identity(free, "grammar")  # no answer of it is another one


def test_where_answers_have_no_options_it_is_refused_before_anything_is_asked(small):
    raw = {"models": {"m": "scripted:echo"}, "tasks": {"handbook-notes": {"limit": 2}}, "arms": {"held": HELD}}
    asked = make_experiment(raw, default_name="notes", where="config")
    with pytest.raises(UsageError, match="no options whose likelihood"):
        run_experiment(asked, workspace=small)
    with pytest.raises(UsageError, match="no options whose likelihood"):
        dry_run(asked, workspace=small)
    bound = bind_tasks(experiment(small, {"held": HELD}, protocol="clue"), small)["ours"]
    with pytest.raises(UsageError, match="reads what a model writes"):
        as_asked(Arm("held", "m", constrained=True), bound)


@pytest.mark.parametrize(
    ("model", "arm", "words"),
    [
        ("", {"cot": True}, "what is reasoned is written freely"),
        ({"name": "endpoint:http://127.0.0.1:1/v1#m", "constrained_by": "likelihood"}, {}, "needs tokenizer:"),
        ({"name": "chat:openai:gpt-x", "constrained_by": "grammar"}, {}, "are held by json_schema"),
        ({"name": "vllm:m", "constrained_by": "guided"}, {}, "are held by likelihood or structured_outputs"),
        ({"name": "path:m", "constrained_by": "likelihood"}, {}, "means nothing for 'path:' models"),
        ("extract:lead-3", {}, "cannot be held to a form"),
    ],
)
def test_who_cannot_be_held_to_a_form_is_refused(small, model, arm, words):
    with pytest.raises(UsageError, match=words):
        experiment(small, {"held": HELD | arm}, model)


def test_no_factorial_mixes_arms_that_are_held_in_different_ways(small):
    model = {"name": "endpoint:http://127.0.0.1:1/v1#m", "constrained_by": "grammar"}
    raw = {
        "models": {"m": model, "t": {**model, "name": "endpoint:http://127.0.0.1:1/v1#t", "base": "m"}},
        "index": "wards",
        "tasks": {"pubmedqa": {}},
        "arms": {
            name: {"model": name[0], "constrained": True, **({"context": "retrieved", "k": 1} if "+" in name else {})}
            for name in ("m", "t", "m+rag", "t+rag")
        },
    }
    (design,) = make_experiment(raw, default_name="forms", where="config").comparison.factorials
    assert design.arms == ("m", "t", "m+rag", "t+rag")
    raw["models"]["t"]["constrained_by"] = "json_schema"
    assert make_experiment(raw, default_name="forms", where="config").comparison.factorials == ()


def test_no_factorial_mixes_constrained_and_free_arms(small):
    rag = {"context": "retrieved", "k": 1}
    arms = {"held": HELD, "cot": FREE | {"cot": True}, "rag": FREE | rag, "both": FREE | rag | {"cot": True}}
    assert experiment(small, arms).comparison.factorials == ()
    (design,) = experiment(small, {"free": FREE, **arms}).comparison.factorials
    assert design.arms == ("free", "cot", "rag", "both")
