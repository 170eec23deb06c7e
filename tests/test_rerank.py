"""Reranking by a cross-encoder: a tiny one, trained here for a few steps on the very pairs that it is asked.

No package carries weights of a real one; that this one orders its own pairs shows the path, and nothing of a gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from encoders import save_bert, save_cross_encoder

from ragmed.embedding.folders import folder_hash
from ragmed.errors import ModelError, UsageError
from ragmed.machine import Spent, Stopwatch, count_as_spent
from ragmed.records import ContextDocument, Hit, Passage
from ragmed.retrieval.cross_encoder import CrossEncoder
from ragmed.retrieval.record import Records, make_record_retriever
from ragmed.retrieval.rerank import CrossEncoderReranker, RerankedRetriever
from ragmed.retrieval.score_cache import SIZE, ScoreCache
from ragmed.retrieval.spec import RetrieverSpec

TEXTS = {
    "asthma": "salbutamol relieves asthma",
    "wrist": "a broken wrist needs a cast",
    "fever": "paracetamol lowers fever",
    "heart": "diuretic for heart failure",
}
QUERIES = {name: f"what treats {name}?" for name in TEXTS}


def passage(name: str, text: str) -> Passage:
    return Passage(f"{name}#0", name, "", "", text, 0, len(text))


PASSAGES = [passage(name, text) for name, text in TEXTS.items()]


class Fixed:
    """Finds the same passages for every query, in one order."""

    identity: Mapping[str, Any] = {"method": "fixed"}

    def __init__(self) -> None:
        self.asked = 0

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        self.asked = k
        return [
            [Hit(one, 1 / rank, rank, {"inner": rank}) for rank, one in enumerate(PASSAGES[:k], 1)] for _ in queries
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [(query, text, float(asked == name)) for asked, query in QUERIES.items() for name, text in TEXTS.items()]
    return save_cross_encoder(tmp_path_factory.mktemp("cross"), pairs, steps=120)


@pytest.fixture
def model(folder: Path) -> CrossEncoder:
    return CrossEncoder(f"path:{folder}", cache=ScoreCache(), device="cpu")


def test_hits_are_put_in_the_order_of_the_models_scores(model: CrossEncoder):
    first = Fixed()
    retriever = RerankedRetriever("first", first, CrossEncoderReranker(model), depth=4)
    found = retriever.retrieve(list(QUERIES.values()), k=2)
    assert first.asked == 4
    assert [hits[0].passage.document for hits in found] == list(TEXTS)
    assert [[hit.rank for hit in hits] for hits in found] == [[1, 2]] * 4
    assert found[2][0].parts == {"inner": 3, "first": 3}
    assert all(hits[0].score > hits[1].score for hits in found)
    ordered = retriever.rank(list(QUERIES.values()), [PASSAGES] * 4)
    assert [hits[0].passage.document for hits in ordered] == list(TEXTS)
    assert ordered[0][:2] == [Hit(h.passage, h.score, h.rank) for h in found[0]]
    with pytest.raises(UsageError, match="k must be at least 1"):
        retriever.retrieve(["fever"], k=0)


def test_scores_are_the_models_logits(model: CrossEncoder, folder: Path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    bare, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pairs = [(QUERIES["fever"], text) for text in TEXTS.values()]
    with torch.no_grad():
        expected = [float(bare(**tokenizer(*pair, return_tensors="pt")).logits) for pair in pairs]
    assert model.scores(pairs) == pytest.approx(expected, abs=1e-5)


def test_a_score_does_not_depend_on_the_pairs_beside_it(folder: Path):
    pairs = [(query, text * times) for query in QUERIES.values() for text in TEXTS.values() for times in (1, 2)]
    together = CrossEncoder(f"path:{folder}", cache=ScoreCache(), device="cpu").scores(pairs)
    alone = CrossEncoder(f"path:{folder}", cache=ScoreCache(), device="cpu")
    assert [alone.scores([pair])[0] for pair in reversed(pairs)][::-1] == together


def test_nothing_of_a_long_pair_is_cut(model: CrossEncoder, monkeypatch: pytest.MonkeyPatch):
    text = " ".join([*[TEXTS["wrist"]] * 30, TEXTS["fever"]])
    query = " ".join(f"fever {number}?" for number in range(40))
    assert model._count("fever", [text])[0] > model.max_tokens == 64
    read: list[tuple[str, str]] = []
    predict = model._predict
    monkeypatch.setattr(model, "_predict", lambda readings: [read.extend(readings), predict(readings)][1])

    score = model.scores([("fever", text)])[0]  # of a long passage the best piece counts
    assert " ".join(piece for _, piece in read).split() == text.split()
    assert score == max(predict(read)) > min(predict(read))

    read.clear()
    score = model.scores([(query, text)])[0]  # and the mean over the pieces of a long query
    best: dict[str, list[float]] = {}
    for (asked, _), one in zip(read, predict(read), strict=True):
        best.setdefault(asked, []).append(one)
    assert " ".join(best).split() == query.split()
    assert all(model._count(asked, [piece])[0] <= 64 for asked, piece in read)
    assert score == pytest.approx(sum(map(max, best.values())) / len(best), abs=1e-6)


def test_scores_are_kept_on_disk_by_model_and_pair(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "cache" / "pairs.scores"
    pairs = [(QUERIES["fever"], text) for text in TEXTS.values()]
    first = CrossEncoder(f"path:{folder}", cache=ScoreCache(file), device="cpu").scores([*pairs, pairs[0]])
    assert file.stat().st_size == 4 * SIZE
    assert file.stat().st_mode & 0o777 == 0o600
    again = CrossEncoder(f"path:{folder}", cache=ScoreCache(file), device="cpu")
    read: list[Any] = []
    predict = again._predict
    monkeypatch.setattr(again, "_predict", lambda readings: [read.extend(readings), predict(readings)][1])
    assert again.scores([*pairs, pairs[0]]) == first
    assert read == []
    data = bytearray(file.read_bytes())
    data[SIZE + 33] ^= 1  # a damaged record is no score
    file.write_bytes(bytes(data[:-7]))  # and neither is a torn one
    mended = CrossEncoder(f"path:{folder}", cache=ScoreCache(file), device="cpu")
    monkeypatch.setattr(mended, "_predict", lambda readings: [read.extend(readings), predict(readings)][1])
    assert mended.scores([*pairs, pairs[0]]) == first
    assert [text for _, text in read] == [TEXTS["wrist"], TEXTS["heart"]]
    assert len(ScoreCache(file).known(mended._key(*pair) for pair in pairs)) == 4


def test_scores_from_the_cache_cost_what_they_took(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pairs = [(QUERIES["fever"], text) for text in TEXTS.values()]
    slow = CrossEncoder(f"path:{folder}", cache=ScoreCache(tmp_path / "scores"), device="cpu")
    read = slow._read
    monkeypatch.setattr(slow, "_read", lambda some: [count_as_spent(Spent(80.0, 40.0)), read(some)][1])
    slow.scores(pairs)
    watch = Stopwatch()
    CrossEncoder(f"path:{folder}", cache=ScoreCache(tmp_path / "scores"), device="cpu").scores([*pairs[:2], pairs[0]])
    spent = watch.spent()
    assert spent.wall == pytest.approx(80 * 2 / len(pairs), abs=5)
    assert spent.cpu == pytest.approx(40 * 2 / len(pairs), abs=5)
    assert spent.gpu is None
    assert watch.spent().wall < 80


def test_scores_are_kept_apart_by_kind_of_device(model: CrossEncoder, monkeypatch: pytest.MonkeyPatch):
    keys = {}
    for device in ("cpu", "cuda", "cuda:1"):
        monkeypatch.setattr(model, "device", device)
        keys[device] = model._key("gout", "rest")
    assert keys["cuda"] == keys["cuda:1"] != keys["cpu"]


def test_a_kill_costs_no_scores_but_the_last(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ragmed.retrieval.cross_encoder.KEPT", 3)
    pairs = [(query, text) for query in QUERIES.values() for text in TEXTS.values()]
    model = CrossEncoder(f"path:{folder}", cache=ScoreCache(tmp_path / "scores"), device="cpu")
    read, asked = model._read, []

    def killed(some: list[tuple[str, str]]) -> list[float]:
        asked.append(len(some))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return read(some)

    monkeypatch.setattr(model, "_read", killed)
    with pytest.raises(KeyboardInterrupt):
        model.scores(pairs)
    assert (tmp_path / "scores").stat().st_size == 6 * SIZE
    again = CrossEncoder(f"path:{folder}", cache=ScoreCache(tmp_path / "scores"), device="cpu")
    assert again.scores(pairs) == CrossEncoder(f"path:{folder}", cache=ScoreCache(), device="cpu").scores(pairs)


def test_the_identity_holds_weights_and_no_place(model: CrossEncoder, folder: Path, tmp_path: Path):
    import shutil

    other = shutil.copytree(folder, tmp_path / "elsewhere")
    assert CrossEncoder(f"path:{other}", cache=ScoreCache(), device="cpu").identity == model.identity
    assert model.identity["weights"] == folder_hash(folder)
    wide = CrossEncoder(f"path:{folder}", cache=ScoreCache(), device="cpu", precision="bfloat16")
    assert wide.identity != model.identity
    assert wide._key("q", "t") != model._key("q", "t")
    mine = RerankedRetriever("first", Fixed(), CrossEncoderReranker(model)).identity
    assert mine["of"] == [{"method": "fixed"}]
    assert mine["reranker"]["model"]["weights"] == folder_hash(folder)
    assert RerankedRetriever("first", Fixed(), CrossEncoderReranker(model), depth=9).identity != mine


def test_models_that_cannot_rank_or_are_not_safe_are_refused(folder: Path, tmp_path: Path):
    save_bert(tmp_path / "three", seed=2, kind="BertForSequenceClassification", num_labels=3)
    with pytest.raises(ModelError, match="gives 3 numbers a pair; one that ranks gives one"):
        CrossEncoder(f"path:{tmp_path / 'three'}", cache=ScoreCache(), device="cpu")
    save_bert(tmp_path / "headless", seed=2, num_labels=1)  # whose head would be filled with random numbers
    with pytest.raises(ModelError, match=r"the weights in '.*headless' lack classifier"):
        CrossEncoder(f"path:{tmp_path / 'headless'}", cache=ScoreCache(), device="cpu")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="is pickled weights only"):
        CrossEncoder(f"path:{tmp_path / 'pickled'}", cache=ScoreCache(), device="cpu")
    with pytest.raises(UsageError, match="write hf:ORG/NAME@REVISION"):
        CrossEncoder("hf:ncbi/MedCPT-Cross-Encoder", cache=ScoreCache())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RetrieverSpec("rerank", model="path:x"), "takes the hits of one other; name that one"),
        (RetrieverSpec("rerank", of=("a", "b"), model="path:x"), r"such as of: \[dense\], not 2"),
        (RetrieverSpec("rerank", of=("a",)), "names no model; write model: path:DIR or hf:"),
        (RetrieverSpec("mmr", of=("a",), model="path:x"), "does not read 'model'; it reads of, mmr_lambda, depth"),
        (RetrieverSpec("rerank", of=("a",), model="path:x", precision="int8"), "unknown precision 'int8'"),
    ],
)
def test_specs_that_cannot_be_are_refused(spec: RetrieverSpec, words: str):
    with pytest.raises(UsageError, match=words):
        spec.check()


def test_an_examples_own_record_is_reranked_in_memory(folder: Path):
    specs = {
        "words": RetrieverSpec("bm25", record=True),
        "again": RetrieverSpec("rerank", of=("words",), model=f"path:{folder}"),
        "varied": RetrieverSpec("mmr", of=("again",), mmr_lambda=1.0),
    }
    records = Records()
    record = records.of("", [ContextDocument(f"{text}, treats", id=name) for name, text in TEXTS.items()])
    for name in ("again", "varied"):
        retriever = make_record_retriever(specs[name], specs=specs, records=records)
        hits = retriever.rank([QUERIES["fever"]], record)[0]
        assert len(hits) == 4
        assert hits[0].parts["words"] == 1
        assert retriever.identity["method"] == specs[name].method
    scored = make_record_retriever(specs["again"], specs=specs, records=records).rank([QUERIES["fever"]], record)[0]
    assert [hit.score for hit in scored] == sorted((hit.score for hit in scored), reverse=True)
