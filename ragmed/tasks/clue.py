"""CLUE's own protocol (Dada et al., arXiv 2404.04067; its published evaluation scripts): `protocol: clue` for a task.

What it does, so that published numbers can be approached, and what the default does instead:

    few-shot examples   the first ones of the scored file, shuffled with Python's seed 1; default: a split that is not
                        scored
    MedNLI              right where the right label's word stands exactly once in the answer, whatever labels stand
                        beside it; default: an answer that names several labels is not right
    LongHealth          the letter after "The correct answer is", before a colon; default: any clear wording
    MeDiSumCode         what looks like a code in capital letters, denied or not, U codes left out; default: U codes are
                        codes, denied ones are none
    Problem Summary     ", " for ";" in the references, which changes BERTScore; `problem_f1`, which needs ";", is not
                        measured; default: references as published

Words of prompts are ragmed's own in both. What cannot be repeated: LongHealth's documents were drawn and shuffled
without a seed, prompts were cut with each model's own tokenizer, and the scripts' averages count the first sample
twice. So published runs cannot be paired with each other, nor with a run here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from ragmed.records import Example, Sample, Value
from ragmed.tasks.task import Task
from ragmed.tasks.words import PromptForm, gold_option

SEED = 1
PROBLEMS = "problem_f1"
_CHOICE = re.compile(r"The correct answer is (\w):")
_CODE = re.compile(r"\b[A-TV-Z][0-9]{2}(?:\.?[0-9A-Z]{1,4})?\b")
NOTE = (
    "{task}: protocol clue: its {shots} few-shot examples are of the file that is scored, and its parser is CLUE's; "
    "words of prompts are ragmed's. Published runs cannot be paired: LongHealth's documents were shuffled without a "
    "seed, and prompts were cut with each model's own tokenizer."
)


def shuffled(examples: Sequence[Example]) -> list[Example]:
    """The file's examples in the order in which CLUE's scripts ask them: few-shot examples first."""
    drawn = list(examples)
    random.Random(SEED).shuffle(drawn)
    return drawn


def as_scored(task: Task, examples: Sequence[Example]) -> tuple[Task, list[Example]]:
    """The task and its examples with the references that CLUE's scripts score by: problems, between commas."""
    if PROBLEMS not in task.metrics:
        return task, list(examples)
    metrics = tuple(metric for metric in task.metrics if metric != PROBLEMS)
    return replace(task, metrics=metrics), [
        replace(example, gold=str(example.gold).replace(";", ", ")) for example in examples
    ]


def read_label(sample: Sample, text: str) -> Value:
    """
    >>> nli = Example("1", "?", options={"A": "entailment", "B": "neutral"}, gold="A")
    >>> read_label(Sample("a", "mednli", nli), "Entailment, since it is neither neutral nor denied")
    'A'

    The right label's letter where its word stands exactly once, whatever stands beside it; else that of another word
    that stands once.
    """
    example = sample.example
    once = [letter for letter, label in example.options.items() if text.upper().count(label.upper()) == 1]
    return str(example.gold) if example.gold in once else next(iter(once), None)


def read_choice(sample: Sample, text: str) -> Value:
    """The letter of the first "The correct answer is X:", where there is such an option."""
    match = _CHOICE.search(text)
    return match[1] if match and match[1] in sample.example.options else None


def read_codes(sample: Sample, text: str) -> Value:
    """Whatever looks like a code, each once, in order; U codes are none."""
    return tuple(dict.fromkeys(_CODE.findall(text))) or None


def _how(example: Example) -> str:
    return 'Answer with one sentence of this form: "The correct answer is X: text", X being the letter of the option.'


def _gold(example: Example) -> str:
    return f"The correct answer is {example.gold}: {gold_option(example)}"


CHOICE = PromptForm("clue-choice", _how, _gold, "clue-choice", shows_options=True)
READERS = {"label": "clue-label", "letter": "clue-choice", "codes": "clue-codes"}
"""The reader of a form -> CLUE's; others read as ever."""
