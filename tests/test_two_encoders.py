"""Embedders whose queries are read otherwise than passages: another model, declared prompts, pairs of title and text.

Two tiny models with random weights show the path. MedCPT's own values are held where its weights are at hand: a folder
named by RAGMED_MEDCPT with the publisher's three in it (`MedCPT-Query-Encoder`, ...), as safetensors.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoders import save_bert

from ragmed.embedding import Encoding, load_embedder
from ragmed.errors import DataError, MismatchError, ModelError, UsageError
from ragmed.index.build import build_index
from ragmed.index.recipe import IndexRecipe, embedder_of, load_index_recipe
from ragmed.index.store import Index
from ragmed.retrieval.cross_encoder import CrossEncoder
from ragmed.retrieval.named import build_named
from ragmed.retrieval.score_cache import ScoreCache
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.workspace import Workspace

PAIR = Encoding(query_tokens=16, pooling="cls", title_pairs=True)
ARTICLES = ["asthma\nsalbutamol relieves asthma in children", "a broken wrist", "fever\nparacetamol\nlowers fever"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_bert(folder / "articles", seed=1)
    save_bert(folder / "queries", seed=2)
    return folder


def medcpt_like(folders: Path) -> IndexRecipe:
    encoding = replace(PAIR, query_embedder=f"path:{folders / 'queries'}")
    articles = f"path:{folders / 'articles'}"
    return IndexRecipe("notes", ("notes",), articles, metric="inner_product", normalise=False, encoding=encoding)


def cls(folder: Path, *texts: str | list[str]) -> np.ndarray:
    """The last hidden states of [CLS], by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(list(texts), padding=True, return_tensors="pt")).last_hidden_state[:, 0].numpy()


def test_passages_are_read_as_pairs_and_queries_by_their_own_model(folders: Path):
    embedder = embedder_of(medcpt_like(folders), device="cpu")
    pairs = [
        ["asthma", "salbutamol relieves asthma in children"],
        ["a broken wrist", ""],
        ["fever", "paracetamol\nlowers fever"],
    ]
    expected = cls(folders / "articles", *pairs)
    np.testing.assert_allclose(embedder.embed_passages(ARTICLES), expected, atol=1e-5)
    assert abs(np.linalg.norm(expected, axis=1) - 1).min() > 0.1  # vectors keep their lengths
    asked = ["what treats asthma?", "fever"]
    np.testing.assert_allclose(embedder.embed_queries(asked), cls(folders / "queries", *asked), atol=1e-5)
    tokens = embedder.count_tokens(ARTICLES)
    assert tokens[1] == embedder.count_tokens([""])[0] + 3  # [CLS] title [SEP] rest [SEP]
    assert tokens[0] == 3 + len("asthma salbutamol relieves asthma in children".split())


def test_a_query_beyond_its_tokens_is_read_in_pieces(folders: Path):
    embedder = embedder_of(medcpt_like(folders), device="cpu")
    query = " ".join(["fever asthma heart insulin cast cough"] * 4)
    pieces = [" ".join(query.split()[:12]), " ".join(query.split()[12:])]
    np.testing.assert_allclose(
        embedder.embed_queries([query])[0], cls(folders / "queries", *pieces).mean(axis=0), atol=1e-5
    )


def test_declared_prompts_stand_before_queries_alone_or_both(folders: Path):
    name = f"path:{folders / 'articles'}"
    plain = load_embedder(name, device="cpu", encoding=Encoding(pooling="mean"))
    e5 = load_embedder(
        name, device="cpu", encoding=Encoding(query_prompt="what: ", passage_prompt="the: ", pooling="mean")
    )
    np.testing.assert_allclose(e5.embed_queries(["fever"]), plain.embed_queries(["what: fever"]), atol=1e-6)
    np.testing.assert_allclose(e5.embed_passages(["fever"]), plain.embed_passages(["the: fever"]), atol=1e-6)
    assert e5.count_tokens(["fever"]) == plain.count_tokens(["the: fever"])
    instructed = load_embedder(name, device="cpu", encoding=Encoding(query_prompt="what: ", pooling="mean"))
    assert instructed.embed_passages(["fever"]).tobytes() == plain.embed_passages(["fever"]).tobytes()
    assert instructed.embed_queries(["fever"]).tobytes() != plain.embed_queries(["fever"]).tobytes()


