"""Samples in, scores out: a reader makes a value and a status of each answer, metrics make numbers of the values.

The second of two passes: it asks no model, comes after all answers, in batches of a task, and can be done again at any
time, for runs that were imported too:

    answers = scored_answers(run)                    # (arm, task) -> answers; scores made where missing or stale
    score_run(run, tasks=("medqa",))                 # scored again, whatever is there
    answers = scored_answers(run, reader="mirage")   # read otherwise; what is stored stays
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from ragmed.arms import BY_MODEL
from ragmed.checked import dump, parse
from ragmed.errors import DamagedError, DataError, MismatchError, UnknownNameError, UnwritableError, UsageError
from ragmed.metrics import METRICS, Batch, Metric, MetricFacts, find_metric, metric_facts
from ragmed.metrics.resources import RESOURCED, check_metrics, lacking, make_metric, resource_hash
from ragmed.metrics.settings import MetricSettings
from ragmed.metrics.support import UNSUPPORTED
from ragmed.prompts import evidence_of
from ragmed.records import Answer, Measure, Sample, Score
from ragmed.runs import Run
from ragmed.stored import ScoresHeader
from ragmed.support_error import labelled_hash, measure_support
from ragmed.tasks import BoundTask, asked_hash
from ragmed.tasks.reading import find_reader
from ragmed.text_table import counted
from ragmed.workspace import Workspace

RESOURCES = "metrics"
"""The part of run.json's references that says what metrics with a model or a file are measured with."""
RECORDED = "recorded"
"""The reader of answers that another program read: their values and numbers are kept as they came."""
Answers = dict[tuple[str, str], list[Answer]]


def scored_answers(run: Run, *, reader: str = "") -> Answers:
    """Every sample of a run with its score. `reader`: reads all tasks otherwise than declared, and stores nothing.

    Scores that are missing, or were made of other samples or by other versions, are made and stored. Raises
    UnknownNameError for a reader or a metric that nobody knows, UsageError where a run holds no text to be read.
    """
    if reader and run.info().get("imported", {}).get("kind") == "bundle":
        raise UsageError(
            f"run '{run.name}' is a bundle: it holds scores and no answers that the reader '{reader}' could read; "
            "compare it without --reader, or the original run with it"
        )
    answers: Answers = {}
    for arm, task in run.asked():
        before = run.samples_hash(arm, task)
        samples = run.ordered_samples(arm, task)
        record = _task_record(run, arm, task)
        _require_asked(run, arm, task, samples, record)
        if reader and fits(reader, samples):
            names = [facts.name for facts in declared_metrics(record, reader=reader)]
            scores = score_samples(samples, reader, names, where=f"run '{run.name}'")
        else:
            # half of an evaluation that is at work is scored for this once, and not kept
            whole = len(samples) == record["examples"] and run.samples_hash(arm, task) == before
            _, scores = _current(run, arm, task, samples, record, before, keep=whole)
        answers[arm, task] = _joined(samples, scores, run, arm, task)
    return answers


def counted_answers(run: Run) -> Answers:
    """As `scored_answers`, without those of arms that found nothing, which is said on stderr: they have no result.
    DataError where that is every arm."""
    answers = scored_answers(run)
    empty = found_nothing(run.info(), answers)
    for (arm, task), reason in empty.items():
        print(f"note: '{arm}' on '{task}' is left out: {reason}", file=sys.stderr)
    if answers and len(empty) == len(answers):
        raise DataError(f"run '{run.name}' has no arm with a result: none of them found a passage")
    return {pair: given for pair, given in answers.items() if pair not in empty}


def found_nothing(info: Mapping[str, Any], answers: Answers) -> dict[tuple[str, str], str]:
    """Arm and task -> why it found nothing for any question, of arms whose queries were written while they were asked.

    That of all others is seen before, and they are not asked (`Prepared.why_nothing`).
    """
    reasons: dict[tuple[str, str], str] = {}
    if info.get("imported"):  # what others keep of passages says too little, and a bundle has left such arms out
        return reasons
    for (name, task), given in answers.items():
        arm = info["experiment"]["arms"].get(name, {})
        if not (arm.get("follow_up") or arm.get("query") in BY_MODEL) or arm.get("replay"):
            continue
        samples = [answer.sample for answer in given]
        if not any(s.passages or s.dropped or any(step.passages or step.dropped for step in s.steps) for s in samples):
            why = next((f" ({sample.error})" for sample in samples if sample.error), "")
            reasons[name, task] = f"no passage was found for any of {counted(len(samples), 'question')}{why}"
    return reasons


