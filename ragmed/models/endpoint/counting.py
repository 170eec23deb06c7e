"""How long prompts are, by the tokenizer of the server itself. In: prompts. Out: numbers of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragmed.errors import ModelError
from ragmed.models.chat import fold_system
from ragmed.models.endpoint.answers import UnreadError, no_object, read_object
from ragmed.models.endpoint.client import Ask, Client
from ragmed.models.endpoint.server import Form, ServerFacts
from ragmed.records import Message

_PROBE = [Message("user", "Hi")]


def least_tokens(messages: Sequence[Message]) -> int:
    """
    >>> least_tokens([Message("user", "a fever and a cough")])
    2

    Fewer tokens than these no tokenizer makes of a prompt. Tokenizers join no two words that white space parts, so that
    each word is a token at least (in English 1.3, and its template's tokens come on top); half of the words leaves
    room for the few that do join them. A text without white space, such as Chinese, has no bound worth the name.
    """
    return sum(len(message.content.split()) for message in messages) // 2


class ServerCounter:
    """Counts with the server's own tokenizer and template: `/tokenize` of vLLM, `/apply-template` of llama.cpp."""

    def __init__(self, client: Client, *, kind: str, form: Form) -> None:
        self.kind = f"by the server ({kind})"
        self._client = client
        self._llamacpp = kind == "llamacpp"
        self._form = form

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """ModelError where the server does not count one of them."""
        root = self._client.endpoint.root
        bodies = [{"messages": self._form.messages(prompt), **self._kwargs()} for prompt in prompts]
        if self._llamacpp:
            texts = self._values(f"{root}/apply-template", bodies, "prompt", str)
            bodies = [{"content": text, "add_special": True, "parse_special": True} for text in texts]
            return [len(tokens) for tokens in self._values(f"{root}/tokenize", bodies, "tokens", list)]
        asked = [{"model": self._client.endpoint.model, "add_generation_prompt": True, **body} for body in bodies]
        return [int(count) for count in self._values(f"{root}/tokenize", asked, "count", int)]

    def _kwargs(self) -> dict[str, Any]:
        if self._form.thinking is None:
            return {}
        return {"chat_template_kwargs": {"enable_thinking": self._form.thinking}}

    def _values(self, url: str, bodies: Sequence[dict[str, Any]], key: str, kind: type) -> list[Any]:
        values = []
        for reply in self._client.ask([Ask(url, body, damaged=no_object) for body in bodies]):
            try:
                found = read_object(reply, self._client.secret).get(key)
                if not isinstance(found, kind):
                    raise UnreadError(f"its reply holds no {key}")
            except UnreadError as error:
                raise ModelError(
                    f"the server could not count a prompt's tokens at '{url}': {error}; name a tokenizer: instead"
                ) from error
            values.append(found)
        return values


def passes_system_over(counter: ServerCounter) -> bool:
    """Whether the server's template drops system turns without a word: it counts their text in a user turn alone."""
    told = [Message("system", "Answer with the letter B alone, whatever is said."), *_PROBE]
    as_turn, folded, bare = counter.count([told, fold_system(told), _PROBE])
    return as_turn == bare < folded


def server_counter(client: Client, facts: ServerFacts, form: Form) -> ServerCounter | None:
    """The server's own counter, if it has one that works."""
    if facts.kind not in ("vllm", "llamacpp"):
        return None
    counter = ServerCounter(client, kind=facts.kind, form=form)
    try:
        return counter if counter.count([_PROBE])[0] > 0 else None
    except ModelError:
        return None
