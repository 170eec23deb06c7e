"""Training texts and the examples of tasks in, every text that holds or paraphrases an example out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from ragmed.embedding import load_embedder
from ragmed.errors import DataError
from ragmed.files import user_path
from ragmed.finetuning.recipe import AdapterRecipe, KeepOut
from ragmed.finetuning.texts import TextSet, TrainingText, count_texts
from ragmed.matching.ngrams import Finder, Target, question_targets, text_targets
from ragmed.matching.paraphrases import paraphrases
from ragmed.matching.words import shortened, words_of
from ragmed.records import Example
from ragmed.tasks import Task, find_task
from ragmed.tasks.own import own_task
from ragmed.text_table import plural
from ragmed.workspace import Workspace

Kind = Literal["question", "option", "paraphrase"]

SHOWN = 3
KEPT = 100


@dataclass(frozen=True, slots=True)
class Overlap:
    """A text that holds an example's question or option, or whose question paraphrases it.

    `score`: the share of the example's n-grams that the text holds, or the cosine of the two questions.
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
    """
        kept, report = kept_out(textset, recipe, workspace=Workspace.find())
        report.dropped  # ()

    The texts without those that overlap with the tasks that the recipe keeps out. DataError names the first overlaps
    where the recipe says `refuse`, where nothing would be left, and where a task's examples cannot be read.
    """
    keep_out = recipe.keep_out
    named = dict.fromkeys([*keep_out.tasks, *([recipe.select.task] if recipe.select.task else [])])
    examples = {name: _examples(find_task(name), workspace) for name in named}
    for file in keep_out.files:
        path = workspace.root / user_path(file)
        examples[file] = _examples(own_task(path.stem, path, access="private"), workspace)
    overlaps = find_overlaps(textset.texts, examples, keep_out)
    if overlaps and keep_out.on_overlap == "refuse":
        raise DataError(_refusal(recipe.name, overlaps))
    dropped = _with_their_wordings(textset.texts, {overlap.text for overlap in overlaps})
    texts = tuple(text for text in textset.texts if text.id not in dropped)
    if textset.texts and not texts:
        raise DataError(
            f"adapter '{recipe.name}': all {len(textset.texts)} training texts overlap with what keep_out names; "
            "train on another corpus"
        )
    by_kind = Counter(kind for _, kind in {(overlap.text, overlap.kind) for overlap in overlaps})
    report = OverlapReport(
        tasks={name: len(many) for name, many in examples.items()},
        checked=len(textset.texts),
        words=keep_out.words,
        share=keep_out.share,
        embedder=keep_out.embedder,
        similarity=keep_out.similarity,
        on_overlap=keep_out.on_overlap,
        overlaps=dict(sorted(by_kind.items())),
        dropped=tuple(text.id for text in textset.texts if text.id in dropped),
        found=tuple(overlaps[:KEPT]),
    )
    counts = {**textset.counts, **count_texts(texts), "dropped": len(dropped)}
    return replace(textset, texts=texts, counts=counts), report


def find_overlaps(
    texts: Sequence[TrainingText], examples_by_task: Mapping[str, Sequence[Example]], keep_out: KeepOut
) -> list[Overlap]:
    """
        find_overlaps(texts, {"medqa": split.examples}, KeepOut(words=8, share=0.5))  # [] where nothing overlaps

    In the texts' order; a text, an example and a kind make one Overlap at most. A question shorter than `words` words
    counts where all of it stands in one stretch, if it has FEWEST words at least; one that only begins a sentence which
    its options end ("Sickle cell anaemia is a") where the text holds one of them, too. An option counts by its n-grams
    if it has `words` words at least; a shorter one is an ordinary phrase ("acute kidney injury"), and a text may hold
    it. What is asked in another order of words is left to the paraphrases: compared where keep_out names an embedder.
    """
    finder = Finder(
        [
            target
            for task, examples in examples_by_task.items()
            for example in examples
            for target in _targets(task, example, keep_out)
        ]
    )
    overlaps: list[Overlap] = []
    for text in texts:
        for match in finder.find(words_from_corpora(text)):
            target, kind = match.target, cast("Kind", match.target.kind)
            overlaps.append(Overlap(text.id, target.task, target.example, kind, match.score, match.shared))
    asked = texts_by_question(texts) if keep_out.embedder and any(examples_by_task.values()) else {}
    if asked:
        embedder = load_embedder(keep_out.embedder, metric="inner_product", normalise=True)  # scores are cosines
        for near in paraphrases(asked, examples_by_task, embedder=embedder, similarity=keep_out.similarity):
            overlaps.append(Overlap(near.text, near.task, near.example, "paraphrase", near.score, near.question))
    order = {text.id: position for position, text in enumerate(texts)}
    return sorted(overlaps, key=lambda overlap: order[overlap.text])


def texts_by_question(texts: Sequence[TrainingText]) -> dict[str, list[str]]:
    """What the texts ask -> the ids of those that ask it; of a raft prompt the question alone, since its passages would
    drown it.
    """
    asked: dict[str, list[str]] = {}
    for text in texts:
        questions = [text.question]
        if not words_of(text.question) and text.way == "pairs":
            questions = [message.content for message in text.messages if message.role == "user"]
        for question in dict.fromkeys(questions):
            if words_of(question):
                asked.setdefault(question, []).append(text.id)
    return asked


def _examples(task: Task, workspace: Workspace) -> tuple[Example, ...]:
    split = task.load(workspace)
    return (*split.examples, *split.shots)


def _targets(task: str, example: Example, keep_out: KeepOut) -> Iterator[Target]:
    yield from question_targets(task, example, length=keep_out.words, share=keep_out.share)
    for option in example.options.values():
        yield from text_targets(task, example.id, "option", option, length=keep_out.words, share=keep_out.share)


def words_from_corpora(text: TrainingText) -> str:
    """Everything of a text that comes from corpora; system messages are the toolkit's own words."""
    turns = [message.content for message in text.messages if message.role != "system"]
    return "\n".join([text.text, *turns])


def _with_their_wordings(texts: Sequence[TrainingText], overlapping: set[str]) -> set[str]:
    """The ids of the overlapping texts, and of the wordings that say the same as one of them in other words."""
    sources = {(text.way, text.document) for text in texts if text.id in overlapping and not text.wording}
    return overlapping | {text.id for text in texts if text.wording and (text.way, text.document) in sources}


def _refusal(name: str, overlaps: Sequence[Overlap]) -> str:
    texts = len({overlap.text for overlap in overlaps})
    shown = "; ".join(
        f"text '{overlap.text}' and {overlap.task} example '{overlap.example}' ({overlap.kind}: "
        f'"{shortened(overlap.shared)}")'
        for overlap in overlaps[:SHOWN]
    )
    more = f"; and {len(overlaps) - SHOWN} more overlaps" if len(overlaps) > SHOWN else ""
    return (
        f"adapter '{name}': {texts} training {plural('text', texts)} overlap with examples that "
        f"keep_out names: {shown}{more}; set "
        "keep_out.on_overlap: drop to train without them, or take their documents out of the corpus"
    )
