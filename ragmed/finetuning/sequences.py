"""Training texts -> rows of token ids of one length, packed full, with a mask of the tokens that are trained on.

A row holds several texts. Positions start again with each of them, which is how transformers separates them: no text
sees its neighbour (`packs` asks a model whether that holds for it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.errors import UsageError
from ragmed.finetuning.texts import TrainingText
from ragmed.models.chat import ChatTemplate

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text, or of a piece of it, and which of them are trained on (predicted from those before)."""

    id: str
    ids: Ints
    trained: Bools


@dataclass(frozen=True, slots=True)
class Rows:
    """`ids`, `positions`, `trained`: (rows, length). `used`: how many tokens of each row are no padding. `texts`: the
    ids of the texts in each row. `split`: how many texts were longer than a row and lie in several.
    """

    ids: Ints
    positions: Ints
    trained: Bools
    used: Ints
    texts: tuple[tuple[str, ...], ...]
    split: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Tokens of all rows, without padding."""
        return int(self.used.sum())


def encode(texts: Sequence[TrainingText], tokenizer: Any, *, length: int) -> tuple[list[Encoded], int]:
    """The tokens of each text, in pieces of at most `length`, and how many texts had to be split.

    The prompt of chat turns is tokenised as it is when the model is asked, its answer after it. UsageError where a
    prompt leaves no room for an answer in a row, or where the tokenizer has no token that ends a text.
    """
    chat = ChatTemplate(tokenizer)  # whose special tokens no text holds
    if tokenizer.eos_token_id is None:
        raise UsageError("the base model's tokenizer has no end-of-text token, so that nothing could learn to end")
    pieces: list[Encoded] = []
    split = 0
    for text in texts:
        whole = _encode_chat(text, tokenizer, chat, length) if text.messages else _encode_text(text, tokenizer, chat)
        cut = _windows(whole, length) if text.messages else _pieces(whole, length)
        split += len(cut) > 1
        pieces += cut
    return pieces, split


def _encode_text(text: TrainingText, tokenizer: Any, chat: ChatTemplate) -> Encoded:
    ids = _ids(tokenizer, chat.inert(text.text), special=True)
    if ids[-1] != tokenizer.eos_token_id:
        ids.append(tokenizer.eos_token_id)
    trained = np.ones(len(ids), dtype=np.bool_)
    return Encoded(text.id, np.asarray(ids, dtype=np.int64), trained)


def _encode_chat(text: TrainingText, tokenizer: Any, chat: ChatTemplate, length: int) -> Encoded:
    prompt = _ids(tokenizer, chat.render(text.messages[:-1]), special=chat.adds_special_tokens)
    if chat.adds_special_tokens and prompt and prompt[-1] == tokenizer.eos_token_id:
        prompt.pop()  # some tokenizers end every text, also one that goes on
    if len(prompt) >= length:
        raise UsageError(
            f"the text '{text.id}' has a prompt of {len(prompt)} tokens, which leaves no room for its answer in "
            f"sequences of {length}; raise training.sequence_tokens"
        )
    content = chat.inert(text.messages[-1].content)
    closing = _ids(tokenizer, chat.closing(), special=False) or [tokenizer.eos_token_id]
    answer = _ids(tokenizer, f" {content}" if chat.adds_special_tokens else content, special=False) + closing
    trained = np.zeros(len(prompt) + len(answer), dtype=np.bool_)
    trained[len(prompt) :] = True
    return Encoded(text.id, np.asarray(prompt + answer, dtype=np.int64), trained)


def _ids(tokenizer: Any, text: str, *, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])


def _pieces(whole: Encoded, length: int) -> list[Encoded]:
    """Pieces of about one size: a short last one would be trained on without its context."""
    count = -(-len(whole.ids) // length)
    borders = [round(place * len(whole.ids) / count) for place in range(count + 1)]
    return [Encoded(whole.id, whole.ids[a:b], whole.trained[a:b]) for a, b in pairwise(borders)]


def _windows(whole: Encoded, length: int) -> list[Encoded]:
    """Pieces of a turn that is longer than a row: each but the first reads half a row of what goes before, and learns
    what is new in it.
    """
    pieces = [Encoded(whole.id, whole.ids[:length], whole.trained[:length])]
    done = length
    while done < len(whole.ids):
        start = done - length // 2
        piece = slice(start, start + length)
        trained = whole.trained[piece].copy()
        trained[: done - start] = False
        pieces.append(Encoded(whole.id, whole.ids[piece], trained))
        done = start + length
    return pieces


def pack(pieces: Sequence[Encoded], *, length: int, pad: int, split: int = 0, share_rows: bool = True) -> Rows:
    """Pieces into rows, the longest first, each into the fullest row that still holds it (best fit decreasing).

    `share_rows` False: one piece a row. The rows' order says nothing; training shuffles them.
    """
    rows: list[list[Encoded]] = []
    room: dict[int, list[int]] = {}
    for piece in sorted(pieces, key=lambda piece: -len(piece.ids)):
        need = len(piece.ids)
        left = next((space for space in range(need, length) if room.get(space)), 0) if share_rows else 0
        if left:
            row = room[left].pop()
        else:
            row, left = len(rows), length
            rows.append([])
        rows[row].append(piece)
        room.setdefault(left - need, []).append(row)
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    trained = np.zeros((len(rows), length), dtype=np.bool_)
    for number, row_pieces in enumerate(rows):
        start = 0
        for piece in row_pieces:
            end = start + len(piece.ids)
            ids[number, start:end] = piece.ids
            positions[number, start:end] = np.arange(end - start)
            trained[number, start:end] = piece.trained
            trained[number, start] = False  # nothing stands before it to predict it from
            start = end
        positions[number, start:] = np.arange(length - start)
    named = tuple(tuple(piece.id for piece in row) for row in rows)
    used = np.asarray([sum(len(piece.ids) for piece in row) for row in rows], dtype=np.int64)
    return Rows(ids, positions, trained, used, named, split)


def packs(model: Any) -> bool:
    """Whether texts packed into one row stay apart in this model: another neighbour must change nothing."""
    import torch

    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    first = [(5 * place + 1) % vocabulary for place in range(8)]
    other = [(token + vocabulary // 2) % vocabulary for token in first]
    last = [(3 * place + 2) % vocabulary for place in range(8)]
    positions = torch.arange(8).repeat(2)[None].to(model.device)
    with torch.inference_mode():
        logits = [
            model(
                input_ids=torch.tensor([[*head, *last]], device=model.device), position_ids=positions, use_cache=False
            ).logits[0, 8:]
            for head in (first, other)
        ]
    return bool(torch.equal(logits[0], logits[1]))
