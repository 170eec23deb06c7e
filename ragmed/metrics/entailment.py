"""Statements that an answer should make, judged by a model of natural language inference (NLI) that runs here.

    scorer = load_entailment(Path("models/nli"))          # a folder of AutoModelForSequenceClassification
    entailment_metric("completeness", scorer)             # the share of must-have statements that the answer entails
    entailment_metric("contradiction", scorer)            # the share of all statements that the answer contradicts

The answer is the premise, a statement the hypothesis (K-QA, arXiv 2401.14493, section 4: comprehensiveness and
hallucination rate, which is a count there and a share here). What such a number is worth depends on the model: an
error of the model is one of the metric. The model is named by whoever runs the experiment, and its hash is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from ragmed.errors import DataError, MismatchError, ModelError, UsageError
from ragmed.files import sha256_file, sha256_json
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.coverage import MUST_HAVE, NICE_TO_HAVE, statements
from ragmed.records import Example, Value

Relation = Literal["entailment", "neutral", "contradiction"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
BATCH = 16
STRIDE = 32
"""Tokens that two pieces of a long premise have in common."""
_NO_LIMIT = 10**6  # tokenizers without a limit of their own say 10**30


class EntailmentScorer(Protocol):
    """How each premise is related to its hypothesis, in order: [n] pairs -> [n] relations."""

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    """`relation`: what is counted, among the statements of the gold lists `of`."""

    relation: Relation
    of: tuple[str, ...]
    higher_is_better: bool


ENTAILMENT_METRICS = {
    "completeness": _Kind("entailment", (MUST_HAVE,), True),
    "contradiction": _Kind("contradiction", (MUST_HAVE, NICE_TO_HAVE), False),
}


def entailment_metric(name: str, scorer: EntailmentScorer) -> Metric:
    """
    >>> class Same:
    ...     def relations(self, pairs): return ["entailment" if a == b else "neutral" for a, b in pairs]
    >>> example = Example("q1", "?", gold={"must_have": ("Rest.", "Drink."), "nice_to_have": ()})
    >>> entailment_metric("completeness", Same()).score([(example, "Rest.")])
    [0.5]

    A graded metric, one share from 0 to 1 for each answer; all pairs of a batch are asked together. An answer that is
    no text entails and contradicts nothing. UsageError for a name that is none of ENTAILMENT_METRICS.
    """
    if name not in ENTAILMENT_METRICS:
        raise UsageError(f"'{name}' is no metric of entailment; these are: {', '.join(ENTAILMENT_METRICS)}")
    kind = ENTAILMENT_METRICS[name]
    return Metric(MetricFacts(name, higher_is_better=kind.higher_is_better), _score(kind, scorer))


def _score(kind: _Kind, scorer: EntailmentScorer) -> Callable[[Batch], list[float]]:
    def pairs_of(example: Example, value: Value) -> list[tuple[str, str]]:
        wanted = statements(example, *kind.of)
        return [(value, statement) for statement in wanted] if isinstance(value, str) and value.strip() else []

    def score(batch: Batch) -> list[float]:
        pairs = [pairs_of(example, value) for example, value in batch]
        found = iter(scorer.relations([pair for several in pairs for pair in several]))
        counts = [sum(next(found) == kind.relation for _ in several) for several in pairs]
        return [count / max(1, len(several)) for count, several in zip(counts, pairs, strict=True)]

    return score


class EntailmentModel:
    """A classifier of pairs of texts whose `config.id2label` names the three relations.

    A premise that does not fit into what the model reads is given in pieces that overlap, with the whole hypothesis
    each time, and nothing is cut: the pair is an entailment where one piece entails, else a contradiction where one
    piece contradicts, else neutral. `sha256`: of weights, configuration and tokenizer.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, *, sha256: str = "") -> None:
        self.name, self.sha256 = name, sha256
        self._model, self._tokenizer = model.eval(), tokenizer
        self._labels = _labels(name, model.config)
        self._reads = _tokens_read(model.config, tokenizer)

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        """ModelError for a hypothesis that leaves no room for a premise."""
        pieces: list[tuple[int, dict[str, list[int]]]] = []
        for place, (premise, hypothesis) in enumerate(pairs):
            pieces += [(place, piece) for piece in self._pieces(premise, hypothesis)]
        by_pair: list[set[Relation]] = [set() for _ in pairs]
        # texts of one length together, so that few tokens are padding; a pair's relation does not depend on its batch
        pieces.sort(key=lambda piece: len(piece[1]["input_ids"]))
        for start in range(0, len(pieces), BATCH):
            some = pieces[start : start + BATCH]
            for (place, _), relation in zip(some, self._classify([piece for _, piece in some]), strict=True):
                by_pair[place].add(relation)
        return [_strongest(found) for found in by_pair]

    def _pieces(self, premise: str, hypothesis: str) -> list[dict[str, list[int]]]:
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        room = self._reads - special - len(self._tokenizer(hypothesis, add_special_tokens=False)["input_ids"])
        if room <= 2 * STRIDE:
            raise ModelError(
                f"'{self.name}' reads {self._reads} tokens, too few for the statement '{hypothesis[:80]}' and an "
                "answer beside it; choose a model that reads more"
            )
        encoded = self._tokenizer(
            premise, hypothesis, truncation="only_first", max_length=self._reads, stride=STRIDE,
            return_overflowing_tokens=True,
        )  # fmt: skip
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        return [{name: encoded[name][i] for name in names} for i in range(len(encoded["input_ids"]))]

    def _classify(self, pieces: Sequence[dict[str, list[int]]]) -> list[Relation]:
        import torch

        padded = self._tokenizer.pad(list(pieces), return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            best = self._model(**padded).logits.float().argmax(-1)
        return [self._labels[int(label)] for label in best]


def _strongest(found: set[Relation]) -> Relation:
    return next((relation for relation in ("entailment", "contradiction") if relation in found), "neutral")


def _labels(name: str, config: Any) -> dict[int, Relation]:
    known: dict[str, Relation] = {relation: relation for relation in RELATIONS}
    named = {int(number): str(label) for number, label in config.id2label.items()}
    labels = {number: known[label.casefold()] for number, label in named.items() if label.casefold() in known}
    if len(named) != len(RELATIONS) or set(labels.values()) != set(RELATIONS):
        raise DataError(
            f"'{name}' has the labels {', '.join(named.values())}, and its config's id2label must name each of "
            f"{', '.join(RELATIONS)} once; choose a model of three-way entailment, or correct its config.json"
        )
    return labels


def _tokens_read(config: Any, tokenizer: Any) -> int:
    """How many tokens a model reads at once. RoBERTa and its like count positions from after their padding's number."""
    positions = int(getattr(config, "max_position_embeddings", 0) or _NO_LIMIT)
    if config.model_type in ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer"):
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def load_entailment(folder: Path, *, sha256: str = "", device: str = "cpu") -> EntailmentModel:
    """
        load_entailment(Path("models/nli")).relations([("He has gout.", "He is ill.")])

    The model in a folder, read from safetensors alone, in float32; no code of its publisher is run and nothing is
    fetched. `sha256`: what its hash must be (`folder_hash`); MismatchError where it is another. ModelError for what
    cannot be read as such a model, DataError for labels that are not the three relations.
    """
    name = str(folder)
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"'{name}' is no folder of a model (config.json, *.safetensors): name one with a sequence classifier that "
            "was trained on natural language inference"
        )
    found = folder_hash(folder)
    if sha256 and sha256 != found:
        raise MismatchError(f"the model in '{name}' has the hash {found}, and {sha256} is asked for; fetch that model")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, trust_remote_code=False,
            local_files_only=True,
        )  # fmt: skip
    except Exception as error:  # the files are a stranger's, and the libraries that read them fail in their own ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"'{name}' cannot be read as a sequence classifier: {reason}") from error
    if wrong := sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])}):
        raise ModelError(  # transformers would put random numbers there, as into the head of a model that has none
            f"the weights in '{name}' lack {', '.join(wrong[:3])}: it is no trained classifier; choose one that is"
        )
    if not tokenizer.is_fast:
        raise ModelError(f"'{name}' has no tokenizer.json, without which long answers cannot be read in pieces")
    return EntailmentModel(name, model.to(device), tokenizer, sha256=found)


def folder_hash(folder: Path) -> str:
    """One hash over the names and sha256 of a folder's weights, JSON and vocabulary: equal hashes, equal model."""
    files = sorted(path for pattern in ("*.safetensors", "*.json", "*.txt", "*.model") for path in folder.glob(pattern))
    return sha256_json({path.name: sha256_file(path) for path in files})
