"""`--model`, `--model_args` and `--gen_kwargs` in, the model's entry of a config out: each key is used, or refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import user_path
from ragmed.models import MODEL_SCHEMES, parse_model_name
from ragmed.models.names import ADAPTABLE, ADAPTER_MARK
from ragmed.models.settings import FOR, REMOTE, ModelSettings

BACKENDS = {
    "hf": "pretrained",
    "vllm": "pretrained",
    "local-chat-completions": "model",
    "local-completions": "model",
    "openai-chat-completions": "model",
    "openai-completions": "model",
}
"""lm-evaluation-harness's `--model` -> the key of `--model_args` that names the model."""

MODEL_ARGS, GEN_KWARGS = "--model_args", "--gen_kwargs"
_NAMING = {"pretrained": ("pretrained", "revision", "peft"), "model": ("model", "base_url")}
"""The key that names the model -> all that make up its name."""
_DEFAULTS = {field.name: field.default for field in fields(ModelSettings)}
_BITS = {"load_in_4bit": "4bit", "load_in_8bit": "8bit"}
_SETTINGS = {
    **{name: name for name in FOR},
    "num_concurrent": "concurrency",
    "max_retries": "retries",
    "max_length": "context_tokens",
    "max_model_len": "context_tokens",
}
"""Key of `--model_args` -> the setting, which has the same name but for those of lm-evaluation-harness."""
_SERVE = "start `vllm serve` with it, and name the server: -m endpoint:URL#MODEL"
_ANSWERS = {
    "tokenized_requests": ("false", "prompts go to servers as messages or text, never as tokens"),
    "tokenizer_backend": ("none", "tokenizer=path:DIR or tokenizer=hf:ORG/NAME counts tokens as the server does"),
    "parallelize": ("false", "device=map spreads the layers over all GPUs"),
    "device_map": ("", "device=map spreads the layers over all GPUs"),
    "add_bos_token": ("", "the model's own chat template decides what a prompt begins with"),
    "enable_thinking": ("false", "thinking_tokens=N lets a model think up to N tokens"),
    "batch_size": ("", "write --batch_size"),
    "max_batch_size": ("", "write --batch_size"),
    "seed": ("", "write --seed"),
    "max_gen_toks": ("", "write --gen_kwargs max_gen_toks=N"),
    "tensor_parallel_size": ("1", _SERVE),
    "data_parallel_size": ("1", _SERVE),
    "gpu_memory_utilization": ("", _SERVE),
}
"""Key of lm-evaluation-harness that means nothing here -> the value that asks for what is done anyway, and why."""
GEN = {"max_gen_toks": "max_tokens", "max_tokens": "max_tokens", "max_new_tokens": "max_tokens"}
_SAMPLING = ("temperature", "top_p")
_CHAT_PATHS = ("/chat/completions", "/completions")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """`settings`: the model's entry of a config, `name` first; `tasks`: what is set for every task's answers."""

    settings: dict[str, Any]
    tasks: dict[str, Any]
    notes: tuple[str, ...]


def model_entry(model: str, *, model_args: str = "", gen_kwargs: str = "", device: str = "") -> ModelEntry:
    """
    >>> model_entry("hf", model_args="pretrained=org/small,dtype=bfloat16").settings
    {'name': 'hf:org/small', 'dtype': 'bfloat16'}

    Raises UsageError and UnknownNameError: a key that does not fit this model is refused with what to write instead.
    """
    args = pairs(model_args, MODEL_ARGS)
    notes = _answered(args)
    name = _model_name(model, args)
    scheme = parse_model_name(name).scheme
    entry: dict[str, Any] = {"name": name}
    for key, text in args.items():
        setting, value = _setting(key, text, scheme, model)
        _put(entry, setting, value, f"{MODEL_ARGS} {key}")
    if device and scheme in FOR["device"]:
        _put(entry, "device", device, "--device")
    elif device:
        notes.append(f"--device {device} changes nothing for '{scheme}:' models")
    tasks = _generation(pairs(gen_kwargs, GEN_KWARGS), entry, notes)
    return ModelEntry(entry, tasks, tuple(notes))