def test_the_fingerprint_holds_both_models_and_no_place(folders: Path, tmp_path: Path):
    import shutil

    recipe = medcpt_like(folders)
    mark = embedder_of(recipe, device="cpu").fingerprint()
    assert mark.query_weights not in ("", mark.weights)
    other = shutil.copytree(folders, tmp_path / "elsewhere")
    again = embedder_of(medcpt_like(other), device="cpu").fingerprint()
    assert again == replace(mark, embedder=again.embedder)
    for encoding in (
        replace(recipe.encoding, query_embedder=recipe.embedder),
        replace(recipe.encoding, query_tokens=0),
        replace(recipe.encoding, query_prompt="q: "),
        replace(recipe.encoding, pooling="mean"),
        replace(recipe.encoding, title_pairs=False),
    ):
        assert embedder_of(replace(recipe, encoding=encoding), device="cpu").fingerprint() != mark


def test_what_cannot_be_is_refused(folders: Path, tmp_path: Path):
    name = f"path:{folders / 'articles'}"
    with pytest.raises(ModelError, match="how it pools tokens is unknown; declare pooling"):
        load_embedder(name, device="cpu")
    with pytest.raises(UsageError, match="query_tokens is 65, and it reads 64 tokens"):
        load_embedder(name, device="cpu", encoding=replace(PAIR, query_tokens=65))
    with pytest.raises(UsageError, match="title_pairs and a passage_prompt exclude each other"):
        load_embedder(name, device="cpu", encoding=replace(PAIR, passage_prompt="p: "))
    with pytest.raises(UsageError, match="counts words and has no encoding"):
        load_embedder("hashing:8", encoding=PAIR)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for file in ("model.safetensors", "tokenizer.json"):
        save_bert(tmp_path / "cloned", seed=1)
        (tmp_path / "cloned" / file).write_text(pointer)
        for encoding in (PAIR, replace(PAIR, query_embedder=f"path:{tmp_path / 'cloned'}")):
            model = f"path:{tmp_path / 'cloned'}" if encoding is PAIR else name
            with pytest.raises(DataError, match=rf"/cloned/{file}' is a Git LFS pointer, not the file"):
                load_embedder(model, device="cpu", encoding=encoding)
    save_bert(tmp_path / "wide", seed=3, hidden_size=32)
    with pytest.raises(ModelError, match="cannot be compared: dimension 16 and 32"):
        load_embedder(name, device="cpu", encoding=Encoding(query_embedder=f"path:{tmp_path / 'wide'}", pooling="cls"))


def test_an_index_says_how_it_is_asked(folders: Path, tmp_path: Path):
    recipe = medcpt_like(folders)
    lines = [
        json.dumps({"id": f"d{n}", "title": text.partition("\n")[0], "text": text.partition("\n")[2] or "cast"}) + "\n"
        for n, text in enumerate(ARTICLES)
    ]
    for kind in ("corpora", "indexes"):
        (tmp_path / kind / "notes").mkdir(parents=True)
    (tmp_path / "corpora" / "notes" / "notes.jsonl").write_text("".join(lines))
    (tmp_path / "corpora" / "notes" / "recipe.yaml").write_text(
        "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\nfields: {id: id, title: title, text: text}\n"
    )
    (tmp_path / "indexes" / "notes" / "recipe.yaml").write_text(
        f"corpora: [notes]\nembedder: {recipe.embedder}\nmetric: inner_product\nnormalise: false\n"
        f"encoding: {{query_embedder: '{recipe.encoding.query_embedder}', query_tokens: 16, pooling: cls,"
        " title_pairs: true}\n"
    )
    assert load_index_recipe(tmp_path / "indexes" / "notes" / "recipe.yaml") == recipe
    workspace = Workspace(tmp_path)
    build_named("notes", workspace=workspace, device="cpu")
    hits = make_retriever(RetrieverSpec(index="notes"), workspace=workspace).retrieve(["what treats asthma?"], k=3)[0]
    stored = cls(folders / "articles", ["asthma", "salbutamol relieves asthma in children"]).astype(np.float16)
    asked = cls(folders / "queries", "what treats asthma?")
    scores = {hit.passage.document: hit.score for hit in hits}
    assert scores["d0"] == pytest.approx(float(asked[0] @ stored[0].astype(np.float32)), abs=1e-2)
    index = Index.open(workspace.indexes / "notes")
    with pytest.raises(MismatchError, match="encoding"):
        index.require_embedder(embedder_of(replace(recipe, encoding=replace(recipe.encoding, query_tokens=8))))
    built = build_index(recipe, workspace=workspace, output=workspace.indexes / "notes", device="cpu")
    assert built.identity == index.manifest.identity


