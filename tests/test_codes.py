"""Metrics of ICD-10 codes: by hand, against scikit-learn, and against the table of a year."""

import random
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from ragmed.corpora import Corpus, load_recipe
from ragmed.errors import DataError
from ragmed.metrics import find_metric
from ragmed.metrics.codes import valid_codes
from ragmed.metrics.icd10 import bare, dotted, is_wellformed, load_table
from ragmed.records import Example, Value
from ragmed.workspace import Workspace

ROOT = Path(__file__).parent.parent
TABLE = Workspace.find(ROOT).data / "icd10cm" / "icd10cm2019.tsv.gz"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason=f"needs {TABLE} (RAGMED_DATA)")
SMALL = (
    "code\tbillable\tlong_desc\n"
    "E11\t0\tType 2 diabetes mellitus\n"
    "E116\t0\tType 2 diabetes mellitus with other specified complications\n"
    "E1165\t1\tType 2 diabetes mellitus with hyperglycemia\n"
    "I10\t1\tEssential (primary) hypertension\n"
)
ORDER = (
    "00001 E11     0 Type 2 diabetes mellitus                                     Type 2 diabetes mellitus\n"
    "00002 E1165   1 Type 2 diabetes mellitus with hyperglycemia                  Type 2 diabetes mellitus with "
    "hyperglycemia\n"
)


def score(name: str, value: Value, *gold: str) -> object:
    (found,) = find_metric(name).score([(Example("n1", "?", gold=gold), value)])
    return found


def test_golden_values_of_three_documents_by_hand() -> None:
    batch: list[tuple[Example, Value]] = [
        (Example("1", "?", gold=("I10", "E11.9")), ("I10", "E11.65")),  # 1 of 2 right, both categories
        (Example("2", "?", gold=("J45.909",)), ("j45909", "J45.909")),  # one code, twice
        (Example("3", "?", gold=("N39.0", "R05", "R06.02")), None),
    ]
    sums = {name: np.sum(find_metric(name).score(batch), axis=0) for name in ("code_f1", "code_f1_3")}
    assert sums["code_f1"].tolist() == [2, 1, 4]
    assert sums["code_f1_3"].tolist() == [3, 0, 3]
    total = find_metric("code_f1").total
    assert total is not None
    assert float(total(sums["code_f1"])) == pytest.approx(4 / 9)
    assert float(total(sums["code_f1_3"])) == pytest.approx(6 / 9)
    assert find_metric("code_f1_document").score(batch) == [0.5, 1.0, 0.0]
    assert find_metric("code_f1_3_document").score(batch) == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("name", ["code_f1", "code_f1_3", "code_f1_document", "code_f1_3_document"])
def test_a_thousand_random_cases_are_as_scikit_learn_has_them(name: str) -> None:
    drawn = random.Random(14)
    known = [f"{letter}{n:02}.{rest}" for letter in "AEU" for n in range(4) for rest in range(3)]
    metric = find_metric(name)
    for _ in range(1000):
        pairs = [(drawn.sample(known, drawn.randint(0, 6)), drawn.sample(known, drawn.randint(1, 6))) for _ in range(4)]
        written = [tuple(drawn.choice([str.lower, bare, str])(code) for code in p + p[:1]) for p, _ in pairs]
        batch = [(Example("n", "?", gold=tuple(g)), w) for w, (_, g) in zip(written, pairs, strict=True)]
        cut = 3 if "_3" in name else 9
        sides = [[{code[:cut] for code in one} for one in side] for side in zip(*pairs, strict=True)]
        labels = MultiLabelBinarizer(classes=sorted({code[:cut] for code in known}))
        predicted, right = (labels.fit_transform(side) for side in sides)
        average = "samples" if name.endswith("document") else "micro"
        expected = f1_score(right, predicted, average=average, zero_division=0)
        found = metric.score(batch)
        value = metric.total(np.sum(found, axis=0)) if metric.total else np.mean(found)
        assert float(value) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("code", ["I10", "e11.9", "E119", "U07.1", "W19.XXXA", "D47.Z1", "C7A.00", "Z3A.42", " I10 "])
