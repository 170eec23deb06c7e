"""What an import of tables is told: which files, which columns, where the gold answers are, what is compared with what.

A YAML beside the data says it once (`ragmed import configs/released/NAME.yaml`); the options of `ragmed import table`
say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

from ragmed.checked import Shorthand, parse
from ragmed.errors import UsageError
from ragmed.records import Access
from ragmed.workspace import Workspace
from ragmed.yaml_files import read_mapping

ARM = "{arm}"
"""In the name of a column: there is one for each arm."""
Layout = Literal["table", "trec-health"]
Reading = Literal["printed", "ours"]


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A column of numbers. `higher_is_better` None: it describes, as a length does. `unit`: of what a difference is,
    such as `words`; unsaid, percentage points where all numbers lie between -1 and 1, else a scale of its own.
    """

    column: str
    higher_is_better: bool | None = True
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which; '' where there is none. One whose name holds `{arm}` stands there for each of `arms`.

    A dotted name reaches into an object or a list of JSON or Parquet: `doc.question`, `completions.0.text`.

    `id`, `question`: what a row is about; either is enough. `gold`: the right answer. `output`: what the model wrote.
    `answer`: what the authors read in it, or what was chosen. `correct`: what they print as right or wrong. `options`:
    columns (`[A, B, C, D]`), letters with their columns (`{A: opa, B: opb}`), or one column that holds a list or an
    object. `group`: rows that are resampled together, such as a patient's. `repeat`: which sample or seed of the same
    question it is. `scores`: metric -> its column, or `{column, higher_is_better, unit}`. `probabilities`: a column
    that holds an object, letter -> probability, or letters with their columns; `log_probabilities` the same of
    logarithms, also as lm-eval writes a list of them. `printed`: a pattern's group, see `Source`.
    """

    id: str = ""
    question: str = ""
    gold: str = ""
    output: str = ""
    answer: str = ""
    correct: str = ""
    arm: str = ""
    task: str = ""
    group: str = ""
    repeat: str = ""
    options: str | tuple[str, ...] | Mapping[str, str] = ""
    probabilities: str | Mapping[str, str] = ""
    log_probabilities: str | Mapping[str, str] = ""
    scores: Mapping[str, Annotated[ScoreColumn, Shorthand((str,), lambda name: {"column": name})]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a folder or an archive. `only`: which of its files, such as `runs/*.csv`. `arm`, `task`: of all its rows.

    `pattern`: a regular expression that is looked for in a file's path; its groups `arm`, `task`, `repeat`, `group` and
    `printed` (the share of right answers that the authors print) are taken from there. `records`: in JSON, the dotted
    name of the list of rows. `rows`: only those are meant whose columns hold this, such as `{type: match}` of a log.
    `printed`: in JSON, the key of the printed share.
    """

    path: str
    only: str = ""
    arm: str = ""
    task: str = ""
    pattern: str = ""
    records: str = ""
    delimiter: str = ""
    printed: str = ""
    rows: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """What is known of an arm. `name`: what it is called from here on."""

    name: str = ""
    model: str = ""
    context: Literal["none", "retrieved", "oracle"] = "none"
    index: str = ""
    k: int = 0


_NamedArm = Annotated[ArmFacts, Shorthand((str,), lambda name: {"name": name})]


@dataclass(frozen=True, slots=True)
class TableImport:
    """
    >>> TableImport(files=(Source("answers.csv"),), columns=Columns(id="id", gold="gold", answer="{arm}")).arms
    {}

    `key`: whether rows are about one question where their `id` is the same, or their `question`, however it is written;
    '': the id where there is one. `arms`: those that are taken, by the name in the file (in its column, its path, or as
    `{arm}`); empty: all. `tasks`: the file's name of a task -> ours. `gold`: `mirage:SET` or `task:NAME`, whose
    questions, options and gold answers then hold, joined by id or by text; `topics:PATH` (TREC); `file:PATH` with
    `gold_columns`; or a mapping, task -> one of these.
    `labels`: what can be answered to every question, as `[yes, no]`. `options_in_question`: the options
    stand at the end of the question. `numbers_from`: what 0 or 1 stands for, where gold and answers are numbers of
    options. `reading`: whose reading the run holds; the other stands beside it. `reader`, `metrics`: ours, of `output`.
    `printed`: task -> arm -> the share that the authors print. `tolerance`: of these, for rounding.
    """

    files: tuple[Annotated[Source, Shorthand((str,), lambda path: {"path": path})], ...] = ()
    columns: Columns = field(default_factory=Columns)
    kind: Layout = "table"
    key: Literal["", "id", "question"] = ""
    arms: Mapping[str, Annotated[ArmFacts, Shorthand((str,), lambda name: {"name": name})]] = field(
        default_factory=dict
    )
    task: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)
    gold: str | Mapping[str, str] = ""
    gold_columns: Columns = field(default_factory=Columns)
    labels: tuple[str, ...] = ()
    options_in_question: bool = False
    numbers_from: Literal[0, 1] | None = None
    reading: Reading = "printed"
    reader: str = ""
    metrics: tuple[str, ...] = ()
    printed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tolerance: float = 0.0005
    baseline: str = ""
    contrasts: tuple[tuple[str, str], ...] = ()
    factorials: tuple[tuple[str, str, str, str], ...] = ()
    margin: float = 0.05
    source: str = ""
    license: str = ""
    access: Access = "private"

    def __post_init__(self) -> None:
        if self.labels and len(set(self.labels)) < len(self.labels):
            raise UsageError("labels: one stands twice; name each once")
        if not self.tolerance >= 0:
            raise UsageError(f"tolerance is {self.tolerance}; give a share such as 0.0005")


def column_names(columns: Columns) -> list[str]:
    """The names of all columns that the settings name."""
    found: list[str] = []
    for one in fields(columns):
        given = getattr(columns, one.name)
        if one.name == "scores":
            found += [score.column for score in given.values()]
        else:
            found += [given] if isinstance(given, str) else [*(given.values() if isinstance(given, Mapping) else given)]
    return [name for name in found if name]


def read_import(path: Path) -> TableImport:
    """What a YAML says of an import. UsageError, with the key, where it says what nobody knows."""
    where, values = read_mapping(path, "import file", error=UsageError)
    return parse(TableImport, values, where)


def find(path: str, beside: Path, workspace: Workspace) -> Path:
    """Where a path of a YAML leads: beside the YAML, else under RAGMED_DATA."""
    own = beside / path
    return own if own.exists() or not (workspace.data / path).exists() else workspace.data / path
