"""Metrics by a model of entailment: shares by hand, and real loading of tiny models of real architectures."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ragmed.errors import DataError, MismatchError, ModelError, UsageError
from ragmed.metrics.entailment import Relation, entailment_metric, folder_hash, load_entailment
from ragmed.records import Example, Value

LABELS = {0: "CONTRADICTION", 1: "entailment", 2: "Neutral"}
WORDS = [f"w{i}" for i in range(40)]


class Told:
    """A scorer that knows each pair's relation, and keeps what it was asked."""

    def __init__(self, **relations: Relation) -> None:
        self.relations_of, self.asked = relations, list[tuple[str, str]]()

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        self.asked += pairs
        return [self.relations_of[hypothesis] for _, hypothesis in pairs]


@pytest.mark.parametrize(("name", "shares"), [("completeness", [0.5, 0.0, 0.0]), ("contradiction", [1 / 3, 0.0, 0.0])])
def test_shares_are_of_the_statements_that_each_metric_is_about(name: str, shares: list[float]) -> None:
    scorer = Told(rest="entailment", drink="neutral", walk="contradiction")
    example = Example("q", "?", gold={"must_have": ("rest", "drink"), "nice_to_have": ("walk",), "answer": ("text",)})
    batch: list[tuple[Example, Value]] = [(example, "Rest."), (example, None), (example, " ")]
    metric = entailment_metric(name, scorer)
    assert metric.score(batch) == pytest.approx(shares)
    assert metric.score([]) == []
    hypotheses = ["rest", "drink", "walk"][: 2 if name == "completeness" else 3]
    assert scorer.asked == [("Rest.", hypothesis) for hypothesis in hypotheses]
    assert metric.facts.higher_is_better is (name == "completeness")


def test_other_names_and_examples_without_statements_are_refused() -> None:
    with pytest.raises(UsageError, match="'accuracy' is no metric of entailment; these are: completeness, contradict"):
        entailment_metric("accuracy", Told())
    with pytest.raises(UsageError, match="'q' names no statements"):
        entailment_metric("completeness", Told()).score([(Example("q", "?", gold="B"), "B")])


def save_nli(folder: Path, kind: str, *, labels: dict[int, str] = LABELS, head: bool = True) -> Path:
    """A tiny classifier with random weights and a tokenizer of whole words, as publishers lay them out."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertModel,
        DebertaV2Config,
        DebertaV2ForSequenceClassification,
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaForSequenceClassification,
    )  # fmt: skip

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    size: dict[str, Any] = {
        "vocab_size": len(vocabulary), "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.9, "pad_token_id": 0,
        "id2label": labels, "label2id": {label: i for i, label in labels.items()},
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = {
            "bert": lambda: (BertForSequenceClassification if head else BertModel)(BertConfig(**size)),
            "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(type_vocab_size=1, **size)),
            "deberta-v2": lambda: DebertaV2ForSequenceClassification(
                DebertaV2Config(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16, **size)
            ),
        }[kind]()
    if head:  # of random weights one class mostly wins; so that each of them does, its mean is taken off
        last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
        texts = torch.randint(4, len(vocabulary), (64, 20), generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            last.bias -= model.eval()(input_ids=texts).logits.mean(0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["bert", "roberta", "deberta-v2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_nli(tmp_path_factory.mktemp(request.param), request.param)


def sentences(count: int, seed: int, length: int = 9) -> list[str]:
    draw = torch.Generator().manual_seed(seed)
    return [" ".join(WORDS[i] for i in torch.randint(0, 40, (length,), generator=draw).tolist()) for _ in range(count)]


def directly(folder: Path, premise: str, hypothesis: str) -> str:
    """The label of a pair that fits, as transformers gives it."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(premise, hypothesis, return_tensors="pt")).logits
    return str(model.config.id2label[int(logits.argmax())]).casefold()


def test_relations_are_those_of_the_model_alone_and_in_a_batch(folder: Path) -> None:
    scorer = load_entailment(folder)
    pairs = [
        (f"{a} {b}", c) for a, b, c in zip(sentences(40, 1, 12), sentences(40, 2, 20), sentences(40, 3), strict=True)
    ]
    pairs = [(premise.rsplit(" ", i % 25)[0], hypothesis) for i, (premise, hypothesis) in enumerate(pairs)]
    together = scorer.relations(pairs)
    assert together == [scorer.relations([pair])[0] for pair in pairs]
    assert together[:12] == [directly(folder, *pair) for pair in pairs[:12]]
    assert len(set(together)) > 1  # a model that always says the same would show nothing
    assert scorer.relations([]) == []


def test_a_long_answer_is_read_in_pieces_to_its_end(folder: Path) -> None:
    scorer = load_entailment(folder)
    long, statement = sentences(1, 7, 400)[0], sentences(1, 8)[0]
    pieces = scorer._pieces(long, statement)
    reads = 127 if "roberta" in folder.name else 128
    assert max(len(piece["input_ids"]) for piece in pieces) == reads
    words = long.split()
    room = reads - 3 - 9
    expected, start = [], 0
    while True:
        expected.append(" ".join(words[start : start + room]))
        if start + room >= len(words):
            break
        start += room - 32
    assert len(pieces) == len(expected)
    found = {directly(folder, piece, statement) for piece in expected}
    strongest = next(r for r in ("entailment", "contradiction", "neutral") if r in found)
    assert scorer.relations([(long, statement)]) == [strongest]


def test_a_statement_that_leaves_no_room_for_an_answer_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"reads 12[78] tokens, too few for the statement 'w"):
        load_entailment(folder).relations([("w1", sentences(1, 4, 80)[0])])


def test_the_hash_is_of_the_model_and_another_one_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert load_entailment(copy, sha256=folder_hash(folder)).sha256 == folder_hash(folder)
    config = json.loads((copy / "config.json").read_text())
    config["id2label"] = {"0": "entailment", "1": "contradiction", "2": "neutral"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(MismatchError, match=rf"has the hash \w+, and {folder_hash(folder)} is asked for"):
        load_entailment(copy, sha256=folder_hash(folder))


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "entailment", 1: "not_entailment"},
        {0: "entailment", 1: "neutral", 2: "contradiction", 3: "other"},
    ],
)
def test_a_model_whose_labels_are_not_the_three_relations_is_refused(tmp_path: Path, labels: dict[int, str]) -> None:
    with pytest.raises(DataError, match=f"has the labels {', '.join(labels.values())}, and its config's id2label must"):
        load_entailment(save_nli(tmp_path, "bert", labels=labels))


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"lack classifier\.bias, classifier\.weight.*: it is no trained classifier"):
        load_entailment(save_nli(tmp_path, "bert", head=False))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no folder of a model"):
        load_entailment(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be read as a sequence classifier"):
        load_entailment(tmp_path)
