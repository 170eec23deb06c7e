"""Logs of lm-evaluation-harness in, a run out: an arm for each model, the harness's own scores on each sample.

    PATH/MODEL/results_DATE.json          what was printed; model, tasks, settings
    PATH/MODEL/samples_TASK_DATE.jsonl    a line for each document and filter, written with --log_samples

Read from what lm_eval 0.4.13 writes (lm_eval/loggers/evaluation_tracker.py, lm_eval/evaluator.py; also with tokens,
hashes or metric lists missing, as older versions leave them out). A score is taken over only where the printed value
is the mean of the samples' values, and that is checked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, MismatchError
from ragmed.files import BadLine, read_json, read_jsonl, sha256_file
from ragmed.integrations.carried import KEY, is_finite
from ragmed.integrations.described import Described, read_described, taken_on
from ragmed.integrations.foreign import ForeignTask, unknown_costs, write_run, zero_or_one
from ragmed.integrations.lm_eval_samples import Asked, Line, read_line
from ragmed.records import Access, Sample
from ragmed.runs import Run

TOLERANCE = 1e-12
# What lm_eval/api/metrics.py registers with the aggregation `mean`, for tasks that name none.
MEANS = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "likelihood"}


@dataclass(frozen=True, slots=True)
class _Log:
    """One results file. `tasks`: those that were asked themselves, not the groups made of them. `own`: the run it was
    exported from."""

    file: Path
    model: str
    arm: str
    data: Mapping[str, Any]
    tasks: tuple[str, ...]
    own: Described | None

    def of(self, part: str, task: str) -> Any:
        found = self.data.get(part)
        return found.get(task) if isinstance(found, dict) else None


@dataclass(slots=True)
class _Taken:
    """What has been read so far. `asked`: task -> document -> what tells it from another of the same number."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    asked: dict[str, dict[str, Asked]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    scoring: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, dict[str, bool]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    differ: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def import_lm_eval(path: Path, *, output: Path, access: Access = "private", baseline: str | None = None) -> Run:
    """
    >>> import_lm_eval(Path("logs"), output=Path("runs/harness"))  # doctest: +SKIP
    Run(folder=PosixPath('runs/harness'), access='private')

    `path`: a results file, or a folder with any number of them. Arms are the models' names, with the folder behind
    them where one model was asked the same task twice; tasks keep their names, and are `TASK/FILTER` where a task has
    several filters; examples are named by `doc_id`. Metrics keep their names and values. One that is no mean over
    samples (BLEU, F1, perplexities, standard errors) is left out, with a note. An answer that no filter could read is
    `unparsed` where all its scores are 0. `baseline`: the control; else that of the run which the logs were exported
    from, with the rest of its settings, or the first arm, which a note says. Raises DataError where a file is missing,
    cut or of another shape, MismatchError where the mean of the samples is not what was printed (to 1e-12), or where
    models were asked different documents.
    """
    taken, logs = _Taken(), _logs(path)
    for log in logs:
        taken.files.append(log.file)
        for task in log.tasks:
            _take_task(log, task, taken)
    if not taken.samples:
        raise DataError(f"nothing in '{path}' has scores by sample: {' '.join(taken.notes)}")
    asked = {arm for arm, _ in taken.samples}
    arms = {log.arm: {"model": log.model} for log in logs if log.arm in asked}
    origins = {log.arm: (log.own, log.model) for log in logs if log.arm in asked and log.own}
    known = taken_on(origins, list(arms), guess=_comparison(taken, next(iter(arms)), origins), baseline=baseline)
    return write_run(
        output,
        samples=taken.samples,
        arms=arms,
        tasks={task: _foreign_task(task, taken) for task in dict.fromkeys(task for _, task in taken.samples)},
        comparison=known.comparison,
        known=known,
        origin={
            "kind": "lm-eval",
            "files": [{"name": file.name, "sha256": sha256_file(file)} for file in taken.files],
            "notes": [
                *taken.notes,
                *unknown_costs(taken.samples, origins),
                *(
                    f"Prompts of '{arm}' are not those of '{first}': {', '.join(tasks)}."
                    for (arm, first), tasks in taken.differ.items()
                ),
            ],
        },
        access=access,
    )


