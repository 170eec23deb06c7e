from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest
from answers import answer, compared
from pages import plain

from ragmed.checked import dump
from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.costs.break_even import bounded, break_even
from ragmed.comparison.costs.cost import cost_row, economics, question_cost, training_cost
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.costs.rows import (
    BreakEven,
    Computing,
    Finding,
    Latency,
    Line,
    QuestionCost,
    Reach,
    SearchCost,
)
from ragmed.comparison.sources import ArmSources
from ragmed.errors import UsageError
from ragmed.records import Example, Sample
from ragmed.report.effects import break_even as in_words
from ragmed.report.effects import duration
from ragmed.report.page import render_page
from ragmed.report.terminal import render_table

ARMS = ("general", "tuned", "rag", "both")
CORPUS = frozenset({("wards", "aa")})


@pytest.mark.parametrize(
    ("tuning", "retrieval", "expected"),
    [
        (Line(3600, 0.5), Line(60, 2.0), ("after", 2360)),
        (Line(100, 1.0), Line(0, 4.0), ("after", 34)),  # 33 questions: 133 against 132
        (Line(10, 5.0), Line(100, 2.0), ("until", 30)),
        (Line(10, 5.0), Line(101, 2.0), ("until", 30)),  # 30 questions: 160 against 161
        (Line(10, 1.0), Line(60, 2.0), ("from-the-first", None)),
        (Line(60, 1.0), Line(60, 2.0), ("from-the-first", None)),
        (Line(10, 2.0), Line(60, 2.0), ("from-the-first", None)),
        (Line(100, 3.0), Line(60, 2.0), ("never", None)),
        (Line(100, 2.0), Line(60, 2.0), ("never", None)),
        (Line(60, 3.0), Line(60, 2.0), ("never", None)),
        (Line(60, 2.0), Line(60, 2.0), ("equal", None)),
        (Line(0, 0), Line(0, 0), ("equal", None)),
        (Line(1e300, 0.0), Line(0, 5e-324), ("never", None)),
        (Line(None, 1.0), Line(60, 2.0), ("unknown", None)),
        (Line(1, 1.0), Line(60, None), ("unknown", None)),
    ],
)
def test_when_tuning_costs_less(tuning, retrieval, expected):
    assert break_even(tuning, retrieval) == expected


@pytest.mark.parametrize(
    ("tuning", "retrieval", "expected"),
    [
        (Line(3600, 0.5, 0.0), Line(60, 2.0, 0.0), ("after", 2360, (1750, 2970))),  # 2,625 to 4,455 over 1.5
        (Line(3600, 0.5, 0.3), Line(60, 2.0, 0.4), ("after", 2360, (1313, 4455))),  # over 1.5 -+ 0.5
        (Line(60, 2.0, 0.3), Line(3600, 0.5, 0.4), ("until", 2360, (1312, 4455))),
        (Line(10, 1.0, 0.1), Line(60, 2.0, 0.1), ("from-the-first", None, None)),
        (Line(60, 2.0, 0.1), Line(10, 1.0, 0.1), ("never", None, None)),
        (Line(60, 2.0), Line(60, 2.0), ("equal", None, None)),
    ],
)
def test_a_break_even_comes_with_the_numbers_that_it_may_lie_between(tuning, retrieval, expected):
    found = bounded(tuning, retrieval)
    assert (found.outcome, found.questions, found.between) == expected


@pytest.mark.parametrize(
    ("tuning", "retrieval", "reason"),
    [
        (Line(3600, 0.5), Line(60, 2.0, 0.1), "needs 3 windows"),
        (Line(3600, 1.9, 0.1), Line(60, 2.0, 0.1), "what a question costs differs by no more than it varies"),
        (Line(100, 1.0, 0.1), Line(70, 2.0, 0.1), "what was paid once differs by no more"),
        (Line(70, 1.0, 0.1), Line(100, 2.0, 0.1), "what was paid once differs by no more"),
        (Line(3600, 2.0, 0.1), Line(60, 2.0, 0.1), "what a question costs differs by no more than it varies"),
    ],
)
def test_what_may_as_well_be_the_other_way_is_no_break_even(tuning, retrieval, reason):
    found = bounded(tuning, retrieval)
    assert (found.outcome, found.questions, found.between) == ("unknown", None, None)
    assert reason in found.reason


