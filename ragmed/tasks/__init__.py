"""One clinical task a file: where its examples come from, its words, its answer pattern, its scorer.

A task knows no model and no retrieval. `load_task` binds one to the settings of an experiment: which examples are
asked, which serve as worked examples, how an option is chosen.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import sha256_file, sha256_json
from ragmed.records import Access, Example
from ragmed.workspace import Workspace

Kind = Literal["choice", "text"]
Scoring = Literal["generate", "letters", "option-text"]
Normalise = Literal["none", "tokens", "characters"]
SCORINGS: tuple[str, ...] = ("generate", "letters", "option-text")
NORMALISATIONS: tuple[str, ...] = ("none", "tokens", "characters")
OptionOrder = Literal["published", "reversed", "rotated", "shuffled"]
OPTION_ORDERS: tuple[str, ...] = ("published", "reversed", "rotated", "shuffled")
HELD_OUT = 16  # worked examples come from so many examples, where a set has no split of its own for them

TASKS: dict[str, str] = {
    "handbook-questions": "ragmed.tasks.handbook:QUESTIONS",
    "handbook-questions-2031": "ragmed.tasks.handbook:QUESTIONS_2031",
    "handbook-changed": "ragmed.tasks.handbook:CHANGED",
    "handbook-changed-2031": "ragmed.tasks.handbook:CHANGED_2031",
    "handbook-unanswerable": "ragmed.tasks.handbook:UNANSWERABLE",
    "handbook-notes": "ragmed.tasks.handbook:NOTES",
    "medqa": "ragmed.tasks.mirage:MEDQA",
    "medmcqa": "ragmed.tasks.mirage:MEDMCQA",
    "mmlu": "ragmed.tasks.mirage:MMLU",
    "pubmedqa": "ragmed.tasks.mirage:PUBMEDQA",
    "bioasq": "ragmed.tasks.mirage:BIOASQ",
    "medquad-names": "ragmed.tasks.medquad:NAMES",
    "meqsum": "ragmed.tasks.meqsum:MEQSUM",
    "scifact": "ragmed.tasks.scifact:SCIFACT",
}


@dataclass(frozen=True, slots=True)
class Split:
    """What a publisher's files hold: examples to score, and examples that may be shown (`shots`, often none)."""

    examples: tuple[Example, ...]
    shots: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task as published.

    `kind`: `choice` has options and a letter as gold; `text` is scored by `score(example, answer)`. `label`: the word
    before what is asked, in the prompt.
    `gold_documents`: whether examples name the documents that hold the answer, so that oracle passages exist. `ids`:
    what these names are (`pmid`), as corpora say it of their documents' ids; '' for whatever an index holds.
    """

    name: str
    title: str
    kind: Kind
    instruction: str
    load: Callable[[Workspace], Split]
    source: str
    license: str
    metrics: tuple[str, ...]
    score: Callable[[Example, str], Mapping[str, float]] | None = None
    gold_documents: bool = False
    max_tokens: int = 16
    label: str = "Question"
    access: Access = "open"
    ids: str = ""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What an experiment may set for a task. `limit` 0 asks all examples; `max_tokens` 0 takes the task's own.

    `file`: questions of one's own, see `ragmed.tasks.own`, with their `access` (private unless said otherwise).
    `system_instruction`: words before the task's own, at the head of the system message of every arm.
    `task`: the known task behind a name of one's own, so that one task can be asked in several ways. `options`: the
    order of the options' texts under their letters (`rotated` by one, `shuffled` anew for each example); worked
    examples stay as they are.
    """

    file: str = ""
    access: Access = "private"
    limit: int = 0
    scoring: Scoring = "generate"
    normalise: Normalise = "none"
    shots: int = 0
    max_tokens: int = 0
    system_instruction: str = ""
    task: str = ""
    options: OptionOrder = "published"


@dataclass(frozen=True, slots=True)
class BoundTask:
    """A task with its settings: `examples` in the order in which they are asked, `shots` as they are shown.

    `held_out`: how many examples were taken out of scoring for the worked examples to come from.
    """

    task: Task
    settings: TaskSettings
    examples: tuple[Example, ...]
    shots: tuple[Example, ...]
    held_out: int = 0

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def max_tokens(self) -> int:
        return self.settings.max_tokens or self.task.max_tokens

    @property
    def needs_likelihoods(self) -> bool:
        return self.task.kind == "choice" and self.settings.scoring != "generate"

    def query(self, example: Example) -> str:
        """What the retriever sees: the question alone, never the options (MIRAGE, arXiv 2402.13178, section 3.1)."""
        return example.question

    def _code(self) -> str:
        """Hash of the file that holds the task's loader and scorer."""
        return sha256_file(Path(inspect.getfile(self.task.load)))

    def fingerprint(self) -> dict[str, str]:
        """Hash of what is asked and shown, in its order, words included, and of how answers are read and scored."""
        content = [
            self.task.instruction,
            self.task.kind,
            self.task.label,
            self.max_tokens,
            self._code(),
            [_plain(e) for e in self.examples],
            [_plain(s) for s in self.shots],
        ]
        return {"sha256": sha256_json(content)}


