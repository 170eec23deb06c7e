"""One clinical task a file: where its examples come from, its words, its answer pattern, its scorer.

A task knows no model and no retrieval. `load_task` binds one to the settings of an experiment: which examples are
asked, which serve as few-shot examples, how an option is chosen.
"""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import sha256_json, user_path, whole_text
from ragmed.metrics.gold import contradictions, equal_options
from ragmed.models.constraint import ROOM, AnswerKind, HeldBy, in_json
from ragmed.records import Example
from ragmed.tasks import clue
from ragmed.tasks.reading import LIKELIHOODS
from ragmed.tasks.splits import linked, text_key
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
from ragmed.tasks.words import (
    AFTER_REASONING,
    IN_JSON,
    LETTER,
    OPTION_TEXT,
    PromptForm,
    after_reasoning,
    gold_text,
)
from ragmed.text_table import counted, plural, verb
from ragmed.workspace import Workspace

__all__ = [
    "NORMALISATIONS", "OPTION_ORDERS", "SCORINGS", "TASKS", "BoundTask", "FewShot", "Kind", "Normalise", "OptionOrder",
    "Scoring", "Split", "Task", "TaskSettings", "describe_task", "find_task", "invent_sample",
    "load_task", "task_names",
]  # fmt: skip

SHOWN_PARTS, SHOWN_CHARACTERS = 3, 600  # of an example's material, where a task is described
_VALID: dict[str, AnswerKind] = {
    "letter": "choice", "label": "choice", "codes": "codes", "list": "list", "number": "number",
}  # fmt: skip
"""The reader of a form -> what is valid in it."""
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
    "bc5cdr": "ragmed.tasks.bc5cdr:BC5CDR",
    "k_qa": "ragmed.tasks.k_qa:K_QA",
    "medhallu": "ragmed.tasks.medhallu:MEDHALLU",
    "medhallu_closed": "ragmed.tasks.medhallu:MEDHALLU_CLOSED",
    "medec": "ragmed.tasks.medec:MEDEC",
    "codiesp": "ragmed.tasks.codiesp:CODIESP",
    "codiesp_es": "ragmed.tasks.codiesp:CODIESP_ES",
    "codiesp_evidence": "ragmed.tasks.codiesp_evidence:CODIESP_EVIDENCE",
    "medisumcode": "ragmed.tasks.medisumcode:MEDISUMCODE",
    "medqa_dev": "ragmed.tasks.medqa:MEDQA_DEV",
    "medqa_dev_4": "ragmed.tasks.medqa:MEDQA_DEV_4",
    "longhealth_1": "ragmed.tasks.longhealth:ANSWERED",
    "longhealth_2": "ragmed.tasks.longhealth:AMONG_OTHERS",
    "longhealth_3": "ragmed.tasks.longhealth:UNANSWERABLE",
    "nejm_cases": "ragmed.tasks.case_challenges:NEJM",
    "jama_cases": "ragmed.tasks.case_challenges:JAMA",
    "evidence_inference": "ragmed.tasks.evidence_inference:EVIDENCE_INFERENCE",
    "evidence_inference_spans": "ragmed.tasks.evidence_inference:SPANS",
    "problem_summary": "ragmed.tasks.problem_summary:PROBLEM_SUMMARY",
    "medisumqa": "ragmed.tasks.medisumqa:MEDISUMQA",
    "mtsamples_plan": "ragmed.tasks.mtsamples_plan:MTSAMPLES_PLAN",
    "mts_dialog": "ragmed.tasks.mts_dialog:MTS_DIALOG",
    "aci_bench": "ragmed.tasks.aci_bench:ACI_BENCH",
    "radiology_impression": "ragmed.tasks.radiology_impression:RADIOLOGY_IMPRESSION",
}


