"""A YAML file -> Experiment. Every key is checked: an unknown one is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ragmed.arms import CONTEXTS, PASSAGE_ORDERS, Arm
from ragmed.checked import checked_fields, known_keys, typed
from ragmed.comparison.prices import Prices
from ragmed.comparison.settings import ComparisonSettings, Factorial, every_failure
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import read_text, write_atomic
from ragmed.models import ModelSettings, check_settings
from ragmed.tasks import NORMALISATIONS, OPTION_ORDERS, SCORINGS, TASKS, TaskSettings


@dataclass(frozen=True, slots=True)
class Search:
    """A declared search on the side of retrieval: every `k` with every `context_tokens`, asked of `arm` on the
    development examples of `task`. What is chosen holds for all arms that declare the same index, k and context_tokens
    as `arm`.
    """

    arm: str
    task: str
    k: tuple[int, ...] = ()
    context_tokens: tuple[int, ...] = ()


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]*\Z")  # names become folders


@dataclass(frozen=True, slots=True)
class Experiment:
    """>>> load_experiment(Path("configs/quickstart.yaml")).arms["general"].context  # doctest: +SKIP
    'none'

    `context_tokens`: tokens that prompt and answer may have together (0: what the model allows). `window`: samples
    written at a time, which is what a kill can cost. `search`: k and context budget are chosen on development examples
    first.
    """

    name: str
    models: Mapping[str, ModelSettings]
    arms: Mapping[str, Arm]
    tasks: Mapping[str, TaskSettings]
    comparison: ComparisonSettings
    question: str = ""
    seed: int = 0
    context_tokens: int = 0
    window: int = 64
    search: Search | None = None

    def only(self, arms: tuple[str, ...] = (), tasks: tuple[str, ...] = (), limit: float = 0) -> Experiment:
        """The same experiment with some of its arms and tasks, and at most `limit` examples a task."""
        if limit != int(limit):
            raise UsageError(f"a limit of {limit}: with a config, it is a number of examples")
        for kind, asked, known in (("arm", arms, self.arms), ("task", tasks, self.tasks)):
            for name in asked:
                if name not in known:
                    raise UnknownNameError(kind, name, known, f"experiment '{self.name}'")
        chosen = {n: t for n, t in self.tasks.items() if not tasks or n in tasks}
        if limit:
            most = int(limit)
            chosen = {n: dataclasses.replace(t, limit=min(most, t.limit or most)) for n, t in chosen.items()}
        kept = {n: a for n, a in self.arms.items() if not arms or n in arms}
        return dataclasses.replace(self, arms=kept, tasks=chosen, search=self._search_of(kept, chosen))

    def _search_of(self, arms: Mapping[str, Arm], tasks: Mapping[str, TaskSettings]) -> Search | None:
        """The search, as long as it can be carried out; dropped where no arm needs what it chooses."""
        search = self.search
        if search is None or (search.arm in arms and search.task in tasks):
            return search
        index = self.arms[search.arm].index
        needed = [arm.name for arm in arms.values() if arm.needs_index and arm.index == index]
        if needed:
            raise UsageError(
                f"arm '{needed[0]}' waits for the search, which asks arm '{search.arm}' on task '{search.task}'; ask "
                "both, or take `search` out of the config"
            )
        return None

    def resolved(self) -> dict[str, Any]:
        """Everything as plain values, defaults included: what run.json keeps."""
        return typing.cast("dict[str, Any]", plain(self))


def load_experiment(path: Path) -> Experiment:
    """Reads and checks a config. UsageError or UnknownNameError name the file, the key and the remedy."""
    text = read_text(path, "config")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise DataError(f"config '{path}'{line} is not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(raw, dict):
        raise DataError(f"config '{path}': a mapping of keys was expected, found {type(raw).__name__}")
    return make_experiment(raw, default_name=path.stem, where=f"config '{path}'")


def save_config(raw: Mapping[str, Any], path: Path) -> None:
    """Writes the mapping as a config file, whole or not at all; DataError where there is one already."""
    if path.exists():
        raise DataError(f"'{path}' exists already; give --save-config another name")
    write_atomic(path, yaml.safe_dump(dict(raw), sort_keys=False, allow_unicode=True, width=120))


def make_experiment(raw: Mapping[str, Any], *, default_name: str, where: str) -> Experiment:
    """The checked Experiment of a mapping with the keys of a config file."""
    known = [f.name for f in dataclasses.fields(Experiment)] + ["index"]
    known_keys(raw, known, where)
    for key in ("models", "arms", "tasks"):
        if not isinstance(raw.get(key), dict) or not raw[key]:
            raise UsageError(f"{where}: '{key}' must be a mapping with at least one entry")
        for name in raw[key]:
            if not isinstance(name, str):
                raise UsageError(f"{where}, {key}: the name {name!r} is no text; put it between quotes")
    models = {n: _model(v, f"{where}, models.{n}") for n, v in raw["models"].items()}
    index = typed(str, raw.get("index", ""), f"{where}, index")
    arms = {n: _arm(n, v, models, index, f"{where}, arms.{n}") for n, v in raw["arms"].items()}
    tasks = {n: _task(n, v, f"{where}, tasks.{n}") for n, v in raw["tasks"].items()}
    _check_twins(tasks, where)
    _check_scoring(models, arms, tasks, where)
    _check_bases(models, where)
    _check_arm_tasks(arms, tasks, where)
    comparison = _comparison(raw.get("comparison", {}), arms, f"{where}, comparison")
    if not comparison.factorials:
        comparison = dataclasses.replace(comparison, factorials=factorials(models, arms))
    search = _search(raw["search"], arms, tasks, f"{where}, search") if raw.get("search") else None
    rest = {k: raw[k] for k in ("name", "question", "seed", "context_tokens", "window") if k in raw}
    rest = checked_fields(Experiment, {"name": default_name, **rest}, where)
    _folder_name(rest["name"], f"{where}, name")
    for key, least in (("window", 1), ("context_tokens", 0), ("seed", 0)):
        if rest.get(key, least) < least:
            raise UsageError(f"{where}, {key}: it must be at least {least}")
    return Experiment(models=models, arms=arms, tasks=tasks, comparison=comparison, search=search, **rest)


def _model(value: Any, where: str) -> ModelSettings:
    if isinstance(value, Mapping) and not isinstance(value.get("key", ""), str):
        raise UsageError(f"{where}, key: the name of an environment variable was expected")  # a key is never repeated
    fields = checked_fields(ModelSettings, {"name": value} if isinstance(value, str) else value, where)
    if "name" not in fields:
        raise UsageError(f"{where}: 'name' is missing, such as packaged:smollm2-135m")
    return check_settings(ModelSettings(**fields), where)


def _arm(name: str, value: Any, models: Mapping[str, ModelSettings], index: str, where: str) -> Arm:
    _folder_name(name, where)
    fields = checked_fields(Arm, value, where)
    if "name" in fields:
        raise UsageError(f"{where}: an arm's name is its key; take 'name' out")
    if "model" not in fields:
        raise UsageError(f"{where}: 'model' is missing; models here: {', '.join(models)}")
    if fields["model"] not in models:
        raise UnknownNameError("model", fields["model"], models, where)
    context = fields.get("context", "none")
    if context not in CONTEXTS:
        raise UnknownNameError("context", str(context), CONTEXTS, where)
    if fields.get("passage_order", "ranked") not in PASSAGE_ORDERS:
        raise UnknownNameError("passage_order", str(fields["passage_order"]), PASSAGE_ORDERS, where)
    arm = Arm(name=name, **fields)
    if arm.context_tokens < 0:
        raise UsageError(f"{where}, context_tokens: it must not be negative")
    if models[arm.model].scheme == "recorded" and context != "none":
        raise UsageError(f"{where}: recorded answers are there already; the context must be none, not '{context}'")
    if not arm.needs_index:
        if fields.get("index") or fields.get("k") or arm.passage_order != "ranked":
            raise UsageError(f"{where}: index, k and passage_order mean nothing in the context '{context}'")
        return arm
    if not (arm.index or index):
        raise UsageError(f"{where}: the context '{context}' needs an index, here or for the whole experiment")
    if arm.k < 1:
        raise UsageError(f"{where}: the context '{context}' needs k, the number of passages, of at least 1")
    return dataclasses.replace(arm, index=arm.index or index)


def _check_twins(tasks: Mapping[str, TaskSettings], where: str) -> None:
    """One task asked in several ways is asked of the same examples, so that the ways can be compared."""
    first: dict[str, str] = {}
    for name, task in tasks.items():
        twin = first.setdefault(task.file or task.task or name, name)
        if task.limit != tasks[twin].limit:
            raise UsageError(
                f"{where}, tasks: '{name}' and '{twin}' are one task, asked in two ways; give both the same limit "
                f"(now {task.limit} and {tasks[twin].limit})"
            )


def _check_bases(models: Mapping[str, ModelSettings], where: str) -> None:
    for name, model in models.items():
        if model.base and model.base not in models:
            raise UnknownNameError("model", model.base, models, f"{where}, models.{name}, base")
        if model.base == name:
            raise UsageError(f"{where}, models.{name}, base: a model is not tuned from itself")


def _check_arm_tasks(arms: Mapping[str, Arm], tasks: Mapping[str, TaskSettings], where: str) -> None:
    for arm in arms.values():
        for task in arm.tasks:
            if task not in tasks:
                raise UnknownNameError("task", task, tasks, f"{where}, arms.{arm.name}, tasks")


def base_of(name: str, models: Mapping[str, ModelSettings]) -> str:
    """The experiment's model that a model was tuned from: declared, or the one of its name without its adapter."""
    model = models[name]
    if model.base:
        return model.base
    bare, mark, _ = model.name.partition("+adapter:")
    return next((other for other, one in models.items() if mark and one.name == bare), "")


