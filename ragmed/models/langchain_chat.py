"""Any provider's chat model through its LangChain package. In: messages. Out: completions, thinking apart.

LangChain's `init_chat_model` makes the model; what it reads from the environment (the provider's key) never passes
through here. Nothing is traced, whatever the environment sets, and a proxy that the environment alone puts between us
and the provider is refused: the questions go to the provider that the name says, or nowhere.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ragmed.errors import MissingDependencyError, ModelError, ProtectionError, RagmedError, UsageError
from ragmed.models.chat import FOLDED, SHORT_ANSWER, SHORT_QUESTION, fold_system
from ragmed.models.constraint import Constraint
from ragmed.models.counting import TokenCounter, load_counter
from ragmed.models.endpoint.secret import without_pieces
from ragmed.models.langchain_reply import completion_of, is_blank
from ragmed.models.names import MODEL_SCHEMES, parse_model_name
from ragmed.models.one_by_one import in_order
from ragmed.models.provider_address import provider_addresses
from ragmed.models.refusals import about_system, lasts
from ragmed.models.settings import ModelSettings
from ragmed.records import Completion, Message, OptionScores
from ragmed.workspace import Workspace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

CONTEXT_TOKENS = 32_768  # providers do not report it; set context_tokens in the config
# Our word -> the names that providers' classes have for it.
_NAMES: dict[str, tuple[str, ...]] = {
    "max_tokens": ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict", "max_new_tokens"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed", "random_seed"),
    "timeout": ("timeout", "request_timeout"),
    "max_retries": ("max_retries",),
}
_TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
# Connections that broke, and replies with status 200 that are no JSON, or a part of it.
_BROKEN = {
    "ConnectError", "ReadError", "RemoteProtocolError", "TimeoutException", "APIConnectionError",
    "JSONDecodeError", "APIResponseValidationError", "ChunkedEncodingError", "IncompleteRead",
}  # fmt: skip
_LONGEST_WAIT = 60.0

Build = Callable[[Mapping[str, Any]], "BaseChatModel"]


class LangChainChat:
    """
        load(ModelSettings("chat:anthropic:NAME"), workspace=Workspace.find(), seed=0)

    `build`: options of the provider's class -> its chat model; it is called once for each answer length. Requests that
    failed for a moment (too many, a server's error, a broken connection, a reply with nothing in it) are asked again up
    to `retries` times, with the wait that the provider names, or a growing one; the packages' own retries are switched
    off, so that there are not two of them. `timeout` bounds a wait for the provider's bytes, not the whole of an answer
    that trickles in.
    Log-likelihoods are not to be had from chat models: `score` refuses.
    """

    def __init__(self, settings: ModelSettings, build: Build, *, seed: int, counter: TokenCounter) -> None:
        self.name = settings.name
        self.context_tokens = settings.context_tokens or CONTEXT_TOKENS
        self.thinking_tokens = settings.thinking_tokens
        self.sleep: Callable[[float], None] = time.sleep
        self._settings = settings
        self._build = build
        self._seed = seed
        self._counter = counter
        self._provider = parse_model_name(settings.name).target.partition(":")[0]
        self._chats: dict[int, BaseChatModel] = {}
        self._folds = False
        bare = build({})
        self._class = type(bare)
        self._known = _option_names(bare)
        self._options, self._untold = self._choose()
        self._addresses = provider_addresses(os.environ, self._provider)

    def __repr__(self) -> str:
        return f"LangChainChat({self.name!r})"

    def fingerprint(self) -> dict[str, str]:
        """Class and version of the provider's package, what is sent with every request, what could not be sent.

        `addresses`, where there are any: variables of the environment that send requests elsewhere, with their hosts.
        """
        package = self._class.__module__.partition(".")[0]
        sent = {k: v for k, v in self._options.items() if k not in _NAMES["timeout"] + _NAMES["max_retries"]}
        return {
            "class": f"{self._class.__module__}.{self._class.__qualname__}",
            "package": f"{package} {_version(package)}",
            "sent": ", ".join(f"{k}={v}" for k, v in sorted(sent.items()) if k != "client_kwargs"),
            "not_sent": ", ".join(self._untold),
            "thinking_tokens": str(self.thinking_tokens),
            "tokens": self._counter.kind,
            **({"system": FOLDED} if self._folds else {}),
            **({"addresses": self._addresses} if self._addresses else {}),
        }

    def learn_form(self) -> None:
        """Asks a short question with a system turn: where the provider refuses such a turn, its text opens the first
        user turn of every prompt from then on, and the fingerprint says so.

        ModelError, with what the provider said, where it answers in neither form.
        """
        chat, attempt = self._chat(SHORT_ANSWER), 0
        while isinstance(reply := self._ask_once(chat, SHORT_QUESTION), Exception):
            if not self._folds and _refuses_system(reply):
                self._folds = True
            elif _transient(reply) and attempt < self._settings.retries:
                attempt += 1
                self.sleep(_wait(reply, attempt))
            else:
                raise ModelError(self._failure(reply)) from reply

    def _ask_once(self, chat: BaseChatModel, prompt: Sequence[Message]) -> Any:
        return next(reply for _, reply in self._batch(chat, [prompt], {}))

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return self._counter.count(prompts)

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """One completion for each prompt, in order, up to `concurrency` at a time; a failure is its own `error`."""
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
        self._generate(prompts, {"stop": list(stop)} if stop else {}, max_tokens, each)

    def generate_within(
        self,
        prompts: Sequence[Sequence[Message]],
        constraints: Sequence[Constraint],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """The same, each answer held to its form by `response_format`, which is passed on to the provider's package;
        one that takes no such word fails with its own. Whether the provider does hold it is another matter: see
        `ragmed.experiments.check`.
        """
        done: dict[int, Completion] = {}
        for form in dict.fromkeys(constraints):  # one call takes one form; most tasks have one for all examples
            places = [place for place, constraint in enumerate(constraints) if constraint == form]

            def came(number: int, answer: Completion, places: Sequence[int] = places) -> None:
                done[places[number]] = answer
                if each:
                    each(places[number], answer)

            self._generate([prompts[place] for place in places], form.fields("json_schema"), max_tokens, came)
        return [done[place] for place in range(len(prompts))]

    def _generate(
        self,
        prompts: Sequence[Sequence[Message]],
        given: Mapping[str, Any],
        max_tokens: int,
        each: Callable[[int, Completion], None],
    ) -> None:
        """`given`: what is passed to the provider's package with every prompt."""
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        chat = self._chat(max_tokens)
        counts = self._counter.count(prompts)
        failed: dict[int, Any] = {}
        waiting = list(range(len(prompts)))
        for attempt in range(self._settings.retries + 1):
            if attempt:
                self.sleep(max(_wait(failed[i], attempt) for i in waiting))
            again = []
            for number, reply in self._batch(chat, [prompts[place] for place in waiting], given):
                place = waiting[number]
                if _may_pass(reply) and attempt < self._settings.retries:
                    failed[place] = reply
                    again.append(place)
                else:
                    each(place, self._completion(reply, counts[place]))
            waiting = sorted(again)
            if not waiting:
                return

    def _completion(self, reply: Any, tokens: int) -> Completion:
        from langchain_core.messages import AIMessage

        if not isinstance(reply, AIMessage):
            return Completion("", "error", tokens, 0, self._failure(reply))
        count, budget = self._counter.count_text, self.thinking_tokens
        return completion_of(reply, tokens, count=count, thinking_tokens=budget)

    def score_each(
        self,
        prompts: Sequence[Sequence[Message]],
        continuations: Sequence[Sequence[str]],
        *,
        each: Callable[[int, OptionScores], None],
    ) -> None:
        self.score(prompts, continuations)

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        raise UsageError(f"'{self.name}' gives no log-likelihoods of options; set the task's scoring to generate")

    def _batch(
        self, chat: BaseChatModel, prompts: Sequence[Sequence[Message]], given: Mapping[str, Any]
    ) -> Iterator[tuple[int, Any]]:
        """Place and reply, or what went wrong, as they come."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
        from langsmith.run_helpers import tracing_context

        kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
        turns = [fold_system(prompt) for prompt in prompts] if self._folds else prompts
        inputs: list[Any] = [[kinds[message.role](content=message.content) for message in prompt] for prompt in turns]
        config: Any = {"max_concurrency": self._settings.concurrency, "callbacks": []}
        with tracing_context(enabled=False):
            yield from chat.batch_as_completed(inputs, config=config, return_exceptions=True, **given)

    def _chat(self, max_tokens: int) -> BaseChatModel:
        if max_tokens not in self._chats:
            name = next(candidate for candidate in _NAMES["max_tokens"] if candidate in self._known)
            # Providers that take a budget of thinking count it among the tokens of the answer.
            options = {**self._options, name: max_tokens + self.thinking_tokens}
            self._chats[max_tokens] = self._build(options)
        return self._chats[max_tokens]

    def _choose(self) -> tuple[dict[str, Any], list[str]]:
        """The options that the provider's class takes, in its own words, and what it does not take.

        UsageError for a setting that was made and cannot be sent, or where the length of an answer cannot be bounded.
        """
        if not any(name in self._known for name in _NAMES["max_tokens"]):
            raise UsageError(f"'{self.name}': {self._class.__name__} takes no limit of an answer's tokens")
        wanted: dict[str, Any] = {
            "temperature": self._settings.temperature,
            "seed": self._seed,
            "timeout": max(1, round(self._settings.timeout)),  # whole seconds: some classes take nothing else
            # Google's package counts the first attempt too, and reads 0 as its own five.
            "max_retries": 1 if self._provider.startswith("google") else 0,
        }
        if self._settings.top_p != 1:  # some providers refuse both temperature and top_p; 1 is what they take anyway
            wanted["top_p"] = self._settings.top_p
        options: dict[str, Any] = {}
        untold = []
        for word, value in wanted.items():
            name = next((candidate for candidate in _NAMES[word] if candidate in self._known), "")
            if name:
                options[name] = value
            elif word == "timeout" and "client_kwargs" in self._known:
                options["client_kwargs"] = {"timeout": self._settings.timeout}
            elif word == "top_p" or (word == "temperature" and value):
                raise UsageError(f"'{self.name}': {self._class.__name__} takes no {word}; take it out")
            elif word in ("temperature", "seed"):
                untold.append(word)
        if "num_ctx" in self._known:  # Ollama cuts a prompt that is longer than its window, and does not say so
            options["num_ctx"] = self.context_tokens
        return {**options, **self._thinking()}, untold

    def _thinking(self) -> dict[str, Any]:
        """How this provider is asked to think, or not to."""
        budget = self.thinking_tokens
        if self._provider == "ollama" and "reasoning" in self._known:
            return {"reasoning": budget > 0}
        if "thinking_budget" in self._known:
            return {"thinking_budget": budget, **({"include_thoughts": True} if budget else {})}
        if not budget:
            return {}
        if "thinking" in self._known:
            return {"thinking": {"type": "enabled", "budget_tokens": budget}}
        raise UsageError(f"'{self.name}': {self._class.__name__} takes no budget of thinking; take thinking_tokens out")

    def _failure(self, error: Any) -> str:
        return without_keys(f"'{self.name}' did not answer: {type(error).__name__}: {error}".strip()[:600])


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> LangChainChat:
    """The loader of `chat:PROVIDER:MODEL` names; ModelError where the provider's class cannot be made (no key), or
    gives no answer to a short question.
    """
    provider, colon, model = parse_model_name(settings.name).target.partition(":")
    if not colon or not provider or not model:
        raise UsageError(f"model name '{settings.name}' cannot be read; write it as {MODEL_SCHEMES['chat']}")
    proxy = os.environ.get("LANGSMITH_GATEWAY", "").lower()
    if proxy not in ("", "false", "0", "no") and provider != "langsmith":
        raise ProtectionError(
            f"'{settings.name}': LANGSMITH_GATEWAY would send all questions through another's server; unset it"
        )

    def build(options: Mapping[str, Any]) -> BaseChatModel:
        from langchain.chat_models import init_chat_model

        try:
            made: BaseChatModel = init_chat_model(model, model_provider=provider, **options)
        except ImportError as error:
            raise _missing(provider, error) from error
        except ValueError as error:
            if "nsupported" in str(error) and "provider" in str(error):
                raise UsageError(f"model name '{settings.name}': LangChain knows no provider '{provider}'") from error
            raise ModelError(_unmade(settings.name, error)) from error
        except Exception as error:  # a provider's package: it can fail in any way
            raise ModelError(_unmade(settings.name, error)) from error
        return made

    counter = load_counter(settings.tokenizer, workspace=workspace)
    chat = LangChainChat(settings, build, seed=seed, counter=counter)
    chat.learn_form()
    return chat


def _unmade(name: str, error: BaseException) -> str:
    # A validation error repeats its input, which may be a key.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "env" in line.lower() or "key" in line.lower()), lines[0] if lines else "")
    reason = re.sub(r"\[type=.*", "", reason).strip()
    return without_keys(f"'{name}' could not be made: {type(error).__name__}: {reason[:300]}")


def _missing(provider: str, error: ImportError) -> RagmedError:
    match = re.search(r"pip install (?:-U )?([A-Za-z0-9_.-]+)", str(error))
    package = match.group(1).strip(".") if match else f"langchain-{provider.replace('_', '-')}"
    return MissingDependencyError(f"the provider '{provider}' needs the package {package}: pip install {package}")


def without_keys(text: str) -> str:
    """
    >>> without_keys("no access")
    'no access'

    The text without what the environment holds in variables named as keys, tokens, secrets or passwords.
    """
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"KEY|TOKEN|SECRET|PASSWORD", name.upper()):
            text = text.replace(value, f"<{name}>")
            if len(value) >= 16 and not value.startswith("/"):  # a key, not a path to one: servers show its beginning
                text = without_pieces(text, value, length=8, mark=f"<{name}>")
    return re.sub(r"\b(sk|pk|gsk|hf|xai|lsv2)[-_][A-Za-z0-9_\-*]{8,}", "<key>", text)


def _option_names(chat: BaseChatModel) -> set[str]:
    names: set[str] = set()
    for name, field in type(chat).model_fields.items():
        aliases = (field.alias, field.validation_alias)
        names |= {alias for alias in aliases if isinstance(alias, str)}
        if type(chat).model_config.get("populate_by_name") or not field.alias:
            names.add(name)
    return names


def _may_pass(answer: Any) -> bool:
    """Whether the same prompt may fare better in a moment: a passing failure, or a reply with nothing in it."""
    return _transient(answer) if isinstance(answer, Exception) else is_blank(answer)


def _refuses_system(error: BaseException) -> bool:
    return _status(error) != 429 and about_system(str(error))


def _transient(error: BaseException) -> bool:
    status = _status(error)
    if status:
        return status in _TRANSIENT and not (status == 500 and lasts(str(error)))
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, (ConnectionError, TimeoutError)) or names & _BROKEN:
        return True
    # What the packages raise where a reply with status 200 is another's page (text for an object), or holds no choices.
    return isinstance(error, (AttributeError, TypeError)) and bool(re.search(r"model_dump|null value for", str(error)))


def _status(error: BaseException) -> int:
    """The HTTP status of an error, or of the one that it was raised from."""
    link: BaseException | None = error
    for _ in range(4):
        if link is None:
            break
        response = getattr(link, "response", None)
        for found in (getattr(link, "status_code", 0), getattr(response, "status_code", 0), getattr(link, "code", 0)):
            if isinstance(found, int) and found:
                return found
        link = link.__cause__
    return 0


def _wait(error: BaseException, attempt: int) -> float:
    """Seconds before the next attempt: what the provider asks for, else 1, 2, 4 …, a little shaken."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        named = float(headers.get("retry-after", ""))
    except (TypeError, ValueError, AttributeError):
        named = 0.0
    growing = 2.0 ** (attempt - 1) * (1 + random.random() / 4)  # no answer depends on it
    return min(_LONGEST_WAIT, named or growing)


def _version(package: str) -> str:
    try:
        return metadata.version(package.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return "of unknown version"
