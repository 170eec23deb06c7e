"""The model itself. In: a client, what its server reports, a counter. Out: completions and log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.errors import ModelError, UsageError
from ragmed.models.constraint import Constraint
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
_COMPARED_TOKENS = 64


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
        self._generate(prompts, [{"stop": list(stop)} if stop else {}] * len(prompts), max_tokens, each, stop)

    def generate_within(
        self,
        prompts: Sequence[Sequence[Message]],
        constraints: Sequence[Constraint],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """The same, each answer held to its form in the words of `constrained_by`. Whether the server does hold it is
        another matter: see `ragmed.experiments.check`.
        """
        fields = [constraint.fields(self._settings.holds_by) for constraint in constraints]
        done: dict[int, Completion] = {}

        def came(place: int, answer: Completion) -> None:
            done[place] = answer
            if each:
                each(place, answer)

        self._generate(prompts, fields, max_tokens, came)
        return [done[place] for place in range(len(prompts))]

    def _generate(
        self,
        prompts: Sequence[Sequence[Message]],
        fields: Sequence[Mapping[str, Any]],
        max_tokens: int,
        each: Callable[[int, Completion], None],
        stop: Sequence[str] = (),
    ) -> None:
        """`fields`: what each request holds beside its prompt."""
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        endpoint, limit = self._client.endpoint, max_tokens + self.thinking_tokens
        asks = []
        for prompt, more in zip(prompts, fields, strict=True):
            body = self._form.body(self._settings, model=endpoint.model, prompt=prompt, max_tokens=limit) | dict(more)
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

    @property
    def compared_by(self) -> str:
        return "answers" if self._settings.base_served else ""

    def adapter_changes(self, prompts: Sequence[Sequence[Message]]) -> list[float]:
        """1 for each prompt that the server answers otherwise under the model's name than under `base_served`, else 0.

        Answers are greedy, at most 64 tokens long. ModelError where a prompt has no answer under one of the names.
        """
        greedy = replace(self._settings, temperature=0.0, top_p=1.0)
        names = (self._client.endpoint.model, self._settings.base_served)
        limit = _COMPARED_TOKENS + self.thinking_tokens
        asks = [
            Ask(
                f"{self._client.endpoint.url}/chat/completions",
                self._form.body(greedy, model=name, prompt=prompt, max_tokens=limit),
                damaged=no_answer,
            )
            for name in names
            for prompt in prompts
        ]
        answers = [
            read_answer(
                reply, secret=self._client.secret, thinking_tokens=self.thinking_tokens,
                in_reasoning=self._form.in_reasoning,
            )
            for reply in self._client.ask(asks)
        ]  # fmt: skip
        for ask, answer in zip(asks, answers, strict=True):
            if answer.finish == "error":
                raise ModelError(
                    f"'{self.name}': whether its adapter is in effect cannot be seen, the server gives no answer as "
                    f"'{(ask.body or {}).get('model')}': {answer.error}; check base_served, or take it out"
                )
        said = [(answer.thinking, answer.text) for answer in answers]
        return [float(on != off) for on, off in zip(said[: len(prompts)], said[len(prompts) :], strict=True)]

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