def factorials(models: Mapping[str, ModelSettings], arms: Mapping[str, Arm]) -> tuple[Factorial, ...]:
    """Every (control, tuned, retrieved, both) among the arms: two models, one tuned from the other, each closed book
    and with the same passages.
    """
    found = []
    closed = {arm.model: arm for arm in reversed(list(arms.values())) if arm.context == "none"}
    for name in models:
        base = base_of(name, models)
        if not base or name not in closed or base not in closed:
            continue
        for one in arms.values():
            both = next((a for a in arms.values() if a.model == name and _shown(a) == _shown(one)), None)
            if one.model == base and one.context == "retrieved" and both:
                found.append((closed[base].name, closed[name].name, one.name, both.name))
    return tuple(found)


def _shown(arm: Arm) -> tuple[str, str, int, int]:
    return arm.context, arm.index, arm.k, arm.context_tokens


def _search(value: Any, arms: Mapping[str, Arm], tasks: Mapping[str, TaskSettings], where: str) -> Search:
    fields = checked_fields(Search, value, where)
    for key in ("arm", "task"):
        if key not in fields:
            raise UsageError(f"{where}: '{key}' is missing")
    search = Search(**fields)
    if search.arm not in arms:
        raise UnknownNameError("arm", search.arm, arms, where)
    if arms[search.arm].context != "retrieved":
        raise UsageError(f"{where}, arm: '{search.arm}' retrieves nothing")
    if search.task not in tasks:
        raise UnknownNameError("task", search.task, tasks, where)
    if not search.k and not search.context_tokens:
        raise UsageError(f"{where}: give k or context_tokens, a list of values to try")
    if min((*search.k, *search.context_tokens), default=1) < 1:
        raise UsageError(f"{where}: k and context_tokens must be at least 1")
    return search


