"""Questions of one's own: a JSON Lines file -> a multiple-choice task, without a line of code.

A config names the file beside the task (`tasks: {our-rules: {file: questions.jsonl, scoring: letters}}`); a record:

    {"id": "q1", "question": "Who signs form R7?", "options": {"A": "the ward clerk", "B": "the consultant"},
     "answer": "B", "documents": ["forms/r7"], "group": "forms", "split": "test"}

`id`, `question`, `options` and `answer` are needed. `documents` (ids in the corpus) give the oracle arm its passages;
it exists only where every scored record names some. `group`: records that share one are resampled together. `split`:
`dev` records may be shown as worked examples and are never scored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.files import BadLine, read_jsonl, sha256_file
from ragmed.records import Access, Example
from ragmed.tasks import Split, Task

KEYS = ("id", "question", "options", "answer", "documents", "group", "split")


def own_task(name: str, path: Path, *, access: Access = "private") -> Task:
    """
    >>> own_task("our-rules", Path("questions.jsonl")).kind  # doctest: +SKIP
    'choice'

    Raises DataError with file and line for a record that cannot be used. Private unless the config says otherwise.
    """
    split = _read(path)
    return Task(
        name=name,
        title=f"questions from {path.name}",
        kind="choice",
        instruction="You answer multiple-choice questions. Exactly one of the options is right.",
        load=lambda workspace: split,
        source=f"{path.name}, sha256 {sha256_file(path)[:16]}",
        license="not said",
        metrics=("accuracy",),
        gold_documents=all(example.documents for example in split.examples),
        access=access,
    )


def _read(path: Path) -> Split:
    splits: dict[str, list[Example]] = {"test": [], "dev": []}
    for item in read_jsonl(path, "questions file"):
        number, record = (item.number, item.reason) if isinstance(item, BadLine) else item
        where = f"questions file '{path}', line {number}"
        if isinstance(record, str):
            raise DataError(f"{where}: {record}")
        split = record.get("split", "test")
        if split not in splits:
            raise DataError(f"{where}: split is {split!r}; write test or dev")
        splits[split].append(_example(record, where))
    return Split(tuple(splits["test"]), tuple(splits["dev"]))


def _example(record: dict[str, Any], where: str) -> Example:
    for key in record:
        if key not in KEYS:
            raise DataError(f"{where}: unknown key '{key}'; known: {', '.join(KEYS)}")
    for key in ("id", "question", "answer"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise DataError(f"{where}: '{key}' must be text that is not empty")
    options, documents = record.get("options"), record.get("documents", [])
    if not isinstance(options, dict) or not all(isinstance(text, str) for text in options.values()):
        raise DataError(f'{where}: \'options\' must be letters with texts, such as {{"A": "yes", "B": "no"}}')
    if list(options) != [chr(ord("A") + i) for i in range(len(options))]:
        raise DataError(f"{where}: the letters of 'options' must be A, B, C … in this order, found {list(options)}")
    if not isinstance(documents, list) or not all(isinstance(one, str) for one in documents):
        raise DataError(f"{where}: 'documents' must be a list of document ids")
    group = record.get("group", "")
    if not isinstance(group, str):
        raise DataError(f"{where}: 'group' must be text")
    return Example(record["id"], record["question"], record["answer"], options, tuple(documents), group)
