"""Runs in, the cards of the list that `ragmed view` shows out: each with a page that is as new as its samples."""

from __future__ import annotations

import contextlib
import re
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, UnwritableError
from ragmed.experiments.results import compare_runs, stored_settings, write_results
from ragmed.files import read_json, writing
from ragmed.report.serving import Card, ReportServer, may_open_browser
from ragmed.report.verdict import headline
from ragmed.runs import Run

PAGE = "index.html"


def cards(runs: Sequence[Run], *, say: Callable[[str], object] = str) -> list[Card]:
    """
    >>> cards([find_run(workspace.runs, "quickstart")])[0].headline  # doctest: +SKIP
    ['general+rag is better than general on handbook-questions: ...']

    A run without a page gets one; a page older than what it shows is written again, or said to be old where this
    user may not write it; `say` hears of it, since it can take a minute. DataError where there is no page and none can
    be written.
    """
    return [_card(run, say) for run in runs]


def _card(run: Run, say: Callable[[str], object]) -> Card:
    info = run.info()
    notes = _fresh(run, say)
    stored = run.results_file.is_file()
    results: dict[str, Any] = read_json(run.results_file, "results file") if stored else compare_runs([run])
    tasks = {row["task"]: int(row["n"]) for row in results["scores"]}
    return Card(
        name=run.name,
        folder=run.report_folder,
        question=str(info["experiment"].get("question") or ""),
        headline=tuple(headline(results)),
        made=re.sub(r"^(\S{10})T(\d\d:\d\d).*Z$", r"\1 \2 UTC", str(info.get("started") or "")),
        tasks=tuple(tasks),
        arms=tuple(dict.fromkeys(row["arm"] for row in results["scores"])),
        n=tuple(tasks.values()),
        access=run.access,
        notes=tuple(notes),
    )


def _fresh(run: Run, say: Callable[[str], object]) -> list[str]:
    """Writes the page where there is none or it is old; what to say of it."""
    page = run.report_folder / PAGE
    if run.report_folder.is_symlink():
        raise DataError(f"the report folder '{run.report_folder}' is a link to somewhere else; it is not served")
    if page.is_file() and page.stat().st_mtime_ns >= _newest(run):
        return []
    try:
        say(f"writing the page of '{run.name}'")
        with writing(run.report_folder):
            write_results(run, stored_settings(run))  # both, so that the list says what the page says
    except UnwritableError as error:
        if not page.is_file():
            raise DataError(f"run '{run.name}' has no page: {error} (`ragmed report`) as its owner") from error
        return ["This page is older than what the run holds now, and cannot be written again by this user."]
    return []


def _newest(run: Run) -> int:
    """When what the page shows was last changed, in nanoseconds."""
    shown: list[Path] = [run.info_file, run.results_file, run.folder / "audit.json"]
    shown += (run.folder / "samples").glob("*/*.jsonl")
    return max(path.stat().st_mtime_ns for path in shown if path.exists())


def serve(shown: Sequence[Card], *, port: int, browser: bool, say: Callable[[str], object]) -> None:
    """Serves until Ctrl-C, which is the ordinary end. `say` gets the lines to print."""
    with ReportServer(shown, port=port) as server:
        say(server.address)
        say(f"{len(shown)} {'run' if len(shown) == 1 else 'runs'}, on this machine alone; Ctrl-C ends it")
        restricted = any(card.access != "open" for card in shown)
        if browser and restricted:
            say("some of it is not open, so no program is given the address: open it yourself")
        elif browser and may_open_browser():
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    say("\nstopped")
