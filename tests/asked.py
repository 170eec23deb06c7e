"""A task asked end to end on invented records, by scripted models, under every arm that applies to it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ragmed.comparison.results import Results
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.prompts import build_messages
from ragmed.records import Example, Sample
from ragmed.runs import find_run
from ragmed.tasks import BoundTask, TaskSettings, find_task, load_task
from ragmed.workspace import Workspace

PAGES = {
    "gout": "Gout is painful.", "lithium": "Lithium can harm the kidneys.", "fever": "A fever lasts for days.",
    "bed": "Beds are made in the morning by whoever slept in them.", "rain": "It often rains in the west in autumn.",
}  # fmt: skip
"""Pages that hold no answer to anything."""


@dataclass(frozen=True)
class Asked:
    """What came of it. `pages`: the texts of the index, by their ids."""

    samples: Mapping[str, list[Sample]]
    results: Results
    bound: BoundTask
    pages: Mapping[str, str]


def ask(
    task: str, workspace: Workspace, arms: Mapping[str, Any], *, shots: int = 0, index: Mapping[str, str] = PAGES,
    baseline: str = "general", limit: int = 5,
) -> Asked:  # fmt: skip
    """Five examples, their page written. `index`: the texts of the index `pages`, by id, in the id space of the task.

    The models: `echo` repeats its prompt, `right` gives the gold answers as the task asks for them, `reasoned` the same
    after "Answer:", `empty` says nothing. The retriever `record` searches each example's own record.
    """
    ids = find_task(task).ids
    write_pages(workspace, index, "" if find_task(task).record else ids)
    settings = TaskSettings(shots=shots, limit=limit)
    bound = load_task(task, settings, workspace=workspace, seed=0)
    answers = {"right": "", "reasoned": "Answer: "}
    for name, mark in answers.items():
        write_answers(workspace.root / f"{name}.jsonl", bound, mark)
    raw = {
        "models": {
            "echo": "scripted:echo",
            "empty": f"scripted:{workspace.root / 'empty.jsonl'}",
            **{name: f"scripted:{workspace.root / name}.jsonl" for name in answers},
        },
        "index": "pages",
        "retrievers": {"record": {"method": "bm25", "record": True}},
        "tasks": {task: {"limit": limit, "shots": shots}},
        "arms": dict(arms),
        "comparison": {"baseline": baseline, "resamples": 200},
    }
    (workspace.root / "empty.jsonl").write_text('{"default": ""}\n')
    used = {arm["model"] for arm in arms.values()}
    raw["models"] = {name: model for name, model in raw["models"].items() if name in used}  # type: ignore[attr-defined]
    if not any(arm.get("retriever") for arm in arms.values()):
        del raw["retrievers"]
    results = run_experiment(make_experiment(raw, default_name="asked", where="test"), workspace=workspace)
    run = find_run(workspace.runs, "asked")
    assert (run.report_folder / "index.html").is_file()
    return Asked({arm: samples for (arm, _), samples in run.samples().items()}, results, bound, index)


def write_pages(workspace: Workspace, pages: Mapping[str, str], ids: str) -> None:
    """The corpus and the recipe of the index `pages`."""
    folder = workspace.corpora / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "pages.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("id", "text"), *pages.items()])
    recipe = {
        "title": "Pages", "reader": "csv", "paths": ["pages.csv"], "license": "CC0", "access": "open",
        "citation": "nobody", "fields": {"id": "id", "text": "text"}, **({"ids": ids} if ids else {}),
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (workspace.indexes / "pages").mkdir(parents=True, exist_ok=True)
    (workspace.indexes / "pages" / "recipe.yaml").write_text("corpora: [pages]\nembedder: hashing:64\n")


def write_answers(path: Path, bound: BoundTask, mark: str) -> None:
    """A script of the gold answers: each is given where the last message ends as the example is asked."""
    entries = [
        {"contains": own_words(bound, example), "answer": f"{mark}{bound.form.gold(example)}"}
        for example in bound.examples
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def own_words(bound: BoundTask, example: Example) -> str:
    """How an example is asked, without its record and without passages."""
    alone = replace(example, context=()) if bound.task.record else example
    return build_messages(bound, alone)[-1].content


def gold_pages(examples: Iterable[Example]) -> dict[str, str]:
    """A page for each document that an example names, in words that its question shares with no other."""
    named = dict.fromkeys(name for example in examples for name in example.documents)
    return {
        name: f"Entry {name.replace('.', ' ')}: page {n} of {'abcdefgh'[n % 8] * 3}." for n, name in enumerate(named)
    }
