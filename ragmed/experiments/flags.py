"""Command-line flags in, the mapping of a config file out: `ragmed eval` without a file, and `--save-config`.

The flags are those that users of lm-evaluation-harness type (its `docs/interface.md`); what some of them mean there
and cannot mean here is refused with the reason, or answered with a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.errors import UnknownNameError, UsageError
from ragmed.models import MODEL_SCHEMES, parse_model_name
from ragmed.tasks import find_task
from ragmed.tasks.own import SUFFIXES, own_task
from ragmed.workspace import Workspace

_BACKENDS = {
    "hf": "pretrained",
    "vllm": "pretrained",
    "local-chat-completions": "model",
    "local-completions": "model",
    "openai-chat-completions": "model",
    "openai-completions": "model",
}
"""lm-evaluation-harness's `--model` -> the key of `--model_args` that names the model."""
_ARGS = {
    "dtype": "dtype",
    "device": "device",
    "num_concurrent": "concurrency",
    "timeout": "timeout",
    "max_retries": "retries",
    "max_length": "context_tokens",
    "tokenizer": "tokenizer",
    "temperature": "temperature",
    "top_p": "top_p",
    "thinking_tokens": "thinking_tokens",
    "quantization": "quantization",
    "key": "key",
    "trusted": "trusted",
}
_NEEDED = (*_BACKENDS.values(), "revision", "peft", "base_url", "load_in_4bit", "load_in_8bit")
_GEN = {"max_gen_toks": "max_tokens", "max_tokens": "max_tokens", "max_new_tokens": "max_tokens"}
_NO_CHOICE = "ragmed decodes greedily unless a temperature is set"
_CHAT_PATHS = ("/chat/completions", "/completions")
PASSAGES = 5


@dataclass(frozen=True, slots=True)
class Flags:
    """>>> Flags(model="hf", model_args="pretrained=org/small,dtype=bfloat16", tasks=("medqa",)).k
    0

    What was typed; a task is a name, or a file of one's own questions. `limit`: a number of examples, or a fraction
    below 1. `scoring` '': letters where the model gives log-likelihoods, else generate. `k` 0: PASSAGES.
    """

    model: str
    tasks: tuple[str, ...]
    model_args: str = ""
    index: str = ""
    k: int = 0
    num_fewshot: int = 0
    batch_size: str = "auto"
    limit: float = 0
    seed: str = "0"
    gen_kwargs: str = ""
    system_instruction: str = ""
    scoring: str = ""
    device: str = ""
    name: str = ""
    notes: list[str] = field(default_factory=list)


def config_from_flags(flags: Flags, *, workspace: Workspace) -> dict[str, Any]:
    """>>> config_from_flags(Flags("scripted:echo", ("mmlu",)), workspace=Workspace.find())["arms"]
    {'general': {'model': 'model'}}

    The mapping that a config file would hold, for `make_experiment` and for `--save-config`: one arm closed book, and
    with an index a second one that sees its best k passages. Adds to `flags.notes` what the user should know. Raises
    UsageError and UnknownNameError.
    """
    if not flags.tasks:
        raise UsageError("no task is named: --tasks medqa,pubmedqa; `ragmed tasks list` shows them")
    model, sampling = _model(flags)
    tasks = {_task_name(task): _task(task, flags, model, workspace) | sampling for task in flags.tasks}
    config: dict[str, Any] = {
        "name": flags.name or _name(flags, str(model["name"])),
        "seed": _seed(flags.seed),
        "models": {"model": model if len(model) > 1 else model["name"]},
        "tasks": tasks,
        "arms": {"general": {"model": "model"}},
    }
    if flags.index:
        config["index"] = flags.index
        config["arms"]["general+rag"] = {"model": "model", "context": "retrieved", "k": flags.k or PASSAGES}
        config["comparison"] = {"baseline": "general"}
    elif flags.k:
        raise UsageError("-k says how many passages are shown; it needs -i INDEX")
    return config


def _model(flags: Flags) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's entry of the config, and what the sampling flags say of every task."""
    args = _pairs(flags.model_args, "--model_args")
    name = _model_name(flags.model, args)
    scheme = parse_model_name(name).scheme
    entry: dict[str, Any] = {"name": name}
    for key, value in args.items():
        if key in _ARGS:
            entry[_ARGS[key]] = value
        elif key not in _NEEDED:
            raise UnknownNameError("key", key, [*_ARGS, *_NEEDED], "--model_args")
    for bits in ("4bit", "8bit"):
        if args.get(f"load_in_{bits}"):
            entry["quantization"] = bits
    if flags.device:
        entry["device"] = flags.device
    _batch_size(flags, scheme, entry)
    return entry, _generation(flags, entry)


