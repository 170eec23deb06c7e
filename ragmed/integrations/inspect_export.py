"""A run in, logs as inspect_ai writes them out: one `.eval` for each arm and task, for its viewer and its readers.

Samples are read and packed one at a time. What is not answered has the value 0 and the reason, and an error has no
value, as scorers of inspect_ai do it. What inspect_ai has no field for stands in each sample's metadata under `ragmed`,
where `import_inspect` finds it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import ragmed
from ragmed.errors import DataError
from ragmed.experiments.results import stored_settings
from ragmed.files import make_folder, whole_text
from ragmed.integrations.carried import KEY, carried, file_name, started, whole_file
from ragmed.integrations.described import PART, described
from ragmed.records import Sample
from ragmed.runs import Run

VERSION = 2  # LOG_SCHEMA_VERSION of inspect_ai 0.3.285
SHORT = 1000  # characters of a text in the summaries, from which inspect_ai's viewer makes its lists
_REASONS = {"unparsed": "invalid_response_format", "refused": "refusal", "truncated": "no_response"}
_STOPS = {"refused": "content_filter", "truncated": "max_tokens"}


def export_inspect(run: Run, folder: Path) -> list[Path]:
    """
    >>> export_inspect(find_run(runs, "quickstart"), Path("logs"))  # doctest: +SKIP
    [PosixPath('logs/general_medqa.eval'), ...]

    Returns the files written. They hold prompts and answers: where the run is not open, they are for their owner
    alone. The model of a log is the arm's name; binary metrics are printed as `accuracy`, others as `mean`. DataError
    where the run has no samples.
    """
    make_folder(folder, mode=run.folder_mode)
    info, binary, about = run.info(), stored_settings(run).binary_metrics, described(run)
    begun = started(info).isoformat() if info.get("started") else ""
    names: list[str] = []
    made: list[Path] = []
    measured: dict[tuple[str, str], dict[str, None]] = {}
    for arm, task, sample in run.stream():
        measured.setdefault((arm, task), {}).update(dict.fromkeys(sample.scores))
    for (arm, task), group in groupby(run.stream(), key=lambda one: one[:2]):
        metrics = list(measured[arm, task]) or list(info["tasks"][task]["metrics"])
        log = _Log(run, arm, task, metrics, begun, about)
        names.append(file_name(f"{arm}_{task}", names, other="-"))
        path = folder / f"{names[-1]}.eval"
        with whole_file(path, mode=run.file_mode) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
            _write(out, "_journal/start.json", {"version": VERSION, "eval": log.spec(binary), "plan": _plan()})
            for name, record in log.records(sample for _, _, sample in group):
                _write(out, name, record)
            _write(out, "summaries.json", log.summaries)
            _write(out, "header.json", log.header(binary))
        made.append(path)
    if not made:
        raise DataError(f"run '{run.name}' has no samples yet; `ragmed eval` makes them")
    return made


def _write(archive: zipfile.ZipFile, name: str, value: Any) -> None:
    archive.writestr(name, whole_text(json.dumps(value, ensure_ascii=False, allow_nan=False)).encode("utf-8"))


@dataclass(slots=True)
class _Log:
    """One arm on one task: its samples pass by once, sums and summaries stay."""

    run: Run
    arm: str
    task: str
    metrics: list[str]
    started: str
    about: Mapping[str, Any]
    values: dict[str, list[float]] = field(default_factory=dict)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    errors: int = 0

    def records(self, samples: Iterator[Sample]) -> Iterator[tuple[str, dict[str, Any]]]:
        for sample in samples:
            record = self._record(sample)
            for metric, score in record["scores"].items():
                self.values.setdefault(metric, []).append(score["value"])
            self.errors += sample.status == "error"
            self.ids.append(sample.example)
            self.summaries.append(_summary(record))
            yield f"samples/{_entry(sample.example)}_epoch_1.json", record

    def _record(self, sample: Sample) -> dict[str, Any]:
        usage = {
            "input_tokens": sample.input_tokens,
            "output_tokens": sample.output_tokens,
            "total_tokens": sample.input_tokens + sample.output_tokens,
            "reasoning_tokens": sample.thinking_tokens,
        }
        messages = [{"role": message.role, "content": message.content} for message in sample.messages]
        output: dict[str, Any] = {"model": self.arm, "choices": [], "completion": sample.completion or ""}
        if sample.completion is not None:
            reply = {"role": "assistant", "content": _content(sample), "source": "generate", "model": self.arm}
            messages.append(reply)
            output["choices"] = [{"message": reply, "stop_reason": _STOPS.get(sample.status, "stop")}]
            output["usage"] = usage
        record = {
            "id": sample.example,
            "epoch": 1,
            "input": next((m.content for m in reversed(sample.messages) if m.role == "user"), ""),
            "choices": list(sample.options) or None,
            "target": sample.gold,
            "messages": messages,
            "output": output,
            "scores": self._scores(sample),
            "metadata": {KEY: carried(sample)},
            "store": {},
            "events": [],
            "model_usage": {self.arm: usage},
            "total_time": sample.seconds,
            "working_time": sample.seconds,
            "attachments": {},
        }
        if sample.status == "error":
            record["error"] = {"message": sample.note or "no answer", "traceback": "", "traceback_ansi": ""}
        return record

    def _scores(self, sample: Sample) -> dict[str, dict[str, Any]]:
        if sample.status == "error":
            return {}
        if sample.status == "answered":
            values: Mapping[str, float] = sample.scores
        else:
            values = dict.fromkeys(self.metrics, 0.0)
        reason = {"reason": _REASONS[sample.status]} if sample.status in _REASONS else {}
        return {
            metric: {"value": value, "answer": sample.extracted, **reason, "history": []}
            for metric, value in values.items()
        }

    def spec(self, binary: frozenset[str]) -> dict[str, Any]:
        key = hashlib.sha256(f"{self.run.name}\0{self.arm}\0{self.task}".encode()).hexdigest()[:22]
        return {
            "eval_id": key,
            "run_id": hashlib.sha256(self.run.name.encode()).hexdigest()[:22],
            "created": self.started or "1970-01-01T00:00:00+00:00",
            "task": self.task,
            "task_id": key,
            "task_version": 0,
            "task_attribs": {},
            "task_args": {},
            "dataset": {"name": self.task, "samples": len(self.ids), "sample_ids": self.ids, "shuffled": False},
            "model": self.arm,
            "model_args": {},
            "config": {"epochs": 1},
            "packages": {"ragmed": ragmed.__version__},
            "metadata": {KEY: {"run": self.run.name, "arm": self.arm, "task": self.task, PART: self.about}},
            "scorers": [
                {
                    "name": metric,
                    "options": {},
                    "metrics": [{"name": f"inspect_ai/{_printed(metric, binary)}", "options": {}}],
                    "metadata": {},
                }
                for metric in self.metrics
            ],
        }

    def header(self, binary: frozenset[str]) -> dict[str, Any]:
        count = len(self.ids)
        scores = [
            {
                "name": metric,
                "scorer": metric,
                "scored_samples": len(self.values.get(metric, ())),
                "unscored_samples": 0,
                "params": {},
                "metrics": {_printed(metric, binary): self._mean(metric, binary)},
            }
            for metric in self.metrics
        ]
        return {
            "version": VERSION,
            "status": "success",
            "eval": self.spec(binary),
            "plan": _plan(),
            "results": {"total_samples": count, "completed_samples": count - self.errors, "scores": scores},
            "stats": {"started_at": self.started, "completed_at": self.started, "model_usage": {}},
        }

    def _mean(self, metric: str, binary: frozenset[str]) -> dict[str, Any]:
        values = self.values.get(metric, [])
        mean = math.fsum(values) / len(values) if values else 0.0
        return {"name": _printed(metric, binary), "value": mean, "params": {}}


def _printed(metric: str, binary: frozenset[str]) -> str:
    return "accuracy" if metric in binary else "mean"


def _plan() -> dict[str, Any]:
    return {"name": "plan", "steps": [], "config": {}}


def _content(sample: Sample) -> Any:
    if not sample.thinking:
        return sample.completion
    return [{"type": "reasoning", "reasoning": sample.thinking}, {"type": "text", "text": sample.completion}]


def _entry(id_: str) -> str:
    """The id as inspect_ai puts it into the archive, without what would lead out of a folder for who unpacks it."""
    return re.sub(r"(^|/)\.\.?(?=/|$)|^/+|\\|\0", "_", id_)


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    summary = {
        "id": record["id"],
        "epoch": 1,
        "input": record["input"][:SHORT],
        "target": record["target"][:SHORT],
        "metadata": {},
        "scores": record["scores"],
        "model_usage": record["model_usage"],
        "total_time": record["total_time"],
        "working_time": record["working_time"],
        "completed": True,
        "message_count": len(record["messages"]),
    }
    return {**summary, "error": record["error"]["message"][:SHORT]} if "error" in record else summary
