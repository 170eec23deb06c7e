import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ragmed.comparison.results import read_results
from ragmed.errors import DataError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.files import read_jsonl
from ragmed.records import Example
from ragmed.runs import find_run
from ragmed.tasks import TaskSettings, find_task, load_task, scifact
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
CLAIMS = WORKSPACE.data / "scifact" / "claims_train.jsonl"
needs_scifact = pytest.mark.skipif(not CLAIMS.is_file(), reason=f"needs {CLAIMS} (RAGMED_DATA)")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "scifact").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def claim(number: int, **changes: object) -> dict[str, object]:
    return {"id": number, "claim": f"Claim {number}.", "evidence": {}, "cited_doc_ids": [number], **changes}


def evidence(label: str) -> list[dict[str, object]]:
    return [{"sentences": [0], "label": label}]


def read(workspace: Workspace, *records: object) -> dict[str, Example]:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (workspace.data / "scifact" / "claims_train.jsonl").write_text("\n".join(lines))
    return {e.id: e for e in scifact.load(workspace).examples}


@needs_scifact
def test_the_training_claims_are_whole() -> None:
    bound = load_task("scifact", TaskSettings(), workspace=WORKSPACE, seed=0)
    assert Counter(e.gold for e in bound.examples) == {"A": 332, "B": 173, "C": 304}
    assert all(e.documents for e in bound.examples)
    assert dict(bound.examples[0].options) == {"A": "supported", "B": "refuted", "C": "not enough information"}


@needs_scifact
def test_gold_documents_are_abstracts_of_the_corpus() -> None:
    corpus = WORKSPACE.data / "scifact" / "corpus.jsonl"
    known = {str(item[1]["doc_id"]) for item in read_jsonl(corpus) if isinstance(item, tuple)}
    assert all(set(e.documents) <= known for e in scifact.load(WORKSPACE).examples)


@needs_scifact
def test_claims_on_one_abstract_are_one_group() -> None:
    groups: dict[str, set[str]] = {}
    for example in scifact.load(WORKSPACE).examples:
        for document in example.documents:
            groups.setdefault(document, set()).add(example.group)
    assert all(len(found) == 1 for found in groups.values())


def test_gold_and_documents_come_from_the_evidence(here: Workspace) -> None:
    found = read(
        here,
        claim(1, evidence={"7": evidence("SUPPORT")}, cited_doc_ids=[6, 7]),
        claim(2, evidence={"8": evidence("CONTRADICT"), "9": evidence("CONTRADICT")}, cited_doc_ids=[9, 8]),
        claim(3, cited_doc_ids=[10, 11]),
    )
    assert {key: e.gold for key, e in found.items()} == {"1": "A", "2": "B", "3": "C"}
    assert {key: e.documents for key, e in found.items()} == {"1": ("7",), "2": ("9", "8"), "3": ("10", "11")}


def test_groups_follow_shared_abstracts_and_words(here: Workspace) -> None:
    found = read(
        here,
        claim(1, cited_doc_ids=[10]),
        claim(2, cited_doc_ids=[20]),
        claim(3, cited_doc_ids=[30]),
        claim(4, cited_doc_ids=[20, 10]),
        claim(5, claim="claim  3."),
    )
    assert len({found[key].group for key in "124"}) == 1
    assert found["3"].group == found["5"].group
    assert found["3"].group != found["1"].group


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            claim(1, evidence={"7": evidence("SUPPORT"), "8": evidence("CONTRADICT")}, cited_doc_ids=[7, 8]),
            "line 1: claim '1' has evidence for and against it",
        ),
        (claim(1, evidence={"1": evidence("SUPPORTS")}), "label 'SUPPORTS'; known: SUPPORT, CONTRADICT"),
        (claim(1, evidence={"9": evidence("SUPPORT")}), "an abstract that is not cited"),
        (claim(1, evidence={"1": []}), "evidence without a label"),
        (claim(1, cited_doc_ids=[]), "'cited_doc_ids' names no abstract"),
        (claim(1, claim=5), "'claim' is empty or no text; correct it"),
        ({"id": 1, "claim": "A claim."}, "'cited_doc_ids' is missing; correct it"),
        ("no json", "line 1: not JSON"),
    ],
)
def test_a_claim_that_cannot_be_used_is_named(here: Workspace, record: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(here, record)


def test_a_missing_set_says_where_to_put_it(here: Workspace) -> None:
    with pytest.raises(DataError, match=r"claims_train\.jsonl' does not exist.*RAGMED_DATA"):
        scifact.load(here)


def test_its_documents_have_an_id_space_of_their_own() -> None:
    assert find_task("scifact").ids == "scifact"


FIRST = [("A-M", "supported"), ("N-Z", "refuted")]
SECOND = [("A-F", "supported"), ("G-M", "not enough information"), ("N-Z", "refuted")]


def scripted(path: Path, answers: list[tuple[str, str]]) -> str:
    """A model that answers by the claim's first letter; other claims are refuted."""
    lines = [f'- {{regex: "(?i)Claim: [{letters}]", answer: "{label}"}}\n' for letters, label in answers]
    path.write_text("".join([*lines, '- {default: "refuted"}\n']))
    return f"scripted:{path}"


@needs_scifact
def test_macro_f1_and_its_interval_in_a_run_are_those_of_scikit_learn_and_of_a_bootstrap(tmp_path: Path) -> None:
    here = Workspace(tmp_path)
    raw = {
        "models": {"a": scripted(tmp_path / "a.yaml", FIRST), "b": scripted(tmp_path / "b.yaml", SECOND)},
        "tasks": {"scifact": {}},
        "arms": {"first": {"model": "a"}, "second": {"model": "b"}},
    }
    run_experiment(make_experiment(raw, default_name="t", where="test"), workspace=here)
    run = find_run(here.runs, "t")
    results = read_results(run.results_file)
    samples = {arm: sorted(run.samples()[arm, "scifact"], key=lambda s: s.example.id) for arm in ("first", "second")}
    examples = [sample.example for sample in samples["first"]]
    labels = list(examples[0].options.values())
    gold = np.array([labels.index(example.options[str(example.gold)]) for example in examples])
    read = {arm: np.array([labels.index(str(s.completion)) for s in several]) for arm, several in samples.items()}

    def f1(arm: str, rows: np.ndarray) -> float:
        return float(f1_score(gold[rows], read[arm][rows], average="macro", labels=[0, 1, 2], zero_division=0))

    every = np.arange(len(gold))
    for row in (row for row in results.scores if row.metric == "macro_f1"):
        assert row.primary
        assert row.value == pytest.approx(f1(row.arm, every), abs=1e-9)
    contrast = next(row for row in results.contrasts if row.metric == "macro_f1")
    assert contrast.difference == pytest.approx(f1("second", every) - f1("first", every), abs=1e-9)
    groups: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        groups.setdefault(example.group, []).append(place)
    assert contrast.groups == len(groups)
    clusters = [np.array(places) for places in groups.values()]
    rng = np.random.default_rng(0)
    draws = [np.concatenate([clusters[i] for i in rng.integers(len(clusters), size=len(clusters))]) for _ in range(400)]
    low, high = np.quantile([f1("second", rows) - f1("first", rows) for rows in draws], [0.025, 0.975])
    assert contrast.ci == pytest.approx((low, high), abs=0.01)
    assert "macro" in (run.report_folder / "index.html").read_text()
