"""Whether a tuned model's adapter is in effect on what it is asked. In: an arm on its first task, and a model whose
adapter can be switched off. Out: what run.json keeps of it, or why it cannot be seen.

An adapter can be loaded and do nothing: weights of zeros, layers of other names, a server that answers with its base.
Its arm would be asked, scored and reported as tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragmed.adapters import read_manifest
from ragmed.arms import Arm
from ragmed.augmentation import Augmenter, ClosedBook
from ragmed.errors import ModelError
from ragmed.evaluation import unanswered
from ragmed.models import ModelSettings, SwitchesAdapter, parse_model_name
from ragmed.models.settings import REMOTE
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

PROMPTS = 8


def effect_on(
    arm: Arm, bound: BoundTask, augmenter: Augmenter, *, model: SwitchesAdapter, budget: int
) -> dict[str, Any]:
    """
        effect_on(arm, bound, ClosedBook(), model=model, budget=4096)
        # {'task': 'mednli', 'arm': 'tuned', 'n': 8, 'differ': 8, 'largest': 3.2, 'by': 'log-probabilities of …'}

    The task's first examples, rendered as the arm is asked them and answered with the adapter and without: of how many
    the answers `differ`, and the `largest` difference (nats, or 1 where answers are compared). A prompt that the model
    cannot read is left out; where an augmenter asks the model itself, prompts are those without passages.
    """
    examples = bound.examples[:PROMPTS]
    shown = ClosedBook() if augmenter.needs_model else augmenter
    asked = unanswered(
        arm, bound, examples, shown.augment(bound, examples, model=None), model=model, budget=budget
    )  # fmt: skip
    prompts = [sample.messages for sample in asked if sample.input_tokens < model.context_tokens]
    changes = model.adapter_changes(prompts) if prompts else []
    return {
        "task": bound.name,
        "arm": arm.name,
        "n": len(changes),
        "differ": sum(change != 0 for change in changes),
        "largest": max(changes, default=0.0),
        "by": model.compared_by,
    }


def unseen(settings: ModelSettings, manifest: Mapping[str, Any]) -> str:
    """Why it cannot be seen whether a model's adapter is in effect; '' for a model that has none, or has one that can
    be switched off. `manifest`: what is known of its tuning.
    """
    if parse_model_name(settings.name).adapter:
        return ""
    if settings.scheme == "endpoint" and not settings.base_served:
        return "its server is asked under one name alone; base_served: the name of its base there, would let it be seen"
    if settings.scheme == "chat":
        return "a provider's model cannot be asked without it"
    if settings.scheme in ("path", "vllm") and (settings.tuned_by or "tokens" in manifest):
        return "it was merged into the weights, and cannot be switched off"
    return ""


def served_template(settings: ModelSettings, reported: str, workspace: Workspace) -> str:
    """What is to be known of the chat template that a tuned model's server uses, in words; '' where it is the one that
    the adapter was trained with. `reported`: its hash, as far as the server tells its template.

    That it is another one is said and does not end a run: servers write templates with other blanks.
    """
    if settings.scheme not in REMOTE:
        return ""
    expected = ""
    if settings.tuned_by:
        expected = read_manifest(workspace.adapter(settings.tuned_by)).get("base", {}).get("template", "")
    if not reported or not expected:
        teller = "its server does not tell it" if expected else "tuned_by names no adapter whose manifest holds it"
        return f"whether its chat template is the one of its training was not checked: {teller}"
    return "" if reported == expected else "its server uses another chat template than the one it was trained with"


def require_effect(name: str, notes: Mapping[str, Any]) -> None:
    """ModelError for a model whose adapter changed no log-probability of any probe text when it was loaded, or nothing
    on the first prompts of its first task.
    """
    known = notes.get("adapter", {})
    if known.get("changes") == 0:
        raise ModelError(
            f"the adapter of '{name}' changes nothing: with and without it every log-probability of the probe texts is "
            "the same, so it was not trained, or its weights are zeros; train it, or take its arms out"
        )
    seen = known.get("prompts")
    if seen and not seen["differ"]:
        of = f"the first {seen['n']} prompts of task '{seen['task']}' (arm '{seen['arm']}')"
        if not seen["n"]:
            raise ModelError(f"the adapter of '{name}' cannot be seen in effect: the model can read none of {of}")
        remedy = (
            "check under which name the server has the adapter (base_served is the name without it; taken out, it is "
            "not checked, and the results say so)"
            if seen["by"] == "answers"
            else "train it, check that it was made for this model, or take its arms out"
        )
        raise ModelError(
            f"the adapter of '{name}' is not in effect: with and without it, {seen['by']} are the same on "
            f"all of {of}; {remedy}"
        )
