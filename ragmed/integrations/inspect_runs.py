"""Logs of inspect_ai in, a run out: an arm for each model, an example for each sample and epoch.

A scorer's values become numbers as inspect_ai makes them (`value_to_float`: C 1, P 0.5, I and N 0). What it left out
of its accuracy, samples that failed and samples without a value, has no score here and is an `error`; the run's policy
leaves errors out, so that the numbers are the printed ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, MismatchError
from ragmed.files import sha256_file
from ragmed.integrations.carried import KEY, is_finite
from ragmed.integrations.described import Described, read_described, taken_on
from ragmed.integrations.foreign import ForeignTask, unknown_costs, write_run, zero_or_one
from ragmed.integrations.inspect_files import InspectLog, read_log
from ragmed.integrations.inspect_samples import Read, as_number, read_sample
from ragmed.records import Access, Sample
from ragmed.runs import Run

TOLERANCE = 1e-12
MEANS = ("accuracy", "mean")
SPREADS = {"stderr", "std", "var", "bootstrap_stderr"}


@dataclass(frozen=True, slots=True)
class _Metric:
    """What one scorer gave, or one field of it. `printed`: (what it is called, value, whether epochs were averaged)."""

    name: str
    scorer: str
    key: str | None
    printed: tuple[tuple[str, float, bool], ...]


@dataclass(slots=True)
class _Taken:
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    asked: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, None]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def import_inspect(
    paths: Sequence[Path], *, output: Path, access: Access = "private", baseline: str | None = None
) -> Run:
    """
    >>> import_inspect([Path("logs")], output=Path("runs/inspect"))  # doctest: +SKIP
    Run(folder=PosixPath('runs/inspect'), access='private')

    `paths`: logs (`.eval`, `.json`), or folders of them. Arms are the models' names; where one has several logs of a
    task, the folder stands behind it, or the file's name where the folder is the same. Where there are epochs, examples
    are `ID#EPOCH` in a group of their ID, and resampled together. The metric is `accuracy` or `mean`, as printed; where
    there are several scorers, or a scorer gives several values, each metric has the name under which it was printed.
    What is neither is not checked, and a note says so. `baseline`: the control; else that of the run which the logs
    were exported from, with the rest of its settings, or the first arm, which a note says. Raises DataError for a log
    that is damaged or not finished, MismatchError where the printed value is not what the samples come to (to 1e-12),
    or where models were asked different questions.
    """
    logs = _logs(paths)
    taken = _Taken()
    named = _named(logs)
    for arm, log in named:
        _take(arm, log, taken)
    arms = dict.fromkeys(arm for arm, _ in taken.samples)
    models = {arm: str(log.header["eval"].get("model")) for arm, log in named}
    origins = {arm: found for arm, log in named if (found := _origin(log))}
    guess = ComparisonSettings(
        next(iter(arms)), policy={"error": "drop"}, binary_metrics=zero_or_one(taken.samples, origins)
    )
    known = taken_on(origins, list(arms), guess=guess, baseline=baseline)
    return write_run(
        output,
        samples=taken.samples,
        arms={arm: {"model": models[arm]} for arm in arms},
        tasks={
            task: ForeignTask(
                [[id_, *one] for id_, one in asked.items()], tuple(taken.metrics[task]), taken.sources[task]
            )
            for task, asked in taken.asked.items()
        },
        comparison=known.comparison,
        known=known,
        origin={
            "kind": "inspect",
            "files": [{"name": log.path.name, "sha256": sha256_file(log.path)} for log in logs],
            "notes": [*taken.notes, *unknown_costs(taken.samples, origins)],
        },
        access=access,
    )


def _logs(paths: Sequence[Path]) -> list[InspectLog]:
    found = []
    for path in paths:
        if not path.exists():
            raise DataError(f"'{path}' does not exist; name the logs of inspect_ai, or their folder")
        inside = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".eval", ".json"))
        found += [file for file in inside if path.is_file() or not _is_beside(file)]
    if not found:
        raise DataError(f"no logs (.eval, .json) in {', '.join(map(str, paths))}")
    return [read_log(file) for file in found]


def _is_beside(file: Path) -> bool:
    """What inspect writes into log folders that is no log."""
    return file.name in ("logs.json", "listing.json", "eval-set.json") or file.name.startswith(".")


def _named(logs: Sequence[InspectLog]) -> list[tuple[str, InspectLog]]:
    """Each log with its arm: the model; where it has several logs of one task, its folder or else the file beside."""
    plain = [str(_own(log).get("arm") or log.header["eval"].get("model")) for log in logs]
    folders = [log.path.resolve().parent.name for log in logs]
    arms = plain
    for places in (folders, [log.path.stem for log in logs]):
        count = Counter((arm, _task(log)) for arm, log in zip(arms, logs, strict=True))
        several = {arm for (arm, _), times in count.items() if times > 1}
        longer = [f"{arm} ({place})" for arm, place in zip(plain, places, strict=True)]
        arms = [long if arm in several else arm for arm, long in zip(arms, longer, strict=True)]
    return list(zip(arms, logs, strict=True))


def _own(log: InspectLog) -> Mapping[str, Any]:
    metadata = log.header["eval"].get("metadata") if isinstance(log.header["eval"], dict) else None
    own = metadata.get(KEY) if isinstance(metadata, dict) else None
    return own if isinstance(own, dict) else {}


def _origin(log: InspectLog) -> tuple[Described, str] | None:
    """The run of ours that a log was exported from, and the arm's name in it."""
    arm, found = str(_own(log).get("arm")), read_described(_own(log), f"'{log.path}'")
    return (found, arm) if found and arm in found.arms else None


