"""adapters/NAME/recipe.yaml in, a frozen AdapterRecipe out: which references go into which weights, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ragmed.checked import checked_fields
from ragmed.corpora.recipe import parse_yaml
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import read_text
from ragmed.models.names import parse_model_name
from ragmed.models.settings import DTYPES, LOCAL
from ragmed.tasks import NORMALISATIONS, SCORINGS, TASKS

WAYS = {
    "passages": "causal language modelling on the corpora's text",
    "pairs": "questions and their answers, where the corpus has them",
    "raft": "questions with their passage among distractors, and the answer (RAFT, arXiv 2403.10131)",
}
SCHEDULES = ("cosine", "linear", "constant")
ON_OVERLAP = ("refuse", "drop")
SAVED = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """Other wordings of what is learnt (Ovadia et al., EMNLP 2024, section 6: facts are learnt from many wordings).

    `templates`: how many wordings a text gets from templates, the original not counted. `model`: a model that writes
    `per_text` more, each recorded in `paraphrases.jsonl` beside the adapter.
    """

    templates: int = 0
    model: str = ""
    per_text: int = 1
    max_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Raft:
    """Retrieval-aware training (Zhang et al. 2024, arXiv 2403.10131, section 3).

    A question is shown with `distractors` passages of other documents, and in a share `gold` of the cases with the
    passage that holds its answer. `index`: where the distractors are searched; empty: drawn from the corpora at random.
    """

    distractors: int = 2
    gold: float = 0.8
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
    words: int = 8
    share: float = 0.5
    embedder: str = ""
    similarity: float = 0.95
    on_overlap: str = "refuse"


@dataclass(frozen=True, slots=True)
class Lora:
    """`targets`: `all-linear`, or names of linear layers such as q_proj; `alpha` / `rank` scales the update."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)


@dataclass(frozen=True, slots=True)
class Training:
    """How the weights move. A step is one update of `batch` sequences of `sequence_tokens` tokens, `micro_batch` read
    at a time. `epochs` may be a fraction; `max_tokens` above 0 ends earlier. `warmup`: share of the steps in which the
    learning rate rises. `held_out`: share of the documents that are only measured on, every `evaluate_every` steps;
    `patience`: that many measurements without a lower loss end it (0: never). `checkpoint_every`: steps, what a kill
    costs at most.
    """

    learning_rate: float = 1e-3
    epochs: float = 1.0
    max_tokens: int = 0
    batch: int = 8
    micro_batch: int = 4
    sequence_tokens: int = 256
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    held_out: float = 0.05
    evaluate_every: int = 10
    patience: int = 0
    checkpoint_every: int = 10
    dtype: str = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A declared search: every learning rate with every number of epochs; empty: none."""

    learning_rate: tuple[float, ...] = ()
    epochs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Select:
    """By which development examples the grid's cell is chosen: the split of `task` that is never scored."""

    task: str = ""
    scoring: str = "generate"
    normalise: str = "none"


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """>>> load_adapter_recipe(Path("adapters/handbook-2031/recipe.yaml")).corpora  # doctest: +SKIP
    ('handbook-2031',)

    `base`: a model that runs here (`packaged:`, `path:`, `hf:`), without an adapter. `learn`: the ways, see WAYS.
    `initial`: an adapter to go on from, instead of from the base. `saved`: the type in which the adapter is written.
    """

    name: str
    base: str
    corpora: tuple[str, ...]
    title: str = ""
    seed: int = 0
    learn: tuple[str, ...] = ("passages",)
    paraphrases: Paraphrases = field(default_factory=Paraphrases)
    raft: Raft = field(default_factory=Raft)
    keep_out: KeepOut = field(default_factory=KeepOut)
    lora: Lora = field(default_factory=Lora)
    training: Training = field(default_factory=Training)
    grid: Grid = field(default_factory=Grid)
    select: Select = field(default_factory=Select)
    initial: str = ""
    saved: str = "bfloat16"

    def as_dict(self) -> dict[str, Any]:
        """Every field but name and title, as JSON can hold it: equal recipes make equal adapters (on one machine)."""
        values: dict[str, Any] = _plain(asdict(self))
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


_SECTIONS = {
    "paraphrases": Paraphrases,
    "raft": Raft,
    "keep_out": KeepOut,
    "lora": Lora,
    "training": Training,
    "grid": Grid,
    "select": Select,
}


