"""audit.json in, a plain ASCII table of at most 100 columns out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.audit.findings import KINDS

WIDTH = 100
SHOWN = 5
"""Examples a task that are printed with what was found; audit.json has all."""
_NAME = 30


def render_audit(found: Mapping[str, Any]) -> str:
    """
    >>> print(render_audit(found))  # doctest: +SKIP
    audit of quickstart: examples that count as leaked / with any finding
    task                     source               n  identity  ngram  embedding  date
    handbook-questions-2031  index handbook-2031  40     0/40    0/0        0/0   0/0

    Every number is counted from `found` (the contents of audit.json).
    """
    settings = found["settings"]
    lines = [f"audit of {_ascii(found['experiment'])}: examples whose findings count / examples with a finding"]
    rows = [["task", "source", "n", *KINDS]]
    for task in found["tasks"]:
        for source in found["sources"]:
            if task["task"] in source["tasks"]:
                label = f"{source['kind']} {source['name']}"
                rows.append([task["task"], label, str(task["n"]), *(_cell(task, label, kind) for kind in KINDS)])
    lines += ["", *_aligned(rows)] if len(rows) > 1 else []
    for task in found["tasks"]:
        lines += ["", *_examples(task)]
    lines += [""]
    neighbours = f", neighbours from cosine {settings['similarity']:g}" if settings["embeddings"] else ""
    lines += _wrapped(f"runs of {settings['ngram']} words, counted from {settings['threshold']:g} of them{neighbours}")
    for note in found["notes"]:
        lines += _wrapped(note)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _cell(task: Mapping[str, Any], source: str, kind: str) -> str:
    counted = shown = 0
    for example in task["examples"]:
        mine = [one for one in example["findings"] if one["source"] == source and one["kind"] == kind]
        shown += bool(mine)
        counted += any(one["counts"] for one in mine)
    return f"{counted}/{shown}"


def _examples(task: Mapping[str, Any]) -> list[str]:
    """The leaked examples first, by id, then others; a gold document needs no line an example."""
    lines = _wrapped(f"{task['task']}: {task['leaked']} of {task['n']} leaked")
    telling = [{**one, "findings": [f for f in one["findings"] if _tells(f)]} for one in task["examples"]]
    found = [one for one in telling if one["findings"]]
    ordered = sorted(found, key=lambda one: not any(f["counts"] for f in one["findings"]))
    for example in ordered[:SHOWN]:
        lines += _wrapped(example["example"], "  ")
        for one in example["findings"]:
            place = one["passage"] or one["document"]
            counts = "" if one["counts"] else ", does not count"
            said = f"{one['kind']} {one['score']:.2f}{counts}: {one['what']} ({one['source']}, {place})"
            lines += _wrapped(said, "    ")
    if len(ordered) > SHOWN:
        lines.append(f"  and {len(ordered) - SHOWN} more in audit.json")
    silent = len(task["examples"]) - len(found)
    if silent:
        lines += _wrapped(f"{silent} more: a source holds a document that they name, which does not count", "  ")
    return lines


def _tells(finding: Mapping[str, Any]) -> bool:
    return bool(finding["counts"] or finding["kind"] != "identity" or finding["passage"])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The two names wrap within their columns; numbers stand to the right."""
    names = [[textwrap.wrap(_ascii(cell), _NAME) or [""] for cell in row[:2]] for row in rows]
    widths = [max(len(part) for row in names for part in row[place]) for place in (0, 1)]
    numbers = [max(len(row[place]) for row in rows) for place in range(2, len(rows[0]))]
    lines = []
    for (task, source), row in zip(names, rows, strict=True):
        for place in range(max(len(task), len(source))):
            left = [part[place] if place < len(part) else "" for part in (task, source)]
            line = "  ".join(cell.ljust(width) for cell, width in zip(left, widths, strict=True))
            if place == 0:
                line += "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[2:], numbers, strict=True))
            lines.append(line)
    return lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(_ascii(text), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _ascii(text: str) -> str:
    """Names and texts come from files: what a terminal could take for a command is shown as an escape."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text)
