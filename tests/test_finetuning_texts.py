"""Corpora become training texts: each way, other wordings, what a model writes; the same corpora, the same texts."""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragmed.errors import BusyError, DamagedError, MismatchError, ModelError, ProtectionError, UsageError
from ragmed.files import exclusive
from ragmed.finetuning.overlap import kept_out
from ragmed.finetuning.paraphrases import paraphrased
from ragmed.finetuning.recipe import AdapterRecipe, KeepOut, Paraphrases, Raft
from ragmed.finetuning.texts import TextSet, TrainingText
from ragmed.finetuning.training_texts import training_texts
from ragmed.finetuning.wordings import FORMS, MOST, WORDINGS, question_wordings
from ragmed.models.scripted import ScriptedModel
from ragmed.prompts import WITH_PASSAGES
from ragmed.records import Completion, Message
from ragmed.retrieval.named import build_named
from ragmed.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = ["gout", "mumps", "scurvy", "rickets"]


def medquad_file(subject: str) -> str:
    return (
        f'<Document id="1" source="GARD" url="https://a.org/{subject}"><Focus>{subject}</Focus><QAPairs>'
        f'<QAPair pid="1"><Question qtype="causes">What causes {subject} ?</Question>'
        f"<Answer>{subject.title()} comes from a thing that is called {subject}ine.</Answer></QAPair>"
        f'<QAPair pid="2"><Question qtype="treatment">Will {subject} go away?</Question>'
        f"<Answer>It does, with {subject}ol &lt;|im_end|&gt; twice daily.</Answer></QAPair>"
        f'<QAPair pid="3"><Question qtype="outlook">What is the outlook for {subject} ?</Question><Answer/></QAPair>'
        "</QAPairs></Document>"
    )


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    """A MedQuAD of four files with two pairs each, and two pages of Markdown."""
    for name, reader in (("faq", "medquad"), ("pages", "markdown")):
        (tmp_path / "corpora" / name / "data").mkdir(parents=True)
        (tmp_path / "corpora" / name / "recipe.yaml").write_text(
            f"title: T\nreader: {reader}\npaths: [data]\nlicense: none\ncitation: C\n"
        )
    for subject in SUBJECTS:
        (tmp_path / "corpora" / "faq" / "data" / f"{subject}.xml").write_text(medquad_file(subject))
    pages = tmp_path / "corpora" / "pages" / "data"
    (pages / "a.md").write_text("# Beds\n\nThere are ten.\n\n## Moves\n\nAt noon.\n")
    (pages / "b.txt").write_text("No title here. <|im_start|>system")
    return Workspace.find(tmp_path)


def recipe(*corpora: str, learn: tuple[str, ...] = ("passages",), **changes: object) -> AdapterRecipe:
    return replace(AdapterRecipe("mine", "scripted:echo", corpora, learn=learn), **changes)  # type: ignore[arg-type]


def by_id(textset: TextSet) -> dict[str, TrainingText]:
    assert len({one.id for one in textset.texts}) == len(textset.texts)
    return {one.id: one for one in textset.texts}


# ---- ways


def test_passages_are_the_documents_under_their_titles(here: Workspace) -> None:
    made = training_texts(recipe("pages"), workspace=here)
    assert made.texts == (
        TrainingText("passages:pages:a", "pages:a", "passages", "# Beds\n\nThere are ten.\n\n## Moves\n\nAt noon.\n"),
        TrainingText("passages:pages:b", "pages:b", "passages", "b\n\nNo title here. < |im_start| >system"),
    )
    assert made.access == "open"
    assert made.counts == {"passages": 2, "pairs": 0, "raft": 0, "templates": 0, "by_model": 0, "texts": 2} | {
        "raft-sections": 0
    }


def test_pairs_are_questions_with_their_answers(here: Workspace) -> None:
    made = training_texts(recipe("faq", "pages", learn=("pairs", "passages")), workspace=here)
    assert made.counts["pairs"] == 8
    assert made.counts["passages"] == 10
    pair = by_id(made)["pairs:faq:gout/2"]
    assert pair.document == "faq:gout/2"
    assert pair.question == "Will gout go away?"
    assert pair.messages == (
        Message("user", "Will gout go away?"),
        Message("assistant", "It does, with goutol < |im_end| > twice daily."),
    )
    # the document of the pair asks the same
    assert by_id(made)["passages:faq:gout/2"].question == "Will gout go away?"
    assert [one["rejected"] for one in made.corpora] == [4, 0]


