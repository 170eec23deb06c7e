"""Embedders: order, length 1, nothing cut, bad vectors named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragmed.embedding import BadTextsError, checked, embed_long, load_embedder
from ragmed.embedding.folders import folder_hash
from ragmed.errors import MissingDependencyError, ModelError, RagmedError, UnknownNameError, UsageError
from ragmed.packaged import packaged_embedder_folder


@pytest.fixture(scope="module")
def minilm():
    try:
        packaged_embedder_folder("minilm")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return load_embedder("packaged:minilm", device="cpu")


def test_hashing_counts_words_and_is_the_same_everywhere():
    embedder = load_embedder("hashing:8")
    vectors = embedder.embed_passages(["Asthma asthma.", "asthma"])
    assert embedder.count_tokens(["Asthma asthma.", "", "two words"]) == [3, 0, 2]
    # `printf asthma | b2sum -l 64` modulo 8 is 5, of '.' it is 4; counts 2 and 1 under a square root, length 1
    np.testing.assert_allclose(vectors[0], [0, 0, 0, 0, 1 / 3**0.5, (2 / 3) ** 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(vectors[1], [0, 0, 0, 0, 0, 1, 0, 0])
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("packagd:minilm", UnknownNameError, "did you mean 'packaged:minilm'"),
        ("packaged:minlm", UnknownNameError, "minilm"),
        ("hashing:none", UsageError, "hashing:256"),
        ("hf:org/name", UsageError, "REVISION"),
        ("path:/no/such/folder", ModelError, "/no/such/folder"),
    ],
)
def test_names_nobody_knows_are_refused(name: str, error: type[RagmedError], text: str):
    with pytest.raises(error, match="embedder") as caught:
        load_embedder(name)
    assert text in str(caught.value)


def test_unknown_precision():
    with pytest.raises(UnknownNameError, match="bfloat16"):
        load_embedder("hashing:8", precision="bfloat61")


@pytest.mark.parametrize(("bad", "what"), [(np.nan, "NaN"), (np.inf, "NaN or infinity"), (0.0, "zero")])
def test_bad_vectors_are_named_by_their_index(bad: float, what: str):
    vectors = np.ones((4, 3))
    vectors[1], vectors[3] = bad, bad
    with pytest.raises(BadTextsError, match=what) as caught:
        checked(vectors, normalise=True)
    assert caught.value.indices == (1, 3)


def test_a_blank_text_is_refused_and_an_empty_list_is_not():
    embedder = load_embedder("hashing:8")
    with pytest.raises(BadTextsError, match="zero"):
        embedder.embed_passages(["a", " \n"])
    assert embedder.embed_queries([]).shape == (0, 8)


def test_a_long_passage_raises_and_a_long_query_counts_every_word():
    embedder = load_embedder("hashing:512")
    with pytest.raises(BadTextsError, match="513 tokens") as caught:
        embedder.embed_passages(["short", "word " * 513])
    assert caught.value.indices == (1,)
    head, tail = embedder.embed_passages(["fever", "cough"])
    query = embedder.embed_queries(["fever " * 512 + "cough " * 512])[0]
    assert query @ head == pytest.approx(2**-0.5, abs=1e-6)
    assert query @ tail == pytest.approx(2**-0.5, abs=1e-6)


def test_pieces_of_a_long_text_hold_all_of_it():
    seen: list[str] = []

    def embed(pieces):
        seen.extend(pieces)
        return np.ones((len(pieces), 2), dtype=np.float32)

    text = "one two three four five"
    vectors = embed_long(
        [text, "x"],
        limit=7,
        count=lambda texts: [len(t) for t in texts],
        embed=embed,
        dimension=2,
        normalise=False,
    )
    assert vectors.tolist() == [[1, 1], [1, 1]]  # the mean of the pieces, not their sum
    assert max(map(len, seen)) <= 7
    assert "".join(seen).replace(" ", "") == (text + "x").replace(" ", "")


def test_minilm_agrees_with_sentence_transformers(minilm):
    texts = ["Salbutamol relieves acute asthma.", "A fracture of the wrist.", "Asthma attack: give a bronchodilator."]
    vectors = minilm.embed_passages(texts)
    bare = minilm._model.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(vectors, bare, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]
    assert minilm.embed_passages(texts).tobytes() == vectors.tobytes()
    assert (minilm.dimension, minilm.max_tokens) == (384, 256)


def test_minilm_counts_special_tokens_and_cuts_nothing(minilm):
    assert minilm.count_tokens(["fever", "", "fever " * 300]) == [3, 2, 302]
    with pytest.raises(BadTextsError, match="302 tokens"):
        minilm.embed_passages(["fever " * 300])
    head = "The patient has a fever. " * 40
    cut, long = minilm.embed_queries([head, head + "He broke his wrist. " * 40])
    (wrist,) = minilm.embed_passages(["A fracture of the wrist."])
    assert float(long @ wrist) > float(cut @ wrist) + 0.1


def test_the_fingerprint_follows_precision(minilm):
    other = load_embedder("packaged:minilm", precision="bfloat16", device="cpu")
    assert other.fingerprint() == replace(minilm.fingerprint(), precision="bfloat16")
    auto = load_embedder("packaged:minilm", precision="auto", device="cpu")
    assert auto.fingerprint() == minilm.fingerprint()  # float32, as for models
    assert other.embed_queries(["fever"])[0] @ minilm.embed_queries(["fever"])[0] > 0.999


def _folder(tmp_path: Path, kind: str) -> Path:
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    return tmp_path


def test_folders_with_code_or_pickles_or_no_pooling_are_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"modules\.json"):
        load_embedder(f"path:{tmp_path}")
    with pytest.raises(ModelError, match="own code"):
        load_embedder(f"path:{_folder(tmp_path, 'custom.Transformer')}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="safetensors are needed"):
        load_embedder(f"path:{_folder(tmp_path, 'sentence_transformers.models.Transformer')}")
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="could not be loaded"):
        load_embedder(f"path:{tmp_path}")


def test_an_absent_gpu_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingDependencyError, match="0 CUDA devices"):
        load_embedder("packaged:minilm", device="cuda:0")


@pytest.fixture
def tiny(minilm, tmp_path: Path) -> Path:
    """MiniLM's folder with a BERT of one layer and 8 dimensions in it."""
    from transformers import BertConfig, BertModel

    folder = tmp_path / "tiny"
    shutil.copytree(packaged_embedder_folder("minilm"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(**shape)).save_pretrained(folder)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"word_embedding_dimension": 8}))
    return folder


