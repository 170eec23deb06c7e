"""Situations in which nothing may be concluded: whatever is missing, repeated or not what it is called, there is no
verdict, or it cannot be told."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from answers import answer, answers_of, compared, metrics_named
from click.testing import CliRunner
from ragmed.cli.main import cli, main

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.sources import ArmSources
from ragmed.errors import MismatchError
from ragmed.metrics import MetricFacts
from ragmed.records import ShownPassage
from ragmed.report.terminal import render_table
from ragmed.report.verdict import no_verdicts, sentence

CONTROL = ComparisonSettings(baseline="general", resamples=500)
N = 120
RIGHT, WRONG = [1.0] * N, [0.0] * N
HALF = [1.0, 0.0] * (N // 2)


def measured(metric):
    return {"medqa": metrics_named(metric)}


def with_some(scores, status, count, *, start=0):
    """The same scores, `count` of them in turn replaced by a status."""
    return [status if start <= place < start + count else score for place, score in enumerate(scores)]


def better(gain, base=60):
    """Two arms of which the second answers `gain` questions more."""
    return [1.0] * base + [0.0] * (N - base), [1.0] * (base + gain) + [0.0] * (N - base - gain)


TABLES = {
    # nothing came back, or too little
    "all errors in both": (["error"] * N, ["error"] * N),
    "all errors in the arm": (HALF, ["error"] * N),
    "all errors in the control": (["error"] * N, HALF),
    "118 of 120 errors in both, all else right": (with_some(RIGHT, "error", 118), with_some(RIGHT, "error", 118)),
    "half of the arm's answers are errors": (RIGHT, with_some(RIGHT, "error", 60)),
    "errors where the control is right": (HALF, ["error" if score else score for score in HALF]),
    "15 of 40 answers are missing": ([1.0] * 40, [1.0] * 25 + ["error"] * 15),
    "15 of 40 are missing, the rest is much better": ([0.0] * 40, [1.0] * 25 + ["error"] * 15),
    "7 of 120 are missing, and all else is equal": (RIGHT, with_some(RIGHT, "error", 7)),
    "7 of 120 are missing in the control": (with_some(WRONG, "error", 7), RIGHT),
    "disjoint halves came back": (with_some(RIGHT, "error", 60), with_some(RIGHT, "error", 60, start=60)),
    # enough came back, but what did not could turn the conclusion
    "better by 9, and 6 are missing": (better(9)[0], with_some(better(9)[1], "error", 6)),
    "worse by 9, and 6 are missing": (better(9)[1], with_some(better(9)[0], "error", 6, start=110)),
    "better by 9, and 6 of the control are missing": (with_some(better(9)[0], "error", 6, start=110), better(9)[1]),
    "equal, and 6 are missing": (RIGHT, with_some(RIGHT, "error", 6)),
    "equal, and 3 of each are missing": (with_some(RIGHT, "error", 3), with_some(RIGHT, "error", 3, start=60)),
    "equal, and the same 5 of both are missing": (with_some(RIGHT, "error", 5), with_some(RIGHT, "error", 5)),
    # hardly anything could be read
    "2 of 120 read in both": (with_some(RIGHT, "unparsed", 118), with_some(RIGHT, "unparsed", 118)),
    "none read in both": (["unparsed"] * N, ["unparsed"] * N),
    "none read in the arm": (HALF, ["unparsed"] * N),
    "none read in the control": (["unparsed"] * N, HALF),
    "all refused in both": (["refused"] * N, ["refused"] * N),
    "all cut off in both": (["truncated"] * N, ["truncated"] * N),
    "all refused here, all cut off there": (["refused"] * N, ["truncated"] * N),
    "59 of 120 read in the arm, all right": (RIGHT, with_some(RIGHT, "unparsed", 61)),
    "errors and unreadable ones": (with_some(with_some(HALF, "error", 60), "unparsed", 50, start=60), HALF),
    # nothing is right anywhere, as where gold answers are of another kind than what is read
    "no answer of either arm is right": (WRONG, WRONG),
    "no answer of either arm is right, half of them unreadable": (WRONG, with_some(WRONG, "unparsed", 60)),
    # too few, or too even
    "one question": ([0.0], [1.0]),
    "three questions, all better": ([0.0] * 3, [1.0] * 3),
    "five questions, all equal": ([1.0] * 5, [1.0] * 5),
    "forty questions, all equal": ([1.0, 0.0] * 20, [1.0, 0.0] * 20),
    "as many fixed as broke": (HALF, HALF[::-1]),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_no_verdict_from_a_table(name, metric):
    general, rag = TABLES[name]
    results = compared(answers_of({"general": general, "rag": rag}, metric=metric), CONTROL, metrics=measured(metric))
    (row,) = results.contrasts
    assert row.verdict in ("no-verdict", "cannot-tell")
    words = render_table(results)
    assert not any(f"medqa: {word}" in words for word in ("better", "worse", "equivalent"))
    if row.verdict == "no-verdict":
        assert no_verdicts(results)[0].split(":")[0] in words


@pytest.mark.parametrize("policy", ["wrong", "drop"])
@pytest.mark.parametrize("swapped", [False, True])
def test_no_verdict_whatever_the_policy(policy, swapped):
    settings = replace(CONTROL, policy=policy)
    for name in ("118 of 120 errors in both, all else right", "2 of 120 read in both", "all refused in both"):
        arms = TABLES[name][::-1] if swapped else TABLES[name]
        given = answers_of(dict(zip(("general", "rag"), arms, strict=True)))
        (row,) = compared(given, settings, metrics=measured("accuracy")).contrasts
        assert row.verdict == "no-verdict"


def repeated(arm, right, *, question="What now?", count=40, group=""):
    return [
        answer(f"e{i}", arm, question=question, options=("x", "y"), scores={"accuracy": right}, group=group)
        for i in range(count)
    ]


@pytest.mark.parametrize("group", ["", "mine"])
def test_one_question_under_many_ids_is_one_question(group):
    given = {("general", "medqa"): repeated("general", 0.0, group=group), ("rag", "medqa"): repeated("rag", 1.0)}
    given["rag", "medqa"] = repeated("rag", 1.0, group=group)
    results = compared(given, CONTROL)
    (row,) = results.contrasts
    assert (row.groups, row.verdict) == (1, "cannot-tell")
    assert any("ask what another one asks" in note for note in results.notes) is (group == "")


def test_equal_questions_join_declared_groups():
    def arm(name, right):
        asked = [("a", "q1"), ("a", "q2"), ("b", "q2"), ("b", "q3"), ("", "q3"), ("c", "q4")]
        return [
            answer(f"e{i}", name, question=question, group=group, scores={"accuracy": right})
            for i, (group, question) in enumerate(asked)
        ]

    given = {("general", "medqa"): arm("general", 0.0), ("rag", "medqa"): arm("rag", 1.0)}
    assert compared(given, CONTROL).contrasts[0].groups == 2


NUMBERED = {
    "numbers": lambda i: f"{i}. What now?",
    "words and numbers": lambda i: f"Question {i}: what  now",
    "brackets": lambda i: f"({i}) What now?",
    "a number behind it": lambda i: f"What now? ({i})",
    "hashes": lambda i: f"#{i} What now ?",
    "case and blanks": lambda i: "What now?".upper() if i % 2 else "What " + " " * i + "now?",
}


@pytest.mark.parametrize("form", NUMBERED)
def test_one_question_under_numbers_is_one_question(form):
    def arm(name, right):
        return [
            answer(
                f"e{i}", name, question=NUMBERED[form](i), options=("12 mg" + " " * i, "24 MG"[: 4 + i % 2]),
                scores={"accuracy": right},
            )
            for i in range(40)
        ]  # fmt: skip

    results = compared({("general", "medqa"): arm("general", 0.0), ("rag", "medqa"): arm("rag", 1.0)}, CONTROL)
    assert results.contrasts[0].verdict == "cannot-tell"
    assert results.contrasts[0].groups <= 2
    assert any("ask what another one asks" in note for note in results.notes)


def test_numbers_that_belong_to_a_question_set_it_apart():
    asked = ["2-year-old with fever?", "3-year-old with fever?", "1.5 mg?", "2.5 mg?", "E. coli?", "S. coli?", "5 HT?"]

    def arm(name):
        return [answer(f"e{i}", name, question=text) for i, text in enumerate(asked)]

    results = compared({("general", "medqa"): arm("general"), ("rag", "medqa"): arm("rag")}, CONTROL)
    assert results.contrasts[0].groups == len(asked)


def free_texts(arm, text, right, count=40):
    return [
        answer(f"e{i}", arm, gold=f"finding {i}", value=text(i), completion=text(i), scores={"accuracy": right(i)})
        for i in range(count)
    ]


PAGES = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>", "<html><body>Sign in</body></html>",
    "504 Gateway Time-out", "Error code: 429 - rate limit", '{"error": {"message": "overloaded", "type": "server"}}',
    '{"detail": "Not Found"}', "upstream connect error or disconnect/reset before headers", "HTTP/1.1 503 Unavailable",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("share", [1, 4])
def test_pages_of_a_proxy_are_no_answers(page, share):
    given = {
        ("general", "t"): free_texts("general", lambda i: f"text {i}", lambda i: 0.5),
        ("rag", "t"): free_texts("rag", lambda i: f"{page}" if i % share == 0 else f"t {i}", lambda i: i % share / 8),
    }
    results = compared(given, CONTROL)
    assert [row.verdict for row in results.contrasts] == ["no-verdict"]
    assert "of rag are no answer but the page or error of a server or proxy" in no_verdicts(results)[0]


def test_one_text_to_every_question_is_no_answer_to_any():
    given = {
        ("general", "t"): free_texts("general", lambda i: f"text {i}", lambda i: 0.9),
        ("rag", "t"): free_texts("rag", lambda i: "I am a helpful assistant.", lambda i: 0.1),
    }
    results = compared(given, CONTROL)
    assert [row.verdict for row in results.contrasts] == ["no-verdict"]
    assert (
        "40 of 40 answers of rag are the very same text, whatever was asked: 'I am a helpful assistant.'"
        in no_verdicts(results)[0]
    )


def test_one_label_for_every_note_is_a_poor_answer_and_is_judged():
    def arm(name, text, right):
        return [
            answer(
                f"e{i}", name, question=f"{i} beds?", gold="yes" if i % 5 else "no", completion=text(i),
                scores={"accuracy": right(i)},
            )
            for i in range(200)
        ]  # fmt: skip

    given = {
        ("general", "t"): arm("general", lambda i: "yes" if i % 5 else "no", lambda i: 1.0),
        ("rag", "t"): arm("rag", lambda i: "yes", lambda i: float(bool(i % 5))),
    }
    assert compared(given, CONTROL).contrasts[0].verdict == "worse"


def test_the_same_options_in_another_order_are_the_same_question():
    def arm(name, right):
        return [
            answer(f"e{i}", name, question="Which?", options=("x", "y")[:: (-1) ** i], scores={"accuracy": right})
            for i in range(30)
        ]

    given = {("general", "medqa"): arm("general", 0.0), ("rag", "medqa"): arm("rag", 1.0)}
    assert compared(given, CONTROL).contrasts[0].verdict == "cannot-tell"


@pytest.mark.parametrize("context", ["retrieved", "oracle", "distractor"])
@pytest.mark.parametrize("without", [N, 70])
@pytest.mark.parametrize("rag", [RIGHT, WRONG, HALF])
def test_an_arm_without_its_passages_is_not_judged(context, without, rag):
    given = answers_of({"general": HALF, "rag": rag})
    shown = (ShownPassage("w:a#0", "w:a"),)
    given["rag", "medqa"] = [
        one if place < without else replace(one, sample=replace(one.sample, passages=shown))
        for place, one in enumerate(given["rag", "medqa"])
    ]
    sources = {"rag": ArmSources(context=context, index={"passages": 0})}
    (row,) = compared(given, CONTROL, sources=sources).contrasts
    assert row.verdict == "no-verdict"
    assert f"rag has passages as its context ({context}), and got none in {without} of 120" in row.reason
    imported = {"rag": ArmSources(context=context)}  # nobody knows what was shown
    assert compared(given, CONTROL, sources=imported).contrasts[0].verdict != "no-verdict"


def shown_to(passages, *, index=900, context="retrieved", rag=RIGHT):
    """The verdict row of an arm that was shown `passages(i)` for the i-th question."""
    given = answers_of({"general": HALF, "rag": rag}, question="")
    given = {
        key: [
            replace(one, sample=replace(one.sample, example=replace(one.example, question=f"{i} beds?")))
            for i, one in enumerate(answers)
        ]
        for key, answers in given.items()
    }
    given["rag", "medqa"] = [
        replace(one, sample=replace(one.sample, passages=passages(i))) for i, one in enumerate(given["rag", "medqa"])
    ]
    sources = {"rag": ArmSources(context=context, index={"passages": index})}
    return compared(given, CONTROL, sources=sources).contrasts[0]


def one_passage(i=0, *, gold=None):
    return (ShownPassage(f"w:{i}#0", f"w:{i}", gold=gold),)


def test_an_arm_that_is_shown_one_passage_whatever_was_asked_is_not_judged():
    row = shown_to(lambda i: one_passage(0 if i < 115 else i))
    assert row.verdict == "no-verdict"
    assert "rag was shown the very same passages in 115 of 120 questions, whatever was asked" in row.reason
    assert shown_to(lambda i: one_passage(), index=1).verdict == "better"  # there is no other
    assert shown_to(lambda i: one_passage(i % 2)).verdict == "better"


@pytest.mark.parametrize(("context", "gold", "words"), [
    ("oracle", False, "rag is to be shown gold documents (oracle), and got others in 120 of 120 questions"),
    ("distractor", True, "rag is to be shown no gold document (distractor), and got one in 120 of 120 questions"),
])  # fmt: skip
def test_an_arm_that_is_shown_the_opposite_of_its_context_is_not_judged(context, gold, words):
    row = shown_to(lambda i: one_passage(i, gold=gold), context=context)
    assert (row.verdict, row.reason) == ("no-verdict", words)
    for said in (not gold, None):  # nobody may know what is gold
        assert shown_to(lambda i, said=said: one_passage(i, gold=said), context=context).verdict == "better"


def test_texts_that_are_another_arms_word_for_word_are_not_judged():
    def text(i):
        return f"The patient of bed {i} took {7 * i} mg twice a day and went home after {i} days without fever."

    def arms(of_rag, prompt="p-rag"):
        def arm(name, text_of, prompt_of):
            return [
                answer(
                    f"e{i}", name, question=f"{i} beds?", gold=f"bed {i}", value=text_of(i), completion=text_of(i),
                    scores={"accuracy": 0.5}, prompt=f"{prompt_of} {i}",
                )
                for i in range(N)
            ]  # fmt: skip

        given = {("general", "t"): arm("general", text, "p"), ("rag", "t"): arm("rag", of_rag, prompt)}
        return compared(given, CONTROL).contrasts[0]

    row = arms(text)
    assert row.verdict == "no-verdict"
    assert "120 of 120 texts of rag are those of general word for word, though the prompts differ" in row.reason
    assert arms(text, prompt="p").verdict == "equivalent"  # the same prompts: the same texts are to be expected
    assert arms(lambda i: text(i) if i % 2 else f"{text(i)} Then again.").verdict == "equivalent"


def test_of_scores_in_which_less_is_better_none_is_no_floor():
    facts = {"medqa": (MetricFacts("false_alarms", "binary", higher_is_better=False),)}
    given = answers_of({"general": [0.0] * 400, "rag": [0.0] * 400}, metric="false_alarms")
    assert compared(given, CONTROL, metrics=facts).contrasts[0].verdict == "equivalent"
    few = answers_of({"general": [0.0] * 20, "rag": [0.0] * 20})
    assert compared(few, CONTROL).contrasts[0].verdict == "cannot-tell"


def test_a_2x2_needs_all_four_arms():
    arms = ("general", "tuned", "rag", "both")
    design = replace(CONTROL, factorials=(arms,))
    given = answers_of(dict(zip(arms, (WRONG, RIGHT, RIGHT, with_some(RIGHT, "error", 40)), strict=True)))
    results = compared(given, design)
    (row,) = results.factorials
    assert {effect.verdict for effect in row.effects} == {"no-verdict"}
    text = render_table(results)
    assert "No verdict on medqa: 40 of 120 answers of both did not come back." in " ".join(text.split())
    assert "cannot be told" in text


def test_tasks_without_answers_are_left_out_of_what_is_said_over_all():
    given = {}
    for task, rag in (("one", RIGHT), ("two", RIGHT), ("three", with_some(RIGHT, "error", 100))):
        given |= answers_of({"general": HALF, "rag": rag}, task=task)
    results = compared(given, CONTROL)
    assert results.overall[0].tasks == ("one", "two")
    assert any("three is left out, because 100 of 120 answers of rag did not come back" in n for n in results.notes)


def test_what_did_not_come_back_is_in_no_score():
    results = compared(answers_of({"general": HALF, "rag": with_some(RIGHT, "error", 6)}), CONTROL)
    rag = results.scores[1]
    assert (rag.value, rag.n, rag.status["error"]) == (1.0, 114, 6)
    (row,) = results.contrasts
    assert (row.n, row.missing, row.verdict) == (114, 6, "better")  # clear enough, even if all six had been wrong
    assert "6 answers are missing, and interval and p hold whatever they would have been" in sentence(row)


def test_of_scores_without_a_bound_what_is_missing_could_be_anything():
    given = answers_of({"general": [1.0, 2.0] * 60, "rag": with_some([30.0, 31.0] * 60, "error", 1)}, metric="points")
    (row,) = compared(given, CONTROL, metrics=measured("points")).contrasts
    assert (row.missing, row.p, row.verdict) == (1, 1.0, "cannot-tell")


def test_bounds_reach_over_every_way_to_fill_what_is_missing():
    """Against trying: 40 random fillings of the missing answers give intervals inside, and no smaller p."""
    rng = random.Random(5)
    general = [float(rng.random() < 0.5) for _ in range(N)]
    rag = [float(rng.random() < 0.65) for _ in range(N)]
    general, rag = with_some(general, "error", 3), with_some(rag, "error", 4, start=50)
    (row,) = compared(answers_of({"general": general, "rag": rag}), CONTROL).contrasts
    assert row.missing == 7
    for _ in range(40):
        filled = [[float(rng.random() < 0.5) if s == "error" else s for s in arm] for arm in (general, rag)]
        (one,) = compared(answers_of(dict(zip(("general", "rag"), filled, strict=True))), CONTROL).contrasts
        assert row.ci[0] <= one.ci[0] + 1e-12
        assert one.ci[1] <= row.ci[1] + 1e-12
        assert one.p <= row.p + 1e-12
        assert one.equivalence.p <= row.equivalence.p + 1e-12


@pytest.mark.parametrize("policy", ["wrong", "drop"])
def test_leaving_out_what_could_not_be_read_makes_no_arm_better(policy):
    """Of the arm's answers 61 were read, all of them right; the control is at one half."""
    given = answers_of({"general": HALF, "rag": with_some(RIGHT, "unparsed", 59)})
    (row,) = compared(given, replace(CONTROL, policy=policy)).contrasts
    assert (row.verdict, row.depends) == ("cannot-tell", True)


