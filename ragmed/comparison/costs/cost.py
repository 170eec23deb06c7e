"""What adapters, indexes and questions took in, what tuning and retrieving cost out, and where they break even.

Tuning pays once for training, retrieving once for indexing; then each pays for every question. What nobody recorded
is unknown, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ragmed.comparison.costs.break_even import LEAST_WINDOWS, ONCE_VARIES, bounded
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.costs.rows import (
    BreakEven,
    Computing,
    Cost,
    Economics,
    Finding,
    IndexCost,
    Latency,
    Line,
    QuestionCost,
    Reach,
    SearchCost,
    TrainingCost,
)
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources
from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.records import Sample

Design = Mapping[str, str | None]
PRICED = {
    "machine_hour": "a machine hour",
    "million_input_tokens": "a million input tokens",
    "million_output_tokens": "a million output tokens",
}


def economics(
    costs: Sequence[Cost], *, sources: Mapping[str, ArmSources], settings: ComparisonSettings
) -> list[Economics]:
    """
        economics(results.costs, sources=sources, settings=settings)[0].break_even[0].questions
        # 2360

    A row for each task and tuned level of a factorial; without such, for each pair of an arm that is tuned and shown
    nothing and an untuned one that retrieves. `costs`: tokens and seconds of each arm and task, as in results.json.
    """
    found = {(row.task, row.arm): row for row in costs}
    rows = []
    for design in _designs(sources, settings):
        for task in dict.fromkeys(row.task for row in costs):
            if all((task, design[role]) in found for role in ("tuned", "retrieved")):
                each = {role: found.get((task, arm)) for role, arm in design.items() if arm is not None}
                rows.append(_row(task, design, each, sources=sources, prices=settings.prices))
    return rows


def _designs(sources: Mapping[str, ArmSources], settings: ComparisonSettings) -> list[Design]:
    tuning = [design.levels for design in settings.factorials if design.factor == "tuning"]
    if tuning:
        return [
            {"control": first.closed_book, "tuned": one.closed_book, "retrieved": first.with_passages,
             "both": one.with_passages}
            for first, *others in tuning for one in others
        ]  # fmt: skip
    tuned = [arm for arm, one in sources.items() if one.trained_on is not None and one.context == "none"]
    retrieved = [arm for arm, one in sources.items() if one.trained_on is None and one.context == "retrieved"]
    plain = sources.get(settings.baseline, ArmSources())
    control = settings.baseline if plain.trained_on is None and plain.context == "none" else None
    return [
        {"control": control, "tuned": one, "retrieved": other, "both": None} for one in tuned for other in retrieved
    ]


def _row(
    task: str, design: Design, found: Mapping[str, Cost | None], *,
    sources: Mapping[str, ArmSources], prices: Prices,
) -> Economics:  # fmt: skip
    tuned, retrieved = design["tuned"] or "", design["retrieved"] or ""
    training = training_cost(sources.get(tuned, ArmSources()).adapter)
    index = _index_cost(sources.get(retrieved, ArmSources()).index)
    each = {role: question_cost(row, prices) for role, row in found.items() if row is not None}
    sides = {
        "tuning": (training.total_seconds, each["tuned"]),
        "retrieval": (index.total_seconds, each["retrieved"]),
    }
    missing = _missing(design, training=training, index=index, each=each)
    compared = [_computing_compared(design, training, index, each)]
    if prices.by_token:
        money = {
            way: Line(None if once is None else prices.of_seconds(once), per.price, _price_reach(per, prices))
            for way, (once, per) in sides.items()
        }
        compared.append(_compared(prices.currency or "money", money, [*missing, *_unpriced(prices, money)]))
    return Economics(
        task, design["control"], tuned, retrieved, design["both"], training=training, index=index, per_question=each,
        break_even=tuple(compared), clock_unknown=tuple(missing),
    )  # fmt: skip


def _computing_compared(
    design: Design, training: TrainingCost, index: IndexCost, each: Mapping[str, QuestionCost]
) -> BreakEven:
    """The seconds of processors or of graphics cards, where all four parts were measured in the same."""
    tuned, retrieved = each["tuned"], each["retrieved"]
    parts = {
        f"what training '{design['tuned']}' took": training.total_computing,
        f"what building the index of '{design['retrieved']}' took": index.total_computing,
        f"what answering by '{design['tuned']}' took": tuned.computing,
        f"what answering by '{design['retrieved']}' took": retrieved.computing,
    }
    missing = [f"'{design[r]}' was asked no question" for r in ("tuned", "retrieved") if not each[r].n]
    missing += [f"{what} of processors or graphics cards is not recorded" for what, part in parts.items() if not part]
    kinds = {part.of for part in parts.values() if part}
    if len(kinds) > 1:
        said = ", ".join(f"{what} in {part.of}-seconds" for what, part in parts.items() if part)
        missing.append(f"it was not all measured in the same: {said}")
    known = [None if missing or not part else part.seconds for part in parts.values()]
    lines = {
        "tuning": Line(known[0], known[2], tuned.reach.computing if tuned.reach else None),
        "retrieval": Line(known[1], known[3], retrieved.reach.computing if retrieved.reach else None),
    }
    return _compared(f"{kinds.pop()}-seconds" if len(kinds) == 1 else "seconds of computing", lines, missing)


def _price_reach(per: QuestionCost, prices: Prices) -> float | None:
    """At most: as if input and output tokens varied together."""
    if per.reach is None:
        return None
    return (
        prices.million_input_tokens * per.reach.input_tokens + prices.million_output_tokens * per.reach.output_tokens
    ) / 1e6


def _compared(unit: str, lines: Mapping[str, Line], missing: Sequence[str]) -> BreakEven:
    tuning, retrieval = lines["tuning"], lines["retrieval"]
    found = bounded(tuning, retrieval)
    unknown = (*missing, *filter(None, [found.reason])) if found.outcome == "unknown" else ()
    return BreakEven(
        unit, tuning, retrieval, outcome=found.outcome, questions=found.questions, between=found.between,
        unknown=unknown,
    )  # fmt: skip


def training_cost(adapter: Mapping[str, Any] | None) -> TrainingCost:
    """
    >>> training_cost({"seconds": 90.0, "search": {"seconds": 240.0}}).search.seconds
    150.0

    What was recorded of making an adapter. A record's `search` counts all that was tried, the training that was
    chosen among it: that is `total_seconds` and `total_tokens`; what the search took beyond the chosen training stands
    under `search` (None: there was none). None where a part was not recorded.
    """
    record = adapter or {}
    tried = record.get("search")
    seconds, tokens = number(record.get("seconds")), number(record.get("tokens"))
    all_seconds = _with_search(seconds, tried, "seconds")
    all_tokens = _with_search(tokens, tried, "tokens")
    return TrainingCost(
        seconds, tokens, number(record.get("energy_joules")), str(record.get("device") or ""),
        search=SearchCost(_less(all_seconds, seconds), _less(all_tokens, tokens)) if tried else None,
        total_seconds=all_seconds, total_tokens=all_tokens, total_computing=_computing_of(tried or record, record),
    )  # fmt: skip


def _computing_of(*records: Any) -> Computing | None:
    """The most of what the records of one piece of work say, which hold one another; None where one says nothing."""
    if not all(isinstance(record, Mapping) for record in records):
        return None
    found: list[Computing] = []
    for record in records:
        gpu, cpu = (number(_entry(record, f"{kind}_seconds")) for kind in ("gpu", "cpu"))
        if gpu is None and cpu is None:
            return None
        found.append(Computing(cpu or 0.0, "CPU") if gpu is None else Computing(gpu, "GPU"))
    if len({one.of for one in found}) > 1:
        return None
    return max(found, key=lambda one: one.seconds)


def _entry(record: Any, key: str) -> Any:
    return record.get(key) if isinstance(record, Mapping) else None


def _with_search(alone: float | None, tried: Any, key: str) -> float | None:
    if not tried:
        return alone
    total = number(tried.get(key)) if isinstance(tried, Mapping) else None
    if alone is None or total is None:
        return None
    return max(total, alone)  # rounded sums may be a little less than their part


def _less(total: float | None, part: float | None) -> float | None:
    return None if total is None or part is None else total - part


def _index_cost(index: Mapping[str, Any] | None) -> IndexCost:
    """What building took, and with `total_seconds` the search for k and context budget too, where one was made."""
    record = index or {}
    seconds, search = number(record.get("seconds")), number(_entry(record.get("search"), "seconds"))
    return IndexCost(
        seconds, number(record.get("passages")), search, None if seconds is None else seconds + (search or 0.0),
        device=str(record.get("device") or ""), total_computing=_index_computing(record),
    )  # fmt: skip


def _index_computing(record: Mapping[str, Any]) -> Computing | None:
    building = None if number(record.get("taken_over")) else _computing_of(record)  # paid for another index
    if building is None or "search" not in record:
        return building
    search = _computing_of(record["search"])
    if search is None or search.of != building.of:
        return None
    return Computing(building.seconds + search.seconds, building.of)


def question_cost(row: Cost, prices: Prices) -> QuestionCost:
    """Means a question of one arm on one task; None where it was asked none."""
    if not row.n:
        return QuestionCost(0, None, None, None, None, computing=None, reach=None)
    took, found = row.computing, row.retrieval.computing
    return QuestionCost(
        row.n, row.input_tokens / row.n, row.output_tokens / row.n, row.seconds / row.n,
        price=_price(row.n, row.input_tokens, row.output_tokens, seconds=row.seconds, prices=prices),
        computing=Computing(took.seconds / row.n, took.of) if took else None, reach=row.reach,
        retrieval=Finding(row.retrieval.seconds / row.n, Computing(found.seconds / row.n, found.of) if found else None),
    )  # fmt: skip


def _price(n: int, input_tokens: int, output_tokens: int, *, seconds: float, prices: Prices) -> float | None:
    """Of one question."""
    if not prices.given:
        return None
    return prices.of_question(seconds=seconds / n, input_tokens=input_tokens / n, output_tokens=output_tokens / n)


def cost_row(
    arm: str, task: str, samples: Sequence[Sample], *, prices: Prices, memory: Mapping[str, Any] | None = None
) -> Cost:
    """
        cost_row("general", "medqa", samples, prices=Prices()).latency.p90
        # 0.41

    Sums over the samples of one arm on one task, of which there is at least one; the percentiles of how long one took,
    in seconds; what 1,000 cost. `latency_of`: `request`, each by its own time, where a server answered each, else
    `batch-mean`, each by the mean of the window it was asked in, which hides how they differ within one. `memory`: what
    the run recorded as the arm's peak, `peak_bytes`, and `of` what: `cuda`, or the whole `process`.
    """
    own = [sample.request_seconds for sample in samples if sample.request_seconds]
    timed = own or [sample.seconds for sample in samples]
    read, wrote = sum(sample.input_tokens for sample in samples), sum(sample.output_tokens for sample in samples)
    finding = float(sum(sample.retrieval_seconds for sample in samples))
    seconds = float(sum(sample.seconds for sample in samples)) + finding
    price = _price(len(samples), read, wrote, seconds=seconds, prices=prices)
    peak = number((memory or {}).get("peak_bytes"))
    return Cost(
        arm, task, read, wrote, thinking_tokens=sum(sample.thinking_tokens for sample in samples), seconds=seconds,
        n=len(samples), latency=Latency(*(_percentile(timed, share) for share in (50, 90, 99))),
        latency_of="request" if own else "batch-mean", peak_memory_bytes=peak,
        peak_memory_of=str((memory or {}).get("of", "")) if peak is not None else "",
        price_per_1000=None if price is None else 1000 * price, computing=_computing(samples),
        reach=_reach(samples), retrieval=Finding(finding, _finding(samples)),
    )  # fmt: skip


def _computing(samples: Sequence[Sample]) -> Computing | None:
    """Of all samples; None where one was not measured, or on another kind of machine."""
    return _sum([(s.cpu_seconds, s.gpu_seconds) for s in samples])


def _finding(samples: Sequence[Sample]) -> Computing | None:
    """Likewise, of finding the passages alone."""
    return _sum([(s.retrieval_cpu_seconds, s.retrieval_gpu_seconds) for s in samples])


def _sum(seconds: Sequence[tuple[float | None, float | None]]) -> Computing | None:
    """Of the CPU's and the GPU's seconds of each sample; those of one window are the same, and looked at once."""
    found = {pair: _computing_of({"cpu_seconds": pair[0], "gpu_seconds": pair[1]}) for pair in set(seconds)}
    known = {pair: one for pair, one in found.items() if one is not None}
    of = {one.of for one in known.values()}
    if len(known) < len(found) or len(of) != 1:
        return None
    return Computing(sum(known[pair].seconds for pair in seconds), of.pop())


def _reach(samples: Sequence[Sample]) -> Reach | None:
    """From the windows in which samples were asked: all of one have the same share of what it took."""
    windows = [list(same) for _, same in groupby(samples, key=lambda s: (s.seconds, s.cpu_seconds, s.gpu_seconds))]
    if len(windows) < LEAST_WINDOWS:
        return None
    took = [_computing(window) for window in windows]
    measured = _computing(samples) is not None
    return Reach(
        _half_width([one.seconds for one in took if one], windows) if measured else None,
        _half_width([float(sum(sample.input_tokens for sample in window)) for window in windows], windows),
        _half_width([float(sum(sample.output_tokens for sample in window)) for window in windows], windows),
    )


def _half_width(sums: Sequence[float], windows: Sequence[Sequence[Sample]]) -> float:
    import numpy as np

    mean = ClusterRobust.of(np.array(sums), np.array([float(len(window)) for window in windows]))
    return mean.interval[1] - mean.estimate


def _percentile(values: Sequence[float], share: int) -> float:
    """Between the two nearest values, as numpy's and R's default (Hyndman and Fan 1996, type 7)."""
    ranked = sorted(values)
    below, part = divmod((len(ranked) - 1) * share, 100)
    above = ranked[min(below + 1, len(ranked) - 1)]
    return float(ranked[below] + (above - ranked[below]) * part / 100)


def number(value: Any) -> float | None:
    """A number that can be a cost, None for everything else (absent, NaN, a text)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _missing(
    design: Design, *, training: TrainingCost, index: IndexCost, each: Mapping[str, QuestionCost]
) -> list[str]:
    found = []
    if training.seconds is None:
        found.append(f"how long training '{design['tuned']}' took is not recorded")
    elif training.total_seconds is None:
        found.append(f"how long the search for training '{design['tuned']}' took is not recorded")
    if index.seconds is None:
        found.append(f"how long building the index of '{design['retrieved']}' took is not recorded")
    found += [f"'{design[r]}' was asked no question" for r in ("tuned", "retrieved") if not each[r].n]
    return found


