"""results.json and what made a run in, the sections of its page out: which there are, and why others are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ragmed.arms import QUERY_FORMS, TREC
from ragmed.comparison.diagnosis.rows import Ledger
from ragmed.comparison.results import Results
from ragmed.comparison.rows import Contrast, Failure
from ragmed.report import training, wording
from ragmed.report.grouping import in_groups
from ragmed.text_table import counted

Row = Mapping[str, Any]
Key = tuple[str, str, str, str]
FEW = 3  # contrasts in words that stand open


@dataclass(frozen=True, slots=True)
class Section:
    """`id`: its address on the page; `short`: its line in the table of contents."""

    id: str
    title: str
    short: str


ALL = (
    Section("verdict", "The verdict", "Verdict"),
    Section("differences", "Differences", "Differences"),
    Section("scores", "Scores", "Scores"),
    Section("failures", "Hallucination and instruction adherence", "Hallucination, adherence"),
    Section("overall", "Across the tasks", "Across tasks"),
    Section("published", "Published and measured", "Published"),
    Section("factorial", "Two factors at once", "Two factors"),
    Section("readings", "The authors' reading and ours", "Two readings"),
    Section("policies", "What an unreadable answer counts as", "Scoring policies"),
    Section("compliance", "Knowledge or compliance", "Knowledge or form"),
    Section("decomposition", "Where retrieved answers fail", "Where answers fail"),
    Section("ledger", "Fixed and broke", "Fixed and broke"),
    Section("order", "Order of options and passages", "Order"),
    Section("calibration", "Calibration and abstention", "Calibration"),
    Section("leakage", "With and without leaked examples", "Leakage"),
    Section("retrieval", "Retrieval", "Retrieval"),
    Section("evidence", "Right with and without the evidence", "Evidence"),
    Section("followed", "Who follows passages that say otherwise", "Misled by passages"),
    Section("cost", "Cost and break-even", "Cost"),
    Section("training", "Training and search", "Training"),
    Section("samples", "Samples", "Samples"),
    Section("made", "What made this run", "What made it"),
    Section("notes", "Notes", "Notes"),
    Section("cite", "How to cite", "How to cite"),
)

_NEEDS = {
    "failures": ("failures", "answers in words: what options' likelihoods choose has no form to miss"),
    "overall": ("overall", "two arms compared on at least two tasks by one metric"),
    "published": ("published", "comparison.published in the config, and a model that such a suite has figures of"),
    "factorial": (
        "factorials",
        "four arms: untuned and tuned, or direct and reasoning, each closed book and with passages",
    ),
    "policies": ("policies", "a task that is scored right or wrong"),
    "compliance": (
        "compliance",
        "one arm twice on the same questions: as it writes, and by log-likelihood or constrained",
    ),
    "decomposition": ("decomposition", "an arm that retrieves, on a task that is scored right or wrong"),
    "ledger": ("ledger", "a contrast on a task that is scored right or wrong"),
    "order": ("order", "an arm asked once more with its options or passages in another order"),
    "calibration": ("calibration", "answers chosen by the log-likelihoods of options"),
    "leakage": ("leakage", "an audit of this run, by ragmed audit"),
    "retrieval": ("retrieval", "questions that name the documents which hold their answers"),
    "evidence": ("evidence", "questions that name such documents and are scored right or wrong, asked with passages"),
    "followed": ("followed", "an arm that is shown contradicting or planted passages whose answers are known"),
}


def present(results: Results, run_info: Row, *, browser: bool) -> tuple[list[Section], list[tuple[Section, str]]]:
    """The sections that have something to show, and those that have not, each with what it would need."""
    lacking = {id_: needs for id_, (key, needs) in _NEEDS.items() if not getattr(results, key)}
    if not training.anything(run_info):
        lacking["training"] = "a trained adapter, or a search for its settings or for k"
    if not _mapping(_mapping(run_info.get("imported")).get("readings")).get("arms"):
        lacking["readings"] = "an imported run whose authors read raw outputs that our reader can read too"
    if not browser:
        lacking["samples"] = "stored samples"
    shown = [section for section in ALL if section.id not in lacking]
    return shown, [(section, lacking[section.id]) for section in ALL if section.id in lacking]


def ledger_places(results: Results) -> dict[Key, int]:
    """(task, metric, baseline, arm) -> the row of the ledger that lists what the contrast fixed and broke."""
    return {key_of(row): number for number, row in enumerate(results.ledger)}


def key_of(row: Contrast | Ledger) -> Key:
    return row.task, row.metric, row.baseline, row.arm


def failure_groups(results: Results) -> list[tuple[str, list[tuple[int, Failure]]]]:
    """The failures of each task, each with its place among all, by which the browser knows whose answers it counts."""
    groups: dict[str, list[tuple[int, Failure]]] = {}
    for place, row in enumerate(results.failures):
        groups.setdefault(row.task, []).append((place, row))
    return list(groups.items())


def score_groups(results: Results) -> list[dict[str, Any]]:
    """The rows of each task and metric: scores of arms, then what needs no arm."""
    scores = dict(in_groups(results.scores, "task", "metric"))
    baselines = dict(in_groups(results.baselines, "task", "metric"))
    return [
        {"task": key[0], "metric": key[1], "scores": scores.get(key, []), "baselines": baselines.get(key, [])}
        for key in dict.fromkeys([*scores, *baselines])
    ]


def arms(run_info: Row) -> list[dict[str, str]]:
    """
    >>> arms({"experiment": {"arms": {"rag": {"model": "m", "context": "retrieved", "index": "wards", "k": 3}}}})
    [{'name': 'rag', 'model': 'm', 'shown': '3 passages that a search of wards finds'}]

    What a reader must know of each arm: its model and what stands before its questions. Empty without a record.
    """
    experiment = _mapping(run_info.get("experiment"))
    models = _mapping(experiment.get("models"))
    return [
        {
            "name": str(name),
            "model": str(
                _mapping(models.get(str(arm.get("model")))).get("name") or arm.get("model") or wording.MISSING
            ),
            "shown": _shown(arm, _mapping(experiment.get("retrievers"))),
        }
        for name, arm in _mapping(experiment.get("arms")).items()
        if isinstance(arm, Mapping)
    ]


def _shown(arm: Row, retrievers: Row) -> str:
    count, index, name = arm.get("k"), arm.get("index"), str(arm.get("retriever") or "")
    passages = counted(count, "passage") if count else "passages"
    where = f" of {index}" if index else ""
    if name:
        spec = _mapping(retrievers.get(name))
        parts = ", ".join(map(str, spec.get("of") or [spec.get("index") or wording.MISSING]))
        parts = "the example's own record" if spec.get("record") else parts
        where = f" ({name}: {spec.get('method') or wording.MISSING} of {parts})"
    if arm.get("replay"):
        of = str(arm["replay"])
        named = of.removeprefix(TREC)
        return f"the passages that {named} {'ranks' if of.startswith(TREC) else 'was shown'}"
    context = str(arm.get("context") or "")
    return {
        "none": "the question alone (closed book)",
        "full": "the example's whole record, as much of it as fits",
        "retrieved": f"{passages} that a search{where} finds{_asked_by(arm)}",
        "oracle": f"passages{where} that hold the answer (oracle)",
        "distractor": f"{passages}{where} that do not hold the answer (distractors)",
        "conflict": f"passages{where} that hold the answer, and one that contradicts them (conflict)",
        "poisoned": f"{passages}{where}, among {arm.get('planted')} that were planted and answer wrongly (poisoned)",
        "options-only": "the options without the question",
    }.get(context, context or wording.MISSING)


def _asked_by(arm: Row) -> str:
    """The form of its queries, where it is not what the task gives."""
    form = str(arm.get("query") or "question")
    return "" if form == "question" else f" by {form}: {QUERY_FORMS.get(form, wording.MISSING)}"


def _mapping(value: Any) -> Row:
    return value if isinstance(value, Mapping) else {}


_LOSSES = re.compile(r"references\.adapters\..*\.losses\.\d+\.")  # hundreds of them, and the figure shows them


def record(run_info: Row) -> list[tuple[str, str]]:
    """All that is recorded of what made the run, by dotted names, each fact once."""
    named = {name: text for name, text in _flat(run_info) if not _LOSSES.match(name)}
    return [
        (name, text)
        for name, text in named.items()
        if text and not (name.startswith("identity.") and name.replace("identity.", "experiment.", 1) in named)
    ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{number}")
    elif name:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
