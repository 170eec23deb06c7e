"""A YAML file in, a checked Experiment out. Its dataclasses say which keys there are and what they hold; what concerns
several sections is checked here.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml

from ragmed.arms import BY_MODEL, COT_TOKENS, PLANTS, TREC, Arm, EvidenceFilter, QueryForm
from ragmed.checked import Bounds, NamedByKey, Shorthand, dump, parse, schema
from ragmed.comparison.designs import Design, FactorName, four_arms
from ragmed.comparison.settings import ComparisonSettings
from ragmed.embedding.folders import PRECISIONS
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.experiments.pairs import with_pairs
from ragmed.files import read_text, write_atomic
from ragmed.metrics.resources import check_metrics
from ragmed.metrics.settings import MetricSettings
from ragmed.models import ModelSettings, check_settings
from ragmed.models.extract import rule_of
from ragmed.retrieval.record import cut_of
from ragmed.retrieval.spec import RetrieverSpec, of_record
from ragmed.runs import MAX_NAME
from ragmed.tasks import TASKS, TaskSettings
from ragmed.yaml_files import read_mapping


@dataclass(frozen=True, slots=True)
class Search:
    """A declared search on the side of retrieval: every `retriever` with every `query`, `k` and `context_tokens`, asked
    of `arm` on the development examples of `task`. What is left empty is as `arm` has it. What is chosen holds for all
    arms that are shown the same as `arm`.
    """

    arm: str
    task: str
    k: tuple[Annotated[int, Bounds(ge=1)], ...] = ()
    context_tokens: tuple[Annotated[int, Bounds(ge=1)], ...] = ()
    retriever: tuple[str, ...] = ()
    query: tuple[QueryForm, ...] = ()


NOTHING_SAID = Shorthand((types.NoneType,), lambda _: {})  # a key with nothing after it
PAIRS = Shorthand((str,), lambda words: words)  # read by `with_pairs` before all else
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]*\Z")  # names become folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """
        load_experiment(Path("configs/quickstart.yaml")).arms["general"].context

    What a config holds: one field a section. `models`: the language models by name, each its settings or just its full
    name, such as packaged:smollm2-135m. `arms`: what is compared, by name. `tasks`: what is asked, by the task's name.
    `comparison`: how the arms are compared. `name`: the run's, where it is not the file's. `question`: what the
    experiment is to find out. `index`: what arms search that name none. `seed` decides all that is drawn.
    `context_tokens`: tokens that prompt and answer may have together (0: what the model allows). `window`: samples
    written at a time, which is what a kill can cost. `search`: k and context budget are chosen on development examples
    first. `retrievers`: ways of finding passages, by the names that arms and fusions call them. `metrics`: what metrics
    that need a model or a file are measured with, for the tasks that can be.
    """

    name: str = ""
    question: str = ""
    models: Mapping[str, Annotated[ModelSettings, Shorthand((str,), lambda name: {"name": name})]]
    index: str = ""
    arms: Annotated[Mapping[str, Arm], NamedByKey(), PAIRS]
    tasks: Mapping[str, Annotated[TaskSettings, NOTHING_SAID]]
    comparison: Annotated[ComparisonSettings, NOTHING_SAID] = field(default_factory=ComparisonSettings)
    seed: Annotated[int, Bounds(ge=0)] = 0
    context_tokens: Annotated[int, Bounds(ge=0)] = 0
    window: Annotated[int, Bounds(ge=1)] = 64
    search: Search | None = None
    retrievers: Mapping[str, RetrieverSpec] = field(default_factory=dict)
    metrics: Mapping[str, MetricSettings] = field(default_factory=dict)

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
        references = self.arms[search.arm].references
        needed = [arm.name for arm in arms.values() if arm.shows_passages and arm.references == references]
        if needed:
            raise UsageError(
                f"arm '{needed[0]}' waits for the search, which asks arm '{search.arm}' on task '{search.task}'; ask "
                "both, or take `search` out of the config"
            )
        return None

    def tried(self) -> tuple[Arm, ...]:
        """The arm that the search asks, with each retriever and form of query that it tries; without a search, none."""
        if self.search is None:
            return ()
        arm = self.arms[self.search.arm]
        named = [(name, "") for name in self.search.retriever] or [(arm.retriever, arm.index)]
        return tuple(
            dataclasses.replace(arm, retriever=retriever, index=index, query=query)
            for (retriever, index), query in itertools.product(named, self.search.query or (arm.query,))
        )

    def showing(self, tried: str, like: Arm) -> Experiment:
        """The same experiment where every arm that is shown what the arm `tried` is shown is shown what `like` is.

        One whose passages are chosen by what is right (an oracle, ...) has no query whose form could matter, and what a
        replay shows was found already.
        """

        def with_what(arm: Arm) -> Arm:
            query = like.query if arm.context == "retrieved" else arm.query
            return dataclasses.replace(
                arm,
                retriever=like.retriever,
                index=like.index,
                query=query,
                k=like.k,
                context_tokens=like.context_tokens,
            )

        following = self.following(tried)
        arms = {name: with_what(arm) if name in following else arm for name, arm in self.arms.items()}
        return dataclasses.replace(self, arms=arms)

    def following(self, tried: str) -> tuple[str, ...]:
        """The arms that are shown what the arm `tried` is shown, itself included; of those that ask no query, whatever
        the form of its query is."""
        like = self.arms[tried]

        def same(arm: Arm) -> bool:
            asks = arm.context not in ("oracle", "conflict")  # which are shown what is right
            by = like if asks else dataclasses.replace(like, query=arm.query)
            return arm.shows_passages and not arm.replay and arm.shown == by.shown

        return tuple(name for name, arm in self.arms.items() if same(arm))

    def resolved(self) -> dict[str, Any]:
        """Everything as plain values, defaults included: what run.json keeps."""
        return typing.cast("dict[str, Any]", dump(self))


def load_experiment(path: Path) -> Experiment:
    """Reads and checks a config. UsageError or UnknownNameError name the file, the key and the remedy."""
    if not path.exists() and (near := _near(path)):
        raise UsageError(f"config '{path}' does not exist; did you mean {' or '.join(repr(str(one)) for one in near)}?")
    where, raw = read_mapping(path, "config", aliases=True)
    return make_experiment(raw, default_name=path.stem, where=where)


def _near(path: Path) -> list[Path]:
    """Configs in the folder of one that is not there, or in configs/ beside it, whose names are near to its own."""
    there = [one for folder in (path.parent, path.parent / "configs") for one in sorted(folder.glob("*.y*ml"))]
    by_name = {one.stem: one for one in reversed(there)}
    return [by_name[name] for name in difflib.get_close_matches(path.stem, by_name, n=2, cutoff=0.6)]


def save_config(raw: Mapping[str, Any], path: Path) -> None:
    """Writes the mapping as a config file, whole or not at all; DataError where there is another one already. The same
    one is left: the command that was stopped after it is given again.
    """
    text = yaml.safe_dump(dict(raw), sort_keys=False, allow_unicode=True, width=120)
    if path.is_file() and read_text(path, "config") == text:
        return
    if path.exists():
        raise DataError(f"'{path}' exists already; give --save-config another name")
    write_atomic(path, text)


def make_experiment(raw: Mapping[str, Any], *, default_name: str, where: str) -> Experiment:
    """The checked Experiment of a mapping with the keys of a config file."""
    _check_keys_of_servers(raw, where)
    raw = with_pairs(raw, where)
    experiment = parse(Experiment, {"name": default_name, **raw}, where)
    for section in ("models", "arms", "tasks"):
        if not getattr(experiment, section):
            raise UsageError(f"{where}: '{section}' must be a mapping with at least one entry")
    _check_folder_name(experiment.name, f"{where}, name")
    _check_models(experiment, where)
    retrievers = {
        n: _checked_retriever(n, spec, experiment, f"{where}, retrievers.{n}")
        for n, spec in experiment.retrievers.items()
    }
    experiment = dataclasses.replace(experiment, retrievers=retrievers)
    _check_record_retrievers(retrievers, f"{where}, retrievers")
    arms = {n: _checked_arm(arm, experiment, f"{where}, arms.{n}") for n, arm in experiment.arms.items()}
    experiment = dataclasses.replace(experiment, arms=arms)
    check_metrics(experiment.metrics, f"{where}, metrics")
    for name, task in experiment.tasks.items():
        _check_task(name, task, f"{where}, tasks.{name}")
    _check_same_limits(experiment.tasks, where)
    _check_scoring(experiment, where)
    _check_search(experiment, f"{where}, search")
    comparison = _compared(experiment, raw.get("comparison") or {}, f"{where}, comparison")
    return dataclasses.replace(experiment, comparison=comparison)


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a config file, for editors. Arms named as `pairs(…)` bring their models with them."""
    whole = schema(Experiment, "A config of ragmed")
    whole["required"] = [key for key in whole["required"] if key != "models"]
    whole["if"] = {"properties": {"arms": {"type": "object"}}}
    whole["then"] = {"required": ["models"]}
    arms = whole["properties"]["arms"]
    whole["properties"]["arms"] = {"anyOf": [arms, {"type": "string", "pattern": r"^pairs\("}]}
    return whole


