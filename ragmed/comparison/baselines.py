"""What needs no model: a task's examples in, the accuracy of answering without reading the question out."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ragmed.records import Sample


def trivial_baselines(task: str, examples: Sequence[Sample]) -> tuple[list[dict[str, Any]], list[str]]:
    """
    >>> trivial_baselines("medqa", samples)[0][0]  # doctest: +SKIP
    {'task': 'medqa', 'metric': 'accuracy', 'name': 'majority', 'value': 0.27, 'n': 1273}

    Rows for results.json, and notes. `majority`: always the most frequent gold of these examples (so it has seen the
    answers: an upper bound). `longest-option`, `shortest-option`: by characters, a tie among m shares 1 / m.
    `chance`: mean of 1 / number of options. The last three only where every example has options.
    """

    def row(name: str, value: float) -> dict[str, Any]:
        return {"task": task, "metric": "accuracy", "name": name, "value": value, "n": len(examples)}

    if not any(sample.gold for sample in examples):
        return [], [f"{task}: no baselines, because its gold answers are not in this run."]
    most_common = Counter(sample.gold for sample in examples).most_common(1)[0][1]
    rows = [row("majority", most_common / len(examples))]
    notes: list[str] = []
    with_options = [sample for sample in examples if sample.options]
    if not with_options:
        return rows, notes
    places = [_gold_place(sample) for sample in with_options]
    unclear = [s.example for s, place in zip(with_options, places, strict=True) if place is None]
    if unclear or len(with_options) < len(examples):
        count = len(unclear) + len(examples) - len(with_options)
        notes.append(f"{task}: no option baselines, {count} of {len(examples)} golds are not among the options.")
        return rows, notes
    for name, choose in (("longest-option", max), ("shortest-option", min)):
        shares = [_share(s, place, choose) for s, place in zip(with_options, places, strict=True) if place is not None]
        rows.append(row(name, sum(shares) / len(shares)))
    rows.append(row("chance", sum(1 / len(sample.options) for sample in examples) / len(examples)))
    return rows, notes


def _gold_place(sample: Sample) -> int | None:
    """Which option is the gold one: by its letter, else by its text."""
    letters = string.ascii_uppercase[: len(sample.options)]
    gold = sample.gold.strip()
    if len(gold) == 1 and gold.upper() in letters:
        return letters.index(gold.upper())
    texts = [option.strip().casefold() for option in sample.options]
    return texts.index(gold.casefold()) if texts.count(gold.casefold()) == 1 else None


def _share(sample: Sample, gold: int, choose: Callable[[list[int]], int]) -> float:
    lengths = [len(option) for option in sample.options]
    wanted = choose(lengths)
    return 1 / lengths.count(wanted) if lengths[gold] == wanted else 0.0
