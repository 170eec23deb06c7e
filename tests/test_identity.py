"""What may not change within a run is named; what changes no answer is not refused."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sealed import edit_info

import ragmed
from ragmed import augmentation, prompts, tasks
from ragmed.errors import MismatchError
from ragmed.experiments import trial
from ragmed.experiments.config import load_experiment
from ragmed.experiments.identity import identity_defaults
from ragmed.experiments.trial import run_experiment
from ragmed.retrieval.bm25 import BM25Retriever
from ragmed.runs import Run, find_run
from ragmed.tasks.words import LETTER
from ragmed.workspace import Workspace

CONFIG = """
models: {small: "scripted:first-option", other: "scripted:echo"}
index: wards
seed: 3
window: 3
context_tokens: 4000
retrievers:
  words: {method: bm25, k1: 1.2}
tasks:
  mmlu: {scoring: letters}
  ours: {file: ours.csv, scoring: generate, shots: 1, max_tokens: 8}
arms:
  general: {model: small}
  rag: {model: small, context: retrieved, k: 2}
  lexical: {model: small, context: retrieved, retriever: words, k: 2}
"""
ROWS = "".join(f"{i},Where is ward {i}?,here,there,A,{'dev' if i < 4 else 'test'}\n" for i in range(10))
Change = Callable[[Workspace, pytest.MonkeyPatch], None]


@pytest.fixture
def begun(small: Workspace) -> Run:
    """A run of which a part is answered, and of which every arm has samples."""
    (small.root / "ours.csv").write_text(f"id,question,A,B,answer,split\n{ROWS}")
    (small.configs / "own.yaml").write_text(CONFIG)
    run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
    run = find_run(small.runs, "own")
    for path in run.folder.glob("samples/*/*.jsonl"):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    return run


def config(old: str, new: str) -> Change:
    def change(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        path = small.configs / "own.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def file(path: str, old: str, new: str) -> Change:
    def change(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        text = (small.root / path).read_text()
        assert old in text
        (small.root / path).write_text(text.replace(old, new))

    return change


def constant(owner: object, name: str, value: object) -> Change:
    return lambda small, monkeypatch: monkeypatch.setattr(owner, name, value)


CHANGES: dict[str, tuple[Change, str]] = {
    "seed": (config("seed: 3", "seed: 4"), "seed was 3, is now 4"),
    "window": (config("window: 3", "window: 4"), "window was 3, is now 4"),
    "budget": (config("context_tokens: 4000", "context_tokens: 3000"), "context_tokens was 4000"),
    "model": (config("first-option", "echo"), "models.small.name was "),
    "arm's model": (config("rag: {model: small", "rag: {model: other"), "arms.rag.model was "),
    "k": (config("retrieved, k: 2", "retrieved, k: 1"), "arms.rag.k was 2, is now 1"),
    "context": (
        config("rag: {model: small, context: retrieved", "rag: {model: small, context: distractor"),
        "arms.rag.context was ",
    ),
    "passage order": (
        config("retrieved, k: 2}", "retrieved, k: 2, passage_order: reversed}"),
        'arms.rag.passage_order was "ranked"',
    ),
    "arm's budget": (
        config("retrieved, k: 2}", "retrieved, k: 2, context_tokens: 900}"),
        "arms.rag.context_tokens was 0, is now 900",
    ),
    "retriever": (config("retriever: words, ", ""), 'arms.lexical.index was "", is now "wards"'),
    "retriever's parameter": (config("k1: 1.2", "k1: 1.5"), "retrievers.words.k1 was 1.2, is now 1.5"),
    "scoring": (config("{scoring: letters}", "{scoring: option-text}"), "tasks.mmlu.scoring was "),
    "normalise": (
        config("{scoring: letters}", "{scoring: letters, normalise: tokens}"),
        "tasks.mmlu.normalise was ",
    ),
    "options": (config("{scoring: letters}", "{scoring: letters, options: reversed}"), "tasks.mmlu.options was "),
    "limit": (config("{scoring: letters}", "{scoring: letters, limit: 7}"), "tasks.mmlu.limit was 0, is now 7"),
    "shots": (config("shots: 1", "shots: 2"), "tasks.ours.shots was 1, is now 2"),
    "max_tokens": (config("max_tokens: 8", "max_tokens: 9"), "tasks.ours.max_tokens was 8, is now 9"),
    "system words": (
        config("shots: 1", "shots: 1, system_instruction: Think."),
        "tasks.ours.system_instruction was ",
    ),
    "few-shot choice": (config("shots: 1", "shots: 1, few_shot: one-per-class"), 'tasks.ours.few_shot was ""'),
    "question": (file("ours.csv", "Where is ward 7?", "Where was ward 7?"), "the questions of task 'ours' differ"),
    "gold": (file("ours.csv", "7?,here,there,A", "7?,here,there,B"), "the questions of task 'ours' differ"),
    "corpus": (file("corpora/wards/pages/elm.md", "4000", "4999"), "was built before its corpus changed"),
    "index recipe": (file("indexes/wards/recipe.yaml", "hashing:64", "hashing:32"), "was built with embedder = "),
    "words of a prompt": (
        constant(prompts, "WITH_PASSAGES", "Read this."),
        "the words in which task 'mmlu' is asked differ",
    ),
    "version of a form": (constant(tasks, "LETTER", replace(LETTER, version=2)), "tasks.mmlu.form was "),
    "rules of augmentation": (constant(augmentation, "VERSION", 99), "augmentation was 2, is now 99"),
    "version of a retriever": (constant(BM25Retriever, "VERSION", 99), "references.words.version was "),
    "library": (constant(trial, "_version", lambda name: "0.0"), "torch was "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_field_is_refused_by_its_name(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    change, message = CHANGES[name]
    before = {path: path.read_bytes() for path in begun.folder.glob("samples/*/*.jsonl")}
    change(small, monkeypatch)
    with pytest.raises(MismatchError, match=re.escape(message)):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
    assert {path: path.read_bytes() for path in before} == before


def test_an_arm_may_be_asked_a_task_more_and_a_file_may_be_moved(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.root / "ours.csv").rename(small.root / "moved.csv")
    config("ours.csv", "moved.csv")(small, monkeypatch)
    config("rag: {model: small,", "rag: {model: small, tasks: [mmlu, ours],")(small, monkeypatch)
    run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
    assert len(begun.samples()["rag", "ours"]) == 6


def test_a_finished_run_is_held_to_its_fields_too(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
    config("k1: 1.2", "k1: 1.5")(small, monkeypatch)
    with pytest.raises(MismatchError, match=re.escape("retrievers.words.k1 was 1.2")):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)


def edit(run: Run, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    edit_info(run.info_file, lambda info: change(info["identity"]))


@pytest.mark.parametrize(
    ("part", "name", "field"),
    [
        ("arms", "rag", "retriever"),
        ("arms", "rag", "passage_order"),
        ("tasks", "mmlu", "few_shot"),
        ("retrievers", "words", "depth"),
    ],
)
def test_a_key_that_is_absent_counts_as_its_default(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch, part: str, name: str, field: str
) -> None:
    edit(begun, lambda identity: identity[part][name].pop(field))  # type: ignore[attr-defined]
    run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
    assert len(begun.samples()["rag", "mmlu"]) == 12


def test_rules_that_a_run_does_not_name_are_the_first(small: Workspace, begun: Run) -> None:
    edit(begun, lambda identity: identity["run"].pop("augmentation"))
    with pytest.raises(MismatchError, match="augmentation was 1, is now 2"):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)


def test_a_setting_that_an_older_run_does_not_hold_is_not_skipped(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(begun, lambda identity: identity["arms"]["rag"].pop("passage_order"))  # type: ignore[attr-defined]
    config("retrieved, k: 2}", "retrieved, k: 2, passage_order: reversed}")(small, monkeypatch)
    with pytest.raises(MismatchError, match=r'arms\.rag\.passage_order was "ranked", is now "reversed"'):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)


def test_whatever_changes_a_prompt_is_seen_before_anything_is_asked(
    small: Workspace, begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = augmentation.FromReferences._search

    def turned(self: augmentation.FromReferences, *given: object) -> object:
        return [hits[::-1] for hits in search(self, *given)]  # type: ignore[arg-type]

    monkeypatch.setattr(augmentation.FromReferences, "_search", turned)
    with pytest.raises(MismatchError, match="was asked with another prompt than it would be now"):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)


def test_comments_docstrings_and_names_of_locals_refuse_nothing(small: Workspace, begun: Run) -> None:
    package = small.root / "copy" / "ragmed"
    shutil.copytree(Path(ragmed.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in package.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace('"""', '"""Reworded. ', 1) + "\n# another comment\n")
    evaluation = package / "evaluation.py"
    text = evaluation.read_text()
    assert "prompts = _fit(" in text
    text = text.replace("prompts = _fit(", "rendered = _fit(").replace("(examples, prompts,", "(examples, rendered,")
    evaluation.write_text(text)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ragmed; assert ragmed.__file__.startswith(sys.argv[1]), ragmed.__file__\n"
        "from pathlib import Path\nfrom ragmed.experiments.config import load_experiment\n"
        "from ragmed.experiments import results, trial\nfrom ragmed.workspace import Workspace\n"
        "trial.write_results = lambda run, settings: {}\n"
        "w = Workspace.find(Path(sys.argv[2]))\n"
        "trial.run_experiment(load_experiment(w.configs / 'own.yaml'), workspace=w)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(package.parent), str(small.root)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {len(samples) for (_, task), samples in begun.samples().items() if task == "mmlu"} == {12}


def test_how_many_fields_are_tried() -> None:
    assert len(CHANGES) >= 20


def other(value: Any) -> Any:
    """A value of JSON that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 7
    return {"rounds": 9} if value is None else [*value, "x"] if isinstance(value, (list, tuple)) else f"{value}x"