@dataclass(frozen=True, slots=True)
class BoundTask:
    """A task with its settings: `examples` in the order in which they are asked, `shots` as they are shown.

    `held_out`: how many examples were taken out of scoring for the few-shot examples to come from. `notes`: what is to
    be known of how they were read and are scored, each a sentence. As an arm is asked it: `cot_tokens` (0: none) may be
    reasoned before the answer; `constrained`: how the answer is held to the valid forms, in the task's own words ('':
    it is not).
    """

    task: Task
    settings: TaskSettings
    examples: tuple[Example, ...]
    shots: tuple[Example, ...]
    held_out: int = 0
    notes: tuple[str, ...] = ()
    cot_tokens: int = 0
    constrained: Literal["", HeldBy] = ""

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def max_tokens(self) -> int:
        answer = self.settings.max_tokens or self.task.max_tokens
        if self.writes_json:  # quotes and commas about double a list of codes
            answer = 2 * answer + ROOM
        return answer + self.cot_tokens

    @property
    def valid(self) -> AnswerKind | None:
        """What kind of answers are valid, as far as that is known before one is written."""
        return _VALID.get(self.form.reader)

    @property
    def writes_json(self) -> bool:
        """Whether the answer is held to a JSON object while it is written."""
        return bool(self.constrained and self.valid and in_json(self.valid, self.constrained))

    @property
    def needs_likelihoods(self) -> bool:
        scored = self.constrained == "likelihood" or self.settings.scoring != "generate"
        return self.task.kind == "choice" and scored

    @property
    def form(self) -> PromptForm:
        """How an answer is asked for: the task's own form (after reasoning, where that is asked for), or that of the
        options' letters or texts where the task is scored by these.
        """
        if self.task.kind == "choice" and self.settings.scoring != "generate":
            return LETTER if self.settings.scoring == "letters" else OPTION_TEXT
        form = clue.CHOICE if self.settings.protocol and self.task.form is LETTER else self.task.form
        return after_reasoning(form) if self.cot_tokens else form

    @property
    def reader(self) -> str:
        """The name of the reader of its answers."""
        if self.needs_likelihoods:
            return LIKELIHOODS[self.settings.normalise]
        plain = self.task.reader or self.task.form.reader
        if self.settings.protocol:
            plain = clue.READERS.get(plain, plain)
        if self.writes_json:
            return f"{IN_JSON}{plain}"
        return f"{AFTER_REASONING}{plain}" if self.cot_tokens else plain

    def data_hash(self) -> str:
        return examples_hash(self.examples, self.shots)


def examples_hash(examples: Sequence[Example], shots: Sequence[Example] = ()) -> str:
    """Hash of the examples and of the few-shot examples, in their order: equal hashes, equal data."""
    return sha256_json([[_plain(example) for example in examples], [_plain(example) for example in shots]])


def _plain(example: Example) -> dict[str, object]:
    """All fields, but for contradictions where there are none: most tasks have none, and keep the hash they had."""
    plain: dict[str, object] = asdict(example)
    if not example.contradictions:
        del plain["contradictions"]
    return plain


def asked_hash(examples: Iterable[Example]) -> str:
    """Hash of examples in whatever order they come: what a run is held to, question by question."""
    return examples_hash(sorted(examples, key=lambda example: whole_text(example.id)))


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
    """Source, licence, how to get it, counts and one example of a task, as text; what is not here yet is said."""
    task = find_task(name)
    lines = [
        f"{task.name}: {task.title}",
        f"source: {task.source}",
        f"licence: {task.license}   access: {task.access}",
        *([f"to get it: {task.get}"] if task.get else []),
        f"metrics: {', '.join(task.metrics)}"
        + (f"; where the experiment names what they need: {', '.join(task.further)}" if task.further else ""),
        f"answers: {task.form.name}, read by '{task.reader or task.form.reader}'",
        f"gold documents: {'yes' if task.gold_documents else 'no'}",
        f"instruction: {task.instruction}",
    ]
    try:
        split = task.load(workspace)
    except DataError as error:
        invented = f" (`ragmed tasks sample {name} --output DIR` writes invented records)" if task.invent else ""
        return "\n".join([*lines, f"not to be read here: {error}{invented}"])
    _check(task, split)
    example = split.examples[0]
    queries = task.query(example)
    groups = set(_groups(split.examples))
    lines += [
        f"scored examples: {len(split.examples):,} in {counted(len(groups), 'group')}   to show: {len(split.shots):,}",
        *(f"note: {note}" for note in split.notes),
        f"example {example.id}: {example.question}",
        *(f"  {part.title or task.context_label}: {_beginning(part.text)}" for part in example.context[:SHOWN_PARTS]),
        *([f"  … and {counted(more, 'document')} more"] if (more := len(example.context) - SHOWN_PARTS) > 0 else []),
        *(f"  {letter}. {text}" for letter, text in example.options.items()),
        f"  gold: {_beginning(gold_text(example))}",
        *(f"  the retriever is asked: {_beginning(query)}" for query in queries[:SHOWN_PARTS]),
        *([f"  … and {counted(more, 'query')} more"] if (more := len(queries) - SHOWN_PARTS) > 0 else []),
    ]
    return "\n".join(lines)


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS].rstrip()} …"


def invent_sample(name: str, folder: Path) -> None:
    """Writes invented records of a task, in exactly its publisher's format, so that all that is done with the task can
    be tried without its data: `folder` then serves as RAGMED_DATA.

    UsageError for a task whose data come along; DataError where the folder holds something already.
    """
    task = find_task(name)
    if task.invent is None:
        raise UsageError(f"task '{name}' has no invented records: {task.get or 'its data come with ragmed'}")
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"'{folder}' is not empty; name a new folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    task.invent(folder)