def _require_asked(run: Run, arm: str, task: str, samples: Sequence[Sample], record: Mapping[str, Any]) -> None:
    """DamagedError where all examples are there, and not as run.json knows them: a question, option, gold answer or
    document that is another one now, whatever its line's checksum says. Bundles and others' runs hold no such hash.
    """
    if "asked" not in record or len(samples) != record["examples"]:
        return
    if asked_hash(sample.example for sample in samples) != record["asked"]:
        raise DamagedError(
            f"samples file '{run.samples_file(arm, task)}' holds other questions, options or gold answers of '{task}' "
            f"than run '{run.name}' asked; `ragmed eval` with its config asks those again that differ"
        )


def fits(reader: str, samples: Sequence[Sample]) -> bool:
    """Whether a reader can read a task's answers: one that chooses among options needs them, others need a gold answer
    that is no letter of an option; one that reads texts needs some.
    """
    found = find_reader(reader)
    lettered = any(isinstance(s.example.gold, str) and s.example.gold in s.example.options for s in samples)
    has_options = any(sample.example.options for sample in samples)
    has_text = any(sample.completion is not None for sample in samples) or all(s.finish == "error" for s in samples)
    return (has_options if found.needs_options else not lettered) and (
        has_text if found.needs_text else any(sample.option_logprobs for sample in samples)
    )


def declared_metrics(record: Mapping[str, Any], *, reader: str = "") -> tuple[MetricFacts, ...]:
    """What a task of run.json measures, the primary metric first.

    Where another `reader` reads the answers, those that can be made of what it reads: of a task whose every metric is
    another program's, accuracy.
    """
    if reader:
        return metric_facts([name for name in _names(record) if name in METRICS] or ["accuracy"])
    known = [field.name for field in fields(MetricFacts)]
    return tuple(MetricFacts(**{name: facts[name] for name in known if name in facts}) for facts in record["metrics"])


def name_resources(run: Run, given: Mapping[str, MetricSettings], workspace: Workspace) -> None:
    """Keeps in a run what its metrics need: the settings, where their paths start, and the hash of what they name; of a
    support score how often it errs, measured here where the labelled answers are, or why that is not known.

    Scores of another model or file are stale then, and made again; answers are not touched. Raises what `resource_hash`
    raises.
    """
    root = workspace.root
    records: dict[str, dict[str, Any]] = {
        name: {"settings": dump(settings), "root": str(root), "sha256": resource_hash(name, settings, root)}
        for name, settings in given.items()
    }
    if UNSUPPORTED in records:
        known = run.info().get("references", {}).get(RESOURCES, {}).get(UNSUPPORTED, {})
        records[UNSUPPORTED] |= _error_of(records[UNSUPPORTED], given[UNSUPPORTED], known, workspace)
    if records:
        run.add_references(RESOURCES, records)


def _error_of(
    record: Mapping[str, Any], settings: MetricSettings, known: Mapping[str, Any], workspace: Workspace
) -> dict[str, Any]:
    """`error`: what was measured, or what is kept of the same measure on the same answers; else `unmeasured`: why."""
    version = find_metric(UNSUPPORTED).facts.version
    try:
        of = {"sha256": record["sha256"], "version": version, "data": labelled_hash(workspace)}
        if known.get("error") and {"sha256": known["sha256"], **known["error"]["of"]} == of:
            return {"error": known["error"]}
        found = measure_support(settings, workspace)
    except DataError as error:
        return {"unmeasured": str(error)}
    return {"error": {**dump(found), "of": {"version": version, "data": found.data}}}


