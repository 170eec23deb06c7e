"""BM25: bm25s's own scores, ties by passage id, no hit without a shared word; postings whole, mapped, no pickle."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from encoders import index_of

from ragmed.chunking import embedded_text
from ragmed.errors import DamagedError, UnknownNameError, UsageError
from ragmed.index.build import build_index
from ragmed.index.recipe import IndexRecipe
from ragmed.index.store import Index
from ragmed.records import Passage
from ragmed.retrieval.bm25 import BM25Retriever
from ragmed.retrieval.words import tokeniser
from ragmed.workspace import Workspace

TEXTS = [
    "Salbutamol relieves an asthma attack.",
    "A broken wrist needs a cast.",
    "Paracetamol lowers a fever.",
    "An asthma attack, an asthma attack!",
    "A broken wrist needs a cast.",
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("workspace"), TEXTS)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Index:
    rng = random.Random(4)
    words = [f"word{number}" for number in range(200)]
    texts = [" ".join(rng.choices(words, k=rng.randrange(3, 60))) for _ in range(300)]
    return index_of(tmp_path_factory.mktemp("large"), texts)


def found(retriever: BM25Retriever, query: str, k: int = 5) -> list[str]:
    return [hit.passage.document for hit in retriever.retrieve([query], k=k)[0]]


def test_passages_that_share_words_are_found_best_first(index: Index):
    hits = BM25Retriever(index).retrieve(["asthma attacks", "fever"], k=5)
    assert [[(hit.passage.document, hit.rank) for hit in line] for line in hits] == [
        [("d3", 1), ("d0", 2)],
        [("d2", 1)],
    ]
    # 1 of 5 passages has the word; 3 words here (without "a"), 19 in all (ln(1 + 4.5 / 1.5) = 1.386)
    assert hits[1][0].score == pytest.approx(1.386294 / (1.5 * (0.25 + 0.75 * 3 / (19 / 5)) + 1), abs=1e-5)


def test_equal_scores_are_ordered_by_passage_id(index: Index):
    assert found(BM25Retriever(index), "wrist cast") == ["d1", "d4"]
    assert found(BM25Retriever(index), "wrist cast", k=1) == ["d1"]


def test_the_words_of_a_title_count_as_often_as_is_declared(tmp_path: Path):
    folder = tmp_path / "corpora" / "notes"
    folder.mkdir(parents=True)
    notes = [("titled", "Fever", "An aspirin a day."), ("told", "Aspirin", "A fever, again a fever.")]
    lines = [json.dumps({"id": name, "title": title, "text": text}) + "\n" for name, title, text in notes]
    (folder / "notes.jsonl").write_text("".join(lines))
    (folder / "recipe.yaml").write_text(
        "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\nfields: {id: id, title: title, text: text}\n"
    )
    output = tmp_path / "indexes" / "notes"
    build_index(IndexRecipe("notes", ("notes",), "hashing:16"), workspace=Workspace(tmp_path), output=output)
    notes_index = Index.open(output)
    assert found(BM25Retriever(notes_index), "fever") == ["told", "titled"]
    weighted = BM25Retriever(notes_index, title_weight=5)
    assert found(weighted, "fever") == ["titled", "told"]
    assert [hit.score for hit in weighted.rank(["fever"], [list(notes_index)])[0]] == pytest.approx(
        [hit.score for hit in weighted.retrieve(["fever"], k=2)[0]], abs=1e-5
    )


def test_without_a_known_word_there_is_no_hit(index: Index):
    assert BM25Retriever(index).retrieve(["hypertension", "the of a", "", "?!"], k=3) == [[], [], [], []]
    assert BM25Retriever(index).retrieve([], k=3) == []


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
def test_scores_are_those_of_bare_bm25s(large: Index, k1: float, b: float):
    texts = [embedded_text(passage) for passage in large]
    bare = bm25s.BM25(k1=k1, b=b, method="lucene")
    bare.index(bm25s.tokenize(texts, stopwords="english", show_progress=False), show_progress=False)
    queries = ["word1 word2 word3", "word7 word7 word199", "word42"]
    tokens = bm25s.tokenize(queries, stopwords="english", return_ids=False, show_progress=False)
    retriever = BM25Retriever(large, k1=k1, b=b, stemmer="none")
    for query, words in zip(queries, tokens, strict=True):
        expected = bare.get_scores(words)
        hits = retriever.retrieve([query], k=300)[0]
        assert len(hits) == np.count_nonzero(expected) > 20
        rows = [int(hit.passage.document[1:]) for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], expected[rows], atol=1e-5)
        assert rows == sorted(rows, key=lambda row: (-expected[row], f"notes:d{row}#0"))
        assert [hit.passage.document for hit in retriever.retrieve([query], k=7)[0]] == [f"d{row}" for row in rows[:7]]


def test_given_passages_get_the_scores_that_searching_gives(large: Index):
    retriever = BM25Retriever(large)
    hits = retriever.retrieve(["word1 word2 word2"], k=20)[0]
    stranger = Passage("x#0", "x", "", "", "Nothing of the kind.", 0, 20)
    given = [stranger, *(hit.passage for hit in reversed(hits))]
    ranked = retriever.rank(["word1 word2 word2"], [given])[0]
    assert [hit.score for hit in ranked] == pytest.approx([hit.score for hit in hits] + [0.0], abs=1e-5)
    assert [hit.rank for hit in ranked] == list(range(1, 22))
    assert ranked[-1].passage == stranger
    assert retriever.rank(["fever"], [[]]) == [[]]


def test_words_are_lower_cased_stemmed_and_without_stop_words():
    text = ["The PATIENTS were coughing: 3 x-rays, ß and naïve"]
    assert tokeniser(stemmer="none", stop_words="none")(text) == [
        ["the", "patients", "were", "coughing", "rays", "and", "naïve"]
    ]
    assert tokeniser(stemmer="english", stop_words="english")(text) == [["patient", "were", "cough", "ray", "naïv"]]


def test_a_word_is_found_however_its_letters_are_written_and_broken():
    words = tokeniser(stemmer="none", stop_words="none")
    assert words(["Fie\u0300vre chez l'enfant"]) == words(["Fi\u00e8vre chez l'enfant"])
    assert words(["hyper\u00adtension anti\u2060coagu\u00adlation\ufeff"]) == [["hypertension", "anticoagulation"]]


def test_the_identity_holds_all_that_changes_a_ranking(index: Index, large: Index):
    plain = BM25Retriever(index).identity
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["method"], plain["version"], plain["k1"], plain["b"], plain["stemmer"]) == (
        "bm25",
        3,
        1.5,
        0.75,
        "english",
    )
    others = [
        BM25Retriever(index, k1=1.2),
        BM25Retriever(index, b=0.5),
        BM25Retriever(index, stemmer="porter"),
        BM25Retriever(index, stop_words="none"),
        BM25Retriever(index, title_weight=2),
        BM25Retriever(large),
    ]
    assert all(other.identity != plain for other in others)
    assert BM25Retriever(index).identity == plain


def postings(index: Index) -> list[Path]:
    return sorted((index.folder / "bm25").iterdir())


def test_postings_are_made_once_mapped_and_without_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index = index_of(tmp_path, TEXTS)
    assert not (index.folder / "bm25").exists()
    BM25Retriever(index)
    (folder,) = postings(index)
    assert sorted(path.name for path in folder.iterdir()) == [
        "data.csc.index.npy",
        "indices.csc.index.npy",
        "indptr.csc.index.npy",
        "params.index.json",
        "postings.json",
        "took.json",
        "vocab.index.json",
    ]
    for path in folder.glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind in "if"
    monkeypatch.setattr("ragmed.retrieval.parts._make", None)
    again = BM25Retriever(Index.open(index.folder))
    assert all(isinstance(again._bm25.scores[name], np.memmap) for name in ("data", "indices", "indptr"))
    assert found(again, "fever") == ["d2"]


def test_postings_have_the_same_bytes_each_time(tmp_path: Path):
    first, second = index_of(tmp_path / "a", TEXTS), index_of(tmp_path / "b", TEXTS)
    for one in (first, second):
        BM25Retriever(one)
    (a,), (b,) = postings(first), postings(second)
    assert a.name == b.name
    mine, others = ({p.name: p.read_bytes() for p in part.iterdir() if p.name != "took.json"} for part in (a, b))
    assert mine == others


def test_damaged_postings_are_refused_by_name_and_made_again_once_deleted(tmp_path: Path):
    index = index_of(tmp_path, TEXTS)
    BM25Retriever(index)
    (folder,) = postings(index)
    file = folder / "data.csc.index.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DamagedError, match=r"data\.csc\.index\.npy' is not what was written; delete '.*bm25"):
        BM25Retriever(index)
    shutil.rmtree(folder)
    assert found(BM25Retriever(index), "fever") == ["d2"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: record.pop("files"),
        lambda record: record.pop("facts"),
        lambda record: record["facts"].update(mean_length=1.0),
        lambda record: record["facts"].update(mean_length="two"),
        lambda record: record["files"].popitem(),
        lambda record: record["identity"].update(k1=9.0),
        lambda record: record.pop("checksum"),
        lambda record: record.clear(),
    ],
)
def test_an_edited_record_of_postings_is_refused(tmp_path: Path, edit: Callable[[dict[str, Any]], object]):
    index = index_of(tmp_path, TEXTS)
    BM25Retriever(index)
    (folder,) = postings(index)
    record = json.loads((folder / "postings.json").read_text())
    edit(record)
    (folder / "postings.json").write_text(json.dumps(record))
    with pytest.raises(DamagedError, match=r"postings\.json'.*; delete '.*', and it is rebuilt"):
        BM25Retriever(index)
    (folder / "postings.json").unlink()
    with pytest.raises(DamagedError, match=r"does not exist.*delete '"):
        BM25Retriever(index)


def test_half_made_postings_are_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index = index_of(tmp_path, TEXTS)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ragmed.retrieval.parts.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            BM25Retriever(index)
    assert postings(index) == []
    assert found(BM25Retriever(index), "fever") == ["d2"]


def test_postings_that_another_process_made_meanwhile_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index = index_of(tmp_path, TEXTS)
    BM25Retriever(index)
    (folder,) = postings(index)
    is_dir, answers = Path.is_dir, iter([False])
    monkeypatch.setattr(Path, "is_dir", lambda self: next(answers, True) if self == folder else is_dir(self))
    assert found(BM25Retriever(index), "fever") == ["d2"]
    assert postings(index) == [folder]


def test_postings_of_restricted_text_are_for_its_owner_only(tmp_path: Path):
    index = index_of(tmp_path, TEXTS, access="credentialed")
    BM25Retriever(index)
    paths = [index.folder / "bm25", *(index.folder / "bm25").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o700, 0o600}


def test_postings_go_with_the_passages_that_they_are_of(tmp_path: Path):
    index = index_of(tmp_path, TEXTS)
    BM25Retriever(index)
    notes = tmp_path / "corpora" / "notes" / "notes.jsonl"
    notes.write_text('{"id": "new", "title": "", "text": "Fever, fever."}\n')
    recipe = replace(IndexRecipe("notes", ("notes",), "hashing:16"))
    build_index(recipe, workspace=Workspace(tmp_path), output=index.folder)
    assert not (index.folder / "bm25").exists()
    assert found(BM25Retriever(Index.open(index.folder)), "fever") == ["new"]


def test_refusals(index: Index, tmp_path: Path):
    with pytest.raises(UsageError, match=r"b between 0 and 1, found 1\.5 and 2"):
        BM25Retriever(index, b=2)
    with pytest.raises(UnknownNameError, match="did you mean 'english'"):
        BM25Retriever(index, stemmer="englich")
    with pytest.raises(UnknownNameError, match="english, none"):
        BM25Retriever(index, stop_words="klingon")
    with pytest.raises(UsageError, match="k must be at least 1"):
        BM25Retriever(index).retrieve(["fever"], k=0)
    with pytest.raises(UsageError, match="holds no word that BM25 could look for"):
        BM25Retriever(index_of(tmp_path, ["a b c", "? !"]))


def test_no_embedder_is_loaded(tmp_path: Path):
    index = index_of(tmp_path, TEXTS)
    script = (
        "import sys\nfrom pathlib import Path\nfrom ragmed.retrieval.spec import RetrieverSpec, make_retriever\n"
        "from ragmed.workspace import Workspace\n"
        f"workspace = Workspace(Path({str(tmp_path)!r}))\n"
        "spec = RetrieverSpec('bm25', index='notes')\n"
        "retriever = make_retriever(spec, device='cpu', workspace=workspace, as_built=True)\n"
        "print(retriever.retrieve(['fever'], k=1)[0][0].passage.document)\n"
        "print(sorted({'sentence_transformers', 'transformers', 'torch', 'faiss'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout.splitlines() == ["d2", "[]"], done.stderr
    assert len(index) == 5
