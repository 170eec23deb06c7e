"""Embedding as on a GPU, run on the CPU: the same vectors in the same order, nothing cut, long texts named."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ragmed.embedding import BadTextsError, SentenceEmbedder, load_embedder, overlapped

TEXTS = [("wheeze and cough " * (i * 7 % 23 + 1)) + str(i) for i in range(60)]


@pytest.fixture(scope="module")
def minilm() -> SentenceEmbedder:
    embedder = load_embedder("packaged:minilm", device="cpu")
    assert isinstance(embedder, SentenceEmbedder)
    return embedder


@pytest.mark.parametrize("verb", ["embed_passages", "embed_queries"])
def test_the_same_vectors_in_the_same_order(
    minilm: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    expected = getattr(minilm, verb)(TEXTS)
    monkeypatch.setattr(minilm, "_overlaps", True)
    monkeypatch.setattr(overlapped, "TOKENS", 300)
    monkeypatch.setattr(overlapped, "AHEAD", 3)
    assert len(list(overlapped._batches(TEXTS, sorted(range(60), key=lambda i: -len(TEXTS[i])), 0))) > 10
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    np.testing.assert_allclose(getattr(minilm, verb)(TEXTS), expected, atol=1e-6)
    assert os.environ.get("TOKENIZERS_PARALLELISM") == before


def test_texts_beyond_the_limit_are_named_and_none_is_cut(
    minilm: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "_overlaps", True)
    texts = [*TEXTS[:3], "word " * 300, TEXTS[4], "word " * 290]
    with pytest.raises(BadTextsError, match=r"up to 302 tokens .* 256 .* reads") as caught:
        minilm.embed_passages(texts)
    assert caught.value.indices == (3, 5)
    long = minilm.embed_queries(texts)  # a long query is halved, as anywhere
    monkeypatch.setattr(minilm, "_overlaps", False)
    np.testing.assert_allclose(long, minilm.embed_queries(texts), atol=1e-6)


def test_no_texts() -> None:
    assert list(overlapped._batches([], [], 0)) == []


def test_batches_hold_about_as_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlapped, "TOKENS", 1000)
    texts = ["x" * length for length in (4000, 4000, 400, 400, 40, 8, 8)]
    assert list(overlapped._batches(texts, range(7), 0)) == [[0], [1], [2, 3, 4, 5, 6]]
    assert list(overlapped._batches(texts, range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
