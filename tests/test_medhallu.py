import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ragmed.errors import DataError, UsageError
from ragmed.metrics import find_metric
from ragmed.prompts import build_messages
from ragmed.records import Example, Sample
from ragmed.scores import score_samples
from ragmed.tasks import TaskSettings, find_task, load_task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
ROWS = WORKSPACE.data / "medhallu" / "pqa_labeled_dev.jsonl"
needs_medhallu = pytest.mark.skipif(not ROWS.is_file(), reason=f"needs {ROWS} (RAGMED_DATA)")


def row(number: int = 1, **changes: object) -> dict[str, object]:
    """Invented, with the columns of the published set."""
    return {
        "Question": f"Does Zelmarin help in ward {number}?", "Knowledge": ["We asked 90 patients.", "Forty got it."],
        "Ground Truth": f"It helped {number} of them.", "Difficulty Level": "easy",
        "Hallucinated Answer": f"It healed all but {number}.", "Category of Hallucination": "Incomplete Information",
        **changes,
    }  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "medhallu").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def write(workspace: Workspace, *rows: object) -> None:
    lines = "".join(json.dumps(one) + "\n" for one in rows)
    (workspace.data / "medhallu" / "pqa_labeled_dev.jsonl").write_text(lines)


@needs_medhallu
@pytest.mark.parametrize("name", ["medhallu", "medhallu_closed"])
def test_each_published_row_gives_two_examples_of_one_group(name: str) -> None:
    split = find_task(name).load(WORKSPACE)
    # the full set holds more; what is kept back here does not change the side of a row
    assert len(split.examples) >= 962
    assert len(split.shots) >= 38
    assert Counter(e.gold for e in split.examples) == {gold: len(split.examples) // 2 for gold in "AB"}
    assert set(Counter(e.group for e in split.examples).values()) == {2}
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}


def test_knowledge_is_shown_or_not_and_the_retriever_is_asked_question_and_answer(here: Workspace) -> None:
    write(here, row())
    shown, closed = (find_task(name).load(here).examples for name in ("medhallu", "medhallu_closed"))
    assert [e.id for e in shown] == [e.id for e in closed]
    assert [part.text for part in shown[0].context] == ["We asked 90 patients.\nForty got it.", "It healed all but 1."]
    assert [part.text for part in closed[1].context] == ["It helped 1 of them."]
    for examples in (shown, closed):
        assert [e.options[str(e.gold)] for e in examples] == ["hallucinated", "factual"]
        assert find_task("medhallu").query(examples[1]) == ("Does Zelmarin help in ward 1?", "It helped 1 of them.")
    bound = load_task("medhallu", TaskSettings(), workspace=here, seed=0)
    asked = build_messages(bound, shown[1])
    assert asked[0].content.endswith("Answer with one of these words only: hallucinated, factual.")
    assert "It helped 1 of them." in asked[1].content
    assert asked[1].content.endswith("Question: Does Zelmarin help in ward 1?")
    hidden = build_messages(bound, shown[1], hide_question=True)[1].content
    assert "helped" not in hidden and "Forty" not in hidden  # noqa: PT018


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (row(Knowledge="We asked."), "line 1: 'Knowledge' is no list of texts"),
        (row(**{"Ground Truth": ""}), "line 1: 'Ground Truth' is empty"),
        ({"Question": "?"}, "line 1: missing or wrong field 'Hallucinated Answer'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(here: Workspace, row: object, message: str) -> None:
    write(here, row)
    with pytest.raises(DataError, match=message):
        find_task("medhallu").load(here)


def test_a_question_that_stands_twice_is_refused(here: Workspace) -> None:
    write(here, row(), row())
    with pytest.raises(DataError, match="occurs twice"):
        load_task("medhallu", TaskSettings(), workspace=here, seed=0)


def counted(options: dict[str, str], golds: str, answers: list[str | None]) -> float:
    metric = find_metric("detection_f1")
    examples = [Example(str(i), "?", options=options, gold=gold) for i, gold in enumerate(golds)]
    assert metric.total is not None
    return float(metric.total(np.sum(metric.score(list(zip(examples, answers, strict=True))), axis=0)))


def test_detection_f1_counts_the_class_to_be_detected_alone() -> None:
    options = {"A": "hallucinated", "B": "factual"}
    # 2 found, 1 false alarm, 1 missed, 1 unread: 2 * 2 / (2 * 2 + 1 + 2)
    assert counted(options, "AABAABB", ["A", "A", "A", "B", None, "B", None]) == pytest.approx(4 / 7)
    pairs = [(Example("1", "?", options=options, gold=gold), answer) for gold, answer in ("AA", "BA", "AB", "BB")]
    assert find_metric("detection_f1").score(pairs) == [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    assert counted(options, "AABB", ["A"] * 4) == pytest.approx(2 / 3)
    assert counted(options, "AABB", ["B"] * 4) == 0.0
    # under other letters it is the same class
    turned = {"A": "factual", "B": "hallucinated"}
    assert counted(turned, "BBABBAA", ["B", "B", "B", "A", None, "A", None]) == pytest.approx(4 / 7)
    with pytest.raises(UsageError, match="'0' has 0; measure accuracy instead"):
        counted({"A": "yes", "B": "no"}, "A", ["A"])


def test_detection_f1_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    for _ in range(200):
        gold, answers = (draw.choice(["A", "B"], 12).tolist() for _ in range(2))
        theirs = f1_score(gold, answers, pos_label="B", zero_division=0)
        assert counted({"A": "factual", "B": "hallucinated"}, "".join(gold), answers) == pytest.approx(theirs, abs=1e-9)


def test_labels_are_read(here: Workspace) -> None:
    write(here, row())
    bound = load_task("medhallu", TaskSettings(), workspace=here, seed=0)
    example = next(e for e in bound.examples if e.gold == "A")
    texts = ["Hallucinated.", "It is not factual.", "factual, not hallucinated", "hallucinated or factual"]
    samples = [Sample("a", "medhallu", example, completion=text) for text in texts]
    scores = score_samples(samples, bound.reader, bound.task.metrics)
    assert [(s.status, s.value, s.metrics.get("accuracy")) for s in scores] == [
        ("answered", "A", 1.0), ("unparsed", None, None), ("answered", "B", 0.0), ("unparsed", None, None),
    ]  # fmt: skip
