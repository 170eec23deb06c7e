"""Causal language models that run here. In: a tokenizer, and what computes (`loading.py`, `vllm.py`). Out: a Model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from itertools import groupby
from typing import Any, Literal, Protocol

from ragmed.errors import ModelError, UsageError
from ragmed.files import sha256_json
from ragmed.models.chat import ChatTemplate
from ragmed.models.generation import Generator, Writer
from ragmed.models.reasoning import Reasoner
from ragmed.models.scoring import Scorer, TokenItem, TokenScores
from ragmed.models.thinking import left_open, single_marks, split_thinking
from ragmed.records import Completion, Message, OptionScores

_NO_LIMIT = 10**9


class TokenScorer(Protocol):
    def score(self, items: Sequence[TokenItem]) -> list[TokenScores]: ...


class TokenModel:
    """A Model over token ids: templates, budgets and borders are here, the computing is in `writer` and `scorer`.

    A continuation's tokens are those that follow the prompt's when both are tokenised as one text (the convention of
    lm-evaluation-harness, which moves a prompt's last white space into the continuation besides: that adds the same
    number to all options of a prompt). Where the two melt into one token at the border, the continuation's own tokens
    are taken, so that none of its characters is left out.

    `hashes` goes into the fingerprint as it is. `thinking_tokens` above 0: what is generated may think so many tokens
    first; log-likelihoods are those of a model that does not think, since what it would have thought is not given.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        *,
        writer: Writer,
        scorer: TokenScorer,
        context_tokens: int,
        hashes: Mapping[str, str],
        thinking_tokens: int = 0,
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.chat = ChatTemplate(tokenizer)
        self._asks = ChatTemplate(tokenizer, thinking="on") if thinking_tokens else self.chat
        self.context_tokens = context_tokens
        self.thinking_tokens = thinking_tokens
        self._appended = _appended(tokenizer) if self.chat.adds_special_tokens else 0
        self._hashes = {**hashes, "config": sha256_json([hashes.get("config", ""), sorted(writer.eos)])}
        self._scorer = scorer
        self._generator = writer
        self._reasoner: Reasoner | None = None
        if thinking_tokens:
            if self.chat.kind == "plain" or not self.chat.knows_thinking():
                raise UsageError(f"the chat template of '{name}' knows no thinking; take thinking_tokens out")
            self._reasoner = Reasoner(writer, tokenizer, budget=thinking_tokens)

    def fingerprint(self) -> dict[str, str]:
        """Hashes of weights, config, tokenizer, template and adapter, dtype, kind of device; no library versions."""
        template = {"template": self.chat.fingerprint(), "template_kind": self.chat.kind}
        template |= {"template_date": self.chat.date} if self.chat.date else {}
        if self._reasoner:
            template |= {"template_thinking": self._asks.fingerprint(), "thinking_tokens": str(self.thinking_tokens)}
        return {**self._hashes, **template}

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens with the template; where thinking changes the template's text, of the longer one."""
        counts = [len(ids) for ids in self._encode([self.chat.render(prompt) for prompt in prompts])]
        if self._asks is self.chat:
            return counts
        asked = self._encode([self._asks.render(prompt) for prompt in prompts])
        return [max(count, len(ids)) for count, ids in zip(counts, asked, strict=True)]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy answers. A prompt that leaves no room for thinking and `max_tokens` gets an error, and is not cut."""
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        texts = [self._asks.render(prompt) for prompt in prompts]
        ids = self._encode(texts)
        room = self.thinking_tokens + max_tokens
        fitting = [i for i, tokens in enumerate(ids) if len(tokens) + room <= self.context_tokens]
        written = self._write([ids[i] for i in fitting], [texts[i] for i in fitting], max_tokens, stop)
        answers = dict(zip(fitting, written, strict=True))
        completions = []
        for place, tokens in enumerate(ids):
            if (answer := answers.get(place)) is None:
                completions.append(Completion("", "error", len(tokens), 0, self._too_long(len(tokens), room)))
            else:
                completions.append(replace(answer, input_tokens=len(tokens)))
        return completions

    def _write(
        self, ids: Sequence[list[int]], texts: Sequence[str], max_tokens: int, stop: Sequence[str]
    ) -> list[Completion]:
        if self._reasoner is None:
            written = self._generator.generate(ids, max_tokens=max_tokens, stop=stop)
            return [self._apart(Completion(answer.text, answer.finish, 0, answer.tokens)) for answer in written]
        opened = [bool(left_open(text)) for text in texts]
        return [
            self._apart(
                Completion(answer.text, answer.finish, 0, answer.tokens, "", answer.thinking, answer.thinking_tokens)
            )
            for answer in self._reasoner.generate(ids, opened=opened, max_tokens=max_tokens, stop=stop)
        ]

    def _apart(self, completion: Completion) -> Completion:
        """Some models think although nobody asked them to: a letter that they weigh there is no answer."""
        more, text = split_thinking(completion.text)
        if not more:
            return replace(completion, text=text)
        thinking = "\n\n".join(part for part in (completion.thinking, more) if part)
        tokens = completion.thinking_tokens + len(self._encode([more], plain=True)[0])
        return replace(completion, text=text, thinking=thinking, thinking_tokens=min(tokens, completion.output_tokens))

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """Log-likelihoods; many prompts in one call are read faster, because what all share is read once.

        A prompt that does not fit the context with its longest continuation gets an error, and is not cut; so does
        one whose numbers are no numbers. UsageError for an empty continuation, or lists of different lengths.
        """
        if len(prompts) != len(continuations):
            raise UsageError(f"{len(prompts)} prompts came with {len(continuations)} lists of continuations")
        items = self._items([self.chat.render(prompt) for prompt in prompts], continuations)
        longest = [max(map(len, item.continuations), default=0) for item in items]
        too_long = [len(item.prompt) + extra > self.context_tokens for item, extra in zip(items, longest, strict=True)]
        scored = iter(self._scorer.score([item for item, long in zip(items, too_long, strict=True) if not long]))
        results = []
        for item, extra, long in zip(items, longest, too_long, strict=True):
            lengths = tuple(map(len, item.continuations))
            if long:
                reason = self._too_long(len(item.prompt), extra)
                results.append(OptionScores((), lengths, (), len(item.prompt), reason))
            else:
                results.append(self._scores(next(scored), lengths, len(item.prompt)))
        return results

    def _scores(self, got: TokenScores, lengths: tuple[int, ...], prompt: int) -> OptionScores:
        if all(map(math.isfinite, got.logprobs)):
            return OptionScores(got.logprobs, lengths, got.greedy, prompt)
        dtype = self._hashes.get("dtype", "its precision")
        reason = (
            f"'{self.name}' computed a log-likelihood that is not a finite number in {dtype}; "
            "use --dtype float32, or check the weights"
        )
        return OptionScores((), lengths, (), prompt, reason)

    def _items(self, texts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[TokenItem]:
        for place, options in enumerate(continuations):
            if not all(options):
                raise UsageError(f"prompt {place + 1} came with an empty continuation, which has no likelihood")
        prompts = self._encode(texts)
        flat = [option for options in continuations for option in options]
        joint = iter(
            self._encode([text + o for text, options in zip(texts, continuations, strict=True) for o in options])
        )
        own = iter(self._encode(flat, plain=True))
        items = []
        for prompt, options in zip(prompts, continuations, strict=True):
            tails = []
            for option in options:
                whole, alone = next(joint), next(own)
                tail = whole[len(prompt) :] if whole[: len(prompt)] == prompt else alone
                tails.append(tuple(tail or alone))
                if not tails[-1]:
                    raise UsageError(f"the continuation {option!r} has no tokens in the vocabulary of '{self.name}'")
            items.append(TokenItem(tuple(prompt), tuple(tails)))
        return items

    def _encode(self, texts: Sequence[str], *, plain: bool = False) -> list[list[int]]:
        if not texts:
            return []
        special = self.chat.adds_special_tokens and not plain
        encoded = self.tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)
        # A text's end mark before the answer would ask the model what follows after a finished text.
        end = -self._appended if special and self._appended else None
        return [list(map(int, ids[:end])) for ids in encoded["input_ids"]]

    def _too_long(self, prompt: int, answer: int) -> str:
        return (
            f"the prompt has {prompt} tokens and its answer up to {answer}: together more than the "
            f"{self.context_tokens} that '{self.name}' can read; give fewer passages or examples"
        )


class LocalModel(TokenModel):
    """
        model = load_folder(ModelSettings("path:m"), Path("m"))
        model.score([[Message("user", "A or B?")]], [["A", "B"]])[0].logprobs  # (-0.7, -1.1)

    `model` and `tokenizer` are those of transformers. `context_tokens` 0: all that the model can read. `notes`: what a
    run keeps of how the model was loaded, beside its fingerprint.
    """

    computes_here: Literal[True] = True

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        *,
        hashes: Mapping[str, str],
        thinking_tokens: int = 0,
        context_tokens: int = 0,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.notes = dict(notes or {})
        eos = end_tokens(model.generation_config.eos_token_id, tokenizer)
        limit = context_of(name, model.config.get_text_config(), tokenizer, context_tokens)
        machine = {"dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device.type)}
        self._rows = int(model.get_input_embeddings().weight.shape[0])
        super().__init__(
            name,
            tokenizer,
            writer=Generator(model, decoder(tokenizer), eos=eos),
            scorer=Scorer(model),
            context_tokens=limit,
            hashes={**hashes, **machine},
            thinking_tokens=thinking_tokens,
        )

    def _encode(self, texts: Sequence[str], *, plain: bool = False) -> list[list[int]]:
        """As of any model; ModelError for a token that the tokenizer has, and the embedding no row for."""
        encoded = super()._encode(texts, plain=plain)
        if (most := max((max(ids, default=0) for ids in encoded), default=0)) >= self._rows:
            token = self.tokenizer.convert_ids_to_tokens(most)
            raise ModelError(
                f"the tokenizer of '{self.name}' writes '{token}' as token {most}, and its embedding has {self._rows} "
                "rows: the vocabulary was resized, and the weights or the tokenizer are those of before; save both "
                "together (model.resize_token_embeddings, then save_pretrained of model and tokenizer)"
            )
        return encoded


class Apart(LocalModel):
    """A LocalModel whose adapter still lies beside the weights, in `peft`, and can be switched off."""

    compared_by = "log-probabilities of the next token"

    def __init__(self, name: str, peft: Any, tokenizer: Any, *, hashes: Mapping[str, str], context_tokens: int) -> None:
        super().__init__(name, peft.get_base_model(), tokenizer, hashes=hashes, context_tokens=context_tokens)
        self._peft = peft

    def adapter_changes(self, prompts: Sequence[Sequence[Message]]) -> list[float]:
        """The largest change of a log-probability of the token after each prompt, in nats; ModelError for no number."""
        changes = []
        for ids in self._encode([self.chat.render(prompt) for prompt in prompts]):
            with self._peft.disable_adapter():
                off = self._after(ids)
            on = self._after(ids)
            changes.append(float((on - off)[on != off].abs().max()) if bool((on != off).any()) else 0.0)
        if not all(map(math.isfinite, changes)):
            raise ModelError(
                f"'{self.name}' computes log-probabilities that are no finite numbers in "
                f"{self._hashes.get('dtype', 'its precision')}; use dtype float32, or check the weights"
            )
        return changes

    def _after(self, ids: list[int]) -> Any:
        import torch

        last = {"logits_to_keep": 1} if "logits_to_keep" in signature(self.model.forward).parameters else {}
        with torch.inference_mode():
            read = self.model(input_ids=torch.tensor([ids], device=self.model.device), use_cache=False, **last)
        return read.logits[0, -1].float().log_softmax(-1)


def decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """Token ids -> text without special tokens, but for the marks by which thinking is told from the answer."""
    added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    marks = {added[mark] for mark in single_marks(tokenizer.get_vocab()) if mark in added}

    def plain(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def marked(ids: list[int]) -> str:
        if marks.isdisjoint(ids):
            return plain(ids)
        runs = groupby(ids, key=lambda number: number in marks)
        return "".join(str(tokenizer.decode(list(run))) if mark else plain(list(run)) for mark, run in runs)

    return marked if marks else plain


def context_of(name: str, config: Any, tokenizer: Any, asked: int) -> int:
    """How many tokens a model reads: what was asked for, if its config and tokenizer allow it, or all they allow."""
    limits = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    known = [int(limit) for limit in (*limits, tokenizer.model_max_length) if limit and 0 < limit < _NO_LIMIT]
    if not known:
        raise ModelError("neither the model's config nor its tokenizer states how long a text the model can read")
    if asked > min(known):
        raise UsageError(f"context_tokens {asked}: '{name}' reads {min(known)} at most; give that, or leave it out")
    return asked or min(known)


def end_tokens(named: int | list[int] | None, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text: those that the model's files name, and the tokenizer's."""
    tokens = [named, tokenizer.eos_token_id]
    return frozenset(t for value in tokens for t in (value if isinstance(value, list) else [value]) if t is not None)


def _appended(tokenizer: Any) -> int:
    """How many special tokens the tokenizer puts after a text."""
    whole, plain = (list(tokenizer("a", add_special_tokens=added)["input_ids"]) for added in (True, False))
    starts = (i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    start = next(starts, None)
    if start is None or not plain:
        raise ModelError(
            "the tokenizer reads a text otherwise when it adds its special tokens; it has no chat template"
        )
    return len(whole) - start - len(plain)
