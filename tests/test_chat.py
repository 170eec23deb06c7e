"""What chat templates are given: the date, the form of a turn's content; and that no prompt loses its question."""

from pathlib import Path
from typing import Any

import pytest
from tiny import PLAIN, TURNS, save_tiny, user

from ragmed.errors import ModelError
from ragmed.models import load_model
from ragmed.models.chat import ChatTemplate
from ragmed.records import Message
from ragmed.workspace import Workspace

ASSISTANT = "{% if add_generation_prompt %}<assistant>{% endif %}"
PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}<end>{% endfor %}" + ASSISTANT
)
BOTH = [Message("system", "Be brief."), Message("user", "Which ward?")]


class Tokens:
    """A tokenizer as far as a chat template needs one, rendered by transformers."""

    def __init__(self, template: Any) -> None:
        from transformers import PreTrainedTokenizerFast

        self.chat_template = template
        self.special_tokens_map: dict[str, str] = {}
        self._of = PreTrainedTokenizerFast

    def get_chat_template(self, chat_template: Any = None, tools: Any = None) -> Any:
        return self._of.get_chat_template(self, chat_template, tools)

    def apply_chat_template(self, *given: Any, **named: Any) -> Any:
        return self._of.apply_chat_template(self, *given, **named)


def chat(template: Any) -> ChatTemplate:
    return ChatTemplate(Tokens(template))


def test_the_date_of_a_template_is_the_same_in_every_run() -> None:
    dated = chat("<system>Today: {{ strftime_now('%A, %d %B %Y') }} ({{ strftime_now('%-d.%-m.%y') }})<end>" + PLAIN)
    assert dated.render(BOTH).startswith("<system>Today: Friday, 26 July 2024 (26.7.24)<end><system>Be brief.<end>")
    assert (dated.date, chat(PLAIN).date) == ("2024-07-26", "")
    inside = "{% macro head() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}{{ head() }}"
    assert chat(inside + PLAIN).render(BOTH).startswith("2024-07-26<system>")
    asked = "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{{ day }}{% endif %}"
    assert chat(asked + PLAIN).render(BOTH).startswith("26 Jul 2024<system>")
    named = "{% if not date_string is defined %}{% set date_string = 'none' %}{% endif %}{{ date_string }}"
    assert chat(named + PLAIN).render(BOTH).startswith("26 Jul 2024<system>")


def test_a_template_around_the_date_prints_what_it_printed() -> None:
    for start in ("  ", "\n", "\n  {% set x = 1 %}\n", "{%- set x = 1 %}"):
        undated, dated = chat(start + PLAIN), chat(start + PLAIN + "{% if false %}{{ strftime_now('%d') }}{% endif %}")
        assert dated.render(BOTH) == undated.render(BOTH)


def test_the_date_stands_in_the_fingerprint(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, template="{{ strftime_now('%d %b %Y') }}" + PLAIN)
    model = load_model(f"path:{folder}", workspace=Workspace(tmp_path))
    assert model.fingerprint()["template_date"] == "2024-07-26"
    plain = load_model(f"path:{save_tiny(tmp_path / 'plain')}", workspace=Workspace(tmp_path))
    assert "template_date" not in plain.fingerprint()


def test_a_template_that_reads_parts_gets_parts() -> None:
    parts = chat(PARTS)
    assert parts.kind == "template, content as parts"
    assert parts.render(BOTH) == "<system>Be brief.<end><user>Which ward?<end><assistant>"
    assert parts.closing() == "<end>"
    assert parts.fingerprint() != chat(PLAIN).fingerprint()
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    assert chat(refuses + PARTS).render(BOTH) == "<user>Be brief.\n\nWhich ward?<end><assistant>"
    assert chat(refuses + PARTS).kind == "template, content as parts, system text in the first user turn"


def test_a_template_without_system_turns_prints_no_list_of_parts() -> None:
    strings = (
        "{% if messages[0].content is string and messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    )
    assert chat(strings + PLAIN).render(BOTH) == "<user>Be brief.\n\nWhich ward?<end><assistant>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<{{ m.role }}><end>{% endfor %}",
        "{% for m in messages %}{% if m.role != 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content | truncate(5) }}{% endfor %}",
        "Question: {{ question }}",
    ],
)
def test_a_template_that_loses_the_question_is_refused_when_it_is_loaded(template: str) -> None:
    with pytest.raises(
        ModelError, match=r"leaves out, changes or misplaces the user turn 'one question'.*chat_template\.jinja"
    ):
        chat(template + ASSISTANT)