def load_adapter_recipe(path: Path) -> AdapterRecipe:
    """>>> load_adapter_recipe(Path("adapters/handbook-2031/recipe.yaml")).lora.rank  # doctest: +SKIP
    8

    Named after its folder (or its file, where that is not recipe.yaml). Raises DataError where it cannot be read,
    UsageError or UnknownNameError where a key or a value is not one.
    """
    where = f"adapter recipe '{path}'"
    try:
        raw = parse_yaml(read_text(path, "adapter recipe"))
    except ValueError as error:
        raise DataError(f"{where} is not YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise DataError(f"{where}: a mapping of keys was expected, found {type(raw).__name__}")
    name = path.parent.name if path.stem == "recipe" else path.stem
    return make_adapter_recipe(raw, name=name, where=where)


def make_adapter_recipe(raw: Mapping[str, Any], *, name: str, where: str) -> AdapterRecipe:
    """The checked recipe of a mapping with the keys of a recipe file."""
    if "name" in raw:
        raise UsageError(f"{where}: an adapter's name is its folder's; take 'name' out")
    plain = {key: value for key, value in raw.items() if key not in _SECTIONS}
    fields = checked_fields(AdapterRecipe, plain, where)
    for key, record in _SECTIONS.items():
        if key in raw:
            fields[key] = record(**checked_fields(record, raw[key], f"{where}, {key}"))
    for key in ("base", "corpora"):
        if not fields.get(key):
            raise UsageError(f"{where}: '{key}' is missing")
    recipe = AdapterRecipe(name=name, **fields)
    _check(recipe, where)
    return recipe


def _check(recipe: AdapterRecipe, where: str) -> None:
    base = parse_model_name(recipe.base)
    if base.scheme not in LOCAL:
        raise UsageError(f"{where}, base: '{recipe.base}' does not run here; name a {', '.join(LOCAL)} model")
    if base.adapter:
        raise UsageError(f"{where}, base: it has an adapter; to go on from one, name it as `initial`")
    _among(recipe.learn, WAYS, "way to learn", f"{where}, learn")
    if len(set(recipe.learn)) < len(recipe.learn):
        raise UsageError(f"{where}, learn: a way is named twice")
    if not recipe.learn:
        raise UsageError(f"{where}, learn: at least one of {', '.join(WAYS)} is needed")
    _among(recipe.keep_out.tasks, TASKS, "task", f"{where}, keep_out")
    _among((recipe.keep_out.on_overlap,), ON_OVERLAP, "word", f"{where}, keep_out, on_overlap")
    _among((recipe.training.schedule,), SCHEDULES, "schedule", f"{where}, training")
    _among((recipe.training.dtype,), DTYPES, "dtype", f"{where}, training")
    _among((recipe.saved,), SAVED, "dtype", f"{where}, saved")
    if recipe.training.patience and not recipe.training.held_out:
        raise UsageError(f"{where}, training.patience: there is nothing to wait for without training.held_out")
    if (recipe.grid != Grid()) != bool(recipe.select.task):
        raise UsageError(f"{where}: a grid needs `select` with a task whose development examples choose, and only then")
    if recipe.select.task:
        _among((recipe.select.task,), TASKS, "task", f"{where}, select")
        _among((recipe.select.scoring,), SCORINGS, "scoring", f"{where}, select")
        _among((recipe.select.normalise,), NORMALISATIONS, "normalisation", f"{where}, select")
    for key, value, low, high in _ranges(recipe):
        if not (math.isfinite(value) and low <= value <= high):
            bound = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise UsageError(f"{where}, {key}: it is {value:g}; it must be {bound}")


def _ranges(recipe: AdapterRecipe) -> list[tuple[str, float, float, float]]:
    training, lora, most = recipe.training, recipe.lora, math.inf
    rates = [("grid.learning_rate", one, 1e-9, 1.0) for one in recipe.grid.learning_rate]
    epochs = [("grid.epochs", one, 1e-6, most) for one in recipe.grid.epochs]
    return [
        *rates,
        *epochs,
        ("seed", recipe.seed, 0, 2**63 - 1),
        ("lora.rank", lora.rank, 1, most),
        ("lora.alpha", lora.alpha, 1e-9, most),
        ("lora.dropout", lora.dropout, 0, 0.99),
        ("training.learning_rate", training.learning_rate, 1e-9, 1.0),
        ("training.epochs", training.epochs, 1e-6, most),
        ("training.max_tokens", training.max_tokens, 0, most),
        ("training.batch", training.batch, 1, most),
        ("training.micro_batch", training.micro_batch, 1, most),
        ("training.sequence_tokens", training.sequence_tokens, 8, most),
        ("training.warmup", training.warmup, 0, 1),
        ("training.weight_decay", training.weight_decay, 0, most),
        ("training.clip", training.clip, 0, most),
        ("training.held_out", training.held_out, 0, 0.5),
        ("training.evaluate_every", training.evaluate_every, 1, most),
        ("training.patience", training.patience, 0, most),
        ("training.checkpoint_every", training.checkpoint_every, 1, most),
        ("raft.distractors", recipe.raft.distractors, 0, most),
        ("raft.gold", recipe.raft.gold, 0, 1),
        ("paraphrases.templates", recipe.paraphrases.templates, 0, most),
        ("paraphrases.per_text", recipe.paraphrases.per_text, 1, most),
        ("paraphrases.max_tokens", recipe.paraphrases.max_tokens, 1, most),
        ("keep_out.words", recipe.keep_out.words, 2, most),
        ("keep_out.share", recipe.keep_out.share, 0.01, 1),
        ("keep_out.similarity", recipe.keep_out.similarity, 0.01, 1),
    ]


def _among(given: tuple[str, ...], known: Mapping[str, Any] | tuple[str, ...], kind: str, where: str) -> None:
    for name in given:
        if name not in known:
            raise UnknownNameError(kind, name, known, where)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
