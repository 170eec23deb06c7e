"""What a server says of itself, asked before the first question. In: a Client. Out: ServerFacts, the form of requests.

One short question ("Hi", with a system turn) finds out what would otherwise spoil an hour: a model that is not there,
a parameter or a system turn that is not taken, an answer in another field. Where something equal can be sent instead,
it is, and the fingerprint says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragmed.errors import ModelError
from ragmed.files import sha256_json
from ragmed.models.chat import FOLDED, SHORT_ANSWER, SHORT_QUESTION, fold_system
from ragmed.models.endpoint.answers import (
    NOTHING_BUT_REASONING,
    UnreadError,
    dig,
    no_answer,
    read_answer,
    read_object,
    server_words,
    whole_number,
)
from ragmed.models.endpoint.client import AGAIN, Ask, Client, Reply
from ragmed.models.refusals import lasts
from ragmed.models.settings import ModelSettings
from ragmed.records import Message

# By what their /models says; these are known to take chat_template_kwargs.
_TEMPLATE_KWARGS = ("vllm", "sglang", "llamacpp")
_SHOWN_MODELS = 10


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`kind`: vllm, sglang, llamacpp, ollama, tgi, or empty; `context_tokens` 0 where the server does not say."""

    kind: str = ""
    models: tuple[str, ...] = ()
    context_tokens: int = 0
    reported: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """How requests are written for this server: under which name the limit goes, whether seed and thinking are sent,
    whether the system text is a turn of its own or opens the first user turn; and whether answers are read from its
    reasoning field.
    """

    limit: str = "max_tokens"
    seed: int | None = None
    thinking: bool | None = None
    system_turn: bool = True
    in_reasoning: bool = False

    def messages(self, prompt: Sequence[Message]) -> list[dict[str, str]]:
        """A prompt's turns as they go out."""
        turns = prompt if self.system_turn else fold_system(prompt)
        return [{"role": message.role, "content": message.content} for message in turns]

    def body(
        self, settings: ModelSettings, *, model: str, prompt: Sequence[Message], max_tokens: int
    ) -> dict[str, Any]:
        body = {
            "model": model,
            "messages": self.messages(prompt),
            self.limit: max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stream": False,
        }
        if self.seed is not None:
            body["seed"] = self.seed
        if self.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return body

    def fingerprint(self) -> dict[str, str]:
        seed = "not sent: the server does not take it" if self.seed is None else str(self.seed)
        thinking = "not sent" if self.thinking is None else str(self.thinking).lower()
        told = {"limit": self.limit, "seed": seed, "enable_thinking": thinking}
        if not self.system_turn:
            told["system"] = FOLDED
        if self.in_reasoning:
            told["answers"] = "read from the reasoning field: the server leaves their content empty"
        return told


def ask_facts(client: Client) -> ServerFacts:
    """ModelError where nobody listens or the key is not accepted. A server may say nothing of itself."""
    endpoint = client.endpoint
    value = _models(client, f"{endpoint.url}/models")
    entries = [entry for entry in _list(value, "data") if isinstance(entry.get("id"), str)]
    names = tuple(entry["id"] for entry in entries)
    entry = next((e for e in entries if e["id"] == endpoint.model), entries[0] if len(entries) == 1 else {})
    owner = str(entry.get("owned_by", ""))
    reported = {key: str(entry[key]) for key in ("id", "owned_by", "root", "parent") if entry.get(key)}
    context = whole_number(entry.get("max_model_len")) or whole_number(entry.get("context_length"))
    facts = ServerFacts(owner if owner in _TEMPLATE_KWARGS else "", names, context, reported)
    if facts.kind == "llamacpp":
        return _llamacpp(client, facts)
    if facts.kind:
        return _with_version(facts, _get(client, f"{endpoint.root}/version"))
    return _ollama(client, facts) or _tgi(client, facts) or facts


def _llamacpp(client: Client, facts: ServerFacts) -> ServerFacts:
    props = _get(client, f"{client.endpoint.root}/props")
    context = whole_number(dig(props, "default_generation_settings", "n_ctx"))
    told = {"model_path": props.get("model_path"), "version": props.get("build_info")}
    if isinstance(template := props.get("chat_template"), str):
        told["template"] = sha256_json(template)  # as manifests of adapters hold it
    reported = {**facts.reported, **{key: str(value) for key, value in told.items() if value}}
    return replace(facts, context_tokens=context or facts.context_tokens, reported=reported)


def _ollama(client: Client, facts: ServerFacts) -> ServerFacts | None:
    version = _get(client, f"{client.endpoint.root}/api/version")
    if not isinstance(version.get("version"), str):
        return None
    known = _list(_get(client, f"{client.endpoint.root}/api/tags"), "models")
    names = (client.endpoint.model, f"{client.endpoint.model}:latest")
    digest = next((str(m["digest"]) for m in known if m.get("name") in names and m.get("digest")), "")
    reported = {**facts.reported, **({"digest": digest} if digest else {})}
    return _with_version(replace(facts, kind="ollama", reported=reported), version)


def _tgi(client: Client, facts: ServerFacts) -> ServerFacts | None:
    info = _get(client, f"{client.endpoint.root}/info")
    if not isinstance(info.get("model_id"), str):
        return None
    told = {key: str(info[key]) for key in ("model_id", "model_sha", "model_dtype") if info.get(key)}
    context = whole_number(info.get("max_total_tokens"))
    facts = replace(facts, kind="tgi", context_tokens=context, reported={**facts.reported, **told})
    return _with_version(facts, info)


def _with_version(facts: ServerFacts, value: Mapping[str, Any]) -> ServerFacts:
    version = value.get("version")
    return replace(facts, reported={**facts.reported, "version": version}) if isinstance(version, str) else facts


