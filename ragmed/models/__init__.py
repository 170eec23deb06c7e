"""Models answer: messages -> completion; prompt and continuations -> log-likelihoods.

One string names a model: `packaged:NAME`, `path:DIR`, `hf:ORG/NAME@REVISION`, `scripted:FILE`, and `+adapter:DIR`
behind a local one. `load_model` is the only door.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ragmed.models.names import MODEL_SCHEMES, ModelName, parse_model_name
from ragmed.packaged import packaged_model_folder
from ragmed.records import Completion, Message, OptionScores

__all__ = ["MODEL_SCHEMES", "Model", "ModelName", "describe_models", "load_model", "parse_model_name"]


class Model(Protocol):
    """List in, list out, same length, same order; strings, never tokens.

    A failure of one item ends in its `error` field; only what stops everything raises ModelError.
    """

    name: str
    context_tokens: int
    """How many tokens prompt and answer may have together."""

    def fingerprint(self) -> dict[str, str]:
        """What can change an answer: weights' hash, revision, dtype, template hash, adapter's hash."""

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens of each prompt, with the chat template and the mark that opens the assistant's turn."""

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy decoding. `stop` strings end the text and are not part of it."""

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """log P(continuation | prompt) for every continuation of every prompt."""


def load_model(name: str, *, models_folder: Path, device: str = "auto", dtype: str = "auto") -> Model:
    """>>> load_model("scripted:echo", models_folder=Path("models")).name
    'scripted:echo'

    `models_folder`: where `ragmed models fetch` puts packaged models. `device`, `dtype`: see `loading.load_local`; a
    scripted model ignores them. Raises UnknownNameError, UsageError, DataError, ModelError.
    """
    parsed = parse_model_name(name)
    if parsed.scheme == "scripted":
        from ragmed.models.scripted import load_scripted

        return load_scripted(name, parsed.target)
    source: str | Path = parsed.target
    if parsed.scheme == "path":
        source = Path(parsed.target).expanduser()
    elif parsed.scheme == "packaged":
        source = packaged_model_folder(parsed.target, models_folder)
    from ragmed.models.loading import load_local

    return load_local(name, source, revision=parsed.revision, adapter=parsed.adapter, device=device, dtype=dtype)


def describe_models(models_folder: Path) -> str:
    """The packaged models and whether each is fetched, then the ways in which others are named."""
    from ragmed.packaged import MODELS, NOTE

    lines = []
    for name, spec in MODELS.items():
        here = (models_folder / name / NOTE).is_file()
        state = str(models_folder / name) if here else f"not here; run: ragmed models fetch packaged:{name}"
        lines.append(f"packaged:{name:<16} {spec.licence:<12} {state}")
    return "\n".join([*lines, "other names:", *(f"  {text}" for text in MODEL_SCHEMES.values())])
