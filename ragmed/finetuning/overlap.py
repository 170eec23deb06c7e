"""Training texts and the examples of tasks in, every text that holds or paraphrases an example out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from ragmed.embedding import load_embedder
from ragmed.errors import DataError
from ragmed.finetuning.ngrams import Finder, Target, question_targets, readings, text_target, words_of
from ragmed.finetuning.recipe import AdapterRecipe, KeepOut
from ragmed.finetuning.texts import TextSet, TrainingText, count_texts
from ragmed.records import Example
from ragmed.tasks import Task, find_task
from ragmed.tasks.own import own_task
from ragmed.workspace import Workspace

Kind = Literal["question", "option", "paraphrase"]

SHOWN = 3
KEPT = 100
_BLOCK = 1024  # rows of cosines at a time: 8,000 examples beside them take 32 MB


@dataclass(frozen=True, slots=True)
class Overlap:
    """A text that holds an example's question or option, or whose question paraphrases it.

    `score`: the share of the example's runs of words that the text holds, or the cosine of the two questions.
    `shared`: the longest stretch of words they share; for a paraphrase the example's question.
    """

    text: str
    task: str
    example: str
    kind: Kind
    score: float
    shared: str


@dataclass(frozen=True, slots=True)
class OverlapReport:
    """What was compared with what, and what came of it.

    `tasks`: name -> how many examples, all splits. `checked`: texts compared. `overlaps`: texts that overlap with at
    least one example, by what they overlap in. `dropped`: ids of the texts that were taken out, the other wordings of
    a text that overlaps among them. `found`: the first KEPT overlaps.
    """

    tasks: Mapping[str, int]
    checked: int
    words: int
    share: float
    embedder: str
    similarity: float
    on_overlap: str
    overlaps: Mapping[str, int]
    dropped: tuple[str, ...]
    found: tuple[Overlap, ...]


def kept_out(textset: TextSet, recipe: AdapterRecipe, *, workspace: Workspace) -> tuple[TextSet, OverlapReport]:
    """>>> kept, report = kept_out(textset, recipe, workspace=Workspace.find())  # doctest: +SKIP
    >>> report.dropped  # doctest: +SKIP
    ()

    The texts without those that overlap with the tasks that the recipe keeps out. DataError names the first overlaps
    where the recipe says `refuse`, where nothing would be left, and where a task's examples cannot be read.
    """
    keep_out = recipe.keep_out
    named = dict.fromkeys([*keep_out.tasks, *([recipe.select.task] if recipe.select.task else [])])
    examples = {name: _examples(find_task(name), workspace) for name in named}
    for file in keep_out.files:
        path = workspace.root / Path(file).expanduser()
        examples[file] = _examples(own_task(path.stem, path, access="private"), workspace)
    found = find_overlaps(textset.texts, examples, keep_out)
    if found and keep_out.on_overlap == "refuse":
        raise DataError(_refusal(recipe.name, found))
    dropped = _with_their_wordings(textset.texts, {one.text for one in found})
    texts = tuple(one for one in textset.texts if one.id not in dropped)
    if textset.texts and not texts:
        raise DataError(
            f"adapter '{recipe.name}': all {len(textset.texts)} training texts overlap with what keep_out names; "
            "learn from another corpus"
        )
    by_kind = Counter(kind for _, kind in {(one.text, one.kind) for one in found})
    report = OverlapReport(
        tasks={name: len(many) for name, many in examples.items()},
        checked=len(textset.texts),
        words=keep_out.words,
        share=keep_out.share,
        embedder=keep_out.embedder,
        similarity=keep_out.similarity,
        on_overlap=keep_out.on_overlap,
        overlaps=dict(sorted(by_kind.items())),
        dropped=tuple(one.id for one in textset.texts if one.id in dropped),
        found=tuple(found[:KEPT]),
    )
    counts = {**textset.counts, **count_texts(texts), "dropped": len(dropped)}
    return replace(textset, texts=texts, counts=counts), report


def find_overlaps(
    texts: Sequence[TrainingText], examples_by_task: Mapping[str, Sequence[Example]], keep_out: KeepOut
) -> list[Overlap]:
    """>>> find_overlaps(texts, {"medqa": split.examples}, KeepOut(words=8, share=0.5))  # doctest: +SKIP
    []

    In the texts' order; a text, an example and a kind make one Overlap at most. A question shorter than `words` words
    counts where all of it stands in one run, if it has FEWEST words at least; one that only begins a sentence which
    its options end ("Sickle cell anaemia is a") where the text holds one of them, too. An option counts by its runs
    if it has `words` words at least; a shorter one is an ordinary phrase ("acute kidney injury"), and a text may hold
    it. What is asked in another order of words is left to the paraphrases: compared where keep_out names an embedder.
    """
    targets = [one for task, many in examples_by_task.items() for ex in many for one in _targets(task, ex, keep_out)]
    finder = Finder(targets)
    found: list[Overlap] = []
    for text in texts:
        for one in finder.find(all_of(text)):
            kind = cast("Kind", one.target.kind)
            found.append(Overlap(text.id, one.target.task, one.target.example, kind, one.score, one.shared))
    if keep_out.embedder and texts and examples_by_task:
        found.extend(paraphrases(texts, examples_by_task, embedder=keep_out.embedder, similarity=keep_out.similarity))
    order = {text.id: place for place, text in enumerate(texts)}
    return sorted(found, key=lambda one: order[one.text])


def _examples(task: Task, workspace: Workspace) -> tuple[Example, ...]:
    split = task.load(workspace)
    return (*split.examples, *split.shots)


def _targets(task: str, example: Example, keep_out: KeepOut) -> Iterator[Target]:
    yield from question_targets(task, example, length=keep_out.words, share=keep_out.share)
    for option in example.options.values():
        for words in readings(option):
            if len(words) >= keep_out.words:
                yield text_target(task, example.id, "option", words, length=keep_out.words, share=keep_out.share)


def all_of(text: TrainingText) -> str:
    """Everything of a text that comes from corpora; system messages are the toolkit's own words."""
    turns = [message.content for message in text.messages if message.role != "system"]
    return "\n".join([text.text, *turns])