def pairs(text: str, flag: str) -> dict[str, str]:
    """
    >>> pairs("revision=0123,dtype=float16", "--model_args")
    {'revision': '0123', 'dtype': 'float16'}

    `key=value,key=value`, or a JSON object; values stay text, since a revision may look like a number.
    """
    values: dict[str, str] = {}
    for key, value in _json_items(text, flag) if text.lstrip().startswith("{") else _typed_items(text, flag):
        if key in values:
            raise UsageError(f"{flag} sets '{key}' twice")
        values[key] = value
    if values.pop("trust_remote_code", "false").lower() not in ("false", "0"):
        raise UsageError("trust_remote_code is refused: code of a model's publisher is never run here")
    return values


def _typed_items(text: str, flag: str) -> list[tuple[str, str]]:
    items = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, mark, value = part.partition("=")
        if not mark or not key.strip():
            raise UsageError(f"{flag} is written key=value,key=value; found '{part}'")
        items.append((key.strip(), value.strip()))
    return items


def _json_items(text: str, flag: str) -> list[tuple[str, str]]:
    try:
        values = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{flag} begins as JSON and is none ({error}); or write key=value,key=value") from error
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in values]


def _answered(args: dict[str, str]) -> list[str]:
    """Takes out the keys that ask for what is done anyway, with a note each; refuses those that ask for else."""
    notes = []
    for key in [key for key in args if key in _ANSWERS]:
        harmless, why = _ANSWERS[key]
        value = args.pop(key)
        if value.lower() != harmless:
            raise UsageError(f"{MODEL_ARGS} {key}={value} means nothing here: {why}")
        notes.append(f"{key}={value} changes nothing: {why}")
    return notes


def _model_name(model: str, args: dict[str, str]) -> str:
    """The model's full name; takes the keys that made it out of `args`."""
    if model not in BACKENDS:
        if ":" in model and model.partition(":")[0] in MODEL_SCHEMES:
            _refuse_naming(model, args)
            return model
        raise UnknownNameError("model", model, [*MODEL_SCHEMES.values(), *BACKENDS], "--model")
    wanted = BACKENDS[model]
    other = "model" if wanted == "pretrained" else "pretrained"
    for key in _NAMING[other]:
        if key in args:
            remedy = f"it takes {', '.join(_NAMING[wanted])}"
            raise UsageError(f"{MODEL_ARGS} {key} means nothing for --model {model}: {remedy}")
    given = {key: args.pop(key, "") for key in _NAMING[wanted]}
    if not given[wanted]:
        raise UsageError(f"--model {model} needs {MODEL_ARGS} {wanted}=NAME")
    return _server(model, **given) if wanted == "model" else _weights(model, **given)


def _server(backend: str, *, model: str, base_url: str) -> str:
    if not base_url:
        raise UsageError(f"--model {backend} needs the server's address: {MODEL_ARGS} model={model},base_url=URL")
    for path in _CHAT_PATHS:
        base_url = base_url.removesuffix(path)
    return f"endpoint:{base_url}#{model}"


def _weights(backend: str, *, pretrained: str, revision: str, peft: str) -> str:
    if pretrained.partition(":")[0] in MODEL_SCHEMES and ":" in pretrained:
        raise UsageError(f"{MODEL_ARGS} pretrained={pretrained} is a full name; write -m {pretrained}")
    folder = user_path(pretrained).is_dir()
    if revision and folder:
        raise UsageError(f"{MODEL_ARGS} revision={revision}: the folder '{pretrained}' has no revisions; leave it out")
    for value, mark, key in ((revision, "@", "revision"), (peft, ADAPTER_MARK, "peft")):
        if value and mark in pretrained:
            raise UsageError(f"{MODEL_ARGS} {key}={value}: 'pretrained' names it already, after '{mark}'")
    scheme = "vllm" if backend == "vllm" else "path" if folder else "hf"
    name = f"{scheme}:{pretrained}" + (f"@{revision}" if revision else "")
    return name + (f"{ADAPTER_MARK}{peft}" if peft else "")