def test_the_corpus_is_the_one_that_an_index_records(here: Workspace) -> None:
    (here.indexes / "both").mkdir(parents=True)
    (here.indexes / "both" / "recipe.yaml").write_text("corpora: [faq, pages]\nembedder: hashing:16\n")
    manifest, _ = build_named("both", workspace=here)
    made = training_texts(recipe("faq", "pages"), workspace=here)
    assert [one["sha256"] for one in made.corpora] == [one.sha256 for one in manifest.corpora]
    assert {key: made.corpora[1][key] for key in ("name", "documents", "license", "access", "citation")} == {
        "name": "pages", "documents": 2, "license": "none", "access": "open", "citation": "C",
    }  # fmt: skip


def test_same_corpora_same_texts(here: Workspace) -> None:
    mine = recipe(
        "faq", "pages", learn=("raft", "pairs", "passages"), paraphrases=Paraphrases(templates=2), raft=Raft(3, 0.5)
    )
    first, second = (training_texts(mine, workspace=here) for _ in range(2))
    assert first == second
    assert list(dict.fromkeys(one.way for one in first.texts)) == ["raft", "pairs", "passages"]
    assert training_texts(replace(mine, seed=1), workspace=here).texts != first.texts


def test_the_strictest_tier_counts(here: Workspace) -> None:
    with (here.corpora / "pages" / "recipe.yaml").open("a") as stream:
        stream.write("access: private\n")
    assert training_texts(recipe("faq", "pages"), workspace=here).access == "private"
    assert training_texts(recipe("faq"), workspace=here).access == "open"


@pytest.mark.parametrize("way", ["pairs", "raft"])
def test_a_corpus_without_pairs_is_refused_where_they_are_asked_for(here: Workspace, way: str) -> None:
    with pytest.raises(UsageError, match=rf"{way}: no corpus of pages has questions .*learn: \[passages\].* medquad"):
        training_texts(recipe("pages", learn=("passages", way)), workspace=here)


# ---- templates


def test_every_kind_has_as_many_wordings_of_its_focus() -> None:
    assert WORDINGS.keys() == FORMS.keys()
    for kind, forms in FORMS.items():
        made = question_wordings(forms[0].format("gout {x}"), kind=kind, focus="gout {x}", count=MOST)
        assert [one.count("gout {x}") for one in dict.fromkeys(made)] == [1] * MOST, kind


def test_a_question_in_other_words_than_its_kind_keeps_them() -> None:
    assert question_wordings("Will gout go away?", kind="treatment", focus="gout", count=2) == [
        "Please answer this question: Will gout go away?",
        "A patient asks: Will gout go away?",
    ]
    unknown = question_wordings("What causes it?", kind="causes", focus="", count=1)
    assert unknown == ["Please answer this question: What causes it?"]


def test_templates_reword_questions_and_frame_pages(here: Workspace) -> None:
    mine = recipe("faq", "pages", learn=("pairs", "passages"), paraphrases=Paraphrases(templates=2))
    made = training_texts(mine, workspace=here)
    texts = by_id(made)
    asked = texts["pairs+t1:faq:gout/1"]
    assert asked.messages == (Message("user", asked.question), texts["pairs:faq:gout/1"].messages[1])
    assert (asked.question, asked.wording) == ("Why does somebody get gout?", "template")
    assert texts["passages+t2.1:pages:a"].messages == (
        Message("user", 'Tell me what is written under "Beds > Moves".'),
        Message("assistant", "## Moves\n\nAt noon."),
    )
    # 8 pairs and 11 sections (8 of pairs, 2 and 1 of the pages), twice each
    assert made.counts["templates"] == 2 * 8 + 2 * 11
    with pytest.raises(UsageError, match="there are 6 templates a text; 7 were asked for"):
        training_texts(replace(mine, paraphrases=Paraphrases(templates=7)), workspace=here)


def test_wordings_go_through_the_overlap_check(small: Workspace) -> None:
    mine = AdapterRecipe(
        "mine", "scripted:echo", ("wards",), paraphrases=Paraphrases(templates=1), keep_out=KeepOut(tasks=("mmlu",))
    )
    page = small.corpora / "wards" / "pages" / "elm.md"
    page.write_text("# What is the extension of Elm ward?\n\nIt is 4000.\n")
    drop = replace(mine, keep_out=replace(mine.keep_out, on_overlap="drop"))
    _, report = kept_out(training_texts(drop, workspace=small), drop, workspace=small)
    assert report.dropped == ("passages:wards:elm", "passages+t1.0:wards:elm")


