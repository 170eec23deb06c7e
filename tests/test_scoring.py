"""Sharing the reading of prompts must not change a number: each architecture against plain forward passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    BloomConfig,
    Gemma2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from ragmed.errors import ModelError
from ragmed.models import scoring
from ragmed.models.generation import Generator
from ragmed.models.scoring import Scorer, TokenItem, common_prefix

SIZE: dict[str, Any] = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MORE: dict[str, Any] = {**SIZE, "intermediate_size": 48, "max_position_embeddings": 256}
CONFIGS = {
    "llama": LlamaConfig(**MORE, num_key_value_heads=2, initializer_range=0.3),
    "qwen2": Qwen2Config(**MORE, num_key_value_heads=2, initializer_range=0.3, tie_word_embeddings=True),
    "gpt_neox": GPTNeoXConfig(**MORE, initializer_range=0.3),
    "gemma2": Gemma2Config(**MORE, num_key_value_heads=1, head_dim=8, initializer_range=0.3, sliding_window=64),
    "mistral": MistralConfig(**MORE, num_key_value_heads=2, initializer_range=0.3, sliding_window=24),
    "bloom": BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
}
# Rotary angles that change beyond 40 tokens, so that some of the texts below are long and others short.
THETA: dict[str, Any] = {"rope_theta": 10000.0}
LONG: dict[str, Any] = {**THETA, "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [3.0, 4.0, 5.0, 6.0]}
CONFIGS |= {
    "longrope": Phi3Config(
        **MORE, num_key_value_heads=2, initializer_range=0.3, pad_token_id=0, original_max_position_embeddings=40,
        rope_scaling={"rope_type": "longrope", "original_max_position_embeddings": 40, **LONG},
    ),
    "dynamic": LlamaConfig(
        **{**MORE, "max_position_embeddings": 40}, num_key_value_heads=2, initializer_range=0.3,
        rope_scaling={"rope_type": "dynamic", "factor": 4.0, **THETA},
    ),
}  # fmt: skip


def tiny(kind: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return AutoModelForCausalLM.from_config(CONFIGS[kind]).eval()


def ids(seed: int, length: int) -> tuple[int, ...]:
    return tuple(torch.randint(3, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def items() -> list[TokenItem]:
    shots = ids(0, 30)
    return [
        TokenItem(shots + ids(1, 9), (ids(2, 1), ids(3, 1), ids(4, 1))),
        TokenItem(shots + ids(5, 3), (ids(6, 5), ids(7, 1), ids(8, 2), ids(9, 9))),
        TokenItem(shots + ids(1, 9), (ids(2, 1), ids(3, 1), ids(4, 1))),
        TokenItem(shots + ids(10, 14), ()),
        TokenItem(shots + ids(11, 1), (ids(12, 4), ids(12, 4))),
    ]


def reference(model: Any, item: TokenItem) -> list[tuple[float, bool]]:
    results = []
    for continuation in item.continuations:
        model(torch.tensor([[5]]))  # "dynamic" remembers a long text until it sees a short one
        whole = torch.tensor([[*item.prompt, *continuation]])
        with torch.no_grad():
            logprobs = model(whole[:, :-1]).logits[0].double().log_softmax(-1)
        places = range(len(item.prompt) - 1, whole.shape[1] - 1)
        total = sum(float(logprobs[place, whole[0, place + 1]]) for place in places)
        results.append((total, all(int(logprobs[place].argmax()) == int(whole[0, place + 1]) for place in places)))
    return results


@pytest.mark.parametrize(("budget", "long"), [(16, 2048), (4096, 2048), (4096, 35)])
@pytest.mark.parametrize("kind", CONFIGS)
def test_equals_each_pair_alone(kind: str, budget: int, long: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "LONG", long)  # 35: two of the five prompts are long
    model = tiny(kind)
    asked = items()
    for got, item in zip(Scorer(model, token_budget=budget).score(asked), asked, strict=True):
        wanted = reference(model, item)
        assert got.logprobs == pytest.approx([total for total, _ in wanted], abs=1e-3)
        assert got.greedy == tuple(greedy for _, greedy in wanted)


@pytest.mark.parametrize(
    ("kind", "shares"),
    [("llama", True), ("qwen2", True), ("gpt_neox", True), ("gemma2", True), ("mistral", True), ("bloom", False)],
)
def test_knows_what_it_can_share(kind: str, shares: bool) -> None:
    assert Scorer(tiny(kind)).shares is shares


def test_reads_the_shared_part_once() -> None:
    model = tiny("llama")
    scorer = Scorer(model)
    assert scorer.shares
    read: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    many = [TokenItem(ids(0, 100) + ids(n, 5), (ids(n + 50, 3), ids(n + 90, 3))) for n in range(8)]
    scorer.score(many)
    assert read == [100, 8 * (5 + 2 + 2)]


def test_a_long_prompt_is_read_before_its_continuations_and_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "LONG", 60)
    model = tiny("llama")
    scorer = Scorer(model)
    assert scorer.shares
    read: list[tuple[int, bool]] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(
            (kwargs["input_ids"].numel(), kwargs.get("attention_mask") is not None)
        ),
        with_kwargs=True,
    )  # fmt: skip
    asked = [TokenItem(ids(0, 20) + ids(n, own), (ids(n + 50, 3), ids(n + 90, 3))) for n, own in ((1, 160), (2, 5))]
    first, second = scorer.score(asked)
    assert read == [(179, False), (1 + 2 + 2, True), (25 + 2 + 2, True)]
    read.clear()
    asked += [replace(asked[1], prompt=ids(0, 20) + ids(n, 5)) for n in range(3, 10)]
    assert scorer.score(asked)[0] == first  # and of what is long the shared part is no prefix for the rest
    assert [count for count, _ in read] == [179, 5, 20, 8 * (5 + 2 + 2)]
    read.clear()
    scorer.score([TokenItem(ids(0, 100) + ids(n, 80), (ids(n + 50, 3),)) for n in (1, 2, 3)])
    assert read[0][0] == 100  # so much is shared that reading it with each would cost more than the mask
    for got, item in ((first, asked[0]), (second, asked[1])):
        assert got.logprobs == pytest.approx([total for total, _ in reference(model, item)], abs=1e-3)


def test_a_text_longer_than_the_window_is_read_alone() -> None:
    scorer = Scorer(tiny("mistral"))
    assert scorer.shares
    assert not scorer._within_window(items())
    assert scorer._within_window([TokenItem(ids(0, 12), (ids(1, 4),))])


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_texts_below_the_length_that_changes_positions_share(kind: str) -> None:
    scorer = Scorer(tiny(kind))
    assert scorer.shares
    assert not scorer._within_window(items())
    assert scorer._within_window([TokenItem(ids(0, 30), (ids(1, 9),))])


def test_a_long_text_does_not_turn_the_positions_of_its_company() -> None:
    generator = Generator(tiny("longrope"), str, eos=frozenset())
    prompts = [ids(0, 50), ids(1, 10), ids(2, 12)]
    together = generator.generate(prompts, max_tokens=8)
    assert together == [generator.generate([prompt], max_tokens=8)[0] for prompt in prompts]


def test_greedy_is_what_the_model_would_write() -> None:
    model = tiny("llama")
    prompt = ids(0, 10)
    best = int(model(torch.tensor([prompt])).logits[0, -1].argmax())
    (got,) = Scorer(model).score([TokenItem(prompt, ((best,), ((best + 1) % 97,)))])
    assert got.greedy == (True, False)
    assert got.logprobs[0] > got.logprobs[1]


def test_a_batch_too_large_for_memory_is_read_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(tiny("llama"))
    wanted, read = scorer.score(items()), Scorer._read_batch

    def small_memory(self: Scorer, batch: Any, *more: Any) -> Any:
        if len(batch) > limit:
            raise torch.OutOfMemoryError
        return read(self, batch, *more)

    monkeypatch.setattr(Scorer, "_read_batch", small_memory)
    limit = 1
    for got, expected in zip(scorer.score(items()), wanted, strict=True):
        assert got.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    limit = 0
    with pytest.raises(ModelError, match="no memory left to read a prompt and its options, 46 tokens"):
        scorer.score(items()[1:2] + items()[1:2])


def test_same_call_same_numbers() -> None:
    scorer = Scorer(tiny("llama"))
    assert scorer.score(items()) == scorer.score(items())


def test_nothing_in_nothing_out() -> None:
    scorer = Scorer(tiny("llama"))
    assert scorer.score([]) == []
    assert scorer.score([TokenItem((5,), ())])[0].logprobs == ()
    assert len(scorer.score([TokenItem((5,), ((6,),))])[0].logprobs) == 1
    with pytest.raises(ValueError, match="at least one token"):
        scorer.score([TokenItem((5,), ((),))])


def test_common_prefix_leaves_each_prompt_a_token() -> None:
    assert common_prefix([(1, 2, 3), (1, 2, 4, 5)]) == 2
    assert common_prefix([(1, 2), (1, 2, 4, 5)]) == 1
    assert common_prefix([(1, 2, 3), (1, 2, 3)]) == 2
    assert common_prefix([(9,)]) == 0