def _unpriced(prices: Prices, lines: Mapping[str, Line]) -> list[str]:
    if not prices.machine_hour:
        return ["a machine hour has no price"]
    return ["a kind of token has no price"] if any(line.each is None for line in lines.values()) else []


def economics_notes(rows: Sequence[Economics], prices: Prices) -> list[str]:
    """What the costs leave out, and on which machines they were measured."""
    if not rows:
        return []
    notes = [
        "Costs break even in CPU-seconds (of all threads) or GPU-seconds (for which cards were held), retrieval "
        "included, as measured on the machines named with them; other machines and batches break even elsewhere. The "
        "numbers that it lies between: by the 95 % interval of what a question costs, from how the windows of "
        f"questions differ, and by {ONCE_VARIES:.0%} either way of what was paid once, measured once. Seconds by "
        "the clock, which other work on a machine makes longer, stand beside."
    ]
    if prices.given:
        paid = "each question by its tokens, what was done once by machine hours" if prices.by_token else "by the hour"
        named = [f"{value:g} {words}" for name, words in PRICED.items() if (value := getattr(prices, name))]
        unit = f" ({prices.currency})" if prices.currency else ""
        notes.append(f"Prices{unit}: {', '.join(named)}; nothing else is priced. Paid {paid}.")
        if not prices.by_token:
            notes.append("By the hour, money breaks even where computing does.")
    return notes
