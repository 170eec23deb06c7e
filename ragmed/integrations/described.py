"""A run in, what its arms, tasks and comparison are, as plain JSON, out; and back, checked, for the run it becomes.

It stands in the header of each log that ragmed writes for another program, beside what `carried` keeps of each sample.
Nothing in it says who may read a run, and nothing that it names is loaded: an import decides on both itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ragmed.arms import CONTEXTS, PASSAGE_ORDERS
from ragmed.checked import checked_fields
from ragmed.comparison.prices import Prices
from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, MismatchError, UnknownNameError
from ragmed.experiments.config import plain
from ragmed.experiments.results import stored_settings
from ragmed.models.names import parse_model_name
from ragmed.runs import Run
from ragmed.tasks import NORMALISATIONS, OPTION_ORDERS, SCORINGS

PART = "described"
Plain = dict[str, Any]
_ARM = {
    "model": str, "context": CONTEXTS, "index": str, "k": int, "context_tokens": int, "passage_order": PASSAGE_ORDERS,
    "retriever": str,
}  # fmt: skip
_TASK = {
    "task": str, "file": str, "scoring": SCORINGS, "normalise": NORMALISATIONS, "options": OPTION_ORDERS, "shots": int,
}  # fmt: skip
_FACTS = {"source": str, "license": str, "held_out": int, "metrics": list}
_MODEL = {"name": str, "base": str}
_CORPUS = {"name": str, "sha256": str}
_SHAPES: dict[str, Mapping[str, Any]] = {"arms": _ARM, "tasks": _TASK, "facts": _FACTS, "models": _MODEL}


@dataclass(frozen=True, slots=True)
class Described:
    """A run as a log of it describes it: each part by name, plain values; `sources`: `adapters` and `indexes`, each
    name -> its corpora."""

    run: str
    arms: Mapping[str, Plain]
    tasks: Mapping[str, Plain]
    facts: Mapping[str, Plain]
    models: Mapping[str, Plain]
    sources: Mapping[str, Mapping[str, list[Plain]]]
    comparison: ComparisonSettings
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What an imported run takes on. `arms`, `tasks`: settings in the order of the original; `facts`, `references` as
    in run.json."""

    comparison: ComparisonSettings
    notes: tuple[str, ...]
    arms: Mapping[str, Plain] = field(default_factory=dict)
    tasks: Mapping[str, Plain] = field(default_factory=dict)
    facts: Mapping[str, Plain] = field(default_factory=dict)
    models: Mapping[str, Plain] = field(default_factory=dict)
    references: Mapping[str, Any] = field(default_factory=dict)


def described(run: Run) -> Plain:
    """
    >>> described(find_run(runs, "quickstart"))["comparison"]["baseline"]  # doctest: +SKIP
    'general'

    Plain JSON. Of a task's file only the name is there, which says whether two tasks ask the same questions.
    """
    info = run.info()
    experiment, references = info["experiment"], info.get("references", {})
    given = {**{part: experiment.get(part, {}) for part in _SHAPES}, "facts": info["tasks"]}
    return {
        "run": run.name,
        **{
            part: {name: _kept(one, shape) for name, one in given[part].items()}
            for part, shape in _SHAPES.items()
        },
        "sources": {
            kind: {
                name: [_kept(corpus, _CORPUS) for corpus in one.get("corpora") or []]
                for name, one in references.get(kind, {}).items()
            }
            for kind in ("adapters", "indexes")
        },
        "comparison": plain(stored_settings(run)),
        "notes": list(info.get("imported", {}).get("notes", [])),
    }  # fmt: skip


