"""adapters/NAME/recipe.yaml in, a frozen AdapterRecipe out: which references go into which weights, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ragmed.checked import Bounds, dump, parse
from ragmed.corpora.recipe import recipe_name
from ragmed.errors import UnknownNameError, UsageError
from ragmed.models.names import parse_model_name
from ragmed.models.settings import LOCAL, Dtype
from ragmed.tasks import TASKS, Normalise, Scoring
from ragmed.yaml_files import read_mapping

Way = Literal["passages", "pairs", "raft", "raft-sections"]
WAYS: dict[Way, str] = {
    "passages": "causal language modelling on the corpora's text",
    "pairs": "questions and their answers, where the corpus has them",
    "raft": "questions with their passage among distractors, and the answer (RAFT, arXiv 2403.10131)",
    "raft-sections": "the same of corpora without questions: each section is the answer to a question for it",
}
Count = Annotated[int, Bounds(ge=1)]
CountOrNone = Annotated[int, Bounds(ge=0)]
Rate = Annotated[float, Bounds(ge=1e-9, le=1)]
Epochs = Annotated[float, Bounds(ge=1e-6)]
Share = Annotated[float, Bounds(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """Other wordings of the training texts (Ovadia et al., EMNLP 2024, section 6: models learn
    facts from many wordings).

    `templates`: how many wordings a text gets from templates, the original not counted. `model`: a model that writes
    `per_text` more, each recorded in `paraphrases.jsonl` beside the adapter.
    """

    templates: CountOrNone = 0
    model: str = ""
    per_text: Count = 1
    max_tokens: Count = 256


@dataclass(frozen=True, slots=True)
class Raft:
    """Retrieval-aware training (Zhang et al. 2024, arXiv 2403.10131, section 3).

    A question is shown with `distractors` passages of other documents, and in a share `gold` of the cases with the
    passage that holds its answer. `index`: where the distractors are searched; empty: drawn from the corpora at random.
    """

    distractors: CountOrNone = 2
    gold: Share = 0.8
    index: str = ""


@dataclass(frozen=True, slots=True)
class KeepOut:
    """What training must never see: the examples of `tasks`, of the task that selects (all their splits) and of
    `files` with questions of one's own, their options, paraphrases of them.

    A text overlaps with an example when it holds `share` of the question's (or of one option's) runs of `words` words;
    a shorter question when it holds all of it (a stem without a question mark: beside an option). A training question
    paraphrases an example when their vectors' cosine reaches `similarity` (with `embedder`; empty: words alone are
    compared). `on_overlap`: `refuse` to start, or `drop` the texts, which the manifest then counts.
    """

    tasks: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    words: Annotated[int, Bounds(ge=2)] = 8
    share: Annotated[float, Bounds(ge=0.01, le=1)] = 0.5
    embedder: str = ""
    similarity: Annotated[float, Bounds(ge=0.01, le=1)] = 0.95
    on_overlap: Literal["refuse", "drop"] = "refuse"


@dataclass(frozen=True, slots=True)
class Lora:
    """`targets`: `all-linear`, or names of linear layers such as q_proj; `alpha` / `rank` scales the update."""

    rank: Count = 8
    alpha: Annotated[float, Bounds(ge=1e-9)] = 16.0
    dropout: Annotated[float, Bounds(ge=0, le=0.99)] = 0.0
    targets: tuple[str, ...] = ("all-linear",)


@dataclass(frozen=True, slots=True)
class Training:
    """How the weights move. A step is one update of `batch` sequences of `sequence_tokens` tokens, `micro_batch` read
    at a time. `epochs` may be a fraction; `max_tokens` above 0 ends earlier. `warmup`: share of the steps in which the
    learning rate rises. `held_out`: share of the documents that are only measured on, every `evaluate_every` steps;
    `patience`: that many measurements without a lower loss end it (0: never). `checkpoint_every`: steps, what a kill
    costs at most.
    """

    learning_rate: Rate = 1e-3
    epochs: Epochs = 1.0
    max_tokens: CountOrNone = 0
    batch: Count = 8
    micro_batch: Count = 4
    sequence_tokens: Annotated[int, Bounds(ge=8)] = 256
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.05
    weight_decay: Annotated[float, Bounds(ge=0)] = 0.0
    clip: Annotated[float, Bounds(ge=0)] = 1.0
    held_out: Annotated[float, Bounds(ge=0, le=0.5)] = 0.05
    evaluate_every: Count = 10
    patience: CountOrNone = 0
    checkpoint_every: Count = 10
    dtype: Dtype = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A declared search: every learning rate with every number of epochs; empty: none."""

    learning_rate: tuple[Rate, ...] = ()
    epochs: tuple[Epochs, ...] = ()