def _check_keys_of_servers(raw: Mapping[str, Any], where: str) -> None:
    """Before all else: `parse` would repeat what stands where text is expected, and a key is never repeated."""
    models = raw.get("models")
    for name, model in models.items() if isinstance(models, Mapping) else ():
        if isinstance(model, Mapping) and not isinstance(model.get("key", ""), str):
            raise UsageError(f"{where}, models.{name}.key: the name of an environment variable was expected")


def _check_models(experiment: Experiment, where: str) -> None:
    models = experiment.models
    for name, model in models.items():
        check_settings(model, f"{where}, models.{name}")
        if model.base and model.base not in models:
            raise UnknownNameError("model", model.base, models, f"{where}, models.{name}.base")
        if model.base == name:
            raise UsageError(f"{where}, models.{name}.base: a model is not tuned from itself")


def _checked_arm(arm: Arm, experiment: Experiment, where: str) -> Arm:
    """The arm, with the experiment's index where it needs one and names none."""
    _check_folder_name(arm.name, where)
    if arm.model not in experiment.models:
        raise UnknownNameError("model", arm.model, experiment.models, where)
    for task in arm.tasks:
        if task not in experiment.tasks:
            raise UnknownNameError("task", task, experiment.tasks, f"{where}.tasks")
    if experiment.models[arm.model].scheme == "recorded" and arm.context != "none":
        raise UsageError(f"{where}: recorded answers are there already; its context must be none, not '{arm.context}'")
    if experiment.models[arm.model].scheme == "extract":
        _check_extract(arm, experiment.models[arm.model].name, where)
    _check_query(arm, experiment.models[arm.model], where)
    if arm.cot_tokens and not arm.cot:
        raise UsageError(f"{where}.cot_tokens: it means nothing for an arm that does not reason; add cot: true")
    if any(arm.steps):
        _check_steps(arm, experiment, f"{where}")
    if arm.constrained:
        _check_constrained(arm, experiment.models[arm.model], where)
    if arm.planted and arm.context != "poisoned":
        raise UsageError(f"{where}.planted: it means nothing in the context '{arm.context}'; write context: poisoned")
    if arm.context == "poisoned" and not arm.planted:
        arm = dataclasses.replace(arm, planted=PLANTS)
    named = arm.replay.startswith(TREC) and arm.replay != TREC
    if arm.replay and (arm.context != "retrieved" or not (named or "/" in arm.replay)):
        raise UsageError(f"{where}.replay: write RUN/ARM, of a stored run, or trec:FILE, in the context 'retrieved'")
    if not arm.shows_passages:
        if arm.references or arm.k or arm.passage_order != "ranked":
            raise UsageError(
                f"{where}: index, retriever, k and passage_order mean nothing in the context '{arm.context}'"
            )
        return arm
    if arm.index and arm.retriever:
        raise UsageError(f"{where}: 'index' and 'retriever' both name where passages come from; give one of them")
    if arm.retriever and arm.retriever not in experiment.retrievers:
        raise UnknownNameError("retriever", arm.retriever, experiment.retrievers, where)
    if not (arm.references or experiment.index):
        raise UsageError(f"{where}: the context '{arm.context}' needs an index, here or for the whole experiment")
    if arm.replay and arm.retriever and of_record(experiment.retrievers[arm.retriever], experiment.retrievers):
        raise UsageError(
            f"{where}.replay: retriever '{arm.retriever}' searches the example's own record, and finds the same again; "
            "leave replay out"
        )
    if arm.k < 1:
        raise UsageError(f"{where}: the context '{arm.context}' needs k, the number of passages, of at least 1")
    _check_depth(arm, experiment, where)
    return arm if arm.references else dataclasses.replace(arm, index=experiment.index)