def _model_name(model: str, args: Mapping[str, Any]) -> str:
    if model not in _BACKENDS:
        if model.partition(":")[0] in MODEL_SCHEMES and ":" in model:
            return model
        raise UnknownNameError("model", model, [*MODEL_SCHEMES.values(), *_BACKENDS], "--model")
    wanted = _BACKENDS[model]
    target = str(args.get(wanted, ""))
    if not target:
        raise UsageError(f"--model {model} needs --model_args {wanted}=NAME")
    if wanted == "model":
        url = str(args.get("base_url", ""))
        if not url:
            raise UsageError(f"--model {model} needs the server's address: --model_args model={target},base_url=URL")
        for path in _CHAT_PATHS:
            url = url.removesuffix(path)
        return f"endpoint:{url}#{target}"
    folder = Path(target).expanduser().is_dir()
    revision = f"@{args['revision']}" if args.get("revision") and not folder else ""
    adapter = f"+adapter:{args['peft']}" if args.get("peft") else ""
    scheme = "vllm" if model == "vllm" else "path" if folder else "hf"
    return f"{scheme}:{target}{revision}{adapter}"


def _batch_size(flags: Flags, scheme: str, entry: dict[str, Any]) -> None:
    if flags.batch_size.startswith("auto"):
        return
    try:
        size = int(flags.batch_size)
    except ValueError:
        size = 0
    if size < 1:
        raise UsageError(f"--batch_size is 'auto' or a number of at least 1, found '{flags.batch_size}'")
    if scheme in ("endpoint", "chat"):
        entry.setdefault("concurrency", size)
    else:
        flags.notes.append("--batch_size changes nothing here: prompts are batched by their length")


def _generation(flags: Flags, entry: dict[str, Any]) -> dict[str, Any]:
    """What `--gen_kwargs` says: sampling goes to the model, the length of an answer to the tasks."""
    tasks: dict[str, Any] = {}
    for key, value in _pairs(flags.gen_kwargs, "--gen_kwargs").items():
        if key in ("temperature", "top_p"):
            entry[key] = float(value)
        elif key in _GEN:
            tasks[_GEN[key]] = value
        elif key == "do_sample":
            flags.notes.append(f"do_sample={value} changes nothing: {_NO_CHOICE}")
        else:
            raise UnknownNameError("key", key, ["temperature", "top_p", "do_sample", *_GEN], "--gen_kwargs")
    return tasks


def _is_file(task: str) -> bool:
    return Path(task).suffix in SUFFIXES


def _task_name(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", Path(task).stem) if _is_file(task) else task


def _task(name: str, flags: Flags, model: Mapping[str, Any], workspace: Workspace) -> dict[str, Any]:
    file = str(Path(name).expanduser().resolve()) if _is_file(name) else ""
    task = own_task(_task_name(name), Path(file)) if file else find_task(name)
    scores = parse_model_name(str(model["name"])).scheme not in ("endpoint", "chat", "recorded")
    scoring = (flags.scoring or ("letters" if scores else "generate")) if task.kind == "choice" else "generate"
    entry: dict[str, Any] = {"file": file} if file else {}
    entry["scoring"] = scoring
    if flags.num_fewshot:
        entry["shots"] = flags.num_fewshot
    if flags.limit:
        examples = len(task.load(workspace).examples) if flags.limit < 1 else 0
        entry["limit"] = math.ceil(flags.limit * examples) if examples else _whole(flags.limit)
    if flags.system_instruction:
        entry["system_instruction"] = flags.system_instruction
    return entry


def _whole(limit: float) -> int:
    if limit != int(limit):
        raise UsageError(f"--limit is a number of examples, or a fraction below 1; found {limit}")
    return int(limit)


def _seed(text: str) -> int:
    """lm-evaluation-harness takes up to four seeds; here one decides all that is drawn."""
    first = text.split(",")[0].strip()
    if not re.fullmatch(r"\d+", first):
        raise UsageError(f"--seed is a number of at least 0, found '{text}'")
    return int(first)


def _pairs(text: str, flag: str) -> dict[str, Any]:
    """`a=1,b=x` -> values of the type they look like."""
    found: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, mark, value = part.partition("=")
        if not mark or not key.strip():
            raise UsageError(f"{flag} is written key=value,key=value; found '{part}'")
        if key.strip() in found:
            raise UsageError(f"{flag} says '{key.strip()}' twice")
        found[key.strip()] = _value(value.strip())
    if found.pop("trust_remote_code", False) is True:
        raise UsageError("trust_remote_code is refused: code of a model's publisher is never run here")
    return found


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _name(flags: Flags, model: str) -> str:
    """A folder's name that says what was asked: model, tasks, index."""
    parts = parse_model_name(model)
    target = parts.target.rstrip("/").rpartition("#")[2] or parts.target
    pieces: Sequence[str] = [target.rpartition("/")[2], *map(_task_name, flags.tasks)]
    if flags.index:
        pieces = [*pieces, Path(flags.index).name, f"k{flags.k or PASSAGES}"]
    if flags.limit:
        pieces = [*pieces, f"limit-{flags.limit:g}"]
    name = re.sub(r"[^A-Za-z0-9._@-]+", "-", "-".join(pieces)).strip("-.")
    return name[:120] or "eval"
