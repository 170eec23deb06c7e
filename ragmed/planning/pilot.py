"""A stored run in, what it tells of the one that is planned out: how often arms differ, tokens, seconds.

pilot = read_pilot(find_run(workspace.runs, "quickstart-limit-20"), experiment)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable, build_tables, total_of
from ragmed.comparison.paired import is_binary, shared
from ragmed.comparison.statistics.bootstrap import LEVEL
from ragmed.comparison.statistics.intervals import group_sums, wilson
from ragmed.comparison.statistics.resampling import Floats
from ragmed.experiments.config import Experiment
from ragmed.experiments.results import stored_answers
from ragmed.metrics import MetricFacts
from ragmed.records import Answer, Sample
from ragmed.runs import Run

SEVERAL = 10
"""Groups of more than one example that a correlation within groups is read from, at least."""


@dataclass(frozen=True, slots=True)
class PairFacts:
    """What a pilot says of one contrast by one metric. `discordance` is None where scores are graded.

    `sd`: of the paired differences. `..._ci`: 95 % (Wilson; chi-square). `icc`: how alike the differences of a group
    are, from the analysis of variance, between 0 and 1; None where fewer than SEVERAL groups have several examples.
    """

    n: int
    fixed: int = 0
    broke: int = 0
    discordance: float | None = None
    discordance_ci: tuple[float, float] | None = None
    sd: float | None = None
    sd_ci: tuple[float, float] | None = None
    icc: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Means an example of one arm on one task: tokens, seconds on the machine of the pilot, passages shown."""

    n: int
    input_tokens: float
    output_tokens: float
    thinking_tokens: float
    seconds: float
    passages: float


@dataclass(frozen=True, slots=True)
class Pilot:
    """`pairs`: (task, metric, baseline, arm) -> facts; `spent`: (arm, task) -> means; `speeds`: the name of a model ->
    tokens that it read and wrote in a second.
    """

    name: str
    pairs: Mapping[tuple[str, str, str, str], PairFacts] = field(default_factory=dict)
    spent: Mapping[tuple[str, str], Spent] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_pilot(run: Run, experiment: Experiment, pairs: Sequence[tuple[str, str]]) -> Pilot:
    """
    >>> read_pilot(run, experiment, [("general", "general+rag")]).spent["general", "medqa"].seconds  # doctest: +SKIP
    0.41

    What can be learnt for the arms and tasks of `experiment` that the run has too, asked in the same way; `notes` say
    what was set aside. Answers are scored by the policy of `experiment`.
    """
    answers, unfinished, _ = stored_answers(run)
    info = run.info()
    kept, notes = _same(answers, info["experiment"], experiment)
    metrics = {task: tuple(MetricFacts(**one) for one in record["metrics"]) for task, record in info["tasks"].items()}
    tables = build_tables(kept, experiment.comparison.policy, metrics) if kept else []
    found = {
        (table.name, metric, *pair): _facts(table, pair, metric)
        for table in tables
        for metric in table.metrics
        for pair in pairs
        if all((arm, metric) in table.columns for arm in pair)
    }
    return Pilot(
        run.name,
        {key: facts for key, facts in found.items() if facts.n},
        {key: _spent([answer.sample for answer in given]) for key, given in kept.items()},
        _speeds(answers, info["experiment"]),
        (*unfinished, *notes),
    )


_OTHERWISE = (
    "context", "index", "passage_order", "replay", "planted", "follow_up", "rerank", "evidence_filter",
    "cot", "cot_tokens", "constrained",
)  # fmt: skip
"""Settings whose change makes another arm of one: what it reads and writes is then not what was measured."""


def _same(
    answers: Mapping[tuple[str, str], Sequence[Answer]], was: Mapping[str, Any], experiment: Experiment
) -> tuple[dict[tuple[str, str], Sequence[Answer]], list[str]]:
    """The answers of arms and tasks that are planned as they were; k and budget may have been chosen since."""
    now = experiment.resolved()
    arms = [name for name in now["arms"] if name in was["arms"]]
    tasks = [name for name in now["tasks"] if name in was["tasks"]]
    notes = []
    for name in list(tasks):
        changed = _changed(was["tasks"][name], now["tasks"][name], ("file", "task", "scoring", "normalise", "options"))
        if changed:
            tasks.remove(name)
            notes.append(f"the pilot asked {name} otherwise ({', '.join(changed)}): set aside")
    for name in list(arms):
        old, new = was["arms"][name], now["arms"][name]
        changed = _changed(old, new, _OTHERWISE)
        known = _model(was, old)
        if known and known != _model(now, new):
            changed.append("model")
        if changed:
            arms.remove(name)
            notes.append(f"the pilot's arm {name} is another one ({', '.join(changed)}): set aside")
    return {(a, t): given for (a, t), given in answers.items() if a in arms and t in tasks}, notes


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key in old and key in new and old[key] != new[key]]


