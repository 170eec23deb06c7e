"""A run in, records of the "Every Eval Ever" schema out (evalevalai.com, version 0.3.0), for the tools of others.

FOLDER/data/RUN/DEVELOPER/MODEL/UUID.json            an arm on a task: model, data, each metric with its interval
FOLDER/data/RUN/DEVELOPER/MODEL/UUID_samples.jsonl   a line for each answer and metric

The same run gives the same records: a UUID is made of the names of run, arm and task. The package `every-eval-ever`
(Python 3.12 or newer) validates them: `python -m every_eval_ever validate FOLDER/data/*/*/*/*`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ragmed
from ragmed.comparison.rows import Score as ScoreRow
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.experiments.results import Rules, compare_runs
from ragmed.files import make_folder, sha256_file, whole_text, write_json
from ragmed.integrations.exports import file_name, measured, started, value_text, whole_file
from ragmed.metrics import POINTS, MetricFacts
from ragmed.records import Answer
from ragmed.runs import Run
from ragmed.scores import counted_answers, declared_metrics
from ragmed.tasks.words import gold_text

SCHEMA = "0.3.0"
_RESERVED = "data"


def export_every_eval(run: Run, folder: Path, *, developers: Mapping[str, str] | None = None) -> list[Path]:
    """
        export_every_eval(find_run(runs, "quickstart"), Path("every-eval"), developers={"smollm2": "HuggingFaceTB"})
        # [Path("every-eval/data/quickstart/HuggingFaceTB/smollm2/5f0c….json"), ...]

    `developers`: model -> who made it, of models whose names do not say (DEVELOPER/MODEL); those of nobody known are
    filed under `unknown`, which the validator warns of. UnknownNameError for a model that no arm has.
    Returns the files written. They hold questions and answers: where the run is not open, they are for their owner
    alone. What is not answered counts as 0, as under the policy `wrong`; an answer that did not come back has no line.
    Metrics that are ratios over all answers are left out. DataError where the run has no samples.
    """
    info, answers = run.info(), counted_answers(run)
    if not answers:
        raise DataError(f"run '{run.name}' has no samples yet; `ragmed eval` makes them")
    made_by = dict(developers or {})
    unnamed = without_developer(run)
    for model in made_by:
        if model not in unnamed:
            raise UnknownNameError("model", model, unnamed, "the models whose names do not say who made them")
    rows = {(row.arm, row.task, row.metric): row for row in compare_runs([run], Rules(policy="wrong")).scores}
    paths: list[Path] = []
    collection = _part(run.name)
    for (arm, task), given in answers.items():
        back = [answer for answer in given if answer.score.status != "error"]
        facts = [one for one in measured(given, declared_metrics(info["tasks"][task])) if one.kind != "ratio"]
        if not back or not facts:
            continue
        model = _model(info, arm, made_by)
        home = Path("data", collection, *(_part(part) for part in model.split("/", 1)))
        name = str(uuid.UUID(bytes=hashlib.sha256(f"{run.name}\0{arm}\0{task}".encode()).digest()[:16], version=4))
        id_ = f"{task}/{model}/{arm}/{int(started(info).timestamp())}"
        make_folder(folder / home, mode=run.folder_mode)
        samples = folder / home / f"{name}_samples.jsonl"
        lines = [
            _line(answer, one, evaluation=id_, model=model, task=task, result=f"{name}/{one.name}")
            for one in facts
            for answer in back
        ]
        with whole_file(samples, mode=run.file_mode) as stream:
            for line in lines:
                text = json.dumps(line, ensure_ascii=False, allow_nan=False)
                stream.write(whole_text(text).encode("utf-8") + b"\n")
        record = _record(run, info, arm, task, model=model, evaluation=id_)
        record["evaluation_results"] = [
            _result(info, task, one, rows.get((arm, task, one.name)), back, result=f"{name}/{one.name}")
            for one in facts
        ]
        record["detailed_evaluation_results"] = {
            "format": "jsonl", "file_path": (home / samples.name).as_posix(), "hash_algorithm": "sha256",
            "checksum": sha256_file(samples), "total_rows": len(lines),
        }  # fmt: skip
        write_json(folder / home / f"{name}.json", record, mode=run.file_mode)
        paths += [folder / home / f"{name}.json", samples]
    if not paths:
        raise DataError(f"run '{run.name}' has no answer with a metric that is a mean over answers; nothing to export")
    return paths


def _part(name: str) -> str:
    """A name as a part of a path there: portable, and not the one that is reserved."""
    made = file_name(name, (), other="-").rstrip(". ") or "-"
    return f"{made}-" if made == _RESERVED else made


def without_developer(run: Run) -> list[str]:
    """The models of a run whose names do not say who made them."""
    info = run.info()
    named = dict.fromkeys(_named(info, arm) for arm, _ in run.asked())
    return [name for name in named if not all(name.partition("/"))]


def developers_of(given: Sequence[str]) -> dict[str, str]:
    """
    >>> developers_of(["smollm2=HuggingFaceTB"])
    {'smollm2': 'HuggingFaceTB'}

    UsageError for what is no MODEL=NAME.
    """
    made: dict[str, str] = {}
    for pair in given:
        model, _, name = pair.rpartition("=")
        if not model or not name.strip():
            raise UsageError(f"--developer '{pair}': give MODEL=NAME")
        made[model] = name.strip()
    return made


def developers_note(run: Run, made_by: Mapping[str, str]) -> list[str]:
    """A note on the models that are filed under `unknown`."""
    left = [model for model in without_developer(run) if model not in made_by]
    if not left:
        return []
    return [
        f"who made {', '.join(left)} is not known, and the schema's own validator warns of that; say it with "
        "--developer MODEL=NAME"
    ]


def _named(info: Mapping[str, Any], arm: str) -> str:
    experiment = info["experiment"]
    named = str(experiment["arms"].get(arm, {}).get("model") or arm)
    return str(experiment["models"].get(named, {}).get("name") or named)


def _model(info: Mapping[str, Any], arm: str, made_by: Mapping[str, str]) -> str:
    """DEVELOPER/MODEL; the developer is `unknown` where neither the model's name nor the caller says."""
    named = _named(info, arm)
    developer, slash, model = named.partition("/")
    if not (slash and developer and model):
        developer, model = made_by.get(named, "unknown"), named
    return f"{_part(developer)}/{_part(model)}"


