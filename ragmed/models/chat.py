"""Messages to the text that a model reads. In: messages, a tokenizer. Out: text that ends where the answer begins."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from ragmed.errors import ModelError
from ragmed.models.thinking import marks_of, to_the_answer
from ragmed.records import Message

_LABELS = {"system": "System", "user": "User", "assistant": "Assistant"}
_PLAIN = (
    "plain: 'System: ', 'User: ', 'Assistant: ' turns, a blank line between, ending in 'Assistant:'; a label that "
    "opens a line within a turn gets a space before its colon"
)
# Where turns are told apart by these words alone, a text that holds one could open a turn; "Human" is what base models
# have read most. Where a chat template marks the turns, they are words like others: a note quotes who said what.
_LABELLED = re.compile(r"^([^\S\n]*(?:System|User|Assistant|Human))(?=:)", re.IGNORECASE | re.MULTILINE)
# Some templates print today's date, or open a chain of thought. A prompt must be the same tomorrow, and the options'
# letters must be what comes next; templates without these names ignore them.
_DATE = datetime(2024, 7, 26)
_SETTINGS: dict[str, Any] = {"date_string": f"{_DATE:%d %b %Y}", "enable_thinking": False}
_CLOSED, _PARTS, _FOLDED = ", thinking closed", ", content as parts", ", system text in the first user turn"
_ANSWER = "what the assistant answered"
_SHOWN = 60
SHORT_QUESTION = (Message("system", "Answer with the letter B alone, whatever is said."), Message("user", "Hi"))
"""What a server or a provider is asked first, to learn in which form it takes prompts. A reply of one letter is whole
within few tokens, so that the field in which it stands shows.
"""
SHORT_ANSWER = 16
FOLDED = "in the first user turn: a system turn is not taken"
"""Of a fingerprint: where the system text of every prompt goes."""
# A line break shows a list of parts that is printed as Python writes it, instead of being read.
_PROBE = [Message("system", "be brief\nand plain"), Message("user", "one\nquestion")]
_PROBE_SHOTS = [
    *_PROBE,
    Message("assistant", "the first\nreply"),
    Message("user", "another\nquestion"),
    Message("assistant", "a second\nreply"),
    Message("user", "the last\nquestion"),
]


class ChatTemplate:
    """
        ChatTemplate(tokenizer).render([Message("user", "Hi")])
        # '<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n'

    The tokenizer's own template; where it has none, plain labelled turns. A template that reads a turn's content as a
    list of parts gets it so, and one that refuses or leaves out system turns gets the system text at the head of the
    first user turn. `kind` says which of these happened. A template that asks for the date gets `date`, the same in
    every run. With a template the text carries the special tokens itself; plain text gets those that the tokenizer
    adds (`adds_special_tokens`). A reasoning model's template is set not to let it think, unless `thinking` is 'on';
    where it opens the thinking all the same, that is closed again, so that the answer is what comes next. No turn's
    text holds a special token of the tokenizer (`inert`): whatever stands in a passage, it ends no turn and opens none.
    ModelError for a template that leaves out what it is given.
    """

    def __init__(self, tokenizer: Any, *, thinking: Literal["on", "off"] = "off") -> None:
        self._tokenizer = tokenizer
        self._settings = {**_SETTINGS, "enable_thinking": thinking == "on"}
        self._special = _special_tokens(tokenizer)
        self.adds_special_tokens = not tokenizer.chat_template
        self._parts = self._folds = self._closes = False
        self._repeats_answers = True
        if self.adds_special_tokens:
            self.kind = "plain"
            self.date = ""
            return
        self._source = self._read_source()
        asks = any(name in self._source for name in ("strftime_now", "date_string"))
        self.date = f"{_DATE:%Y-%m-%d}" if asks else ""
        self._parts, self._folds, self._repeats_answers = self._form()
        self._closes = thinking == "off" and bool(to_the_answer(self._apply([Message("user", "Hi")])))
        said = ((self._parts, _PARTS), (self._folds, _FOLDED), (self._closes, _CLOSED))
        self.kind = "template" + "".join(words for is_so, words in said if is_so)

    def knows_thinking(self) -> bool:
        """Whether the template speaks of thinking: by its switch, or by a mark that opens or closes it."""
        source = repr(self._tokenizer.chat_template)
        return "enable_thinking" in source or bool(marks_of(source))

    def fingerprint(self) -> str:
        """Hash of the template and of how it is used."""
        source = _PLAIN if self.kind == "plain" else repr(self._tokenizer.chat_template)
        text = "\n".join([self.kind, source, repr(sorted(self._settings.items()))])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def render(self, messages: Sequence[Message]) -> str:
        """Text of the turns, with the mark that opens the assistant's turn.

        ModelError where the template fails, or leaves out the text of a turn: the question that is in no prompt would
        be answered all the same.
        """
        if not messages:
            raise ModelError("a prompt without messages cannot be rendered; give at least one user message")
        messages = [Message(message.role, self.inert(message.content)) for message in messages]
        if self.kind == "plain":
            turns = [f"{_LABELS[message.role]}: {message.content}" for message in messages]
            return "\n\n".join([*turns, f"{_LABELS['assistant']}:"])
        text = self._apply(fold_system(messages) if self._folds else messages)
        if lost := _lost(messages, text):
            raise ModelError(_left_out(lost))
        answered = next((message for message in messages if message.role == "assistant"), None)
        if answered and not self._repeats_answers:  # a letter stands in every text: it does not show that it was lost
            raise ModelError(_left_out(answered))
        return text + to_the_answer(text) if self._closes else text

    def inert(self, text: str) -> str:
        """The text with a space in each special token of the tokenizer, which then is none; of plain labelled turns, in
        each label that opens a line as well. `ragmed.prompts.harmless` does so for marks that many templates share;
        here the vocabulary is known (`>>QUESTION<<` of one, `[control_8]` of another).
        """
        for token in self._special:
            while token in text:  # what is left of two that overlapped may be one again
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return _LABELLED.sub(r"\1 ", text) if self.kind == "plain" else text

    def closing(self) -> str:
        """What ends an assistant's turn, such as <|im_end|>; empty where the template closes it by nothing but space.

        Found by rendering a turn whose content is known.
        """
        if self.kind == "plain":
            return ""
        turns = [Message("user", "Hi"), Message("assistant", _ANSWER)]
        return self._apply(turns, opening=False).rpartition(_ANSWER)[2].rstrip()

    def _read_source(self) -> str:
        try:
            return str(self._tokenizer.get_chat_template())
        except ValueError as error:  # several templates, and none of them is the default
            raise ModelError(f"the model's tokenizer does not say which chat template to use: {error}") from error

    def _form(self) -> tuple[bool, bool, bool]:
        """How the template is given turns: (content as parts, system text in the first user turn), and whether it
        repeats what the assistant answered before, as few-shot examples need.

        The first way in which it repeats all that it is given; ModelError where there is none, with what it said or
        left out when it was given a question alone.
        """
        for answers, probe in ((True, _PROBE_SHOTS), (False, _PROBE)):
            for folds in (False, True):
                for parts in (False, True):
                    self._parts = parts
                    try:
                        if not _lost(probe, self._apply(fold_system(probe) if folds else probe)):
                            return parts, folds, answers
                    except ModelError:
                        continue
        self._parts = False
        lost = _lost(_PROBE[1:], self._apply(_PROBE[1:]))
        raise ModelError(_left_out(lost or _PROBE[0]))

    def _apply(self, messages: Sequence[Message], *, opening: bool = True) -> str:
        turns = [
            {"role": m.role, "content": [{"type": "text", "text": m.content}] if self._parts else m.content}
            for m in messages
        ]
        try:
            text = self._tokenizer.apply_chat_template(
                turns,
                chat_template=_pinned(self._source),
                tokenize=False,
                add_generation_prompt=opening,
                **self._settings,
            )
        except Exception as error:  # a template is a program of the publisher's: it can fail in any way
            reason = str(error).strip() or "no reason given"
            raise ModelError(
                f"the model's chat template refuses these messages ({type(error).__name__}: {reason})"
            ) from error
        return str(text)


def _special_tokens(tokenizer: Any) -> list[str]:
    """The tokens by which a text is more than its words, the longest first: those that the tokenizer calls special, and
    others that were added to its vocabulary and stand in its chat template. One of a single sign cannot be broken up.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    template = repr(getattr(tokenizer, "chat_template", "") or "")
    tokens = {str(token) for token in getattr(tokenizer, "all_special_tokens", ())}
    tokens |= {token.content for token in added if token.special or repr(token.content)[1:-1] in template}
    return sorted((token for token in tokens if len(token.strip()) > 1), key=lambda token: (-len(token), token))


