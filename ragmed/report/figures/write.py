"""results.json in, SVG and PNG files out: every figure of a report, for the page and for papers.

    scores         every arm on every task with its interval, and what guessing gives
    forest         differences between arms with margin, verdict and adjusted p; effects over all tasks
    factorial      tuning and retrieval together: the four arms of each 2x2
    decomposition  why answers with passages are wrong
    policies       scores under each reading of what was not answered
    calibration    reliability and risk-coverage
    retrieval      scores where the gold document was found, and where it was not
    cost           what tuning and retrieval cost in all, over the number of questions
    training       how the loss of each adapter fell

Seven inches wide, as two columns of a journal are, and at most nine high: what is longer goes on in `scores-2` and so
on. The same results give the same bytes. Computes no numbers.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmed.comparison.results import Results
from ragmed.files import write_atomic
from ragmed.report.figures import drawing
from ragmed.report.figures.calibration import calibration
from ragmed.report.figures.cost import cost
from ragmed.report.figures.decomposition import decomposition
from ragmed.report.figures.factorial import factorial
from ragmed.report.figures.forest import forest
from ragmed.report.figures.policies import policies
from ragmed.report.figures.retrieval import retrieval
from ragmed.report.figures.scores import scores
from ragmed.report.figures.training import losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = {
    "forest": (
        "Differences between arms on the same examples",
        "Each contrast as a point with its 95 % interval against the margin, with adjusted p and the verdict in words; "
        "effects over all tasks with the interval for a further task",
    ),
    "scores": ("Scores", "Score of every arm on every task with its 95 % interval, and what guessing gives"),
    "factorial": (
        "Two factors together",
        "The arms of each factorial: scores closed book and with passages, at each level of tuning or of reasoning",
    ),
    "decomposition": (
        "Where the answers with passages went wrong",
        "For each arm with passages a bar of its examples: right, or wrong for one of several reasons, with counts",
    ),
    "policies": (
        "Scores under each reading of what was not answered",
        "Each arm's score with unanswered examples counted as wrong and left out",
    ),
    "calibration": (
        "Confidence",
        "Share of right answers over the confidence they were given with, and share of errors over the share of "
        "answers kept",
    ),
    "retrieval": (
        "Answers where retrieval found the gold document, and where it did not",
        "Score of each arm with passages on examples whose gold document was found and on those where it was missed",
    ),
    "cost": (
        "What tuning and retrieval cost in all",
        "Total cost over the number of questions for tuning and for retrieval, with the number at which they are equal",
    ),
    "training": ("Loss in training", "Loss in training and on held-out documents over the tokens trained on"),
}
"""Stem of the file -> its title, and what it shows in words, for captions and for those who do not see it."""
FORMATS = ("svg", "png")
_PNG_DPI = 200
_DRAWN: dict[str, Callable[[Results], list[Figure]]] = {
    "forest": forest, "scores": scores, "factorial": factorial, "decomposition": decomposition, "policies": policies,
    "calibration": calibration, "retrieval": retrieval, "cost": cost,
}  # fmt: skip
_HEAD = re.compile(rb"<!DOCTYPE svg.*?>\s*|<metadata>.*?</metadata>\s*", re.DOTALL)  # they name other hosts


def write_figures(
    results: Results,
    folder: Path,
    *,
    adapters: Mapping[str, Mapping[str, Any]] | None = None,
    mode: int = 0o644,
) -> list[Path]:
    """
        write_figures(results, Path("report/figures"))
        # [PosixPath('report/figures/forest.svg'), PosixPath('report/figures/forest.png'), ...]

    A figure without anything to show is not written and not in the list; nothing is removed.
    `adapters`: model -> the record of its training, for `training`. Titles: `caption`.
    """
    written: list[Path] = []
    with drawing.settings(), warnings.catch_warnings():
        # PNG has no other font to turn to: what DejaVu lacks is a box there, and itself in the SVG
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        for stem in FIGURES:
            pages = losses(adapters or {}) if stem == "training" else _DRAWN[stem](results)
            for number, figure in enumerate(pages, 1):
                name = stem if number == 1 else f"{stem}-{number}"
                for format_ in FORMATS:
                    path = folder / f"{name}.{format_}"
                    write_atomic(path, _bytes(figure, format_, FIGURES[stem][0]), mode=mode)
                    written.append(path)
    return written


def caption(name: str) -> tuple[str, str]:
    """
    >>> caption("scores-2.svg")[0]
    'Scores (2)'

    Title and alternative text of a written file.
    """
    stem, _, number = Path(name).stem.partition("-")
    title, shows = FIGURES[stem]
    return (f"{title} ({number})", f"{shows} ({number})") if number else (title, shows)


def _bytes(figure: Figure, format_: str, title: str) -> bytes:
    buffer = io.BytesIO()
    if format_ == "png":
        figure.savefig(
            buffer, format="png", dpi=_PNG_DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 4}
        )
        return buffer.getvalue()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata={"Title": title, **nothing})
    return _HEAD.sub(b"", buffer.getvalue(), count=2)
