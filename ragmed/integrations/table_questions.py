"""Entries of a task in, its questions out, each once: text, options, gold; what two rows say of one must agree.

Also: which option a cell names, as a letter, as a text, as both, or as a number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ragmed.errors import DataError
from ragmed.integrations.table_files import text_of
from ragmed.integrations.table_gold import KnownQuestions
from ragmed.integrations.table_rows import BadCell, Entries, Entry, listed
from ragmed.integrations.table_settings import TableImport
from ragmed.matching.words import same_question
from ragmed.records import Example, Gold
from ragmed.text_table import counted, verb

_BOTH = re.compile(r"\A[(\[]?([A-Z])[)\].:,]*\s*[-:.)]?\s*(.*)\Z", re.DOTALL)
_LETTER = re.compile(r"\A[A-Z]\Z")
_MARKS = " ()[]{}.,:;*'\"`"
_VERDICTS = {"yes", "no", "maybe", "true", "false"}


@dataclass(slots=True)
class Questions:
    """Of one task. `examples`: key -> the question, without a repeat. `entries`: key -> rows about it, in their order.
    `as_texts`: gold cells that name an option by its text. `known`: where the questions come from, if not the table."""

    examples: dict[str, Example] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    as_letters: int = 0
    as_texts: int = 0
    known: KnownQuestions | None = None


def option_named(cell: str, options: Mapping[str, str], numbers_from: int | None) -> str | None:
    """
    >>> doses = {"A": "10 mg", "B": "40 mg"}
    >>> [option_named(cell, doses, 0) for cell in ("B", "(b)", "40 MG", "B. 40 mg", "1", "E", "A. 40 mg")]
    ['B', 'B', 'B', 'B', 'B', None, None]

    The letter of the option that a cell names; None where it names none, or two things that are not one. Of options
    with one text it is the first.
    """
    cell = cell.strip()
    if cell in options:
        return cell
    bare = cell.strip("()[]. :")
    if len(bare) == 1 and bare.upper() in options:
        return bare.upper()
    words = same_question(cell)
    for letter, text in options.items():
        if words and same_question(text) == words:
            return letter
    match = _BOTH.match(cell)
    if match and match[1] in options and match[2]:
        return match[1] if same_question(match[2]) == same_question(options[match[1]]) else None
    if (
        numbers_from is not None
        and bare.isdecimal()
        and len(bare) < 10
        and 0 <= int(bare) - numbers_from < len(options)
    ):
        return list(options)[int(bare) - numbers_from]
    return None


def questions_of(
    entries: Sequence[Entry], settings: TableImport, made: Entries, known: KnownQuestions | None = None
) -> Questions:
    """The questions of one task's entries. Rows whose question is not known, or has no gold answer, are refused and
    counted in `made`. Raises DataError where one key has two golds, two texts or two lists of options."""
    found = Questions(known=known)
    if known:
        _join(entries, known, settings, made, found)
        return found
    by_key: dict[str, list[Entry]] = {}
    for entry in entries:
        by_key.setdefault(_key(entry, settings), []).append(entry)
    for key, rows in by_key.items():
        try:
            found.examples[key] = _example(key, rows, settings, found)
            found.entries[key] = rows
        except BadCell as error:
            for row in rows:
                made.refuse(str(error), row.where)
    _check_letters(found, settings)
    return found


def _key(entry: Entry, settings: TableImport) -> str:
    if entry.id and settings.key != "question":
        return entry.id
    return "q-" + hashlib.sha256(same_question(entry.question).encode()).hexdigest()[:12]


def _example(key: str, rows: Sequence[Entry], settings: TableImport, found: Questions) -> Example:
    question = _agreed(rows, "question", settings, lambda entry: entry.question, same_question)
    options: Mapping[str, str] = (
        _agreed(
            rows,
            "options",
            settings,
            lambda entry: entry.options,
            lambda given: {k: same_question(v) for k, v in given.items()},
        )
        or {}
    )
    if not options:  # probabilities of letters or labels say what could be answered
        named = dict.fromkeys(letter for row in rows for letter in row.log_probabilities)
        options = {letter: letter for letter in named}
    group = _agreed(rows, "group", settings, lambda entry: entry.group, str) or ""
    gold: Gold = ""
    if settings.columns.gold:
        cell = _agreed(
            rows, "gold", settings, lambda entry: entry.gold if text_of(entry.gold) else "",
            lambda given: option_named(text_of(given), options, settings.numbers_from) or text_of(given),
        )  # fmt: skip
        gold = _gold(cell, options, settings, found)
    return Example(key, question or "", options=options, gold=gold, group=group)


def _agreed(rows: Sequence[Entry], what: str, settings: TableImport, take: Any, same: Any) -> Any:
    """What the rows say that say something; DataError where two say different things."""
    first: tuple[Any, Entry] | None = None
    for row in rows:
        value = take(row)
        if not value:
            continue
        if first is None:
            first = value, row
        elif value != first[0] and same(value) != same(first[0]):
            shown = [" ".join(text_of(one).split())[:60] for one in (first[0], value)]
            column = getattr(settings.columns, what)
            remedy = (
                "correct one, or name the column that tells the questions apart (--id)"
                if settings.key == "question" or not row.id
                else "correct one, or join by the text of the question with --key question"
            )
            raise DataError(
                f"column '{column if isinstance(column, str) and column else what}': '{row.id or row.question[:60]}' "
                f"has two different values of {what}, '{shown[0]}' ({first[1].where}) and '{shown[1]}' ({row.where}); "
                f"{remedy}"
            )
    return first[0] if first else None


def _gold(cell: Any, options: Mapping[str, str], settings: TableImport, found: Questions) -> Gold:
    column = settings.columns.gold
    text = text_of(cell)
    if not text:
        raise BadCell(f"column '{column}' is empty: the question has no gold answer")
    if isinstance(cell, str) and text.startswith("[") and text.endswith("]"):
        with suppress(BadCell):
            cell = listed(cell, column)
    if isinstance(cell, list | tuple) and len(cell) == 1:
        text = text_of(cell[0])
    elif isinstance(cell, list | tuple) and not options:
        return tuple(text_of(one) for one in cell)
    if not options:
        return text
    letter = option_named(text, options, settings.numbers_from)
    if letter is None:
        ask = text.isdecimal() and settings.numbers_from is None
        numbers = ", or say with --numbers-from what the first option's number is" if ask else ""
        raise BadCell(f"column '{column}' names none of the options, by letter or by text; correct it{numbers}")
    if text.strip("()[]. :").upper() in options:
        found.as_letters += 1
    else:
        found.as_texts += 1
    return letter


def _check_letters(found: Questions, settings: TableImport) -> None:
    """Without options a letter and a text cannot be one: a column that holds both says nothing."""
    golds = [
        example.gold for example in found.examples.values() if not example.options and isinstance(example.gold, str)
    ]
    letters = sum(bool(_LETTER.match(gold)) for gold in golds)
    if letters and letters < len(golds) and letters > len(golds) // 20:
        other = next(gold for gold in golds if not _LETTER.match(gold))
        raise DataError(
            f"column '{settings.columns.gold}' mixes letters and texts ({letters} of {len(golds)} "
            f"{verb(letters, 'is a letter', 'are letters')}, another is '{other[:60]}'); name the options with "
            "--options, so that the two can be told to be one"
        )


def _join(
    entries: Sequence[Entry], known: KnownQuestions, settings: TableImport, made: Entries, found: Questions
) -> None:
    differing: list[tuple[Entry, Example]] = []
    for entry in entries:
        by_id, by_text = settings.key != "question" and entry.id, settings.key != "id" and entry.question
        example = known.find(by_id or "", by_text or "")
        if example is None:
            if by_id and by_text and known.find(by_id, ""):
                why = f"{known.name} has another question under this id; --key id joins by ids alone"
            else:
                asked = "id or text" if by_id and by_text else "id" if by_id else "text"
                why = f"{known.name} has no question of this {asked}"
            made.refuse(why, entry.where)
            continue
        if entry.options and example.options and not _same_letters(entry.options, example.options):
            raise DataError(
                f"{entry.where}: its options stand under other letters than in {known.name} ('{example.id}'), so that "
                "letters mean other things; leave --gold out, or sort the options alike"
            )
        if text_of(entry.gold) and settings.columns.gold:
            letter = option_named(text_of(entry.gold), example.options or entry.options, settings.numbers_from)
            if (letter or text_of(entry.gold)) != example.gold:
                differing.append((entry, example))
        # a gold file may hold answers alone: what the table says of the question then stands beside it
        question, options = example.question or entry.question, example.options or entry.options
        previous = found.examples.setdefault(example.id, replace(example, question=question, options=options))
        group = entry.group or previous.group
        if group != previous.group:
            found.examples[example.id] = replace(previous, group=group)
        found.entries.setdefault(example.id, []).append(entry)
    if differing:
        entry, example = differing[0]
        count = len({example.id for _, example in differing})
        raise DataError(
            f"column '{settings.columns.gold}': the gold answers of {counted(count, 'question')} differ from those of "
            f"{known.name}: '{example.id}' is '{text_of(entry.gold)[:60]}' in {entry.where} and "
            f"'{text_of(example.gold)[:60]}' there; leave one of the two out"
        )
    order = {id_: place for place, id_ in enumerate(known.examples)}
    found.examples = {id_: found.examples[id_] for id_ in sorted(found.examples, key=lambda id_: order[id_])}


def _same_letters(some: Mapping[str, str], others: Mapping[str, str]) -> bool:
    return all(same_question(text) == same_question(others.get(letter, "")) for letter, text in some.items())


@dataclass(frozen=True, slots=True)
class GoldLabels:
    """The gold answers of questions without options. `named`: folded, without the marks around it -> as it is written.

    `closed`: all are single letters, or yes, no and the like, so that a whole sentence is none of them.
    """

    named: Mapping[str, str]
    letters: bool
    closed: bool

    @classmethod
    def of(cls, examples: Mapping[str, Example]) -> GoldLabels:
        golds = {example.gold: None for example in examples.values() if isinstance(example.gold, str)}
        named = {folded: gold for gold in golds for folded in (_bare(gold), gold.casefold())}
        letters = bool(golds) and all(len(gold) == 1 and gold.isalpha() for gold in golds)
        return cls(named, letters, letters or (bool(golds) and {_bare(gold) for gold in golds} <= _VERDICTS))

    def read(self, cell: str) -> str | None:
        """
        >>> yes_no = GoldLabels({"yes": "yes", "no": "no"}, letters=False, closed=True)
        >>> yes_no.read("Yes."), yes_no.read("maybe"), yes_no.read("No, because it is not")
        ('yes', 'maybe', None)

        The gold answer that a cell is, whatever its case and the marks around it, else the cell; None for a text where
        gold answers are letters or single words: what it says has to be read first.
        """
        bare = _bare(cell)
        gold = self.named.get(cell.casefold()) or self.named.get(bare)
        if gold is not None or not self.closed:
            return gold or cell
        return None if len(bare) > 1 and (self.letters or " " in bare) else cell

    @property
    def remedy(self) -> str:
        """The option that tells what can be answered."""
        golds = sorted({gold.upper() if self.letters else gold for gold in self.named.values()})
        named = map(chr, range(ord("A"), ord(golds[-1]) + 1)) if self.letters else golds
        return f"--labels {','.join(named)}"


def _bare(cell: str) -> str:
    return " ".join(cell.split()).strip(_MARKS).casefold()


def answered_by(cell: str, example: Example, settings: TableImport, labels: GoldLabels) -> str | None:
    """What an answer of the authors' column names: a letter where there are options, else as `GoldLabels.read`; None
    where it names no option, or is empty."""
    if not cell:
        return None
    if example.options:
        return option_named(cell, example.options, settings.numbers_from)
    return labels.read(cell)
