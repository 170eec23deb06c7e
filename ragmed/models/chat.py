"""Messages to the text that a model reads. In: messages, a tokenizer. Out: text that ends where the answer begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from ragmed.errors import ModelError
from ragmed.models.thinking import TAGS, closing_tag, left_open
from ragmed.records import Message

_LABELS = {"system": "System", "user": "User", "assistant": "Assistant"}
_PLAIN = "plain: 'System: ', 'User: ', 'Assistant: ' turns, a blank line between, ending in 'Assistant:'"
# Some templates print today's date, or open a chain of thought. A prompt must be the same tomorrow, and the options'
# letters must be what comes next; templates without these names ignore them.
_DATE = datetime(2024, 7, 26)
_SETTINGS: dict[str, Any] = {"date_string": f"{_DATE:%d %b %Y}", "enable_thinking": False}
_CLOSED = ", thinking closed"
_ANSWER = "what the assistant answered"


class ChatTemplate:
    """
        ChatTemplate(tokenizer).render([Message("user", "Hi")])
        # '<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n'

    The tokenizer's own template; where it has none, plain labelled turns. A template that refuses system turns gets
    the system text at the head of the first user turn. `kind` says which of these happened. With a template the text
    carries the special tokens itself; plain text gets those that the tokenizer adds (`adds_special_tokens`).
    A reasoning model's template is set not to let it think, unless `thinking` is 'on'; where it opens the thinking
    all the same, that is closed again, so that the answer is what comes next.
    """

    def __init__(self, tokenizer: Any, *, thinking: Literal["on", "off"] = "off") -> None:
        self._tokenizer = tokenizer
        self._settings = {**_SETTINGS, "enable_thinking": thinking == "on"}
        self.adds_special_tokens = not tokenizer.chat_template
        self.kind = "plain" if self.adds_special_tokens else "template"
        if self.kind == "template" and not self._takes_system():
            self.kind = "template, system text in the first user turn"
            self._apply([Message("user", "Hi")])  # a template that cannot do this is broken: better reported at once
        if self.kind != "plain" and thinking == "off" and left_open(self._apply([Message("user", "Hi")])):
            self.kind += _CLOSED

    def knows_thinking(self) -> bool:
        """Whether the template speaks of thinking: by its switch, or by a tag that opens or closes it."""
        source = repr(self._tokenizer.chat_template)
        return "enable_thinking" in source or any(tag in source for pair in TAGS.items() for tag in pair)

    def fingerprint(self) -> str:
        """Hash of the template and of how it is used."""
        source = _PLAIN if self.kind == "plain" else repr(self._tokenizer.chat_template)
        text = "\n".join([self.kind, source, repr(sorted(self._settings.items()))])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def render(self, messages: Sequence[Message]) -> str:
        """Text of the turns, with the mark that opens the assistant's turn. ModelError where the template fails."""
        if not messages:
            raise ModelError("a prompt without messages cannot be rendered; give at least one user message")
        if self.kind == "plain":
            turns = [f"{_LABELS[message.role]}: {message.content}" for message in messages]
            return "\n\n".join([*turns, f"{_LABELS['assistant']}:"])
        folds = self.kind.removesuffix(_CLOSED) != "template"
        text = self._apply(_fold_system(messages) if folds else messages)
        if self.kind.endswith(_CLOSED) and (opened := left_open(text)):
            text += f"\n{closing_tag(opened)}\n\n"
        return text

    def closing(self) -> str:
        """What ends an assistant's turn, such as <|im_end|>; empty where the template closes it by nothing but space.

        Found by rendering a turn whose content is known.
        """
        if self.kind == "plain":
            return ""
        turns = [Message("user", "Hi"), Message("assistant", _ANSWER)]
        return self._apply(turns, opening=False).rpartition(_ANSWER)[2].rstrip()

    def _takes_system(self) -> bool:
        try:
            return "be brief" in self._apply([Message("system", "be brief"), Message("user", "Hi")])
        except ModelError:
            return False

    def _apply(self, messages: Sequence[Message], *, opening: bool = True) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=opening, strftime_now=_DATE.strftime, **self._settings
            )
        except Exception as error:  # a template is a program of the publisher's: it can fail in any way
            reason = str(error).strip() or "no reason given"
            raise ModelError(
                f"the model's chat template refuses these messages ({type(error).__name__}: {reason})"
            ) from error
        return str(text)


def _fold_system(messages: Sequence[Message]) -> list[Message]:
    system = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if system and others and others[0].role == "user":
        others[0] = Message("user", "\n\n".join([*system, others[0].content]))
        return others
    return [Message("user", text) for text in system] + others
