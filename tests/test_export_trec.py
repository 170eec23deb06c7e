import ir_measures
import numpy as np
import pytest
from exporting import ARMS, HOSTILE, graded, made, write
from ir_measures import RR, R, Success, nDCG

from ragmed.comparison.diagnosis.gold_documents import ranked_documents
from ragmed.errors import DataError
from ragmed.integrations.trec import encoded, export_trec, qrels, run_lines
from ragmed.metrics.retrieval import hit, ndcg, recall, reciprocal_rank
from ragmed.records import ShownPassage


def shown(number, documents, gold=()):
    passages = tuple(
        ShownPassage(f"c:{document}#0", f"c:{document}", rank, gold=document in gold)
        for rank, document in enumerate(documents, 1)
    )
    return made(number, "rag", "t", passages=passages, documents=tuple(gold), id_=f"q{number}")


def test_the_files_measure_what_our_own_metrics_measure(tmp_path):
    rng = np.random.default_rng(7)
    samples, expected = [], {}
    for number in range(40):
        documents = [f"d{i}" for i in rng.permutation(30)[:10]]
        gold = [f"d{i}" for i in rng.permutation(30)[: rng.integers(1, 4)]]
        samples.append(shown(number, documents, gold))
        relevant = dict.fromkeys(gold, 1)
        expected[f"q{number}"] = tuple(
            measure(documents, relevant, k=5) for measure in (ndcg, recall, hit, reciprocal_rank)
        )
    made_files = export_trec(write(tmp_path / "run", {("rag", "t"): samples}), tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in made_files.paths] == [
        "runs/rag/t.txt",
        "qrels/t.txt",
    ]
    run = list(ir_measures.read_trec_run(str(made_files.paths[0])))
    judged = list(ir_measures.read_trec_qrels(str(made_files.paths[1])))
    measures = (nDCG @ 5, R @ 5, Success @ 5, RR @ 5)
    found = {(m.query_id, m.measure): m.value for m in ir_measures.iter_calc(list(measures), judged, run)}
    for query, values in expected.items():
        assert [found[query, measure] for measure in measures] == pytest.approx(values, abs=1e-12)


def test_a_document_stands_once_at_its_best_passage_and_scores_fall():
    answer = made(0, "rag", "t", documents=("d2",), id_="a b", passages=(
        ShownPassage("c:d3#4", "c:d3", 3, 0.5, gold=False),
        ShownPassage("c:d2#1", "c:d2", 2, 0.5, gold=True),
        ShownPassage("c:d3#0", "c:d3", 1, 0.5, gold=False),
    ))  # fmt: skip
    assert list(run_lines(answer.sample, tag="m/rag 32")) == [
        "a%20b Q0 c:d3 1 2 m/rag%2032",
        "a%20b Q0 d2 2 1 m/rag%2032",
    ]


def test_names_become_one_word_and_can_be_turned_back():
    from urllib.parse import unquote

    for text in (text for text in HOSTILE if text):
        word = encoded(text)
        assert len(word.split()) == 1
        assert word.isprintable()
        assert unquote(word) == text
    with pytest.raises(DataError, match="without a name"):
        encoded("")


def test_where_gold_documents_are_not_listed_the_notes_say_what_the_qrels_hold():
    passages = (ShownPassage("c:d1#0", "c:d1", gold=True), ShownPassage("c:d2#0", "c:d2", gold=False))
    first, second = made(0, "rag", "t", passages=passages, documents=()), made(1, "rag", "t", documents=())
    judged, notes = qrels({"rag": [first.sample, second.sample]})
    assert judged == {"e000": ["c:d1"]}
    assert notes == (
        "1 of 2 queries has no gold document",
        "the qrels hold only gold documents that an arm was shown: recall is of what was found",
    )


def test_oracle_arms_are_left_out_and_a_run_without_passages_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(ARMS, "best", "oracle")
    samples = {(arm, "t"): graded(arm, "t", 5) for arm in ("m/rag_32", "best")}
    files = export_trec(write(tmp_path / "run", samples), tmp_path / "out")
    assert [path.name for path in files.paths] == ["t.txt", "t.txt"]
    assert files.paths[0].parent.name == "m%2Frag_32"
    assert "best: oracle passages were not retrieved, left out" in files.notes
    plain = write(tmp_path / "plain", {("general", "t"): graded("general", "t", 5)})
    with pytest.raises(DataError, match="no arm of run 'plain' was shown"):
        export_trec(plain, tmp_path / "nothing")


def test_an_id_that_ends_as_another_one_is_not_that_one():
    sample = shown(1, ["1", "a:1"], gold=("1", "a:1"))
    assert ranked_documents(sample.sample) == (["1", "a:1"], {"1": True, "a:1": True})