def test_slow_clocks_leave_the_break_even_where_it_is():
    """The same work beside another's takes longer by the clock, not more of the processors."""
    loaded = [replace(row, seconds=20 * row.seconds) for row in costs()]
    tuned = replace(SOURCES["tuned"], adapter={**SOURCES["tuned"].adapter, "seconds": 5000})
    (quiet,) = economics(costs(), sources=SOURCES, settings=priced())
    (busy,) = economics(loaded, sources=SOURCES | {"tuned": tuned}, settings=priced())
    assert busy.per_question["retrieved"].seconds == 60.0
    assert busy.break_even == quiet.break_even


def test_the_reach_of_a_mean_comes_from_windows():
    """Means of 1, 2 and 3 seconds a question in three windows: 2 -+ t(0.975; 2) * 1 / sqrt(3)."""
    windows = [
        Sample("a", "t", Example(f"e{w}{i}", ""), seconds=w, cpu_seconds=float(w), input_tokens=100, output_tokens=w)
        for w in (1, 2, 3)
        for i in range(4)
    ]
    row = cost_row("a", "t", windows, prices=Prices())
    assert row.computing == Computing(24.0, "CPU")
    assert row.reach == Reach(pytest.approx(4.30265 / 3**0.5, rel=1e-5), 0.0, pytest.approx(4.30265 / 3**0.5, rel=1e-5))
    assert cost_row("a", "t", windows[:8], prices=Prices()).reach is None
    cards = [replace(sample, gpu_seconds=sample.seconds) for sample in windows]
    assert cost_row("a", "t", cards, prices=Prices()).computing == Computing(24.0, "GPU")
    assert cost_row("a", "t", [*windows, *cards], prices=Prices()).computing is None
    unknown = [replace(windows[0], cpu_seconds=None), *windows[1:]]
    assert cost_row("a", "t", unknown, prices=Prices()).computing is None
    assert cost_row("a", "t", unknown, prices=Prices()).reach.computing is None


def test_every_outcome_in_words():
    said = {
        outcome: in_words(BreakEven("EUR", Line(1, 1), Line(1, 1), outcome, 2360, (1750, 2970), ("nobody knows",)))
        for outcome in ("after", "until", "from-the-first", "never", "equal", "unknown")
    }
    assert said == {
        "after": "in EUR, tuning costs less than retrieving from about 2,360 (1,750 to 2,970) questions on",
        "until": "in EUR, tuning costs less than retrieving up to about 2,360 (1,750 to 2,970) questions, "
        "and more beyond",
        "from-the-first": "in EUR, tuning costs less than retrieving from the first question on",
        "never": "in EUR, tuning never costs less than retrieving",
        "equal": "in EUR, tuning and retrieving cost the same",
        "unknown": "in EUR, the break-even is unknown: nobody knows",
    }
    assert [duration(x) for x in (0.0, 59.0, 60.0, 7200.0, None)] == ["0.0 s", "59.0 s", "1.0 min", "2.0 h", "unknown"]


def test_prices_of_machines_and_tokens():
    hour = Prices("EUR", machine_hour=1.8)
    assert hour.of_seconds(600) == pytest.approx(0.3)
    assert hour.of_question(seconds=2, input_tokens=900, output_tokens=5) == pytest.approx(0.001)
    tokens = Prices("EUR", machine_hour=1.8, million_input_tokens=2.0, million_output_tokens=10.0)
    assert tokens.of_question(seconds=2, input_tokens=900, output_tokens=5) == pytest.approx(0.00185)
    half = Prices(million_input_tokens=2.0)
    assert half.of_question(seconds=2, input_tokens=900, output_tokens=5) is None
    assert half.of_question(seconds=2, input_tokens=900, output_tokens=0) == pytest.approx(0.0018)
    assert half.of_seconds(3600) is None
    assert (Prices().given, hour.given, half.given) == (False, True, True)


def test_prices_are_plain_values_and_the_first_ones_hold():
    stored = Prices("EUR", machine_hour=1.0, million_input_tokens=3.0)
    assert Prices(**json.loads(json.dumps(dataclasses.asdict(stored)))) == stored
    assert Prices(machine_hour=2.0).over(stored) == Prices("EUR", 2.0, 3.0, 0.0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "1", True])