def _record(
    run: Run, info: Mapping[str, Any], arm: str, task: str, *, model: str, evaluation: str
) -> dict[str, Any]:  # fmt: skip
    known = {
        key: str(value) for key, value in info["experiment"]["arms"].get(arm, {}).items() if value not in (None, "")
    }
    time = str(int(started(info).timestamp()))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation,
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_name": run.name,
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "third_party" if info.get("imported") else "other",
            "additional_details": {"task_source": str(info["tasks"][task].get("source") or "unknown")},
        },
        "eval_library": {"name": "ragmed", "version": ragmed.__version__},
        "model_info": {
            "name": model.split("/", 1)[1],
            "id": model,
            "additional_details": {
                "deployment_type": "unknown", "model_availability": "unknown", "arm": arm,
                **{f"arm_{key}": value for key, value in known.items() if key != "model"},
            },
        },
    }  # fmt: skip


def _result(
    info: Mapping[str, Any], task: str, facts: MetricFacts, row: ScoreRow | None, back: Sequence[Answer], *, result: str
) -> dict[str, Any]:
    numbers = [_number(answer, facts) for answer in back]
    score = row.value if row is not None and row.value is not None else sum(numbers) / len(numbers)
    details: dict[str, Any] = {"score": score}
    if row is not None and row.ci is not None:
        details["uncertainty"] = {
            "confidence_interval": {
                "lower": row.ci[0], "upper": row.ci[1], "confidence_level": 0.95, "method": row.interval,
            },
            "num_samples": row.n,
        }  # fmt: skip
    inside = all(0 <= number <= 1 for number in numbers)
    return {
        "evaluation_result_id": result,
        "evaluation_name": task,
        "source_data": {
            "dataset_name": task,
            "source_type": "other",
            "additional_details": {
                "source": str(info["tasks"][task].get("source") or "unknown"),
                "license": str(info["tasks"][task].get("license") or "unknown"),
            },
        },
        "metric_config": {
            "metric_id": facts.name if facts.name == "accuracy" else f"ragmed.{facts.name}",
            "metric_name": facts.name,
            "lower_is_better": facts.higher_is_better is False,
            "score_type": "binary" if facts.kind == "binary" else "continuous",
            "min_score": 0 if inside else "-Infinity",
            "max_score": 1 if inside else "Infinity",
            **({"metric_unit": "proportion" if inside and facts.unit == POINTS else facts.unit} if facts.unit else {}),
        },
        "score_details": details,
    }


def _number(answer: Answer, facts: MetricFacts) -> float:
    value = answer.score.metrics.get(facts.name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _line(
    answer: Answer, facts: MetricFacts, *, evaluation: str, model: str, task: str, result: str
) -> dict[str, Any]:  # fmt: skip
    sample, example = answer.sample, answer.example
    score = _number(answer, facts)
    raw = "\n\n".join(message.content for message in sample.messages) or example.text
    reference = gold_text(example)
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation,
        "model_id": model,
        "evaluation_name": task,
        "evaluation_result_id": result,
        "sample_id": example.id,
        "sample_hash": hashlib.sha256((example.text + reference).encode("utf-8", "replace")).hexdigest(),
        "interaction_type": "single_turn",
        "input": {
            "raw": example.text or raw,
            "formatted": raw or None,
            "reference": [reference],
            "choices": list(example.options.values()) or None,
        },
        "output": {"raw": [sample.completion or ""]},
        "messages": None,
        "answer_attribution": [
            {
                "turn_idx": 0, "source": "output.raw", "extracted_value": value_text(answer.score.value) or "",
                "extraction_method": "custom", "is_terminal": True,
            }
        ],
        "evaluation": {"score": score, "is_correct": facts.kind == "binary" and score == 1.0},
        "error": None,
        "metadata": {
            "status": answer.score.status, "arm": sample.arm, **({"group": example.group} if example.group else {}),
        },
    }  # fmt: skip
