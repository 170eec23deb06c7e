"""A run in, its samples and results as CSV or Parquet tables out: a file of samples, a file for each list of results.

CSV is RFC 4180 in UTF-8. Text stands in quotes, numbers and truth values do not, and a value that is not known is an
empty field without quotes (`""` is the empty text). A spreadsheet runs text that begins like a formula: such text, and
text that begins with an apostrophe, gets one apostrophe more in front. `read_text` takes it off again, so that nothing
is lost. Lists are JSON. Parquet has real types and the texts as they are.

In both, a lone surrogate, which UTF-8 has no bytes for, becomes U+FFFD; in CSV, NUL becomes U+2400.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import ragmed
from ragmed.checked import dump
from ragmed.comparison.results import Results
from ragmed.errors import DamagedError
from ragmed.experiments.results import Rules, compare_runs
from ragmed.files import make_folder, whole_text
from ragmed.integrations.exports import value_text, whole_file
from ragmed.records import Answer
from ragmed.runs import Run
from ragmed.scores import Answers, scored_answers
from ragmed.tasks.words import gold_text

BATCH = 1000  # rows that Parquet writes at a time
TEXTS = ("question", "context", "prompt", "completion", "thinking", "options", "continuations", "queries")
Kind = Literal["text", "label", "real", "whole", "truth", "texts", "reals", "wholes", "truths"]
Format = Literal["csv", "parquet"]
Row = dict[str, Any]

_FORMULA = re.compile(r"['=+\-@\t\r\n＝＋－＠]")
_INTERVAL = re.compile(r"(.+_)?ci(_.+)?$|prediction$")
_SAMPLE: dict[str, Kind] = {
    "arm": "label", "task": "label", "example": "text", "group": "text", "date": "text", "status": "label",
    "finish": "label", "value": "text", "gold": "text", "documents": "texts", "passages": "texts",
    "passage_scores": "reals", "passage_gold": "truths", "dropped": "texts", "input_tokens": "whole",
    "output_tokens": "whole", "thinking_tokens": "whole", "seconds": "real", "retrieval_seconds": "real",
    "request_seconds": "real", "cpu_seconds": "real", "gpu_seconds": "real",
    "retrieval_cpu_seconds": "real", "retrieval_gpu_seconds": "real", "error": "text", "note": "text",
    "question": "text", "context": "text", "prompt": "text", "completion": "text",
    "thinking": "text", "options": "texts", "continuations": "texts", "option_logprobs": "reals",
    "option_tokens": "wholes", "queries": "texts", "left_out": "texts", "retrieval_input_tokens": "whole",
    "retrieval_output_tokens": "whole",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name and kind, and the rows; `about`: what Parquet keeps beside them."""

    columns: Mapping[str, Kind]
    rows: Iterable[Row]
    about: Mapping[str, str]


def export_tables(run: Run, folder: Path, *, form: Format, text: bool = True, policy: str | None = None) -> list[Path]:
    """
        export_tables(find_run(runs, "quickstart"), Path("out"), form="csv")
        # [Path("out/samples.csv"), Path("out/scores.csv"), Path("out/contrasts.csv"), ...]

    Writes every sample that is stored, a row each; then the results as `ragmed compare` gives them, with the run's own
    settings but for a `policy` that is given. `text=False` leaves out questions, prompts, completions, thinking and the
    options' texts; ids, what was read, gold answers and notes stay (restricted data is for `bundle.py`).
    Each file appears whole or not at all, with the run's permissions. DamagedError names a sample with a value of
    another type, or with one that is not finite.
    """
    make_folder(folder, mode=run.folder_mode)
    about = {"run": run.name, "ragmed": ragmed.__version__}
    samples = samples_table(scored_answers(run), text=text, about=about)
    made = [_write(folder / f"samples.{form}", samples, mode=run.file_mode)]
    for name, table in results_tables(compare_runs([run], Rules(policy=policy)), about=about).items():
        made.append(_write(folder / f"{name}.{form}", table, mode=run.file_mode))
    return made


