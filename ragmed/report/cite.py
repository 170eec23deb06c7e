"""What made a run in, the BibTeX entries that cite it, ragmed and the papers it answers out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PAPERS = (
    """@misc{dada2024clue,
  title = {{CLUE}: A Clinical Language Understanding Evaluation for {LLMs}},
  author = {Dada, Amin and Bauer, Marie and Contreras, Amanda Butler and Kora{\\c s}, Osman Alperen
    and Seibold, Constantin Marc and Smith, Kaleb E. and Kleesiek, Jens},
  year = {2024},
  eprint = {2404.04067},
  archivePrefix = {arXiv}
}""",
    """@article{dorfner2025evaluating,
  title = {Evaluating the effectiveness of biomedical fine-tuning for large language models on clinical tasks},
  author = {Dorfner, Felix J. and Dada, Amin and Busch, Felix and Makowski, Marcus R. and Han, Tianyu
    and Truhn, Daniel and Kleesiek, Jens and Sushil, Madhumita and Adams, Lisa C. and Bressem, Keno K.},
  journal = {Journal of the American Medical Informatics Association},
  volume = {32},
  number = {6},
  pages = {1015--1024},
  year = {2025},
  doi = {10.1093/jamia/ocaf045}
}""",
)
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {c: f"\\{c}" for c in "&%$#_{}"}


def entries(run: str, run_info: Mapping[str, Any]) -> list[str]:
    """
    >>> print(entries("quickstart", {"started": "2026-11-21T10:00:00Z"})[0].splitlines()[1])
      title = {ragmed run quickstart},

    BibTeX for this run, for ragmed, and for the papers whose question it asks.
    """
    software = run_info.get("software") or {}
    version, commit = str(software.get("ragmed") or ""), str(software.get("commit") or "")
    year = str(run_info.get("started") or "")[:4]
    made = ", ".join(filter(None, (f"ragmed {version}" if version else "", f"commit {commit[:12]}" if commit else "")))
    started = f"started {run_info['started']}" if run_info.get("started") else ""
    note = "; ".join(filter(None, (made, started)))
    return [
        _entry("misc", _key("run", run), {"title": f"ragmed run {run}", "year": year, "note": note}),
        _entry(
            "software", "ragmed",
            {"title": "ragmed: fine-tuning against retrieval on medical text", "version": version, "year": year},
        ),
        *PAPERS,
    ]  # fmt: skip


def _key(kind: str, name: str) -> str:
    return f"{kind}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-') or 'x'}"


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{_escape(value)}}}" for name, value in fields.items() if value]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in " ".join(text.split()))
