"""A run in, files as lm-evaluation-harness writes them out, for its own tools and for those that read its logs.

    FOLDER/ARM/results_DATE.json          means by task and metric; what is not answered counts as 0
    FOLDER/ARM/samples_TASK_DATE.jsonl    a line for each example, read and written one at a time

What lm_eval has no field for (status, passages, tokens, notes) stands under `ragmed` in each line, where
`import_lm_eval` finds it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import ragmed
from ragmed.errors import DataError
from ragmed.experiments.results import stored_settings
from ragmed.files import make_folder, whole_text, write_json
from ragmed.integrations.carried import KEY, carried, file_name, gold_place, prompt_text, started, whole_file
from ragmed.integrations.described import PART, described
from ragmed.integrations.lm_eval_samples import INVALID
from ragmed.records import Sample
from ragmed.runs import Run

FILTER = "none"


def export_lm_eval(run: Run, folder: Path) -> list[Path]:
    """
    >>> export_lm_eval(find_run(runs, "quickstart"), Path("harness"))  # doctest: +SKIP
    [PosixPath('harness/general/samples_medqa_2031-05-04T10-00-00.000000.jsonl'), ...]

    Returns the files written. They hold prompts and answers: where the run is not open, they are for their owner
    alone. Tasks are named as lm_eval's file names allow (`\\w`, `+`, `-`, `.`); the run's own names are kept beside.
    DataError where the run has no samples.
    """
    info = run.info()
    date = started(info).strftime("%Y-%m-%dT%H-%M-%S.%f")
    measured = _measured(run)
    made: list[Path] = []
    arms: dict[str, str] = {}
    tasks: dict[str, str] = {}
    for arm, of_arm in groupby(run.stream(), key=lambda one: one[0]):
        home = folder / _plain(arm, arms)
        make_folder(home, mode=run.folder_mode)
        sums: list[_Sums] = []
        for task, of_task in groupby(of_arm, key=lambda one: one[1]):
            metrics = measured[arm, task] or list(info["tasks"][task]["metrics"])
            one = _Sums(task, _plain(task, tasks), metrics)
            letters = info["experiment"]["tasks"][task].get("scoring") == "letters"
            path = home / f"samples_{one.name}_{date}.jsonl"
            with whole_file(path, mode=run.file_mode) as stream:
                for _, _, sample in of_task:
                    line = _line(sample, metrics, letters=letters)
                    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
                    stream.write(whole_text(text).encode("utf-8") + b"\n")
                    one.add(line, likely=bool(sample.option_logprobs))
            sums.append(one)
            made.append(path)
        path = home / f"results_{date}.json"
        write_json(path, _results(run, arm, sums, started=started(info)), mode=run.file_mode)
        made.append(path)
    if not made:
        raise DataError(f"run '{run.name}' has no samples yet; `ragmed eval` makes them")
    return made


@dataclass(slots=True)
class _Sums:
    """What one task comes to while its samples pass by. `name`: as it stands in file names."""

    task: str
    name: str
    metrics: list[str]
    count: int = 0
    likely: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)

    def add(self, line: Mapping[str, Any], *, likely: bool) -> None:
        self.count += 1
        self.likely = self.likely or likely
        self.hashes.append(line["doc_hash"] + line["prompt_hash"] + line["target_hash"])
        for metric in line["metrics"]:
            self.values.setdefault(metric, []).append(line[metric])


def _measured(run: Run) -> dict[tuple[str, str], list[str]]:
    """The metrics that an arm has on a task, by its answered samples: the others count as 0 in those alone."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for arm, task, sample in run.stream():
        found.setdefault((arm, task), {}).update(dict.fromkeys(sample.scores))
    return {key: list(metrics) for key, metrics in found.items()}


def _plain(name: str, taken: dict[str, str]) -> str:
    """The name as a part of a file's name; a number is added where another name has become the same."""
    if name not in taken:
        taken[name] = file_name(name, taken.values(), other="_")
    return taken[name]


def _line(sample: Sample, metrics: list[str], *, letters: bool) -> dict[str, Any]:
    prompt = prompt_text(sample.messages)
    place = gold_place(sample) if sample.option_logprobs else None
    target = sample.gold if place is None else str(place)
    doc = {"id": sample.example, "options": list(sample.options), "gold": sample.gold}  # the same for every arm
    scores = dict(sample.scores) if sample.status == "answered" else dict.fromkeys(metrics, 0.0)
    return {
        "doc_id": int(sample.example) if _is_number(sample.example) else sample.example,
        "doc": doc,
        "target": target,
        **_answer(sample, prompt, letters=letters),
        "filter": FILTER,
        "metrics": list(scores),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(target),
        **scores,
        KEY: carried(sample),
    }


def _answer(sample: Sample, prompt: str, *, letters: bool) -> dict[str, Any]:
    if sample.option_logprobs:
        texts = string.ascii_uppercase if letters else sample.options
        pairs = list(zip(texts, sample.option_logprobs, strict=False))
        asked: list[dict[str, Any]] = [{"arg_0": prompt, "arg_1": f" {text}"} for text, _ in pairs]
        filtered = [[str(logprob), "False"] for _, logprob in pairs]
        raw: list[Any] = [[one] for one in filtered]
    else:
        asked = [{"arg_0": prompt, "arg_1": {}}]
        raw = [[sample.completion or ""]]
        answered = sample.extracted if sample.extracted is not None else sample.completion
        filtered = [answered if sample.status == "answered" and answered is not None else INVALID]  # type: ignore[list-item]
    arguments = {f"gen_args_{place}": one for place, one in enumerate(asked)}
    return {"arguments": arguments, "resps": raw, "filtered_resps": filtered}


def _results(run: Run, arm: str, sums: list[_Sums], *, started: datetime) -> dict[str, Any]:
    settings = stored_settings(run)
    model = str(run.info()["experiment"]["arms"].get(arm, {}).get("model", arm))
    upward = {m: m not in settings.descriptive_metrics for one in sums for m in one.metrics}
    return {
        "results": {
            one.name: {
                "name": one.name,
                "alias": one.task,
                "sample_len": one.count,
                **{f"{m},{FILTER}": math.fsum(values) / len(values) for m, values in one.values.items()},
            }
            for one in sums
        },
        "group_subtasks": {},
        "configs": {
            one.name: {
                "task": one.name,
                "output_type": "multiple_choice" if one.likely else "generate_until",
                "metric_list": [
                    {"metric": m, "aggregation": "mean", "higher_is_better": upward[m]} for m in one.metrics
                ],
                "repeats": 1,
            }
            for one in sums
        },
        "versions": {one.name: 0 for one in sums},
        "n-shot": {},
        "higher_is_better": {one.name: {m: upward[m] for m in one.metrics} for one in sums},
        "n-samples": {one.name: {"original": one.count, "effective": one.count} for one in sums},
        "config": {"model": "ragmed", "model_args": {"model": model}},
        "date": started.timestamp(),
        "lm_eval_version": f"none (ragmed {ragmed.__version__})",
        "task_hashes": {one.name: _hash("".join(one.hashes)) for one in sums},
        "model_source": "ragmed",
        "model_name": arm,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", arm),
        KEY: {"tasks": {one.name: one.task for one in sums}, "run": run.name, PART: described(run)},
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and str(int(text)) == text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