def test_unreadable_answers_of_one_arm_make_it_worse_and_this_is_said():
    given = answers_of({"general": RIGHT, "rag": with_some(RIGHT, "unparsed", 50)})
    (row,) = compared(given, CONTROL).contrasts
    assert (row.verdict, row.depends) == ("worse", True)
    assert "this depends on what unreadable answers count as" in sentence(row)


def test_an_arm_alone_of_which_nothing_came_back(tmp_path: Path):
    results = compared(answers_of({"general": ["error"] * N}), CONTROL, metrics=measured("accuracy"))
    assert no_verdicts(results) == ["No verdict on medqa: 120 of 120 answers of general did not come back."]


def test_arms_without_a_verdict_for_one_reason_are_named_in_one_sentence():
    given = {
        "general": ["error"] * N,
        "general+rag": ["error"] * N,
        "rag": RIGHT,
        "oracle": ["error"] * (N - 1) + RIGHT[:1],
    }
    said = no_verdicts(compared(answers_of(given), CONTROL, metrics=measured("accuracy")))
    assert said == [
        "No verdict on medqa: 120 of 120 answers of each of general, general+rag did not come back.",
        "No verdict on medqa: 119 of 120 answers of oracle did not come back.",
    ]


def test_one_question_written_a_little_otherwise_is_one_question():
    words = ("What now?", "what  now", "WHAT NOW ?", "What now.")

    def arm(name, right):
        return [
            answer(f"e{i}", name, question=words[i % 4], options=("x", "y"), scores={"accuracy": right})
            for i in range(40)
        ]

    given = {("general", "medqa"): arm("general", 0.0), ("rag", "medqa"): arm("rag", 1.0)}
    (row,) = compared(given, CONTROL).contrasts
    assert (row.groups, row.verdict) == (1, "cannot-tell")


