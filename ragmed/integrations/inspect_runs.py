"""Logs of inspect_ai in, a run out: an arm for each model, an example for each sample and epoch.

inspect_ai itself reads the logs. A scorer's values become numbers as it makes them (`value_to_float`: C 1, P 0.5, I and
N 0). What it left out of its accuracy, samples that failed and samples without a value, has no score here and is an
`error`; the run's policy leaves errors out, so that the numbers are the printed ones.

A scorer may be anything, a model that grades too: its numbers are kept, and the reader is `recorded`. Where one of our
readers gives the very same statuses and numbers for every sample of a task, as it does for letters that inspect_ai's
`choice` reads, that is the task's reader, and `ragmed score` makes them again.
"""

from __future__ import annotations

import importlib
import math
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ragmed.comparison.settings import ComparisonSettings
from ragmed.corpora.archives import Budget
from ragmed.errors import DataError, MismatchError, MissingDependencyError
from ragmed.files import require_file, sha256_file
from ragmed.integrations.foreign import ForeignTask, control, foreign_metric, reader_of, unknown_costs, write_run
from ragmed.integrations.inspect_samples import as_number, read_example, read_sample, read_score, without_score
from ragmed.integrations.reading import is_finite, reading
from ragmed.metrics import metric_facts
from ragmed.records import Access, Answer, Example, Sample, Score
from ragmed.runs import Run
from ragmed.scores import RECORDED
from ragmed.text_table import counted, verb

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

TOLERANCE = 1e-12
MEANS = ("accuracy", "mean")
SPREADS = {"stderr", "std", "var", "bootstrap_stderr"}
NO_LOGS = ("logs.json", "listing.json", "eval-set.json")  # what inspect_ai writes into log folders beside logs


@dataclass(frozen=True, slots=True)
class _Log:
    """`header`: the log without its samples."""

    path: Path
    header: EvalLog

    @property
    def model(self) -> str:
        return str(self.header.eval.model)

    @property
    def task(self) -> str:
        return str(self.header.eval.task)

    def replaces(self) -> tuple[tuple[str, str, str], ...]:
        """What a log must share with another to stand for it: model, task, and the folder or the task's id."""
        ids = (str(self.path.resolve().parent), f"id {self.header.eval.task_id}")
        return tuple((self.model, self.task, id_) for id_ in ids)

    @property
    def finished(self) -> bool:
        return self.header.status == "success" and self.header.results is not None


@dataclass(frozen=True, slots=True)
class _Metric:
    """What one scorer gave, or one field of it. `printed`: (what it is called, value, whether epochs were averaged)."""

    name: str
    scorer: str
    key: str | None
    printed: tuple[tuple[str, float, bool], ...]