def test_prices_that_are_none_are_refused(value):
    with pytest.raises(UsageError, match="machine_hour"):
        Prices(machine_hour=value)


def test_the_search_is_counted_once_and_stated_apart():
    record = {"seconds": 90.0, "tokens": 4096, "device": "cpu", "search": {"seconds": 240.5, "tokens": 8192}}
    cost = training_cost(record)
    assert (cost.seconds, cost.total_seconds, cost.total_tokens) == (90.0, 240.5, 8192)
    assert cost.search == SearchCost(seconds=150.5, tokens=4096)
    assert training_cost({**record, "search": None}).total_seconds == 90.0
    assert training_cost({**record, "search": {"seconds": 89.9, "tokens": 4096}}).search.seconds == 0.0
    assert training_cost({**record, "search": {"chosen": 1}}).total_seconds is None
    assert training_cost(None).total_seconds is None
    assert training_cost({"seconds": float("nan")}).seconds is None


def spent(arm, *, n, tokens, seconds):
    """What an arm took for each of `n` questions of one task."""
    row = cost_row(arm, "medqa", timed([1.0]), prices=Prices())
    return replace(
        row, n=n, input_tokens=tokens * n, output_tokens=5 * n, seconds=seconds * n,
        computing=Computing(2 * seconds * n, "CPU"), reach=Reach(0.0, 0.0, 0.0),
    )  # fmt: skip


def test_no_question_has_no_cost():
    row = spent("rag", n=0, tokens=0, seconds=0.0)
    none = QuestionCost(0, None, None, None, None, computing=None, reach=None)
    assert question_cost(row, Prices(machine_hour=1.0)) == none


def costs(n=10):
    each = {"general": (80, 1.0), "tuned": (80, 1.0), "rag": (900, 3.0), "both": (900, 3.0)}
    return [spent(arm, n=n, tokens=tokens, seconds=seconds) for arm, (tokens, seconds) in each.items()]


TOKENS = Prices("EUR", 3.6, million_input_tokens=1.0, million_output_tokens=2.0)
SOURCES = {
    "general": ArmSources(),
    "tuned": ArmSources(
        trained_on=CORPUS,
        adapter={
            "seconds": 90.0,
            "cpu_seconds": 180.0,
            "tokens": 1,
            "search": {"seconds": 120.0, "cpu_seconds": 240.0, "tokens": 2},
        },
    ),
    "rag": ArmSources(shown=CORPUS, context="retrieved", index={"seconds": 20.0, "cpu_seconds": 40.0, "passages": 12}),
    "both": ArmSources(trained_on=CORPUS, shown=CORPUS, context="retrieved"),
}


def priced(prices=None, **said):
    return ComparisonSettings(baseline="general", prices=prices or Prices(), **said)


def test_the_economics_of_a_factorial():
    (row,) = economics(costs(), sources=SOURCES, settings=priced(Prices("EUR", 3.6), factorials=(ARMS,)))
    assert (row.task, row.control, row.tuned, row.retrieved, row.both) == ("medqa", *ARMS)
    assert row.per_question["both"] == QuestionCost(
        10, 900.0, 5.0, 3.0, pytest.approx(0.003), computing=Computing(6.0, "CPU"), reach=Reach(0.0, 0.0, 0.0),
        retrieval=Finding(0.0, None),
    )  # fmt: skip
    (computing,) = row.break_even  # by the hour, money breaks even where computing does
    assert computing == BreakEven(
        "CPU-seconds", tuning=Line(240.0, 2.0, 0.0), retrieval=Line(40.0, 6.0, 0.0), outcome="after", questions=50,
        between=(33, 68), unknown=(),
    )  # fmt: skip


def test_tokens_that_are_paid_are_not_paid_by_the_hour_as_well():
    prices = Prices("EUR", 3.6, million_input_tokens=1.0, million_output_tokens=2.0)
    (row,) = economics(costs(), sources=SOURCES, settings=priced(prices, factorials=(ARMS,)))
    assert row.break_even[1].retrieval == Line(pytest.approx(0.02), pytest.approx(0.00091), 0.0)
    assert (row.break_even[1].outcome, row.break_even[1].questions) == ("after", 122)
    assert row.break_even[1].between == (80, 165)  # (0.12 * 0.75 - 0.02 * 1.25) / 0.00082, and the other way


