"""What of a config and its data can change an answer: the parts by which a run, and the search before it, are held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ragmed import augmentation, prompts, queries, steps
from ragmed.arms import Arm, EvidenceFilter, FollowUp, Rerank
from ragmed.checked import dump
from ragmed.experiments.config import Experiment
from ragmed.models import ModelSettings
from ragmed.models.constraint import VERSION as CONSTRAINT_VERSION
from ragmed.models.constraint import HeldBy
from ragmed.retrieval.spec import RetrieverSpec
from ragmed.runs import Identity
from ragmed.tasks import BoundTask, TaskSettings
from ragmed.tasks.words import COT_VERSION

# How a server is reached changes no answer of it, nor does what is known of a model's past.
# How it holds answers to a form changes those of arms that are constrained alone: it stands there.
TRANSPORT = ("concurrency", "timeout", "retries", "key", "trusted", "base", "tuned_by", "base_served", "constrained_by")
# Which tasks an arm is asked changes none of its answers, nor does where a file of questions lies: its data are hashed.
ARM_LABELS = ("name", "tasks")
TASK_LABELS = ("file", "access")


def run_identity(experiment: Experiment) -> dict[str, Any]:
    return {
        "seed": experiment.seed,
        "window": experiment.window,
        "context_tokens": experiment.context_tokens,
        "augmentation": augmentation.VERSION,
    }


def model_identity(settings: ModelSettings) -> dict[str, Any]:
    return _without(dump(settings), TRANSPORT)


def arm_identity(arm: Arm, held_by: HeldBy = "likelihood") -> dict[str, Any]:
    """`held_by`: how its model holds answers to the valid forms, where the arm is constrained."""
    return {
        **_without(dump(arm), ARM_LABELS),
        "cot_form": COT_VERSION if arm.cot else 0,
        "held_by": f"{held_by} {CONSTRAINT_VERSION}" if arm.constrained else "",
        "query_form": 0 if arm.query == "question" else queries.VERSION,
        "steps_form": steps.VERSION if any(arm.steps) else 0,
    }


def task_identity(bound: BoundTask) -> dict[str, Any]:
    """A task's settings, its data, and its words as they are rendered."""
    return {
        **_without(dump(bound.settings), TASK_LABELS),
        "data": bound.data_hash(),
        "prompts": prompts.task_hash(bound),
        "form": f"{bound.form.name} {bound.form.version}",
    }


def identity_defaults() -> Identity:
    """What a field of the identity counts as where a run does not hold it: what it was before it could be set.

    `nested`: the same for the keys of a field that is a mapping, where the field is set.
    """
    steps_of = {"follow_up": FollowUp, "rerank": Rerank, "evidence_filter": EvidenceFilter}
    return {
        "nested": {
            **{
                name: {f.name: f.default for f in fields(kind) if f.default is not MISSING}
                for name, kind in steps_of.items()
            },
            "filter": dump(RetrieverSpec())["filter"],
        },
        "run": {"seed": 0, "window": 64, "context_tokens": 0, "augmentation": 1},
        "models": model_identity(ModelSettings("")),
        "arms": arm_identity(Arm("", "")),
        "retrievers": dump(RetrieverSpec()),
        "tasks": _without(dump(TaskSettings()), TASK_LABELS),
    }


def _without(settings: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
