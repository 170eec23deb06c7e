"""BLEU and chrF are sacrebleu's, to the ninth digit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from ragmed.metrics import find_metric
from ragmed.records import Example

WORDS = [
    "fever",
    "no",
    "the",
    "patient",
    "has",
    "BP",
    "<",
    "90",
    "mm/Hg",
    "β-blocker",
    "Säugling",
    ".",
    "aspirin,",
    "高血压",
]


@pytest.mark.parametrize(("name", "theirs"), [("bleu", BLEU(force=True)), ("chrf", CHRF())])
def test_a_thousand_random_corpora_are_as_sacrebleu_has_them(name, theirs):
    drawn, metric = random.Random(5), find_metric(name)

    def text(least):
        return " ".join(drawn.choices(WORDS, k=drawn.randint(least, 7)))

    seen = set()
    for _ in range(1000):
        several, size = drawn.randint(1, 2), drawn.randint(1, 4)
        golds = [tuple(text(1) for _ in range(several)) for _ in range(size)]
        answers = [drawn.choice([drawn.choice(gold), text(0), text(3)]) for gold in golds]
        batch = [(Example("e", "?", gold=gold), answer) for gold, answer in zip(golds, answers, strict=True)]
        value = float(metric.total(np.sum(metric.score(batch), axis=0)))
        expected = theirs.corpus_score(answers, [list(side) for side in zip(*golds, strict=True)]).score / 100
        assert value == pytest.approx(expected, abs=1e-9)
        seen.add(round(value, 1))
    assert len(seen) == 11  # from 0 to 1


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_what_is_no_text_is_an_empty_answer(name):
    metric, example = find_metric(name), Example("e", "?", gold="He has a fever today.")
    assert metric.score([(example, None)]) == metric.score([(example, ("I10",))]) == metric.score([(example, "")])
    whole = metric.total(np.array(metric.score([(example, "He has a fever today."), (example, None)])))
    assert whole.tolist() == pytest.approx([1.0, 0.0])
