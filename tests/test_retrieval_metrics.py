import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragmed.errors import UsageError
from ragmed.metrics.retrieval import hit, ndcg, precision, recall, reciprocal_rank
from ragmed.records import Hit, Passage
from ragmed.retrieval.bm25 import best_rows
from ragmed.workspace import Workspace

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "retrieval.py"
DOCUMENTS = [f"d{i}" for i in range(12)]
RANKINGS = st.lists(st.sampled_from(DOCUMENTS), unique=True, min_size=1)
QRELS = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1)


def test_values_worked_out_by_hand() -> None:
    ranked, relevant = ["a", "b", "c", "d"], {"b": 1, "d": 2, "z": 3, "c": 0}
    gained = 1 / math.log2(3) + 2 / math.log2(5)
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(ranked, relevant, k=10) == pytest.approx(gained / ideal, abs=1e-15)
    assert ndcg(ranked, relevant, k=1) == 0.0
    assert recall(ranked, relevant, k=2) == pytest.approx(1 / 3)
    assert recall(ranked, relevant, k=4) == pytest.approx(2 / 3)
    assert [precision(ranked, relevant, k=k) for k in (1, 2, 4, 10)] == [0.0, 0.5, 0.5, 0.2]
    assert (hit(ranked, relevant, k=1), hit(ranked, relevant, k=2)) == (0.0, 1.0)
    assert (reciprocal_rank(ranked, relevant, k=1), reciprocal_rank(ranked, relevant, k=2)) == (0.0, 0.5)


def test_the_gain_is_the_relevance_itself() -> None:
    # 2^relevance - 1 would give (1 + 3 / log2 3) / (3 + 1 / log2 3) = 0.797
    expected = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert ndcg(["a", "b"], {"a": 1, "b": 2}, k=2) == pytest.approx(expected)


def test_recall_counts_what_does_not_fit_into_k() -> None:
    relevant = dict.fromkeys("abcd", 1)
    assert recall(list("abcd"), relevant, k=2) == 0.5
    assert ndcg(list("abcd"), relevant, k=2) == 1.0


@pytest.mark.parametrize("measure", [ndcg, recall, precision, hit, reciprocal_rank])
def test_a_query_without_relevant_documents_is_zero(measure: object) -> None:
    assert callable(measure)
    assert measure(["a"], {"a": 0}, k=5) == 0.0
    assert measure(["a"], {}, k=5) == 0.0
    assert measure([], {"a": 1}, k=5) == 0.0


@pytest.mark.parametrize("measure", [ndcg, recall, precision, hit, reciprocal_rank])
def test_what_is_no_ranking_is_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(UsageError, match="k must be at least 1, found 0"):
        measure(["a"], {"a": 1}, k=0)
    with pytest.raises(UsageError, match="ranked twice"):
        measure(["a", "b", "a"], {"a": 1}, k=1)


@settings(max_examples=200, deadline=None)
@given(RANKINGS, QRELS, st.integers(1, 15))
def test_every_value_is_that_of_ir_measures(ranked: list[str], relevant: dict[str, int], k: int) -> None:
    run = {"q": {document: float(-rank) for rank, document in enumerate(ranked)}}
    names = {f"nDCG@{k}": ndcg, f"R@{k}": recall, f"P@{k}": precision, f"Success@{k}": hit}
    theirs = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in names], {"q": relevant}, run)
    for measure, value in theirs.items():
        assert names[str(measure)](ranked, relevant, k=k) == pytest.approx(value, abs=1e-12)
    first = {"q": dict(list(run["q"].items())[:k])}
    expected = ir_measures.calc_aggregate([ir_measures.RR], {"q": relevant}, first)[ir_measures.RR]
    assert reciprocal_rank(ranked, relevant, k=k) == pytest.approx(expected, abs=1e-12)


@given(RANKINGS, QRELS, st.integers(1, 15))
def test_values_are_fractions_that_agree_with_each_other(ranked: list[str], relevant: dict[str, int], k: int) -> None:
    values = [f(ranked, relevant, k=k) for f in (ndcg, recall, hit, reciprocal_rank, precision)]
    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values)
    assert all(bool(value) == bool(values[2]) for value in values)
    assert recall(ranked, relevant, k=k) <= recall(ranked, relevant, k=k + 1)
    assert hit(ranked, relevant, k=k) <= hit(ranked, relevant, k=k + 1)