def _plain(example: Example) -> list[object]:
    return [example.id, example.question, example.gold, dict(example.options), list(example.documents), example.group]


def task_names() -> list[str]:
    return list(TASKS)


def find_task(name: str) -> Task:
    """>>> find_task("medqa").kind
    'choice'

    Raises UnknownNameError with near names.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    module, attribute = TASKS[name].split(":")
    task: Task = getattr(importlib.import_module(module), attribute)
    return task


def describe_task(name: str, *, workspace: Workspace) -> str:
    """Source, licence, counts and one example of a task, as text."""
    task = find_task(name)
    split = task.load(workspace)
    _check(task, split)
    example = split.examples[0]
    lines = [
        f"{task.name}: {task.title}",
        f"source: {task.source}",
        f"licence: {task.license}   access: {task.access}",
        f"metrics: {', '.join(task.metrics)}   scored examples: {len(split.examples)}   to show: {len(split.shots)}",
        f"gold documents: {'yes' if task.gold_documents else 'no'}",
        f"instruction: {task.instruction}",
        f"example {example.id}: {example.question}",
        *(f"  {letter}. {text}" for letter, text in example.options.items()),
        f"  gold: {example.gold}",
    ]
    return "\n".join(lines)


def load_task(name: str, settings: TaskSettings, *, workspace: Workspace, seed: int) -> BoundTask:
    """Reads the examples and takes those that the settings ask for, in an order that depends on the seed alone.

    Worked examples come from a split that is not scored; where a set has none, HELD_OUT examples are taken out of
    scoring for all arms alike. Raises DataError where a set is damaged, UsageError where settings do not fit it.
    """
    known = _own(name, settings, workspace) if settings.file else find_task(settings.task or name)
    task = replace(known, name=name)
    if task.kind == "text" and settings.scoring != "generate":
        raise UsageError(f"task '{name}' is answered with text; scoring '{settings.scoring}' needs options")
    if task.kind == "text" and settings.options != "published":
        raise UsageError(
            f"task '{name}' is answered with text; it has no options whose order could be '{settings.options}'"
        )
    split = task.load(workspace)
    _check(task, split)
    examples = _shuffled(split.examples, seed)
    pool = _shuffled(split.shots, seed)
    held_out = 0
    if settings.shots and not pool:
        if settings.file or len(examples) < 2 * HELD_OUT:
            raise UsageError(
                f"task '{name}' has no worked examples to show: mark some of its questions with split = dev, "
                "which are then never scored, or set shots to 0"
            )
        held_out = HELD_OUT
        pool, examples = examples[:HELD_OUT], examples[HELD_OUT:]
    if settings.shots > len(pool):
        raise UsageError(f"task '{name}' has {len(pool)} worked examples to show, {settings.shots} were asked for")
    if settings.limit:
        examples = examples[: settings.limit]
    examples = [_reordered(example, settings.options, seed) for example in examples]
    return BoundTask(task, settings, tuple(examples), tuple(pool[: settings.shots]), held_out)


def _own(name: str, settings: TaskSettings, workspace: Workspace) -> Task:
    from ragmed.tasks.own import own_task

    return own_task(name, workspace.root / Path(settings.file).expanduser(), access=settings.access)


def _shuffled(examples: Sequence[Example], seed: int) -> list[Example]:
    """A seeded order that does not change for the others when an example is added or removed."""
    return sorted(examples, key=lambda e: hashlib.sha256(f"{seed}\x00{e.id}".encode()).digest())


def _reordered(example: Example, order: OptionOrder, seed: int) -> Example:
    """The same options under other letters; the gold letter goes with its text."""
    letters = list(example.options)
    if order == "published":
        return example
    came_from = {
        "reversed": letters[::-1],
        "rotated": [*letters[1:], *letters[:1]],
        "shuffled": sorted(letters, key=lambda c: hashlib.sha256(f"{seed}\x00{example.id}\x00{c}".encode()).digest()),
    }[order]
    options = {letter: example.options[old] for letter, old in zip(letters, came_from, strict=True)}
    return replace(example, options=options, gold=letters[came_from.index(example.gold)])


def _check(task: Task, split: Split) -> None:
    if not split.examples:
        raise DataError(f"task '{task.name}' has no examples")
    seen: set[str] = set()
    for example in (*split.examples, *split.shots):
        if example.id in seen:
            raise DataError(f"task '{task.name}': the id '{example.id}' occurs twice")
        seen.add(example.id)
        if not example.question.strip():
            raise DataError(f"task '{task.name}', example '{example.id}': the question is empty")
        if task.kind == "choice":
            if len(example.options) < 2 or any(not text.strip() for text in example.options.values()):
                raise DataError(f"task '{task.name}', example '{example.id}': two or more options with text are needed")
            if example.gold not in example.options:
                raise DataError(f"task '{task.name}', example '{example.id}': the answer '{example.gold}' is no option")
