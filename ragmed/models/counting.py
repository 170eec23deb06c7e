"""Tokens of a prompt for a model that runs elsewhere. In: the `tokenizer` setting, or nothing. Out: counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from ragmed.errors import DataError, ModelError, UsageError
from ragmed.files import sha256_json, user_path
from ragmed.models.names import parse_model_name
from ragmed.records import Message
from ragmed.workspace import Workspace

BYTES = 3  # English has about 4 bytes a token, clinical English fewer: an estimate should rather be too high
MARKS = 5  # tokens around a turn


class TokenCounter(Protocol):
    kind: str
    """How it counts, for a fingerprint."""

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]: ...

    def count_text(self, text: str) -> int: ...


class Estimate:
    """
    >>> Estimate().count([[Message("user", "a fever")]])
    [13]
    """

    kind = f"estimated: one for {BYTES} bytes, {MARKS} for a turn"

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [sum(self.count_text(m.content) + MARKS for m in prompt) + MARKS for prompt in prompts]

    def count_text(self, text: str) -> int:
        return math.ceil(len(text.encode("utf-8")) / BYTES)


class Tokenizer:
    """Counts with a tokenizer of transformers and its chat template; see `load_counter`."""

    def __init__(self, tokenizer: Any) -> None:
        from ragmed.models.chat import ChatTemplate

        self.tokenizer = tokenizer
        self.chat = ChatTemplate(tokenizer)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
        self.kind = f"tokenizer {sha256_json([vocabulary, self.chat.fingerprint()])[:16]}"

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        texts = [self.chat.render(prompt) for prompt in prompts]
        return [self._length(text, special=self.chat.adds_special_tokens) for text in texts]

    def count_text(self, text: str) -> int:
        return self._length(text, special=False) if text else 0

    def _length(self, text: str, *, special: bool) -> int:
        return len(self.tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)["input_ids"])


def load_counter(name: str, *, workspace: Workspace) -> TokenCounter:
    """
    >>> load_counter("", workspace=Workspace.find()).kind[:9]
    'estimated'

    `name`: a `path:`, `packaged:` or `hf:` name of a model whose tokenizer counts, or an empty string.
    """
    if not name:
        return Estimate()
    parsed = parse_model_name(name)
    if parsed.scheme == "path":
        folder = user_path(parsed.target)
        if not folder.is_dir():
            raise DataError(f"tokenizer '{name}': there is no folder '{folder}'")
    elif parsed.scheme == "packaged":
        from ragmed.packaged import packaged_model_folder

        folder = packaged_model_folder(parsed.target, workspace.models)
    elif parsed.scheme == "hf":
        from ragmed.models.loading import hub_folder

        folder = hub_folder(parsed.target, parsed.revision)
    else:
        raise UsageError(f"tokenizer '{name}': name it as path:DIR, packaged:NAME or hf:ORG/NAME@REVISION")
    from transformers import AutoTokenizer

    try:
        return Tokenizer(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"tokenizer '{name}' could not be loaded: {first}") from error