def _lost(messages: Sequence[Message], text: str) -> Message | None:
    """One of the messages whose words the text does not hold, the last where several are nowhere in it; white space at
    their ends does not count. Turns stand after each other, each in its own place; a system's may stand anywhere.
    """
    for message in reversed(messages):
        if message.content.strip() not in text:
            return message
    start = 0
    for message in messages:
        if message.role != "system":
            found = text.find(message.content.strip(), start)
            if found < 0:
                return message
            start = found + len(message.content.strip())
    return None


def _left_out(message: Message) -> str:
    words = " ".join(message.content.split())
    shown = words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
    if message.role == "assistant":
        what = "so that few-shot examples would be shown without their answers"
        remedy = "set the task's shots to 0"
    else:
        what = "so that the model would not be asked what is meant"
        remedy = "take a model whose template repeats what it is given"
    return (
        f"the model's chat template leaves out, changes or misplaces the {message.role} turn '{shown}', {what}; mend "
        f"chat_template.jinja in its folder, or {remedy}"
    )


def _pinned(template: str) -> str:
    """A template whose `strftime_now` gives the pinned date: a macro, because templates can be passed no function.

    Directives are replaced one by one, `%-d` and the like (no leading zero) first. The line break after the macro is
    one that templates do not print.
    """
    if "strftime_now" not in template:
        return template
    unpadded = {f"%-{letter}": f"{_DATE:%{letter}}".lstrip("0") or "0" for letter in "dmyHIMSj"}
    padded = {f"%{letter}": f"{_DATE:%{letter}}" for letter in "aAbBcdeDfFGhHIjmMnpRSTuUVwWxXyYZz"}
    filters = "".join(f"|replace({key!r}, {value!r})" for key, value in {**unpadded, **padded, "%%": "%"}.items())
    return f"{{%- macro strftime_now(format) %}}{{{{ format{filters} }}}}{{%- endmacro %}}\n{template}"


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """
    >>> fold_system([Message("system", "Be brief."), Message("user", "Hi")])
    [Message(role='user', content='Be brief.\\n\\nHi')]

    The messages without system turns: their text opens the first user turn.
    """
    system = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if system and others and others[0].role == "user":
        others[0] = Message("user", "\n\n".join([*system, others[0].content]))
        return others
    return [Message("user", text) for text in system] + others