def test_a_prompt_that_loses_a_turn_is_refused_by_its_words() -> None:
    cut = chat("{% for m in messages %}<{{ m.role }}>{{ m.content[:40] }}<end>{% endfor %}" + ASSISTANT)
    assert cut.render(user("Short?")) == "<user>Short?<end><assistant>"
    assert cut.render(user(" Short? \n")) == "<user> Short? \n<end><assistant>"
    with pytest.raises(ModelError, match="user turn 'Which of the wards"):
        cut.render(user("Which of the wards on the ground floor has the most beds?"))
    last = chat("{% for m in messages[-3:] %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}" + ASSISTANT)
    shots = [*BOTH, Message("assistant", "Elm."), *user("And now?")]
    with pytest.raises(ModelError, match=r"system turn 'Be brief\.'"):
        last.render(shots)


TURN = "<{{ m.role }}>{{ m.content }}<end>"
LISTED = "{% if m.role == 'user' %}{{ m.content[0].text }}{% else %}{{ m.content }}{% endif %}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages if m.role != 'assistant' %}" + TURN + "{% endfor %}",
        "{% for m in messages %}<{{ m.role }}>{{ messages[-2].content if m.role == 'assistant' else m.content }}<end>"
        "{% endfor %}",
        "{% for m in messages | reverse %}" + TURN + "{% endfor %}",
        "{% for m in messages %}<{{ m.role }}>" + LISTED + "<end>{% endfor %}",
    ],
    ids=["dropped", "the last for all", "backwards", "a list printed"],
)  # fmt: skip
def test_few_shot_examples_keep_their_answers(template: str) -> None:
    made = chat(template + ASSISTANT)
    assert "Which ward?" in made.render(BOTH)
    shots = [BOTH[0], *user("Is A right?"), Message("assistant", "A"), *user("Is B?"), Message("assistant", "B")]
    with pytest.raises(ModelError, match=r"the (assistant|user) turn '.*; mend chat_template\.jinja in its folder, or"):
        made.render([*shots, *user("Is C?")])


def test_an_answer_that_cannot_be_shown_has_its_remedy() -> None:
    drops = chat("{% for m in messages if m.role != 'assistant' %}" + TURN + "{% endfor %}" + ASSISTANT)
    with pytest.raises(ModelError, match=r"assistant turn 'A', so that .* without their answers; .* shots to 0"):
        drops.render([*user("Is A right?"), Message("assistant", "A"), *user("Is B?")])


def test_a_system_text_may_stand_in_the_last_turn() -> None:
    last = (
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}[{% if loop.last %}"
        "{{ messages[0].content }}\n{% endif %}{{ m.content }}]{% else %}{{ m.content }}<end>{% endif %}{% endfor %}"
    )
    shots = [BOTH[0], *user("Is it A?"), Message("assistant", "A"), *user("Is it B?")]
    assert chat(last).render(shots) == "[Is it A?]A<end>[Be brief.\nIs it B?]"


def test_a_token_without_a_row_of_the_embedding_is_named(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = save_tiny(tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    rows = len(tokenizer)
    tokenizer.add_tokens(["zelvarin"])
    tokenizer.save_pretrained(folder)
    model: Any = load_model(f"path:{folder}", workspace=Workspace(tmp_path))
    assert model.generate([user("Which dose?")], max_tokens=2)[0].finish != "error"  # what it can write is asked
    with pytest.raises(ModelError, match=rf"'zelvarin' as token {rows}, and its embedding has {rows} rows.*save both"):
        model.generate([user("Which dose of zelvarin?")], max_tokens=2)


def test_which_of_several_templates_is_meant() -> None:
    assert chat({"default": PLAIN, "tool_use": TURNS}).render(BOTH).endswith("<assistant>")
    with pytest.raises(ModelError, match="does not say which chat template to use"):
        chat({"one": PLAIN, "two": TURNS})
