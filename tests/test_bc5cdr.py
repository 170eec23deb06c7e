from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.prompts import build_messages
from ragmed.records import Sample
from ragmed.scores import score_samples
from ragmed.tasks import TaskSettings, bc5cdr, load_task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
DEVEL = WORKSPACE.data / "bc5cdr" / "devel.tsv"
needs_bc5cdr = pytest.mark.skipif(not DEVEL.is_file(), reason=f"needs {DEVEL} (RAGMED_DATA)")

# invented, as are all sentences here
SENTENCE = (
    "Zelmarin\tB-Chemical\n-\tO\ninduced\tO\nrenal\tB-Disease\nfailure\tI-Disease\nafter\tO\nZelmarin\tB-Chemical\n"
    "plus\tO\nB\tB-Chemical\n-\tI-Chemical\n12\tI-Chemical\n.\tO\n"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "bc5cdr").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def plain(number: int) -> str:
    return f"Sentence\tO\n{number}\tO\n.\tO\n"


def write(workspace: Workspace, *sentences: str, part: str = "devel") -> None:
    (workspace.data / "bc5cdr" / f"{part}.tsv").write_text("".join(f"{sentence}\n" for sentence in sentences))


@needs_bc5cdr
def test_the_published_sentences_are_whole() -> None:
    split = bc5cdr.load(WORKSPACE)
    assert (len(split.examples), len(split.shots)) == (4581, 4560)
    counted = [sum(len(found) for e in part for found in e.gold.values()) for part in (split.examples, split.shots)]
    assert counted == [9031, 8854]
    assert split.shots[0].gold == {
        "chemicals": ("Selegiline",), "diseases": ("postural hypotension", "Parkinson ' s disease"),
    }  # fmt: skip
    texts: dict[str, set[str]] = {}
    for example in split.examples:
        texts.setdefault(example.context[0].text, set()).add(example.group)
    assert all(len(groups) == 1 for groups in texts.values())
    assert 100 < len({e.group for e in split.examples}) <= -(-4581 // bc5cdr.BLOCK)


def test_mentions_come_from_their_labels_and_the_answer_is_json(here: Workspace) -> None:
    write(here, SENTENCE, plain(1))
    write(here, plain(2), SENTENCE.replace("after", "with"), part="train")
    bound = load_task("bc5cdr", TaskSettings(shots=2), workspace=here, seed=0)
    first = next(e for e in bound.examples if e.id == "devel-00001")
    assert first.context[0].text == "Zelmarin - induced renal failure after Zelmarin plus B - 12 ."
    assert first.gold == {"chemicals": ("Zelmarin", "B - 12"), "diseases": ("renal failure",)}
    assert bound.task.query(first) == (first.context[0].text,)
    messages = build_messages(bound, first)
    assert messages[-1].content == f"Sentence: {first.context[0].text}"
    assert {m.content for m in messages if m.role == "assistant"} == {
        '{"chemicals": ["Zelmarin", "B - 12"], "diseases": ["renal failure"]}', '{"chemicals": [], "diseases": []}',
    }  # fmt: skip
    answer = 'It names: {"chemicals": ["B-12"], "diseases": ["failure"]}'
    (score,) = score_samples([Sample("a", "bc5cdr", first, completion=answer)], bound.reader, bound.task.metrics)
    assert dict(score.metrics) == {"entity_f1": (1.0, 1.0, 2.0), "entity_f1_overlap": (2.0, 0.0, 1.0)}


def test_blocks_of_neighbours_are_groups_and_equal_sentences_join_them(here: Workspace) -> None:
    numbers = list(range(100))
    numbers[95] = 2  # the fourth block holds a sentence of the first one
    write(here, *map(plain, numbers))
    write(here, SENTENCE, part="train")
    groups = {e.id: e.group for e in bc5cdr.load(here).examples}
    assert groups["devel-00001"] == groups["devel-00030"] == groups["devel-00091"] == groups["devel-00100"]
    assert len({groups[f"devel-{number:05d}"] for number in (1, 31, 61)}) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gout", "line 3: a token, a tab and a label were expected, found 'gout'"),
        ("gout\tB-Gene", "line 3: label 'B-Gene'; known: O, B-Chemical, I-Chemical, B-Disease, I-Disease"),
        ("gout\tB-Disease\tD1", "line 3: a token, a tab and a label"),
        ("gout\tI-Disease", "line 3: 'I-Disease' goes on with a mention that was not begun"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(here: Workspace, line: str, message: str) -> None:
    write(here, f"Acute\tO\nzelmarin\tB-Chemical\n{line}\n")
    write(here, SENTENCE, part="train")
    with pytest.raises(DataError, match=message):
        bc5cdr.load(here)


def test_a_missing_file_says_where_to_put_it(here: Workspace) -> None:
    with pytest.raises(DataError, match=r"put BC5CDR's devel.tsv there, or set RAGMED_DATA"):
        bc5cdr.load(here)
