"""Chat models through LangChain: what is sent, what comes back, what goes wrong, and that nothing else is told."""

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field
from tiny import PLAIN, save_tiny, user

from ragmed.errors import MissingDependencyError, ModelError, ProtectionError, UsageError
from ragmed.models import ModelSettings, load_model
from ragmed.models.chat import FOLDED, SHORT_ANSWER
from ragmed.models.counting import Estimate
from ragmed.models.langchain_chat import LangChainChat, without_keys
from ragmed.models.langchain_reply import completion_of
from ragmed.records import Completion, Message
from ragmed.workspace import Workspace


class TooMany(Exception):
    status_code = 429


class Provider(BaseChatModel):
    """Answers with the last word of the question, or as `script` says for that word."""

    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    max_retries: int = 2
    timeout: float | None = None
    script: dict[str, Any] = Field(default_factory=dict)
    log: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "provider"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        word = str(messages[-1].content).split()[-1]
        self.log.append(([(m.type, m.content) for m in messages], stop, [type(h) for h in run_manager.handlers]))
        said = self.script.get(word, word)
        if isinstance(said, list):
            said = said.pop(0)
        if isinstance(said, Exception):
            raise said
        message = said if isinstance(said, AIMessage) else AIMessage(said)
        return ChatResult(generations=[ChatGeneration(message=message)])


def chat(name: str = "chat:fake:m", kind: type[BaseChatModel] = Provider, **settings: Any) -> tuple[Any, list[Any]]:
    script, built = settings.pop("script", {}), []

    def build(options: Mapping[str, Any]) -> Any:
        built.append(dict(options))
        return kind(script=script, log=[], **options) if issubclass(kind, Provider) else kind(**options)

    return LangChainChat(ModelSettings(name, **settings), build, seed=7, counter=Estimate()), built


def test_what_is_asked_and_with_which_settings() -> None:
    model, built = chat()
    prompt = [*user("Name a fever"), *user("A or B")]
    assert [c.text for c in model.generate([prompt, user("x y")], max_tokens=9, stop=["\n"])] == ["B", "y"]
    assert built[1] == {"temperature": 0.0, "seed": 7, "timeout": 120, "max_retries": 0, "max_tokens": 9}
    messages, stop, _ = max(model._chat(9).log, key=lambda asked: len(asked[0]))  # they are asked side by side
    assert (messages, stop) == ([("human", "Name a fever"), ("human", "A or B")], ["\n"])
    model.generate([prompt], max_tokens=9)
    assert len(built) == 2  # one chat model for each length of answers
    assert model.fingerprint()["sent"] == "seed=7, temperature=0.0"


def test_settings_that_a_provider_does_not_take_are_told_or_refused() -> None:
    class Endless(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "endless"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            raise NotImplementedError

    class Bare(Endless):
        num_predict: int | None = None
        num_ctx: int | None = None

    model, built = chat(kind=Bare)
    assert model.fingerprint()["not_sent"] == "temperature, seed"
    model._chat(9)
    assert built == [{}, {"num_predict": 9, "num_ctx": 32768}]
    with pytest.raises(UsageError, match="Bare takes no temperature"):
        chat(kind=Bare, temperature=0.5)
    with pytest.raises(UsageError, match="Bare takes no top_p"):
        chat(kind=Bare, top_p=0.5)
    with pytest.raises(UsageError, match="takes no budget of thinking"):
        chat(thinking_tokens=100)
    with pytest.raises(UsageError, match="takes no limit of an answer's tokens"):
        chat(kind=Endless)


def test_langchains_own_double_answers() -> None:
    class Named(GenericFakeChatModel):
        max_tokens: int | None = None

    replies = iter([AIMessage("A"), AIMessage("B")])
    settings = ModelSettings("chat:fake:m", concurrency=1)
    model = LangChainChat(settings, lambda options: Named(messages=replies, **options), seed=7, counter=Estimate())
    assert [c.text for c in model.generate([user("x"), user("y")], max_tokens=5)] == ["A", "B"]


def test_results_keep_their_order_and_few_are_asked_at_a_time() -> None:
    at_once, most, lock = [0], [0], threading.Lock()

    class Slow(Provider):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.02 if messages[-1].content.endswith("0") else 0.005)
            with lock:
                at_once[0] -= 1
            return super()._generate(messages, stop, run_manager, **kwargs)

    model, _ = chat(kind=Slow, concurrency=3)
    asked = [user(f"question {n}") for n in range(12)]
    assert [c.text for c in model.generate(asked, max_tokens=5)] == [str(n) for n in range(12)]
    assert most[0] == 3


