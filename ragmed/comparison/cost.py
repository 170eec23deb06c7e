"""What adapters, indexes and questions took in, what tuning and retrieving cost out, and where they break even.

Tuning pays once for training, retrieving once for indexing; then each pays for every question. What nobody recorded
is unknown, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragmed.comparison.prices import Prices
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources
from ragmed.records import Sample

Row = dict[str, Any]
Outcome = Literal["after", "until", "from-the-first", "never", "equal", "unknown"]
Design = Mapping[str, str | None]
PERCENTILES = (50, 90, 99)
MEASURED = ("input_tokens", "output_tokens", "seconds")
PRICED = {
    "machine_hour": "a machine hour",
    "million_input_tokens": "a million input tokens",
    "million_output_tokens": "a million output tokens",
}


@dataclass(frozen=True, slots=True)
class Line:
    """What one way of answering costs: `once`, and `each` question. None where it is not known."""

    once: float | None
    each: float | None


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
    costs: Sequence[Mapping[str, Any]], *, sources: Mapping[str, ArmSources], settings: ComparisonSettings
) -> list[Row]:
    """
    >>> economics(results["costs"], sources=sources, settings=settings)[0]["break_even"][0]  # doctest: +SKIP
    {'unit': 'seconds', 'tuning': {...}, 'retrieval': {...}, 'outcome': 'after', 'questions': 2360, 'unknown': []}

    A row for each factorial and task; without factorials, for each pair of an arm that is tuned and shown nothing and
    an untuned one that retrieves. `costs`: tokens and seconds of each arm and task, as in results.json.
    """
    found = {(row["task"], row["arm"]): row for row in costs}
    rows = []
    for design in _designs(sources, settings):
        for task in dict.fromkeys(row["task"] for row in costs):
            if all((task, design[role]) in found for role in ("tuned", "retrieved")):
                each = {role: found.get((task, arm)) for role, arm in design.items() if arm is not None}
                rows.append(_row(task, design, each, sources=sources, prices=settings.prices))
    return rows


def _designs(sources: Mapping[str, ArmSources], settings: ComparisonSettings) -> list[Design]:
    if settings.factorials:
        return [dict(zip(("control", "tuned", "retrieved", "both"), arms)) for arms in settings.factorials]
    tuned = [arm for arm, one in sources.items() if one.learnt is not None and one.context == "none"]
    retrieved = [arm for arm, one in sources.items() if one.learnt is None and one.context == "retrieved"]
    plain = sources.get(settings.baseline, ArmSources())
    control = settings.baseline if plain.learnt is None and plain.context == "none" else None
    return [
        {"control": control, "tuned": one, "retrieved": other, "both": None} for one in tuned for other in retrieved
    ]


def _row(
    task: str, design: Design, found: Mapping[str, Mapping[str, Any] | None], *,
    sources: Mapping[str, ArmSources], prices: Prices,
) -> Row:  # fmt: skip
    training = training_cost(sources.get(design["tuned"] or "", ArmSources()).adapter)
    index = _index_cost(sources.get(design["retrieved"] or "", ArmSources()).index)
    each = {role: question_cost(row, prices) for role, row in found.items() if row is not None}
    sides = {
        "tuning": (training["total_seconds"], each["tuned"]),
        "retrieval": (index["total_seconds"], each["retrieved"]),
    }
    missing = _missing(design, training=training, index=index, each=each)
    seconds = {way: Line(once, per["seconds"]) for way, (once, per) in sides.items()}
    compared = [_compared("seconds", seconds, missing)]
    if prices.given:
        money = {
            way: Line(None if once is None else prices.of_seconds(once), per["price"])
            for way, (once, per) in sides.items()
        }
        compared.append(_compared(prices.currency or "money", money, [*missing, *_unpriced(prices, money)]))
    return {
        "task": task, **design, "training": training, "index": index, "per_question": each, "break_even": compared,
    }  # fmt: skip


def _compared(unit: str, lines: Mapping[str, Line], missing: Sequence[str]) -> Row:
    outcome, questions = break_even(lines["tuning"], lines["retrieval"])
    sides = {way: {"once": line.once, "each": line.each} for way, line in lines.items()}
    unknown = list(missing) if outcome == "unknown" else []
    return {"unit": unit, **sides, "outcome": outcome, "questions": questions, "unknown": unknown}


def training_cost(adapter: Mapping[str, Any] | None) -> Row:
    """
    >>> training_cost({"seconds": 90.0, "search": {"seconds": 240.0}})["search"]["seconds"]
    150.0

    What was recorded of making an adapter. A record's `search` counts all that was tried, the training that was
    chosen among it: that is `total_seconds` and `total_tokens`; what the search took beyond the chosen training stands
    under `search` (None: there was none). None where a part was not recorded.
    """
    record = adapter or {}
    row: Row = {key: number(record.get(key)) for key in ("seconds", "tokens", "energy_joules")}
    row |= {"device": str(record.get("device") or ""), "search": None}
    tried = record.get("search")
    if tried:
        row["search"] = {}
    for key in ("seconds", "tokens"):
        alone, total = row[key], row[key]
        if tried:
            total = number(tried.get(key)) if isinstance(tried, Mapping) else None
            known = alone is not None and total is not None
            total = max(total, alone) if known else None  # rounded sums may be a little less than their part
            row["search"][key] = total - alone if known else None
        row[f"total_{key}"] = total
    return row


def _index_cost(index: Mapping[str, Any] | None) -> Row:
    """What building took, and with `total_seconds` the search for k and context budget too, where one was made."""
    record = index or {}
    row: Row = {key: number(record.get(key)) for key in ("seconds", "passages")}
    row["search_seconds"] = number(record.get("search_seconds"))
    row["total_seconds"] = None if row["seconds"] is None else row["seconds"] + (row["search_seconds"] or 0.0)
    return row | {"device": str(record.get("device") or "")}


def question_cost(row: Mapping[str, Any], prices: Prices) -> Row:
    """Means a question of one arm on one task; None where it was asked none."""
    n = int(row["n"])
    if not n:
        return {"n": 0, **dict.fromkeys(MEASURED), "price": None}
    mean = {key: row[key] / n for key in MEASURED}
    return {"n": n, **mean, "price": prices.of_question(**mean) if prices.given else None}


def cost_row(
    arm: str, task: str, samples: Sequence[Sample], *, prices: Prices, memory: Mapping[str, Any] | None = None
) -> Row:
    """
    >>> cost_row("general", "medqa", samples, prices=Prices())["latency"]["p90"]  # doctest: +SKIP
    0.41

    Sums over the samples of one arm on one task, of which there is at least one; the percentiles of how long one took,
    in seconds; what 1,000 cost. `latency_of`: `request`, each by its own time, where a server answered each, else
    `batch-mean`, each by the mean of the window it was asked in, which hides how they differ within one. `memory`: what
    the run recorded as the arm's peak, `peak_bytes`, and `of` what: `cuda`, or the whole `process`.
    """
    own = [sample.request_seconds for sample in samples if sample.request_seconds]
    timed = own or [sample.seconds for sample in samples]
    row: Row = {
        "arm": arm,
        "task": task,
        "input_tokens": sum(sample.input_tokens for sample in samples),
        "output_tokens": sum(sample.output_tokens for sample in samples),
        "thinking_tokens": sum(sample.thinking_tokens for sample in samples),
        "seconds": float(sum(sample.seconds for sample in samples)),
        "n": len(samples),
        "latency": {f"p{share}": _percentile(timed, share) for share in PERCENTILES},
        "latency_of": "request" if own else "batch-mean",
    }
    peak = number((memory or {}).get("peak_bytes"))
    row |= {"peak_memory_bytes": peak, "peak_memory_of": str((memory or {}).get("of", "")) if peak is not None else ""}
    price = question_cost(row, prices)["price"]
    return row | {"price_per_1000": None if price is None else 1000 * price}


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


def _missing(design: Design, *, training: Row, index: Row, each: Mapping[str, Row]) -> list[str]:
    found = []
    if training["seconds"] is None:
        found.append(f"how long training '{design['tuned']}' took is not recorded")
    elif training["total_seconds"] is None:
        found.append(f"how long the search for training '{design['tuned']}' took is not recorded")
    if index["seconds"] is None:
        found.append(f"how long building the index of '{design['retrieved']}' took is not recorded")
    found += [f"'{design[r]}' was asked no question" for r in ("tuned", "retrieved") if not each[r]["n"]]
    return found


def _unpriced(prices: Prices, lines: Mapping[str, Line]) -> list[str]:
    if not prices.machine_hour:
        return ["a machine hour has no price"]
    return ["a kind of token has no price"] if any(line.each is None for line in lines.values()) else []


def economics_notes(rows: Sequence[Mapping[str, Any]], prices: Prices) -> list[str]:
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
