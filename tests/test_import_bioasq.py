"""Submissions to BioASQ with golden files -> a run; measures as BioASQ defines them, by hand."""

import json
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.experiments.results import compare_runs
from ragmed.integrations.bioasq_runs import import_bioasq, list_scores
from ragmed.scores import scored_answers
from ragmed.workspace import Workspace

GOLD = [
    {"id": "y1", "type": "yesno", "body": "Is it?", "exact_answer": "yes"},
    {"id": "y2", "type": "yesno", "body": "Was it?", "exact_answer": "No"},
    {"id": "f1", "type": "factoid", "body": "Which factor?", "exact_answer": [["XIa", "factor XIa"]]},
    {"id": "f2", "type": "factoid", "body": "Which gene?", "exact_answer": ["MEF2C"]},
    {"id": "l1", "type": "list", "body": "Which two?", "exact_answer": [["casirivimab"], ["imdevimab", "REGN10987"]]},
    {"id": "s1", "type": "summary", "body": "What?", "ideal_answer": "..."},
]


def put(path: Path, questions: list) -> Path:
    path.write_text(json.dumps({"questions": questions}))
    return path


def test_yes_no_factoid_and_list_are_measured_as_bioasq_does(tmp_path):
    golden = put(tmp_path / "gold.json", GOLD)
    rag = [
        {"id": "y1", "exact_answer": "Yes"}, {"id": "y2", "exact_answer": "perhaps"},
        {"id": "f1", "exact_answer": [["XIIa"], ["Factor  XIa"]]}, 
        {"id": "f2", "exact_answer": ["a", "b", "c", "d", "e", "MEF2C"]},
        {"id": "l1", "exact_answer": [["imdevimab"], ["regn10987"], ["aspirin"]]},
    ]  # fmt: skip
    closed = [{"id": "y1", "exact_answer": "no"}, {"id": "other", "exact_answer": "no"}]
    submissions = [put(tmp_path / f"{n}.json", s) for n, s in (("closed", closed), ("rag", rag))]
    run = import_bioasq(submissions, [golden], output=tmp_path / "run")
    scored = {
        (arm, a.example.id): (a.score.status, a.score.metrics) for (arm, _), s in scored_answers(run).items() for a in s
    }
    assert scored["rag", "y1"][1]["accuracy"] == 1.0
    assert scored["rag", "y2"] == ("unparsed", {})
    assert scored["rag", "f1"][1] == {"mrr": 0.5, "strict_accuracy": 0.0, "lenient_accuracy": 1.0}
    assert scored["rag", "f2"][1] == {"mrr": 0.0, "strict_accuracy": 0.0, "lenient_accuracy": 0.0}
    assert scored["rag", "l1"][1] == {"f1": pytest.approx(0.4), "precision": pytest.approx(1 / 3), "recall": 0.5}
    assert scored["closed", "l1"] == ("unparsed", {})
    notes = run.info()["imported"]["notes"]
    assert "'closed' leaves out 4 of 5 golden questions." in notes
    assert "'closed' answers 1 question that the golden files do not ask." in notes
    values = {(s.arm, s.task, s.metric): s.value for s in compare_runs([run]).scores}
    assert values["rag", "bioasq/yesno", "accuracy"] == 0.5
    assert values["rag", "bioasq/factoid", "mrr"] == 0.25


def test_two_synonyms_of_one_entry_are_one_right_and_one_wrong():
    assert list_scores((("a",), ("b",)), (("A", "b"),)) == {"f1": pytest.approx(2 / 3), "precision": 0.5, "recall": 1.0}


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        ([{"id": "y1"}, {"id": "y1"}], "question 'y1' is there twice; keep one"),
        ([{"id": "zz", "exact_answer": "yes"}], "answers none of the 5 golden questions"),
        ([{"exact_answer": "yes"}], "'questions' is no list of objects with an id; a file of BioASQ task B"),
    ],
)
def test_what_is_no_submission_is_refused_by_name(tmp_path, submission, message):
    with pytest.raises(DataError, match=message):
        import_bioasq([put(tmp_path / "s.json", submission)], [put(tmp_path / "g.json", GOLD)], output=tmp_path / "run")


def test_the_golden_files_answered_by_themselves_are_all_right(tmp_path):
    folder = Workspace.find(Path(__file__).parent.parent).data / "mirage/rawdata/bioasq/Task10BGoldenEnriched"
    if not folder.exists():
        pytest.skip("BioASQ's golden files are not at hand (RAGMED_DATA)")
    run = import_bioasq([folder / "10B1_golden.json"], [folder / "10B1_golden.json"], output=tmp_path / "run")
    scores = compare_runs([run]).scores
    assert {(s.task, s.metric, s.value) for s in scores if s.primary} == {
        ("bioasq/yesno", "accuracy", 1.0), ("bioasq/factoid", "mrr", 1.0), ("bioasq/list", "f1", 1.0),
    }  # fmt: skip