def _model(experiment: Mapping[str, Any], arm: Mapping[str, Any]) -> str:
    """The name of an arm's model; '' where the run does not say, as imported ones and bundles may not."""
    return str(experiment.get("models", {}).get(arm.get("model"), {}).get("name", ""))


def _facts(table: TaskTable, pair: tuple[str, str], metric: str) -> PairFacts:
    kept, scores = shared(table, pair, metric)
    if not kept:
        return PairFacts(0)
    old, new = (scores[arm] for arm in pair)
    n = len(kept)
    if table.metrics[metric].kind == "ratio":
        old, new = _pseudo_values(metric, old), _pseudo_values(metric, new)
    difference = new - old
    icc = _icc(difference, [table.groups[id_] for id_ in kept])
    if is_binary(table.metrics[metric], np.concatenate([old, new])):
        fixed, broke = int((difference > 0).sum()), int((difference < 0).sum())
        return PairFacts(n, fixed, broke, (fixed + broke) / n, wilson(fixed + broke, n), icc=icc)
    if n < 2:
        return PairFacts(n)
    sd = float(difference.std(ddof=1))
    return PairFacts(n, sd=sd, sd_ci=_sd_interval(sd, n), icc=icc)


def _pseudo_values(metric: str, counts: Floats) -> Floats:
    """[n]: what each example adds to a ratio of summed counts [n, m] (Tukey; Efron and Tibshirani 1993, section 11.5).

    Their mean is near the ratio, their spread over the square root of n is its jackknife standard error.
    """
    total, sums, n = total_of(metric), counts.sum(axis=0), len(counts)
    return np.asarray(n * total(sums) - (n - 1) * total(sums - counts), np.float64)


def _sd_interval(sd: float, n: int) -> tuple[float, float]:
    from scipy.special import chdtri

    tail = (1 - LEVEL) / 2
    low, high = float(chdtri(n - 1, tail)), float(chdtri(n - 1, 1 - tail))  # of the upper tail: the larger comes first
    return sd * math.sqrt((n - 1) / low), sd * math.sqrt((n - 1) / high)


def _icc(values: Floats, groups: Sequence[str]) -> float | None:
    """One-way analysis of variance (Donner, International Statistical Review 1986;54:67-82, section 2)."""
    sums, sizes = group_sums(values, groups)
    n, count = float(sizes.sum()), len(sizes)
    if int((sizes > 1).sum()) < SEVERAL or count < 2 or n <= count:
        return None
    between = float((sums**2 / sizes).sum() - sums.sum() ** 2 / n) / (count - 1)
    within = float((values**2).sum() - (sums**2 / sizes).sum()) / (n - count)
    typical = (n - float((sizes**2).sum()) / n) / (count - 1)
    spread = between + (typical - 1) * within
    return min(1.0, max(0.0, (between - within) / spread)) if spread > 0 else 0.0


def _spent(samples: Sequence[Sample]) -> Spent:
    n = len(samples)
    return Spent(
        n,
        sum(s.input_tokens for s in samples) / n,
        sum(s.output_tokens for s in samples) / n,
        sum(s.thinking_tokens for s in samples) / n,
        sum(s.seconds + s.retrieval_seconds for s in samples) / n,
        sum(len(s.passages) for s in samples) / n,
    )


def _speeds(answers: Mapping[tuple[str, str], Sequence[Answer]], was: Mapping[str, Any]) -> dict[str, float]:
    tokens: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for (arm, _), answered in answers.items():
        given = [answer.sample for answer in answered]
        model = _model(was, was["arms"][arm])
        tokens[model] = tokens.get(model, 0.0) + sum(s.input_tokens + s.output_tokens for s in given)
        seconds[model] = seconds.get(model, 0.0) + sum(s.seconds for s in given)
    return {m: tokens[m] / taken for m, taken in seconds.items() if m and taken > 0 and tokens[m] > 0}