def _check_depth(arm: Arm, experiment: Experiment, where: str) -> None:
    """What puts another's first hits in order, or fuses them, must read as many as an arm asks for: the first 10 of 32
    would else be others than the 10."""
    names = [arm.retriever] if arm.context in ("retrieved", "poisoned") and not arm.replay else []
    for name in names:  # which grows while it is walked
        spec = experiment.retrievers.get(name)
        if spec is None or not spec.of:
            continue
        if "depth" in spec.reads and spec.depth < arm.searched:
            raise UsageError(
                f"{where}: {arm.searched} passages are asked for, and retriever '{name}' reads the first "
                f"{spec.depth} hits; write depth: {arm.searched} or more"
            )
        names.extend(part for part in spec.of if part not in names)


def _check_query(arm: Arm, model: ModelSettings, where: str) -> None:
    """A form of query means something where something is sought, and is written by what can write."""
    if arm.query == "question":
        return
    if arm.context != "retrieved" or arm.replay:
        what = "replays passages" if arm.replay else f"has the context '{arm.context}'"
        raise UsageError(f"{where}.query: the arm {what} and asks no query of its own; leave query out")
    if arm.query in BY_MODEL and model.scheme in ("extract", "recorded"):
        raise UsageError(
            f"{where}.query: '{model.name}' writes nothing, and so no query; take another form than {arm.query}"
        )


