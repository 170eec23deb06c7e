"""One clinical task a file: where its examples come from, its words, its answer pattern, its scorer.

A task knows no model and no retrieval. `load_task` binds one to the settings of an experiment: which examples are
asked, which serve as few-shot examples, how an option is chosen.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import sha256_json, user_path
from ragmed.metrics.gold import equal_options
from ragmed.records import Example
from ragmed.tasks.reading import LIKELIHOODS
from ragmed.tasks.task import (
    NORMALISATIONS,
    OPTION_ORDERS,
    SCORINGS,
    FewShot,
    Kind,
    Normalise,
    OptionOrder,
    Scoring,
    Split,
    Task,
    TaskSettings,
)
from ragmed.tasks.words import LETTER, OPTION_TEXT, PromptForm, gold_text
from ragmed.workspace import Workspace

__all__ = [
    "NORMALISATIONS", "OPTION_ORDERS", "SCORINGS", "TASKS", "BoundTask", "FewShot", "Kind", "Normalise", "OptionOrder",
    "Scoring", "Split", "Task", "TaskSettings", "describe_task", "find_task", "load_task", "task_names",
]  # fmt: skip

HELD_OUT = 16  # few-shot examples come from so many examples, where a set has no split of its own for them

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
    "mednli": "ragmed.tasks.mednli:MEDNLI",
    "meqsum": "ragmed.tasks.meqsum:MEQSUM",
    "scifact": "ragmed.tasks.scifact:SCIFACT",
}


@dataclass(frozen=True, slots=True)
class BoundTask:
    """A task with its settings: `examples` in the order in which they are asked, `shots` as they are shown.

    `held_out`: how many examples were taken out of scoring for the few-shot examples to come from. `notes`: what is to
    be known of how they were read and are scored, each a sentence.
    """

    task: Task
    settings: TaskSettings
    examples: tuple[Example, ...]
    shots: tuple[Example, ...]
    held_out: int = 0
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def max_tokens(self) -> int:
        return self.settings.max_tokens or self.task.max_tokens

    @property
    def needs_likelihoods(self) -> bool:
        return self.task.kind == "choice" and self.settings.scoring != "generate"

    @property
    def form(self) -> PromptForm:
        """How an answer is asked for: the task's own form, or that of the options' letters or texts where these are
        scored.
        """
        if not self.needs_likelihoods:
            return self.task.form
        return LETTER if self.settings.scoring == "letters" else OPTION_TEXT

    @property
    def reader(self) -> str:
        """The name of the reader of its answers."""
        if self.needs_likelihoods:
            return LIKELIHOODS[self.settings.normalise]
        return self.task.reader or self.task.form.reader

    def data_hash(self) -> str:
        return examples_hash(self.examples, self.shots)


def examples_hash(examples: Sequence[Example], shots: Sequence[Example] = ()) -> str:
    """Hash of the examples and of the few-shot examples, in their order: equal hashes, equal data."""
    return sha256_json([[asdict(example) for example in examples], [asdict(example) for example in shots]])


def task_names() -> list[str]:
    return list(TASKS)


def find_task(name: str) -> Task:
    """
    >>> find_task("medqa").kind
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
        f"answers: {task.form.name}, read by '{task.reader or task.form.reader}'",
        f"gold documents: {'yes' if task.gold_documents else 'no'}",
        f"instruction: {task.instruction}",
        f"example {example.id}: {example.question}",
        *(f"  {part.title or task.context_label}: {part.text}" for part in example.context),
        *(f"  {letter}. {text}" for letter, text in example.options.items()),
        f"  gold: {gold_text(example)}",
    ]
    return "\n".join(lines)


def load_task(name: str, settings: TaskSettings, *, workspace: Workspace, seed: int) -> BoundTask:
    """Reads the examples and takes those that the settings ask for, in an order that depends on the seed alone.

    Few-shot examples come from a split that is not scored; where a set has none, HELD_OUT examples are taken out of
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
                f"task '{name}' has no few-shot examples: mark some of its questions with split = dev, "
                "which are then never scored, or set shots to 0"
            )
        held_out = HELD_OUT
        pool, examples = examples[:HELD_OUT], examples[HELD_OUT:]
    if settings.shots > len(pool):
        raise UsageError(f"task '{name}' has {len(pool)} few-shot examples, {settings.shots} were asked for")
    if settings.limit:
        examples = examples[: settings.limit]
    examples = [_reordered(example, settings.options, seed) for example in examples]
    drawn = _drawn(pool, settings.shots, settings.few_shot or task.few_shot)
    notes = (*split.notes, *equal_options(name, examples))
    return BoundTask(task, settings, tuple(examples), drawn, held_out, notes)


def _drawn(pool: Sequence[Example], count: int, how: str) -> tuple[Example, ...]:
    """The first few-shot examples of a shuffled pool; `one-per-class`: of every class in turn, as often as it takes.

    Classes take turns in the pool's order, and what is drawn is shown in it: no class is always the last one shown.
    """
    if how != "one-per-class":
        return tuple(pool[:count])
    by_class: dict[str, list[Example]] = {}
    for example in pool:
        by_class.setdefault(gold_text(example), []).append(example)
    rounds = [several[turn] for turn in range(len(pool)) for several in by_class.values() if turn < len(several)]
    return tuple(sorted(rounds[:count], key=pool.index))


def _own(name: str, settings: TaskSettings, workspace: Workspace) -> Task:
    from ragmed.tasks.own import own_task

    return own_task(name, workspace.root / user_path(settings.file), access=settings.access)


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
    return replace(example, options=options, gold=letters[came_from.index(str(example.gold))])


def _check(task: Task, split: Split) -> None:
    if not split.examples:
        raise DataError(f"task '{task.name}' has no examples")
    seen: set[str] = set()
    for example in (*split.examples, *split.shots):
        if example.id in seen:
            raise DataError(f"task '{task.name}': the id '{example.id}' occurs twice")
        seen.add(example.id)
        if not example.question.strip() and not any(part.text.strip() for part in example.context):
            raise DataError(f"task '{task.name}', example '{example.id}': there is neither a question nor a text")
        if task.kind == "choice":
            empty = [letter for letter, text in example.options.items() if not text.strip()]
            if len(example.options) < 2 or empty:
                named = " and ".join(empty)
                found = f"and option {named} is empty" if empty else f"and there are {len(example.options)}"
                raise DataError(
                    f"task '{task.name}', example '{example.id}': two or more options with text are needed, {found}"
                )
            if example.gold not in example.options:
                raise DataError(f"task '{task.name}', example '{example.id}': the answer '{example.gold}' is no option")
