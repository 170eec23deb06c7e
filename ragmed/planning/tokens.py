"""Examples of a task and an arm in, tokens that the arm reads and writes out; nothing is retrieved or answered.

Every prompt is built and counted, with the model's tokenizer where that is at hand, else by a stated estimate. The
passages are stand-ins: as many as the arm shows, of the mean length of the index's own. Those that are retrieved may
be longer or shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ragmed.arms import Arm
from ragmed.errors import ModelError, RagmedError
from ragmed.evaluation import arm_messages
from ragmed.experiments.config import Experiment
from ragmed.files import read_json, user_path
from ragmed.index.manifest import MANIFEST
from ragmed.models import ModelSettings, parse_model_name
from ragmed.models.counting import Estimate, TokenCounter, load_counter
from ragmed.packaged import NOTE
from ragmed.prompts import build_messages, continuations, passages_block
from ragmed.records import Example, Passage
from ragmed.retrieval.named import index_folder, index_recipe
from ragmed.retrieval.record import whole_documents
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

SAMPLED = 256
"""Passages of an index that are counted, evenly spaced, for the mean length."""

UNBUILT = 256
"""Tokens of a passage, where no index is built and the recipe leaves the length to the embedder."""

Output = Literal["bound", "options"]


@dataclass(frozen=True, slots=True)
class Passages:
    """What an index puts into a prompt: tokens of a passage with its marks, on average, and where that is from."""

    tokens: float
    source: Literal["index", "recipe", "record", "assumed", "none"]


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens of one arm on all examples of one task.

    `output_from`: `options` are read for their log-likelihoods, exactly so many; `bound` is the most that may be
    written, thinking included. `shown`: passages a prompt, after the budget. `too_long`: examples whose prompt does
    not fit without any passage (of a record that is shown whole: with its first document alone), and would end in an
    error. `longest`: tokens of the longest prompt and its answer. `cut`: records that do not fit whole.
    """

    input_tokens: int
    output_tokens: int
    output_from: Output
    shown: float
    too_long: int
    longest: int
    cut: int = 0


def count_use(
    arm: Arm, bound: BoundTask, *, settings: ModelSettings, counter: TokenCounter, passages: Passages, budget: int
) -> Use:
    """
    >>> count_use(arm, bound, settings=model, counter=Estimate(), passages=one, budget=0)  # doctest: +SKIP
    Use(input_tokens=5862, output_tokens=1655, output_from='options', shown=3.0, too_long=0, longest=81)
    """
    prompts = [arm_messages(arm, bound, example) for example in bound.examples]
    bases = counter.count(prompts)
    records = _record_tokens(arm, bound, counter)
    around = _around(bound, bound.examples[0], counter, bases[0]) if arm.shows_passages else 0
    written = [_written(bound, example, settings, counter) for example in bound.examples]
    read, shown, longest, too_long, cut = 0.0, 0, 0, 0, 0
    for example, base, answer, (first, whole) in zip(bound.examples, bases, written, records, strict=True):
        reserve = _reserve(bound, example, settings)
        if budget and whole + reserve > budget:
            cut += 1
            whole = max(first, budget - reserve)
        base = whole or base
        kept = arm.most_shown
        if budget and kept:
            room = (budget - reserve - base - around) / passages.tokens
            kept = max(0, min(kept, int(room)))
        tokens = base + (around + kept * passages.tokens if kept else 0)
        too_long += bool(budget and tokens + reserve > budget)
        read += tokens
        shown += kept
        longest = max(longest, round(tokens) + answer)
    output: Output = "options" if bound.needs_likelihoods else "bound"
    return Use(round(read), sum(written), output, shown / len(prompts), too_long, longest, cut)


def _record_tokens(arm: Arm, bound: BoundTask, counter: TokenCounter) -> list[tuple[int, int]]:
    """Of an arm that shows records whole: tokens of each prompt with the first document alone, and with all."""
    if arm.context != "full":
        return [(0, 0)] * len(bound.examples)
    documents = [whole_documents(example.context) for example in bound.examples]
    pairs = list(zip(bound.examples, documents, strict=True))
    first, whole = (
        counter.count([arm_messages(arm, bound, example, shown[:most]) for example, shown in pairs])
        for most in (1, None)
    )
    return list(zip(first, whole, strict=True))


def _around(bound: BoundTask, example: Example, counter: TokenCounter, base: int) -> int:
    """What stands around passages: the sentence on them in the system message, and the outer marks."""
    one = Passage("id", "document", "", "", "Text.", 0, 5)
    with_one = counter.count([build_messages(bound, example, passages=[one])])[0]
    return max(0, with_one - base - _size(one, counter))