def test_what_is_written_as_a_code_is_wellformed(code: str) -> None:
    assert is_wellformed(code)


@pytest.mark.parametrize("code", ["250.00", "I1", "E11.", "E1.19", "E11.9.1", "E11.12345", "hypertension", "", "À10"])
def test_what_is_not_written_as_a_code_is_none(code: str) -> None:
    assert not is_wellformed(code)


def test_prose_in_a_list_of_codes_is_not_wellformed_and_no_answer_is_no_code() -> None:
    assert score("wellformed_codes", ("I10", "i10", "hypertension", "401.9"), "I10") == (1.0, 2.0, 0.0)
    assert score("wellformed_codes", None, "I10") == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("text", [SMALL, ORDER])
def test_a_code_is_valid_where_it_stands_in_the_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "icd10cm2031.tsv"
    path.write_text(text)
    table = load_table(path)
    metric = valid_codes(table)
    example = Example("n1", "?", gold=("I10",))
    assert metric.score([(example, ("e11.65", "E1165", "E11.66"))]) == [(1.0, 1.0, 0.0)]
    assert metric.facts.name == "valid_codes"
    assert table.codes["E1165"].billable
    assert not table.codes["E11"].billable
    assert table.codes["E1165"].description == "Type 2 diabetes mellitus with hyperglycemia"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code\tlong_desc\n", "line 1: the columns code, billable, long_desc"),
        (SMALL + "I10\t1\tAgain\n", "line 6: the code I10 stands there twice"),
        (SMALL + "4019\t1\tHypertension\n", "line 6: '4019' is not written as an ICD-10-CM code"),
        (SMALL + "I11\tyes\tHypertension\n", "line 6: a code, 0 or 1 for billable, and a description"),
        ("code\tbillable\tlong_desc\n", "holds no code"),
        ("I10 hypertension\n", "line 1: a code, 0 or 1"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_table(tmp_path / "t.tsv")


@needs_table
def test_the_table_of_2019_is_whole_and_all_its_codes_are_wellformed() -> None:
    table = load_table(TABLE)
    assert len(table.codes) == 94_444
    assert sum(code.billable for code in table.codes.values()) == 71_932
    assert all(is_wellformed(code.text) and dotted(key) == code.text for key, code in table.codes.items())
    assert "U07.1" not in table  # of 2020


def test_a_code_is_a_document_with_its_headings(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(SMALL)
    recipe = "title: Codes\nreader: icd10cm\npaths: [t.tsv]\nids: icd10cm\n"
    for more, ids in (("", ["E11.65", "I10"]), ("codes: all\n", ["E11", "E11.6", "E11.65", "I10"])):
        (tmp_path / "recipe.yaml").write_text(recipe + more)
        documents = list(Corpus(load_recipe(tmp_path / "recipe.yaml", data=tmp_path)).documents())
        assert [document.id for document in documents] == ids
    named = {document.id: document for document in documents}
    assert named["E11.65"].title == "E11.65 Type 2 diabetes mellitus with hyperglycemia"
    assert named["E11.65"].text.splitlines() == [
        "E11.65 Type 2 diabetes mellitus with hyperglycemia",
        "E11.6 Type 2 diabetes mellitus with other specified complications",
        "E11 Type 2 diabetes mellitus",
    ]


@needs_table
def test_the_shipped_recipe_has_a_document_for_every_billable_code() -> None:
    corpus = Corpus(load_recipe(ROOT / "corpora" / "icd10cm" / "recipe.yaml", data=Workspace.find(ROOT).data))
    first = next(iter(corpus.documents()))
    assert (first.id, first.citation) == ("A00.0", "ICD-10-CM 2019, code A00.0.")
    assert sum(1 for _ in corpus.documents()) == 71_932
