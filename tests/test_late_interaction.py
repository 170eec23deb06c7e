"""Late interaction: the arithmetic by hand, and a tiny model of the real architecture with random weights against
sentence-transformers' own scoring. No weights that were trained are at hand: how well it finds is not shown here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoders import index_of, save_bert, save_cross_encoder, save_late_interaction

from ragmed.chunking import embedded_text
from ragmed.errors import DamagedError, DataError, ModelError, UsageError
from ragmed.retrieval import late_interaction
from ragmed.retrieval.filters import Filter
from ragmed.retrieval.late_interaction import LateInteractionModel, LateInteractionRetriever, maxsim
from ragmed.retrieval.spec import RetrieverSpec, make_retriever, of_record
from ragmed.workspace import Workspace

TEXTS = ["salbutamol relieves asthma.", "a broken wrist needs a cast", "paracetamol lowers fever", "fluids for sepsis"]
QUERY = "what treats fever?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_late_interaction(tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LateInteractionModel:
    return LateInteractionModel(f"path:{folder}", device="cpu")


def test_maxsim_by_hand():
    query = np.array([[1, 0], [0.5, 0.5]], dtype=np.float16)
    first = [[1, 0], [0, 1], [-1, 2]]  # 1·x: 1, 0, -1; ½x+½y: ½, ½, ½      -> 1 + 0.5
    second = [[-2, 0.5]]  # -2; -0.75                                      -> -2.75
    tokens = np.array([*first, *second], dtype=np.float16)
    assert maxsim(query, tokens, np.array([0, 3])).tolist() == [1.5, -2.75]


def test_scores_are_those_of_sentence_transformers(model: LateInteractionModel, folder: Path, tmp_path: Path):
    from sentence_transformers import MultiVectorEncoder

    index = index_of(tmp_path, TEXTS)
    own = MultiVectorEncoder(str(folder), device="cpu")
    passages = list(index)
    documents = [own.encode_document(embedded_text(passage)) for passage in passages]
    expected = own.similarity([own.encode_query(QUERY)], documents)[0].tolist()
    retriever = LateInteractionRetriever(index, model)
    hits = retriever.retrieve([QUERY], k=4)[0]
    scores = {hit.passage.id: hit.score for hit in hits}
    assert scores == pytest.approx({p.id: s for p, s in zip(passages, expected, strict=True)}, abs=5e-3)  # float16
    assert len(model.query(QUERY)) == 12  # filled up, as its folder says
    assert (
        len(model.passages(passages[:1])[0]) == len(own.tokenizer(TEXTS[0])["input_ids"]) - 1
    )  # without the full stop
    assert retriever.rank([QUERY], [passages])[0] == hits
    with pytest.raises(UsageError, match="k must be at least 1"):
        retriever.retrieve(["fever"], k=0)


def test_vectors_are_kept_beside_the_index_and_checked(
    model: LateInteractionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index = index_of(tmp_path, TEXTS)
    monkeypatch.setattr(late_interaction, "WINDOW", 3)  # streamed in two windows
    monkeypatch.setattr(late_interaction, "TOKENS", 9)  # and compared in several
    hits = LateInteractionRetriever(index, model).retrieve([QUERY], k=4)
    (part,) = (index.folder / "late-interaction").iterdir()
    assert sorted(path.name for path in part.iterdir()) == [
        "postings.json", "starts.npy", "took.json", "vectors.npy",
    ]  # fmt: skip
    vectors = np.load(part / "vectors.npy", mmap_mode="r", allow_pickle=False)
    assert (vectors.dtype, vectors.shape[1]) == (np.float16, 8)
    np.testing.assert_array_equal(vectors, np.concatenate(model.passages(list(index))))
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(LateInteractionModel, "passages", None)  # no passage is read again
        retriever = LateInteractionRetriever(index, model)
        assert retriever.retrieve([QUERY], k=4) == hits
        assert retriever.rank([QUERY], [list(index)]) == hits
    (part / "vectors.npy").write_bytes((part / "vectors.npy").read_bytes()[:-1] + b"\x00")
    with pytest.raises(DamagedError, match=r"vectors\.npy' is not what was written; delete"):
        LateInteractionRetriever(index, model)


def test_of_another_retriever_its_first_hits_alone_are_compared(folder: Path, tmp_path: Path):
    index_of(tmp_path, TEXTS)
    specs = {
        "words": RetrieverSpec("bm25", index="notes"),
        "late": RetrieverSpec("late-interaction", index="notes", model=f"path:{folder}", of=("words",), depth=2),
    }
    retriever = make_retriever(specs["late"], specs=specs, workspace=Workspace(tmp_path), as_built=True)
    query = "fever and a wrist, asthma"
    words = make_retriever(specs["words"], workspace=Workspace(tmp_path), as_built=True).retrieve([query], k=2)[0]
    hits = retriever.retrieve([query], k=1)[0]
    more = retriever.retrieve([query], k=2)[0]
    assert hits == more[:1]
    assert {hit.passage.id: hit.parts for hit in more} == {hit.passage.id: {"words": hit.rank} for hit in words}
    assert retriever.identity["of"][0]["method"] == "bm25"
    with pytest.raises(UsageError, match="reads the hits of one other; name one, not 2"):
        RetrieverSpec("late-interaction", index="notes", model="path:x", of=("a", "b")).check()
    record = {"own": RetrieverSpec("bm25", record=True)}
    with pytest.raises(UsageError, match="reads an index, and 'own' each example's own record"):
        of_record(RetrieverSpec("late-interaction", index="notes", model="path:x", of=("own",)), record)


def test_a_long_query_is_read_in_pieces_and_a_long_passage_refused(model: LateInteractionModel, tmp_path: Path):
    assert len(model.query(" ".join(["fever"] * 20))) == 24  # two pieces of twelve tokens
    index = index_of(tmp_path, [" ".join(["asthma"] * 100)])
    with pytest.raises(
        DataError, match=r"passage 'notes:d0#0' is longer than the 64 tokens .*chunking: {max_tokens: 64}"
    ):
        LateInteractionRetriever(index, model)
    assert not any((index.folder / "late-interaction").glob("*/vectors.npy"))


def test_a_folder_to_which_random_numbers_would_be_added_is_refused(folder: Path, tmp_path: Path):
    save_bert(tmp_path / "bare", seed=5)
    save_cross_encoder(tmp_path / "cross")
    (tmp_path / "embedder").mkdir()
    for name in ("modules.json", "config_sentence_transformers.json"):
        text = (folder / name).read_text().replace("MultiVectorEncoder", "SentenceTransformer")
        (tmp_path / "embedder" / name).write_text(text)
    for name in ("bare", "cross", "embedder"):
        with pytest.raises(ModelError, match=r"holds no MultiVectorEncoder .*random numbers; name a model"):
            LateInteractionModel(f"path:{tmp_path / name}")
    with pytest.raises(ModelError, match="there is no folder"):
        LateInteractionModel(f"path:{tmp_path / 'none'}")


def test_a_filter_is_put_before_the_hits_that_are_compared(folder: Path, tmp_path: Path):
    """Of four passages with the word the two that pass are the first two of `words`, filtered; not those of all."""
    index_of(
        tmp_path, [f"fever {'fever ' * n}in {where}" for n, where in enumerate(("adults", "adults", "children", "a"))]
    )
    specs = {
        "words": RetrieverSpec("bm25", index="notes"),
        "late": RetrieverSpec("late-interaction", index="notes", model=f"path:{folder}", of=("words",), depth=2),
        "some": RetrieverSpec("filter", of=("late",), filter=Filter(documents=("d0", "d1"))),
        "both": RetrieverSpec("rrf", of=("some", "late")),
    }

    def first(name: str, k: int) -> list[str]:
        retriever = make_retriever(specs[name], specs=specs, workspace=Workspace(tmp_path), as_built=True)
        return [hit.passage.document for hit in retriever.retrieve(["fever"], k=k)[0]]

    found = set(first("words", 2))
    passing = {"d0", "d1"}
    assert found != passing
    assert set(first("some", 1)) <= passing
    assert set(first("some", 2)) == passing
    assert first("some", 1) == first("some", 2)[:1]
    assert set(first("late", 2)) == found
    assert set(first("both", 4)) == found | passing  # beside a filtered one it finds what it finds alone