def _size(passage: Passage, counter: TokenCounter) -> int:
    """What one more passage adds to a prompt, its marks included."""
    one, two = (counter.count_text(passages_block([passage] * times)) for times in (1, 2))
    return max(1, two - one)


def _written(bound: BoundTask, example: Example, settings: ModelSettings, counter: TokenCounter) -> int:
    if bound.needs_likelihoods:
        return sum(counter.count_text(text) for text in continuations(bound, example))
    return settings.thinking_tokens + bound.max_tokens


def _reserve(bound: BoundTask, example: Example, settings: ModelSettings) -> int:
    """As `evaluation` keeps free for the answer."""
    if bound.needs_likelihoods:
        return max(len(text.encode("utf-8")) for text in continuations(bound, example))
    return settings.thinking_tokens + bound.max_tokens


def budget_of(arm: Arm, experiment: Experiment, workspace: Workspace) -> int:
    """The least that arm, experiment, settings and the model's own files allow; 0 where nothing is known."""
    settings = experiment.models[arm.model]
    limits = [arm.context_tokens, experiment.context_tokens, settings.context_tokens]
    if not settings.context_tokens:
        limits.append(int(config_of(settings.name, workspace).get("max_position_embeddings") or 0))
    return min((limit for limit in limits if limit), default=0)


def mean_passage(name: str, counter: TokenCounter, workspace: Workspace) -> Passages:
    """Of the index if it is built, else by what its recipe allows; `SAMPLED` passages are counted."""
    recipe = index_recipe(name, workspace)
    if not built(name, workspace):
        chunk = recipe.chunking.max_tokens
        return Passages(float(chunk or UNBUILT), "recipe" if chunk else "assumed")
    from ragmed.index.store import Index

    index = Index.open(index_folder(name, workspace), verify=False)
    step = max(1, len(index) // SAMPLED)
    found = index.passages(index.live_rows()[::step][:SAMPLED].tolist())
    if not found:
        return Passages(float(UNBUILT), "assumed")
    sizes = [_size(one, counter) for one in found]
    return Passages(sum(sizes) / len(sizes), "index")


def built(name: str, workspace: Workspace) -> bool:
    """Whether the index is there, so that its own passages can be counted."""
    return any((folder / MANIFEST).is_file() for folder in (Path(name), workspace.indexes / name))


def find_counter(settings: ModelSettings, workspace: Workspace) -> tuple[TokenCounter, str]:
    """What counts a model's tokens without reading its weights or asking a hub or a server, and a note if it estimates.

    A server's model is counted by the tokenizer that its settings name.
    """
    local = settings.scheme in ("packaged", "path", "hf", "vllm")
    name = settings.name.partition("+adapter:")[0] if local else settings.tokenizer
    folder = folder_of(name, workspace) if name else None
    if folder is None:
        why = "its files are not on this machine" if name else "no tokenizer is known"
        return Estimate(), f"{settings.name}: {why}; tokens are {Estimate.kind}"
    return _counter(folder, workspace, settings.name)


@lru_cache(maxsize=8)
def _counter(folder: Path, workspace: Workspace, name: str) -> tuple[TokenCounter, str]:
    try:
        return load_counter(f"path:{folder}", workspace=workspace), ""
    except (ModelError, RagmedError) as error:
        return Estimate(), f"{name}: {error}; tokens are {Estimate.kind}"


def folder_of(name: str, workspace: Workspace) -> Path | None:
    """Where the files of a model that runs here lie, None where they do not: nothing is fetched."""
    parsed = parse_model_name(name)
    if parsed.scheme in ("path", "vllm") and (user_path(parsed.target) / "config.json").is_file():
        return user_path(parsed.target)
    if parsed.scheme == "packaged":
        folder = workspace.models / parsed.target
        return folder if (folder / NOTE).is_file() else None
    if parsed.scheme in ("hf", "vllm") and parsed.target.count("/") == 1:
        return _cached(parsed.target.partition("@")[0], parsed.revision or parsed.target.partition("@")[2])
    return None


def _cached(repository: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision or None)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def config_of(name: str, workspace: Workspace) -> dict[str, Any]:
    """The text part of a model's config.json; empty where its files are not here."""
    if parse_model_name(name).scheme not in ("packaged", "path", "hf", "vllm"):
        return {}
    folder = folder_of(name.partition("+adapter:")[0], workspace)
    if folder is None or not (folder / "config.json").is_file():
        return {}
    config = read_json(folder / "config.json", "model config")
    text = config.get("text_config", config)
    return dict(text) if isinstance(text, dict) else {}