@pytest.mark.parametrize(
    ("sources", "prices", "n", "unknown"),
    [
        ({"tuned": ArmSources(trained_on=CORPUS)}, Prices(), 10, "what training 'tuned' took of processors or"),
        ({"rag": ArmSources(shown=CORPUS)}, Prices(), 10, "what building the index of 'rag' took of"),
        ({"tuned": ArmSources(adapter={"seconds": 1, "cpu_seconds": 2, "search": {"x": 1}})}, Prices(), 10, "what "),
        ({"rag": ArmSources(index={"cpu_seconds": 2, "gpu_seconds": 2})}, Prices(), 10, "it was not all"),
        ({"rag": ArmSources(index={"cpu_seconds": 2, "taken_over": 3})}, Prices(), 10, "what building"),
        ({"rag": ArmSources(index={"cpu_seconds": 2, "search": {}})}, Prices(), 10, "what building"),
        ({"tuned": ArmSources(trained_on=CORPUS)}, TOKENS, 10, "how long training 'tuned' took is not recorded"),
        ({"rag": ArmSources(shown=CORPUS)}, TOKENS, 10, "how long building the index of 'rag' took is not recorded"),
        ({"tuned": ArmSources(adapter={"seconds": 1, "search": {"x": 1}})}, TOKENS, 10, "how long the search for"),
        ({}, Prices(), 0, "'tuned' was asked no question"),
        ({}, Prices(million_input_tokens=1.0, million_output_tokens=1.0), 10, "a machine hour has no price"),
        ({}, Prices(machine_hour=1.0, million_input_tokens=1.0), 10, "a kind of token has no price"),
    ],
)
def test_what_is_not_known_is_said_and_is_no_zero(sources, prices, n, unknown):
    settings = priced(prices, factorials=(ARMS,))
    (row,) = economics(costs(n), sources=SOURCES | sources, settings=settings)
    last = row.break_even[-1]
    assert (last.outcome, last.questions) == ("unknown", None)
    assert last.unknown[0].startswith(unknown)
    json.dumps(dump(row), allow_nan=False)


def test_without_a_factorial_every_tuned_arm_meets_every_retrieving_one():
    (row,) = economics(costs(), sources=SOURCES, settings=priced())
    assert (row.control, row.tuned, row.retrieved, row.both) == ("general", "tuned", "rag", None)
    assert list(row.per_question) == ["control", "tuned", "retrieved"]
    assert economics(costs(), sources={}, settings=priced()) == []


def samples():
    seconds = {"general": 1.0, "tuned": 1.0, "rag": 3.0, "both": 3.0}
    finding = {"general": 0.0, "tuned": 0.0, "rag": 0.5, "both": 0.5}
    return {
        (arm, "medqa"): [
            answer(
                f"e{i}",
                arm,
                input_tokens=80,
                seconds=seconds[arm] + i / 1000,
                cpu_seconds=2 * seconds[arm],
                retrieval_seconds=finding[arm],
                retrieval_cpu_seconds=finding[arm] / 2,
            )
            for i in range(4)
        ]
        for arm, each in seconds.items()
    }


def test_the_page_and_the_table_say_what_it_cost():
    settings = priced(Prices("EUR", 3.6), factorials=(ARMS,), resamples=200)
    results = compared(samples(), settings, sources=SOURCES)
    page = plain(render_page(results, run_info={}))
    assert "In CPU-seconds, tuning costs less than retrieving from about 50 (33 to 68) questions on ." in page
    assert "Paid once: training 4.0 min of CPU, indexing 40.0 s of CPU (searches for settings included). " in page
    assert (
        "By the clock: training 1.5 min, 1 tokens, and the search that chose it 30.0 s, 1 tokens more (together "
        "2.0 min); indexing 20.0 s, 12 passages."
    ) in page
    assert "| retrieved | rag | 80.0 | 0.0 | 6.0000 CPU, ±0.0000 | 0.2500 CPU | 3.5015 | 3.5015 |" in page
    assert "| control | general | 80.0 | 0.0 | 2.0000 CPU, ±0.0000 | - | 1.0015 | 1.0015 |" in page
    assert "| rag | 320 | 80.0 | 0 | 14.0 | 0.2500 CPU |" in page
    table = " ".join(render_table(results).split())
    assert "cost of tuned and rag: in CPU-seconds, tuning costs less than retrieving from about 50 (33 to 68) " in table
    assert "Costs break even in CPU-seconds (of all threads) or GPU-seconds" in table
    assert "Prices (EUR): 3.6 a machine hour; nothing else is priced." in table