def _refuse_naming(model: str, args: Mapping[str, str]) -> None:
    """A full name holds all of it: what would name another model must not be passed over."""
    scheme = model.partition(":")[0]
    bare = model.partition(ADAPTER_MARK)[0].partition("@")[0]
    for key in ("pretrained", "model", "revision", "peft", "base_url"):
        if key not in args:
            continue
        value, remedy = args[key], "-m names the model already; leave it out, or write it there"
        if key == "peft" and scheme in ADAPTABLE:
            remedy = f"write it into the name: -m {model.partition(ADAPTER_MARK)[0]}{ADAPTER_MARK}{value}"
        elif key == "revision" and scheme in ("hf", "vllm"):
            remedy = f"write it into the name: -m {bare}@{value}"
        elif key in ("peft", "revision"):
            remedy = f"'{scheme}:' models have none; leave it out"
        raise UsageError(f"{MODEL_ARGS} {key} beside -m {scheme}:…, a full name: {remedy}")  # an address is a secret


def _setting(key: str, text: str, scheme: str, model: str) -> tuple[str, Any]:
    """A key of `--model_args` that names nothing -> the setting and its value; refused where it does not fit."""
    where = f"{MODEL_ARGS} {key}"
    setting = "quantization" if key in _BITS else _SETTINGS.get(key)
    if setting is None:
        fitting = {known for known, name in _SETTINGS.items() if scheme in FOR[name]}
        fitting |= set(_BITS) if scheme in FOR["quantization"] else set()
        fitting |= set(_NAMING[BACKENDS[model]]) if model in BACKENDS else set()
        if not fitting:
            raise UsageError(f"{where}: '{scheme}:' models take no {MODEL_ARGS}; leave it out")
        raise UnknownNameError("key", key, fitting, MODEL_ARGS)
    if scheme not in FOR[setting]:
        raise UsageError(f"{where} means nothing for '{scheme}:' models; leave it out")
    if key in _BITS:
        return setting, _BITS[key] if _value(bool, text, where) else "none"
    return setting, _value(type(_DEFAULTS[setting]), text, where)


def _put(entry: dict[str, Any], setting: str, value: Any, where: str) -> None:
    if entry.get(setting, value) != value:
        if setting == "quantization" and "none" in (entry[setting], value):  # load_in_4bit=True,load_in_8bit=False
            entry[setting] = value if entry[setting] == "none" else entry[setting]
            return
        raise UsageError(f"{where}: {setting} was set before, to {entry[setting]}; set it once")
    entry[setting] = value


def _generation(given: Mapping[str, str], entry: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Sampling goes to the model, the length of an answer to the tasks."""
    tasks: dict[str, Any] = {}
    for key, text in given.items():
        where = f"{GEN_KWARGS} {key}"
        if key in _SAMPLING:
            _put(entry, key, _value(float, text, where), where)
        elif key in GEN:
            _put(tasks, GEN[key], _value(int, text, where), where)
        elif key == "do_sample":
            notes.append(f"do_sample={text} changes nothing: ragmed decodes greedily unless a temperature is set")
        else:
            raise UnknownNameError("key", key, [*_SAMPLING, "do_sample", *GEN], GEN_KWARGS)
    return tasks


def batch_size(text: str, scheme: str, entry: dict[str, Any]) -> str:
    """`--batch_size`: for servers the requests at a time; a note where it changes nothing, else ''. UsageError."""
    if text.startswith("auto"):
        return ""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise UsageError(f"--batch_size is 'auto' or a number of at least 1, found '{text}'")
    if scheme not in REMOTE:
        return "--batch_size changes nothing here: prompts are batched by their length"
    if entry.setdefault("concurrency", int(text)) != int(text):
        return f"--batch_size {text} changes nothing: num_concurrent={entry['concurrency']} sets it"
    return ""


def _value(kind: type, text: str, where: str) -> Any:
    """What was typed as a value of that kind: text, a whole number, a finite number, true or false."""
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind is int and re.fullmatch(r"-?[0-9]{1,12}", text):
        return int(text)
    if kind is float:
        with suppress(ValueError):
            if math.isfinite(value := float(text)):
                return value
    if kind is str and text:
        return text
    words = {bool: "true or false", int: "a whole number", float: "a number"}
    raise UsageError(f"{where} is {words[kind]}, found '{text}'" if kind in words else f"{where} has no value")
