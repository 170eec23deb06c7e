"""What lies behind a difference: samples and what is known of arms and tasks in, further rows of results.json out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragmed.comparison.calibration import calibration
from ragmed.comparison.columns import TaskTable
from ragmed.comparison.compliance import compliance, compliance_contrasts
from ragmed.comparison.decomposition import decomposition
from ragmed.comparison.leakage import leakage, leakage_contrasts, leaked_examples
from ragmed.comparison.ledger import ledger
from ragmed.comparison.order import order
from ragmed.comparison.ranking import ranking
from ragmed.comparison.settings import ComparisonSettings
from ragmed.records import Sample

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What `run.json` says of a run's arms and tasks, and what was measured or found out beside its samples.

    `arms`: name -> its plain settings (model, context, index, k …), with `model_identity` where two runs are compared;
    `tasks`: name -> its plain settings (task, scoring, …). `memory`: arm -> `peak_bytes`, and `of` what they are.
    `audit`: the contents of audit.json.
    """

    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    memory: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)


def behind(
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    tables: Sequence[TaskTable],
    *,
    contrasts: Sequence[Row],
    settings: ComparisonSettings,
    facts: Facts,
) -> dict[str, list[Row]]:
    """
    >>> behind(samples, tables, contrasts=rows["contrasts"], settings=settings, facts=facts)["ledger"]  # doctest: +SKIP
    [{'task': 'medqa', 'metric': 'accuracy', 'baseline': 'general', 'arm': 'general+rag', 'fixed': [...], ...}]

    Further rows by their key in results.json: ledger, decomposition, compliance, compliance_contrasts, order,
    calibration, retrieval, leakage, leakage_contrasts. Each has a file of its own here, whose docstrings say what its
    rows mean. A list is empty where a run has not what its rows need. Scores are those of the tables, so that the
    policy holds here too.
    """
    found = {key: {sample.example: sample for sample in given} for key, given in samples.items() if given}
    tested = {name: about for name, about in facts.arms.items() if name not in settings.baseline_arms}
    pairs = list(dict.fromkeys((row["baseline"], row["arm"]) for row in contrasts))
    leaked = leaked_examples(facts.audit)
    return {
        "ledger": ledger(tables, contrasts, settings),
        "decomposition": decomposition(tables, found, arms=tested, settings=settings),
        "compliance": compliance(tables, found, tasks=facts.tasks, settings=settings),
        "compliance_contrasts": compliance_contrasts(tables, pairs, tasks=facts.tasks, settings=settings),
        "order": order(tables, found, arms=tested, tasks=facts.tasks, settings=settings),
        "calibration": calibration(tables, found, tasks=facts.tasks, settings=settings),
        "retrieval": ranking(tables, found, arms=tested, settings=settings),
        "leakage": leakage(tables, leaked, settings),
        "leakage_contrasts": leakage_contrasts(tables, leaked, contrasts=contrasts, settings=settings),
    }
