"""What needs no model: a task's examples in, the share of right answers without reading the question out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ragmed.comparison.rows import Baseline
from ragmed.metrics import METRICS, find_metric
from ragmed.metrics.gold import accepted, equal_options, right_letters
from ragmed.records import Example
from ragmed.text_table import counted, verb


def trivial_baselines(task: str, metric: str, examples: Sequence[Example]) -> tuple[list[Baseline], list[str]]:
    """
    >>> yes_or_no = Example("1", "?", options={"A": "no", "B": "yes"}, gold="B")
    >>> [(row.name, row.value) for row in trivial_baselines("medqa", "accuracy", [yes_or_no])[0]]
    [('majority', 1.0), ('longest-option', 1.0), ('shortest-option', 0.0), ('chance', 0.5)]

    Rows for results.json, and notes. `majority`: always the most frequent gold of these examples, of several accepted
    answers each counting (so it has seen the answers: an upper bound). `longest-option`, `shortest-option`: by
    characters, a tie among m shares 1 / m. `chance`: mean of 1 / number of options, times the number of those with the
    right text. The last three only where every example has options.
    """

    def row(name: str, value: float) -> Baseline:
        return Baseline(task, metric, name, value, len(examples))

    if not any(example.gold for example in examples):
        return [], [f"{task}: no baselines, because its gold answers are not in this run."]
    golds = Counter(answer for example in examples if example.gold for answer in _accepted(example))
    rows = [row("majority", max(golds.values()) / len(examples))]
    notes = equal_options(task, examples)
    with_options = [example for example in examples if example.options]
    if not with_options:
        return rows, notes
    places = [_gold_place(example) for example in with_options]
    unclear = [e.id for e, place in zip(with_options, places, strict=True) if place is None]
    if unclear or len(with_options) < len(examples):
        count = len(unclear) + len(examples) - len(with_options)
        of = f"{count} of {counted(len(examples), 'gold')} {verb(count, 'is', 'are')}"
        notes.append(f"{task}: no option baselines, {of} not among the options.")
        return rows, notes
    for name, choose in (("longest-option", max), ("shortest-option", min)):
        shares = [_share(s, place, choose) for s, place in zip(with_options, places, strict=True) if place is not None]
        rows.append(row(name, sum(shares) / len(shares)))
    shares = [len(place) / len(e.options) for e, place in zip(with_options, places, strict=True) if place is not None]
    rows.append(row("chance", sum(shares) / len(shares)))
    return rows, notes


def best_constant(task: str, metric: str, examples: Sequence[Example]) -> list[Baseline]:
    """
    >>> labels = {"A": "supported", "B": "refuted"}
    >>> claims = [Example(str(n), "?", options=labels, gold=gold) for n, gold in enumerate("AAAB")]
    >>> [(row.name, round(row.value, 3)) for row in best_constant("scifact", "macro_f1", claims)]
    [('best-constant', 0.429)]

    By a metric that is a ratio of counts: what the best of the labels would score if it were always the answer (it has
    seen the answers, as `majority` has). Nothing where examples have not all the same labels.
    """
    found = find_metric(metric) if metric in METRICS else None
    labels = examples[0].options if examples else {}
    if found is None or found.total is None or not labels or any(e.options != labels for e in examples):
        return []
    values = [float(found.total(np.sum(found.score([(e, letter) for e in examples]), axis=0))) for letter in labels]
    return [Baseline(task, metric, "best-constant", max(values), len(examples))]


def _accepted(example: Example) -> set[str]:
    return {*accepted(example.gold), *right_letters(example)}


def _gold_place(example: Example) -> set[int] | None:
    """Which options are right: the one with the gold letter and those with its text; else the one of its text."""
    gold = str(example.gold).strip()
    letters = list(example.options)
    if gold.upper() in letters:
        return {letters.index(letter) for letter in right_letters(replace(example, gold=gold.upper()))}
    texts = [option.strip().casefold() for option in example.options.values()]
    return {texts.index(gold.casefold())} if texts.count(gold.casefold()) == 1 else None


def _share(example: Example, right: set[int], choose: Callable[[list[int]], int]) -> float:
    lengths = [len(option) for option in example.options.values()]
    wanted = choose(lengths)
    return sum(lengths[place] == wanted for place in right) / lengths.count(wanted)