MEDCPT = os.environ.get("RAGMED_MEDCPT", "")
published = pytest.mark.skipif(not MEDCPT, reason="MedCPT's weights are not at hand: set RAGMED_MEDCPT to their folder")
CDI = (
    "Central diabetes insipidus (CDI) is a clinical syndrome which results from loss or impaired function of "
    "vasopressinergic neurons in the hypothalamus/posterior pituitary, resulting in impaired synthesis and/or "
    "secretion of arginine vasopressin (AVP). [...]"
)
ADI = (
    "Adipsic diabetes insipidus (ADI) is a rare but devastating disorder of water balance with significant associated "
    "morbidity and mortality. Most patients develop the disease as a result of hypothalamic destruction from a variety "
    "of underlying etiologies. [...]"
)
NDI = (
    "Nephrogenic diabetes insipidus (NDI) is characterized by the inability to concentrate urine that results in "
    "polyuria and polydipsia, despite having normal or elevated plasma concentrations of arginine vasopressin "
    "(AVP). [...]"
)


@published
def test_medcpt_gives_the_vectors_that_its_authors_publish():
    encoding = replace(PAIR, query_embedder=f"path:{MEDCPT}/MedCPT-Query-Encoder", query_tokens=64)
    embedder = load_embedder(
        f"path:{MEDCPT}/MedCPT-Article-Encoder",
        device="cpu",
        metric="inner_product",
        normalise=False,
        encoding=encoding,
    )
    query = embedder.embed_queries(["diabetes treatment"])[0]
    np.testing.assert_allclose(query[:3], [0.0413, 0.0084, -0.0491], atol=1e-4)
    article = embedder.embed_passages([f"Diagnosis and Management of Central Diabetes Insipidus in Adults\n{CDI}"])[0]
    np.testing.assert_allclose(article[:3], [-0.0189, 0.0115, 0.0988], atol=1e-4)


@published
def test_medcpt_gives_the_scores_that_its_authors_publish():
    articles = [
        "Type 1 and 2 diabetes mellitus: A review on current treatment approach and gene therapy as "
        "potential intervention. Type 1 and type 2 diabetes mellitus is a serious and lifelong condition "
        "commonly characterised by abnormally elevated blood glucose levels due to a failure in insulin "
        "production or a decrease in insulin sensitivity and function. [...]",
        "Diabetes mellitus and its chronic complications. Diabetes mellitus is a major cause of morbidity "
        "and mortality, and it is a major risk factor for early onset of coronary heart disease. "
        "Complications of diabetes are retinopathy, nephropathy, and peripheral neuropathy. [...]",
        f"Diagnosis and Management of Central Diabetes Insipidus in Adults. {CDI}",
        f"Adipsic diabetes insipidus. {ADI}",
        f"Nephrogenic diabetes insipidus: a comprehensive overview. {NDI}",
        "Impact of Salt Intake on the Pathogenesis and Treatment of Hypertension. Excessive dietary salt "
        "(sodium chloride) intake is associated with an increased risk for hypertension, which in turn is "
        "especially a major risk factor for stroke and other cardiovascular pathologies, but also kidney "
        "diseases. Besides, high salt intake or preference for salty food is discussed to be positive "
        "associated with stomach cancer, and according to recent studies probably also obesity risk. "
        "[...]",
    ]
    model = CrossEncoder(f"path:{MEDCPT}/MedCPT-Cross-Encoder", cache=ScoreCache(), device="cpu")
    scores = model.scores([("diabetes treatment", article) for article in articles])
    assert scores == pytest.approx([6.9363, -8.2063, -8.7692, -12.3450, -10.4416, -15.8475], abs=1e-3)
