"""What is known of the runs of one folder in, its index.html out: a list with verdicts and links, opened from disk."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ragmed.files import write_atomic
from ragmed.report.page import minus, visible

PAGE, STYLES = "index.html", "index.css"
_OURS = '<meta name="generator" content="ragmed">'


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run in the list. `headline`: the verdict in sentences; `examples`: task -> how many were scored; `note`: what
    keeps the run from being read or linked to."""

    name: str
    access: str = "open"
    question: str = ""
    headline: tuple[str, ...] = ()
    started: str = ""
    examples: Mapping[str, int] = field(default_factory=dict)
    arms: tuple[str, ...] = ()
    has_page: bool = True
    note: str = ""


def render_list(entries: Sequence[RunEntry]) -> str:
    """
    >>> '<a href="a%20b/report/index.html">a b</a>' in render_list([RunEntry("a b")])
    True

    The list as HTML; every text is escaped.
    """
    text: str = _template().render(entries=entries)
    return text


def write_list(entries: Sequence[RunEntry], folder: Path) -> Path | None:
    """
        write_list([RunEntry("quickstart")], Path("runs"))

    Writes index.html and its styles. For the owner alone where a run is not open, since the list says what came out.
    None, and nothing is written, where somebody else's index.html is there.
    """
    page = folder / PAGE
    if page.is_symlink() or (page.exists() and _OURS not in page.read_text(encoding="utf-8", errors="replace")[:1000]):
        return None
    private = any(entry.access != "open" for entry in entries)
    static = package_files("ragmed.report") / "static"
    styles = "\n".join((static / name).read_text(encoding="utf-8") for name in ("page.css", "runs.css"))
    write_atomic(folder / STYLES, styles)
    write_atomic(page, render_list(entries), mode=0o600 if private else 0o644)
    return page


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ragmed.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=visible,
    )  # fmt: skip
    environment.filters |= {"quoted": functools.partial(quote, safe=""), "minus": minus}
    return environment.get_template("runs.html")
