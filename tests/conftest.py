"""What tests of whole commands share: a small workspace that needs no weights."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragmed.workspace import Workspace

# Tiny models gain nothing from a second thread, and lose much where another process wants the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests whose workspace is a temporary folder read real data, where there are any, from beside the checkout.
os.environ.setdefault("RAGMED_DATA", str(Workspace.find(Path(__file__).parent.parent).data))

WARDS = ["Elm", "Oak", "Ash", "Fir", "Yew", "Bay", "Box", "Sloe", "Rowan", "Hazel", "Larch", "Maple"]
CONFIG = """
models: {small: "scripted:first-option"}
index: wards
seed: 3
window: 3
tasks:
  mmlu: {scoring: letters}
  pubmedqa: {scoring: generate}
arms:
  general: {model: small}
  general+rag: {model: small, context: retrieved, k: 2}
  general+oracle: {model: small, context: oracle, k: 2}
  general+distractor: {model: small, context: distractor, k: 2}
  options-only: {model: small, context: options-only}
comparison: {resamples: 200}
"""


def question(number: int, *, pmid: bool) -> dict[str, object]:
    ward = WARDS[number]
    record: dict[str, object] = {
        "question": f"What is the extension of {ward} ward?",
        "options": {"A": str(4000 + number), "B": str(5000 + number)},
        "answer": "AB"[number % 2],
    }
    return {**record, "PMID": [ward.lower()]} if pmid else record


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Twelve pages, an index recipe with the hashing embedder, two tasks in MIRAGE's format, a config of five arms."""
    pages = tmp_path / "corpora" / "wards" / "pages"
    pages.mkdir(parents=True)
    for number, ward in enumerate(WARDS):
        text = f"# {ward} ward\n\nThe extension of {ward} ward is {4000 + number + 1000 * (number % 2)}.\n"
        (pages / f"{ward.lower()}.md").write_text(text)
    (tmp_path / "corpora" / "wards" / "recipe.yaml").write_text(
        "title: Wards\nreader: markdown\npaths: [pages]\nlicense: none\naccess: open\nids: pmid\n"
    )
    (tmp_path / "indexes" / "wards").mkdir(parents=True)
    (tmp_path / "indexes" / "wards" / "recipe.yaml").write_text("corpora: [wards]\nembedder: hashing:64\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "toy.yaml").write_text(CONFIG)
    mirage = tmp_path / "data" / "mirage"
    mirage.mkdir(parents=True)
    sets = {
        "mmlu": {f"m{i}": question(i, pmid=False) for i in range(12)},
        "pubmedqa": {f"p{i}": question(i, pmid=True) for i in range(8)},
    }
    (mirage / "benchmark.json").write_text(json.dumps(sets))
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def nothing_is_searched_twice_for_garbage() -> Iterator[None]:
    """What a module leaves in memory stays there, as modules and caches do: each search for garbage would look through
    millions of objects again, which took more time than the tests.
    """
    yield
    gc.collect()
    gc.freeze()


DRAWING = ["page", "page_browser", "factorial", "facts", "hostile_runs", "cli"]


@pytest.fixture(autouse=True)
def drawn_where_looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take seconds a page, and most tests write pages that nobody looks at."""
    if request.module.__name__.rpartition("test_")[2] not in DRAWING:
        monkeypatch.setattr("ragmed.report.page.write_figures", lambda *given, **named: [])