def _check_constrained(arm: Arm, model: ModelSettings, where: str) -> None:
    """Who gives neither log-likelihoods nor answers that are held to a form while they are written has no such arm."""
    if arm.cot:
        raise UsageError(f"{where}: what is reasoned is written freely; take cot or constrained out")
    if model.scheme in ("extract", "recorded"):
        raise UsageError(
            f"{where}: '{model.name}' cannot be held to a form: its answers are there, or are taken from passages; "
            "take constrained out, or name a model that is asked"
        )
    if model.scheme == "endpoint" and model.holds_by == "likelihood" and not model.tokenizer:
        raise UsageError(
            f"{where}: constrained_by likelihood needs log-likelihoods, for which '{model.name}' needs tokenizer: (a "
            "folder or a model that counts as it does)"
        )


def _check_steps(arm: Arm, experiment: Experiment, where: str) -> None:
    """What is done with retrieved passages needs some, and a model that can be asked."""
    step = arm.step_names[0]
    if arm.context != "retrieved" or arm.replay:
        what = "shows passages as they were shown" if arm.replay else f"has the context '{arm.context}'"
        raise UsageError(f"{where}.{step}: the arm {what}; it is for the context retrieved, without replay")
    if arm.steps_ask and experiment.models[arm.model].scheme in ("extract", "recorded"):
        raise UsageError(
            f"{where}.{step}: it asks the arm's own model, and '{experiment.models[arm.model].name}' can be asked "
            "nothing; name another model, or an evidence_filter by score, overlap or cross-encoder"
        )
    spec = experiment.retrievers.get(arm.retriever)
    if arm.follow_up and spec and of_record(spec, experiment.retrievers):
        raise UsageError(f"{where}.follow_up: it searches an index, and '{arm.retriever}' each example's own record")
    if arm.rerank and arm.rerank.step >= arm.rerank.window:
        raise UsageError(
            f"{where}.rerank: a step of {arm.rerank.step} passes over passages between windows of "
            f"{arm.rerank.window}; write a smaller step, such as step: {arm.rerank.window // 2}"
        )
    if arm.rerank and arm.rerank.candidates < arm.looked_at:
        raise UsageError(
            f"{where}.rerank.candidates: {arm.rerank.candidates} passages are put in order, and {arm.looked_at} are "
            f"shown or looked at after; write candidates: {arm.looked_at} or more"
        )
    if arm.evidence_filter:
        _check_filter(arm.evidence_filter, f"{where}.evidence_filter")
        before = [name for name in arm.step_names if name != "evidence_filter"]
        if arm.evidence_filter.by == "score" and before:
            raise UsageError(
                f"{where}.evidence_filter: by score reads the retriever's scores, and {before[-1]} leaves ranks in "
                f"their place; write by: model, cross-encoder or overlap, or take {' and '.join(before)} out"
            )


