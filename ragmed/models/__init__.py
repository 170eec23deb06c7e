"""Models answer: messages -> completion; prompt and continuations -> log-likelihoods.

One string names a model (`ragmed.models.names`), its settings say the rest (`ragmed.models.settings`). `load_model` is
the only door: every kind of model has a loader `(settings, *, workspace, seed) -> Model` in a module of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from ragmed.models.constraint import Constraint
from ragmed.models.names import MODEL_SCHEMES, ModelName, parse_model_name
from ragmed.models.settings import LOCAL, ModelSettings, check_settings
from ragmed.records import Completion, Example, Message, OptionScores, Passage
from ragmed.text_table import columns
from ragmed.workspace import Workspace

__all__ = [
    "MODEL_SCHEMES",
    "ComputesHere",
    "Constrains",
    "HasNotes",
    "Model",
    "ModelName",
    "ModelSettings",
    "ReadsExamples",
    "SwitchesAdapter",
    "check_settings",
    "describe_models",
    "load_model",
    "parse_model_name",
]

_LOADERS: dict[str, str] = {
    "packaged": "ragmed.models.loading:load",
    "path": "ragmed.models.loading:load",
    "hf": "ragmed.models.loading:load",
    "endpoint": "ragmed.models.endpoint:load",
    "chat": "ragmed.models.langchain_chat:load",
    "vllm": "ragmed.models.vllm:load",
    "recorded": "ragmed.models.recorded:load",
    "extract": "ragmed.models.extract:load",
    "scripted": "ragmed.models.scripted:load",
}


class Model(Protocol):
    """List in, list out, same length, same order; strings, never tokens.

    A failure of one item ends in its `error` field; only what stops everything raises ModelError.
    """

    name: str
    context_tokens: int
    """How many tokens prompt and answer may have together."""
    thinking_tokens: int
    """How many it may think beside its answer; they count within `context_tokens`."""

    def fingerprint(self) -> dict[str, str]:
        """What can change an answer: weights' hash, revision, dtype, template hash, adapter's hash."""

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens of each prompt, with the chat template and the mark that opens the assistant's turn.

        Where a server cannot be asked and no tokenizer is named, an estimate; the fingerprint says so.
        """

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy decoding. `stop` strings end the text and are not part of it."""

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """log P(continuation | prompt) for every continuation of every prompt."""


@runtime_checkable
class MayNotScore(Protocol):
    """A model that has to find out whether log-likelihoods can be had."""

    def require_scoring(self) -> None:
        """ModelError, with the remedy, where they cannot."""


@runtime_checkable
class OneByOne(Protocol):
    """A model whose answers come one by one and depend on no neighbours: a server's. `each` is called with the place of
    a prompt and its answer as soon as that is there, in any order; what it raises ends everything, and is raised.
    """

    def generate_each(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None],
        stop: Sequence[str] = (),
    ) -> None: ...

    def score_each(
        self,
        prompts: Sequence[Sequence[Message]],
        continuations: Sequence[Sequence[str]],
        *,
        each: Callable[[int, OptionScores], None],
    ) -> None: ...


@runtime_checkable
class Constrains(Protocol):
    """A model whose answers can be held to a form while they are written; how, its settings say (`holds_by`)."""

    def generate_within(
        self,
        prompts: Sequence[Sequence[Message]],
        constraints: Sequence[Constraint],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """As `generate`, each answer within the constraint of its prompt. `each`: as of OneByOne, as they come."""


@runtime_checkable
class SwitchesAdapter(Model, Protocol):
    """A model that can be asked with its adapter and without, so that it can be shown to be in effect."""

    @property
    def compared_by(self) -> str:
        """What is compared, in words; '' where nothing can be."""

    def adapter_changes(self, prompts: Sequence[Sequence[Message]]) -> list[float]:
        """How far the answers with and without the adapter lie apart, for each prompt; 0 where they are the same.

        ModelError where a prompt has no answer.
        """


@runtime_checkable
class ReadsExamples(Protocol):
    """A model that is asked with the example itself and what was found for it, never with messages: a baseline that
    takes its answer from there.
    """

    def extract(self, example: Example, queries: Sequence[str], passages: Sequence[Passage]) -> Completion:
        """`queries`: what the retriever was asked; `passages`: what the arm shows, best first."""


@runtime_checkable
class HasNotes(Protocol):
    """A model of which more is known than can be compared between two machines: numbers that are rounded elsewise."""

    notes: Mapping[str, Any]
    """Name -> what a run keeps, as JSON; empty where nothing was found."""


@runtime_checkable
class ComputesHere(Protocol):
    """A model that computes in this process, so that the processor time of its answers can be measured."""

    computes_here: Literal[True]


def load_model(
    settings: ModelSettings | str,
    *,
    workspace: Workspace,
    seed: int = 0,
    while_apart: Callable[[SwitchesAdapter], None] | None = None,
) -> Model:
    """
    >>> load_model("scripted:echo", workspace=Workspace.find()).name
    'scripted:echo'

    A name alone stands for its settings' defaults. `seed`: sent where answers are sampled. `while_apart`: called with
    the model as long as its adapter can be switched off, before it is merged into the weights; not at all for a model
    of which that cannot be done. Raises UnknownNameError, UsageError, DataError, ModelError, MissingDependencyError.
    """
    given = ModelSettings(settings) if isinstance(settings, str) else settings
    check_settings(given, f"model '{given.name}'")
    module, function = _LOADERS[given.scheme].split(":")
    load = getattr(importlib.import_module(module), function)
    if given.scheme in LOCAL:
        return cast(Model, load(given, workspace=workspace, seed=seed, while_apart=while_apart))
    model = cast(Model, load(given, workspace=workspace, seed=seed))
    if while_apart and isinstance(model, SwitchesAdapter) and model.compared_by:
        while_apart(model)
    return model


def describe_models(models_folder: Path) -> str:
    """The packaged models and whether each is fetched, then the ways in which others are named."""
    from ragmed.packaged import MODELS, NOTE

    lines = []
    for name, spec in MODELS.items():
        here = (models_folder / name / NOTE).is_file()
        state = str(models_folder / name) if here else f"not here; run: ragmed models fetch packaged:{name}"
        lines.append((f"packaged:{name}", spec.licence, state))
    return "\n".join([*columns(lines), "other names:", *(f"  {text}" for text in MODEL_SCHEMES.values())])
