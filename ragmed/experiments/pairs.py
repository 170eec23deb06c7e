"""`arms: pairs(clue, 7b-8b)` in a config -> the models and arms that it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ragmed.errors import UsageError
from ragmed.published import WITH_RECORD, find_suite
from ragmed.tasks import TASKS, Task, find_task

_PAIRS = re.compile(r"\s*pairs\(\s*([\w-]+)\s*(?:,\s*(\d+b(?:-\d+b)?)\s*)?(?:,\s*k\s*=\s*(\d+)\s*)?\)\s*\Z")
RECORD = "record"  # the retriever that searches an example's own record
CODES = "codes"  # the retriever that searches an index of codes
NEAREST = 10  # codes that the baseline answers with
OPTIONS_ONLY = "options-only"
_NO_NAME = re.compile(r"[^A-Za-z0-9._+@-]")


def with_pairs(raw: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """
    >>> given = with_pairs({"arms": "pairs(clue, 8b, k=5)", "index": "textbooks", "tasks": {"medqa": None}}, "config")
    >>> list(given["arms"])[:4]
    ['Meta-Llama-3-8B-Instruct', 'Meta-Llama-3-8B-Instruct+rag', 'Llama3-OpenBioLLM-8B', 'Llama3-OpenBioLLM-8B+rag']

    The config with the models of a suite, and an arm for each, closed book; with k, another that reads k passages of
    the config's index; and, where tasks with records are asked that the suite's models were shown, a third that is
    shown these (`+record`) and, with k, a fourth that reads k passages of the example's own record (`+record-rag`), by
    the config's retriever `record`, else by BM25. Sizes as in `Suite.pairs`. Each biomedical model names its base, so
    that what tuning and retrieval do is found as 2x2 designs. Models that the config has already stay as they are: a
    server's address, say. Other configs come back as they are. UsageError where the words cannot be read.

    Beside them stand the baselines that the tasks have: `options-only` of the comparison's baseline model, else of the
    first, where options are shown; `lead-3` and, with k, `best-sentence` where a text is answered; `nearest-code` where
    codes are and the config has a retriever `codes` (over an index of them).
    """
    arms = raw.get("arms")
    if not isinstance(arms, str):
        return raw
    match = _PAIRS.match(arms)
    if match is None:
        raise UsageError(f"{where}, arms: '{arms}' cannot be read; write pairs(clue, 7b-8b) or pairs(clue, 8b, k=5)")
    suite, given = find_suite(match[1]), dict(raw.get("models") or {})
    if match[3] and not raw.get("index"):
        raise UsageError(f"{where}, arms: k={match[3]} needs an index: write index: NAME")
    tasks = raw.get("tasks")
    asked = tasks.items() if isinstance(tasks, Mapping) else ()
    known = {name: said.get("task", name) if isinstance(said, Mapping) else name for name, said in asked}
    records = [name for name, task in known.items() if task in WITH_RECORD]
    made: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for base, tuned in suite.pairs(match[2] or ""):
        for name in (base, tuned):
            key = _NO_NAME.sub("-", name)
            settings = {"name": f"hf:{suite.models[name].hub}", "context_tokens": suite.models[name].context}
            models[key] = given.get(key, settings | ({"base": _NO_NAME.sub("-", base)} if name == tuned else {}))
            made[key] = {"model": key}
            if records:
                made[f"{key}+record"] = {"model": key, "context": "full", "tasks": records}
            if records and match[3]:
                retrieved = {"context": "retrieved", "retriever": RECORD, "k": int(match[3]), "tasks": records}
                made[f"{key}+record-rag"] = {"model": key, **retrieved}
            if match[3]:
                made[f"{key}+rag"] = {"model": key, "context": "retrieved", "k": int(match[3])}
    retrievers = dict(raw.get("retrievers") or {})
    if records and match[3]:
        retrievers.setdefault(RECORD, {"method": "bm25", "record": True})
    control = _baseline(raw)
    first = control if control in models else next(iter(models))
    for name, arm in _baselines(known, first, k=int(match[3] or 0), codes=CODES in retrievers).items():
        made[name] = arm
        if name != OPTIONS_ONLY:
            models[name] = {"name": f"extract:{name}"}
    more = {"retrievers": retrievers} if retrievers else {}
    return {**raw, **more, "models": {**given, **models}, "arms": made}


def _baseline(raw: Mapping[str, Any]) -> str:
    comparison = raw.get("comparison")
    return str(comparison.get("baseline", "")) if isinstance(comparison, Mapping) else ""


def _baselines(asked: Mapping[str, str], model: str, *, k: int, codes: bool) -> dict[str, dict[str, Any]]:
    """The arms of baselines, by their names, each with those of the asked tasks that it can answer."""

    def those(fits: Callable[[Task], bool]) -> list[str]:
        return [name for name, task in asked.items() if task in TASKS and fits(find_task(task))]

    choices = those(lambda task: task.kind == "choice" and task.form.shows_options)
    texts = those(lambda task: task.kind == "text" and (task.reader or task.form.reader) == "text")
    coded = those(lambda task: (task.reader or task.form.reader) == "codes")
    found = {"context": "retrieved", "k": k}
    arms: dict[str, dict[str, Any]] = {
        OPTIONS_ONLY: {"model": model, "context": "options-only", "tasks": choices},
        "lead-3": {"model": "lead-3", "tasks": texts},
        "best-sentence": {"model": "best-sentence", "tasks": texts if k else [], **found},
        "nearest-code": {
            "model": "nearest-code", "tasks": coded if codes else [], **found, "k": NEAREST, "retriever": CODES,
        },
    }  # fmt: skip
    return {name: arm for name, arm in arms.items() if arm["tasks"]}
