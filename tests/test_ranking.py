"""Retrieval quality and its link to the answers: values by ir_measures, statsmodels and published examples."""

from dataclasses import replace
from typing import Any

import ir_measures
import numpy as np
import pytest
import statsmodels.api as sm
from answers import answer, metrics_named

from ragmed.comparison.columns import build_tables
from ragmed.comparison.diagnosis.diagnose import RunFacts, diagnose
from ragmed.comparison.diagnosis.ranking import clustered, fisher, newcombe
from ragmed.comparison.diagnosis.rows import Side
from ragmed.comparison.settings import ComparisonSettings
from ragmed.records import Answer, ShownPassage

WRONG = dict.fromkeys(("unparsed", "refused", "truncated", "error"), "wrong")


def passages(*documents: str, gold: tuple[str, ...] = (), order: tuple[int, ...] = ()) -> tuple[ShownPassage, ...]:
    ranks = order or range(1, len(documents) + 1)
    return tuple(
        ShownPassage(f"{document}#{rank}", document, rank, gold=document.partition(":")[2] in gold)
        for document, rank in zip(documents, ranks, strict=True)
    )


def row(samples: list[Answer], k: int = 4, metric: str = "accuracy") -> dict[str, Any]:
    given = {("rag", "t"): samples}
    tables = build_tables(given, WRONG, {"t": metrics_named(metric)})
    facts = RunFacts(arms={"rag": {"context": "retrieved", "k": k, "model": "m"}}, tasks={"t": {}})
    asked = ComparisonSettings(baseline="rag", resamples=200)
    (found,) = diagnose(given, tables, contrasts=[], settings=asked, facts=facts).retrieval
    return found


def sample(number: int, right: float, shown: tuple[ShownPassage, ...], *gold: str, group: str = "") -> Answer:
    scores = {"accuracy": right}
    return answer(f"q{number:02}", "rag", "t", scores=scores, passages=shown, documents=gold, group=group)


def test_the_measures_are_those_of_ir_measures() -> None:
    # by document: d1 twice, its better rank counts; the last is shown first, in another order than it was ranked
    shown = [
        passages("w:d1", "w:d2", "w:d1", "w:d3", gold=("d1", "d9")),
        passages("w:d4", "w:d2", "w:d5", gold=("d5",)),
        passages("w:d1", "w:d2", gold=("d7",)),
        passages("w:d3", "w:d1", order=(2, 1), gold=("d3",)),
    ]
    gold = [("d1", "d9"), ("d5",), ("d7",), ("d3",)]
    found = row([sample(i, 1.0, one, *names) for i, (one, names) in enumerate(zip(shown, gold, strict=True))])
    ranked = [["d1", "d2", "d3"], ["d4", "d2", "d5"], ["d1", "d2"], ["d1", "d3"]]
    run = {f"q{i}": {d: float(-rank) for rank, d in enumerate(one)} for i, one in enumerate(ranked)}
    qrels = {f"q{i}": dict.fromkeys(one, 1) for i, one in enumerate(gold)}
    names = {"nDCG@4": "ndcg", "R@4": "recall", "RR": "mrr", "Success@4": "hit"}
    theirs = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in names], qrels, run)
    assert len(theirs) == 4
    for measure, value in theirs.items():
        assert getattr(found, names[str(measure)]) == pytest.approx(value, abs=1e-12)
    assert (found.k, found.n, found.without_gold) == (4, 4, 0)
    assert (found.found.n, found.missed.n) == (3, 1)


def test_one_document_of_two_corpora_counts_once() -> None:
    found = row([sample(0, 1.0, passages("a:7", "b:7", gold=("7",)), "7")])
    assert (found.ndcg, found.recall) == (1.0, 1.0)


def test_queries_that_say_nothing_are_counted_and_left_out() -> None:
    unsaid = (ShownPassage("w:d1#0", "w:d1", 1),)
    found = row([sample(0, 1.0, passages("w:d1", gold=("d1",)), "d1"), sample(1, 1.0, unsaid)])
    assert (found.n, found.without_gold, found.recall) == (1, 1, 1.0)


def test_samples_that_name_no_documents_do_not_tell_how_many_gold_ones_there_are() -> None:
    found = row([sample(0, 1.0, passages("w:d1", "w:d2", gold=("d1",)))])
    assert (found.mrr, found.hit, found.ndcg, found.recall) == (1.0, 1.0, None, None)


def test_shares_of_independent_examples() -> None:
    # Newcombe 1998, table II, method 10: 56/70 against 48/80, and 9/10 against 3/10
    assert newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((9, 10), (3, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe((0, 10), (0, 10)) == pytest.approx((-0.2775, 0.2775), abs=5e-5)
    assert fisher((3, 4), (1, 4)) == pytest.approx(34 / 70)  # the lady tasting tea
    there = [sample(i, float(i < 9), passages("w:d1", gold=("d1",)), "d1") for i in range(10)]
    gone = [sample(i, float(i < 13), passages("w:d2", gold=("d1",)), "d1") for i in range(10, 20)]
    found = row([*there, *gone])
    assert (found.found, found.missed) == (Side(10, 0.9), Side(10, 0.3))
    assert (found.test, found.difference) == ("fisher-exact", pytest.approx(0.6))
    assert found.ci == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert found.p == pytest.approx(fisher((9, 10), (3, 10)))


def test_grouped_scores_have_the_standard_error_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 3)
    where, values = rng.random(90) < 0.6, rng.random(90) + 0.3 * rng.random(30)[groups]
    interval, p = clustered(values, where, [str(g) for g in groups])  # type: ignore[misc]
    model = sm.OLS(values, sm.add_constant(where.astype(float))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    fewest = min(len(set(groups[where])), len(set(groups[~where])))
    assert sum(interval) / 2 == pytest.approx(model.params[1], abs=1e-12)
    from scipy import stats

    reach = stats.t(fewest - 1).ppf(0.975) * model.bse[1]
    assert interval[1] - interval[0] == pytest.approx(2 * reach, abs=1e-10)
    assert p == pytest.approx(2 * stats.t(fewest - 1).sf(abs(model.params[1] / model.bse[1])), abs=1e-10)
    assert clustered(values[:9], where[:9], ["1"] * 9) is None
    assert clustered(where.astype(float), where, [str(g) for g in groups]) is None


def test_what_cannot_be_compared_is_not() -> None:
    found = row([sample(i, 1.0, passages("w:d1", gold=("d1",)), "d1") for i in range(3)])
    assert (found.missed, found.difference, found.ci, found.p) == (
        Side(0, None),
        None,
        None,
        None,
    )
    few = [sample(i, 1.0, passages(f"w:d{i % 2}", gold=("d1",)), "d1", group="g") for i in range(6)]
    found = row(few)
    assert (found.difference, found.ci, found.p, found.test) == (0.0, None, None, "none")
    graded = [replace(one, score=replace(one.score, metrics={"rouge_l": 0.5})) for one in few]
    assert row(graded, metric="rouge_l").found == Side(3, 0.5)
