"""Thinking and answer apart: the tags, a local model's budget, and what a sample keeps of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import OPENS, PLAIN, SWITCH, save_tiny, user

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation
from ragmed.errors import UsageError
from ragmed.evaluation import answer
from ragmed.models import ModelSettings, load_model
from ragmed.models.scripted import Entry, ScriptedModel
from ragmed.models.thinking import left_open, split_thinking, to_the_answer
from ragmed.records import Completion, Example, Sample, Score
from ragmed.scores import score_samples
from ragmed.tasks import BoundTask, Split, Task, TaskSettings
from ragmed.tasks.words import LETTER, TEXT
from ragmed.workspace import Workspace


@pytest.mark.parametrize(
    ("text", "thinking", "said"),
    [
        ("<think>a\nb</think>\n\nB", "a\nb", "B"),
        ("<Thinking> a </Thinking> B", "a", "B"),
        ("<reasoning>a</reasoning>B. <reasoning>c</reasoning>", "a\n\nc", "B."),
        ("[THINK]a[/THINK]B", "a", "B"),
        ("a, so</think>\n\nB", "a, so", "B"),
        ("<think>a</think> b </think> B", "a\n\nb", "B"),
        ("<think>a <think> b</think>B", "a <think> b", "B"),
        ("<think>a <thinking>b</thinking> c</think>B", "a <thinking>b</thinking> c", "B"),
        ("<think>a, and then", "a, and then", ""),
        ("Well. <think>a", "a", "Well."),
        ("<think>\n\n</think>\n\nB", "", "B"),
        (" B, if x < 3 ", "", " B, if x < 3 "),
        ("", "", ""),
        ("<unused94>thought\nNot A, so C?<unused95>B", "Not A, so C?", "B"),
        ("<unused94>thought\nNot A, so", "Not A, so", ""),
        ("<unused94>thoughtful<unused95>B", "thoughtful", "B"),
        ("<|channel>thought\nNot A.\n<channel|>B.", "Not A.", "B."),
        ("<|channel>thought\n<channel|>B.", "", "B."),
        ("<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>", "A?", "B"),
        (
            "<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>commentary<|message|>Hm.<|end|>"
            "<|start|>assistant<|channel|>final <|constrain|>json<|message|>B",
            "A?<|channel|>commentary<|message|>Hm.",
            "B",
        ),
        ("<|channel|>commentary to=self<|message|>A?<|channel|>final<|message|>B", "A?", "B"),
        ("<|channel|>analysis<|message|>A, and then", "A, and then", ""),
        ("<|channel|>final<|message|>B", "", "B"),
        ("analysisThe user asks. A?assistantfinalB", "The user asks. A?", "B"),
        ("analysisWe weigh A and then", "We weigh A and then", ""),
        ("assistantanalysisWe weigh A.assistantfinalB", "We weigh A.", "B"),
        ("<|channel>thought\nNot A.\n<channel|>B<turn|>", "Not A.", "B"),
        ("<unused94>thought\nNot A.<unused95>B<end_of_turn>", "Not A.", "B"),
        ("analysis of the urine: B", "", "analysis of the urine: B"),
        (
            "<seed:think>A? <seed:cot_budget_reflect>ten</seed:cot_budget_reflect></seed:think>B",
            "A? <seed:cot_budget_reflect>ten</seed:cot_budget_reflect>",
            "B",
        ),
        ("<|inner_prefix|>A?<|inner_suffix|>B", "A?", "B"),
        ("<|thinking|>A?<|/thinking|>B", "A?", "B"),
        ("<|think|>A?<|end|><|begin|>assistant<|content|>B<|end|>", "A?", "B"),
        ("<|think|>A?<|/think|>B", "A?", "B"),
        ("<longcat_think>\nA?\n</longcat_think>\nB", "A?", "B"),
        ("<mm:think>A?</mm:think>B", "A?", "B"),
        ("<|START_THINKING|>A?<|END_THINKING|><|START_RESPONSE|>B<|END_RESPONSE|>", "A?", "B"),
        ("◁think▷A?◁/think▷B", "A?", "B"),
        ("<|im_start|>think\nA?<|im_start|>answer\nB", "A?", "B"),
        ("## Thinking\n\nA?\n\n## Final Response\n\nB", "A?", "B"),
        (
            "<|begin_of_thought|>\n\nA?\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nB\n\n<|end_of_solution|>",
            "A?",
            "B",
        ),
        ("Here is my thought process:\nA?\nHere is my response:\nB", "A?", "B"),
        ("First.\n## Thinking\nB", "", "First.\n## Thinking\nB"),
    ],
)
def test_thinking_is_told_from_the_answer(text: str, thinking: str, said: str) -> None:
    assert split_thinking(text) == (thinking, said)


def test_a_prompt_that_opens_the_thinking_is_seen() -> None:
    assert left_open("<assistant><think>\n") == "<think>"
    assert left_open("<assistant><think>\n\n</think>\n\n") == left_open("say <think> first") == ""

    for opened in ("<unused94>thought\n", "<|channel>thought\n", "<seed:think>", "<|inner_prefix|>"):
        assert left_open(f"<turn>{opened}") == opened.strip()


@pytest.mark.parametrize(
    ("prompt", "added"),
    [
        ("<assistant><think>\n", "\n</think>\n\n"),
        ("<|start|>assistant", "<|channel|>final<|message|>"),
        (
            "<|start|>assistant<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
        ("<turn>model\n<|channel>thought\n", "<channel|>"),
        ("<|im_start|>assistant\n", ""),
    ],
)
def test_what_makes_the_answer_come_next(prompt: str, added: str) -> None:
    assert to_the_answer(prompt) == added
    assert left_open(prompt + added) == ""


def load(folder: Path, thinking: int, context: int = 0) -> Any:
    settings = ModelSettings(f"path:{folder}", device="cpu", thinking_tokens=thinking, context_tokens=context)
    return load_model(settings, workspace=Workspace(folder))


ASKED = [user("the fever"), user("the cough and the fever, the fever")]


def test_thinking_that_fills_its_budget_is_closed_by_force_and_the_answer_has_its_own_tokens(tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, template=OPENS), 12)
    for completion in model.generate(ASKED, max_tokens=5):
        assert completion.thinking_tokens == 12
        assert completion.thinking
        assert "</think>" not in completion.thinking + completion.text
        assert completion.output_tokens == 12 + 5
        assert completion.finish == "length"
    closing = model.tokenizer("\n</think>\n\n")["input_ids"]
    prompt = model.chat.render(ASKED[0]).removesuffix("\n</think>\n\n")
    ids = model._encode([prompt])[0]
    (thought,) = model._generator.generate([ids], max_tokens=12 - len(closing))
    (said,) = model._generator.generate([[*ids, *thought.ids, *closing]], max_tokens=5)
    assert model.generate(ASKED[:1], max_tokens=5)[0].text == said.text.lstrip()


def test_thinking_that_ends_by_itself_is_what_one_pass_would_have_written(tmp_path: Path) -> None:
    probe = load(save_tiny(tmp_path / "a", template=OPENS), 40)
    ids = probe._encode([probe._asks.render(ASKED[0])])[0]
    (free,) = probe._generator.generate([ids], max_tokens=20)
    place = next(i for i in range(3, 15) if free.ids[i] not in {*free.ids[:i], *ids})
    close = probe.tokenizer.convert_tokens_to_ids("</think>")
    model = load(save_tiny(tmp_path / "b", template=OPENS, swap=(free.ids[place], close)), 40)
    (whole,) = model._generator.generate([ids], max_tokens=place + 1 + 6)
    assert whole.ids[place] == close
    (completion,) = model.generate(ASKED[:1], max_tokens=6)
    assert completion.thinking_tokens == place + 1
    assert completion.output_tokens == place + 1 + 6
    thinking, said = whole.text.split("</think>")
    assert (completion.thinking, completion.text) == (thinking.strip(), said.lstrip())


def test_a_model_that_does_not_think_answers_within_the_answers_tokens(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, template=SWITCH)
    for budget in (10, 40):  # less than an answer may have, and more
        model = load(folder, budget)
        ids = model._encode([model._asks.render(prompt) for prompt in ASKED])
        plain = model._generator.generate(ids, max_tokens=20)
        got = model.generate(ASKED, max_tokens=20)
        assert [(c.text, c.finish, c.output_tokens) for c in got] == [(w.text, w.finish, w.tokens) for w in plain]
        assert [(c.thinking, c.thinking_tokens) for c in got] == [("", 0)] * 2


def test_without_a_budget_the_template_is_told_so_or_its_thinking_is_closed(tmp_path: Path) -> None:
    switch, opens = save_tiny(tmp_path / "a", template=SWITCH), save_tiny(tmp_path / "b", template=OPENS)
    assert load(switch, 0).chat.render(ASKED[0]).endswith("<assistant><think>\n\n</think>\n\n")
    assert load(opens, 0).chat.render(ASKED[0]).endswith("<assistant><think>\n\n</think>\n\n")
    assert load(opens, 0).fingerprint()["template_kind"] == "template, thinking closed"
    assert load(switch, 9)._asks.render(ASKED[0]).endswith("<assistant>")


def test_likelihoods_are_those_of_a_model_that_does_not_think(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, template=SWITCH)
    off, on = load(folder, 0), load(folder, 20)
    assert on.score(ASKED, [["A", "B"]] * 2) == off.score(ASKED, [["A", "B"]] * 2)
    assert set(on.fingerprint()) - set(off.fingerprint()) == {"template_thinking", "thinking_tokens"}
    assert on.count_tokens(ASKED) == off.count_tokens(ASKED)  # the longer of its two templates


CHANNELS = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"]
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    "{# <|channel|>analysis<|message|> #}"
)


def says(model: Any, text: str) -> None:
    """Makes a local model write a text, whatever it reads; it ends where it is cut."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    model._generator.generate = lambda prompts, **given: [model._generator.finished(ids, ()) for _ in prompts]