def settings_of(metrics: Sequence[str], named: Mapping[str, Any]) -> dict[str, MetricSettings]:
    """
    >>> settings_of(["bertscore", "rouge_l"], {"model": "path:minilm", "layer": 6, "lexicon": ""})["bertscore"].layer
    6

    What a command names for the metrics that need it. UsageError where nothing is named that it could be for.
    """
    given = {name: value for name, value in named.items() if value}
    settings = {}
    for metric in (metric for metric in metrics if metric in RESOURCED and given):
        needs = {name: value for name, value in given.items() if name in RESOURCED[metric].needs}
        settings[metric] = MetricSettings(**needs)
    unread = [name for name in given if not any(name in RESOURCED[metric].needs for metric in settings)]
    if unread:
        raise UsageError(f"--{unread[0]} is for a metric that needs it; name that one: --metric NAME")
    check_metrics(settings, "options")
    return settings


def _resource(run: Run, name: str) -> Metric:
    """The metric, loaded with what the run names for it; MismatchError where that is no longer what it was."""
    record = run.info().get("references", {}).get(RESOURCES, {}).get(name)
    if name not in RESOURCED or record is None:
        return find_metric(name)
    settings, root = (
        parse(MetricSettings, record["settings"], f"run '{run.name}', metric '{name}'"),
        Path(record["root"]),
    )
    if resource_hash(name, settings, root) != record["sha256"]:
        raise MismatchError(
            f"run '{run.name}': what metric '{name}' is measured with has changed since; run `ragmed eval` again, "
            f"or `ragmed score {run.name} --metric {name}` with the new one's name"
        )
    return make_metric(name, settings, root)


def score_run(run: Run, *, tasks: Sequence[str] = (), metrics: Sequence[str] = ()) -> list[str]:
    """Makes the scores of a run again, and returns a line for each arm and task.

    `tasks`, `metrics`: only these; the numbers of other metrics stay as they are. A metric that no task measures yet is
    added to them, as a secondary one. Scores that came with an import and cannot be made here stay, which the line
    tells. Raises UnknownNameError for a task that the run has not, or a metric that nobody knows.
    """
    known = run.info()["tasks"]
    for task in tasks:
        if task not in known:
            raise UnknownNameError("task", task, known, f"run '{run.name}'")
    _declare(run, tasks, metrics)
    lines = []
    for (arm, task), samples in run.samples().items():
        record = _task_record(run, arm, task)
        if (tasks and task not in tasks) or (metrics and not {*metrics} & {*_names(record)}):
            continue
        kept = record["reader"] == RECORDED
        header, scores = _imported(run, arm, task, record) if kept else _made(run, arm, task, samples, record, metrics)
        answered = sum(score.status == "answered" for score in scores)
        by = ", ".join(name if kept else f"{name} {version}" for name, version in header.metrics.items())
        how = f"{by} as imported" if kept else f"reader {header.reader} {header.reader_version}; {by}"
        lines.append(f"{arm} on {task}: {answered:,} of {len(scores):,} answered; {how}")
    return lines


def _declare(run: Run, tasks: Sequence[str], metrics: Sequence[str]) -> None:
    """Metrics that no task of these measures yet become secondary ones of each that can be scored here."""
    known = {task: record for task, record in run.info()["tasks"].items() if not tasks or task in tasks}
    declared = {name for record in known.values() for name in _names(record)}
    for metric in metrics:
        if metric in declared:
            continue
        if metric not in METRICS:
            raise UnknownNameError("metric", metric, {*declared, *METRICS}, f"run '{run.name}'")
        if metric in RESOURCED and metric not in run.info().get("references", {}).get(RESOURCES, {}):
            raise lacking(metric)
        for task, record in known.items():
            if record["reader"] != RECORDED:
                run.add_metrics(task, [asdict(find_metric(metric).facts)])


