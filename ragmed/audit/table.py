"""audit.json in, a plain ASCII table of at most 100 columns out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragmed.audit.findings import KINDS
from ragmed.text_table import table, wrapped

SHOWN = 5
"""Examples a task that are printed with what was audit; audit.json has all."""


def render_audit(audit: Mapping[str, Any]) -> str:
    """
        print(render_audit(audit))
        # audit of quickstart: examples whose findings count / examples with a finding
        #   handbook-questions-2031   n  identity  ngram  embedding  date
        #   index handbook-2031      40     0/40    0/0        0/0   0/0

    Every number is counted from `audit` (the contents of audit.json).
    """
    settings = audit["settings"]
    lines = wrapped(f"audit of {audit['experiment']}: examples whose findings count / examples with a finding")
    for task in audit["tasks"]:
        rows = [[task["task"], "n", *KINDS]]
        for source in audit["sources"]:
            if task["task"] in source["tasks"]:
                label = f"{source['kind']} {source['name']}"
                rows.append([label, str(task["n"]), *(_cell(task, label, kind) for kind in KINDS)])
        lines += ["", *table(rows, right=range(1, len(rows[0])))] if len(rows) > 1 else []
    for task in audit["tasks"]:
        lines += ["", *_examples(task)]
    lines += [""]
    neighbours = f", neighbours from cosine {settings['similarity']:g}" if settings["embeddings"] else ""
    lines += wrapped(
        f"n-grams of {settings['ngram']} words, counted from {settings['threshold']:g} of them{neighbours}"
    )
    for note in audit["notes"]:
        lines += wrapped(note)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _cell(task: Mapping[str, Any], source: str, kind: str) -> str:
    counted = shown = 0
    for example in task["examples"]:
        mine = [f for f in example["findings"] if f["source"] == source and f["kind"] == kind]
        shown += bool(mine)
        counted += any(f["counts"] for f in mine)
    return f"{counted}/{shown}"


def _examples(task: Mapping[str, Any]) -> list[str]:
    """The leaked examples first, by id, then others; a gold document needs no line an example."""
    lines = wrapped(f"{task['task']}: {task['leaked']} of {task['n']} leaked")
    telling = [{**e, "findings": [f for f in e["findings"] if _tells(f)]} for e in task["examples"]]
    listed = [example for example in telling if example["findings"]]
    ordered = sorted(listed, key=lambda example: not any(f["counts"] for f in example["findings"]))
    for example in ordered[:SHOWN]:
        lines += wrapped(example["example"], "  ")
        for finding in example["findings"]:
            where = finding["passage"] or finding["document"]
            counts = "" if finding["counts"] else ", does not count"
            what = f"{finding['what']} ({finding['source']}, {where})"
            lines += wrapped(f"{finding['kind']} {finding['score']:.2f}{counts}: {what}", "    ")
    if len(ordered) > SHOWN:
        lines.append(f"  and {len(ordered) - SHOWN} more in audit.json")
    silent = len(task["examples"]) - len(listed)
    if silent:
        lines += wrapped(f"{silent} more: a source holds a document that they name, which does not count", "  ")
    return lines


def _tells(finding: Mapping[str, Any]) -> bool:
    return bool(finding["counts"] or finding["kind"] != "identity" or finding["passage"])
