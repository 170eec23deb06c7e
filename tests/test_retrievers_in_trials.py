"""Retrievers as a config names them: told apart, refused before anything is spent, held to what was searched."""

from typing import Any

import pytest

from ragmed.errors import MismatchError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.retrieval.named import build_named
from ragmed.runs import find_run
from ragmed.workspace import Workspace


def config(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "models": {"m": "scripted:first-option"},
        "index": "wards",
        "retrievers": {"words": {"method": "bm25"}, "both": {"method": "rrf", "of": ["words", "wards"]}},
        "tasks": {"pubmedqa": {}},
        "arms": {
            "dense": {"model": "m", "context": "retrieved", "k": 2},
            "lexical": {"model": "m", "context": "retrieved", "retriever": "words", "k": 2},
            "fused": {"model": "m", "context": "retrieved", "retriever": "both", "k": 2},
        },
    }
    return raw | changes


def run(raw: dict[str, Any], small: Workspace, name: str = "r") -> Any:
    run_experiment(make_experiment(raw, default_name=name, where="config"), workspace=small)
    return find_run(small.runs, name)


def test_each_arm_is_shown_what_its_own_retriever_finds(small: Workspace) -> None:
    build_named("wards", workspace=small)
    done = run(config(), small)
    first = {arm: done.samples()[arm, "pubmedqa"][0].passages[0] for arm in ("dense", "lexical", "fused")}
    assert (first["dense"].score or 9.0) <= 1.0 < (first["lexical"].score or 0.0)
    assert set(first["fused"].parts) == {"words", "wards"}
    identity = done.info()["identity"]["references"]
    assert {name: entry["method"] for name, entry in identity.items()} == {
        "wards": "dense", "words": "bm25", "both": "rrf",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("retrievers", "message"),
    [
        ({"wards": {"method": "bm25"}}, "retrievers.wards: 'wards' is an index here; give the retriever a name"),
        ({"words": {"method": "bm25", "k1": -1}}, r"retrievers.words.k1: .*at least 0"),
        ({"words": {"method": "bm52"}}, "retrievers.words: unknown retrieval method 'bm52'.*did you mean 'bm25'"),
        ({"words": {"method": "rrf"}}, "retrievers.words: a fusion has no parts"),
        ({"words": {"method": "rrf", "of": ["wards"], "weights": [1.0, 2.0]}}, "1 retrievers are fused with 2 weights"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_spent(retrievers: Any, message: str) -> None:
    arms = {"a": {"model": "m", "context": "retrieved", "k": 2, "retriever": next(iter(retrievers))}}
    with pytest.raises(UsageError, match=message):
        make_experiment(config(retrievers=retrievers, arms=arms), default_name="r", where="config")


def test_a_retriever_without_an_index_is_refused() -> None:
    arms = {"a": {"model": "m", "context": "retrieved", "k": 2, "retriever": "words"}}
    raw = config(retrievers={"words": {"method": "bm25"}}, arms=arms)
    del raw["index"]
    with pytest.raises(UsageError, match="it searches an index and names none; write index: NAME"):
        make_experiment(raw, default_name="r", where="config")


def test_a_fusion_with_a_part_that_is_not_built_is_refused(small: Workspace) -> None:
    with pytest.raises(UsageError, match="index 'wards' is not built yet; run: ragmed build-index wards"):
        run(config(arms={"fused": config()["arms"]["fused"]}), small)


def test_a_corpus_that_changed_between_two_arms_of_one_run_is_refused(small: Workspace) -> None:
    build_named("wards", workspace=small)
    arms = config()["arms"]
    run(config(arms={"dense": arms["dense"]}), small)
    page = small.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nIt moved.\n")
    build_named("wards", workspace=small)
    with pytest.raises(MismatchError, match="the index 'wards' was rebuilt: 1 document was edited"):
        run(config(arms={"dense": arms["dense"], "lexical": arms["lexical"]}), small)


def test_a_retriever_that_no_arm_uses_may_change(small: Workspace) -> None:
    arms = {"dense": config()["arms"]["dense"]}
    run(config(arms=arms), small)
    run(config(arms=arms, retrievers={"words": {"method": "bm25", "k1": 0.9}}), small)


def test_a_dry_run_tells_how_each_arm_retrieves(small: Workspace) -> None:
    text = dry_run(make_experiment(config(), default_name="r", where="config"), workspace=small)
    assert "(dense, wards, k 2)" in text
    assert "(words: bm25 of wards, k 2)" in text
    assert "(both: rrf of words, wards, k 2)" in text


@pytest.mark.parametrize(
    ("spec", "arm", "name"),
    [
        ({"method": "rrf", "of": ["words", "wards"], "depth": 9}, {"k": 10}, "both"),
        ({"method": "mmr", "of": ["words"], "depth": 9}, {"k": 2, "rerank": {"candidates": 10}}, "both"),
        ({"method": "filter", "of": ["deep"], "filter": {"access": "open"}}, {"k": 10}, "deep"),
        ({"method": "mmr", "of": ["words"], "depth": 9}, {"k": 2}, "both"),
    ],
)
def test_no_more_is_asked_for_than_is_put_in_order(spec: dict[str, Any], arm: dict[str, Any], name: str) -> None:
    """Else the depth would grow with k, and the first 10 of 32 be others than the 10."""
    retrievers = {"words": {"method": "bm25"}, "both": spec}
    if name == "deep":
        retrievers["deep"] = {"method": "rrf", "of": ["words", "wards"], "depth": 9}
    arms = {"a": {"model": "m", "context": "retrieved", "retriever": "both", **arm}}
    search = {"arm": "a", "task": "pubmedqa", "k": [2, 10]} if arm == {"k": 2} else None
    with pytest.raises(UsageError, match=f"10 passages are asked for, and retriever '{name}' reads the first 9 hits"):
        make_experiment(config(retrievers=retrievers, arms=arms, search=search), default_name="r", where="config")
    arms["a"] |= {"context": "oracle", "k": 10}  # which orders what is given, all of it
    arms["a"].pop("rerank", None)
    make_experiment(config(retrievers=retrievers, arms=arms), default_name="r", where="config")
