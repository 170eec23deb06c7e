"""What answering, training and indexing took, row by row. None: nobody recorded it, or it has no price; never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["after", "until", "from-the-first", "never", "equal", "unknown"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles, in seconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Computing:
    """Seconds of `CPU` (of processors, all threads together) or `GPU` (of graphics cards), for `of`."""

    seconds: float
    of: Literal["CPU", "GPU"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Half the width of the 95 % interval of an arm's means a question, from how its windows (the questions that were
    asked together) differ. `computing` None: that was not measured.
    """

    computing: float | None
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What finding passages took: embedding the query, searching, fusing, reranking. `seconds`: by the clock."""

    seconds: float
    computing: Computing | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the `n` answers of an arm to a task took: tokens, seconds by the clock and of `computing` (retrieval
    included) in all, seconds of one (`latency`, without retrieval; of a single `request`, or the mean of a batch,
    `batch-mean`), bytes at the peak, the price of 1,000. `reach`: how far the means a question may be off; None where
    too few windows of them were asked to tell. `retrieval`: finding the passages alone; its `computing` None where they
    were found elsewhere."""

    arm: str
    task: str
    input_tokens: int
    output_tokens: int
    thinking_tokens: int
    seconds: float
    n: int
    latency: Latency
    latency_of: str
    peak_memory_bytes: float | None
    peak_memory_of: str
    price_per_1000: float | None
    computing: Computing | None
    reach: Reach | None
    retrieval: Finding


@dataclass(frozen=True, slots=True)
class SearchCost:
    """What was spent on settings that were tried and not chosen."""

    seconds: float | None
    tokens: float | None


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What the chosen training took, and with the `search` for it (None: there was none) in all."""

    seconds: float | None
    tokens: float | None
    energy_joules: float | None
    device: str
    search: SearchCost | None
    total_seconds: float | None
    total_tokens: float | None
    total_computing: Computing | None


@dataclass(frozen=True, slots=True)
class IndexCost:
    """What building took, and in all with the search for k and context budget, where one was made."""

    seconds: float | None
    passages: float | None
    search_seconds: float | None
    total_seconds: float | None
    device: str
    total_computing: Computing | None


@dataclass(frozen=True, slots=True)
class QuestionCost:
    """Means a question, of `n`; None where it was asked none. `reach`, `retrieval`: see `Cost`."""

    n: int
    input_tokens: float | None
    output_tokens: float | None
    seconds: float | None
    price: float | None
    computing: Computing | None
    reach: Reach | None
    retrieval: Finding | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What one way of answering costs: `once`, and `each` question, with the `reach` of that mean. None where it is not
    known.
    """

    once: float | None
    each: float | None
    reach: float | None = None


@dataclass(frozen=True, slots=True)
class BreakEven:
    """When tuning costs less than retrieving (see `bounded`), in CPU-seconds, GPU-seconds or money (`unit`).
    `questions`: where the two totals are equal, `between` which numbers that may lie; None where there is no such
    number. `unknown`: what is missing where it cannot be told."""

    unit: str
    tuning: Line
    retrieval: Line
    outcome: Outcome
    questions: int | None
    between: tuple[int, int] | None
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Economics:
    """What tuning and retrieving cost on a task, once and for each question of each role's arm (`per_question`).
    `clock_unknown`: what of the time by the clock is not known, without which there is no money for it.
    """

    task: str
    control: str | None
    tuned: str
    retrieved: str
    both: str | None
    training: TrainingCost
    index: IndexCost
    per_question: Mapping[str, QuestionCost]
    break_even: tuple[BreakEven, ...]
    clock_unknown: tuple[str, ...]