def _logs(path: Path) -> list[_Log]:
    if not path.exists():
        raise DataError(f"'{path}' does not exist; name the folder that lm_eval was given as --output_path")
    files = [path] if path.is_file() else sorted(path.rglob("results_*.json"))
    if not files:
        raise DataError(f"no results_*.json in '{path}'; name the folder that lm_eval was given as --output_path")
    read = [(file, read_json(file, "results file")) for file in files]
    found = [(file, data, _tasks(file, data), _model(data)) for file, data in read]
    twice = Counter((model, task) for _, _, tasks, model in found for task in tasks)
    clashing = {model for (model, _), count in twice.items() if count > 1}
    logs = []
    for file, data, tasks, model in found:
        parts = file.parent.relative_to(path).parts if path.is_dir() else ()
        own = data.get("model_name_sanitized")
        folder = "/".join(parts[:-1] if len(parts) > 1 and parts[-1] == own else parts) or "."
        described = read_described(data.get(KEY), f"'{file}'")
        described = described if described and model in described.arms else None
        logs.append(_Log(file, model, f"{model} ({folder})" if model in clashing else model, data, tasks, described))
    for one, count in Counter((log.arm, task) for log in logs for task in log.tasks).items():
        if count > 1:
            same = [str(log.file) for log in logs if log.arm == one[0] and one[1] in log.tasks]
            raise MismatchError(
                f"'{one[0]}' was asked task '{one[1]}' more than once: {', '.join(same)}; name the file that counts, "
                "or put them into folders of their own"
            )
    return logs