def score_samples(
    samples: Sequence[Sample], reader: str, metrics: Sequence[str], *, where: str = "",
    metric_of: Callable[[str], Metric] | None = None,
) -> list[Score]:  # fmt: skip
    """
    >>> from ragmed.records import Example
    >>> question = Example("q1", "?", options={"A": "10 mg", "B": "40 mg"}, gold="B")
    >>> score_samples([Sample("general", "medqa", question, completion="B")], "letter", ["accuracy"])
    [Score(example='q1', status='answered', value='B', metrics={'accuracy': 1.0})]

    One score for each sample, in order. A metric is asked once, with all answers that could be read. `metric_of`: where
    metrics that need a model or a file come from.
    """
    if reader == RECORDED:
        raise UsageError(f"{where} holds no answers to be read: its scores came with it")
    found = find_reader(reader)
    read = [found.read(sample) for sample in samples]
    examples = [replace(s.example, options={}) if found.letters_alone else s.example for s in samples]
    answered = [
        (sample, example, value)
        for sample, example, (status, value) in zip(samples, examples, read, strict=True)
        if status == "answered"
    ]
    columns: dict[str, Iterator[Measure]] = {}
    for name in metrics:
        metric = (metric_of or find_metric)(name)
        columns[name] = iter(
            _measured(
                metric,
                [
                    (replace(example, context=evidence_of(sample)) if metric.evidence else example, value)
                    for sample, example, value in answered
                ],
            )
        )
    return [
        Score(sample.example.id, status, value, {name: next(column) for name, column in columns.items()})
        if status == "answered"
        else Score(sample.example.id, status, value)
        for sample, (status, value) in zip(samples, read, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class DevelopmentScore:
    """`score`: by the task's primary metric, larger is better (see `development_score`). `answered`: how many were."""

    score: float
    answered: int


def development_score(samples: Sequence[Sample], bound: BoundTask) -> DevelopmentScore:
    """What a grid or a search chooses by, the largest being the best: a task's primary metric over its development
    examples, negated where less of it is better.

    What is not answered counts as an empty answer of a ratio, as 1 of a binary metric of which less is better, and
    else as 0.
    """
    measures, answered = development_measures(samples, bound)
    return DevelopmentScore(development_total(measures, bound), answered)


def development_measures(samples: Sequence[Sample], bound: BoundTask) -> tuple[list[Measure], int]:
    """The primary metric of each of these samples, and how many are answered."""
    metric = find_metric(bound.task.metrics[0])
    scores = score_samples(samples, bound.reader, [metric.name])
    empty = [(sample.example, None) for sample, score in zip(samples, scores, strict=True) if not score.metrics]
    unanswered: Iterator[Measure]
    if metric.total is None:
        unanswered = repeat(float(metric.facts.higher_is_better is False and metric.facts.kind == "binary"))
    else:
        unanswered = iter(_measured(metric, empty))
    measures = [score.metrics[metric.name] if score.metrics else next(unanswered) for score in scores]
    return measures, sum(score.status == "answered" for score in scores)


def development_total(measures: Sequence[Measure], bound: BoundTask) -> float:
    """One number of the measures of several samples, larger is better."""
    import numpy as np

    metric = find_metric(bound.task.metrics[0])
    value = float(np.mean(measures)) if metric.total is None else float(metric.total(np.sum(measures, axis=0)))
    return -value if metric.facts.higher_is_better is False else value


def _measured(metric: Metric, batch: Batch) -> Sequence[Measure]:
    values = metric.score(batch)
    if len(values) != len(batch):
        raise DataError(f"metric '{metric.name}' gave {len(values)} values for {len(batch)} answers")
    return values


def _current(
    run: Run, arm: str, task: str, samples: Sequence[Sample], record: Mapping[str, Any], digest: str, *, keep: bool
) -> tuple[ScoresHeader, list[Score]]:
    """The stored scores where they are of these samples (`digest`) and of today's versions, else new ones."""
    if record["reader"] == RECORDED:
        return _imported(run, arm, task, record)
    header = _header(digest, record, run)
    try:
        stored = run.scores(arm, task)
    except DataError:  # derived: made again
        stored = None
    if stored is not None and stored[0] == header and _are_of(stored[1], samples, record, header.reader):
        return stored
    scores = score_samples(samples, header.reader, _names(record), metric_of=partial(_resource, run))
    if keep:
        with suppress(UnwritableError):  # of a run that may only be read
            run.write_scores(arm, task, header, scores)
    return header, scores


def _are_of(scores: Sequence[Score], samples: Sequence[Sample], record: Mapping[str, Any], reader: str) -> bool:
    """Whether stored scores are of these samples, each with what its answer and the gold one give.

    Values are read again, and numbers made again but for those of graded metrics, which take long; of these it is
    looked at whether they are of their kind.
    """
    ratios = {metric["name"]: metric["kind"] == "ratio" for metric in record["metrics"]}
    if [score.example for score in scores] != [sample.example.id for sample in samples] or not all(
        score.metrics.keys() == (ratios.keys() if score.status == "answered" else set())
        and all(isinstance(value, tuple) == ratios[name] for name, value in score.metrics.items())
        for score in scores
    ):
        return False
    quick = [m["name"] for m in record["metrics"] if m["kind"] != "graded" and m["name"] not in RESOURCED]
    again = score_samples(samples, reader, quick)
    return [(s.status, s.value, {name: s.metrics[name] for name in quick if s.metrics}) for s in scores] == [
        (s.status, s.value, s.metrics) for s in again
    ]


def _header(digest: str, record: Mapping[str, Any], run: Run) -> ScoresHeader:
    versions = {name: find_metric(name).facts.version for name in _names(record)}
    reader = find_reader(record["reader"])
    named = run.info().get("references", {}).get(RESOURCES, {})
    hashes = {name: str(named[name]["sha256"]) for name in versions if name in named}
    return ScoresHeader(digest, reader.name, reader.version, versions, hashes)


def _imported(run: Run, arm: str, task: str, record: Mapping[str, Any]) -> tuple[ScoresHeader, list[Score]]:
    """Scores that came with the samples: what made them is not here, so that they stay as they came."""
    stored = run.scores(arm, task)
    if stored is None:
        raise DamagedError(f"'{run.scores_file(arm, task)}' is missing: import the run again")
    binary = [metric["name"] for metric in record["metrics"] if metric["kind"] == "binary"]
    for number, score in enumerate(stored[1], 2):  # below the header
        for name in binary:
            if score.metrics.get(name, 0) not in (0, 1):
                where = f"scores file '{run.scores_file(arm, task)}', line {number}"
                raise DamagedError(f"{where}: {name} is {score.metrics[name]}, neither 0 nor 1; import the run again")
    return stored


def _made(
    run: Run, arm: str, task: str, samples: Sequence[Sample], record: Mapping[str, Any], metrics: Sequence[str]
) -> tuple[ScoresHeader, list[Score]]:
    """New scores, stored; `metrics`: only these, where the others are of the same samples, reader and versions."""
    header, stored = _header(run.samples_hash(arm, task), record, run), None
    with suppress(DataError):  # derived: made again, whole
        stored = run.scores(arm, task) if metrics else None
    names = [name for name in _names(record) if not metrics or name in metrics]
    kept = [name for name in _names(record) if name not in names]
    if kept and not (stored and _agree(stored[0], header, kept)):
        names, kept = _names(record), []
    scores = score_samples(samples, header.reader, names, metric_of=partial(_resource, run))
    if kept and stored:
        scores = [_kept(new, old, kept) for new, old in zip(scores, stored[1], strict=True)]
    run.write_scores(arm, task, header, scores)
    return header, scores


def _agree(stored: ScoresHeader, header: ScoresHeader, names: Sequence[str]) -> bool:
    """Whether stored numbers are what these versions would make of the same samples."""
    return (stored.samples, stored.reader, stored.reader_version) == (
        header.samples, header.reader, header.reader_version,
    ) and all(
        (stored.metrics.get(name), stored.resources.get(name)) == (header.metrics[name], header.resources.get(name))
        for name in names
    )  # fmt: skip


def _kept(new: Score, old: Score, names: Sequence[str]) -> Score:
    kept = {name: old.metrics[name] for name in names if name in old.metrics}
    return Score(new.example, new.status, new.value, {**new.metrics, **kept})


def _task_record(run: Run, arm: str, task: str) -> Mapping[str, Any]:
    """What the run says of a task, with the reader of this arm's answers to it."""
    known = run.info()["tasks"]
    if task not in known:
        raise DamagedError(f"'{run.samples_file(arm, task)}' belongs to no task of run '{run.name}'")
    record: Mapping[str, Any] = known[task]
    return {**record, "reader": record.get("readers", {}).get(arm, record["reader"])}


def _names(record: Mapping[str, Any]) -> list[str]:
    return [metric["name"] for metric in record["metrics"]]


def _joined(samples: Sequence[Sample], scores: Sequence[Score], run: Run, arm: str, task: str) -> list[Answer]:
    if [sample.example.id for sample in samples] != [score.example for score in scores]:
        raise DamagedError(f"'{run.scores_file(arm, task)}' is not of the samples beside it; run `ragmed score`")
    return [Answer(sample, score) for sample, score in zip(samples, scores, strict=True)]