def paraphrases(
    texts: Sequence[TrainingText],
    examples_by_task: Mapping[str, Sequence[Example]],
    *,
    embedder: str,
    similarity: float,
) -> Iterator[Overlap]:
    """Each text's question against all examples' questions, by the cosine of their vectors."""
    import numpy as np

    examples = [(task, one) for task, many in examples_by_task.items() for one in many if words_of(one.question)]
    asked: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for question in dict.fromkeys(_questions(text)):
            asked[question].append(text.id)
    if not asked or not examples:
        return
    model = load_embedder(embedder)
    known = model.embed_queries([one.question for _, one in examples])
    questions = list(asked)
    vectors = model.embed_queries(questions)
    seen: set[tuple[str, str, str]] = set()
    for first in range(0, len(questions), _BLOCK):
        cosines = vectors[first : first + _BLOCK] @ known.T
        # float32 sums of equal vectors may end a hair below 1
        for row, column in np.argwhere(cosines >= similarity - 1e-6).tolist():
            task, example = examples[column]
            for text_id in asked[questions[first + row]]:
                if (text_id, task, example.id) not in seen:
                    seen.add((text_id, task, example.id))
                    score = float(cosines[row, column])
                    yield Overlap(text_id, task, example.id, "paraphrase", score, example.question)


def _questions(text: TrainingText) -> Iterator[str]:
    """What a text asks; of a raft prompt the question alone, since its passages would drown it."""
    if words_of(text.question):
        yield text.question
    elif text.way == "pairs":
        yield from (one.content for one in text.messages if one.role == "user" and words_of(one.content))


def _with_their_wordings(texts: Sequence[TrainingText], overlapping: set[str]) -> set[str]:
    """The ids of the overlapping texts, and of the wordings that say the same as one of them in other words."""
    said = {(one.way, one.document) for one in texts if one.id in overlapping and not one.wording}
    return overlapping | {one.id for one in texts if one.wording and (one.way, one.document) in said}


def _refusal(name: str, found: Sequence[Overlap]) -> str:
    texts = len({one.text for one in found})
    shown = "; ".join(
        f"text '{one.text}' and {one.task} example '{one.example}' ({one.kind}: \"{_short(one.shared)}\")"
        for one in found[:SHOWN]
    )
    more = f"; and {len(found) - SHOWN} more overlaps" if len(found) > SHOWN else ""
    return (
        f"adapter '{name}': {texts} training texts overlap with examples that keep_out names: {shown}{more}; set "
        "keep_out.on_overlap: drop to learn without them, or take their documents out of the corpus"
    )


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:16]) + (" …" if len(words) > 16 else "")
