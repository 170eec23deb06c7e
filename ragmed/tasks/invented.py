"""Invented records in, files in a publisher's format out: what the `invent` functions of tasks share.

All that is written is made up; names of drugs that nobody knows keep a model from answering from memory.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DRUGS = (
    "Zelmarin", "Dorvatil", "Quintexol", "Palimune", "Ostrevan", "Fenwadol", "Lubricor", "Tamsitol", "Verroxan",
    "Grivastat", "Nolimide", "Abrenol",
)  # fmt: skip
AILMENTS = (
    "gout", "asthma", "a kidney stone", "a broken wrist", "shingles", "an ulcer", "migraine", "anemia", "a cough",
    "hay fever", "a sprained ankle", "insomnia",
)  # fmt: skip


def write_text(path: Path, text: str) -> None:
    """
        write_text(folder / "mtsamples" / "1.txt", "PLAN: Rest.")

    UTF-8, as it is; folders that are missing are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """
        write_lines(folder / "mednli" / "mli_dev_v1.jsonl", [{"pairID": "p1", "gold_label": "neutral"}])

    JSON Lines; folders that are missing are made.
    """
    write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """
        write_rows(folder / "aci-bench" / "train.csv", ("dataset", "note"), [("aci", "Well.")])

    CSV; folders that are missing are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
