"""Log-likelihoods by way of a server that echoes a prompt with them. In: token ids. Out: sums over the continuations.

`/v1/completions` with `echo` and `logprobs` gives the log-likelihood of every token of the prompt (vLLM, SGLang,
OpenAI's older models). llama.cpp, TGI, Ollama and `transformers serve` refuse `echo`, or take it and leave the prompt's
numbers out; so nothing is believed that does not have one entry for each token that was sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragmed.errors import ModelError, UsageError
from ragmed.models.endpoint.answers import UnreadError, dig, read_object
from ragmed.models.endpoint.client import Reply
from ragmed.models.endpoint.secret import Secret
from ragmed.records import OptionScores

INSTEAD = "score by generated text instead (scoring: generate)"
_PROBE = "A patient with a fever and a cough was seen today."
_LARGEST = 1e9
_TIE = 1e-4  # servers round: the chosen token and the likeliest are one when they differ by less


@dataclass(frozen=True, slots=True)
class Pair:
    """`ids`: prompt and continuation together, of which the first `prompt` tokens are the prompt's."""

    ids: tuple[int, ...]
    prompt: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    logprob: float
    greedy: bool


def body_of(ids: Sequence[int], model: str) -> dict[str, Any]:
    """One token has to be generated: not every server takes 0."""
    return {
        "model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1,
        "stream": False,
    }  # fmt: skip


class PairMaker:
    """Tokens of prompts with their continuations, cut where models that run here cut them (see `LocalModel`)."""

    def __init__(self, tokenizer: Any, render: Callable[[Any], str], *, special: bool) -> None:
        self._tokenizer = tokenizer
        self._render = render
        self._special = special

    def pairs(self, prompt: Any, continuations: Sequence[str]) -> list[Pair]:
        """UsageError for a continuation that is empty or has no tokens."""
        text = self._render(prompt)
        head = self._ids(text, special=self._special)
        made = []
        for option in continuations:
            whole = self._ids(text + option, special=self._special)
            tail = whole[len(head) :] if whole[: len(head)] == head else []
            tail = tail or self._ids(option, special=False)
            if not tail:
                raise UsageError(f"the continuation {option!r} has no tokens, and so no likelihood")
            made.append(Pair((*head, *tail), len(head)))
        return made

    def probe(self) -> tuple[list[int], str]:
        ids = self._ids(_PROBE, special=False)
        return ids, str(self._tokenizer.decode(ids))

    def _ids(self, text: str, *, special: bool) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)
        return list(map(int, encoded["input_ids"]))


def read_likelihood(reply: Reply, pair: Pair, secret: Secret) -> Likelihood:
    """The continuation's log-likelihood; UnreadError where the reply does not hold it."""
    values, tops, _ = _entries(reply, len(pair.ids), secret)
    chosen = values[pair.prompt : len(pair.ids)]
    if not all(map(_is_logprob, chosen)):
        raise UnreadError("the server gave no log-likelihood for some of the continuation's tokens")
    best = [_best(top) for top in tops[pair.prompt : len(pair.ids)]]
    return Likelihood(math.fsum(chosen), all(b is not None and v >= b - _TIE for v, b in zip(chosen, best)))


def check_probe(reply: Reply, ids: Sequence[int], text: str, *, secret: Secret, name: str) -> None:
    """ModelError where a server cannot score, or does not show that it read the tokens, and no others, as we do."""
    try:
        values, _, tokens = _entries(reply, len(ids), secret)
    except UnreadError as error:
        raise ModelError(f"'{name}' cannot give log-likelihoods: {error}; {INSTEAD}") from error
    if not all(map(_is_logprob, values[1 : len(ids)])):
        raise ModelError(f"'{name}' gives no log-likelihoods of a prompt's tokens; {INSTEAD}")
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
        # A server that puts a token of its own before the prompt's would give each the number of its neighbour.
        raise ModelError(f"'{name}' does not report to which tokens its log-likelihoods belong; {INSTEAD}")
    read = "".join(tokens[: len(ids)])
    if read.startswith("token_id:"):
        same = re.findall(r"token_id:(\d+)", read) == [str(i) for i in ids]
    else:
        same = re.sub(r"[\s▁Ġ]", "", read) == re.sub(r"\s", "", text)
    if not same:
        raise ModelError(
            f"'{name}' decodes the tokens to another text than the tokenizer named in its settings encoded"
        )


def summed(replies: Sequence[Reply], pairs: Sequence[Pair], secret: Secret) -> OptionScores:
    """The options of one prompt together; one that has no likelihood makes an error of all."""
    lengths = tuple(len(pair.ids) - pair.prompt for pair in pairs)
    prompt = pairs[0].prompt if pairs else 0
    try:
        found = [read_likelihood(reply, pair, secret) for reply, pair in zip(replies, pairs, strict=True)]
    except UnreadError as error:
        return OptionScores((), lengths, (), prompt, str(error))
    return OptionScores(tuple(one.logprob for one in found), lengths, tuple(one.greedy for one in found), prompt)


def _entries(reply: Reply, sent: int, secret: Secret) -> tuple[list[Any], list[Any], Any]:
    """Numbers and likeliest tokens, one for each token that was sent and at most one for what was generated; and the
    tokens, as the server writes them.
    """
    logprobs = dig(read_object(reply, secret), "choices", 0, "logprobs")
    values, tops = dig(logprobs, "token_logprobs"), dig(logprobs, "top_logprobs")
    if not isinstance(values, list):
        raise UnreadError("the server left out the log-likelihoods (echo and logprobs of /v1/completions)")
    if len(values) not in (sent, sent + 1):
        raise UnreadError(f"the server gave {len(values)} log-likelihoods for the {sent} tokens of a prompt")
    likeliest = tops if isinstance(tops, list) and len(tops) == len(values) else [None] * len(values)
    return values, likeliest, dig(logprobs, "tokens")


def _best(top: object) -> float | None:
    if not isinstance(top, dict):
        return None
    return max((float(v) for v in top.values() if _is_logprob(v)), default=None)


def _is_logprob(value: object) -> bool:
    """Whole numbers are compared as such: one of 400 digits is no float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value <= _TIE
