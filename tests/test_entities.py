"""Mentions of entities: counts worked out by hand, and the strict ones as scikit-learn has them."""

import random

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from ragmed.errors import UsageError
from ragmed.metrics import find_metric
from ragmed.records import ContextDocument, Example, Value

TEXT = "L - dopa relieved Parkinson ' s disease , but L - dopa induced severe postural hypotension and nausea ."
GOLD = {"chemicals": ("L - dopa",), "diseases": ("Parkinson ' s disease", "postural hypotension", "nausea")}


def counts(name: str, value: Value, *, text: str = TEXT, gold: object = None) -> object:
    example = Example("s1", "", (ContextDocument(text),), gold=gold or GOLD)  # type: ignore[arg-type]
    (found,) = find_metric(name).score([(example, value)])
    return found


@pytest.mark.parametrize(
    ("value", "strict", "overlapping"),
    [
        ({"chemicals": list(GOLD["chemicals"]), "diseases": list(GOLD["diseases"])}, (4, 0, 0), (4, 0, 0)),
        # as one would write it: no blanks around hyphens and apostrophes, another case; said twice counts once
        ({"chemicals": ["l-dopa", "L-DOPA"], "diseases": ["parkinson’s disease"]}, (2, 0, 2), (2, 0, 2)),
        # a part of a mention, and more than one, share words with it
        ({"diseases": ["hypotension", "severe postural hypotension", "nausea"]}, (1, 2, 3), (2, 1, 2)),
        # the type is another
        ({"chemicals": ["nausea"], "diseases": ["L-dopa"]}, (0, 2, 4), (0, 2, 4)),
        # the whole sentence is near every mention and finds one
        ({"diseases": [TEXT]}, (0, 1, 4), (1, 0, 3)),
        # half a word is none, and what stands nowhere is wrong
        ({"diseases": ["tension", "gout", ""], "chemicals": [7, None]}, (0, 4, 4), (0, 4, 4)),
        # one text of several, names in another case, a list under another name
        ({"Diseases": "nausea; hypotension", "drugs": ["L-dopa"]}, (1, 1, 3), (2, 0, 2)),
        ({"chemicals": None, "diseases": {}}, (0, 1, 4), (0, 1, 4)),
        ({}, (0, 0, 4), (0, 0, 4)),
        (None, (0, 0, 4), (0, 0, 4)),
        ("nausea", (0, 0, 4), (0, 0, 4)),
    ],
)
def test_mentions_are_counted_by_type_and_place(value: Value, strict: object, overlapping: object) -> None:
    assert (counts("entity_f1", value), counts("entity_f1_overlap", value)) == (strict, overlapping)


def test_each_mention_is_matched_once_and_as_many_as_can_be() -> None:
    # "b" alone is near "a b" and "b c"; taken by the first that comes it could leave "a b" without a partner
    gold = {"diseases": ("b c", "a b")}
    assert counts("entity_f1_overlap", {"diseases": ["b", "c"]}, text="a b c", gold=gold) == (2, 0, 0)
    assert counts("entity_f1_overlap", {"diseases": ["c", "b", "a"]}, text="a b c", gold=gold) == (2, 1, 0)


def test_the_f1_of_two_sentences_is_worked_out_by_hand() -> None:
    # 3 right, 1 wrong, 2 missed: 6 / (6 + 1 + 2)
    total = find_metric("entity_f1").total
    assert total is not None
    assert total(np.array([(2, 1, 0), (1, 0, 2)]).sum(axis=0)) == pytest.approx(6 / 9)


def test_nothing_to_find_and_nothing_found_counts_nothing() -> None:
    empty = {"chemicals": (), "diseases": ()}
    assert counts("entity_f1", {"chemicals": [], "diseases": []}, gold=empty) == (0, 0, 0)
    assert counts("entity_f1", {"chemicals": ["nausea"]}, gold=empty) == (0, 1, 0)


def test_a_gold_answer_without_named_lists_is_refused() -> None:
    with pytest.raises(UsageError, match="'s1' has no named lists of mentions"):
        counts("entity_f1", {}, gold="nausea")


def test_strict_f1_is_that_of_scikit_learn() -> None:
    draw, words, types = random.Random(5), [f"w{i}" for i in range(8)], ("chemicals", "diseases")
    for _ in range(200):
        batch, gold_labels, predicted_labels = [], [], []
        for number in range(draw.randrange(1, 6)):
            gold, predicted = (
                {kind: tuple(draw.sample(words, draw.randrange(4))) for kind in types} for _ in range(2)
            )  # fmt: skip
            batch.append((Example(str(number), "", (ContextDocument(" ".join(words)),), gold=gold), predicted))
            gold_labels.append({(kind, word) for kind, found in gold.items() for word in found})
            predicted_labels.append({(kind, word) for kind, found in predicted.items() for word in found})
        metric = find_metric("entity_f1")
        assert metric.total is not None
        ours = metric.total(np.sum(metric.score(batch), axis=0))
        both = MultiLabelBinarizer(classes=[(kind, word) for kind in types for word in words])
        matrices = (both.fit_transform(labels) for labels in (gold_labels, predicted_labels))
        assert ours == pytest.approx(f1_score(*matrices, average="micro", zero_division=0), abs=1e-9)
