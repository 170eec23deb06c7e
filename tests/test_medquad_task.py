"""The part of MedQuAD that can be learnt, and the task on its other names."""

from collections import Counter
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, load_recipe
from ragmed.errors import DataError, UsageError
from ragmed.tasks import Split, TaskSettings, load_task
from ragmed.tasks.medquad import alike, load
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
ARCHIVE = WORKSPACE.data / "corpora" / "medquad-1-9.tar.xz"
needs_medquad = pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"needs {ARCHIVE} (RAGMED_DATA)")
FOLDER = "4_MPlus_Health_Topics_QA"
TOPICS = {
    "Bad Breath": "Halitosis",
    "Tarn Itch": "Pruritus",
    "Hiccups": "Singultus",
    "Nosebleed": "Epistaxis",
    "Freckles": "Ephelides",
    "Pinkeye": "Conjunctivitis",
}


def page(focus: str, *names: str, cui: str = "", answer: str = "See a doctor.") -> str:
    also = "".join(f"<Synonym>{name}</Synonym>" for name in names)
    return (
        f"<Document id='1' source='MPlusHealthTopics' url='https://example.org/'><Focus>{focus}</Focus>"
        f"<CUI>{cui or focus}</CUI><SemanticType>T184</SemanticType><Synonyms>{also}</Synonyms>"
        f"<QAPairs><QAPair pid='1'><Question qtype='information'>What is {focus}?</Question>"
        f"<Answer>{answer}</Answer></QAPair></QAPairs></Document>"
    )


def topics(**changes: str) -> dict[str, str]:
    return {f"{FOLDER}/{n}.xml": page(focus, name) for n, (focus, name) in enumerate(TOPICS.items())} | changes


def workspace(folder: Path, files: dict[str, str], options: str = "synonyms: required") -> Workspace:
    for name, text in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_text(text)
    (folder / "corpora" / "medquad-topics").mkdir(parents=True)
    recipe = f"title: T\nreader: medquad\npaths: [{folder / 'in'}]\n{options}\n"
    (folder / "corpora" / "medquad-topics" / "recipe.yaml").write_text(recipe)
    return Workspace.find(folder)


def corpus(here: Workspace) -> Corpus:
    return Corpus(load_recipe(here.recipe("corpora", "medquad-topics"), data=here.data))


def golds(split: Split) -> dict[str, str]:
    return {e.question.partition("topic ")[2].rstrip("?"): e.options[e.gold] for e in (*split.examples, *split.shots)}


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
        corpus(workspace(tmp_path, topics(), options))


def test_a_folder_that_no_file_lies_in_is_named(tmp_path: Path) -> None:
    made = corpus(workspace(tmp_path, topics(), f"folders: [{FOLDER}, 6_NINDS]"))
    with pytest.raises(DataError, match="no file lies in a folder '6_NINDS'"):
        list(made.documents())


def test_every_topic_asks_for_its_name_among_names_of_others(tmp_path: Path) -> None:
    split = load(workspace(tmp_path, topics()))
    assert golds(split) == TOPICS
    for example in (*split.examples, *split.shots):
        assert set(example.options.values()) <= set(TOPICS.values())
        assert len(set(example.options.values())) == 4
        assert example.documents == (f"{example.group}/1",)
        assert example.id == example.group
    first = next(e for e in (*split.examples, *split.shots) if e.id == f"{FOLDER}/0")
    assert first.question == "Which of these is another name for the health topic Bad Breath?"


def test_the_documents_are_those_of_the_corpus_and_say_the_answer(tmp_path: Path) -> None:
    here = workspace(tmp_path, topics())
    texts = {document.id: document.text for document in corpus(here).documents()}
    for example in load(here).examples:
        (document,) = example.documents
        assert f"Also called: {example.options[example.gold]}" in texts[document]


def test_a_question_depends_on_nothing_but_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load(workspace(tmp_path / "a", topics())) == load(workspace(tmp_path / "b", topics()))


@pytest.mark.parametrize(
    ("focus", "name"),
    [
        ("Acne", "Acne vulgaris"),
        ("Osteoporosis", "Osteopenia"),
        ("High Blood Pressure Hypertension", "Antihypertensive need"),
        ("Flu", "Influenza"),
        ("Arteriovenous Malformations", "AVM of the brain"),
        ("COPD", "Chronic obstructive pulmonary disease"),
        ("Tetanus, Diphtheria, and Pertussis Vaccines", "Tdap"),
        ("Behçet's Syndrome", "Behcet disorder"),
    ],
)
def test_names_that_can_be_read_off_are_known(focus: str, name: str) -> None:
    assert alike(focus, name)
    assert not alike("Bad Breath", "Halitosis")


@pytest.mark.parametrize("name", ["Bad breath odour", "BB", "H5N1"])
def test_a_name_that_can_be_read_off_is_not_asked_for(tmp_path: Path, name: str) -> None:
    split = load(workspace(tmp_path, topics(**{f"{FOLDER}/0.xml": page("Bad Breath", name)})))
    assert set(golds(split)) == set(TOPICS) - {"Bad Breath"}
    assert not any(name in e.options.values() for e in (*split.examples, *split.shots))


@pytest.mark.parametrize(
    "other",
    [
        page("Mouth odour", "Foetor", cui="Bad Breath"),
        page("Mouth odour", "Foetor", answer="It is a bad breath."),
        page("Foul breath", "Foetor"),
        page("Mouth odour", "Halitosis"),
    ],
    ids=["one concept", "a mention", "a like name", "the same name"],
)
def test_a_name_that_might_be_right_too_is_no_wrong_one(tmp_path: Path, other: str) -> None:
    split = load(workspace(tmp_path, topics(**{f"{FOLDER}/9.xml": other})))
    (asked,) = [e for e in (*split.examples, *split.shots) if "Bad Breath" in e.question]
    assert "Foetor" not in asked.options.values()
    assert Counter(asked.options.values())["Halitosis"] == 1


def test_a_corpus_with_too_few_names_says_so(tmp_path: Path) -> None:
    files = {name: text for name, text in topics().items() if name < f"{FOLDER}/3"}
    with pytest.raises(DataError, match="too few names"):
        load(workspace(tmp_path, files))


def test_a_workspace_without_the_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'medquad-names' asks about the corpus 'medquad-topics'"):
        load(Workspace.find(tmp_path))


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
