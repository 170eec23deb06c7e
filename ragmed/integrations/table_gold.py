"""A name of known questions in, the questions with their gold answers out, found again by id or by text.

mirage:medqa      a set of MIRAGE's benchmark, from RAGMED_DATA
task:aci_bench    another task of ours
topics:PATH       topics of the TREC Health Misinformation track (XML): yes or no
file:PATH         a table, whose columns `gold_columns` name
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Rejected
from ragmed.corpora.safe_xml import parse_xml
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.integrations.reading import reading
from ragmed.integrations.table_files import read_tables, text_of
from ragmed.integrations.table_settings import Columns
from ragmed.matching.words import same_question, words_of
from ragmed.records import Example
from ragmed.tasks import find_task
from ragmed.workspace import Workspace

KINDS = ("mirage", "task", "topics", "file")
MIRAGE_SETS = ("mmlu", "medqa", "medmcqa", "pubmedqa", "bioasq")
YES_NO = {"A": "yes", "B": "no"}
_COMMON = 0.7
"""The share of a question's words that a text must have where their ids are alike."""
_SPLIT = re.compile(r"\A(?:test|dev|train|val|valid|validation)[_-]")
# 2021 prints what the topic's author holds of the treatment, 2020 and 2022 the answer to the question
_STANCES = {"helpful": "yes", "unhelpful": "no", "yes": "yes", "no": "no"}


@dataclass(slots=True)
class KnownQuestions:
    """`examples`: by id, in their published order. A text that two of them share finds neither."""

    name: str
    examples: Mapping[str, Example]
    source: str = ""
    license: str = ""
    _by_text: dict[str, str | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_text = {}
        for id_, example in self.examples.items():
            text = same_question(example.question)
            if text:
                self._by_text[text] = None if text in self._by_text else id_

    def find(self, id_: str, question: str) -> Example | None:
        """By the id, also where it has the split's name before it or lacks it, else by the text.

        Ids of two sources may be alike by chance (1, 2, 3): where the text is another question's, the text decides.
        """
        bare = _SPLIT.sub("", id_)
        found = next((name for name in (id_, bare) if name and name in self.examples), None)
        if question:
            by_text = self._by_text.get(same_question(question))
            if by_text or (found and not _may_be_one(question, self.examples[found].question)):
                found = by_text
        return self.examples[found] if found is not None else None


def _may_be_one(text: str, known: str) -> bool:
    """Whether a text may be that of a known question: it has most of its words, or is a part of it."""
    words = set(words_of(known))
    common = len(words & set(words_of(text)))
    return common >= _COMMON * len(words) or same_question(text) in same_question(known)


def known_questions(
    gold: str, columns: Columns, *, find: Callable[[str], Path], workspace: Workspace
) -> KnownQuestions:
    """
        known_questions("mirage:medqa", Columns(), find=Path, workspace=Workspace.find()).find("test_0000", "")

    `find`: a path of the settings -> where it lies. Raises UsageError for a kind that nobody knows, UnknownNameError
    for a set or task, DataError where the files are not there or cannot be read.
    """
    kind, colon, name = gold.partition(":")
    if not colon or kind not in KINDS or not name:
        raise UsageError(f"gold '{gold}': give {', '.join(f'{known}:NAME' for known in KINDS)}, or name a column")
    if kind in ("mirage", "task"):
        if kind == "mirage" and name not in MIRAGE_SETS:
            raise UnknownNameError("set", name, MIRAGE_SETS, f"gold '{gold}'")
        task = find_task(name)
        called = f"mirage/{name}" if kind == "mirage" else name
        return KnownQuestions(called, _by_id(task.load(workspace).examples, gold), task.source, task.license)
    path = find(name)
    if not path.exists():
        raise DataError(f"gold '{gold}': '{path}' does not exist; name it beside the import file or below RAGMED_DATA")
    made = read_topics(path) if kind == "topics" else _of_table(path, columns, gold)
    return KnownQuestions(path.name, _by_id(made, gold))


def _by_id(examples: Iterable[Example], gold: str) -> dict[str, Example]:
    made: dict[str, Example] = {}
    for example in examples:
        if example.id in made:
            raise DataError(f"gold '{gold}': the question '{example.id}' is there twice; keep one")
        made[example.id] = example
    return made


def read_topics(path: Path) -> list[Example]:
    """
        read_topics(Path("misinfo-2022-topics.xml"))[0].gold

    Topics of the TREC Health Misinformation tracks 2020 to 2022, `A` yes and `B` no, in the order of their numbers.
    Topics without an answer are left out. DataError where none is found.
    """
    found: list[Example] = []
    for item in members(path, (".xml",)):
        if isinstance(item, Rejected):
            raise DataError(f"topics '{item.file}': {item.reason}")
        if not isinstance(item, Member) or not item.name.lower().endswith(".xml"):
            continue
        with reading(f"topics '{item.file}'", remedy="fetch the file again"):
            root = parse_xml(item.read())
            year = next(iter(re.findall(r"20\d\d", item.name)), "")
            for topic in root.iter("topic"):
                parts = {part.tag: " ".join((part.text or "").split()) for part in topic}
                answer = _STANCES.get(parts.get("answer") or parts.get("stance", ""), "")
                question = parts.get("question") or parts.get("description", "")
                if answer and question:
                    gold = next(letter for letter, word in YES_NO.items() if word == answer)
                    id_ = "-".join(filter(None, (year, parts["number"])))
                    found.append(Example(id_, question, options=YES_NO, gold=gold))
    if not found:
        raise DataError(f"topics '{path}': no topic with a question and an answer; name the track's XML")
    return sorted(found, key=lambda example: [int(part) for part in example.id.split("-")])


def _of_table(path: Path, columns: Columns, gold: str) -> list[Example]:
    if (not columns.id and not columns.question) or not columns.gold:
        raise UsageError(f"gold '{gold}': name its columns id (or question) and gold in gold_columns")
    found = []
    for table in read_tables(path):
        for name in filter(None, (columns.id, columns.question, columns.gold, columns.group)):
            if name not in table.columns:
                raise UsageError(
                    f"gold '{gold}': no column '{name}' in '{table.file}'; it has {', '.join(table.columns)}"
                )
        if table.refused:
            line, reason = table.refused[0]
            raise DataError(f"gold '{gold}', line {line}: {reason}; mend the file")
        for row in table.rows:
            question = text_of(row.cells.get(columns.question))
            id_ = text_of(row.cells.get(columns.id)) or same_question(question)
            found.append(
                Example(
                    id_, question, gold=text_of(row.cells[columns.gold]), group=text_of(row.cells.get(columns.group))
                )
            )
    return found