def test_thinking_that_nobody_asked_for_is_no_answer_of_a_local_model(tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, template=PLAIN), 0)
    says(model, "<unused94>thought\nthe cough? A<unused95>B")
    (completion,) = model.generate(ASKED[:1], max_tokens=60)
    assert (completion.text, completion.thinking) == ("B", "the cough? A")
    assert completion.thinking_tokens == len(model.tokenizer("the cough? A")["input_ids"])


def test_marks_that_are_special_tokens_are_not_lost_and_the_final_channel_is_opened(tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, template=HARMONY, special=CHANNELS), 0)
    assert model.chat.render(ASKED[0]).endswith("<|start|>assistant<|channel|>final<|message|>")
    assert model.chat.kind == "template, thinking closed"
    assert model.chat.closing() == "<|end|>"
    says(model, "<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>")
    (completion,) = model.generate(ASKED[:1], max_tokens=60)
    assert (completion.text, completion.thinking) == ("B", "A?")


def test_a_budget_ends_the_thinking_of_a_channel_by_force(tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, template=HARMONY, special=CHANNELS), 40)
    assert model._asks.render(ASKED[0]).endswith("<|start|>assistant")
    first = model.tokenizer("<|channel|>analysis<|message|>the fever")["input_ids"]
    real, asked = model._generator.generate, []

    def generate(prompts: Any, **given: Any) -> Any:
        asked.append(prompts)
        if len(asked) == 1:
            return [replace(model._generator.finished(first, ()), finish="length") for _ in prompts]
        return real(prompts, **given)

    model._generator.generate = generate
    (completion,) = model.generate(ASKED[:1], max_tokens=4)
    assert completion.thinking == "the fever"
    closing = model.tokenizer("<|end|><|start|>assistant<|channel|>final<|message|>")["input_ids"]
    assert asked[1][0][-len(closing) - len(first) :] == [*first, *closing]