def _check_scoring(
    models: Mapping[str, ModelSettings], arms: Mapping[str, Arm], tasks: Mapping[str, TaskSettings], where: str
) -> None:
    """What can be known before anything is loaded: providers give no log-likelihoods."""
    for arm in arms.values():
        for name, task in tasks.items():
            if models[arm.model].scheme == "chat" and task.scoring != "generate":
                raise UsageError(
                    f"{where}, tasks.{name}: scoring '{task.scoring}' needs log-likelihoods, which "
                    f"'{models[arm.model].name}' (arm '{arm.name}') does not give; set scoring: generate"
                )


def _task(name: str, value: Any, where: str) -> TaskSettings:
    _folder_name(name, where)
    fields = checked_fields(TaskSettings, value or {}, where)
    alias = fields.get("task", "")
    if alias and fields.get("file"):
        raise UsageError(f"{where}: 'file' and 'task' both say what is asked; give one of them")
    if alias and name in TASKS:
        raise UsageError(f"{where}: '{name}' is a task that comes with ragmed; give '{alias}' another name here")
    if alias not in TASKS and (alias or (name not in TASKS and not fields.get("file"))):
        raise UnknownNameError("task", alias or name, TASKS, where)
    if name in TASKS and fields.get("file"):
        raise UsageError(f"{where}: '{name}' is a task that comes with ragmed; give your own questions another name")
    if fields.get("access", "private") not in ("open", "credentialed", "private"):
        raise UnknownNameError("access", str(fields["access"]), ("open", "credentialed", "private"), where)
    if fields.get("scoring", "generate") not in SCORINGS:
        raise UnknownNameError("scoring", str(fields["scoring"]), SCORINGS, where)
    if fields.get("normalise", "none") not in NORMALISATIONS:
        raise UnknownNameError("normalise", str(fields["normalise"]), NORMALISATIONS, where)
    if fields.get("options", "published") not in OPTION_ORDERS:
        raise UnknownNameError("options", str(fields["options"]), OPTION_ORDERS, where)
    for key in ("limit", "shots", "max_tokens"):
        if fields.get(key, 0) < 0:
            raise UsageError(f"{where}, {key}: it must not be negative")
    return TaskSettings(**fields)