# ---- raft


def test_raft_shows_the_gold_passage_among_others(here: Workspace) -> None:
    made = training_texts(recipe("faq", learn=("raft",), raft=Raft(distractors=2, gold=1.0)), workspace=here)
    assert made.counts["raft"] == 8
    places = Counter()
    for one in made.texts:
        system, user, answer = one.messages
        assert (system.role, user.role, answer.role) == ("system", "user", "assistant")
        assert system.content == WITH_PASSAGES
        assert user.content.endswith(f"\n\nQuestion: {one.question}")
        blocks = user.content.split("<passage ")[1:]
        gold = [place for place, block in enumerate(blocks) if one.question in block.split("</passage")[0]]
        assert len(blocks) == 3
        assert len(gold) == 1
        places[gold[0]] += 1
    assert len(places) > 1


def test_raft_shows_distractors_alone_where_gold_is_left_out(here: Workspace) -> None:
    made = training_texts(recipe("faq", learn=("raft",), raft=Raft(distractors=2, gold=0.0)), workspace=here)
    for one in made.texts:
        passages = one.messages[-2].content.partition("</passages>")[0]
        assert passages.count("<passage ") == 2
        assert one.question not in passages
    share = training_texts(
        recipe("faq", learn=("raft",), raft=Raft(1, 0.5), paraphrases=Paraphrases(templates=6)), workspace=here
    )
    golds = sum(one.messages[-2].content.count("<passage ") - 1 for one in share.texts)
    assert len(share.texts) == 56
    assert 14 <= golds <= 42


def test_raft_of_sections_needs_no_questions(here: Workspace) -> None:
    made = training_texts(recipe("pages", learn=("raft-sections",), raft=Raft(distractors=1, gold=1.0)), workspace=here)
    assert (made.counts["raft-sections"], made.counts["raft"], made.counts["texts"]) == (3, 0, 3)
    texts = by_id(made)
    assert list(texts) == ["raft-sections+s0:pages:a", "raft-sections+s1:pages:a", "raft-sections+s0:pages:b"]
    moves = texts["raft-sections+s1:pages:a"]
    assert (moves.document, moves.way, moves.question) == (
        "pages:a", "raft-sections", 'What does the page "Beds > Moves" say?'
    )  # fmt: skip
    assert moves.messages[-1] == Message("assistant", "## Moves\n\nAt noon.")
    assert moves.messages[-2].content.count("<passage ") == 2
    assert "At noon." in moves.messages[-2].content
    assert "No title here." in moves.messages[-2].content
    with pytest.raises(UsageError, match=r"raft: no corpus of pages has questions .*learn: \[raft-sections\]"):
        training_texts(recipe("pages", learn=("raft",)), workspace=here)


def test_raft_without_any_passage_is_a_bare_question(here: Workspace) -> None:
    made = training_texts(recipe("faq", learn=("raft",), raft=Raft(0, 0.0)), workspace=here)
    assert made.texts[0].messages[0] == Message("user", "Question: What causes gout?")


def test_raft_takes_distractors_from_an_index(here: Workspace) -> None:
    (here.indexes / "faq").mkdir(parents=True)
    (here.indexes / "faq" / "recipe.yaml").write_text("corpora: [faq]\nembedder: hashing:512\n")
    made = training_texts(recipe("faq", learn=("raft",), raft=Raft(1, 0.0, "faq")), workspace=here)
    # the other pair on gout, or the same question of another disease: near, and never the pair's own document
    shown = by_id(made)["raft:faq:gout/1"].messages[1].content.partition("</passages>")[0]
    assert "Will gout go away?" in shown or "What causes" in shown
    assert "What causes gout?" not in shown
    all_others = training_texts(recipe("faq", learn=("raft",), raft=Raft(7, 0.0, "faq")), workspace=here)
    assert all(one.messages[1].content.count("<passage ") == 7 for one in all_others.texts)
    with pytest.raises(UsageError, match="'faq' has 7 passages of other documents for the question of 'faq:gout/1'"):
        training_texts(recipe("faq", "pages", learn=("raft",), raft=Raft(8, 0.0, "faq")), workspace=here)


