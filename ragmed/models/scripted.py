"""A model without weights: answers from a file, or by a rule. For tests, `--dry-run`, and readers of the code.

In: messages. Out: the answer of the first entry whose pattern is found in the last user message. Instant, and the
same on every machine. Tokens are words between white space.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ragmed.errors import DataError
from ragmed.files import records, sha256_json, user_path
from ragmed.models.names import parse_model_name
from ragmed.models.settings import ModelSettings
from ragmed.models.thinking import split_thinking
from ragmed.records import Completion, Message, OptionScores
from ragmed.workspace import Workspace

CONTEXT_TOKENS = 1_000_000
BUILT_IN = ("echo", "first-option")
_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """`pattern` is searched in the last user message; the first entry that is found answers."""

    pattern: str
    answer: str


class ScriptedModel:
    """
    >>> ScriptedModel("scripted:echo").generate([[Message("user", "a fever")]], max_tokens=9)[0].text
    'a fever'

    `echo` repeats the last user message; `first-option` answers with the first option's letter (`A. ` at the start of
    a line), or `A`. score() prefers the continuation that generate() would have written, and ranks the others by a
    hash of prompt and continuation.
    """

    context_tokens = CONTEXT_TOKENS
    thinking_tokens = 0

    def __init__(self, name: str, *, rule: str = "", entries: Sequence[Entry] = (), default: str = "") -> None:
        self.name = name
        self.rule = rule or name.partition(":")[2] if not entries else ""
        self.entries = tuple(entries)
        self.default = default

    def fingerprint(self) -> dict[str, str]:
        entries = [[entry.pattern, entry.answer] for entry in self.entries]
        return {"scripted": sha256_json([self.rule, entries, self.default])}

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [sum(len(message.content.split()) for message in prompt) for prompt in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """The scripted answers, cut at `max_tokens` words (finish `length`) and at the first `stop` string.

        An answer may hold thinking, as `<think>…</think>`: it counts among the words, and is kept apart.
        """
        done = []
        for prompt, tokens in zip(prompts, self.count_tokens(prompts), strict=True):
            text = self._answer(prompt)
            cuts = [text.index(mark) for mark in stop if mark and mark in text]
            text = text[: min(cuts)] if cuts else text
            words = text.split()
            too_long = len(words) > max_tokens
            text = " ".join(words[:max_tokens]) if too_long else text
            thinking, text = split_thinking(text)
            thought = len(thinking.split())
            finish: Literal["length", "stop"] = "length" if too_long else "stop"
            done.append(Completion(text, finish, tokens, min(len(words), max_tokens), "", thinking, thought))
        return done

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """-0.1 for the continuation that is the scripted answer, between -9 and -1 for the others."""
        scores = []
        counts = self.count_tokens(prompts)
        for prompt, options, tokens in zip(prompts, continuations, counts, strict=True):
            answer = self._answer(prompt).strip()
            logprobs = tuple(-0.1 if o.strip() == answer else _hashed(prompt, o) for o in options)
            scores.append(
                OptionScores(
                    logprobs=logprobs,
                    tokens=tuple(max(1, len(option.split())) for option in options),
                    greedy=tuple(option.strip() == answer for option in options),
                    input_tokens=tokens,
                )
            )
        return scores

    def _answer(self, prompt: Sequence[Message]) -> str:
        question = next((message.content for message in reversed(prompt) if message.role == "user"), "")
        if self.rule == "echo":
            return question
        if self.rule == "first-option":
            match = _OPTION.search(question)
            return match.group(1) if match else "A"
        return next((e.answer for e in self.entries if re.search(e.pattern, question)), self.default)


def _hashed(prompt: Sequence[Message], continuation: str) -> float:
    key = sha256_json([[[message.role, message.content] for message in prompt], continuation])
    return -1.0 - 8.0 * int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> ScriptedModel:
    """The loader of `scripted:` names; neither workspace nor seed matters."""
    return load_scripted(settings.name, parse_model_name(settings.name).target)


def load_scripted(name: str, target: str) -> ScriptedModel:
    """
        load_scripted("scripted:answers.yaml", "answers.yaml")

    The file is a list (YAML) or lines (JSONL) of `{contains: TEXT, answer: TEXT}` or `{regex: PATTERN, answer: TEXT}`,
    tried in order, and at most one `{default: TEXT}`; without a default, a question nobody scripted is answered with
    nothing. Raises DataError with the entry's number.
    """
    if target in BUILT_IN:
        return ScriptedModel(name, rule=target)
    path = user_path(target)
    entries: list[Entry] = []
    default = ""
    for where, value in _read(path):
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise DataError(f"{where}: expected contains or regex with answer, or default; all of them text")
        if set(value) == {"default"}:
            default = value["default"]
        elif set(value) == {"contains", "answer"}:
            entries.append(Entry(re.escape(value["contains"]), value["answer"]))
        elif set(value) == {"regex", "answer"}:
            entries.append(Entry(_pattern(value["regex"], where), value["answer"]))
        else:
            raise DataError(f"{where}: expected contains or regex with answer, or default alone")
    return ScriptedModel(name, rule="file", entries=entries, default=default)


def _pattern(text: str, where: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise DataError(f"{where}: '{text}' is no regular expression ({error})") from error
    return text


def _read(path: Path) -> list[tuple[str, Any]]:
    if path.suffix == ".jsonl":
        return list(records(path, "scripted answers"))
    from ragmed.yaml_files import read_yaml

    where, value = read_yaml(path, "scripted answers", aliases=True)
    if not isinstance(value, list):
        raise DataError(f"{where}: a list of entries was expected")
    return [(f"{where}, entry {number}", entry) for number, entry in enumerate(value, start=1)]