def test_weights_that_are_missing_or_cut_are_refused(tiny: Path):
    from safetensors.torch import load_file, save_file

    whole = load_file(tiny / "model.safetensors")
    save_file({k: v for k, v in whole.items() if "pooler" not in k}, tiny / "model.safetensors", {"format": "pt"})
    assert load_embedder(f"path:{tiny}", device="cpu").embed_passages(["fever"]).shape == (1, 8)
    save_file({f"bert.{k}": v for k, v in whole.items()}, tiny / "model.safetensors", {"format": "pt"})
    assert load_embedder(f"path:{tiny}", device="cpu").dimension == 8
    save_file(
        {k: v for k, v in whole.items() if "layer.0.output" not in k}, tiny / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"lack encoder\.layer\.0\.output.* and 1 more; fetch"):
        load_embedder(f"path:{tiny}", device="cpu")
    save_file(whole, tiny / "model.safetensors", {"format": "pt"})
    data = (tiny / "model.safetensors").read_bytes()
    (tiny / "model.safetensors").write_bytes(data[:-1000])
    with pytest.raises(ModelError, match="could not be loaded"):
        load_embedder(f"path:{tiny}", device="cpu")


def test_more_tokens_than_positions_are_refused(tiny: Path):
    (tiny / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 513, "do_lower_case": False}))
    with pytest.raises(ModelError, match="513 tokens, but has only 512 positions"):
        load_embedder(f"path:{tiny}", device="cpu")


def test_a_pickle_in_a_subfolder_is_refused_by_name(tiny: Path):
    (tiny / "query" / "2_Dense").mkdir(parents=True)
    (tiny / "query" / "2_Dense" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"2_Dense/pytorch_model\.bin' is pickled"):
        load_embedder(f"path:{tiny}", device="cpu")


def test_the_hash_of_a_folder_sees_every_depth(tmp_path: Path):
    deep = tmp_path / "a" / "b" / "model.safetensors"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"x")
    before = folder_hash(tmp_path)
    deep.write_bytes(b"y")
    assert folder_hash(tmp_path) != before