def read_described(header: Any, where: str) -> Described | None:
    """What `described` wrote under `header["described"]`; None where nothing is there, as in logs of the programs
    themselves. A RagmedError, naming `where`, for what it cannot have written."""
    if not isinstance(header, Mapping) or PART not in header:
        return None
    given = header[PART]
    where = f"{where}, '{PART}'"
    parts = {part: _each(given, part, where) for part in (*_SHAPES, "sources")}
    read = {
        part: {name: _read(one, shape, f"{where}, {part}, {name}") for name, one in parts[part].items()}
        for part, shape in _SHAPES.items()
    }
    for model in read["models"].values():
        if model.get("name"):
            parse_model_name(model["name"])
    sources = {
        kind: {
            name: [_read(one, _CORPUS, f"{where}, {kind}, {name}") for one in _list(listed, f"{where}, {kind}")]
            for name, listed in _each(parts["sources"], kind, where).items()
        }
        for kind in ("adapters", "indexes")
    }
    notes = _list(given.get("notes"), f"{where}, notes")
    return Described(
        run=str(given.get("run", "")),
        **read,
        sources=sources,
        comparison=_comparison(given.get("comparison"), f"{where}, comparison"),
        notes=tuple(note for note in notes if isinstance(note, str)),
    )


def taken_on(
    origins: Mapping[str, tuple[Described, str]],
    arms: Sequence[str],
    *,
    guess: ComparisonSettings,
    baseline: str | None,
) -> Known:
    """
    >>> taken_on({}, ["gpt2", "llama"], guess=ComparisonSettings("gpt2"), baseline="llama").comparison.baseline
    'llama'

    `origins`: arm -> the run its log was exported from and its name there; `guess`: the comparison of logs that say
    nothing of it. A comparison is taken on where all that is described is one run; arms that are not there are left
    out of it, with a note. UnknownNameError where `baseline` is no arm; MismatchError where two runs asked a task
    differently.
    """
    if baseline is not None and baseline not in arms:
        raise UnknownNameError("arm", baseline, arms, "the arms of these logs")
    runs: list[Described] = []
    for one, _ in origins.values():
        runs += [one] if one not in runs else []
    settings = replace(
        guess,
        binary_metrics=guess.binary_metrics.union(*(run.comparison.binary_metrics for run in runs)),
        descriptive_metrics=guess.descriptive_metrics.union(*(run.comparison.descriptive_metrics for run in runs)),
    )
    names = {own: arm for arm, (_, own) in origins.items()}
    one_run = runs[0] if len(runs) == 1 and len(names) == len(origins) else None
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    if one_run:
        settings, said = _fitted(one_run, names, settings, arms)
        notes += said
    elif runs:
        notes.append(
            f"These logs are of several exports ({', '.join(run.run for run in runs)}): none of their comparisons is "
            "taken on."
        )
    if baseline is not None:
        settings = replace(
            settings, baseline=baseline, contrasts=(),
            baseline_arms=tuple(arm for arm in settings.baseline_arms if arm != baseline),
        )  # fmt: skip
        notes.append(f"The control is '{baseline}', as --baseline says.")
    elif not one_run and len(arms) > 1:
        notes.append(
            f"The control is '{settings.baseline}', the first arm in the order of the files, since the logs name none; "
            "another is named with --baseline."
        )
    return _known(origins, runs, settings, notes)


def _fitted(
    run: Described, names: Mapping[str, str], guess: ComparisonSettings, arms: Sequence[str]
) -> tuple[ComparisonSettings, list[str]]:
    """The run's comparison between those of its arms that are here, under their names here."""
    own = run.comparison
    notes = []
    absent = [arm for arm in run.arms if arm not in names]
    if absent:
        notes.append(f"Arms of run '{run.run}' that are not in these logs: {', '.join(absent)}.")
    beside = [names[arm] for arm in own.baseline_arms if arm in names]
    baseline = names.get(own.baseline) or next((arm for arm in arms if arm not in beside), arms[0])
    if own.baseline in names:
        notes.append(f"The control is '{baseline}', and the comparison is asked, as in run '{run.run}'.")
    else:
        notes.append(
            f"The control of run '{run.run}', '{own.baseline}', is not in these logs: '{baseline}' stands in for it; "
            "another is named with --baseline."
        )
    contrasts = tuple((names[a], names[b]) for a, b in own.contrasts if a in names and b in names)
    factorials = tuple(
        (names[a], names[b], names[c], names[d]) for a, b, c, d in own.factorials if names.keys() >= {a, b, c, d}
    )
    for what, had, found in (("contrasts", own.contrasts, contrasts), ("factorials", own.factorials, factorials)):
        if len(found) < len(had):
            notes.append(
                f"{len(had) - len(found)} of {len(had)} {what} of run '{run.run}' name arms that are not in these "
                "logs, and are left out."
            )
    fitted = replace(
        own, baseline=baseline, contrasts=contrasts, factorials=factorials,
        baseline_arms=tuple(arm for arm in beside if arm != baseline),
        binary_metrics=guess.binary_metrics, descriptive_metrics=guess.descriptive_metrics,
    )  # fmt: skip
    return fitted, notes


