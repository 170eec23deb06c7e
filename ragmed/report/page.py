"""Results, what made the run and its samples in, a folder whose index.html opens from disk without a network out.

Every text that came from a file or a model is escaped by the template engine or set as text by the page's scripts; the
page's Content-Security-Policy allows no inline script or style and no other host.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from ragmed.checked import dump
from ragmed.comparison.costs.break_even import LEAST_WINDOWS, ONCE_VARIES
from ragmed.comparison.results import Results
from ragmed.errors import UsageError
from ragmed.files import make_folder, write_atomic, writing
from ragmed.records import STATUSES, Answer
from ragmed.report import cite, effects, sections, training, verdict, wording
from ragmed.report.browser import Browser, write_browser
from ragmed.report.figures.write import caption, write_figures
from ragmed.report.grouping import in_groups
from ragmed.text_table import counted

__all__ = ["render_page", "write_page"]

Answers = Mapping[tuple[str, str], Sequence[Answer]]
STATIC = ("page.css", "page.js", "browser-data.js", "browser-detail.js", "browser-list.js")
LIST = "files.json"
MADE_BY = "ragmed report"
_BEFORE = {"report.md", "scores.png", "contrasts.png", "training.png"}  # a report, before it was a page
_OURS = re.compile(
    r"(index\.html|files\.json|page\.(css|js)|browser(-\w+)?\.js|(figures/)?[\w.-]+\.(svg|png)|samples/\w+\.js)"
)


def write_page(
    results: Results, *, run_info: Mapping[str, Any], answers: Answers, folder: Path, mode: int = 0o644
) -> Path:
    """
        write_page(results, run_info=info, answers=answers, folder=Path("runs/trial/report"))
        # PosixPath('runs/trial/report/index.html')

    Writes figures, samples, styles and scripts, and the page last, each whole or not at all; files that an earlier
    page left in the folder and this one has no use for are removed, nothing else is. `run_info`: what made the run,
    shown as it is. `mode`: permissions of the files; give 0o600 for restricted data (folders are then 0o700). Raises
    UsageError where the folder holds what no earlier page left there, or is a link.
    """
    earlier = _taken_over(folder)
    folder_mode = 0o755 if mode & 0o044 else 0o700
    make_folder(folder, mode=folder_mode)
    _write_list(folder, earlier, mode=mode)  # before all else, so that a folder that is broken off is known as ours
    make_folder(folder / "figures", mode=folder_mode)
    adapters = training.adapters_of(run_info)
    drawn = write_figures(results, folder / "figures", adapters=adapters, mode=mode)
    figures = [f"figures/{path.name}" for path in drawn]
    whole = json.dumps(dump(results), sort_keys=True)  # ASCII, whatever the text
    stamp = hashlib.sha256(whole.encode()).hexdigest()[:16]
    imported = bool(run_info.get("imported"))
    browser = write_browser(results, answers, folder, stamp=stamp, mode=mode, imported=imported) if answers else None
    source = package_files("ragmed.report") / "static"
    for name in STATIC:
        write_atomic(folder / name, (source / name).read_bytes(), mode=mode)
    text = render_page(results, run_info=run_info, figures=figures, browser=browser)
    page = folder / "index.html"
    write_atomic(page, text, mode=mode)
    written = {"index.html", LIST, *STATIC, *figures, *(browser.files if browser else ())}
    _write_list(folder, written, mode=mode)
    for name in sorted(earlier - written):
        (folder / name).unlink(missing_ok=True)
    return page


def _write_list(folder: Path, files: set[str], *, mode: int) -> None:
    write_atomic(folder / LIST, json.dumps({"made_by": MADE_BY, "files": sorted(files)}, indent=0), mode=mode)


def _taken_over(folder: Path) -> set[str]:
    """The files of an earlier page that the folder may be rid of; UsageError where it is somebody else's."""
    for part in (folder, folder / "figures", folder / "samples"):
        if part.is_symlink():
            raise UsageError(f"'{part}' is a link to somewhere else, where no report is written; give another --output")
    with writing(folder):
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in there if not name.startswith(".")]
    earlier = _earlier(folder)
    if earlier is None and folder.name == "report" and "report.md" in there and (folder.parent / "run.json").is_file():
        earlier = _BEFORE & set(there)
    if earlier is None and foreign:
        raise UsageError(
            f"'{folder}' holds files that are no report's, such as '{foreign[0]}', which a report could overwrite; "
            "give another --output, or delete them"
        )
    return earlier or set()