def _comparison(value: Any, arms: Mapping[str, Arm], where: str) -> ComparisonSettings:
    value = dict(value or {})
    if isinstance(value.get("policy"), str):
        value["policy"] = every_failure(value["policy"])
    prices = Prices(**checked_fields(Prices, value.pop("prices", {}), f"{where}, prices"))
    fields = checked_fields(ComparisonSettings, value, where) | {"prices": prices}
    leak = tuple(n for n, a in arms.items() if a.context == "options-only")
    fields.setdefault("baseline", next((n for n in arms if n not in leak), ""))
    fields.setdefault("baseline_arms", leak)
    for pair in fields.get("contrasts", ()):
        if len(pair) != 2:
            raise UsageError(f"{where}, contrasts: each is a pair [baseline, arm], found {list(pair)}")
    if fields["baseline"] in leak:
        raise UsageError(f"{where}, baseline: '{fields['baseline']}' shows no question; name an arm that does")
    named = [*fields.get("contrasts", ()), *fields.get("factorials", ())]
    for name in (fields["baseline"], *(n for some in named for n in some)):
        if name not in arms:
            raise UnknownNameError("arm", str(name), arms, where)
    if not 0 < fields.get("alpha", 0.05) < 1 or not 0 <= fields.get("margin", 0.05) < 1:
        raise UsageError(f"{where}: alpha lies between 0 and 1, margin between 0 and 1 (fractions, not percent)")
    return ComparisonSettings(**fields)


def _folder_name(name: str, where: str) -> None:
    if not NAME.match(name):
        raise UsageError(f"{where}: '{name}' cannot name a folder; use letters, digits and . _ + @ -")


def plain(value: Any) -> Any:
    """A settings record as run.json keeps it: mappings, lists, numbers and texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
