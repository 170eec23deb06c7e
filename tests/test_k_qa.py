import json
from pathlib import Path

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.metrics import find_metric
from ragmed.metrics.coverage import FUNCTION_WORDS, content_words
from ragmed.prompts import build_messages
from ragmed.records import Example
from ragmed.tasks import TaskSettings, k_qa, load_task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
QUESTIONS = WORKSPACE.data / "k-qa" / "questions_w_answers.jsonl"
needs_k_qa = pytest.mark.skipif(not QUESTIONS.is_file(), reason=f"needs {QUESTIONS} (RAGMED_DATA)")


def record(number: int = 1, **changes: object) -> dict[str, object]:
    """Invented, with the fields of the published file."""
    return {
        "Question": f"Can I take Zelmarin on day {number}?", "Free_form_answer": f"Yes, with water, on day {number}.",
        "Must_have": ["Zelmarin can be taken with water.", f"Day {number} is safe."], "Nice_to_have": ["Rest helps."],
        "Sources": "https://example.org", "ICD_10_diag": None, **changes,
    }  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "k-qa").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def write(workspace: Workspace, *records: object) -> None:
    lines = "".join(json.dumps(one) + "\n" for one in records)
    (workspace.data / "k-qa" / "questions_w_answers.jsonl").write_text(lines)


@needs_k_qa
def test_the_published_questions_are_whole_and_their_answers_cover_their_statements() -> None:
    split = k_qa.load(WORKSPACE)
    examples = [*split.examples, *split.shots]
    assert len(examples) >= 93  # the full file holds more; what is kept back here does not change the side of a row
    assert len(split.shots) >= 7
    assert split.notes[0].startswith("k_qa: a statement without a word was left out of ")
    assert "How could I be the only person in the house with a viral infection?" in split.notes[0]
    counts = [sum(len(e.gold[name]) for e in examples) for name in ("must_have", "nice_to_have")]
    assert counts == [391, 316] or len(examples) > 93

    def coverage(answers: list[str]) -> float:
        return sum(find_metric("lexical_coverage").score(list(zip(examples, answers, strict=True)))) / len(examples)  # type: ignore[arg-type]

    own = [e.gold["answer"][0] for e in examples]
    assert coverage(own) == pytest.approx(0.946, abs=0.03)
    assert coverage(own[1:] + own[:1]) < 0.01


def test_statements_are_gold_and_a_worked_example_shows_the_physicians_text(here: Workspace) -> None:
    write(here, *map(record, range(60)))
    split = k_qa.load(here)
    assert 1 <= len(split.shots) <= 10
    assert len(split.shots) + len(split.examples) == 60
    bound = load_task("k_qa", TaskSettings(shots=1, limit=1), workspace=here, seed=0)
    messages = build_messages(bound, bound.examples[0])
    number = bound.shots[0].id.removeprefix("Can I take Zelmarin on day ")[:-1]
    assert messages[2].content == f"Yes, with water, on day {number}."
    assert messages[-1].content == f"Question: {bound.examples[0].question}"
    assert bound.task.query(bound.examples[0]) == (bound.examples[0].question,)
    gold = bound.examples[0].gold
    assert {name: len(gold[name]) for name in gold} == {"must_have": 2, "nice_to_have": 1, "answer": 1}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (record(Must_have=["a", 1]), "line 1: 'Must_have' is no list of texts"),
        (record(Nice_to_have="Rest."), "line 1: 'Nice_to_have' is no list of texts"),
        (record(Free_form_answer=" "), "line 1: 'Free_form_answer' is empty"),
        ({"Question": "?"}, "line 1: missing or wrong field 'Must_have'"),
    ],
)
def test_a_question_that_cannot_be_used_is_named(here: Workspace, record: object, message: str) -> None:
    write(here, record)
    with pytest.raises(DataError, match=message):
        k_qa.load(here)


def test_a_question_that_no_answer_could_be_measured_by_is_left_out_and_said(here: Workspace) -> None:
    write(here, record(1, Must_have=[" ", "—"]), record(2), record(3, Must_have=[]), record(4, Nice_to_have=[]))
    split = k_qa.load(here)
    assert len(split.examples) + len(split.shots) == 2
    assert split.notes == (
        "k_qa: a statement without a word was left out of 1 of the questions (Can I take Zelmarin on day 1?).",
        "k_qa: there is no must-have statement, which leaves out 2 of the questions (Can I take Zelmarin on day 1?; "
        "Can I take Zelmarin on day 3?).",
    )


def test_a_question_that_stands_twice_is_refused(here: Workspace) -> None:
    write(here, record(), record())
    with pytest.raises(DataError, match="occurs twice"):
        load_task("k_qa", TaskSettings(), workspace=here, seed=0)


def test_coverage_is_worked_out_by_hand() -> None:
    gold = {
        "must_have": ("Aspirin can thin the blood.", "No dose is doubled.", "See a doctor after ten days of fever.")
    }
    example = Example("q", "?", gold=gold)

    def score(answer: str | None) -> float:
        (found,) = find_metric("lexical_coverage").score([(example, answer)])
        return float(found)  # type: ignore[arg-type]

    assert score("Aspirin makes blood thinner; no doubled doses. Fever of ten days: see a doctor.") == 1.0
    # two of three content words (aspirin, thin, blood) are enough; "dose" alone of (no, dose, doubl) is not
    assert score("Aspirin and blood, and a dose.") == pytest.approx(1 / 3)
    assert score("The of and.") == score("") == score(None) == 0.0
    with pytest.raises(UsageError, match="'q1' names no statements"):
        find_metric("lexical_coverage").score([(Example("q1", "?", gold="B"), "B")])
    assert not FUNCTION_WORDS & {"no", "not", "never", "without"}


@pytest.mark.parametrize("denied", ["doesn't", "does not", "DOESN’T", "won't", "can't", "cannot", "can not", "shan't"])
def test_a_contracted_denial_is_a_denial(denied: str) -> None:
    assert content_words(f"It {denied} harm the baby.") == {"not", "harm", "babi"}


def test_words_that_only_look_like_a_denial_are_left_as_they_are() -> None:
    assert content_words("A knot, a cannon and an ant") == {"knot", "cannon", "ant"}
