"""Sparse neural retrieval: a tiny masked language model with random weights, against its own dense computation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoders import index_of, save_bert

from ragmed.chunking import embedded_text
from ragmed.errors import BusyError, DamagedError, DataError, UsageError
from ragmed.experiments.references import References
from ragmed.files import exclusive
from ragmed.records import Passage
from ragmed.retrieval.parts import parts_took
from ragmed.retrieval.sparse import SparseModel, SparseRetriever, Weights

TEXTS = ["salbutamol relieves asthma", "a broken wrist needs a cast", "paracetamol lowers fever", "fluids for sepsis"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    save_bert(folder, seed=4, kind="BertForMaskedLM")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> SparseModel:
    return SparseModel(f"path:{folder}", device="cpu")


def splade(folder: Path, text: str) -> np.ndarray:
    """log(1 + relu(logits)), the greatest over the tokens, by transformers alone (SPLADE, equation 6 as max)."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
    return torch.log1p(torch.relu(logits)).max(dim=0).values.numpy()


def test_scores_are_inner_products_of_learned_weights(model: SparseModel, folder: Path, tmp_path: Path):
    index = index_of(tmp_path, TEXTS)
    retriever = SparseRetriever(index, model)
    query = splade(folder, "what treats fever?")
    expected = {p.document: float(query @ splade(folder, embedded_text(p))) for p in index}
    hits = retriever.retrieve(["what treats fever?"], k=4)[0]
    assert {hit.passage.document: hit.score for hit in hits} == pytest.approx(expected, rel=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert retriever.rank(["what treats fever?"], [list(index)])[0] == hits
    with pytest.raises(UsageError, match="k must be at least 1"):
        retriever.retrieve(["fever"], k=0)


def test_weights_are_kept_beside_the_index_and_checked(
    model: SparseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index = index_of(tmp_path, TEXTS)
    hits = SparseRetriever(index, model).retrieve(["fever"], k=4)
    (part,) = (index.folder / "sparse").iterdir()
    assert sorted(path.name for path in part.iterdir()) == [
        "places.npy", "postings.json", "starts.npy", "took.json", "weights.npy",
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(SparseModel, "passages", None)  # no passage is read again
        assert SparseRetriever(index, model).retrieve(["fever"], k=4) == hits
    (part / "weights.npy").write_bytes(b"\x00" + (part / "weights.npy").read_bytes()[1:])
    with pytest.raises(DamagedError, match=r"weights\.npy' is not what was written; delete"):
        SparseRetriever(index, model)


def test_weights_are_made_in_blocks_and_go_on_after_a_kill(
    model: SparseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    texts = [*TEXTS, "", "fever and cough in children", "insulin for diabetes"]
    whole = index_of(tmp_path / "whole", texts)
    SparseRetriever(whole, model)
    (made,) = (whole.folder / "sparse").iterdir()

    monkeypatch.setattr("ragmed.retrieval.sparse.BLOCK", 2)
    read: list[str] = []
    killed_at = 5
    passages = SparseModel.passages

    def reading(self: SparseModel, some: list[Passage]) -> list[Weights]:
        read.extend(passage.document for passage in some)
        if len(read) > killed_at:
            raise KeyboardInterrupt
        return passages(self, some)

    monkeypatch.setattr(SparseModel, "passages", reading)
    index = index_of(tmp_path / "blocks", texts)
    names = [passage.document for passage in index]
    with pytest.raises(KeyboardInterrupt):
        SparseRetriever(index, model)
    (left,) = (index.folder / "sparse").iterdir()
    assert left.name.endswith(".blocks")
    read, killed_at = [], 99
    first = left / "00000000.npz"
    first.write_bytes(first.read_bytes()[:-9])
    with pytest.raises(DamagedError, match=r"00000000\.npz' is not what was written .* delete it"):
        SparseRetriever(index, model)
    assert read == names[4:]
    first.unlink()
    with (
        exclusive(left / ".lock", "a test"),
        pytest.raises(BusyError, match=r"index 'notes' \(its sparse weights are being made\) is in use by"),
    ):
        SparseRetriever(index, model)
    read = []
    SparseRetriever(index, model)
    assert read == names[:2]
    (part,) = (index.folder / "sparse").iterdir()  # the blocks are gone
    assert References("r", SparseRetriever(index, model), {"notes": index}).record()["cpu_seconds"] is None
    once = References("r", SparseRetriever(whole, model), {"notes": whole})
    (spent,) = parts_took(whole, {"method": "rrf", "of": [once.retriever.identity]})
    embedding = whole.manifest.seconds  # known, as the weights' are, of what was made in one sitting
    assert spent.cpu is not None
    assert embedding.cpu is not None
    assert once.record()["cpu_seconds"] == pytest.approx(embedding.cpu + spent.cpu)
    assert once.record()["seconds"] == pytest.approx(embedding.wall + spent.wall)
    assert once.record()["gpu_seconds"] is None
    for name in ("starts", "places", "weights"):
        assert (part / f"{name}.npy").read_bytes() == (made / f"{name}.npy").read_bytes()


def test_passages_without_a_weight_find_nothing(model: SparseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    monkeypatch.setattr(SparseModel, "passages", lambda self, some: [none for _ in some])
    assert SparseRetriever(index_of(tmp_path, TEXTS), model).retrieve(["fever"], k=4) == [[]]


def test_a_long_query_is_read_in_pieces_and_a_long_passage_refused(
    model: SparseModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    query = " ".join(f"fever {number}" for number in range(60))
    pieces: list[str] = []
    encode = SparseModel._encode
    with monkeypatch.context() as patch:
        patch.setattr(
            SparseModel,
            "_encode",
            lambda self, how, some, *rest: [pieces.extend(some), encode(self, how, some, *rest)][1],
        )
        words, weights = model.query(query)
    assert " ".join(pieces).split() == query.split()
    assert len(pieces) > 1
    expected = np.max([splade(folder, piece) for piece in pieces], axis=0)
    assert words.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(weights, expected[words], rtol=1e-5)
    index = index_of(tmp_path, [" ".join(["asthma"] * 100)])
    with pytest.raises(
        DataError, match=r"passage 'notes:d0#0' is longer than the 64 tokens .*chunking: {max_tokens: 64}"
    ):
        SparseRetriever(index, model)