def test_a_failure_is_its_own_and_what_passes_is_asked_again() -> None:
    script = {"bad": ValueError("no such model"), "busy": [TooMany("wait"), TooMany("wait"), "B"], "down": TooMany("x")}
    model, _ = chat(script=script, retries=2)
    waits: list[float] = []
    model.sleep = waits.append
    good, bad, busy, down = model.generate([user(w) for w in ("good", "bad", "busy", "down")], max_tokens=5)
    assert (good.text, busy.text) == ("good", "B")
    reason = "'chat:fake:m' did not answer: ValueError: no such model"
    assert bad == Completion("", "error", bad.input_tokens, 0, reason)
    assert (down.finish, "TooMany" in down.error) == ("error", True)
    assert [1 <= waits[0] <= 1.25, 2 <= waits[1] <= 2.5] == [True, True]
    asked = [messages[-1][1] for messages, _, _ in model._chat(5).log]
    assert [asked.count(word) for word in ("good", "bad", "busy", "down")] == [1, 1, 3, 3]


def test_replies_with_nothing_in_them_are_asked_again_and_lasting_failures_are_not() -> None:
    class Failed(Exception):
        status_code = 500

    blank = AIMessage("", response_metadata={"finish_reason": "stop"})
    page = AttributeError("'str' object has no attribute 'model_dump'")
    broken = json.JSONDecodeError("Expecting value", "<html>", 0)
    script = {"blank": [blank, "B"], "empty": blank, "page": [page, "B"], "other": [ValueError("x"), "B"]}
    script |= {"json": [broken, "B"], "template": Failed("Jinja Exception: no")}
    model, _ = chat(script=script, retries=2)
    model.sleep = lambda seconds: None
    got = dict(zip(script, model.generate([user(word) for word in script], max_tokens=5), strict=True))
    assert {word for word, one in got.items() if one.text == "B"} == {"blank", "page", "json"}
    assert {word for word, one in got.items() if one.finish == "error"} == {"empty", "other", "template"}
    asked = [messages[-1][1] for messages, _, _ in model._chat(5).log]
    counts = {"blank": 2, "empty": 3, "page": 2, "other": 1, "json": 2, "template": 1}
    assert {word: asked.count(word) for word in script} == counts


def test_a_provider_without_system_turns_is_told_them_in_the_first_user_turn() -> None:
    class Strict(Provider):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            if messages[0].type == "system":
                self.log.append("refused")
                raise ValueError("Developer instruction is not enabled for models/m")
            return super()._generate(messages, stop, run_manager, **kwargs)

    model, _ = chat(kind=Strict)
    prompt = [Message("system", "Be brief."), *user("A or B")]
    assert "system" not in model.fingerprint()
    assert model.generate([prompt], max_tokens=5)[0].finish == "error"  # the form is settled before, not on the way
    model.learn_form()
    assert model.fingerprint()["system"] == FOLDED
    assert model._chat(SHORT_ANSWER).log[0] == "refused"
    assert [c.text for c in model.generate([prompt, prompt], max_tokens=5)] == ["B", "B"]
    log = model._chat(5).log
    assert [asked[0] for asked in log if asked != "refused"] == [[("human", "Be brief.\n\nA or B")]] * 2
    plain, _ = chat()
    plain.learn_form()
    assert "system" not in plain.fingerprint()


def test_a_provider_that_answers_in_no_form_is_refused_before_the_first_question() -> None:
    waits: list[float] = []
    model, _ = chat(script={"Hi": [TooMany("wait"), "B"]}, retries=2)
    model.sleep = waits.append
    model.learn_form()
    assert len(waits) == 1
    model, _ = chat(script={"Hi": ValueError("no such model")}, retries=2)
    with pytest.raises(ModelError, match=r"'chat:fake:m' did not answer: ValueError: no such model"):
        model.learn_form()
    model, _ = chat(script={"Hi": ValueError("System role not supported")}, retries=2)
    with pytest.raises(ModelError, match="System role not supported"):
        model.learn_form()