def _tasks(file: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    results = data.get("results")
    if not isinstance(results, dict) or not all(isinstance(one, dict) for one in results.values()):
        raise DataError(f"'{file}' is no results file of lm_eval: it has no mapping 'results'")
    if "" in results:
        raise DataError(f"'{file}' has results of a task without a name; give it one, there and in its samples' file")
    subtasks, groups = data.get("group_subtasks"), data.get("groups")
    made_of = subtasks if isinstance(subtasks, dict) else {}
    grouped = {name for name, parts in made_of.items() if parts} | set(groups if isinstance(groups, dict) else ())
    return tuple(task for task in results if task not in grouped)


def _model(data: Mapping[str, Any]) -> str:
    config = data.get("config")
    config = config if isinstance(config, dict) else {}
    arguments = config.get("model_args")
    named = [
        data.get("model_name"),
        *(arguments.get(k) for k in ("pretrained", "model") if isinstance(arguments, dict)),
    ]
    if isinstance(arguments, str) and (match := re.search(r"(?:pretrained|model)=([^,]+)", arguments)):
        named.append(match[1])
    return str(next((name for name in [*named, config.get("model")] if name), "model"))


def _samples_file(log: _Log, task: str) -> Path:
    date = log.file.stem.rpartition("_")[2]
    name = f"samples_{task}_{date}.jsonl"
    file = log.file.parent / name
    if Path(name).name != name or not file.is_file():
        raise DataError(
            f"'{log.file}' has results of task '{task}', but there is no '{name}' beside it: the answers themselves "
            "are needed; run lm_eval again with --log_samples"
        )
    return file


def _take_task(log: _Log, task: str, taken: _Taken) -> None:
    file = _samples_file(log, task)
    taken.files.append(file)
    config = log.of("configs", task)
    config = config if isinstance(config, dict) else {}
    lines: dict[str, dict[str, Line]] = {}
    for item in read_jsonl(file, "samples file"):
        if isinstance(item, BadLine):
            raise DataError(f"'{file}', line {item.number}: {item.reason}; the file is cut or damaged")
        number, record = item
        line = read_line(record, arm=log.arm, where=f"'{file}', line {number}", config=config)
        of_filter = lines.setdefault(line.filter, {})
        if line.sample.example in of_filter:
            raise DataError(f"'{file}', line {number}: document {line.sample.example} is there twice")
        of_filter[line.sample.example] = line
    _refuse_cut(log, task, file, {name: len(found) for name, found in lines.items()})
    known = log.of(KEY, "tasks")
    own = known.get(task) if isinstance(known, dict) else None
    for filter_, found in lines.items():
        several = f"{task}/{filter_}" if len(lines) > 1 else task
        _take_filter(log, task, list(found.values()), taken, name=str(own) if own else several)


def _refuse_cut(log: _Log, task: str, file: Path, counts: Mapping[str, int]) -> None:
    size, sizes = log.data["results"][task].get("sample_len"), log.of("n-samples", task)
    expected = size if isinstance(size, int) else sizes.get("effective") if isinstance(sizes, dict) else None
    for filter_, count in counts.items():
        if isinstance(expected, int) and count != expected:
            raise DataError(
                f"'{file}' holds {count} samples of filter '{filter_}', but {expected} were asked: the file is cut"
            )


def _take_filter(log: _Log, task: str, lines: Sequence[Line], taken: _Taken, *, name: str) -> None:
    directions = log.of("higher_is_better", task)
    directions = directions if isinstance(directions, dict) else {}
    metrics = [
        metric
        for metric, printed in _printed(log, task, lines[0].filter).items()
        if _is_mean(log, task, metric, printed, lines, taken)
    ]
    if not metrics:
        taken.notes[f"{name}: left out, since nothing that was printed is a mean over its samples."] = None
        return
    upward = all(directions.get(metric) is not False for metric in metrics)
    samples = {line.sample.example: line.scored(name, metrics, upward=upward) for line in lines}
    mine = {line.sample.example: replace(line.asked, gold=samples[line.sample.example].gold) for line in lines}
    asked = taken.asked.setdefault(name, mine)
    _refuse_others(log, name, mine, taken)
    taken.samples[log.arm, name] = [samples[id_] for id_ in asked]
    version = log.of("versions", task)
    taken.sources.setdefault(name, f"lm-evaluation-harness {log.data.get('lm_eval_version', '')}, {task} {version}")
    taken.scoring.setdefault(name, lines[0].scoring)
    taken.metrics.setdefault(name, {}).update({metric: directions.get(metric) is not False for metric in metrics})


def _printed(log: _Log, task: str, filter_: str) -> dict[str, Any]:
    """Metric -> printed value: the keys are `METRIC,FILTER` and `METRIC_stderr,FILTER`."""
    parts = {key.rpartition(",")[::2]: value for key, value in log.data["results"][task].items() if "," in key}
    names = {metric for metric, of in parts if of == filter_}
    return {
        metric: value
        for (metric, of), value in parts.items()
        if of == filter_ and not (metric.endswith("_stderr") and metric.removesuffix("_stderr") in names)
    }


def _is_mean(log: _Log, task: str, metric: str, printed: Any, lines: Sequence[Line], taken: _Taken) -> bool:
    """Whether the printed value is the mean of the samples' values; MismatchError where it ought to be and is not."""
    values = [line.values.get(metric) for line in lines if metric in line.values or KEY not in line.extra]
    declared = _aggregation(log, task, metric)
    where = f"task '{task}', metric '{metric}', filter '{lines[0].filter}'"
    numbers = [value for value in values if value is not None]
    if declared not in ("", "mean") or len(numbers) < len(values) or not numbers or not _is_number(printed):
        how = f" (aggregation '{declared}')" if declared not in ("", "mean") else ""
        taken.notes[f"{where}: left out, it is no mean over samples{how}."] = None
        return False
    mean = math.fsum(numbers) / len(numbers)
    if abs(mean - printed) <= TOLERANCE * max(1.0, abs(printed)):
        return True
    if declared == "mean" or metric in MEANS:
        raise MismatchError(
            f"'{log.file}', {where}: {printed!r} was printed, but the mean of the {len(numbers)} samples is {mean!r}; "
            "the files are not of one evaluation, or were changed"
        )
    taken.notes[f"{where}: left out, what was printed ({printed!r}) is not the mean of the samples ({mean!r})."] = None
    return False


def _aggregation(log: _Log, task: str, metric: str) -> str:
    """What the task's file declares, `mean` for what has it by default, '' where nobody says."""
    config = log.of("configs", task)
    listed = config.get("metric_list") if isinstance(config, dict) else None
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and one.get("metric") == metric and one.get("aggregation"):
            return "mean" if one["aggregation"] == "mean" else str(one["aggregation"])
    return "mean" if metric in MEANS else ""


def _is_number(value: Any) -> bool:
    return is_finite(value) and not isinstance(value, bool)


def _refuse_others(log: _Log, name: str, mine: Mapping[str, Asked], taken: _Taken) -> None:
    """Arms are compared on the same documents; that their prompts differ is what a comparison may be about."""
    first = next((arm for arm, task in taken.samples if task == name), log.arm)
    theirs = taken.asked[name]
    if mine.keys() != theirs.keys():
        raise MismatchError(
            f"task '{name}': '{log.arm}' was asked {len(mine)} documents and '{first}' {len(theirs)}, not the same "
            "ones; run both with the same --limit and --samples, or import them apart"
        )
    for id_, asked in mine.items():
        if (asked.document, asked.gold) != (theirs[id_].document, theirs[id_].gold):
            raise MismatchError(
                f"task '{name}': document {id_} of '{log.arm}' is not the one that '{first}' was asked; run both on "
                "one version of the task"
            )
    differ = sum(asked.prompt != theirs[id_].prompt for id_, asked in mine.items())
    if differ:
        taken.differ.setdefault((log.arm, first), []).append(f"{name} ({differ} of {len(mine)})")


def _foreign_task(task: str, taken: _Taken) -> ForeignTask:
    return ForeignTask(
        [[id_, asked.question, asked.gold, asked.document] for id_, asked in taken.asked[task].items()],
        tuple(taken.metrics[task]),
        taken.sources[task],
        scoring=taken.scoring[task],
    )


def _comparison(taken: _Taken, baseline: str, origins: Collection[str]) -> ComparisonSettings:
    down = {metric for metrics in taken.metrics.values() for metric, upward in metrics.items() if not upward}
    return ComparisonSettings(
        baseline=baseline,
        binary_metrics=zero_or_one(taken.samples, origins),
        descriptive_metrics=frozenset(down),
    )