def samples_table(answers: Answers, *, text: bool, about: Mapping[str, str]) -> Table:
    """A row a sample; a column `score_METRIC` for each metric of any sample: a number, or the counts of a ratio."""
    metrics: dict[str, Kind] = {}
    for answer in (answer for given in answers.values() for answer in given):
        for metric, value in answer.score.metrics.items():
            metrics[metric] = "reals" if isinstance(value, tuple) else metrics.get(metric, "real")
    columns: dict[str, Kind] = {}
    for name, kind in _SAMPLE.items():
        if text or name not in TEXTS:
            columns[name] = kind
        if name == "gold":
            columns |= {f"score_{metric}": kind for metric, kind in metrics.items()}
    rows = (_sample_row(arm, task, answer) for (arm, task), given in answers.items() for answer in given)
    return Table(columns, rows, about)


def _sample_row(arm: str, task: str, answer: Answer) -> Row:
    sample, example, score = answer.sample, answer.example, answer.score
    row = {name: getattr(sample, name) for name in _SAMPLE if hasattr(sample, name)}
    row |= {
        "arm": arm,
        "task": task,
        "example": example.id,
        "group": example.group,
        "date": example.date,
        "status": score.status,
        "value": value_text(score.value),
        "gold": gold_text(example),
        "documents": example.documents,
        "passages": [passage.id for passage in sample.passages],
        "passage_scores": [passage.score for passage in sample.passages],
        "passage_gold": [passage.gold for passage in sample.passages],
        "question": example.question,
        "context": "\n\n".join(document.text for document in example.context),
        "prompt": "\n\n".join(f"[{m.role}]\n{m.content}" for m in sample.messages),
        "options": list(example.options.values()),
    }
    return row | {f"score_{metric}": value for metric, value in score.metrics.items()}


def read_text(cell: str) -> str:
    """
    >>> read_text("'=1+1"), read_text("plain")
    ('=1+1', 'plain')

    A text cell of one of our CSV files as it was: without the apostrophe that keeps a spreadsheet from running it.
    """
    return cell[1:] if cell.startswith("'") else cell


def results_tables(results: Results, *, about: Mapping[str, str]) -> dict[str, Table]:
    """A table for each list of records in results.json and for each list within them (`factorials_effects`), and
    `settings` and `notes`."""
    tables: dict[str, Table] = {}
    plain: Row = {}
    for key, value in dump(results).items():
        if not _records(value):
            plain[key] = value
            continue
        inner: dict[str, list[Row]] = {}
        for row in value:
            for name in [name for name, cell in row.items() if _records(cell) and cell]:
                inner.setdefault(f"{key}_{name}", []).extend({**_apart(row), **record} for record in row[name])
        outer = [{name: cell for name, cell in row.items() if f"{key}_{name}" not in inner} for row in value]
        for name, rows in ({key: outer} | inner).items():
            if rows:
                tables[_file_name(name)] = _inferred([_flat(row) for row in rows], about)
    notes = [{"note": str(note)} for note in plain.pop("notes", [])]
    settings = [{"name": name, "value": _plain(value)} for name, value in _flat(plain).items()]
    tables["settings"] = Table({"name": "text", "value": "text"}, settings, about)
    return tables | ({"notes": Table({"note": "text"}, notes, about)} if notes else {})


def _records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(record, Mapping) for record in value)


def _file_name(key: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", key.lower())


def _apart(row: Row) -> Row:
    """What names a record: its texts."""
    return {name: value for name, value in row.items() if isinstance(value, str)}


def _flat(row: Mapping[str, Any], before: str = "") -> Row:
    """Nested names joined by dots; an interval becomes two columns, `_low` and `_high`."""
    flat: Row = {}
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        elif _INTERVAL.match(key) and (value is None or (isinstance(value, list) and len(value) == 2)):
            low, high = value or (None, None)
            flat |= {f"{name}_low": low, f"{name}_high": high}
        else:
            flat[name] = value
    return flat


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _inferred(rows: Sequence[Row], about: Mapping[str, str]) -> Table:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _kind([row[name] for row in rows if row.get(name) is not None]) for name in names}
    mixed = {
        name
        for name, kind in columns.items()
        if kind == "text" and not all(isinstance(r.get(name), str | None) for r in rows)
    }
    given = [{n: _plain(v) if n in mixed and v is not None else v for n, v in row.items()} for row in rows]
    return Table(columns, given, about)


