"""Prompt forms: how an answer is to be given, in words, and the same answer as a few-shot example gives it.

A form is what a task asks for (a letter, a label, a list, codes, JSON, free text). `version` is raised with every
change that can change a prompt in ways that the rendered text does not show; the text itself is hashed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ragmed.records import Example

LIST_SEPARATOR = "; "
ANSWER_MARK = "Answer:"
COT_VERSION = 1
"""Of how an answer after reasoning is asked for (`after_reasoning`)."""
AFTER_REASONING = "cot:"
"""Before a reader's name: it reads what stands after the mark."""
IN_JSON = "held:"
"""Before a reader's name: it reads what the JSON object holds to which an answer was held."""


@dataclass(frozen=True, slots=True)
class PromptForm:
    """
    >>> from ragmed.tasks.words import LABEL
    >>> LABEL.how(Example("q1", "?", options={"A": "yes", "B": "no"}, gold="B"))
    'Answer with one of these words only: yes, no.'

    `how`: how to answer, as a sentence of the instruction. `gold`: an example's right answer in this form. `reader`:
    the name of the reader that reads such answers (`ragmed.tasks.reading`). `shows_options`: whether the options stand
    under their letters below the question.
    """

    name: str
    how: Callable[[Example], str]
    gold: Callable[[Example], str]
    reader: str
    shows_options: bool = False
    version: int = 1


def gold_text(example: Example) -> str:
    """The gold answer as text: a list with "; " between its entries, named lists as JSON."""
    if isinstance(example.gold, str):
        return example.gold
    if isinstance(example.gold, Mapping):
        return json.dumps({name: list(entries) for name, entries in example.gold.items()}, ensure_ascii=False)
    return LIST_SEPARATOR.join(example.gold)


def gold_option(example: Example) -> str:
    """The text of the right option."""
    return example.options[str(example.gold)]


def _labels(example: Example) -> str:
    return f"Answer with one of these words only: {', '.join(example.options.values())}."


def after_reasoning(form: PromptForm) -> PromptForm:
    """
    >>> after_reasoning(NUMBER).gold(Example("q1", "?", gold="40"))
    'Answer: 40'

    A form whose answer comes after reasoning in words, behind a mark. Few-shot examples have no reasoning to show: they
    give their gold answers behind the same mark.
    """

    def how(example: Example) -> str:
        asked = (
            f'Reason step by step first. Then write "{ANSWER_MARK}" on a line of its own, and after it your answer and '
            "nothing else."
        )
        bare = form.how(example)
        return f'{asked} For what stands after "{ANSWER_MARK}" this holds: {bare}' if bare else asked

    return replace(
        form,
        name=f"{form.name} after reasoning",
        how=how,
        gold=lambda example: f"{ANSWER_MARK} {form.gold(example)}",
        reader=AFTER_REASONING + form.reader,
    )


LETTER = PromptForm(
    "letter", lambda _: "Answer with the letter of the right option only.", gold_text, "letter", shows_options=True
)
OPTION_TEXT = PromptForm("option-text", lambda _: "Answer with the right words only.", gold_option, "letter")
LABEL = PromptForm("label", _labels, gold_option, "label")
TEXT = PromptForm("text", lambda _: "", gold_text, "text")
LIST = PromptForm("list", lambda _: "Answer with a list only, its entries separated by semicolons.", gold_text, "list")
CODES = PromptForm("codes", lambda _: "Answer with the codes only, separated by semicolons.", gold_text, "codes")
JSON = PromptForm("json", lambda _: "Answer with one JSON object only.", gold_text, "json")
NUMBER = PromptForm("number", lambda _: "Answer with one number only.", gold_text, "number")
