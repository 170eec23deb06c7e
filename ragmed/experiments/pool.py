"""A file that names studies in, their pooled difference out: runs are read as they are stored, and no model is called.

title: What tuning does to examination questions
studies:
  first: {run: released-a, task: medqa, pairs: [[llama-3-8b, tuned-8b], [llama-3-70b, tuned-70b]]}
  second: {run: released-b, pairs: [[general, tuned]]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ragmed.checked import parse
from ragmed.comparison.columns import TaskTable, build_tables
from ragmed.comparison.settings import ComparisonSettings, every_failure
from ragmed.comparison.studies import StudiesPooled, Study, pool
from ragmed.errors import UnknownNameError, UsageError
from ragmed.experiments.results import metrics_of, stored_answers
from ragmed.runs import find_run
from ragmed.workspace import Workspace
from ragmed.yaml_files import read_yaml


@dataclass(frozen=True, slots=True)
class StudySettings:
    """`run`: its name; `task`: which of its tasks, where it has several; `pairs`: (baseline, arm)."""

    run: str
    pairs: tuple[tuple[str, str], ...]
    task: str = ""
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """`policy`, `resamples`, `seed`: as in a config's `comparison`."""

    studies: Mapping[str, StudySettings]
    title: str = ""
    policy: str = "wrong"
    resamples: int = 10_000
    seed: int = 0

    @property
    def comparison(self) -> ComparisonSettings:
        return ComparisonSettings(policy=every_failure(self.policy), resamples=self.resamples, seed=self.seed)


def pool_studies(path: Path, *, workspace: Workspace, policy: str = "") -> tuple[str, StudiesPooled]:
    """
        pool_studies(Path("configs/released/tuning.yaml"), workspace=Workspace.find())[1].ci

    The title and what is pooled. `policy`: `wrong` or `drop`, instead of the file's. UsageError and UnknownNameError
    name the study and what is wrong with it.
    """
    where, raw = read_yaml(path, "studies", error=UsageError)
    asked = parse(Pool, raw, where)
    asked = replace(asked, policy=policy or asked.policy)
    studies = [
        Study(name, _table(name, one, asked.comparison, workspace), one.pairs, one.metric)
        for name, one in asked.studies.items()
    ]
    return asked.title, pool(studies, asked.comparison)


def _table(name: str, study: StudySettings, settings: ComparisonSettings, workspace: Workspace) -> TaskTable:
    run = find_run(workspace.runs, study.run)
    answers, _, _ = stored_answers(run)
    tables = {table.name: table for table in build_tables(answers, settings.policy, metrics_of([run], "", answers))}
    if study.task and study.task not in tables:
        raise UnknownNameError("task", study.task, tables, f"study '{name}'")
    if not study.task and len(tables) > 1:
        raise UsageError(f"study '{name}': run '{study.run}' has the tasks {', '.join(tables)}; name one as `task:`")
    return tables[study.task] if study.task else next(iter(tables.values()))