def _kind(values: Sequence[Any]) -> Kind:
    """The narrowest kind that holds all of these values; text (JSON, where it is not text already) holds any."""
    checks: tuple[tuple[Kind, Any], ...] = (("truth", _is_truth), ("whole", _is_whole), ("real", _is_real))
    for kind, check in checks:
        if values and all(map(check, values)):
            return kind
    lists: tuple[tuple[Kind, Any], ...] = (("texts", _is_text), ("wholes", _is_whole), ("reals", _is_real))
    for kind, check in lists:
        if values and all(isinstance(value, list | tuple) and all(map(check, value)) for value in values):
            return kind
    return "text"


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: dict[Kind, Any] = {
    "text": _is_text, "label": _is_text, "texts": _is_text, "real": _is_real, "reals": _is_real,
    "whole": _is_whole, "wholes": _is_whole, "truth": _is_truth, "truths": _is_truth,
}  # fmt: skip


def _checked(table: Table, file: str) -> Iterator[Row]:
    """The rows with every column, in order, each value of its kind: a wrong one would not be read back as it was."""
    for number, row in enumerate(table.rows, 1):
        checked: Row = {}
        for name, kind in table.columns.items():
            value, check = row.get(name), _CHECKS[kind]
            many = kind.endswith("s")
            inner = value if many and isinstance(value, list | tuple) else (value,)
            if value is not None and not all(item is None or check(item) for item in inner):
                raise DamagedError(
                    f"{file}, row {number} ({row.get('arm', '')}, {row.get('task', '')}, {row.get('example', '')}): "
                    f"{name} is {_short(value)}, which is no {_WORDS[kind]}; correct the sample or ask it again"
                )
            if kind in ("text", "label", "texts") and value is not None:
                whole = [item if item is None else whole_text(item) for item in inner]
                value = whole if many else whole[0]
            checked[name] = list(value) if many and value is not None else value
        yield checked


_WORDS: dict[Kind, str] = {
    "text": "text", "label": "text", "texts": "list of texts", "truth": "truth value", "truths": "list of truth values",
    "real": "finite number", "reals": "list of finite numbers",
    "whole": "whole number", "wholes": "list of whole numbers",
}  # fmt: skip


def _short(value: Any) -> str:
    return repr(value)[:80]


def _write(path: Path, table: Table, *, mode: int) -> Path:
    with whole_file(path, mode=mode) as stream:
        (_write_csv if path.suffix == ".csv" else _write_parquet)(stream, table, path.name)
    return path


def _write_csv(stream: IO[bytes], table: Table, file: str) -> None:
    stream.write((",".join(map(_text_cell, table.columns)) + "\r\n").encode("utf-8", "replace"))
    for row in _checked(table, file):
        cells = (_cell(value) for value in row.values())
        stream.write((",".join(cells) + "\r\n").encode("utf-8"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return _text_cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _text_cell(text: str) -> str:
    harmless = f"'{text}" if _FORMULA.match(text) else text
    return '"' + harmless.replace('"', '""').replace("\0", "\u2400") + '"'


def _write_parquet(stream: IO[bytes], table: Table, file: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(), "label": pa.dictionary(pa.int32(), pa.string()), "real": pa.float64(), "whole": pa.int64(),
        "truth": pa.bool_(), "texts": pa.list_(pa.string()), "reals": pa.list_(pa.float64()),
        "wholes": pa.list_(pa.int64()), "truths": pa.list_(pa.bool_()),
    }  # fmt: skip
    schema = pa.schema(
        [(whole_text(name), types[kind]) for name, kind in table.columns.items()], metadata=dict(table.about)
    )
    rows = _checked(table, file)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(islice(rows, BATCH)):
            columns = [[row[name] for row in batch] for name in table.columns]
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
