"""The model itself. In: a client, what its server reports, a counter. Out: completions and log-likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragmed.errors import ModelError, UsageError
from ragmed.models.counting import TokenCounter, Tokenizer
from ragmed.models.endpoint.answers import read_answer
from ragmed.models.endpoint.client import Ask, Client
from ragmed.models.endpoint.counting import least_tokens, plain, server_counter
from ragmed.models.endpoint.logprobs import INSTEAD, PairMaker, body_of, check_probe, summed
from ragmed.models.endpoint.server import Form, ServerFacts, check_found
from ragmed.models.settings import ModelSettings
from ragmed.records import Completion, Message, OptionScores

UNLIMITED = 1_000_000


class EndpointModel:
    """
        model = load_model("endpoint:http://127.0.0.1:8000/v1#medllama", workspace=ws)
        model.generate([[Message("user", "A fever?")]], max_tokens=9)[0].finish  # 'stop'

    `remote`: the server is at another address than this machine's own. `context_tokens`: the setting, else what the
    server reports, else a number that nothing reaches (the server then refuses what is too long, and the answer is an
    error). `thinking_tokens` are added to the limit of every request.
    """

    def __init__(
        self, settings: ModelSettings, client: Client, *, facts: ServerFacts, form: Form, counter: TokenCounter
    ) -> None:
        self.name = settings.name
        self.context_tokens = settings.context_tokens or facts.context_tokens or UNLIMITED
        self.thinking_tokens = settings.thinking_tokens
        self.remote = not client.endpoint.loopback
        self._settings = settings
        self._client = client
        self._facts = facts
        self._form = form
        self._tokenizer = counter if isinstance(counter, Tokenizer) else None
        self._counter = self._tokenizer or server_counter(client, facts, form) or counter
        self._pairs: PairMaker | None = None

    def fingerprint(self) -> dict[str, str]:
        """Address, model, what the server reports of it, how requests are written and tokens counted; never the key.

        The server's `created` is left out: several servers put the time of the reply there.
        """
        reported = {f"server_{key}": self._client.secret.quote(text) for key, text in self._facts.reported.items()}
        sampling = {"temperature": repr(self._settings.temperature), "top_p": repr(self._settings.top_p)}
        return {
            "url": self._client.endpoint.url,
            "model": self._client.endpoint.model,
            **reported,
            **sampling,
            **self._form.fingerprint(),
            "thinking_tokens": str(self.thinking_tokens),
            "context": str(self.context_tokens),
            "counted": self._counter.kind,
        }

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """By the tokenizer of the settings, else by the server's own, else an estimate; the fingerprint says which."""
        return self._counter.count(prompts)

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """One completion per prompt. What goes wrong with one prompt is the `error` of its completion.

        ModelError for what ends everything: nobody listens any more, the key or the model is no longer taken.
        """
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        endpoint, limit = self._client.endpoint, max_tokens + self.thinking_tokens
        asks = []
        for prompt in prompts:
            body = self._form.body(self._settings, model=endpoint.model, messages=plain(prompt), max_tokens=limit)
            asks.append(Ask(f"{endpoint.url}/chat/completions", {**body, **({"stop": list(stop)} if stop else {})}))
        expected = self._tokenizer.count(prompts) if self._tokenizer else [0] * len(prompts)
        least = [0 if self._tokenizer else least_tokens(prompt) for prompt in prompts]
        count = self._tokenizer.count_text if self._tokenizer else None
        completions = []
        for reply, tokens, bound in zip(self._client.ask(asks), expected, least, strict=True):
            check_found(reply, self._client, self._facts)
            answer = read_answer(
                reply, secret=self._client.secret, stop=stop, expected=tokens, least=bound,
                thinking_tokens=self.thinking_tokens, count=count,
            )  # fmt: skip
            completions.append(replace(answer, seconds=reply.seconds))
        return completions

    def require_scoring(self) -> None:
        """ModelError where log-likelihoods are not to be had, and what to do; asks the server once."""
        if self._pairs is not None:
            return
        if self._tokenizer is None:
            raise ModelError(
                f"log-likelihoods from '{self.name}' need its tokenizer and chat template; "
                f"name a folder or a model with tokenizer:, or {INSTEAD}"
            )
        chat = self._tokenizer.chat
        pairs = PairMaker(self._tokenizer.tokenizer, chat.render, special=chat.adds_special_tokens)
        ids, text = pairs.probe()
        reply = self._client.ask([self._scoring_ask(ids)])[0]
        check_probe(reply, ids, text, secret=self._client.secret, name=self.name)
        self._pairs = pairs

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """Log-likelihoods, one request per continuation; ModelError before the first where the server has none."""
        if len(prompts) != len(continuations):
            raise UsageError(f"{len(prompts)} prompts came with {len(continuations)} lists of continuations")
        self.require_scoring()
        assert self._pairs is not None
        made = [self._pairs.pairs(prompt, options) for prompt, options in zip(prompts, continuations, strict=True)]
        flat = [pair for pairs in made for pair in pairs]
        replies = iter(self._client.ask([self._scoring_ask(pair.ids) for pair in flat]))
        return [summed([next(replies) for _ in pairs], pairs, self._client.secret) for pairs in made]

    def _scoring_ask(self, ids: Sequence[int]) -> Ask:
        return Ask(f"{self._client.endpoint.url}/completions", body_of(ids, self._client.endpoint.model))

    def __repr__(self) -> str:
        return f"EndpointModel({self.name!r})"
