"""Command-line flags in, the mapping of a config file out: `ragmed eval` without a file, and `--save-config`.

The flags are those that users of lm-evaluation-harness type (its `docs/interface.md`); what some of them mean there
and cannot mean here is refused with the reason, or answered with a note.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.errors import UsageError
from ragmed.experiments.model_args import ModelEntry, batch_size, model_entry
from ragmed.files import user_path
from ragmed.models import ModelSettings, parse_model_name
from ragmed.tasks import TASKS, find_task
from ragmed.tasks.own import SUFFIXES, check_questions_file, own_task
from ragmed.workspace import Workspace

_SHOWN_SETTINGS = {"dtype": "", "quantization": "", "context_tokens": "context-", "thinking_tokens": "thinking-"}
_SHOWN_SAMPLING = {"temperature": "t", "top_p": "top-p-"}
"""Settings that change answers -> how a run's name shows them."""
LONGEST_NAME = 120
PASSAGES = 5


@dataclass(frozen=True, slots=True)
class Flags:
    """
    >>> Flags(model="hf", model_args="pretrained=org/small,dtype=bfloat16", tasks=("medqa",)).k
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
    """
    >>> config_from_flags(Flags("scripted:echo", ("mmlu",)), workspace=Workspace.find())["arms"]
    {'general': {'model': 'model'}}

    The mapping that a config file would hold, for `make_experiment` and for `--save-config`: one arm closed book, and
    with an index a second one that sees its best k passages. Adds to `flags.notes` what the user should know. Raises
    UsageError and UnknownNameError.
    """
    if not flags.tasks:
        raise UsageError("no task is named: --tasks medqa,pubmedqa; `ragmed tasks list` shows them")
    made = _model(flags)
    model = made.settings
    named = _tasks_by_name(flags.tasks)
    tasks = {name: _task(task, flags, model, workspace) | made.tasks for name, task in named.items()}
    config: dict[str, Any] = {
        "name": flags.name or _name(flags, made, list(named)),
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
        raise UsageError("-k is how many passages are shown; it needs -i INDEX")
    return config


def _model(flags: Flags) -> ModelEntry:
    """The model's entry of the config, and what the sampling flags set for every task."""
    made = model_entry(flags.model, model_args=flags.model_args, gen_kwargs=flags.gen_kwargs, device=flags.device)
    flags.notes.extend(made.notes)
    note = batch_size(flags.batch_size, parse_model_name(made.settings["name"]).scheme, made.settings)
    flags.notes.extend([note] if note else [])
    return made


def _is_file(task: str) -> bool:
    """Whether it is a file of questions; UsageError for a file that cannot be one."""
    if check_questions_file(Path(task)):
        return True
    if task not in TASKS and user_path(task).is_file():
        raise UsageError(f"'{task}': questions are read from files that end in {', '.join(SUFFIXES)}")
    return False


def _task_name(task: str) -> str:
    return _plain(Path(task).stem) or "questions" if _is_file(task) else task


def _plain(text: str) -> str:
    """What may name a folder."""
    return re.sub(r"[^A-Za-z0-9._@+-]+", "-", text).lstrip("-._@+").rstrip("-.")


def _tasks_by_name(tasks: Sequence[str]) -> dict[str, str]:
    """Each task under its name; two files of one name must not stand in for each other."""
    named: dict[str, str] = {}
    for task in tasks:
        name = _task_name(task)
        known = named.setdefault(name, task)
        if known != task and (not _is_file(task) or _place(known) != _place(task)):
            raise UsageError(f"'{known}' and '{task}' would both be the task '{name}'; rename one of the files")
    return named


def _place(task: str) -> Path:
    return user_path(task).resolve()


def _task(name: str, flags: Flags, model: Mapping[str, Any], workspace: Workspace) -> dict[str, Any]:
    file = str(_place(name)) if _is_file(name) else ""
    task = own_task(_task_name(name), Path(file)) if file else find_task(name)
    scoring = (flags.scoring or _usual_scoring(model)) if task.kind == "choice" else "generate"
    entry: dict[str, Any] = {"file": file} if file else {}
    entry["scoring"] = scoring
    if flags.num_fewshot:
        entry["shots"] = flags.num_fewshot
    if flags.limit:
        examples = len(task.load(workspace).examples) if 0 < flags.limit < 1 else 0
        entry["limit"] = math.ceil(flags.limit * examples) if examples else _whole(flags.limit)
    if flags.system_instruction:
        entry["system_instruction"] = flags.system_instruction
    return entry


def _usual_scoring(model: Mapping[str, Any]) -> str:
    return (
        "generate"
        if parse_model_name(str(model["name"])).scheme in ("endpoint", "chat", "recorded", "extract")
        else "letters"
    )


def _whole(limit: float) -> int:
    if not math.isfinite(limit) or limit != int(limit) or limit < 1:
        raise UsageError(f"--limit is a number of examples, or a fraction below 1; found {limit}")
    return int(limit)


def _seed(text: str) -> int:
    """lm-evaluation-harness takes up to four seeds; here one decides all that is drawn."""
    first = text.split(",")[0].strip()
    if not re.fullmatch(r"[0-9]{1,18}", first):
        raise UsageError(f"--seed is a number of at least 0, of at most 18 digits, found '{text[:60]}'")
    return int(first)


def _name(flags: Flags, made: ModelEntry, names: Sequence[str]) -> str:
    """A folder's name that shows what was asked: model, tasks, index, and what is not as usual.

    So that the commands of a sweep make a run each.
    """
    parts = parse_model_name(made.settings["name"])
    target = parts.target.rstrip("/").rpartition("#")[2] or parts.target
    pieces = [target.rpartition("/")[2], parts.revision, Path(parts.adapter).name, *names]
    usual = {field.name: field.default for field in dataclasses.fields(ModelSettings)}
    given = {key: value for key, value in made.settings.items() if value != usual[key]}
    pieces += [f"{mark}{given[key]}" for key, mark in _SHOWN_SETTINGS.items() if key in given]
    if flags.index:
        pieces += [Path(flags.index).name, f"k{flags.k or PASSAGES}"]
    if flags.num_fewshot:
        pieces.append(f"shots-{flags.num_fewshot}")
    if flags.scoring and flags.scoring != _usual_scoring(made.settings):
        pieces.append(flags.scoring)
    if _seed(flags.seed):
        pieces.append(f"seed-{_seed(flags.seed)}")
    pieces += [f"{mark}{given[key]:g}" for key, mark in _SHOWN_SAMPLING.items() if key in given]
    pieces += [f"max-{length}" for length in made.tasks.values()]
    if flags.system_instruction:
        pieces.append(f"system-{hashlib.sha256(flags.system_instruction.encode()).hexdigest()[:8]}")
    if flags.limit:
        pieces.append(f"limit-{flags.limit:g}")
    name = _plain("-".join(filter(None, pieces))) or "eval"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
