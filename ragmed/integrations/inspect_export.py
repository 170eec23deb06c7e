"""A run in, logs of inspect_ai out: one `.eval` for each arm and task, written by inspect_ai, for its viewer and tools.

What is not answered has the value 0 and the reason, and an error has no value, as scorers of inspect_ai do it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ragmed
from ragmed.errors import DataError
from ragmed.files import fsync_file, fsync_folder, make_folder, writing
from ragmed.integrations.exports import file_name, measured, started, value_text
from ragmed.integrations.inspect_runs import inspect_log
from ragmed.records import Answer, Sample, Score
from ragmed.runs import Run
from ragmed.scores import counted_answers, declared_metrics
from ragmed.tasks.words import gold_text

_REASONS = {"unparsed": "invalid_response_format", "refused": "refusal", "truncated": "no_response"}
_STOPS = {"refused": "content_filter", "length": "max_tokens"}


def export_inspect(run: Run, folder: Path) -> list[Path]:
    """
        export_inspect(find_run(runs, "quickstart"), Path("logs"))  # [Path("logs/general_medqa.eval"), ...]

    Returns the files written. They hold prompts and answers: where the run is not open, they are for their owner
    alone. The model of a log is the arm's name; binary metrics are printed as `accuracy`, graded ones as `mean`, and
    those that are ratios over all answers are left out. MissingDependencyError without inspect_ai, DataError where the
    run has no samples.
    """
    info, answers = run.info(), counted_answers(run)
    if not answers:
        raise DataError(f"run '{run.name}' has no samples yet; `ragmed eval` makes them")
    make_folder(folder, mode=run.folder_mode)
    paths: list[Path] = []
    for (arm, task), given in answers.items():
        metrics = [facts for facts in measured(given, declared_metrics(info["tasks"][task])) if facts.kind != "ratio"]
        name = file_name(f"{arm}_{task}", [path.stem for path in paths], other="-")
        log = _log(
            [_sample(answer, [facts.name for facts in metrics]) for answer in given],
            arm=arm,
            task=task,
            printed={facts.name: "accuracy" if facts.kind == "binary" else "mean" for facts in metrics},
            created=started(info).isoformat(),
        )
        paths.append(_write(log, folder / f"{name}.eval", mode=run.file_mode))
    return paths


def _write(log: Mapping[str, Any], path: Path, *, mode: int) -> Path:
    """The file appears whole, with `mode`; until then it is in a folder that its owner alone can enter."""
    library = inspect_log()
    with writing(path), TemporaryDirectory(dir=path.parent, prefix=".") as private:
        written = Path(private) / "log.eval"
        library.write_eval_log(library.EvalLog.model_validate(log), written)
        written.chmod(mode)
        fsync_file(written)
        written.replace(path)
        fsync_folder(path.parent)
    return path


def _log(
    samples: Sequence[Mapping[str, Any]], *, arm: str, task: str, printed: Mapping[str, str], created: str
) -> dict[str, Any]:
    """A log as inspect_ai reads it. `printed`: metric -> the name under which its mean is printed."""
    values = {
        metric: [sample["scores"][metric]["value"] for sample in samples if metric in sample["scores"]]
        for metric in printed
    }
    means = {metric: math.fsum(given) / len(given) if given else 0.0 for metric, given in values.items()}
    return {
        "status": "success",
        "eval": {
            "created": created,
            "task": task,
            "dataset": {
                "name": task,
                "samples": len(samples),
                "sample_ids": [sample["id"] for sample in samples],
                "shuffled": False,
            },
            "model": arm,
            "config": {"epochs": 1},
            "packages": {"ragmed": ragmed.__version__},
            "scorers": [
                {"name": metric, "metrics": [{"name": f"inspect_ai/{name}", "options": {}}]}
                for metric, name in printed.items()
            ],
        },
        "results": {
            "total_samples": len(samples),
            "completed_samples": sum("error" not in sample for sample in samples),
            "scores": [
                {
                    "name": metric,
                    "scorer": metric,
                    "scored_samples": len(values[metric]),
                    "unscored_samples": 0,
                    "metrics": {name: {"name": name, "value": means[metric]}},
                }
                for metric, name in printed.items()
            ],
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": samples,
    }


def _sample(answer: Answer, metrics: Sequence[str]) -> dict[str, Any]:
    sample, example = answer.sample, answer.example
    usage = {
        "input_tokens": sample.input_tokens,
        "output_tokens": sample.output_tokens,
        "total_tokens": sample.input_tokens + sample.output_tokens,
        "reasoning_tokens": sample.thinking_tokens,
    }
    messages: list[dict[str, Any]] = [{"role": m.role, "content": m.content} for m in sample.messages]
    output: dict[str, Any] = {"model": sample.arm}
    if sample.completion is not None:
        reply = {"role": "assistant", "content": _content(sample), "source": "generate", "model": sample.arm}
        messages.append(reply)
        output["choices"] = [{"message": reply, "stop_reason": _STOPS.get(sample.finish, "stop")}]
        output["usage"] = usage
    record = {
        "id": example.id,
        "epoch": 1,
        "input": example.text,
        "choices": list(example.options.values()) or None,
        "target": list(example.gold) if isinstance(example.gold, tuple) else gold_text(example),
        "messages": messages,
        "output": output,
        "scores": _scores(answer.score, metrics),
        "model_usage": {sample.arm: usage},
        "total_time": sample.seconds,
        "working_time": sample.seconds,
    }
    if answer.score.status == "error":
        message = sample.error or sample.note or "no answer"
        record["error"] = {"message": message, "traceback": "", "traceback_ansi": ""}
    return record


def _scores(score: Score, metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    if score.status == "error":
        return {}
    numbers = {metric: score.metrics[metric] for metric in metrics if metric in score.metrics}
    numbers = numbers if score.status == "answered" else dict.fromkeys(metrics, 0.0)
    reason = {"reason": _REASONS[score.status]} if score.status in _REASONS else {}
    value = value_text(score.value)
    return {metric: {"value": number, "answer": value, **reason} for metric, number in numbers.items()}


def _content(sample: Sample) -> Any:
    if not sample.thinking:
        return sample.completion
    return [{"type": "reasoning", "reasoning": sample.thinking}, {"type": "text", "text": sample.completion}]
