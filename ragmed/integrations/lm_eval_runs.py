"""Logs of lm-evaluation-harness in, a run out: an arm for each model, the harness's own scores on each sample.

    PATH/MODEL/results_DATE.json          what was printed; model, tasks, settings
    PATH/MODEL/samples_TASK_DATE.jsonl    a line for each document and filter, written with --log_samples

    NAME_DATE.json, samples_TASK_DATE.jsonl           the same, where --output_path was NAME.json
    PATH/MODEL/samples_TASK_DATE.json                 0.4.3: the samples as one list
    PATH/results.json, PATH/MODELARGS_TASK.jsonl      0.4.0 to 0.4.2, the samples as one list, the filter not named

Read from what lm_eval 0.4.13 writes (lm_eval/loggers/evaluation_tracker.py, lm_eval/evaluator.py; also with tokens,
hashes or metric lists missing, as older versions leave them out). A number is taken over only where the printed value
is the mean of the samples' values, and that is checked.

The reader is `recorded`: numbers and what its filters read stay lm_eval's own, under its names, since one task has
several readings there (`acc` and `acc_norm` of the same log-likelihoods, one filter after another). Texts and
log-likelihoods are kept, so that `ragmed compare RUN --reader letter` (or `likelihood`) reads them in our way.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.checked import kind_found
from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, MismatchError
from ragmed.files import BadLine, parse_json, read_json, read_jsonl, read_text, require_file, sha256_file
from ragmed.integrations.foreign import ForeignTask, control, foreign_metric, unknown_costs, write_run
from ragmed.integrations.lm_eval_samples import Line, read_line
from ragmed.integrations.reading import is_finite
from ragmed.metrics import MetricFacts
from ragmed.records import Access, Example, Score
from ragmed.runs import Run
from ragmed.scores import RECORDED
from ragmed.text_table import counted

TOLERANCE = 1e-12
_DATED = re.compile(r"_\d{4}-\d\d-\d\dT[\d.-]+\Z")
_HEAD = 1024
PLACEHOLDER = "bypass"  # what lm_eval prints where it was run to score nothing
# What lm_eval/api/metrics.py registers with the aggregation `mean`, for tasks that name none.
MEANS = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "likelihood"}


@dataclass(frozen=True, slots=True)
class _Log:
    """One results file. `tasks`: those that were asked themselves, not the groups made of them."""

    file: Path
    model: str
    arm: str
    data: Mapping[str, Any]
    tasks: tuple[str, ...]

    def of(self, part: str, task: str) -> Any:
        by_task = self.data.get(part)
        return by_task.get(task) if isinstance(by_task, dict) else None

    def mapping_of(self, part: str, task: str) -> Mapping[str, Any]:
        value = self.of(part, task)
        return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class _Taken:
    """What has been read so far.

    `lines`: (arm, task) -> document -> its line. `measured`: (arm, task) -> its metrics. `metrics`: task -> metric ->
    whether higher is better. `differ`: (arm, first arm) -> tasks of which the prompts differ.
    """

    lines: dict[tuple[str, str], Mapping[str, Line]] = field(default_factory=dict)
    measured: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, dict[str, bool]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    differ: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def import_lm_eval(path: Path, *, output: Path, access: Access = "private", baseline: str | None = None) -> Run:
    """
        run = import_lm_eval(Path("logs"), output=Path("runs/harness"))

    `path`: a results file, a folder with any number of them, or what --output_path was. Arms are the models' names,
    with the folder behind them where one model was asked the same task twice; tasks keep their names, and are
    `TASK/FILTER` where a task has several filters; examples are named by `doc_id`. Metrics keep their names and
    numbers. One that is no mean over samples (BLEU, F1, perplexities, standard errors) is left out, with a note. An
    answer that no filter could read is `unparsed` where all its scores are 0. `baseline`: the control; else the first
    arm, which a note says.

    Raises DataError where a file is missing, cut or of another shape, MismatchError where the mean of the samples is
    not what was printed (to 1e-12), or where models were asked different documents, UnknownNameError where `baseline`
    is no arm.
    """
    taken, logs = _Taken(), _logs(path)
    for log in logs:
        taken.files.append(log.file)
        for task in log.tasks:
            _take_task(log, task, taken)
    if not taken.lines:
        raise DataError(
            f"nothing in '{path}' has scores by sample: {' '.join(taken.notes)} Run lm_eval with a metric and "
            "--log_samples, without --predict_only."
        )
    asked = {arm for arm, _ in taken.lines}
    arms = {log.arm: {"model": log.model} for log in logs if log.arm in asked}
    baseline, notes = control(list(arms), baseline)
    examples = {task: _examples(task, taken) for task in taken.metrics}
    samples = {
        (arm, task): [lines[id_].sample(arm, task, example) for id_, example in examples[task].items()]
        for (arm, task), lines in taken.lines.items()
    }
    scores = {
        (arm, task): [
            lines[id_].score(taken.measured[arm, task], upward=all(taken.metrics[task].values()))
            for id_ in examples[task]
        ]
        for (arm, task), lines in taken.lines.items()
    }
    return write_run(
        output,
        samples=samples,
        scores=scores,
        arms=arms,
        tasks={
            task: ForeignTask(
                list(examples[task].values()),
                RECORDED,
                _facts(task, upward, examples[task], scores),
                taken.sources[task],
                scoring=next((o.scoring for o in _lines_of(task, taken) if o.continuations), "generate"),
            )
            for task, upward in taken.metrics.items()
        },
        comparison=ComparisonSettings(baseline),
        origin={
            "kind": "lm-eval",
            "files": [{"name": file.name, "sha256": sha256_file(file)} for file in taken.files],
            "notes": [
                *notes,
                *taken.notes,
                *unknown_costs(samples),
                *(
                    f"Prompts of '{arm}' are not those of '{first}': {', '.join(tasks)}."
                    for (arm, first), tasks in taken.differ.items()
                ),
            ],
        },
        access=access,
    )


def _lines_of(task: str, taken: _Taken) -> Iterator[Line]:
    for (_, of), lines in taken.lines.items():
        if of == task:
            yield from lines.values()


def _examples(task: str, taken: _Taken) -> dict[str, Example]:
    """The documents of a task by their ids, in the first arm's order, each as the arm shows it that scored its options:
    an arm that failed on it may not."""
    shown: dict[str, Line] = {}
    for line in _lines_of(task, taken):
        known = shown.setdefault(line.example.id, line)
        if line.continuations and not known.continuations:
            shown[line.example.id] = line
    return {id_: line.example for id_, line in shown.items()}


def _facts(
    task: str,
    upward: Mapping[str, bool],
    examples: Mapping[str, Example],
    scores: Mapping[tuple[str, str], Sequence[Score]],
) -> tuple[MetricFacts, ...]:
    answers = [(examples[score.example], score) for (_, of), given in scores.items() if of == task for score in given]
    return tuple(foreign_metric(metric, answers, higher_is_better=more) for metric, more in upward.items())


def _logs(path: Path) -> list[_Log]:
    if path.suffix == ".json" and not path.exists():  # what --output_path was, to which lm_eval adds the date
        files = sorted(file for file in path.parent.glob("*.json") if _DATED.sub("", file.stem) == path.stem)
    elif path.is_file():
        files = [path]
    else:
        files = sorted(path.rglob("results_*.json"))
    if not files and not path.exists():
        raise DataError(f"'{path}' does not exist; name what lm_eval was given as --output_path")
    if path.is_file() and _is_samples(path):
        raise DataError(f"'{path}' holds samples; name the results file beside it, or their folder")
    read = [(file, read_json(file, "results file")) for file in files]
    if path.is_dir():
        others = (file for file in sorted(path.rglob("*.json")) if file not in files and not _is_samples(file))
        read += [(file, data) for file in others if (data := _named_otherwise(file))]
    if not read:
        raise DataError(
            f"no results_*.json in '{path}', nor another results file of lm_eval; name what lm_eval was given as "
            "--output_path"
        )
    twice = Counter((_model(data), task) for file, data in read for task in _tasks(file, data))
    clashing = {model for (model, _), count in twice.items() if count > 1}
    logs = []
    for file, data in read:
        model = _model(data)
        parts = file.parent.relative_to(path).parts if path.is_dir() else ()
        own_folder = len(parts) > 1 and parts[-1] == data.get("model_name_sanitized")
        folder = "/".join(parts[:-1] if own_folder else parts) or "."
        logs.append(_Log(file, model, f"{model} ({folder})" if model in clashing else model, data, _tasks(file, data)))
    for (arm, task), count in Counter((log.arm, task) for log in logs for task in log.tasks).items():
        if count > 1:
            same = [str(log.file) for log in logs if log.arm == arm and task in log.tasks]
            raise MismatchError(
                f"'{arm}' was asked task '{task}' more than once: {', '.join(same)}; name the file that counts, or put "
                "them into folders of their own"
            )
    return logs


def _is_samples(file: Path) -> bool:
    return file.name.startswith("samples_")


def _named_otherwise(file: Path) -> dict[str, Any] | None:
    """What a file holds that is a results file by another name; None for any other file."""
    try:
        data = read_json(file, "results file")
    except DataError:
        return None  # some other program's
    return data if isinstance(data.get("results"), dict) and isinstance(data.get("configs"), dict) else None


def _tasks(file: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    results = data.get("results")
    if not isinstance(results, dict) or not all(isinstance(values, dict) for values in results.values()):
        raise DataError(f"'{file}' is no results file of lm_eval: it has no mapping 'results'; name the right folder")
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
    dated = _DATED.search(log.file.stem)
    arguments = log.data["config"].get("model_args") if isinstance(log.data.get("config"), dict) else None
    older = (
        f"{re.sub('/|=', '__', arguments)}_{task}.jsonl" if isinstance(arguments, str) else f"samples_{task}_DATE.jsonl"
    )
    wanted = f"samples_{task}{dated[0]}.jsonl" if dated else older
    for name in (wanted, wanted.removesuffix("l")):
        file = log.file.parent / name
        if Path(name).name == name and file.is_file():
            return file
    raise DataError(
        f"'{log.file}' has results of task '{task}', but there is no '{wanted}' beside it: the answers themselves "
        "are needed; put the file there, both named as lm_eval named them, or run lm_eval again with --log_samples"
    )


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each sample with its place: a line each, or one list, as older versions wrote them."""
    require_file(file, "samples file")
    with file.open("rb") as stream:
        listed = stream.read(_HEAD).lstrip().startswith(b"[")
    if not listed:
        yield from _lines_in(file)
        return
    try:
        values = parse_json(read_text(file, "samples file"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"'{file}' is no list of samples ({error}); the file is cut or damaged: copy it again"
        ) from error
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise DataError(f"'{file}', sample {number}: an object was expected, found {kind_found(value)}")
        yield f"'{file}', sample {number}", value


def _lines_in(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in read_jsonl(file, "samples file"):
        if isinstance(item, BadLine):
            raise DataError(f"'{file}', line {item.number}: {item.reason}; the file is cut or damaged: copy it again")
        yield f"'{file}', line {item[0]}", item[1]


def _filter_of(record: Mapping[str, Any], filters: Sequence[str], by_filter: Mapping[str, Mapping[str, Line]]) -> str:
    """The filter that a sample names; where it names none, the next one that has not had its document."""
    if "filter" in record:
        return str(record["filter"])
    id_ = str(record.get("doc_id"))
    return next((name for name in filters if id_ not in by_filter.get(name, {})), filters[0] if filters else "none")


def _take_task(log: _Log, task: str, taken: _Taken) -> None:
    filters = _filters(log, task)
    file = _samples_file(log, task)
    taken.files.append(file)
    by_filter: dict[str, dict[str, Line]] = {}
    for where, record in _records(file):
        named = {**record, "filter": _filter_of(record, filters, by_filter)}
        line = read_line(named, where=where, config=log.mapping_of("configs", task))
        lines = by_filter.setdefault(line.filter, {})
        id_ = line.example.id
        if id_ in lines:
            raise DataError(f"{where}: document {id_} is there twice; run lm_eval again")
        lines[id_] = line
    _refuse_cut(log, task, file, {filter_: len(lines) for filter_, lines in by_filter.items()})
    for filter_, lines in by_filter.items():
        name = f"{task}/{filter_}" if len(by_filter) > 1 else task
        _take_filter(log, task, lines, taken, name=name)


def _filters(log: _Log, task: str) -> list[str]:
    """The filters of a task, in the order in which they were run."""
    printed = log.data["results"][task]
    filters = list(dict.fromkeys(key.rpartition(",")[2] for key in printed if "," in key))
    if not filters and any(isinstance(value, int | float) for value in printed.values()):
        raise DataError(
            f"'{log.file}' was written by lm_eval before 0.4, which names no filter and keeps no scores by sample; run "
            "lm_eval 0.4 or newer with --log_samples"
        )
    return filters


def _refuse_cut(log: _Log, task: str, file: Path, counts: Mapping[str, int]) -> None:
    size = log.data["results"][task].get("sample_len")
    expected = size if isinstance(size, int) else log.mapping_of("n-samples", task).get("effective")
    for filter_, count in counts.items():
        if isinstance(expected, int) and count != expected:
            raise DataError(
                f"'{file}' holds {counted(count, 'sample')} of filter '{filter_}', but {expected} "
                "were asked: the file is cut; "
                "copy it again"
            )


def _take_filter(log: _Log, task: str, lines: Mapping[str, Line], taken: _Taken, *, name: str) -> None:
    filter_ = next(iter(lines.values())).filter
    metrics = [
        metric
        for metric, printed in _printed(log, task, filter_).items()
        if _is_mean(log, task, metric, printed, list(lines.values()), taken)
    ]
    if not metrics:
        taken.notes[f"{name}: left out, since nothing that was printed is a mean over its samples."] = None
        return
    directions = log.mapping_of("higher_is_better", task)
    upward = {metric: directions.get(metric) is not False for metric in metrics}
    _refuse_others(log, name, lines, taken)
    taken.lines[log.arm, name] = lines
    taken.measured[log.arm, name] = metrics
    version = log.of("versions", task)
    taken.sources.setdefault(name, f"lm-evaluation-harness {log.data.get('lm_eval_version', '')}, {task} {version}")
    taken.metrics.setdefault(name, {}).update(upward)


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
    where = f"task '{task}', metric '{metric}', filter '{lines[0].filter}'"
    if metric == PLACEHOLDER:
        taken.notes[f"{where}: left out, a placeholder that stands for no score (--predict_only)."] = None
        return False
    values = [line.numbers.get(metric) for line in lines]
    declared = _aggregation(log, task, metric)
    numbers = [value for value in values if value is not None]
    if declared not in ("", "mean") or len(numbers) < len(values) or not _is_number(printed):
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
    """What the task's file declares, `mean` for what has it by default, '' where nothing is declared."""
    listed = log.mapping_of("configs", task).get("metric_list")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("metric") == metric and entry.get("aggregation"):
            return "mean" if entry["aggregation"] == "mean" else str(entry["aggregation"])
    return "mean" if metric in MEANS else ""


def _is_number(value: Any) -> bool:
    return is_finite(value) and not isinstance(value, bool)


def _refuse_others(log: _Log, name: str, lines: Mapping[str, Line], taken: _Taken) -> None:
    """Arms are compared on the same documents; that their prompts differ is what a comparison may be about."""
    first = next((arm for arm, task in taken.lines if task == name), log.arm)
    known = taken.lines.get((first, name), lines)
    if lines.keys() != known.keys():
        raise MismatchError(
            f"task '{name}': '{log.arm}' was asked {counted(len(lines), 'document')} and '{first}' "
            f"{len(known)}, not the same "
            "ones; run both with the same --limit and --samples, or import them apart"
        )
    for id_, line in lines.items():
        if (line.document, line.target) != (known[id_].document, known[id_].target):
            raise MismatchError(
                f"task '{name}': document {id_} of '{log.arm}' is not the one that '{first}' was asked; run both on "
                "one version of the task"
            )
    differ = sum(line.prompt != known[id_].prompt for id_, line in lines.items())
    if differ:
        taken.differ.setdefault((log.arm, first), []).append(f"{name} ({differ} of {len(lines)})")
