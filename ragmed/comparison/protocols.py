"""Scores of a task that was asked by two protocols in, what the choice changes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.rows import Score


def protocol_notes(scores: Sequence[Score], tasks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """
        protocol_notes(results.scores, {"mednli": {}, "mednli-clue": {"task": "mednli", "protocol": "clue"}})

    A sentence for each task that is asked by the default and by another protocol: the arms in the order of their scores
    by the primary metric, and whether it is the same. Arms that have no score under both are left out. The examples of
    the two differ by those that are shown, so that nothing is tested.
    """
    asked: dict[str, dict[str, str]] = {}
    for name, settings in tasks.items():
        same = str(settings.get("task") or settings.get("file") or name)
        asked.setdefault(same, {}).setdefault(str(settings.get("protocol") or ""), name)
    notes = []
    for task, by_protocol in asked.items():
        if "" not in by_protocol:
            continue
        ours = _values(scores, by_protocol[""])
        for protocol, name in by_protocol.items():
            theirs = _values(scores, name)
            arms = [arm for arm in ours if arm in theirs]
            if not protocol or len(arms) < 2:
                continue
            orders = [sorted(arms, key=lambda arm: -values[arm]) for values in (ours, theirs)]
            how = "in the same order as" if orders[0] == orders[1] else "in another order than"
            shown = "; ".join(
                f"{label}: {', '.join(f'{arm} {values[arm]:.3f}' for arm in order)}"
                for label, values, order in zip(("default", protocol), (ours, theirs), orders, strict=True)
            )
            notes.append(f"{task}: the protocol '{protocol}' puts the arms {how} the default ({shown}).")
    return notes


def _values(scores: Sequence[Score], task: str) -> dict[str, float]:
    return {row.arm: row.value for row in scores if row.task == task and row.primary and row.value is not None}
