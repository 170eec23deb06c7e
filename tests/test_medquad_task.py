"""The part of MedQuAD that a CPU can be trained on, and the task on its other names."""

from collections import Counter
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, load_recipe
from ragmed.errors import DataError, UsageError
from ragmed.files import sha256_json
from ragmed.records import Example
from ragmed.tasks import TaskSettings, load_task
from ragmed.tasks.medquad import load
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
ARCHIVE = WORKSPACE.data / "corpora" / "medquad-1-9.tar.xz"
needs_medquad = pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"needs {ARCHIVE} (RAGMED_DATA)")
FOLDER = "4_MPlus_Health_Topics_QA"


def page(focus: str, *names: str) -> str:
    also = "".join(f"<Synonym>{name}</Synonym>" for name in names)
    return (
        f"<Document id='1' source='MPlusHealthTopics' url='https://example.org/'><Focus>{focus}</Focus>"
        f"<Synonyms>{also}</Synonyms><QAPairs><QAPair pid='1'><Question qtype='information'>What is {focus}?</Question>"
        "<Answer>See a doctor.</Answer></QAPair></QAPairs></Document>"
    )


def workspace(folder: Path, files: dict[str, str], options: str) -> Workspace:
    for name, text in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_text(text)
    (folder / "corpora" / "medquad-topics").mkdir(parents=True)
    recipe = f"title: T\nreader: medquad\npaths: [{folder / 'in'}]\n{options}\n"
    (folder / "corpora" / "medquad-topics" / "recipe.yaml").write_text(recipe)
    return Workspace.find(folder)


def corpus(here: Workspace) -> Corpus:
    return Corpus(load_recipe(here.recipe("corpora", "medquad-topics"), data=here.data))


def test_a_recipe_takes_folders_and_files_with_names(tmp_path: Path) -> None:
    files = {
        f"{FOLDER}/1.xml": page("Pinkeye", "Conjunctivitis"),
        f"{FOLDER}/2.xml": page("Hiccups"),
        "6/1.xml": page("A"),
    }
    here = workspace(tmp_path, files, f"folders: [{FOLDER}]\nsynonyms: required")
    made = corpus(here)
    assert [document.id for document in made.documents()] == [f"{FOLDER}/1/1"]
    assert (made.records, made.ignored) == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("folders: 6_NINDS_QA", "'folders' is a list of folder names"),
        ("folders: []", "'folders' is a list of folder names"),
        ("folders: [6, 7]", "'folders' is a list of folder names"),
        ("synonyms: true", "'synonyms' is one of any, required"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        corpus(workspace(tmp_path, {f"{FOLDER}/1.xml": page("Hiccups", "Singultus")}, options))


def test_a_folder_that_no_file_lies_in_is_named(tmp_path: Path) -> None:
    made = corpus(
        workspace(tmp_path, {f"{FOLDER}/1.xml": page("Hiccups", "Singultus")}, f"folders: [{FOLDER}, 6_NINDS]")
    )
    with pytest.raises(DataError, match="no file lies in a folder '6_NINDS'"):
        list(made.documents())


def test_the_shipped_questions_are_read_in_the_order_of_the_topics() -> None:
    split = load(WORKSPACE)
    assert (len(split.examples), len(split.shots)) == (168, 42)
    assert split.examples[0] == Example(
        id=f"{FOLDER}/0000002",
        question="Which of these is another name for the health topic Abdominal Pain?",
        gold="A",
        options={"A": "Bellyache", "B": "Halitosis", "C": "The trots", "D": "Dyspepsia"},
        documents=(f"{FOLDER}/0000002/1",),
        group=f"{FOLDER}/0000002",
    )
    ids = [example.id for example in split.examples]
    assert ids == sorted(ids)
    assert split.shots[0].id == f"{FOLDER}/0000001"
    assert len({example.id for example in (*split.examples, *split.shots)}) == 210
    for example in (*split.examples, *split.shots):
        assert list(example.options) == ["A", "B", "C", "D"]
        assert len({name.casefold() for name in example.options.values()}) == 4


def test_the_shipped_questions_are_those_that_stored_answers_are_for() -> None:
    split = load(WORKSPACE)
    asked = [[e.id, e.question, e.gold, dict(e.options), list(e.documents)] for e in (*split.examples, *split.shots)]
    assert sha256_json(asked) == "5abcaf5c401ce0618c14472def7ec0fa39e3821572c3f1623903c2445a30bb99"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a", "split": "test"}', "line 1: missing or wrong field 'question'"),
        ('{"id": ', "line 1: "),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "names.jsonl").write_text(line + "\n")
    monkeypatch.setattr("ragmed.tasks.medquad.FILE", tmp_path / "names.jsonl")
    with pytest.raises(DataError, match=message):
        load(WORKSPACE)


@needs_medquad
def test_the_topics_are_whole_and_the_questions_give_nothing_away() -> None:
    texts = {document.id: document for document in corpus(WORKSPACE).documents()}
    assert len(texts) == 462
    assert sum(len(document.text) for document in texts.values()) == 460_790
    bound = load_task("medquad-names", TaskSettings(shots=5), workspace=WORKSPACE, seed=1)
    assert len(bound.examples) == 168
    assert Counter(e.gold for e in bound.examples).most_common(1)[0][1] <= 48
    longest = 0.0
    for example in bound.examples:
        (document,) = example.documents
        assert example.options[example.gold] in texts[document].text.partition("Also called: ")[2]
        lengths = [len(name) for name in example.options.values()]
        at_most = [letter for letter, name in example.options.items() if len(name) == max(lengths)]
        longest += (example.gold in at_most) / len(at_most)
    assert 0.2 <= longest / len(bound.examples) <= 0.3
    asked = "which of these is another name"
    assert not any(asked in document.text.casefold() for document in texts.values())
