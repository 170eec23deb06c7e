"""Questions of one's own: a JSON Lines or CSV file -> a task, without a line of code.

A config names the file beside the task (`tasks: {our-rules: {file: questions.jsonl, scoring: letters}}`); a record:

    {"id": "q1", "question": "Who signs form R7?", "options": {"A": "the ward clerk", "B": "the consultant"},
     "answer": "B", "documents": ["forms/r7"], "group": "forms", "split": "test"}

or a row of a CSV file, as a spreadsheet writes it, where the options are the columns A, B, C …:

    id,question,A,B,answer,documents
    q1,Who signs form R7?,the ward clerk,the consultant,B,forms/r7; forms/r8

`answer` is needed (the letter of an option, or its text; where it is the letter of one and the text of another, the
text is meant, unless other records answer with letters: then it is refused), and a `question`, or a `context` that
stands for it; `id`, too, in JSON Lines (a row without one is named after its number). Records without options are
answered with text, scored by ROUGE-L against `answer`; a file has all of one kind. `documents` (ids in the corpus, or
CORPUS:ID) give the oracle arm its passages; it exists only where every scored record names some. `context`: the
question's own material (a note, an abstract), shown before it: a text, or in JSON Lines a list of `{"text", "title",
"date"}`, of which `text` is needed; a retriever is asked the question, and the first text of the context only where
there is none. `group`: records that share one are resampled together. `split`: `dev` records may be shown as few-shot
examples and are never scored. `date` (2031, 2031-05 or 2031-05-17): when it was asked; `ragmed audit` names documents
that are newer. Other columns and keys are not read; they, and all else that was not taken as it stands, are named in
the notes of the split.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, UsageError
from ragmed.files import not_text, read_text, records, require_file, sha256_file
from ragmed.metrics.gold import option_text
from ragmed.metrics.overlap import has_words
from ragmed.records import Access, ContextDocument, Example
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import LETTER, TEXT
from ragmed.text_table import counted

KEYS = ("id", "question", "context", "options", "answer", "documents", "group", "split", "date")
LEAST_BY_LETTER = 3
COLUMNS = ("id", "question", "context", "answer", "documents", "group", "split", "date")
SUFFIXES = (".jsonl", ".csv", ".tsv")
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
_SEPARATOR = re.compile(r'"?sep=([^"\r\n])"?\r?\n', re.I)  # a line that spreadsheets write before the header
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_DELIMITERS = ",;\t"  # spreadsheets of half of Europe write semicolons
_NOT_ASCII = re.compile(r"[^\W_]*[^\x00-\x7f]\w*")
_ANSWER_TOKENS = 128


def check_questions_file(path: Path) -> bool:
    """
    >>> check_questions_file(Path("questions.csv"))
    True

    Whether its name is that of a file of questions; UsageError, with the remedy, where it is a spreadsheet's own.
    """
    if path.suffix.lower() in _SPREADSHEETS:
        raise UsageError(f"'{path}' is a spreadsheet; save it as CSV (UTF-8), and name that file")
    return path.suffix.lower() in SUFFIXES


def own_task(name: str, path: Path, *, access: Access = "private") -> Task:
    """
        own_task("our-rules", Path("questions.csv")).kind  # 'choice'

    Raises DataError with file and line for a record that cannot be used, UsageError for a spreadsheet that is no CSV.
    Private unless the config says otherwise.
    """
    check_questions_file(path)
    split = _read(path)
    choice = bool((*split.examples, *split.shots)[0].options)
    return Task(
        name=name,
        title=f"questions from {path.name}",
        kind="choice" if choice else "text",
        instruction="You answer multiple-choice questions. Exactly one of the options is right."
        if choice
        else "You answer questions, briefly and in plain words.",
        load=lambda workspace: split,
        source=f"{path.name}, sha256 {sha256_file(path)[:16]}",
        license="not stated",
        metrics=("accuracy",) if choice else ("rouge_l",),
        form=LETTER if choice else TEXT,
        gold_documents=any(example.documents for example in split.examples),
        max_tokens=16 if choice else _ANSWER_TOKENS,
        access=access,
    )


def _read(path: Path) -> Split:
    splits: dict[str, list[Example]] = {"test": [], "dev": []}
    kinds: dict[bool, str] = {}
    notes: list[str] = []
    given = list(_lines(path, notes) if path.suffix.lower() == ".jsonl" else _rows(path, notes))
    keys = _AnswerKeys()
    for where, record in given:
        split = record.get("split", "test")
        if split not in splits:
            raise DataError(f"{where}: split is {split!r}; write test or dev")
        example = _example(record, where, keys)
        kinds.setdefault(bool(example.options), where)
        if len(kinds) == 2:
            with_options, without = (kinds[kind].removeprefix(f"questions file '{path}', ") for kind in (True, False))
            raise DataError(f"questions file '{path}': {with_options} has options, {without} has none; a file holds "
                            "one kind: make two of it")  # fmt: skip
        splits[split].append(example)
    if not splits["test"]:
        raise DataError(f"questions file '{path}' holds no question to be scored")
    notes += keys.notes(path)
    test, dev = (tuple(keys.meant(example) for example in splits[split]) for split in ("test", "dev"))
    return Split(test, dev, tuple(notes))


def _lines(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    ignored: dict[str, None] = {}
    for where, record in records(path, "questions file"):
        ignored |= dict.fromkeys(_unread(record, KEYS, where, "key"))
        yield where, {key: value for key, value in record.items() if key in KEYS}
    if ignored:
        notes.append(f"{path.name}: keys that are not read: {', '.join(ignored)}.")


def _unread(names: Iterable[str], known: Sequence[str], where: str, what: str) -> list[str]:
    """The names that nobody reads; DataError for one that is a slip of the pen for one that is missing."""
    names = list(names)
    missing = [name for name in known if name not in names]
    unread = [name for name in names if name not in known]
    for name in unread:
        if near := difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.8):
            raise DataError(f"{where}: unknown {what} '{name}'; is '{near[0]}' meant? Rename it, or leave it out")
    return unread


def _rows(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a CSV as records, with the line on which each ends."""
    text = _spreadsheet_text(path, notes)
    declared = _SEPARATOR.match(text)
    text = text[declared.end() :] if declared else text
    delimiter = declared[1] if declared else max(_DELIMITERS, key=text.split("\n", 1)[0].count)
    before = 1 if declared else 0
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [_column(name) for name in next(rows, [])]
        letters = _letters(header, path, f"questions file '{path}', line {before + 1}", notes)
        for row in rows:
            number = rows.line_num + before
            where = f"questions file '{path}', line {number}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(f"{where}: {counted(len(row), 'cell')}, the header has {len(header)}; put quotes "
                                "around text that holds the separator")  # fmt: skip
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            yield where, _record(cells, letters, number)
    except csv.Error as error:
        raise DataError(f"questions file '{path}', line {rows.line_num + before}: {error}") from error


