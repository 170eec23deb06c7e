"""Plain-text logs of a study on the TREC Health Misinformation topics in, rows of question, answer, right or not out.

    We are a committee of leading scientific experts ...          (the prompt's first line, in every block; or none)
    Can vitamin D cure COVID-19?                                  (alone; with passages: Question:Can vitamin D ...)
                                                                  (some: Your answer:)
    No
    1                                                             (how many were right so far, where this one was)
    ...
    Accuracy:0.9183673469387755                                   (the last line)

Layout: github.com/MarcosFP97/information-seeking-health, src/llm/outputs and src/rag/outputs (Fernandez-Pichel et al.,
npj Digital Medicine 2025). The questions are found in the order of the topics, so that passages, which hold questions
of their own, are never taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ragmed.corpora.members import Member, load_text, members
from ragmed.corpora.recipe import Rejected
from ragmed.errors import DataError
from ragmed.integrations.reading import reading
from ragmed.integrations.table_files import Row, TableFile
from ragmed.records import Example

COLUMNS = ("id", "question", "output", "correct")
PRINTED = "accuracy"
_ASKED = "Question:"
_ACCURACY = re.compile(r"\AAccuracy:\s*(\d(?:\.\d+)?)\Z")
_COUNT = re.compile(r"\A\d{1,4}\Z")
_LEAD = ("Your answer:",)


def read_logs(path: Path, topics: Sequence[Example], *, only: str = "") -> list[TableFile]:
    """
        read_logs(Path("answers.tar.xz"), read_topics(Path("answers.tar.xz")))[0].rows[0].cells["output"]

    The logs (`.txt`) of a folder or archive. `topics`: in their order; a log holds those of one year. `printed`: the
    accuracy that the log prints. A question that a log lacks has no row; `correct` is None where the log's count leaves
    open which of several answers it means.
    """
    found = []
    for item in members(path, (".txt",)):
        if isinstance(item, Rejected):
            raise DataError(f"log '{item.file}': {item.reason}")
        if isinstance(item, Member) and item.name.endswith(".txt") and (not only or fnmatchcase(item.name, only)):
            with reading(f"log '{item.file}'", remedy="fetch the file again"):
                found.append(_table(item, load_text(item), topics))
    if not found:
        raise DataError(f"no logs{f' that match {only!r}' if only else ''} in '{path}'; .txt files are read")
    return found


def _table(member: Member, text: str, topics: Sequence[Example]) -> TableFile:
    lines = [line.strip() for line in text.splitlines()]
    marked = any(line.startswith(_ASKED) for line in lines)
    asked = list(_questions(lines, topics, mark=_ASKED if marked else ""))
    if not asked:
        raise DataError(
            f"log '{member.file}' holds none of the {len(topics)} topics' questions; name the topics of its year"
        )
    opening = next((line for line in lines[: asked[0][0]] if line), "")
    table = TableFile(member.name, member.file, COLUMNS)
    counted, open_rows = 0, list[int]()
    ends = [place for place, _ in asked[1:]] + [len(lines)]
    right: list[bool | None] = []
    answers: list[str] = []
    for (start, _), end in zip(asked, ends, strict=True):
        answer = _answer(lines[start + 1 : end], opening)
        count = int(answer.pop()) if answer and _COUNT.match(answer[-1]) else 0
        answers.append("\n".join(answer).strip())
        right.append(bool(count))
        if count:
            # Numbers that are left out: answers before were counted by hand, which ones is known where it is all of
            # them. A smaller number: another call went on.
            skipped = count - counted - 1
            for place in open_rows if 0 < skipped <= len(open_rows) else ():
                right[place] = True if skipped == len(open_rows) else None
            counted, open_rows = count, []
        else:
            open_rows.append(len(right) - 1)
    for (place, topic), output, is_right in zip(asked, answers, right, strict=True):
        table.rows.append(
            Row(place + 1, {"id": topic.id, "question": topic.question, "output": output, "correct": is_right})
        )
    accuracy = next((match[1] for line in reversed(lines) if (match := _ACCURACY.match(line))), None)
    table.printed = {PRINTED: float(accuracy)} if accuracy else {}
    return table


def _questions(lines: Sequence[str], topics: Sequence[Example], *, mark: str) -> Iterator[tuple[int, Example]]:
    """The places of the questions, in the order of the topics."""
    place = 0
    for topic in topics:
        wanted = _bare(mark + topic.question)
        found = next((n for n in range(place, len(lines)) if _bare(lines[n]) == wanted), None)
        if found is not None:
            yield found, topic
            place = found + 1


def _bare(line: str) -> str:
    """Logs have a question mark, or a blank, where a topic has none."""
    return line.replace(" ", "").rstrip("?.")


def _answer(lines: Sequence[str], opening: str) -> list[str]:
    """What was written after a question, up to the next prompt."""
    kept: list[str] = []
    for line in lines:
        if (opening and line == opening) or _ACCURACY.match(line):
            break
        if line not in _LEAD:
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    while kept and not kept[0]:
        kept.pop(0)
    return kept