def test_an_answer_among_the_thinking_is_told_apart_or_none() -> None:
    tagged = AIMessage("", additional_kwargs={"reasoning_content": "<think>so</think>B"})
    got = completion_of(tagged, 9, count=len)
    assert (got.text, got.thinking, got.finish) == ("B", "so", "stop")
    got = completion_of(AIMessage("", additional_kwargs={"reasoning_content": "so, B"}), 9, count=len)
    assert (got.text, got.thinking, got.finish) == ("", "so, B", "error")


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "content_filter"}, "refused"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "SAFETY"}, "refused"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "refused"),
        ({"stopReason": "guardrail_intervened"}, "refused"),
        ({"done_reason": "length"}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "completed", "incomplete_details": None}, "stop"),
        ({}, "stop"),
        ({"finish_reason": "of the moon"}, "error"),
        ({"finish_reason": "FinishReason.STOP"}, "stop"),
        ({"status": "of the request"}, "stop"),
        ({"status": "failed"}, "error"),
    ],
)
def test_the_reasons_of_common_providers(metadata: dict[str, Any], finish: str) -> None:
    assert completion_of(AIMessage("B", response_metadata=metadata), 9, count=len).finish == finish


def test_a_reply_without_text_that_ended_for_an_unknown_reason_is_no_answer() -> None:
    got = completion_of(AIMessage("", response_metadata={"finish_reason": "tool_calls"}), 9, count=len)
    assert (got.finish, got.error) == ("error", "the provider ended without an answer, for the reason 'tool_calls'")


def test_thinking_comes_in_many_forms() -> None:
    usage: Any = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42, "output_token_details": {"reasoning": 8}}
    forms = [
        AIMessage([{"type": "thinking", "thinking": "so", "signature": "x"}, {"type": "text", "text": "B"}]),
        AIMessage([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}, "B"]),
        AIMessage([{"type": "reasoning", "reasoning": "so"}, {"type": "text", "text": "B"}]),
        AIMessage("B", additional_kwargs={"reasoning_content": "so"}),
        AIMessage("<think>so</think>B"),
    ]
    for form in forms:
        form.usage_metadata = usage
        assert completion_of(form, 9, count=len) == Completion("B", "stop", 30, 12, "", "so", 8)
    assert completion_of(AIMessage("<think>so</think>B"), 9, count=len) == Completion("B", "stop", 9, 3, "", "so", 2)


def test_a_cut_text_without_marks_may_be_thinking_alone() -> None:
    cut: dict[str, Any] = {"response_metadata": {"finish_reason": "length"}}
    usage: Any = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}
    said = "The answer is A? No,"
    got = completion_of(AIMessage(said, usage_metadata=usage, **cut), 9, count=len, thinking_tokens=9)
    assert got == Completion("", "length", 30, 12, "", said, 12)
    block = {"type": "redacted_thinking", "data": "x"}
    marked = [AIMessage("<think></think>" + said, **cut), AIMessage([block, said], **cut)]
    assert [completion_of(m, 9, count=len, thinking_tokens=9).text for m in marked] == [said, said]
    assert completion_of(AIMessage(said, **cut), 9, count=len).text == said
    usage["output_token_details"] = {"reasoning": 5}  # thinking that the provider keeps to itself
    assert completion_of(AIMessage(said, usage_metadata=usage, **cut), 9, count=len, thinking_tokens=9).text == said


def test_other_addresses_of_the_environment_are_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in os.environ if name.upper().endswith(("_URL", "_PROXY", "_BASE", "_HOST", "_ENDPOINT"))
    ]:
        monkeypatch.delenv(name)
    assert "addresses" not in chat()[0].fingerprint()
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:hunter2@proxy.example:8443/v1/hunter2?key=hunter2")
    monkeypatch.setenv("ANTHROPIC_API_URL", "hunter2-put-here-by-mistake")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:11434")
    monkeypatch.setenv("FAKE_API_BASE", "http://[::1]:99999/")
    told = "ANTHROPIC_API_URL=(no address), FAKE_API_BASE=(no address), OLLAMA_HOST=127.0.0.1:11434"
    assert chat()[0].fingerprint()["addresses"] == f"{told}, OPENAI_BASE_URL=proxy.example:8443"


def test_the_models_own_refusal_is_kept() -> None:
    got = completion_of(AIMessage("", additional_kwargs={"refusal": "I can't help with that."}), 9, count=len)
    assert (got.text, got.finish) == ("I can't help with that.", "refused")


