"""What adapters, indexes and questions took in, what tuning and retrieving cost out, and where they break even.

Tuning pays once for training, retrieving once for indexing; then each pays for every question. What nobody recorded
is unknown, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.costs.rows import (
    BreakEven,
    Cost,
    Economics,
    IndexCost,
    Latency,
    Line,
    Outcome,
    QuestionCost,
    SearchCost,
    TrainingCost,
)
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources
from ragmed.records import Sample

Design = Mapping[str, str | None]
PRICED = {
    "machine_hour": "a machine hour",
    "million_input_tokens": "a million input tokens",
    "million_output_tokens": "a million output tokens",
}


def break_even(tuning: Line, retrieval: Line) -> tuple[Outcome, int | None]:
    """
    >>> break_even(Line(once=3600, each=0.5), Line(once=60, each=2.0))
    ('after', 2360)

    When tuning costs less in total. `after`: at and beyond so many questions; `until`: up to so many, and no longer
    beyond them; `from-the-first` question on; `never`; `equal`: both cost the same, however many; `unknown`: a part is
    missing. The number is the whole one next to where the two totals are equal.
    """
    if tuning.once is None or tuning.each is None or retrieval.once is None or retrieval.each is None:
        return "unknown", None
    once, each = tuning.once - retrieval.once, tuning.each - retrieval.each
    if once == each == 0:
        return "equal", None
    if once <= 0 and each <= 0:
        return "from-the-first", None
    if once >= 0 and each >= 0:
        return "never", None
    number = once / -each
    if not math.isfinite(number):  # a saving too small to be reached
        return ("never", None) if once > 0 else ("from-the-first", None)
    return ("after", math.ceil(number)) if once > 0 else ("until", math.floor(number))


def economics(
    costs: Sequence[Cost], *, sources: Mapping[str, ArmSources], settings: ComparisonSettings
) -> list[Economics]:
    """
        economics(results.costs, sources=sources, settings=settings)[0].break_even[0].questions
        # 2360

    A row for each factorial and task; without factorials, for each pair of an arm that is tuned and shown nothing and
    an untuned one that retrieves. `costs`: tokens and seconds of each arm and task, as in results.json.
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
    if settings.factorials:
        return [dict(zip(("control", "tuned", "retrieved", "both"), arms)) for arms in settings.factorials]
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
    seconds = {way: Line(once, per.seconds) for way, (once, per) in sides.items()}
    compared = [_compared("seconds", seconds, missing)]
    if prices.given:
        money = {
            way: Line(None if once is None else prices.of_seconds(once), per.price)
            for way, (once, per) in sides.items()
        }
        compared.append(_compared(prices.currency or "money", money, [*missing, *_unpriced(prices, money)]))
    return Economics(
        task, design["control"], tuned, retrieved, design["both"], training=training, index=index, per_question=each,
        break_even=tuple(compared),
    )  # fmt: skip


def _compared(unit: str, lines: Mapping[str, Line], missing: Sequence[str]) -> BreakEven:
    tuning, retrieval = lines["tuning"], lines["retrieval"]
    outcome, questions = break_even(tuning, retrieval)
    unknown = tuple(missing) if outcome == "unknown" else ()
    return BreakEven(unit, tuning, retrieval, outcome=outcome, questions=questions, unknown=unknown)


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
        total_seconds=all_seconds, total_tokens=all_tokens,
    )  # fmt: skip


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
    seconds, search = number(record.get("seconds")), number(record.get("search_seconds"))
    return IndexCost(
        seconds, number(record.get("passages")), search, None if seconds is None else seconds + (search or 0.0),
        device=str(record.get("device") or ""),
    )  # fmt: skip


def question_cost(row: Cost, prices: Prices) -> QuestionCost:
    """Means a question of one arm on one task; None where it was asked none."""
    return _per_question(row.n, row.input_tokens, row.output_tokens, seconds=row.seconds, prices=prices)


def _per_question(n: int, input_tokens: int, output_tokens: int, *, seconds: float, prices: Prices) -> QuestionCost:
    if not n:
        return QuestionCost(0, None, None, None, None)
    read, wrote, took = input_tokens / n, output_tokens / n, seconds / n
    price = prices.of_question(seconds=took, input_tokens=read, output_tokens=wrote) if prices.given else None
    return QuestionCost(n, read, wrote, took, price)


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
    seconds = float(sum(sample.seconds for sample in samples))
    price = _per_question(len(samples), read, wrote, seconds=seconds, prices=prices).price
    peak = number((memory or {}).get("peak_bytes"))
    return Cost(
        arm, task, read, wrote, thinking_tokens=sum(sample.thinking_tokens for sample in samples), seconds=seconds,
        n=len(samples), latency=Latency(*(_percentile(timed, share) for share in (50, 90, 99))),
        latency_of="request" if own else "batch-mean", peak_memory_bytes=peak,
        peak_memory_of=str((memory or {}).get("of", "")) if peak is not None else "",
        price_per_1000=None if price is None else 1000 * price,
    )  # fmt: skip


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
        "Seconds a question were measured in batches on the machine of this run, and without the search for passages; "
        "training and indexing on the machines named with them. Other machines and batches break even elsewhere."
    ]
    if prices.given:
        paid = "each question by its tokens, what was done once by machine hours" if prices.by_token else "by the hour"
        named = [f"{value:g} {words}" for name, words in PRICED.items() if (value := getattr(prices, name))]
        unit = f" ({prices.currency})" if prices.currency else ""
        notes.append(f"Prices{unit}: {', '.join(named)}; nothing else is priced. Paid {paid}.")
    return notes
