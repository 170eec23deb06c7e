import json
from collections import Counter
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.files import read_jsonl
from ragmed.records import Example
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
        (claim(1, cited_doc_ids=[]), "name an abstract"),
        (claim(1, claim=5), "'claim' must be text"),
        ({"id": 1, "claim": "A claim."}, "id, claim, evidence and cited_doc_ids are needed"),
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
