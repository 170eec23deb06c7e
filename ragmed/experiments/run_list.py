"""A folder of runs in, its index.html out: every run with its verdict, date, access and a link to its page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ragmed.comparison.results import read_results
from ragmed.errors import RagmedError, UnwritableError
from ragmed.report.run_list import RunEntry, write_list
from ragmed.report.verdict import headline
from ragmed.runs import Run, find_run


def update_list(runs: Path) -> Path | None:
    """
        update_list(workspace.runs)

    Rewrites `runs/index.html`. None where this user may not write there, or where somebody else's file has its name.
    """
    entries = [_entry(file.parent) for file in sorted(runs.glob("[!.]*/run.json"))]
    entries.sort(key=lambda entry: entry.started, reverse=True)
    try:
        return write_list(entries, runs)
    except UnwritableError:
        return None


def _entry(folder: Path) -> RunEntry:
    has_page = (folder / "report" / "index.html").is_file()
    try:
        run = find_run(folder.parent, str(folder))
        info = run.info()
    except (RagmedError, OSError) as error:
        return RunEntry(folder.name, access="private", has_page=has_page, note=f"This run cannot be read: {error}")
    entry = RunEntry(
        folder.name,
        access=run.access,
        question=str(info["experiment"].get("question") or ""),
        started=re.sub(r"^(\S{10})T(\d\d:\d\d).*Z$", r"\1 \2 UTC", str(info.get("started") or "")),
        has_page=has_page,
        note="" if has_page else f"This run has no page: ragmed report {folder.name}",
    )
    return _with_results(entry, run)


def _with_results(entry: RunEntry, run: Run) -> RunEntry:
    if not run.results_file.is_file():
        return entry
    try:
        results = read_results(run.results_file)
        return replace(
            entry,
            headline=tuple(headline(results)),
            examples={row.task: row.n for row in results.scores},
            arms=tuple(dict.fromkeys(row.arm for row in results.scores)),
        )
    except RagmedError:
        note = f"Its results.json cannot be read: ragmed report {run.name} writes it again."
        return replace(entry, note=f"{entry.note} {note}".strip())