@dataclass(slots=True)
class _Taken:
    """What has been read so far. `asked`: task -> id -> example. `notes`: in order."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    scores: dict[tuple[str, str], list[Score]] = field(default_factory=dict)
    asked: dict[str, dict[str, Example]] = field(default_factory=dict)
    metrics: dict[str, dict[str, None]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def import_inspect(
    paths: Sequence[Path], *, output: Path, access: Access = "private", baseline: str | None = None
) -> Run:
    """
        run = import_inspect([Path("logs")], output=Path("runs/inspect"))

    `paths`: logs (`.eval`, `.json`), or folders of them; a log that was not finished is left out, with a note, where
    another of its model and task was, in the same folder or under the same task id. Arms are the models' names; where
    one has several logs of a task, the folder stands behind it, or the file's name where the folder is the same. Where
    there are epochs, examples are `ID#EPOCH` in a group of their ID, and resampled together. The metric is `accuracy`
    or `mean`, as printed; where there are several scorers, or a scorer gives several values, each metric has the name
    under which it was printed. What is neither is not checked, and a note says so. `baseline`: the control; else the
    first arm, which a note says.

    Raises MissingDependencyError without inspect_ai, DataError for a log that is damaged or not finished, MismatchError
    where the printed value is not what the samples come to (to 1e-12), or where models were asked different questions,
    UnknownNameError where `baseline` is no arm.
    """
    taken = _Taken()
    logs = _logs(paths, taken)
    named = _named(logs)
    for arm, log in named:
        _take(arm, log, taken)
    arms = {arm: {"model": log.model} for arm, log in named}
    baseline, notes = control(list(arms), baseline)
    return write_run(
        output,
        samples=taken.samples,
        scores=taken.scores,
        arms=arms,
        tasks={task: _task(task, taken) for task in taken.asked},
        comparison=ComparisonSettings(baseline),
        origin={
            "kind": "inspect",
            "files": [{"name": log.path.name, "sha256": sha256_file(log.path)} for log in logs],
            "notes": [*notes, *taken.notes, *unknown_costs(taken.samples)],
        },
        access=access,
    )


def _task(task: str, taken: _Taken) -> ForeignTask:
    samples = [sample for (_, of), given in taken.samples.items() if of == task for sample in given]
    scores = [score for (_, of), given in taken.scores.items() if of == task for score in given]
    metrics = list(taken.metrics[task])
    reader = reader_of(samples, scores, metrics)
    answers = [(sample.example, score) for sample, score in zip(samples, scores, strict=True)]
    facts = [foreign_metric(metric, answers) for metric in metrics]
    return ForeignTask(
        list(taken.asked[task].values()),
        reader,
        tuple(facts) if reader == RECORDED else metric_facts(metrics),
        taken.sources[task],
    )


def _logs(paths: Sequence[Path], taken: _Taken) -> list[_Log]:
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"'{path}' does not exist; name the logs of inspect_ai, or their folder")
        files += [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if _is_log(file)]
    if not files:
        raise DataError(f"no logs (.eval, .json) in {', '.join(map(str, paths))}; name the folder of --log-dir")
    logs = [_Log(file, _read(file, header_only=True)) for file in files]
    # What replaced a log lies beside it, or has its id, as `inspect eval-retry` gives it.
    finished = {key: log.path.name for log in logs if log.finished for key in log.replaces()}
    for log in logs:
        if not log.task:
            raise DataError(f"'{log.path}' does not say which task it is of; run the evaluation again")
        if log.finished:
            continue
        instead = next((finished[key] for key in log.replaces() if key in finished), "")
        if not instead:
            raise DataError(
                f"'{log.path}' has the status '{log.header.status}' and no complete results; finish it with `inspect "
                "eval-retry`, or score it with `inspect score`"
            )
        taken.notes[
            f"'{log.path.name}' was not finished and is left out: '{instead}' is of the same model and task."
        ] = None
    return [log for log in logs if log.finished]


def _is_log(file: Path) -> bool:
    return file.suffix in (".eval", ".json") and file.name not in NO_LOGS and not file.name.startswith(".")


def inspect_log() -> ModuleType:
    """`inspect_ai.log`, imported now; MissingDependencyError names the extra."""
    try:
        return importlib.import_module("inspect_ai.log")
    except ImportError as error:
        raise MissingDependencyError("logs of inspect_ai need: pip install 'ragmed[inspect]'") from error


def _read(path: Path, *, header_only: bool) -> EvalLog:
    read_eval_log = inspect_log().read_eval_log
    require_file(path, "inspect log")
    remedy = "copy the log again, or name the logs of inspect_ai alone"
    # From a stream, a sample is unpacked to no more bytes than the archive says, and its checksum is compared.
    with reading(f"inspect log '{path}'", remedy=remedy), path.open("rb") as stream:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as archive:
                packed = path.stat().st_size
                Budget(str(path), lambda: packed).add(sum(entry.file_size for entry in archive.infolist()))
        stream.seek(0)
        return read_eval_log(stream, header_only=header_only, resolve_attachments="core")


def _named(logs: Sequence[_Log]) -> list[tuple[str, _Log]]:
    """Each log with its arm: the model; where it has several logs of one task, its folder or else the file beside."""
    arms = [log.model for log in logs]
    for places in ([log.path.resolve().parent.name for log in logs], [log.path.stem for log in logs]):
        count = Counter((arm, log.task) for arm, log in zip(arms, logs, strict=True))
        several = {arm for (arm, _), times in count.items() if times > 1}
        longer = [f"{log.model} ({place})" for log, place in zip(logs, places, strict=True)]
        arms = [long if arm in several else arm for arm, long in zip(arms, longer, strict=True)]
    return list(zip(arms, logs, strict=True))


def _take(arm: str, log: _Log, taken: _Taken) -> None:
    if (arm, log.task) in taken.samples:
        raise MismatchError(f"'{log.path}': there is another log of '{arm}' on '{log.task}'; name the one that counts")
    metrics = _metrics(log, taken)
    inspected: dict[tuple[str, int], EvalSample] = {}
    for sample in _read(log.path, header_only=False).samples or []:
        if (str(sample.id), sample.epoch) in inspected:
            raise DataError(
                f"'{log.path}', sample {sample.id}: epoch {sample.epoch} of it is there twice; run the evaluation again"
            )
        inspected[str(sample.id), sample.epoch] = sample
    if not inspected:
        raise DataError(f"'{log.path}' holds no samples; run the evaluation again with --log-samples")
    epochs = len({epoch for _, epoch in inspected}) > 1
    numbers = {key: _numbers(sample, metrics, log, taken) for key, sample in inspected.items()}
    for metric in metrics:
        values = {key: given[metric.name] for key, given in numbers.items() if metric.name in given}
        _check(metric, values, log, taken)
    answers: dict[str, Answer] = {}
    for key, sample in inspected.items():
        example = read_example(sample, epochs=epochs)
        note = without_score(sample, numbers[key])
        answers[example.id] = Answer(
            read_sample(sample, example, arm=arm, task=log.task, model=log.model, note=note),
            read_score(sample, example, numbers[key], metrics=len(metrics)),
        )
    _keep(arm, log.task, answers, taken=taken)
    taken.metrics.setdefault(log.task, {}).update(dict.fromkeys(metric.name for metric in metrics))
    taken.sources.setdefault(log.task, f"inspect_ai {log.header.eval.packages.get('inspect_ai', '')}".strip())
    failed = sum(answer.score.status == "error" for answer in answers.values())
    if failed:
        taken.notes[
            f"'{arm}' on '{log.task}': {failed} of {counted(len(answers), 'sample')} {verb(failed, 'has', 'have')} "
            f"no score; inspect_ai left {verb(failed, 'it', 'them')} out, and "
            "so does this run's policy (error: drop)"
        ] = None
    if log.header.invalidated:
        taken.notes[f"'{log.path.name}' is marked as invalidated"] = None


def _metrics(log: _Log, taken: _Taken) -> list[_Metric]:
    """One for each scorer, or for each field of what it gives, with what was printed of it."""
    results = log.header.results
    if results is None or not results.scores:
        raise DataError(f"'{log.path}' has no scores; score it with `inspect score`")
    printed: dict[tuple[str, str], list[tuple[str, float, bool]]] = {}
    for score in results.scores:
        of_score = printed.setdefault((score.scorer, score.name), [])
        for metric in score.metrics.values():
            name = metric.name.rpartition("/")[2]
            if name in SPREADS or not is_finite(metric.value):
                continue
            if name in MEANS and not metric.params and score.reducer in (None, "mean") and not metric.group:
                of_score.append((name, float(metric.value), score.reducer == "mean"))
            else:
                how = f", epochs reduced by {score.reducer}" if score.reducer not in (None, "mean") else ""
                taken.notes[
                    f"{log.task}: {score.name}/{name} ({metric.value}{how}) is no mean over samples, and not imported."
                ] = None
    count = Counter(name for _, name in printed)
    metrics = []
    for (scorer, name), values in printed.items():
        alone = len(printed) == 1 and values
        label = values[0][0] if alone else name if count[name] == 1 else f"{scorer}/{name}"
        if not values:
            taken.notes[
                f"{log.task}: nothing printed of '{name}' is a mean over samples: its values are not checked."
            ] = None
        metrics.append(_Metric(label, scorer, name if name != scorer else None, tuple(values)))
    return metrics


def _numbers(sample: EvalSample, metrics: Sequence[_Metric], log: _Log, taken: _Taken) -> dict[str, float]:
    """Metric -> number, for the metrics that the sample has."""
    numbers: dict[str, float] = {}
    for metric in metrics:
        score = (sample.scores or {}).get(metric.scorer)
        if score is None:
            continue
        value = score.value.get(metric.key or metric.scorer) if isinstance(score.value, dict) else score.value
        number, readable = as_number(value)
        if not readable:
            taken.notes[
                f"'{log.path.name}': '{metric.name}' of sample {sample.id} is {str(value)[:40]!r}, no number; "
                "inspect_ai counts such values as 0, and so does this run"
            ] = None
        if number is not None and not math.isfinite(number):
            raise DataError(
                f"'{log.path}', sample {sample.id}: '{metric.name}' is {number}; it must be finite: correct the scorer"
            )
        if number is not None:
            numbers[metric.name] = number
    return numbers


def _check(metric: _Metric, values: Mapping[tuple[str, int], float], log: _Log, taken: _Taken) -> None:
    """The printed value is the mean over samples of the mean over epochs; where nothing was reduced, over them all."""
    by_id: dict[str, list[float]] = {}
    for (id_, _), value in values.items():
        by_id.setdefault(id_, []).append(value)
    if not by_id:
        return
    each = math.fsum(values.values()) / len(values)
    reduced = math.fsum(math.fsum(of_id) / len(of_id) for of_id in by_id.values()) / len(by_id)
    for name, printed, averaged in metric.printed:
        if min(abs(printed - mean) for mean in ((reduced,) if averaged else (reduced, each))) > TOLERANCE:
            raise MismatchError(
                f"'{log.path}', task '{log.task}', '{metric.name}': {name} {printed!r} was printed, but the samples "
                f"come to {reduced!r}; the log was changed, or scored by another rule"
            )
        if abs(each - printed) > TOLERANCE:
            taken.notes[
                f"{log.task}, '{metric.name}': printed was {printed}, the mean over examples of the mean over their "
                f"epochs; not all have as many epochs, and the mean over all answers, as here, is {each}"
            ] = None


def _keep(arm: str, task: str, answers: Mapping[str, Answer], *, taken: _Taken) -> None:
    """Models are compared on the same questions, in the order of the first one's log."""
    first = next((other for other, of in taken.samples if of == task), arm)
    asked = {id_: answer.example for id_, answer in answers.items()}
    known = taken.asked.setdefault(task, asked)
    if asked.keys() != known.keys():
        raise MismatchError(
            f"task '{task}': '{arm}' was asked {counted(len(asked), 'sample')} and '{first}' "
            f"{len(known)}, not the same ones; run "
            "both with the same --limit and --epochs, or import them apart"
        )
    other = next((example for example in known if known[example] != asked[example]), None)
    if other is not None:
        raise MismatchError(
            f"task '{task}': sample {other} of '{arm}' is not what '{first}' was asked: input, choices or target "
            "differ; run both on one version of the data"
        )
    taken.samples[arm, task] = [answers[id_].sample for id_ in known]
    taken.scores[arm, task] = [answers[id_].score for id_ in known]