def test_tracing_stays_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_nobody")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    from langsmith.utils import get_env_var

    get_env_var.cache_clear()
    model, _ = chat(concurrency=2)
    prompts = [user(w) for w in "abc"]
    model.generate(prompts, max_tokens=5)
    assert [handlers for _, _, handlers in model._chat(5).log] == [[]] * 3
    model._chat(5).invoke("d", config={"callbacks": []})  # the same model, asked without our care
    assert [kind.__name__ for kind in model._chat(5).log[-1][2]] == ["LangChainTracer"]
    get_env_var.cache_clear()


def test_a_proxy_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANGSMITH_GATEWAY", "true")
    with pytest.raises(ProtectionError, match="LANGSMITH_GATEWAY would send all questions through another's server"):
        load_model("chat:openai:m", workspace=Workspace(tmp_path))


def test_keys_are_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-very-secret-word")
    assert without_keys("bad key a-very-secret-word") == "bad key <OPENAI_API_KEY>"
    assert without_keys("Incorrect API key provided: sk-proj-abcd1234efgh") == "Incorrect API key provided: <key>"
    assert without_keys("bad key a-very-sec***") == "bad key <OPENAI_API_KEY>***"
    model, _ = chat(script={"x": ValueError("key a-very-secret-word is wrong")}, retries=0)
    (got,) = model.generate([user("x")], max_tokens=3)
    assert "a-very-secret-word" not in got.error + repr(model) + str(model.fingerprint())
    assert "<OPENAI_API_KEY> is wrong" in got.error


def test_likelihoods_are_refused() -> None:
    with pytest.raises(UsageError, match="gives no log-likelihoods"):
        chat()[0].score([user("x")], [["A"]])


def test_tokens_are_counted_or_estimated(tmp_path: Path) -> None:
    from ragmed.models.counting import load_counter

    assert chat()[0].count_tokens([user("a fever")]) == [13]
    assert "estimated" in chat()[0].fingerprint()["tokens"]
    save_tiny(tmp_path, template=PLAIN)
    counter = load_counter(f"path:{tmp_path}", workspace=Workspace(tmp_path))
    local: Any = load_model(ModelSettings(f"path:{tmp_path}", device="cpu"), workspace=Workspace(tmp_path))
    assert counter.count([user("a fever")]) == local.count_tokens([user("a fever")])
    assert counter.kind.startswith("tokenizer ")
    with pytest.raises(UsageError, match="name it as path:DIR"):
        load_counter("scripted:echo", workspace=Workspace(tmp_path))


MODULE = """
from typing import Any
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class ChatUpstage(BaseChatModel):
    model_config = {"populate_by_name": True}
    model: str = ""
    max_tokens: int | None = Field(default=None, alias="max_completion_tokens")
    request_timeout: float | None = Field(default=None, alias="timeout")
    max_retries: int = 2
    temperature: float | None = None
    seed: int | None = None
    top_p: float | None = None
    thinking: dict[str, Any] | None = None

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if self.model == "keyless":
            raise ValueError("set UPSTAGE_API_KEY")

    @property
    def _llm_type(self) -> str:
        return "upstage"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        told = (self.model, self.max_tokens, self.request_timeout, self.max_retries, self.temperature, self.seed)
        message = AIMessage(repr((*told, self.top_p, self.thinking)))
        return ChatResult(generations=[ChatGeneration(message=message)])
"""


def test_a_provider_is_found_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "langchain_upstage.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    settings = ModelSettings("chat:upstage:solar:mini", temperature=0.5, top_p=0.9, timeout=30, thinking_tokens=50)
    model = load_model(settings, workspace=Workspace(tmp_path), seed=3)
    (got,) = model.generate([user("x")], max_tokens=10)
    told = "('solar:mini', 60, 30.0, 0, 0.5, 3, 0.9, {'type': 'enabled', 'budget_tokens': 50})"
    assert (got.text, got.finish) == (told, "stop")
    assert model.fingerprint()["class"] == "langchain_upstage.ChatUpstage"
    with pytest.raises(ModelError, match="could not be made: ValueError: set UPSTAGE_API_KEY"):
        load_model("chat:upstage:keyless", workspace=Workspace(tmp_path))


def test_providers_that_are_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="pip install langchain-fireworks"):
        load_model("chat:fireworks:m", workspace=Workspace(tmp_path))
    with pytest.raises(UsageError, match="LangChain knows no provider 'nobody'"):
        load_model("chat:nobody:m", workspace=Workspace(tmp_path))
    with pytest.raises(UsageError, match="cannot be read; write it as chat:PROVIDER:MODEL"):
        load_model("chat:openai", workspace=Workspace(tmp_path))
