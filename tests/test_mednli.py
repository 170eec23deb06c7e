import json
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.prompts import build_messages
from ragmed.records import Sample
from ragmed.scores import score_samples
from ragmed.tasks import TaskSettings, describe_task, invent_sample, load_task
from ragmed.tasks.mednli import LABELS, MEDNLI
from ragmed.workspace import Workspace

SENTENCE = "He was given 40 mg of furosemide in the ward."  # invented, as are all records here


def pair(id_: str, statement: str, label: str, sentence: str = SENTENCE) -> dict[str, str]:
    return {"pairID": id_, "sentence1": sentence, "sentence2": statement, "gold_label": label, "sentence1_parse": "(X"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "data" / "mednli"
    folder.mkdir(parents=True)
    test = [
        pair("t1", "He received a diuretic.", "entailment"), pair("t2", "He has oedema.", "neutral"),
        pair("t3", "He was given nothing.", "contradiction"),
    ]  # fmt: skip
    labels = [*["neutral"] * 6, *["entailment"] * 2, "contradiction"]
    dev = [pair(f"d{i}", f"Statement {i}.", label, f"He has bed {i}.") for i, label in enumerate(labels)]
    for name, records in (("mli_test_v1", test), ("mli_dev_v1", dev)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def test_three_examples_of_three_classes_come_before_a_pair_in_label_words(here: Workspace) -> None:
    bound = load_task("mednli", TaskSettings(shots=3), workspace=here, seed=0)
    assert sorted(shot.gold for shot in bound.shots) == ["A", "B", "C"]
    orders = [load_task("mednli", TaskSettings(shots=3), workspace=here, seed=seed).shots for seed in range(20)]
    assert {shots[-1].gold for shots in orders} == {"A", "B", "C"}
    messages = build_messages(bound, next(e for e in bound.examples if e.id == "t1"))
    assert [m.content for m in messages if m.role == "assistant"] == [LABELS[shot.gold] for shot in bound.shots]
    assert messages[0].content.endswith("Answer with one of these words only: entailment, neutral, contradiction.")
    assert messages[-1].content == f"Sentence: {SENTENCE}\nStatement: He received a diuretic."


def test_label_words_are_read_and_scored_and_the_retriever_is_asked_the_sentence(here: Workspace) -> None:
    bound = load_task("mednli", TaskSettings(), workspace=here, seed=0)
    examples = sorted(bound.examples, key=lambda example: example.id)
    assert bound.task.query(examples[0]) == (SENTENCE,)
    assert {example.group for example in examples} == {SENTENCE}
    texts = ["Entailment.", "The statement is neutral", "neutral, for neither entailment nor contradiction"]
    both = Sample("a", "mednli", examples[0], completion="entailment or contradiction")
    assert score_samples([both], bound.reader, bound.task.metrics)[0].status == "unparsed"
    samples = [Sample("a", "mednli", e, completion=text) for e, text in zip(examples, texts, strict=True)]
    scores = score_samples(samples, bound.reader, bound.task.metrics)
    assert [(s.status, s.value, dict(s.metrics)) for s in scores] == [
        ("answered", "A", {"accuracy": 1.0}), ("answered", "B", {"accuracy": 1.0}),
        ("answered", "B", {"accuracy": 0.0}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"pairID": "1", "sentence1": "a", "sentence2": "b"}',
            "line 1: 'gold_label' is missing; correct it",
        ),
        (json.dumps(pair("1", "b", "maybe")), "line 1: label 'maybe'; known: entailment, neutral, contradiction"),
        ("{", "line 1: not JSON"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named(here: Workspace, line: str, message: str) -> None:
    (here.data / "mednli" / "mli_test_v1.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        load_task("mednli", TaskSettings(), workspace=here, seed=0)


def test_a_file_that_is_not_there_is_answered_with_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"put MedNLI's mli_test_v1.jsonl there, or set RAGMED_DATA"):
        load_task("mednli", TaskSettings(), workspace=Workspace(tmp_path), seed=0)


def test_invented_records_are_read_as_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invent_sample("mednli", tmp_path / "invented")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "invented"))
    split = MEDNLI.load(Workspace.find(tmp_path))
    assert (len(split.examples), len(split.shots)) == (12, 6)
    with pytest.raises(DataError, match="is not empty"):
        invent_sample("mednli", tmp_path / "invented")


def test_a_task_without_its_data_is_described_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path))
    said = describe_task("mednli", workspace=Workspace.find(tmp_path))
    assert "to get it: PhysioNet credentials" in said
    assert "`ragmed tasks sample mednli --output DIR`" in said


def test_a_task_with_its_data_tells_groups_notes_and_what_the_retriever_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    invent_sample("mednli", tmp_path / "data")
    told = describe_task("mednli", workspace=Workspace.find(tmp_path)).splitlines()
    assert "scored examples: 12 in 4 groups   to show: 6" in told
    assert told[-1] == "  the retriever is asked: The patient has never smoked."
    invent_sample("longhealth_1", tmp_path / "long")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "long"))
    told = describe_task("longhealth_1", workspace=Workspace.find(tmp_path)).splitlines()
    assert "note: LongHealth's texts carry a canary: keep samples and pages of this run off the open web." in told
    assert told[-2:] == ["  gold: B", "  the retriever is asked: Which joint was swollen?"]