def test_an_index_lends_its_tier_to_what_is_trained_on(here: Workspace) -> None:
    with (here.corpora / "pages" / "recipe.yaml").open("a") as stream:
        stream.write("access: private\n")
    (here.indexes / "pages").mkdir(parents=True)
    (here.indexes / "pages" / "recipe.yaml").write_text("corpora: [pages]\nembedder: hashing:64\n")
    assert (
        training_texts(recipe("faq", learn=("raft",), raft=Raft(1, 0.0, "pages")), workspace=here).access == "private"
    )


def test_more_distractors_than_there_are_documents_are_refused(here: Workspace) -> None:
    with pytest.raises(UsageError, match=r"raft\.distractors: 8 passages .* the corpora have 8 documents"):
        training_texts(recipe("faq", learn=("raft",), raft=Raft(distractors=8)), workspace=here)


# ---- a model's wordings


def scripted(folder: Path, *entries: dict[str, str]) -> str:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in entries))
    return f"scripted:{path}"


def worded(here: Workspace, mine: AdapterRecipe) -> TextSet:
    return paraphrased(training_texts(mine, workspace=here), mine, workspace=here, folder=here.root / "out")


def test_without_a_model_nothing_is_added(here: Workspace) -> None:
    made = training_texts(recipe("pages"), workspace=here)
    assert paraphrased(made, recipe("pages"), workspace=here, folder=here.root / "out") is made
    assert not (here.root / "out").exists()


def test_a_model_rewrites_passages_and_questions(here: Workspace) -> None:
    model = scripted(
        here.root,
        {"contains": "What causes gout?", "answer": "Why gout?"},
        {"contains": "There are ten", "answer": "Ten beds.<|im_end|>"},
        {"contains": "At noon", "answer": "They move at noon."},
        {"default": "Other words."},
    )
    mine = recipe("faq", "pages", learn=("pairs", "raft", "passages"), paraphrases=Paraphrases(model=model))
    made = worded(here, replace(mine, raft=Raft(1, 1.0)))
    texts = by_id(made)
    pair = texts["pairs+m1:faq:gout/1"].messages
    assert pair == (Message("user", "Why gout?"), texts["pairs:faq:gout/1"].messages[1])
    raft = texts["raft+m1:faq:gout/1"]
    assert raft.messages[-2].content.endswith("</passages>\n\nQuestion: Why gout?")
    assert raft.messages[-2].content.startswith("<passages>")
    assert (raft.question, raft.wording) == ("Why gout?", "model")
    assert texts["passages+m1.0:pages:a"].text == "Ten beds.< |im_end| >"
    assert texts["passages+m1.1:pages:a"].text == "Beds\n\nThey move at noon."
    assert made.counts["by_model"] == made.counts["texts"] - 26 > 0


def test_what_is_recorded_is_not_asked_again(here: Workspace) -> None:
    mine = recipe("pages", paraphrases=Paraphrases(model=scripted(here.root, {"default": "Other words."})))
    first = worded(here, mine)
    path = here.root / "out" / "paraphrases.jsonl"
    lines = path.read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines[1:]] == [
        "passages:pages:a",
        "passages:pages:a",
        "passages:pages:b",
    ]
    # a kill tears the last line: it alone is asked again; what stands there is believed
    path.write_text("\n".join([lines[0], lines[1].replace("Other words.", "As recorded."), lines[2], lines[3][:40]]))
    second = worded(here, mine)
    assert len(path.read_text().splitlines()) == 4
    assert [one.text for one in second.texts[2:]] == ["As recorded.", "Beds\n\nOther words.", "Other words."]
    assert [one.text for one in first.texts[2:]] == ["Other words.", "Other words."]
    assert first.counts["paraphrases_repeated"] == 1  # the second piece got the words of the first
    # nothing is missing: no model is loaded, and the file stays as it is
    before = path.read_bytes()
    (here.root / "answers.jsonl").unlink()
    assert worded(here, mine) == second
    assert path.read_bytes() == before


def test_another_model_is_refused(here: Workspace) -> None:
    mine = recipe("pages", paraphrases=Paraphrases(model=scripted(here.root, {"default": "Other words."})))
    worded(here, mine)
    with pytest.raises(MismatchError, match=r"was written with model scripted:.*the recipe has scripted:echo; take"):
        worded(here, replace(mine, paraphrases=Paraphrases(model="scripted:echo")))
    with pytest.raises(MismatchError, match="max_tokens 256, the recipe has 100"):
        worded(here, replace(mine, paraphrases=replace(mine.paraphrases, max_tokens=100)))
    scripted(here.root, {"default": "Quite other words."})
    with pytest.raises(MismatchError, match="with other weights or settings"):
        worded(here, replace(mine, paraphrases=replace(mine.paraphrases, per_text=2)))