def find_form(client: Client, settings: ModelSettings, facts: ServerFacts, *, seed: int) -> Form:
    """The form that the server takes; ModelError, with what it said, where it takes none, or gives no answer in it."""
    thinks = settings.thinking_tokens > 0
    form = Form(seed=seed, thinking=thinks if thinks or facts.kind in _TEMPLATE_KWARGS else None)
    while True:
        reply = _probe(client, settings, form)
        words = server_words(reply, client.secret) if reply.status != 200 else ""
        if reply.status in (400, 422) or (reply.status == 500 and lasts(words)):
            following = _without_refused(form, settings, words)
            if following is None:
                raise ModelError(
                    f"the server at '{client.endpoint.url}' refuses the request (status {reply.status}): {words}"
                )
            form = following
            continue
        check_found(reply, client, facts)
        _require_protocol(client, reply)
        answer = read_answer(reply, secret=client.secret, thinking_tokens=settings.thinking_tokens)
        if answer.error == NOTHING_BUT_REASONING and not thinks:
            return replace(form, in_reasoning=True)
        if answer.finish == "error" and answer.error != NOTHING_BUT_REASONING:
            raise ModelError(
                f"'{client.endpoint.url}' gave no answer to a short question, and would give none to others: "
                f"{answer.error}; use another server, or another version of it"
            )
        return form


def _probe(client: Client, settings: ModelSettings, form: Form) -> Reply:
    """The reply to a short question, asked twice where the first one is damaged: at a wrong address all of them are."""
    body = form.body(settings, model=client.endpoint.model, prompt=SHORT_QUESTION, max_tokens=SHORT_ANSWER)
    ask = Ask(f"{client.endpoint.url}/chat/completions", body)
    reply = client.ask([ask])[0]
    return client.ask([ask])[0] if reply.status == 200 and no_answer(reply) else reply


def _require_protocol(client: Client, reply: Reply) -> None:
    try:
        if not isinstance(read_object(reply, client.secret).get("choices"), list):
            raise UnreadError("its reply holds no choices")
    except UnreadError as error:
        streams = "event-stream" in reply.kind
        remedy = "it streams unasked; switch that off" if streams else "check the address (it often ends in /v1)"
        raise ModelError(
            f"'{client.endpoint.url}' does not answer as an OpenAI-compatible server does: {error}; {remedy}"
        ) from error


def with_loaded_context(client: Client, settings: ModelSettings, facts: ServerFacts) -> ServerFacts:
    """The context of a model that Ollama has loaded, which it says once it has answered; ModelError without one.

    Ollama cuts a longer prompt and answers as if nothing were amiss: without a bound, no answer could be trusted.
    """
    if facts.kind != "ollama":
        return facts
    loaded = _list(_get(client, f"{client.endpoint.root}/api/ps"), "models")
    names = (client.endpoint.model, f"{client.endpoint.model}:latest")
    context = next((whole_number(m.get("context_length")) for m in loaded if m.get("name") in names), 0)
    if not context and not settings.context_tokens:
        raise ModelError(
            f"Ollama at '{client.endpoint.url}' cuts longer prompts in silence, and does not report from which length "
            "on; set context_tokens to its OLLAMA_CONTEXT_LENGTH (4096 where nobody set it)"
        )
    if 0 < context < settings.context_tokens:
        raise ModelError(
            f"Ollama at '{client.endpoint.url}' runs '{client.endpoint.model}' with {context} tokens of context and "
            f"cuts longer prompts in silence; set context_tokens to {context} at most, or its OLLAMA_CONTEXT_LENGTH to "
            f"{settings.context_tokens}"
        )
    return replace(facts, context_tokens=context)


def check_found(reply: Reply, client: Client, facts: ServerFacts) -> None:
    """ModelError, with the models that are there, for status 404."""
    if reply.status != 404:
        return
    shown = ", ".join(client.secret.quote(name) for name in facts.models[:_SHOWN_MODELS])
    more = f" and {len(facts.models) - _SHOWN_MODELS} more" if len(facts.models) > _SHOWN_MODELS else ""
    raise ModelError(
        f"the server at '{client.endpoint.url}' has no model '{client.endpoint.model}' "
        f"({server_words(reply, client.secret)}); "
        + (f"it lists: {shown}{more}" if shown else "it lists no models; check the address (it often ends in /v1)")
    )


def _without_refused(form: Form, settings: ModelSettings, words: str) -> Form | None:
    """The form without what the server does not take, where that changes no answer; None where nothing is left."""
    if form.limit == "max_tokens" and "max_completion_tokens" in words:
        return replace(form, limit="max_completion_tokens")
    if form.thinking is False and ("chat_template" in words or "enable_thinking" in words):
        return replace(form, thinking=None)
    if form.seed is not None and settings.temperature == 0 and "seed" in words:  # greedy: nothing is drawn
        return replace(form, seed=None)
    return replace(form, system_turn=False) if form.system_turn else None


def _models(client: Client, url: str) -> dict[str, Any]:
    """Patient with a server that is still loading; an error of its own (500) is not worth waiting for here."""
    reply = client.ask([Ask(url, once=True)])[0]
    if not reply.status or (reply.status in AGAIN and reply.status != 500):
        reply = client.ask([Ask(url)])[0]
    return _read(client, reply)


def _get(client: Client, url: str) -> dict[str, Any]:
    return _read(client, client.ask([Ask(url, once=True)])[0])


def _read(client: Client, reply: Reply) -> dict[str, Any]:
    try:
        return read_object(reply, client.secret)
    except UnreadError:
        return {}


def _list(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = value.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