def _spreadsheet_text(path: Path, notes: list[str]) -> str:
    """UTF-8; or what spreadsheets write without being asked: UTF-16 with its mark, or Windows-1252, which is noted."""
    data = require_file(path, "questions file").read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(f"questions file '{path}' is damaged UTF-16 ({error.reason}); save it as UTF-8") from error
    if not not_text(data) or b"\x00" in data:
        return read_text(path, "questions file")
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return read_text(path, "questions file")  # which says why it is no text
    words = list(dict.fromkeys(_NOT_ASCII.findall(text)))[:3]
    notes.append(f"{path.name} is not UTF-8 and was read as Windows-1252; check its letters, such as those of "
                 f"{', '.join(words)}, or save it as UTF-8.")  # fmt: skip
    return text


def _column(name: str) -> str:
    """A header's name as it is written here: options are capital letters, all others small."""
    name = name.strip()
    return name.upper() if len(name) == 1 else name.lower()


def _letters(header: list[str], path: Path, where: str, notes: list[str]) -> list[str]:
    letters = [name for name in header if len(name) == 1 and "A" <= name <= "Z"]
    for name in [*COLUMNS, *letters]:
        if header.count(name) > 1:
            raise DataError(f"{where}: the column '{name}' is there twice")
    gaps = [letter for letter in _alphabet(max(letters, default="")) if letter not in letters]
    if gaps:
        raise DataError(f"{where}: there is a column {max(letters)} and none for option {', '.join(gaps)}; options are "
                        "the columns A, B, C … without a gap")  # fmt: skip
    unread = _unread((name for name in header if name not in letters), COLUMNS, where, "column")
    if unread:
        named = ", ".join(name or "(without a name)" for name in dict.fromkeys(unread))
        notes.append(f"{path.name}: columns that are not read: {named}.")
    return letters