def fields_of_an_identity() -> Iterator[tuple[str, str, tuple[str, ...], Any]]:
    """Part, name in the run `begun`, place of each setting, and its default."""
    defaults = json.loads(json.dumps(identity_defaults()))
    nested = defaults.pop("nested")
    for part, name in (("models", "small"), ("arms", "rag"), ("retrievers", "words"), ("tasks", "ours")):
        for field, default in defaults[part].items():
            if not isinstance(default, dict):
                yield part, name, (field,), default
            for key, value in nested.get(field, {}).items():
                yield part, name, (field, key), value
    for field, default in defaults["run"].items():
        yield "run", "", (field,), default


GONE = object()


def altered(info: dict[str, Any], part: str, name: str, place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A run.json in which one setting has another value, or is GONE."""
    info = json.loads(json.dumps(info))
    for root in ("identity",) if part == "run" else ("identity", "experiment"):
        owner = info[root][part]
        for key in (name, *place)[:-1]:
            if key:
                owner[key] = owner.get(key) or {}
                owner = owner[key]
        owner.pop(place[-1], None)
        if value is not GONE:
            owner[place[-1]] = value
    return info


def test_every_setting_that_a_run_does_not_know_counts_as_its_default(begun: Run) -> None:
    stored, defaults = begun.info(), identity_defaults()
    settings = list(fields_of_an_identity())
    for part, name, place, default in settings:
        for now, refused in ((default, False), (other(default), True)):
            begun.write_info(altered(stored, part, name, place, GONE))
            with pytest.raises(MismatchError, match=place[0]) if refused else nullcontext():
                begun.begin(altered(stored, part, name, place, now), defaults=defaults)
    assert len(settings) > 50


@pytest.mark.parametrize(
    ("part", "name", "old", "new", "message"),
    [
        ("models", "small", "first-option", "echo", "models.small.name was "),
        ("retrievers", "words", "k1: 1.2", "k1: 1.4", "retrievers.words.k1 was 1.5, is now 1.4"),
        ("arms", "rag", "retrieved, k: 2}", "retrieved, k: 1}", "arms.rag.k was 0, is now 1"),
        ("tasks", "ours", "max_tokens: 8", "max_tokens: 9", "tasks.ours.max_tokens was 0, is now 9"),
    ],
)
def test_an_entry_that_a_run_does_not_know_is_not_passed_over(
    small: Workspace,
    begun: Run,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    name: str,
    old: str,
    new: str,
    message: str,
) -> None:
    edit_info(begun.info_file, lambda info: [info[root][part].pop(name) for root in ("identity", "experiment")])
    config(old, new)(small, monkeypatch)
    with pytest.raises(MismatchError, match=re.escape(message)):
        run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small)
