"""Metrics: a batch of examples and the values read from their answers in, a number or counts for each out.

A metric is one object in one file and one line in METRICS. Its `kind` decides the statistics:

    binary    0 or 1 for each answer: intervals and tests of proportions
    graded    a number for each answer: means, bootstrap, sign flips
    ratio     counts for each answer; the value is made of their sums over all answers (micro-F1, macro-F1), and
              intervals and tests resample the counts
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragmed.errors import UnknownNameError
from ragmed.records import Example, Measure, Value

MetricKind = Literal["binary", "graded", "ratio"]
Batch = Sequence[tuple[Example, Value]]

METRICS: dict[str, str] = {
    "accuracy": "ragmed.metrics.accuracy:ACCURACY",
    "abstained": "ragmed.metrics.abstention:ABSTAINED",
    "rouge_l": "ragmed.metrics.overlap:ROUGE_L",
    "rouge_l_signs": "ragmed.metrics.overlap:ROUGE_L_SIGNS",
    "rouge_1": "ragmed.metrics.overlap:ROUGE_1",
    "rouge_2": "ragmed.metrics.overlap:ROUGE_2",
    "bleu": "ragmed.metrics.translation:BLEU",
    "chrf": "ragmed.metrics.translation:CHRF",
    "code_f1": "ragmed.metrics.codes:CODE_F1",
    "code_f1_3": "ragmed.metrics.codes:CODE_F1_3",
    "code_f1_document": "ragmed.metrics.codes:CODE_F1_DOCUMENT",
    "code_f1_3_document": "ragmed.metrics.codes:CODE_F1_3_DOCUMENT",
    "code_evidence_f1": "ragmed.metrics.code_evidence:CODE_EVIDENCE_F1",
    "wellformed_codes": "ragmed.metrics.codes:WELLFORMED_CODES",
    **{
        name: f"ragmed.metrics.resources:{name.upper()}"
        for name in (
            "bertscore",
            "correction_bertscore",
            "completeness",
            "contradiction",
            "valid_codes",
            "valid_codes_document",
            "unsupported",
            "concept_f1",
            "concept_precision",
            "concept_recall",
            *(
                f"{measured}_{division}"
                for measured in ("bertscore", "concept_f1")
                for division in ("subjective", "objective_exam", "objective_results", "assessment_and_plan")
            ),
        )
    },
    "macro_f1": "ragmed.metrics.labels:MACRO_F1",
    "detection_f1": "ragmed.metrics.detection:DETECTION_F1",
    "entity_f1": "ragmed.metrics.entities:ENTITY_F1",
    "entity_f1_overlap": "ragmed.metrics.entities:ENTITY_F1_OVERLAP",
    "error_flag_f1": "ragmed.metrics.corrections:ERROR_FLAG_F1",
    "error_flag_accuracy": "ragmed.metrics.corrections:ERROR_FLAG_ACCURACY",
    "error_sentence_accuracy": "ragmed.metrics.corrections:ERROR_SENTENCE_ACCURACY",
    "correction_rouge_1": "ragmed.metrics.corrections:CORRECTION_ROUGE_1",
    "lexical_coverage": "ragmed.metrics.coverage:LEXICAL_COVERAGE",
    "evidence_token_f1": "ragmed.metrics.evidence:EVIDENCE_TOKEN_F1",
    "label_accuracy": "ragmed.metrics.evidence:LABEL_ACCURACY",
    "quote_found": "ragmed.metrics.evidence:QUOTE_FOUND",
    "problem_f1": "ragmed.metrics.problems:PROBLEM_F1",
    "rouge_l_subjective": "ragmed.metrics.sections:ROUGE_L_SUBJECTIVE",
    "rouge_l_objective_exam": "ragmed.metrics.sections:ROUGE_L_OBJECTIVE_EXAM",
    "rouge_l_objective_results": "ragmed.metrics.sections:ROUGE_L_OBJECTIVE_RESULTS",
    "rouge_l_assessment_and_plan": "ragmed.metrics.sections:ROUGE_L_ASSESSMENT_AND_PLAN",
}


POINTS = "points"
"""The unit of shares: their differences are printed times 100. What has another unit is printed as it is."""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """What statistics need to know of a metric; kept in a run, so that it can be compared without the metric's code.

    `higher_is_better` None: the number describes, and says nothing of better or worse (the length of an answer).
    `matches_gold`: 1 where the value is the gold answer, else 0, so that constant answers have a score by it, and an
    option's probability is a confidence in it. `unit`: what a difference is of, `points` for shares; "words", or ''
    where the metric has a scale of its own (a mark from 1 to 5) without a name for its steps.
    """

    name: str
    kind: MetricKind = "graded"
    version: int = 1
    higher_is_better: bool | None = True
    matches_gold: bool = False
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class Metric:
    """
    >>> from ragmed.metrics import find_metric
    >>> find_metric("accuracy").score([(Example("q1", "?", gold="B"), "B")])
    [1.0]

    `score`: one number (or, for a `ratio`, one tuple of counts) for each pair of example and value, in order. `total`:
    of a `ratio`, sums of counts [..., m] -> values [...]; `weights`: counts [n, m] -> what each of n examples weighs in
    it, where that is not the sum of its counts (a macro average). `version` is raised with every change that can change
    a number. `evidence`: its examples have as their `context` what stood before the model, passages included.
    """

    facts: MetricFacts
    score: Callable[[Batch], Sequence[Measure]]
    total: Callable[[Any], Any] | None = None
    weights: Callable[[Any], Any] | None = None
    evidence: bool = False

    @property
    def name(self) -> str:
        return self.facts.name


def find_metric(name: str) -> Metric:
    """
    >>> find_metric("rouge_l").facts.kind
    'graded'

    Raises UnknownNameError with near names.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    module, attribute = METRICS[name].split(":")
    metric: Metric = getattr(importlib.import_module(module), attribute)
    return metric


def metric_facts(names: Sequence[str]) -> tuple[MetricFacts, ...]:
    """The facts of several metrics, in order; the first of a task's metrics is its primary one."""
    return tuple(find_metric(name).facts for name in names)


def facts_by_name(facts: Sequence[MetricFacts]) -> Mapping[str, MetricFacts]:
    return {metric.name: metric for metric in facts}