def _alphabet(last: str) -> list[str]:
    """A to a last letter; none for ''."""
    return [chr(code) for code in range(ord("A"), ord(last) + 1)] if last else []


def _record(cells: dict[str, str], letters: list[str], number: int) -> dict[str, Any]:
    """A row in the form of a JSON record; options that are empty at the end of the letters are not there."""
    options = {letter: cells[letter] for letter in sorted(letters)}
    while options and not list(options.values())[-1]:
        options.popitem()
    record: dict[str, Any] = {name: cells.get(name, "") for name in ("question", "context", "answer", "group", "date")}
    record |= {"id": cells.get("id") or f"row-{number}", "split": cells.get("split") or "test"}
    record["documents"] = [part.strip() for part in cells.get("documents", "").split(";") if part.strip()]
    return record | ({"options": options} if options else {})


def _example(record: Mapping[str, Any], where: str, keys: _AnswerKeys) -> Example:
    context = _context(record.get("context", ""), where)
    question = record.get("question", "" if context else None)
    for key, text in (("id", record.get("id")), ("answer", record.get("answer")), ("question", question)):
        if not isinstance(text, str) or not (text.strip() or (key == "question" and context)):
            raise DataError(f"{where}: '{key}' must be text that is not empty")
    options, documents = record.get("options", {}), record.get("documents", [])
    if not isinstance(options, dict) or not all(isinstance(text, str) for text in options.values()):
        raise DataError(f'{where}: \'options\' must be letters with texts, such as {{"A": "yes", "B": "no"}}')
    if list(options) != [chr(ord("A") + i) for i in range(len(options))]:
        raise DataError(f"{where}: the letters of 'options' must be A, B, C … in this order, found {list(options)}")
    empty = [letter for letter, text in options.items() if not text.strip()]
    if empty:
        raise DataError(f"{where}: option {', '.join(empty)} is empty; every option up to the last one needs text")
    if not isinstance(documents, list) or not all(isinstance(document, str) for document in documents):
        raise DataError(f"{where}: 'documents' must be a list of document ids")
    group = record.get("group", "")
    if not isinstance(group, str):
        raise DataError(f"{where}: 'group' must be text")
    gold = keys.letter(record["answer"].strip(), options, record["id"], where) if options else record["answer"]
    if not options and not has_words(record["answer"]):
        raise DataError(
            f"{where}: the answer '{record['answer']}' has no word that an answer could share; write it out"
        )
    date = _date(record.get("date", ""), where)
    return Example(record["id"], question, context, options, gold, tuple(documents), group, date)


