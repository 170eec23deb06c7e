"""A run in, files as lm-evaluation-harness writes them out, for its own tools and for those that read its logs.

FOLDER/ARM/results_DATE.json          means by task and metric; what is not answered counts as 0
FOLDER/ARM/samples_TASK_DATE.jsonl    a line for each example
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ragmed
from ragmed.errors import DataError
from ragmed.files import make_folder, whole_text, write_json
from ragmed.integrations.exports import file_name, measured, started, value_text, whole_file
from ragmed.integrations.lm_eval_samples import INVALID, prompt_text
from ragmed.metrics import MetricFacts
from ragmed.records import Answer, Example
from ragmed.runs import Run
from ragmed.scores import counted_answers, declared_metrics
from ragmed.tasks.words import gold_text

FILTER = "none"


def export_lm_eval(run: Run, folder: Path) -> list[Path]:
    """
        export_lm_eval(find_run(runs, "quickstart"), Path("harness"))
        # [Path("harness/general/samples_medqa_2031-05-04T10-00-00.000000.jsonl"), ...]

    Returns the files written. They hold prompts and answers: where the run is not open, they are for their owner
    alone. Tasks are named as lm_eval's file names allow (`\\w`, `+`, `-`, `.`); `alias` has the run's own name. Metrics
    that are ratios over all answers are left out. DataError where the run has no samples.
    """
    info, answers = run.info(), counted_answers(run)
    if not answers:
        raise DataError(f"run '{run.name}' has no samples yet; `ragmed eval` makes them")
    date = started(info).strftime("%Y-%m-%dT%H-%M-%S.%f")
    paths: list[Path] = []
    arms: dict[str, str] = {}
    tasks: dict[str, str] = {}
    for arm in dict.fromkeys(arm for arm, _ in answers):
        home = folder / _plain(arm, arms)
        make_folder(home, mode=run.folder_mode)
        exported = []
        for task in (task for other, task in answers if other == arm):
            given = answers[arm, task]
            metrics = [
                facts for facts in measured(given, declared_metrics(info["tasks"][task])) if facts.kind != "ratio"
            ]
            scoring = str(info["experiment"]["tasks"][task].get("scoring", "generate"))
            lines = [_line(answer, metrics, scoring=scoring) for answer in given]
            likely = any(answer.sample.option_logprobs for answer in given)
            exported.append(_Exported(task, _plain(task, tasks), metrics, lines, likely))
            path = home / f"samples_{exported[-1].name}_{date}.jsonl"
            with whole_file(path, mode=run.file_mode) as stream:
                for line in lines:
                    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
                    stream.write(whole_text(text).encode("utf-8") + b"\n")
            paths.append(path)
        path = home / f"results_{date}.json"
        model = str(info["experiment"]["arms"].get(arm, {}).get("model", arm))
        write_json(path, _results(arm, model, exported, started=started(info)), mode=run.file_mode)
        paths.append(path)
    return paths


@dataclass(frozen=True, slots=True)
class _Exported:
    """One task of an arm. `name`: as it stands in file names. `likely`: whether log-likelihoods were compared."""

    task: str
    name: str
    metrics: Sequence[MetricFacts]
    lines: Sequence[Mapping[str, Any]]
    likely: bool

    def printed(self) -> dict[str, float]:
        values = {facts.name: [line[facts.name] for line in self.lines if facts.name in line] for facts in self.metrics}
        return {f"{name},{FILTER}": math.fsum(given) / len(given) for name, given in values.items() if given}


def _plain(name: str, taken: dict[str, str]) -> str:
    """The name as a part of a file's name; a number is added where another name has become the same."""
    if name not in taken:
        taken[name] = file_name(name, taken.values(), other="_")
    return taken[name]


def _line(answer: Answer, metrics: Sequence[MetricFacts], *, scoring: str) -> dict[str, Any]:
    example, score = answer.example, answer.score
    prompt = prompt_text(answer.sample.messages)
    target = _target(example, scoring)
    doc = {
        "id": example.id,
        "question": example.question,
        "context": [asdict(document) for document in example.context],
        "options": dict(example.options),
        "gold": gold_text(example),
    }
    names = [facts.name for facts in metrics]
    numbers = {name: score.metrics[name] for name in names if name in score.metrics}
    numbers = numbers if score.status == "answered" else dict.fromkeys(names, 0.0)
    return {
        "doc_id": int(example.id) if _is_number(example.id) else example.id,
        "doc": doc,
        "target": target,
        **_asked(answer, prompt),
        "filter": FILTER,
        "metrics": list(numbers),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(target),
        **numbers,
    }


def _target(example: Example, scoring: str) -> str:
    """The right continuation where options' texts were scored, the same for every arm, answered or not."""
    gold = gold_text(example)
    return example.options.get(gold, gold) if scoring == "option-text" else gold


def _asked(answer: Answer, prompt: str) -> dict[str, Any]:
    sample, score = answer.sample, answer.score
    requests: list[dict[str, Any]]
    raw: list[Any]
    filtered: list[Any]
    if sample.option_logprobs:
        requests = [{"arg_0": prompt, "arg_1": f" {continuation}"} for continuation in sample.continuations]
        filtered = [[str(logprob), "False"] for logprob in sample.option_logprobs]
        raw = [[pair] for pair in filtered]
    else:
        requests = [{"arg_0": prompt, "arg_1": {}}]
        raw = [[sample.completion or ""]]
        value = value_text(score.value)
        value = sample.completion if value is None else value
        filtered = [value if score.status == "answered" and value is not None else INVALID]
    arguments = {f"gen_args_{place}": request for place, request in enumerate(requests)}
    return {"arguments": arguments, "resps": raw, "filtered_resps": filtered}


def _results(arm: str, model: str, exported: Sequence[_Exported], *, started: datetime) -> dict[str, Any]:
    upward = {
        task.name: {facts.name: facts.higher_is_better is not False for facts in task.metrics} for task in exported
    }
    hashes = {
        task.name: "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in task.lines)
        for task in exported
    }
    return {
        "results": {
            task.name: {"name": task.name, "alias": task.task, "sample_len": len(task.lines), **task.printed()}
            for task in exported
        },
        "group_subtasks": {},
        "configs": {
            task.name: {
                "task": task.name,
                "output_type": "multiple_choice" if task.likely else "generate_until",
                "metric_list": [
                    {"metric": name, "aggregation": "mean", "higher_is_better": more}
                    for name, more in upward[task.name].items()
                ],
                "repeats": 1,
            }
            for task in exported
        },
        "versions": {task.name: 0 for task in exported},
        "n-shot": {},
        "higher_is_better": upward,
        "n-samples": {task.name: {"original": len(task.lines), "effective": len(task.lines)} for task in exported},
        "config": {"model": "ragmed", "model_args": {"model": model}},
        "date": started.timestamp(),
        "lm_eval_version": f"none (ragmed {ragmed.__version__})",
        "task_hashes": {name: _hash(text) for name, text in hashes.items()},
        "model_source": "ragmed",
        "model_name": arm,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", arm),
    }


def _is_number(text: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,17}", text) is not None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