def test_bad_answers_are_counted_and_never_trained_on(here: Workspace) -> None:
    model = scripted(
        here.root,
        {"contains": "There are ten", "answer": "one " * 300},
        {"contains": "At noon", "answer": "## Moves\n\nat noon."},
        {"contains": "No title", "answer": "Other words."},
    )
    made = worded(here, recipe("pages", paraphrases=Paraphrases(model=model, per_text=2)))
    assert [one.id for one in made.texts if one.wording] == ["passages+m1.0:pages:b"]
    # cut at 256 words, twice; the text itself, twice; the same wording again
    assert (made.counts["paraphrases_failed"], made.counts["paraphrases_repeated"]) == (2, 3)
    assert len((here.root / "out" / "paraphrases.jsonl").read_text().splitlines()) == 1 + 6


def test_a_model_that_writes_nothing_is_an_error(here: Workspace) -> None:
    with pytest.raises(
        ModelError, match=r"wrote no wording of 3 asked for; most often: an answer that ended in 'stop'"
    ):
        worded(here, recipe("pages", paraphrases=Paraphrases(model=scripted(here.root, {"default": "  "}))))


class Failing(ScriptedModel):
    """The first of every call fails."""

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        done = super().generate(prompts, max_tokens=max_tokens)
        return [Completion("half a", "error", 1, 0, "the server hung up"), *done[1:]]


def test_an_answer_that_failed_is_recorded_and_not_trained_on(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragmed.finetuning.paraphrases.load_model", lambda name, **_: Failing(name))
    made = worded(here, recipe("pages", paraphrases=Paraphrases(model="scripted:echo")))
    assert [one.id for one in made.texts[2:]] == ["passages+m1.1:pages:a", "passages+m1.0:pages:b"]
    assert made.counts["paraphrases_failed"] == 1
    record = json.loads((here.root / "out" / "paraphrases.jsonl").read_text().splitlines()[1])
    assert (record["finish"], record["error"], record["words"]) == ("error", "the server hung up", "half a")


def test_a_damaged_or_busy_file_is_refused(here: Workspace) -> None:
    mine = recipe("pages", paraphrases=Paraphrases(model="scripted:echo"))
    worded(here, mine)
    path = here.root / "out" / "paraphrases.jsonl"
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(DamagedError, match="line 5: it is no answer of a model"):
        worded(here, mine)
    with exclusive(here.root / "out" / ".paraphrases.jsonl.lock", "it"), pytest.raises(BusyError):
        worded(here, mine)


def test_restricted_texts_stay_here(here: Workspace) -> None:
    with (here.corpora / "pages" / "recipe.yaml").open("a") as stream:
        stream.write("access: credentialed\n")
    with pytest.raises(ProtectionError, match=r"are credentialed, and 'endpoint:http://far\.example/v1#m' would send"):
        worded(here, recipe("pages", paraphrases=Paraphrases(model="endpoint:http://far.example/v1#m")))
    assert not (here.root / "out").exists()
    worded(here, recipe("pages", paraphrases=Paraphrases(model="scripted:echo")))
    assert stat.S_IMODE((here.root / "out" / "paraphrases.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((here.root / "out").stat().st_mode) == 0o700


# ---- the real thing


@pytest.mark.slow
def test_the_pairs_of_medquad() -> None:
    workspace = Workspace.find(ROOT)
    if not (workspace.data / "corpora" / "medquad-1-9.tar.xz").is_file():
        pytest.skip("MedQuAD is not at RAGMED_DATA")
    made = training_texts(
        recipe("medquad", learn=("pairs",), paraphrases=Paraphrases(templates=1)), workspace=workspace
    )
    assert (made.counts["pairs"], made.counts["templates"]) == (2 * 16423, 16423)
    assert (made.corpora[0]["documents"], made.corpora[0]["rejected"]) == (16423, 5)
    framed = sum(one.question.startswith("Please answer this question:") for one in made.texts)
    assert framed < 150  # nearly every question has the form of its kind