def _task(log: InspectLog) -> str:
    if not isinstance(log.header["eval"], dict) or not log.header["eval"].get("task"):
        raise DataError(f"'{log.path}' is no log of inspect_ai: it does not say which task it is of")
    return str(_own(log).get("task") or log.header["eval"]["task"])


def _take(arm: str, log: InspectLog, taken: _Taken) -> None:
    task = _task(log)
    if (arm, task) in taken.samples:
        raise MismatchError(f"'{log.path}': there is another log of '{arm}' on '{task}'; name the one that counts")
    metrics = _metrics(log, task, taken)
    read: dict[tuple[str, int], Read] = {}
    for number, record in enumerate(log.samples(), 1):
        where = f"'{log.path}', sample {record.get('id', number)}"
        one = read_sample(record, arm=arm, model=str(log.header["eval"].get("model")), where=where)
        if (one.id, one.epoch) in read:
            raise DataError(f"{where}: epoch {one.epoch} of it is there twice")
        read[one.id, one.epoch] = one
    if not read:
        raise DataError(f"'{log.path}' holds no samples; run the evaluation again with --log-samples")
    epochs = len({epoch for _, epoch in read}) > 1
    values = {key: _values(one, metrics, log, taken) for key, one in read.items()}
    for metric in metrics:
        _check(metric, {key: found[metric.name] for key, found in values.items() if metric.name in found}, log, taken)
    samples: dict[str, Sample] = {}
    mine: dict[str, tuple[str, ...]] = {}
    for key, one in read.items():
        sample = one.scored(task, values[key], len(metrics), epochs=epochs, where=f"'{log.path}', sample {one.id}")
        samples[sample.example] = sample
        mine[sample.example] = ("" if one.kept else one.question, sample.gold, *sample.options)
    _keep(arm, task, samples, mine, taken)
    taken.metrics.setdefault(task, {}).update(dict.fromkeys(metric.name for metric in metrics))
    version = log.header["eval"].get("packages")
    taken.sources.setdefault(task, f"inspect_ai {version.get('inspect_ai', '') if isinstance(version, dict) else ''}")
    _say_left_out(arm, task, list(samples.values()), log, taken)


def _metrics(log: InspectLog, task: str, taken: _Taken) -> list[_Metric]:
    """One for each scorer, or for each field of what it gives, with what was printed of it."""
    printed: dict[tuple[str, str], list[tuple[str, float, bool]]] = {}
    for score in _scores(log):
        scorer, name, reducer = str(score["scorer"]), str(score["name"]), score.get("reducer")
        of_score = printed.setdefault((scorer, name), [])
        for metric in score["metrics"].values():
            called, value = str(metric.get("name")).rpartition("/")[2], metric.get("value")
            if called in SPREADS or not is_finite(value):
                continue
            if called in MEANS and not metric.get("params") and reducer in (None, "mean") and not metric.get("group"):
                of_score.append((called, float(value), reducer == "mean"))
            else:
                how = f", epochs reduced by {reducer}" if reducer not in (None, "mean") else ""
                taken.notes[f"{task}: {name}/{called} ({value}{how}) is no mean over samples, and not taken over."] = (
                    None
                )
    count = Counter(name for _, name in printed)
    found = []
    for (scorer, name), values in printed.items():
        alone = len(printed) == 1 and not _own(log) and values
        label = values[0][0] if alone else name if count[name] == 1 else f"{scorer}/{name}"
        if not values:
            taken.notes[f"{task}: nothing printed of '{name}' is a mean over samples: its values are not checked."] = (
                None
            )
        found.append(_Metric(label, scorer, name if name != scorer else None, tuple(values)))
    return found