def test_budgets_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "a", template=SWITCH)
    with pytest.raises(UsageError, match="the closing tag alone takes"):
        load(folder, 1)
    with pytest.raises(UsageError, match="knows no thinking"):
        load(save_tiny(tmp_path / "b", template=PLAIN), 20)
    with pytest.raises(UsageError, match=r"reads 256 at most"):
        load(folder, 0, context=257)
    assert load(folder, 0, context=99).context_tokens == 99
    (completion,) = load(folder, 240).generate([user("fever")], max_tokens=20)
    assert completion.finish == "error"
    assert "its answer up to 260" in completion.error


def bound(kind: Any = "choice") -> BoundTask:
    task = Task(
        name="toy", title="Toy", kind=kind, instruction="You answer.", load=lambda workspace: Split(()),
        source="here", license="none", metrics=("accuracy",), form=LETTER if kind == "choice" else TEXT,
    )  # fmt: skip
    options = {"A": "wrong", "B": "right"} if kind == "choice" else {}
    example = Example("1", "Which?", options=options, gold="B")
    return BoundTask(task, TaskSettings(scoring="generate"), (example,), ())


class Says(ScriptedModel):
    """Says one completion, whatever is asked."""

    def __init__(self, completion: Completion, thinking_tokens: int = 0) -> None:
        super().__init__("scripted:echo")
        self.completion = completion
        self.thinking_tokens = thinking_tokens

    def generate(self, prompts: Any, *, max_tokens: int, stop: Any = ()) -> list[Completion]:
        return [self.completion for _ in prompts]