def _known(
    origins: Mapping[str, tuple[Described, str]],
    runs: Sequence[Described],
    settings: ComparisonSettings,
    notes: Sequence[str],
) -> Known:
    """Of several runs, models and indexes are named RUN/NAME, since two may give one name to different things."""
    tasks: dict[str, Plain] = {}
    facts: dict[str, Plain] = {}
    models: dict[str, Plain] = {}
    references: dict[str, dict[str, Any]] = {"adapters": {}, "indexes": {}}
    for run in runs:
        prefix = f"{run.run}/" if len(runs) > 1 else ""
        for task, one in run.tasks.items():
            for key in ("scoring", "normalise", "options"):
                if tasks.setdefault(task, one).get(key) != one.get(key):
                    raise MismatchError(f"the logs are of runs that asked task '{task}' differently ({key})")
        facts = {**run.facts, **facts}
        models |= {prefix + name: one for name, one in run.models.items()}
        for kind, made in references.items():
            made |= {prefix + name: {"corpora": listed} for name, listed in run.sources[kind].items()}
    order = [(runs.index(run), list(run.arms).index(own), arm) for arm, (run, own) in origins.items()]
    arms = {}
    for number, _, arm in sorted(order):
        run, own = origins[arm]
        prefix = f"{runs[number].run}/" if len(runs) > 1 else ""
        named = {key: prefix + run.arms[own][key] for key in ("model", "index") if run.arms[own].get(key)}
        arms[arm] = {**run.arms[own], **named}
    return Known(settings, tuple(notes), arms, tasks, facts, models, references)


def _kept(given: Mapping[str, Any], shape: Mapping[str, Any]) -> Plain:
    kept = {key: given[key] for key in shape if key in given}
    return {**kept, "file": Path(str(kept["file"])).name} if kept.get("file") else kept


def _each(given: Any, part: str, where: str) -> Mapping[str, Any]:
    found = given.get(part) if isinstance(given, Mapping) else None
    if not isinstance(found, Mapping):
        raise DataError(f"{where} has no mapping '{part}'; export the run again")
    return found


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise DataError(f"{where} is no list; export the run again")
    return given


def _read(given: Any, shape: Mapping[str, Any], where: str) -> Plain:
    """The parts of `shape` that are there, each of its type or one of its words; others are passed over."""
    if not isinstance(given, Mapping):
        raise DataError(f"{where} is no mapping; export the run again")
    found = _kept(given, shape)
    for key, value in found.items():
        kind = shape[key]
        if kind is int:
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
        elif kind is list:
            fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        else:
            fits = isinstance(value, str) and (kind is str or value in kind)
        if not fits:
            raise DataError(f"{where}: {key} = {repr(value)[:60]} is none of ours; export the run again")
    return found


def _comparison(given: Any, where: str) -> ComparisonSettings:
    if not isinstance(given, Mapping):
        raise DataError(f"{where} is no mapping; export the run again")
    values = {key: value for key, value in given.items() if key != "prices"}
    prices = Prices(**checked_fields(Prices, given.get("prices", {}), f"{where}, prices"))
    fields = {"baseline": "", **checked_fields(ComparisonSettings, values, where), "prices": prices}
    if any(len(pair) != 2 for pair in fields.get("contrasts", ())):
        raise DataError(f"{where}: a contrast is a pair of arms; export the run again")
    return ComparisonSettings(**fields)
