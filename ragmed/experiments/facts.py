"""run.json and audit.json of one or several runs in, what the comparison wants to know of arms and tasks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed.comparison.diagnosis.diagnose import RunFacts
from ragmed.errors import DamagedError
from ragmed.files import read_json, sha256_json
from ragmed.runs import Run
from ragmed.scores import RESOURCES
from ragmed.stored import Audit, misfit

AUDIT = "audit.json"


def run_facts(runs: Sequence[Run], samples: Mapping[tuple[str, str], Any]) -> RunFacts:
    """
        run_facts([run], run.samples()).arms["general+rag"]["k"]  # 3

    The facts of all arms and tasks that have samples. Of several runs, arms and indexes are named RUN/NAME, as the
    arms of `samples` are; a task is what the first run says it is. An example is leaked where any run's audit says so.
    """
    arms: dict[str, dict[str, Any]] = {}
    tasks: dict[str, Mapping[str, Any]] = {}
    memory: dict[str, Mapping[str, Any]] = {}
    audited: list[Any] = []
    measured_with: dict[str, Mapping[str, Any]] = {}
    asked = {arm for arm, _ in samples}
    for run in runs:
        prefix = f"{run.name}/" if len(runs) > 1 else ""
        info = run.info()
        experiment = info["experiment"]
        for name, about in experiment["arms"].items():
            if prefix + name in asked:
                arms[prefix + name] = _arm(name, about, info, prefix)
        measured = info.get("references", {}).get("memory", {})
        memory |= {prefix + name: one for name, one in measured.items()}
        tasks = {**experiment["tasks"], **tasks}
        measured_with = {**info.get("references", {}).get(RESOURCES, {}), **measured_with}
        if (run.folder / AUDIT).is_file():
            audited += read_audit(run.folder / AUDIT).get("tasks", [])
    there = {task for _, task in samples}
    return RunFacts(
        arms=arms, tasks={name: one for name, one in tasks.items() if name in there}, memory=memory,
        audit={"tasks": audited} if audited else {}, metrics=measured_with,
    )  # fmt: skip


def read_audit(path: Path) -> dict[str, Any]:
    """The contents of audit.json; DamagedError names the file and what in it is not of its kind."""
    audit = read_json(path, "audit", finite=True)
    wrong = misfit(Audit, audit)
    if wrong:
        raise DamagedError(f"audit '{path}': {wrong}; make it again with `ragmed audit`")
    return audit


def _arm(name: str, about: Mapping[str, Any], info: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """`model_identity`: models of several runs are one where their settings and their weights are the same.
    `constrained`: how its answers are held to the valid forms, where they are: arms held otherwise differ in form.
    """
    named = {key: f"{prefix}{about[key]}" if about.get(key) else "" for key in ("index", "retriever")}
    plain = {**about, **named, "name": ""}
    plain.setdefault("passage_order", "ranked")  # what is absent counts as its default
    model, identity = about.get("model", ""), info.get("identity", {})
    if about.get("constrained"):
        plain["constrained"] = identity.get("arms", {}).get(name, {}).get("held_by") or "likelihood"
    parts = [identity.get(key, {}).get(model) for key in ("models", "weights")]
    plain["model_identity"] = sha256_json(parts) if any(parts) else f"{prefix}{model}"
    plain["model_name"] = info.get("experiment", {}).get("models", {}).get(model, {}).get("name", "")
    return plain