def ask(model: Any, kind: str = "choice", budget: int = 1000) -> Any:
    task = bound(kind)
    return answer(Arm("a", "m"), task, task.examples, [Augmentation()], model=model, budget=budget)[0]


def scored(sample: Sample, kind: str = "choice") -> Score:
    return score_samples([sample], bound(kind).reader, ["accuracy"])[0]


def test_a_sample_keeps_the_thinking_and_reads_only_the_answer() -> None:
    said = Entry("Which", "<think>Not A. The answer is A?</think>B.")
    model = ScriptedModel("scripted:x", rule="file", entries=[said])
    sample = ask(model)
    assert (scored(sample).status, scored(sample).value, sample.completion) == ("answered", "B", "B.")
    assert (sample.thinking, sample.thinking_tokens) == ("Not A. The answer is A?", 6)


@pytest.mark.parametrize("kind", ["choice", "text"])
def test_thinking_without_an_answer(kind: str) -> None:
    cut = ask(Says(Completion("", "length", 9, 30, "", "The answer is B", 30)), kind)
    assert scored(cut, kind) == Score("1", "truncated")
    ended = ask(Says(Completion("", "stop", 9, 30, "", "The answer is B", 30)), kind)
    assert scored(ended, kind) == Score("1", "unparsed")


@pytest.mark.parametrize("kind", ["choice", "text"])
def test_a_servers_refusal_is_a_refusal(kind: str) -> None:
    sample = ask(Says(Completion("The answer is B.", "refused", 9, 3)), kind)
    assert scored(sample, kind) == Score("1", "refused")


def test_the_budget_holds_the_thinking_too_and_says_when_it_was_spent() -> None:
    said = Completion("B.", "stop", 9, 50, "", "so", 40)
    sample = ask(Says(said, thinking_tokens=40), budget=1000)
    assert (scored(sample).status, sample.note) == ("answered", "its thinking was ended at the budget of 40 tokens")
    assert ask(Says(said, thinking_tokens=41)).note == ""
    tokens = sample.input_tokens
    reserved = bound().max_tokens + 40
    assert ask(Says(said, thinking_tokens=40), budget=tokens + reserved + 50).finish == "stop"
    assert ask(Says(said, thinking_tokens=40), budget=reserved).finish == "error"


@pytest.mark.parametrize("mark", ["<think>", "</think>", "<think>A?", "<think>A?</think>B"])
def test_marks_by_the_hundred_thousand_take_no_longer_each(mark: str) -> None:
    started = time.process_time()
    thinking, answer = split_thinking(mark * 200_000)
    assert time.process_time() - started < 15  # some 1 to 3 s; what is not linear takes half a minute and more
    assert len(thinking) + len(answer) <= len(mark) * 200_000