@given(QRELS.filter(lambda relevant: any(relevant.values())), st.integers(1, 15))
def test_the_ideal_order_is_worth_one(relevant: dict[str, int], k: int) -> None:
    ideal = sorted(relevant, key=lambda document: -relevant[document])
    assert ndcg(ideal, relevant, k=k) == pytest.approx(1.0)
    assert reciprocal_rank(ideal, relevant, k=k) == 1.0


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("retrieval_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(benchmark: ModuleType, small: Workspace, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    queries = [{"_id": "1", "text": "the extension of Elm ward"}, {"_id": "2", "text": "the extension of Yew ward"}]
    queries.append({"_id": "3", "text": "not judged"})
    (small.root / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    lines = ["query-id\tcorpus-id\tscore", "1\telm\t1", "1\telsewhere\t1", "2\tyew\t1", "2\toak\t0"]
    (small.root / "test.tsv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("RAGMED_ROOT", str(small.root))
    files = ["--queries", str(small.root / "queries.jsonl"), "--qrels", str(small.root / "test.tsv")]
    return int(
        benchmark.main(["--dataset", "scifact", "--index", "wards", "--modes", "dense", *files, "--timed", "0", *more])
    )


def test_the_benchmark_on_a_toy_index(
    benchmark: ModuleType, small: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(benchmark, small, monkeypatch, "--expect", "1.0") == 0
    printed = capsys.readouterr().out
    assert "12 documents: 2 of 2 queries, 2 of 3 relevant documents are there" in printed
    assert "| dense | all | 2 | 1.0000 | 0.3424 to 1.0000 | 1.0000 | 1.0000 | 0.1000 | 1.0000 |" in printed
    assert run(benchmark, small, monkeypatch, "--expect", "0.9") == 1


def test_differences_and_times_are_printed_and_written(
    benchmark: ModuleType, small: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = small.root / "all.json"
    modes = ["--modes", "bm25", "dense", "bm25+dense", "bm25+dense-mmr"]
    assert run(benchmark, small, monkeypatch, *modes, "--timed", "2", "--json", str(file)) == 0
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    assert "| bm25+dense | dense | +0.0000 | -0.6576 to +0.6576 | 1 | cannot tell |" in printed
    pairs = [(row["method"], row["other"]) for row in written["differences"]]
    assert pairs == [
        ("dense", "bm25"), ("bm25+dense", "bm25"), ("bm25+dense", "dense"),
        ("bm25+dense-mmr", "bm25+dense"), ("bm25+dense-mmr", "bm25"),
    ]  # fmt: skip
    assert list(written["cpu_seconds"]) == ["bare bm25s", "bm25", "dense", "bm25+dense", "bm25+dense-mmr"]
    assert min(written["cpu_seconds"].values()) > 0
    assert "| 2 queries, one by one | CPU-ms a query | times bare bm25s |" in printed
    assert written["measures"]["dense"]["P@10"]["value"] == pytest.approx(0.1)


def test_a_difference_is_tested_by_group_and_adjusted(benchmark: ModuleType) -> None:
    qrels = {f"q{n}": {f"d{n}": 1} for n in range(40)} | {"twin": {"d0": 1, "x": 1}, "other": {"x": 1}}
    groups = benchmark.linked(qrels)
    assert {query for query, group in groups.items() if group == "q0"} == {"q0", "twin", "other"}
    assert len(set(groups.values())) == 40
    scores = {
        name: {"nDCG@10": dict.fromkeys(qrels, value)}
        for name, value in (("bm25", 0.5), ("dense", 0.75), ("bm25+dense", 0.75))
    }
    specs = benchmark.methods("any")
    rows = {(row.method, row.other): row for row in benchmark.differences(scores, specs, groups)}
    assert rows["dense", "bm25"].difference == pytest.approx(0.25)
    assert rows["dense", "bm25"].p < rows["dense", "bm25"].adjusted < 0.001
    assert rows["bm25+dense", "dense"].adjusted == 1.0
    assert [line.rpartition("| ")[2] for line in benchmark.difference_table(list(rows.values()))][1:] == [
        "better |", "better |", "cannot tell |",
    ]  # fmt: skip


class Fixed:
    """Finds the passages of these documents, in this order."""

    def __init__(self, documents: list[str]) -> None:
        self.hits = [Hit(Passage(f"{d}#{i}", d, "", "", "", 0, 0), 1.0, i + 1) for i, d in enumerate(documents)]

    def retrieve(self, queries: list[str], *, k: int) -> list[list[Hit]]:
        return [self.hits[:k] for _ in queries]


def test_a_document_is_as_good_as_its_best_passage(benchmark: ModuleType) -> None:
    documents = ["a"] * 50 + ["b", "a", "c"] + ["b"] * 600 + [f"d{i}" for i in range(20)]
    ranking = benchmark.passage_rankings(Fixed(documents), len(documents), {"q": "what"})
    assert ranking == {"q": ["a", "b", "c", *(f"d{i}" for i in range(7))]}
    assert benchmark.passage_rankings(Fixed(documents[:53]), 1000, {"q": "what"}) == {"q": ["a", "b", "c"]}


@pytest.mark.parametrize("mode", ["bm25", "bm25-title-3", "bm25+dense", "bm25+2dense", "bm25+dense-mmr"])
def test_every_retriever_is_measured(
    benchmark: ModuleType,
    small: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    assert run(benchmark, small, monkeypatch, "--modes", "dense", mode, "--expect", "1.0") == 0
    printed = capsys.readouterr().out
    assert f"| {mode} | all | 2 | 1.0000 | 0.3424 to 1.0000 | 1.0000 | 1.0000 | 0.1000 | 1.0000 |" in printed
    assert ("bare bm25s: nDCG@10 1.0000, ours 1.0000; scores of the first 100 differ by at most" in printed) == (
        mode == "bm25"
    )


def test_bm25_that_is_not_that_of_bm25s_is_noticed(
    benchmark: ModuleType, small: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*asked: object) -> tuple[object, object]:
        rows, scores = best_rows(*asked)
        return rows, scores + 1e-4

    monkeypatch.setattr("ragmed.retrieval.bm25.best_rows", off)
    assert run(benchmark, small, monkeypatch, "--modes", "bm25") == 1


def test_the_benchmark_notices_a_difference(
    benchmark: ModuleType, small: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(benchmark.OURS, "R@10", lambda ranked, relevant, k: recall(ranked, relevant, k=k) - 1e-6)
    assert run(benchmark, small, monkeypatch) == 1
    assert "largest difference from ir_measures, queries and means: 1.0e-06" in capsys.readouterr().out
