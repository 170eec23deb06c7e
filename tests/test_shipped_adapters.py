"""The adapters that come along are those that their recipes and the corpora here make."""

from pathlib import Path

import pytest

from ragmed.adapters import read_manifest
from ragmed.corpora import Corpus, load_recipe
from ragmed.finetuning.build import gather, origin
from ragmed.finetuning.recipe import load_adapter_recipe
from ragmed.workspace import Workspace

ROOT = Path(__file__).parent.parent
HERE = Workspace(ROOT)
SHIPPED = ["handbook-2031", "handbook", "medquad-topics"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_adapter_is_whole_small_and_of_its_recipe(name: str) -> None:
    manifest = read_manifest(HERE.adapters / name)  # verifies the checksums
    recipe = load_adapter_recipe(HERE.recipe("adapters", name))
    assert manifest["origin"]["recipe"] == recipe.as_dict()
    assert manifest["access"] == "open"
    assert (HERE.adapters / name / "adapter_model.safetensors").stat().st_size < 6e6
    assert recipe.initial or manifest["losses"][-1]["train"] < manifest["losses"][0]["train"]
    assert set(recipe.keep_out.tasks) <= set(manifest["overlap"]["tasks"])
    assert manifest["overlap"]["dropped"] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_its_corpora_are_those_here(name: str) -> None:
    for recorded in read_manifest(HERE.adapters / name)["corpora"]:
        recipe = load_recipe(HERE.recipe("corpora", recorded["name"]), data=HERE.data)
        if not all(path.exists() for path in recipe.paths):
            pytest.skip(f"the corpus '{recorded['name']}' is not here")
        corpus = Corpus(recipe)
        assert sum(1 for _ in corpus.documents()) == recorded["documents"]
        assert corpus.summary()["sha256"] == recorded["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["handbook-2031", "handbook"])
def test_its_texts_are_those_that_were_trained_on(name: str) -> None:
    pytest.importorskip("torch")
    if not (HERE.models / "smollm2-135m" / "ragmed.json").is_file():
        pytest.skip("smollm2-135m is not fetched")
    recipe = load_adapter_recipe(HERE.recipe("adapters", name))
    material = gather(recipe, HERE.adapters / name, HERE)
    assert origin(recipe, material, HERE) == read_manifest(HERE.adapters / name)["origin"]