class _AnswerKeys:
    """The answers of a file, each the letter of an option or its text; where it could be both, the file decides.

    With the options O, A, B, AB the answer "A" is the letter of O and the text of B. It is the text, unless the file
    answers with letters elsewhere. Then it is the letter where LEAST_BY_LETTER answers or more can be nothing but
    letters, and none nothing but a text; else nothing tells which is meant.
    """

    def __init__(self) -> None:
        self._by_letter = ""
        self._letters = self._texts = 0
        self._either: list[tuple[str, str, str, str]] = []

    def letter(self, answer: str, options: Mapping[str, str], id_: str, where: str) -> str:
        """The letter of the option that is meant; raises DataError where it is none, or one of several."""
        texts = {letter: " ".join(text.split()) for letter, text in options.items()}
        plain = {letter: option_text(text) for letter, text in options.items()}
        if len(options) < 2:
            raise DataError(f"{where}: two options or more are needed, found {len(options)}")
        if len(set(plain.values())) == 1:
            raise DataError(f"{where}: all options have one text, '{texts['A']}'; there is nothing to choose")
        written = " ".join(answer.split())
        same = [letter for letter, text in texts.items() if text == written]
        same = same or [letter for letter, text in texts.items() if text.casefold() == written.casefold()]
        same = same or [letter for letter, text in plain.items() if text == option_text(answer)]
        if answer in options:
            if not same:
                self._by_letter = self._by_letter or where
                self._letters += 1
            if not same or answer in same:
                return answer
            self._either.append((where, id_, answer, same[0]))
            return same[0]
        if len({plain[letter] for letter in same}) != 1:
            among = f"'{answer}' is options {' and '.join(same)} but for capitals" if same else (
                f"the answer '{answer}' is none of the options")  # fmt: skip
            raise DataError(f"{where}: {among}; write a letter ({', '.join(options)}) or the text of one option")
        self._texts += 1
        return same[0]

    @property
    def _letters_meant(self) -> bool:
        return self._letters >= LEAST_BY_LETTER and not self._texts

    def meant(self, example: Example) -> Example:
        """The example with the gold that the whole file decides; to be asked when all answers were read."""
        letters = {id_: answer for _, id_, answer, _ in self._either} if self._letters_meant else {}
        return replace(example, gold=letters[example.id]) if example.id in letters else example

    def notes(self, path: Path) -> list[str]:
        """What was decided; DataError where nothing decides. To be asked when all answers were read."""
        if not self._either:
            return []
        where, _, answer, letter = self._either[0]
        if self._letters_meant:
            named = ", ".join(f"{id_}: {answer}" for _, id_, answer, _ in self._either)
            return [
                f"{path.name}: answers that are the letter of one option and the text of another were taken as "
                f"letters, as all other answers of the file are ({named})."
            ]
        if self._by_letter:
            elsewhere = self._by_letter.removeprefix(f"questions file '{path}', ")
            raise DataError(
                f"{where}: the answer '{answer}' is the letter of one option and the text of another, {letter}; this "
                f"file answers with letters elsewhere ({elsewhere}), so that "
                "either may be meant: write the options so that no text is a letter, such as 'group A'"
            )
        named = ", ".join(f"{id_}: {answer} is option {letter}" for _, id_, answer, letter in self._either)
        return [
            f"{path.name}: answers that are the letter of one option and the text of another were taken as texts "
            f"({named})."
        ]


def _context(given: Any, where: str) -> tuple[ContextDocument, ...]:
    """A text, or a list of texts with title and date; '' is none."""
    if isinstance(given, str):
        return (ContextDocument(given),) if given.strip() else ()
    if not isinstance(given, list) or not all(isinstance(part, dict) for part in given):
        raise DataError(f'{where}: \'context\' must be text, or a list such as [{{"text": "…", "title": "Note"}}]')
    documents = []
    for number, part in enumerate(given, 1):
        at = f"{where}, context {number}"
        if unknown := [key for key in part if key not in ("text", "title", "date")]:
            raise DataError(f"{at}: unknown key '{unknown[0]}'; known: text, title, date")
        text, title = part.get("text"), part.get("title", "")
        if not isinstance(text, str) or not text.strip() or not isinstance(title, str):
            raise DataError(f"{at}: 'text' must be text that is not empty, and 'title' text")
        documents.append(ContextDocument(text, title, _date(part.get("date", ""), at)))
    return tuple(documents)


def _date(given: Any, where: str) -> str:
    if not isinstance(given, str) or (given and not _DATE.fullmatch(given)):
        raise DataError(f"{where}: 'date' must be text such as 2031, 2031-05 or 2031-05-17, found {given!r}")
    return given
