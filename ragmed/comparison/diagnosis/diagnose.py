"""What lies behind a difference: samples and what is known of arms and tasks in, further rows of results.json out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.calibration import calibration
from ragmed.comparison.diagnosis.compliance import compliance, compliance_contrasts
from ragmed.comparison.diagnosis.decomposition import decomposition
from ragmed.comparison.diagnosis.evidence import evidence
from ragmed.comparison.diagnosis.followed import followed
from ragmed.comparison.diagnosis.leakage import leakage, leakage_contrasts, leaked_examples
from ragmed.comparison.diagnosis.ledger import ledger
from ragmed.comparison.diagnosis.order import order
from ragmed.comparison.diagnosis.ranking import ranking
from ragmed.comparison.diagnosis.rows import (
    Calibration,
    Compliance,
    ComplianceContrast,
    Decomposition,
    Evidence,
    Followed,
    Leakage,
    LeakageContrast,
    Ledger,
    Order,
    Retrieval,
)
from ragmed.comparison.rows import Contrast
from ragmed.comparison.settings import ComparisonSettings
from ragmed.records import Answer


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What `run.json` says of a run's arms and tasks, and what was measured or found out beside its samples.

    `arms`: name -> its plain settings (model, context, index, k …), with `model_identity` where two runs are compared;
    `tasks`: name -> its plain settings (task, scoring, …). `memory`: arm -> `peak_bytes`, and `of` what they are.
    `audit`: the contents of audit.json. `metrics`: name -> what it is measured with, and how often that errs.
    """

    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    memory: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Rows of results.json by their key there; none where a run has not what they need."""

    ledger: tuple[Ledger, ...]
    decomposition: tuple[Decomposition, ...]
    compliance: tuple[Compliance, ...]
    compliance_contrasts: tuple[ComplianceContrast, ...]
    order: tuple[Order, ...]
    calibration: tuple[Calibration, ...]
    retrieval: tuple[Retrieval, ...]
    evidence: tuple[Evidence, ...]
    followed: tuple[Followed, ...]
    leakage: tuple[Leakage, ...]
    leakage_contrasts: tuple[LeakageContrast, ...]


def diagnose(
    answers: Mapping[tuple[str, str], Sequence[Answer]],
    tables: Sequence[TaskTable],
    *,
    contrasts: Sequence[Contrast],
    settings: ComparisonSettings,
    facts: RunFacts,
) -> Diagnosis:
    """
    >>> diagnose({}, [], contrasts=[], settings=ComparisonSettings(baseline="general"), facts=RunFacts()).ledger
    ()

    Each kind of rows has a file of its own here, whose docstrings say what its rows mean. Scores are those of the
    tables, so that the policy holds here too.
    """
    found = {key: {answer.example.id: answer for answer in given} for key, given in answers.items() if given}
    tested = {name: about for name, about in facts.arms.items() if name not in settings.baseline_arms}
    pairs = list(dict.fromkeys((row.baseline, row.arm) for row in contrasts))
    leaked = leaked_examples(facts.audit)
    tasks = facts.tasks
    return Diagnosis(
        ledger=tuple(ledger(tables, contrasts)),
        decomposition=tuple(decomposition(tables, found, arms=tested)),
        compliance=tuple(compliance(tables, found, tasks=tasks, arms=tested, settings=settings)),
        compliance_contrasts=tuple(
            compliance_contrasts(tables, found, pairs, tasks=tasks, arms=tested, settings=settings)
        ),
        order=tuple(order(tables, found, arms=tested, tasks=tasks, settings=settings)),
        calibration=tuple(calibration(tables, found, tasks=tasks, settings=settings)),
        retrieval=tuple(ranking(tables, found, arms=tested)),
        evidence=tuple(evidence(tables, found, arms=tested, settings=settings)),
        followed=tuple(followed(tables, found, arms=tested, settings=settings)),
        leakage=tuple(leakage(tables, leaked, settings)),
        leakage_contrasts=tuple(leakage_contrasts(tables, leaked, contrasts=contrasts, settings=settings)),
    )