def _earlier(folder: Path) -> set[str] | None:
    """Files that the list of an earlier page names and that have names of ours; None where there is no list of ours."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        if listed["made_by"] != MADE_BY:
            return None
        return {name for name in listed.get("files", ()) if isinstance(name, str) and _OURS.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def render_page(
    results: Results,
    *,
    run_info: Mapping[str, Any],
    figures: Sequence[str] = (),
    browser: Browser | None = None,
) -> str:
    """The page as HTML. `figures`: addresses of the files for papers; `browser`: what was written of the samples."""
    shown, absent = sections.present(results, run_info, browser=browser is not None)
    ids = {section.id for section in shown}
    text: str = _template().render(
        results=results,
        info=run_info,
        question=dict(run_info.get("experiment") or {}).get("question") or "",
        sections=shown,
        absent=absent,
        title={section.id: section.title for section in shown},
        shows=ids.__contains__,
        headline=verdict.headline(results),
        arms=sections.arms(run_info),
        few=sections.FEW,
        groups=sections.score_groups(results),
        failure_groups=sections.failure_groups(results),
        ledger_places=sections.ledger_places(results),
        adapters=training.trained(run_info),
        searched=training.searched(run_info),
        figures=_figures(figures),
        browser=browser,
        record=sections.record(run_info),
        citations=cite.entries(results.run, run_info),
        statuses=STATUSES,
    )
    return text


def _figures(addresses: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each figure: its title, what it shows in words, and its files by format."""
    by_stem: dict[str, list[tuple[str, str]]] = {}
    for address in addresses:
        by_stem.setdefault(Path(address).stem, []).append((Path(address).suffix[1:].upper(), address))
    rows = []
    for name, files in by_stem.items():
        title, alt = caption(name)
        rows.append({"stem": name.partition("-")[0], "title": title, "alt": alt, "files": files})
    return rows


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ragmed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.filters |= _FILTERS
    environment.globals |= {
        "sentence": verdict.sentence,
        "effects": effects,
        "once_varies": ONCE_VARIES,
        "least_windows": LEAST_WINDOWS,
        "wording": wording,
        "in_groups": in_groups,
        "key_of": sections.key_of,
    }
    return environment.get_template("page.html")


def visible(value: Any) -> Any:
    """
    >>> visible("a\\u202eb")
    'a(U+202E)b'

    What nobody sees (control, direction, lone surrogates) is shown by its number; ends of lines stay.
    """
    if value is None:
        return wording.MISSING
    if not isinstance(value, str) or hasattr(value, "__html__"):  # markup that the templates made
        return value
    return "".join(f"(U+{ord(c):04X})" if c not in "\n\t" and unicodedata.category(c) in _UNSEEN else c for c in value)


def minus(text: str) -> str:
    """
    >>> minus("-8.3 points [-24.5, +8.2]")
    '−8.3 points [−24.5, +8.2]'

    A minus sign as wide as the plus sign, where a number with decimals follows.
    """
    return _MINUS.sub("−", text)


_MINUS = re.compile(r"(?<![^\s\[(])-(?=[0-9]+\.[0-9])")
_UNSEEN = ("Cc", "Cf", "Cs", "Co")


def _bytes(value: float | None) -> str:
    """
    >>> _bytes(1610612736)
    '1.50 GiB'
    """
    if value is None:
        return wording.MISSING
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:.2f} {unit}" if unit == "GiB" else f"{value / size:.0f} {unit}"
    return f"{value:.0f} bytes"


def _fixed(value: float | None, digits: int = 1) -> str:
    return wording.MISSING if value is None else f"{value:,.{digits}f}"


def _whole(value: float | None) -> str:
    return wording.MISSING if value is None else f"{value:,.0f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_FILTERS: dict[str, Callable[..., Any]] = {
    "fraction": wording.fraction,
    "span": lambda ci: wording.span(ci) or wording.MISSING,
    "points": lambda value: minus(wording.points(value)),
    "points_span": lambda ci: minus(wording.points_span(ci)) or wording.MISSING,
    "amount": lambda value, unit: minus(wording.in_points(value, unit)),
    "amount_span": lambda ci, unit: minus(wording.amount_span(ci, unit)) or wording.MISSING,
    "minus": lambda text: minus(text),
    "p": lambda p: wording.MISSING if p is None else wording.p_value(p),
    "count": _whole,
    "counted": counted,
    "fixed": _fixed,
    "duration": lambda value: wording.MISSING if value is None else effects.duration(value),
    "bytes": _bytes,
    "capital": _capital,
    "sign": wording.sign,
}