@dataclass(frozen=True, slots=True)
class Select:
    """By which development examples the grid's cell is chosen: the split of `task` that is never scored."""

    task: str = ""
    scoring: Scoring = "generate"
    normalise: Normalise = "none"


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """
    >>> load_adapter_recipe(Path("adapters/handbook-2031/recipe.yaml")).corpora
    ('handbook-2031',)

    `base`: a model that runs here (`packaged:`, `path:`, `hf:`), without an adapter. `learn`: the ways, see WAYS.
    `initial`: an adapter to train further, instead of a new one. `saved`: the type in which the adapter is written.
    """

    name: str
    base: str
    corpora: tuple[str, ...]
    title: str = ""
    seed: CountOrNone = 0
    learn: tuple[Way, ...] = ("passages",)
    paraphrases: Paraphrases = field(default_factory=Paraphrases)
    raft: Raft = field(default_factory=Raft)
    keep_out: KeepOut = field(default_factory=KeepOut)
    lora: Lora = field(default_factory=Lora)
    training: Training = field(default_factory=Training)
    grid: Grid = field(default_factory=Grid)
    select: Select = field(default_factory=Select)
    initial: str = ""
    saved: Literal["float32", "bfloat16", "float16"] = "bfloat16"

    def as_dict(self) -> dict[str, Any]:
        """Every field but name and title, as JSON can hold it: equal recipes make equal adapters (on one machine)."""
        values: dict[str, Any] = dump(self)
        del values["name"], values["title"]
        return values

    def cells(self) -> list[AdapterRecipe]:
        """The recipes of the grid, one a cell, without grid; the recipe itself where it declares none."""
        bare = replace(self, grid=Grid(), select=Select())
        if self.grid == Grid():
            return [bare]
        rates = self.grid.learning_rate or (self.training.learning_rate,)
        epochs = self.grid.epochs or (self.training.epochs,)
        return [
            replace(
                bare,
                name=f"{self.name}-lr{rate:g}-ep{count:g}",
                training=replace(self.training, learning_rate=rate, epochs=count),
            )
            for rate in rates
            for count in epochs
        ]


def load_adapter_recipe(path: Path) -> AdapterRecipe:
    """
    >>> load_adapter_recipe(Path("adapters/handbook-2031/recipe.yaml")).lora.rank
    8

    Named after its folder (or its file, where that is not recipe.yaml). Raises DataError where it cannot be read,
    UsageError or UnknownNameError where a key or a value is not one.
    """
    where, raw = read_mapping(path, "adapter recipe", error=UsageError)
    return make_adapter_recipe(raw, name=recipe_name(path), where=where)


def make_adapter_recipe(raw: Mapping[str, Any], *, name: str, where: str) -> AdapterRecipe:
    """The checked recipe of a mapping with the keys of a recipe file."""
    if "name" in raw:
        raise UsageError(f"{where}: an adapter's name is its folder's; take 'name' out")
    recipe = parse(AdapterRecipe, {**raw, "name": name}, where)
    base = parse_model_name(recipe.base)
    if base.scheme not in LOCAL:
        raise UsageError(f"{where}, base: '{recipe.base}' does not run here; name a {', '.join(LOCAL)} model")
    if base.adapter:
        raise UsageError(f"{where}, base: it has an adapter; to train that one further, name it as `initial`")
    for key in ("corpora", "learn"):
        if not getattr(recipe, key):
            raise UsageError(f"{where}, {key}: at least one is needed")
    if len(set(recipe.learn)) < len(recipe.learn):
        raise UsageError(f"{where}, learn: a way is named twice")
    for task in (*recipe.keep_out.tasks, *filter(None, [recipe.select.task])):
        if task not in TASKS:
            raise UnknownNameError("task", task, TASKS, where)
    if recipe.training.patience and not recipe.training.held_out:
        raise UsageError(f"{where}, training.patience: there is nothing to wait for without training.held_out")
    if (recipe.grid != Grid()) != bool(recipe.select.task):
        raise UsageError(f"{where}: a grid needs `select` with a task whose development examples choose, and only then")
    return recipe