def _check_filter(judge: EvidenceFilter, where: str) -> None:
    if judge.by == "model" and judge.least is not None:
        raise UsageError(f"{where}.least: the arm's own model says yes or no; leave least out")
    if judge.by != "model" and judge.least is None:
        raise UsageError(f"{where}: by {judge.by} a passage needs a number to be kept; write least: NUMBER")
    if judge.by == "cross-encoder" and not judge.model:
        raise UsageError(f"{where}: it names no cross-encoder; write model: path:DIR or hf:ORG/NAME@REVISION")
    if judge.by != "cross-encoder" and (judge.model or judge.precision != "float32"):
        raise UsageError(f"{where}: model and precision are a cross-encoder's; write by: cross-encoder")
    if judge.precision not in PRECISIONS:
        raise UnknownNameError("precision", judge.precision, PRECISIONS, where)
    if judge.by == "overlap" and not 0 < (judge.least or 0) <= 1:
        raise UsageError(f"{where}.least: it is a share of the query's words, above 0 and at most 1")


def _check_extract(arm: Arm, model: str, where: str) -> None:
    """A baseline that answers from passages needs some, and others mean nothing to one that does not."""
    if arm.cot:
        raise UsageError(f"{where}: '{model}' is a rule and cannot reason; take cot out")
    if rule_of(model).from_passages and not arm.shows_passages:
        raise UsageError(
            f"{where}: '{model}' answers from passages; its context must be retrieved, oracle or distractor, not "
            f"'{arm.context}'"
        )
    if not rule_of(model).from_passages and arm.context != "none":
        raise UsageError(f"{where}: '{model}' looks at no passages; its context must be none, not '{arm.context}'")


def _checked_retriever(name: str, spec: RetrieverSpec, experiment: Experiment, where: str) -> RetrieverSpec:
    """The retriever, with the experiment's index where it searches one and names none."""
    _check_folder_name(name, where)
    indexes = {experiment.index, *(arm.index for arm in experiment.arms.values())}
    indexes |= {other.index for other in experiment.retrievers.values()}
    if name in indexes:
        raise UsageError(f"{where}: '{name}' is an index here; give the retriever a name of its own")
    try:
        reads = spec.reads
        named = dataclasses.replace(spec, index=experiment.index) if "index" in reads and not spec.index else spec
        named.check()
        if "index" in reads and not named.index:
            raise UsageError("it searches an index and names none; write index: NAME")
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return named


def _check_record_retrievers(retrievers: Mapping[str, RetrieverSpec], where: str) -> None:
    """What a fusion's parts search must be one thing: an index, or records that are cut in one way."""
    for name, spec in retrievers.items():
        try:
            if of_record(spec, retrievers):
                cut_of(spec, retrievers)
        except UsageError as error:
            raise UsageError(f"{where}.{name}: {error}") from error


def _check_task(name: str, task: TaskSettings, where: str) -> None:
    _check_folder_name(name, where)
    alias = task.task
    if alias and task.file:
        raise UsageError(f"{where}: 'file' and 'task' both name what is asked; give one of them")
    if alias and name in TASKS:
        raise UsageError(f"{where}: '{name}' is a task that comes with ragmed; give '{alias}' another name here")
    if alias not in TASKS and (alias or (name not in TASKS and not task.file)):
        raise UnknownNameError("task", alias or name, TASKS, where)
    if name in TASKS and task.file:
        raise UsageError(f"{where}: '{name}' is a task that comes with ragmed; give your own questions another name")


def _check_same_limits(tasks: Mapping[str, TaskSettings], where: str) -> None:
    """One task asked in several ways is asked of the same examples, so that the ways can be compared."""
    first: dict[str, str] = {}
    for name, task in tasks.items():
        same = first.setdefault(task.file or task.task or name, name)
        if task.limit != tasks[same].limit:
            raise UsageError(
                f"{where}, tasks: '{name}' and '{same}' are one task, asked in two ways; give both the same limit "
                f"(now {task.limit} and {tasks[same].limit})"
            )


