"""Thinking within a budget. In: token ids of prompts, whether each opens the thinking. Out: thinking and answer, apart.

Two passes of greedy decoding: first up to the closing tag, or until the budget is spent, when the thinking is closed
by force; then the answer, with all the tokens that an answer may have. A model that ends its thinking by itself gets
exactly what one pass would have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragmed.errors import UsageError
from ragmed.models.generation import Writer, Written
from ragmed.models.thinking import TAGS, closing_text, marks_of, starts_thinking, until_closed


@dataclass(frozen=True, slots=True)
class Reasoned:
    """`tokens`: of thinking, tags and answer together; `thinking_tokens`: of the thinking and its tags.

    Thinking that was closed by force has as many tokens as the budget, thinking that ended by itself has fewer.
    """

    thinking: str
    thinking_tokens: int
    text: str
    finish: Literal["stop", "length"]
    tokens: int


class Reasoner:
    """
        Reasoner(generator, tokenizer, budget=512).generate([ids], opened=[True], max_tokens=64)

    `tokenizer`: that of transformers, whose template says which pair of marks the model uses. UsageError for a budget
    that does not even hold the closing tag.
    """

    def __init__(self, generator: Writer, tokenizer: Any, *, budget: int) -> None:
        self.generator = generator
        family = (*marks_of(str(tokenizer.chat_template)), "<think>")[0]
        self._closing = list(map(int, tokenizer(closing_text(family), add_special_tokens=False)["input_ids"]))
        self._room = budget - len(self._closing)
        if self._room < 1:
            least = len(self._closing) + 1
            raise UsageError(f"thinking_tokens {budget}: the closing tag alone takes {least - 1}; give {least} or more")
        known = {tag: tokenizer.convert_tokens_to_ids(tag) for pair in TAGS.items() for tag in pair}
        vocabulary = tokenizer.get_vocab()
        self._opens = {known[tag] for tag in TAGS if tag in vocabulary}
        self._closes = frozenset(known[tag] for tag in TAGS.values() if tag in vocabulary)

    def generate(
        self, prompts: Sequence[Sequence[int]], *, opened: Sequence[bool], max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Reasoned]:
        """One Reasoned per prompt, in order. `opened[i]`: prompt i ends inside the thinking."""
        marks = tuple(TAGS.values())
        first = self.generator.generate(prompts, max_tokens=self._room, stop=marks, ends=self._closes)
        thoughts = [self._thought(written, inside) for written, inside in zip(first, opened, strict=True)]
        begun: dict[int, list[int]] = {}
        for i, (written, thought) in enumerate(zip(first, thoughts, strict=True)):
            if thought == "none" and written.finish == "length" and written.tokens < max_tokens:
                begun[i] = list(written.ids)
            elif thought in ("closed", "cut"):
                begun[i] = [*written.ids, *(self._closing if thought == "cut" else ())]
        second = self.generator.generate(
            [[*prompts[i], *ids] for i, ids in begun.items()], max_tokens=max_tokens, stop=stop
        )
        answers = dict(zip(begun, second, strict=True))
        done = []
        for i, (written, thought) in enumerate(zip(first, thoughts, strict=True)):
            if thought == "none":
                more = answers[i].ids if i in answers else ()
                done.append(self._without([*written.ids, *more][:max_tokens], stop))
            elif i in answers:
                done.append(self._together(written, begun[i], answers[i]))
            else:
                thinking = until_closed(self.generator.decode(self._before_end(written.ids)))[0]
                done.append(Reasoned(thinking, written.tokens, "", "stop", written.tokens))
        return done

    def _thought(self, written: Written, inside: bool) -> Literal["none", "closed", "cut", "ended"]:
        """What the first pass brought: no thinking at all, thinking that closed, that was cut, that ended the text."""
        by_end = written.finish == "stop" and written.ids[-1] in self.generator.eos
        if written.finish == "stop" and not by_end:
            return "closed"
        if not (inside or starts_thinking(written.text) or self._opens & set(written.ids[:3])):
            return "none"
        return "ended" if by_end else "cut"

    def _together(self, written: Written, begun: Sequence[int], answer: Written) -> Reasoned:
        # A token may hold the end of the closing tag and the first letters of the answer.
        thinking, tail = until_closed(self.generator.decode(list(written.ids)))
        text = (tail + answer.text).lstrip()
        return Reasoned(thinking, len(begun), text, answer.finish, len(begun) + answer.tokens)

    def _without(self, ids: list[int], stop: Sequence[str]) -> Reasoned:
        answer = self.generator.finished(ids, stop)
        return Reasoned("", 0, answer.text, answer.finish, answer.tokens)

    def _before_end(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token not in self.generator.eos]