def _scores(log: InspectLog) -> list[dict[str, Any]]:
    scores = log.header["results"].get("scores")
    for score in scores if isinstance(scores, list) else []:
        fits = isinstance(score, dict) and {"name", "scorer", "metrics"} <= score.keys()
        metrics = score["metrics"] if fits else None
        if not isinstance(metrics, dict) or not all(isinstance(one, dict) for one in metrics.values()):
            raise DataError(f"'{log.path}': results.scores is of another shape; inspect_ai 0.3.69 to 0.3.285 are read")
    if not isinstance(scores, list) or not scores:
        raise DataError(f"'{log.path}' has no scores; score it with `inspect score`")
    return list(scores)


def _values(one: Read, metrics: Sequence[_Metric], log: InspectLog, taken: _Taken) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in metrics:
        if metric.scorer not in one.scores:
            continue
        value = one.scores[metric.scorer]["value"]
        if isinstance(value, dict):
            value = value.get(metric.key or metric.scorer)
        number, readable = as_number(value)
        if not readable:
            taken.notes[
                f"'{log.path.name}': '{metric.name}' of sample {one.id} is {str(value)[:40]!r}, no number; "
                "inspect_ai counts such values as 0, and so does this run"
            ] = None
        if number is not None and not math.isfinite(number):
            raise DataError(f"'{log.path}', sample {one.id}: '{metric.name}' is {number}; it must be finite")
        if number is not None:
            found[metric.name] = number
    return found


def _check(metric: _Metric, values: Mapping[tuple[str, int], float], log: InspectLog, taken: _Taken) -> None:
    """The printed value is the mean over samples of the mean over epochs; where nothing was reduced, over them all."""
    by_id: dict[str, list[float]] = {}
    for (id_, _), value in values.items():
        by_id.setdefault(id_, []).append(value)
    if not by_id:
        return
    each = math.fsum(values.values()) / len(values)
    reduced = math.fsum(math.fsum(some) / len(some) for some in by_id.values()) / len(by_id)
    for called, printed, averaged in metric.printed:
        if min(abs(printed - one) for one in ((reduced,) if averaged else (reduced, each))) > TOLERANCE:
            raise MismatchError(
                f"'{log.path}', task '{_task(log)}', '{metric.name}': {called} {printed!r} was printed, but the "
                f"samples come to {reduced!r}; the log was changed, or scored by another rule"
            )
        if abs(each - printed) > TOLERANCE:
            taken.notes[
                f"{_task(log)}, '{metric.name}': printed was {printed}, the mean over examples of the mean over their "
                f"epochs; not all have as many epochs, and the mean over all answers, as here, is {each}"
            ] = None


def _keep(
    arm: str, task: str, samples: Mapping[str, Sample], mine: Mapping[str, tuple[str, ...]], taken: _Taken
) -> None:
    first = next((other for other, of in taken.samples if of == task), arm)
    asked = taken.asked.setdefault(task, dict(mine))
    if mine.keys() != asked.keys():
        raise MismatchError(
            f"task '{task}': '{arm}' was asked {len(mine)} samples and '{first}' {len(asked)}, not the same ones; run "
            "both with the same --limit and --epochs, or import them apart"
        )
    other = next((id_ for id_ in asked if asked[id_] != mine[id_]), None)
    if other is not None:
        raise MismatchError(
            f"task '{task}': sample {other} of '{arm}' is not what '{first}' was asked: input, choices or target "
            "differ; run both on one version of the data"
        )
    taken.samples[arm, task] = [samples[id_] for id_ in asked]


def _say_left_out(arm: str, task: str, samples: Sequence[Sample], log: InspectLog, taken: _Taken) -> None:
    failed = sum(sample.status == "error" for sample in samples)
    if failed and not _origin(log):  # what a run of ours does with them, its own policy says
        taken.notes[
            f"'{arm}' on '{task}': {failed} of {len(samples)} samples have no score; inspect_ai left them out, and so "
            "does this run's policy (error: drop)"
        ] = None
    if log.header.get("invalidated"):
        taken.notes[f"'{log.path.name}' is marked as invalidated"] = None