def _check_scoring(experiment: Experiment, where: str) -> None:
    """What can be known before anything is loaded: providers give no log-likelihoods."""
    for arm in experiment.arms.values():
        model = experiment.models[arm.model]
        for name, task in experiment.tasks.items():
            if model.scheme == "chat" and task.scoring != "generate":
                raise UsageError(
                    f"{where}, tasks.{name}: scoring '{task.scoring}' needs log-likelihoods, which '{model.name}' "
                    f"(arm '{arm.name}') does not give; set scoring: generate"
                )


def _check_search(experiment: Experiment, where: str) -> None:
    search, arms, tasks = experiment.search, experiment.arms, experiment.tasks
    if search is None:
        return
    if search.arm not in arms:
        raise UnknownNameError("arm", search.arm, arms, where)
    if arms[search.arm].context != "retrieved":
        raise UsageError(f"{where}.arm: '{search.arm}' retrieves nothing")
    if arms[search.arm].replay:
        raise UsageError(f"{where}.arm: '{search.arm}' replays a run; search with an arm that retrieves")
    if any(arms[search.arm].steps):
        raise UsageError(
            f"{where}.arm: '{search.arm}' does more than retrieve; search with an arm without follow_up, rerank and "
            "evidence_filter: k and budget then hold in this one, too, where both are declared alike"
        )
    if search.task not in tasks:
        raise UnknownNameError("task", search.task, tasks, where)
    if not (search.k or search.context_tokens or search.retriever or search.query):
        raise UsageError(f"{where}: give k, context_tokens, retriever or query, a list of values to try")
    for name in search.retriever:
        if name not in experiment.retrievers:
            raise UnknownNameError("retriever", name, experiment.retrievers, f"{where}.retriever")
    for arm in experiment.tried():
        shown = experiment.showing(search.arm, arm).arms
        for name, one in ((name, shown[name]) for name in experiment.following(search.arm)):
            at = where if name == search.arm else f"{where}: what is chosen holds for arms.{name}"
            one = dataclasses.replace(one, k=max(search.k or (one.k,)))
            _check_query(one, experiment.models[one.model], at)
            if any(one.steps):
                _check_steps(one, experiment, at)
            by_score = one.evidence_filter is not None and one.evidence_filter.by == "score"
            if by_score and set(search.retriever) - {experiment.arms[name].retriever}:
                raise UsageError(
                    f"{at}: its evidence_filter keeps what one retriever scores high enough, and others are "
                    "tried; give it a retriever or a k of its own"
                )
            _check_depth(one, experiment, at)
    if (
        len(
            {
                bool(a.retriever and of_record(experiment.retrievers[a.retriever], experiment.retrievers))
                for a in experiment.tried()
            }
        )
        > 1
    ):
        raise UsageError(
            f"{where}.retriever: some search an index and others each example's own record; try those of one kind"
        )


def _compared(experiment: Experiment, raw: Mapping[str, Any], where: str) -> ComparisonSettings:
    """The comparison, with what follows from the arms where the config does not set it."""
    settings, arms = experiment.comparison, experiment.arms
    options_only = tuple(name for name, arm in arms.items() if arm.context == "options-only")
    extracts = tuple(n for n, arm in arms.items() if experiment.models[arm.model].scheme == "extract")
    candidates = [name for name in arms if name not in (*options_only, *extracts)]
    control = settings.baseline or next(iter([*candidates, *extracts]), "")  # of baselines alone, the first
    designed = [arm for design in settings.factorials for arm in design.arms]
    asked = {control, *itertools.chain(*settings.contrasts), *designed}
    beside = (*options_only, *(name for name in extracts if name not in asked))
    if settings.baseline in options_only:
        raise UsageError(f"{where}.baseline: '{settings.baseline}' shows no question; name an arm that does")
    settings = dataclasses.replace(
        settings,
        baseline=control,
        baseline_arms=settings.baseline_arms if "baseline_arms" in raw else beside,
        factorials=settings.factorials or factorials(experiment.models, arms),
        misled=settings.misled or _misled(arms),
    )
    for name in (
        settings.baseline,
        *itertools.chain(*settings.contrasts),
        *designed,
        *itertools.chain(*settings.misled),
    ):
        if name not in arms:
            raise UnknownNameError("arm", name, arms, where)
    return settings


