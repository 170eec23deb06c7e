"""The model itself. In: a client, what its server reports, a counter. Out: completions and log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ragmed.errors import ModelError, UsageError
from ragmed.models.counting import TokenCounter, Tokenizer
from ragmed.models.endpoint.answers import no_answer, no_object, read_answer
from ragmed.models.endpoint.client import Ask, Client, Reply
from ragmed.models.endpoint.counting import ServerCounter, least_tokens
from ragmed.models.endpoint.logprobs import INSTEAD, PairMaker, body_of, check_probe, summed
from ragmed.models.endpoint.server import Form, ServerFacts, check_found
from ragmed.models.one_by_one import in_order
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
        self,
        settings: ModelSettings,
        client: Client,
        *,
        facts: ServerFacts,
        form: Form,
        counter: TokenCounter | ServerCounter,
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
        self._counter = counter
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
        return in_order(
            len(prompts), lambda each: self.generate_each(prompts, max_tokens=max_tokens, each=each, stop=stop)
        )

    def generate_each(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None],
        stop: Sequence[str] = (),
    ) -> None:
        """The same, each completion as it comes."""
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        endpoint, limit = self._client.endpoint, max_tokens + self.thinking_tokens
        asks = []
        for prompt in prompts:
            body = self._form.body(self._settings, model=endpoint.model, prompt=prompt, max_tokens=limit)
            body |= {"stop": list(stop)} if stop else {}
            asks.append(Ask(f"{endpoint.url}/chat/completions", body, damaged=no_answer))
        expected = self._tokenizer.count(prompts) if self._tokenizer else [0] * len(prompts)
        least = [0 if self._tokenizer else least_tokens(prompt) for prompt in prompts]
        count = self._tokenizer.count_text if self._tokenizer else None

        def came(place: int, reply: Reply) -> None:
            check_found(reply, self._client, self._facts)
            answer = read_answer(
                reply, secret=self._client.secret, stop=stop, expected=expected[place], least=least[place],
                thinking_tokens=self.thinking_tokens, in_reasoning=self._form.in_reasoning, count=count,
            )  # fmt: skip
            each(place, replace(answer, seconds=reply.seconds))

        self._client.ask(asks, came)

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
        return in_order(len(prompts), lambda each: self.score_each(prompts, continuations, each=each))

    def score_each(
        self,
        prompts: Sequence[Sequence[Message]],
        continuations: Sequence[Sequence[str]],
        *,
        each: Callable[[int, OptionScores], None],
    ) -> None:
        """The same, those of a prompt as soon as all of them are there."""
        if len(prompts) != len(continuations):
            raise UsageError(f"{len(prompts)} prompts came with {len(continuations)} lists of continuations")
        self.require_scoring()
        assert self._pairs is not None
        made = [self._pairs.pairs(prompt, options) for prompt, options in zip(prompts, continuations, strict=True)]
        owner = [(place, number) for place, pairs in enumerate(made) for number in range(len(pairs))]
        replies: list[dict[int, Reply]] = [{} for _ in made]

        def came(flat: int, reply: Reply) -> None:
            place, number = owner[flat]
            replies[place][number] = reply
            if len(replies[place]) == len(made[place]):
                ordered = [replies[place][number] for number in range(len(made[place]))]
                each(place, summed(ordered, made[place], self._client.secret))

        for place, pairs in enumerate(made):
            if not pairs:
                each(place, summed([], pairs, self._client.secret))
        self._client.ask([self._scoring_ask(pair.ids) for pairs in made for pair in pairs], came)

    def _scoring_ask(self, ids: Sequence[int]) -> Ask:
        body = body_of(ids, self._client.endpoint.model)
        return Ask(f"{self._client.endpoint.url}/completions", body, damaged=no_object)

    def __repr__(self) -> str:
        return f"EndpointModel({self.name!r})"