def test_a_run_without_adapters_says_nothing_of_it():
    fewer = {key: value for key, value in samples().items() if key[0] in ("general", "rag")}
    results = compared(fewer, priced(resamples=200), sources={"rag": SOURCES["rag"]})
    assert (results.economics, results.factorials, results.contrasts[0].corpora) == ((), (), "")
    page = plain(render_page(results, run_info={}))
    assert "No break-even: it needs an arm that is tuned and one that retrieves." in page
    assert "break even" not in render_table(results)


def timed(seconds, own=()):
    return [
        Sample(
            "a", "t", Example(f"e{i}", ""), seconds=value, input_tokens=1000, output_tokens=10,
            request_seconds=own[i] if own else 0.0,
        )
        for i, value in enumerate(seconds)
    ]  # fmt: skip


def test_percentiles_of_latency_and_what_they_are_of():
    row = cost_row("a", "t", timed(range(11)), prices=Prices())
    assert row.latency == Latency(5.0, 9.0, pytest.approx(9.9))  # numpy.percentile(range(11), ...)
    assert (row.latency_of, row.seconds, row.n) == ("batch-mean", 55.0, 11)
    row = cost_row("a", "t", timed([2.0, 2.0], own=[1.0, 3.0]), prices=Prices())
    assert (row.latency.p50, row.latency_of) == (2.0, "request")
    assert row.latency.p90 == pytest.approx(2.8)
    assert cost_row("a", "t", timed([7.0]), prices=Prices()).latency == Latency(7.0, 7.0, 7.0)


def test_finding_passages_is_part_of_what_answers_take():
    found = [
        Sample("a", "t", Example(f"e{i}", ""), seconds=1.0, retrieval_seconds=0.5, retrieval_cpu_seconds=0.25)
        for i in range(4)
    ]
    row = cost_row("a", "t", found, prices=Prices("EUR", 3.6))
    assert (row.seconds, row.price_per_1000) == (6.0, pytest.approx(1.5))
    assert row.retrieval == Finding(2.0, Computing(1.0, "CPU"))
    assert row.computing is None  # of a server nobody knows what answering took; finding was done here
    assert question_cost(row, Prices()).retrieval == Finding(0.5, Computing(0.25, "CPU"))
    carded = [replace(sample, retrieval_gpu_seconds=0.5) for sample in found]
    assert cost_row("a", "t", carded, prices=Prices()).retrieval == Finding(2.0, Computing(2.0, "GPU"))
    elsewhere = [*found[1:], replace(found[0], retrieval_cpu_seconds=None)]
    assert cost_row("a", "t", elsewhere, prices=Prices()).retrieval == Finding(2.0, None)


def test_what_was_not_measured_or_priced_is_none():
    row = cost_row("a", "t", timed([1.0]), prices=Prices())
    assert (row.peak_memory_bytes, row.peak_memory_of, row.price_per_1000) == (None, "", None)
    row = cost_row("a", "t", timed([1.0]), prices=Prices(), memory={"peak_bytes": 5 * 2**30, "of": "cuda"})
    assert (row.peak_memory_bytes, row.peak_memory_of) == (5 * 2**30, "cuda")


def test_a_thousand_answers_cost_a_thousand_times_one():
    by_token = Prices("USD", million_input_tokens=3.0, million_output_tokens=15.0)
    assert cost_row("a", "t", timed([1.0, 1.0]), prices=by_token).price_per_1000 == pytest.approx(3.15)
    assert cost_row("a", "t", timed([2.0, 4.0]), prices=Prices("EUR", 3.6)).price_per_1000 == pytest.approx(3.0)