def _misled(arms: Mapping[str, Arm]) -> tuple[tuple[str, str], ...]:
    """Each conflict arm with its oracle arm, each poisoned arm with its retrieved one: those that differ in nothing
    else.
    """
    clean = {"conflict": "oracle", "poisoned": "retrieved"}
    return tuple(
        (other.name, arm.name)
        for arm in arms.values()
        for other in arms.values()
        if clean.get(arm.context) == other.context and _apart_from_context(arm) == _apart_from_context(other)
    )


def _apart_from_context(arm: Arm) -> Arm:
    return dataclasses.replace(arm, name="", context="none", planted=0, tasks=())


def _check_folder_name(name: str, where: str) -> None:
    if not NAME.match(name):
        raise UsageError(f"{where}: '{name}' cannot name a folder; use letters, digits and . _ + @ -")
    if len(name) > MAX_NAME:
        raise UsageError(
            f"{where}: the name '{name[:40]}…' has {len(name)} letters, {MAX_NAME} are the most; shorten it"
        )


def base_of(name: str, models: Mapping[str, ModelSettings]) -> str:
    """The experiment's model that a model was tuned from: declared, or the one of its name without its adapter."""
    model = models[name]
    if model.base:
        return model.base
    bare, mark, _ = model.name.partition("+adapter:")
    return next((other for other, settings in models.items() if mark and settings.name == bare), "")


def factorials(models: Mapping[str, ModelSettings], arms: Mapping[str, Arm]) -> tuple[Design, ...]:
    """Every design among the arms whose two levels are asked in one way but for the factor.

    Tuning: two models, one tuned from the other, each closed book and with the same passages; all four reason before
    they answer, in as many tokens, or none does. Reasoning: one model, closed book and with the same passages, each
    asked to answer at once and after reasoning.
    """
    by_way: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms.values():
        by_way.setdefault(_way(arm, models[arm.model]), []).append(arm)
    tuning = (design for alike in by_way.values() for design in _tuning_designs(models, alike))
    return (*tuning, *_reasoning_designs(models, list(arms.values())))


def _way(arm: Arm, model: ModelSettings) -> tuple[bool, int, str]:
    """In which way an arm gives its answer: arms that differ in it are in one design only where that is the factor."""
    return arm.cot, arm.cot_tokens or COT_TOKENS, model.holds_by if arm.constrained else ""


def _shown(arm: Arm) -> tuple[Any, ...]:
    return arm.context, arm.shown, arm.passage_order, arm.steps


def _tuning_designs(models: Mapping[str, ModelSettings], arms: Sequence[Arm]) -> Iterator[Design]:
    for name in models:
        base = base_of(name, models)
        if base:
            yield from _crossed(
                [arm for arm in arms if arm.model == base], [arm for arm in arms if arm.model == name], "tuning"
            )


def _reasoning_designs(models: Mapping[str, ModelSettings], arms: Sequence[Arm]) -> Iterator[Design]:
    for model, way in dict.fromkeys((arm.model, _way(arm, models[arm.model])) for arm in arms if arm.cot):
        direct = [arm for arm in arms if arm.model == model and not arm.cot and not arm.constrained]
        reasoned = [arm for arm in arms if arm.model == model and _way(arm, models[model]) == way]
        yield from _crossed(direct, reasoned, "reasoning")


def _crossed(first: Sequence[Arm], second: Sequence[Arm], factor: FactorName) -> Iterator[Design]:
    """The designs of the arms of one level and those of another: the first closed-book arm of each, with every two that
    are shown the same.
    """
    closed, changed = (next((arm for arm in one if arm.context == "none"), None) for one in (first, second))
    if closed is None or changed is None:
        return
    for arm in (arm for arm in first if arm.context == "retrieved"):
        both = next((other for other in second if _shown(other) == _shown(arm)), None)
        if both:
            yield four_arms([closed.name, changed.name, arm.name, both.name], factor)
