"""What a run recorded of its adapters in, what the page says of how each was trained out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragmed.report import effects

Row = Mapping[str, Any]


def adapters_of(run_info: Row) -> dict[str, Row]:
    """Model of the experiment -> the record of its adapter; empty for runs without."""
    records = _mapping(_mapping(run_info.get("references")).get("adapters"))
    return {str(k): v for k, v in records.items() if isinstance(v, Mapping)}


def anything(run_info: Row) -> bool:
    return bool(adapters_of(run_info) or _search_of(run_info))


def trained(run_info: Row) -> list[dict[str, Any]]:
    """A row for each adapter: its name, what it was trained on, in how many tokens, how long, and what was tried."""
    return [
        {"name": str(record.get("name") or model), "model": model, "facts": _facts(record)}
        | {"search": search(record.get("search"))}
        for model, record in adapters_of(run_info).items()
    ]


def _facts(record: Row) -> list[str]:
    corpora = [
        f"{c.get('name', 'unnamed')} ({str(c.get('sha256') or 'no hash')[:8]})" for c in record.get("corpora") or []
    ]
    parts = [
        f"trained on {', '.join(corpora) or 'corpora that nobody declared'}",
        f"{effects.whole(record.get('tokens'))} tokens in {effects.whole(record.get('steps'))} steps",
        f"{effects.duration(record.get('seconds'))} on {record.get('device') or 'an unknown device'}",
    ]
    if record.get("peak_memory_bytes") is not None:
        parts.append(f"peak memory {record['peak_memory_bytes'] / 2**30:.2f} GiB")
    if record.get("energy_joules") is not None:
        parts.append(f"energy {record['energy_joules'] / 3600:.2f} Wh")
    return parts


def searched(run_info: Row) -> dict[str, Any] | None:
    """The search for k and the context budget, where one was made."""
    return search({key: value for key, value in _search_of(run_info).items() if key != "asked"})


def search(record: Any) -> dict[str, Any] | None:
    """What was tried, as tables (header, lines), and all else that the record says, such as what was chosen."""
    if not isinstance(record, Mapping) or not record:
        return None
    trials = {key: value for key, value in record.items() if _are_trials(value)}
    rest = [f"{str(key).replace('_', ' ')} {_flat(value)}" for key, value in record.items() if key not in trials]
    tables = []
    for name, tried in trials.items():
        header = list(dict.fromkeys(key for trial in tried for key in trial))
        lines = [[_flat(trial.get(key, "")) for key in header] for trial in tried]
        tables.append({"name": name, "header": [str(key).replace("_", " ") for key in header], "lines": lines})
    return {"summary": "; ".join(rest), "tables": tables}


def _search_of(run_info: Row) -> Row:
    return _mapping(_mapping(run_info.get("references")).get("search"))


def _mapping(value: Any) -> Row:
    return value if isinstance(value, Mapping) else {}


def _are_trials(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(trial, Mapping) for trial in value)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)