def load_task(name: str, settings: TaskSettings, *, workspace: Workspace, seed: int) -> BoundTask:
    """Reads the examples and takes those that the settings ask for, in an order that depends on the seed alone.

    Few-shot examples come from a split that is not scored; where a set has none, HELD_OUT examples or more, whole
    groups, are taken out of scoring for all arms alike. Of two in the same words none is shown where the other is
    scored. Raises DataError where a set is damaged, UsageError where settings do not fit it.
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
    if settings.protocol:
        if settings.only:
            raise UsageError(f"task '{name}': protocol '{settings.protocol}' asks a whole set, and takes no `only`")
        return _as_clue(task, settings, split)
    examples = _shuffled(split.examples, seed)
    pool, said = _never_scored(name, _shuffled(split.shots, seed), examples)
    held_out = 0
    if settings.shots and not split.shots:
        pool, examples = _held_out(name, examples, own_file=bool(settings.file))
        held_out = len(pool)
    if settings.shots > len(pool):
        raise UsageError(
            "; ".join(
                [
                    f"task '{name}' has {len(pool)} few-shot {plural('example', len(pool))}, {settings.shots} "
                    f"{verb(settings.shots, 'was', 'were')} asked for",
                    *said,
                ]
            )
        )
    if settings.only:
        examples = _named(name, settings.only, examples)
    if settings.limit:
        examples = examples[: settings.limit]
    examples = [_reordered(example, settings.options, seed) for example in examples]
    drawn = _drawn(pool, settings.shots, settings.few_shot or task.few_shot)
    alike = (*contradictions(name, split.examples), *equal_options(name, examples))
    notes = (*split.notes, *said, *alike)
    return BoundTask(task, settings, tuple(examples), drawn, held_out, notes)


def _named(name: str, pattern: str, examples: Sequence[Example]) -> list[Example]:
    kept = [example for example in examples if fnmatchcase(example.id, pattern)]
    if not kept:
        first = ", ".join(f"'{example.id}'" for example in examples[:3])
        raise UsageError(f"task '{name}': no example has an id of the form '{pattern}' (`only`), as {first} have")
    return kept


def _never_scored(name: str, pool: Sequence[Example], examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """What may be shown, without what asks the same as a scored example, in the same words; what that leaves out."""
    scored = {text_key(example.text) for example in examples}
    kept = [shot for shot in pool if text_key(shot.text) not in scored]
    left = len(pool) - len(kept)
    told = (
        f"{name}: {left} of {counted(len(pool), 'example')} to show {verb(left, 'asks', 'ask')} the same as one that "
        f"is scored, and {verb(left, 'is', 'are')} never shown."
    )
    return kept, [told] if left else []


def _groups(examples: Sequence[Example]) -> list[int]:
    """A number for the group of each example: those that ask the same are of one, whatever the task says."""
    return linked([(("asks", text_key(e.text)), ("group", e.group) if e.group else ("id", e.id)) for e in examples])


def _held_out(name: str, examples: Sequence[Example], *, own_file: bool) -> tuple[list[Example], list[Example]]:
    """The examples to be shown and those that are scored, of a shuffled set: whole groups from its head on, until they
    hold HELD_OUT examples. Examples that ask the same are of one group, whatever the task says. Of a user's own file
    none is taken: a user marks what may be shown.
    """
    groups = _groups(examples)
    shown: set[int] = set()
    taken = 0
    for group, size in Counter(groups).items():  # in the order of the examples
        if taken < HELD_OUT:
            shown.add(group)
            taken += size
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example, group in zip(examples, groups, strict=True):
        sides[group not in shown].append(example)
    if own_file or len(sides[1]) < HELD_OUT:
        only = f", and of its {counted(len(examples), 'example')} only {len(sides[1])} would still be scored"
        left = "" if own_file else only
        raise UsageError(
            f"task '{name}' has no few-shot examples{left}: mark some of its questions with split = dev, which are "
            "then never scored, or set shots to 0"
        )
    return sides


def _as_clue(task: Task, settings: TaskSettings, split: Split) -> BoundTask:
    """By CLUE's protocol, whose seed is its own: few-shot examples and scored ones are of one file."""
    if settings.scoring != "generate" or settings.options != "published" or settings.few_shot:
        raise UsageError(f"task '{task.name}': protocol clue lets the model write, with options as published")
    if settings.shots >= len(split.examples):
        raise UsageError(
            f"task '{task.name}' has {counted(len(split.examples), 'example')}, {settings.shots} "
            f"{verb(settings.shots, 'is', 'are')} to be shown"
        )
    task, drawn = clue.as_scored(task, clue.shuffled(split.examples))
    examples, shots = drawn[settings.shots :][: settings.limit or None], drawn[: settings.shots]
    clue_note = clue.NOTE.format(task=task.name, shots=settings.shots)
    notes = (*split.notes, clue_note, *equal_options(task.name, examples))
    return BoundTask(task, settings, tuple(examples), tuple(shots), len(shots), notes)


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
    moved = {old: letter for letter, old in zip(letters, came_from, strict=True)}
    claims = {document: moved.get(letter, letter) for document, letter in example.contradictions.items()}
    return replace(example, options=options, gold=moved[str(example.gold)], contradictions=claims)


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
