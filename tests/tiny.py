"""A tiny causal language model with random weights, written to a folder: what several tests load from disk."""

from collections.abc import Sequence
from pathlib import Path

from ragmed.records import Message

TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
PLAIN = TURNS + "{% if add_generation_prompt %}<assistant>{% endif %}"
SWITCH = PLAIN + "{% if add_generation_prompt and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
OPENS = PLAIN + "{% if add_generation_prompt %}<think>\n{% endif %}"
MARKS = ["<end>", "<system>", "<user>", "<assistant>"]
TAGS = ["<think>", "</think>"]


def save_tiny(
    folder: Path,
    *,
    template: str = PLAIN,
    swap: tuple[int, int] = (0, 0),
    positions: int = 256,
    special: Sequence[str] = (),
    tied: bool = False,
) -> Path:
    """`swap`: the two tokens whose rows change places in embedding and head, so that one is written for the other.

    `special`: tokens that a text without special tokens is decoded without. `tied`: the head is the embedding.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the fever and the cough, the fever\n\n"], trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False) for mark in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=positions, initializer_range=0.3, eos_token_id=0, bos_token_id=0,
        tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            weight[list(swap)] = weight[list(reversed(swap))]
    model.save_pretrained(folder)
    return folder


def user(text: str) -> list[Message]:
    return [Message("user", text)]