def test_equivalence_that_depends_on_what_unreadable_answers_count_as_says_so():
    given = answers_of({"general": [0.0] * 5 + ["unparsed"] * 55 + [1.0] * 60, "rag": [0.0] * 60 + [1.0] * 60})
    results = compared(given, CONTROL)
    (row,) = results.contrasts
    assert (row.verdict, row.depends) == ("cannot-tell", True)
    assert "this depends on what unreadable answers count as" in " ".join(render_table(results).split())


def own_trial(folder: Path, given: dict[str, list[str | None]]) -> Path:
    """A config with a file of questions, and what two models answered, None where an answer is not recorded."""
    lines = ["id,question,A,B,answer", *(f"q{i},Question {i}?,yes {i},no {i},A" for i in range(40))]
    (folder / "questions.csv").write_text("\n".join(lines) + "\n")
    config = {
        "name": "own",
        "models": {arm: f"recorded:{folder}/answers-{arm}.jsonl" for arm in given},
        "tasks": {"own": {"file": str(folder / "questions.csv"), "scoring": "generate"}},
        "arms": {arm: {"model": arm} for arm in given},
        "comparison": {"baseline": "general"},
    }
    for arm, texts in given.items():
        recorded = [{"task": "own", "id": f"q{i}", "text": text} for i, text in enumerate(texts) if text is not None]
        (folder / f"answers-{arm}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in recorded))
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    return folder / "own.yaml"


@pytest.mark.parametrize(
    ("rag", "code", "words"),
    [
        (["A"] * 40, 0, "better"),
        (["A"] * 25 + [None] * 15, 1, "No verdict on own: 15 of 40 answers of rag did not come back"),
        (["A"] * 10 + ["Who knows."] * 30, 1, "No verdict on own: only 10 of 40 answers of rag could be read"),
    ],
)
def test_eval_and_compare_end_with_1_where_there_is_no_verdict(
    tmp_path: Path, rag: list[str | None], code: int, words: str
) -> None:
    config = own_trial(tmp_path, {"general": ["B"] * 40, "rag": rag})
    for command in (["eval", str(config)], ["eval", str(config)], ["compare", "own"], ["compare", "own", "--json"]):
        done = CliRunner().invoke(cli, ["--root", str(tmp_path), *command])
        assert done.exit_code == code, done.output
        assert words in (done.output if "--json" not in command else words)


def test_the_console_script_ends_with_1_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = own_trial(tmp_path, {"general": ["B"] * 40, "rag": ["A"] * 25 + [None] * 15})
    monkeypatch.setattr("sys.argv", ["ragmed", "--root", str(tmp_path), "eval", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    monkeypatch.setattr("sys.argv", ["ragmed", "--root", str(tmp_path), "tasks", "list"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_recorded_answers_to_another_task_are_refused_before_anything_is_compared(tmp_path: Path) -> None:
    config = own_trial(tmp_path, {"general": ["A"] * 40, "rag": ["A"] * 40})
    file = tmp_path / "answers-rag.jsonl"
    file.write_text(file.read_text().replace('"own"', '"other"'))
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "eval", str(config)])
    assert isinstance(done.exception, MismatchError)
    assert "holds no answer to any example of task 'own' (q0, q1, q10, …), but answers to 'other' (q0, q1, q2, …)" in (
        str(done.exception)
    )
