"""Causal language models that run here, through transformers. In: a folder or a hub name. Out: a Model.

Weights are read from safetensors only, no code of the model's publisher is run, and nothing is fetched unless the
name says `hf:`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, ModelError, UsageError
from ragmed.files import read_json, sha256_file, sha256_json
from ragmed.models.chat import ChatTemplate
from ragmed.models.generation import Generator
from ragmed.models.scoring import Scorer, TokenItem
from ragmed.records import Completion, Message, OptionScores

DTYPES = ("auto", "float32", "bfloat16", "float16")
_NO_LIMIT = 10**9


class LocalModel:
    """>>> model = load_local("path:m", Path("m"))  # doctest: +SKIP
    >>> model.score([[Message("user", "A or B?")]], [["A", "B"]])[0].logprobs  # doctest: +SKIP
    (-0.7, -1.1)

    `model` and `tokenizer` are those of transformers; `hashes` goes into the fingerprint as it is. A continuation's
    tokens are those that follow the prompt's when both are tokenised as one text (the convention of
    lm-evaluation-harness, which moves a prompt's last white space into the continuation besides: that adds the same
    number to all options of a prompt). Where the two melt into one token at the border, the continuation's own tokens
    are taken, so that none of its characters is left out.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, *, hashes: Mapping[str, str]) -> None:
        self.name = name
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.chat = ChatTemplate(tokenizer)
        self.context_tokens = _context(model, tokenizer)
        self._hashes = dict(hashes)
        self._scorer = Scorer(model)
        self._generator = Generator(model, self._decode, eos=_end_tokens(model, tokenizer))

    def fingerprint(self) -> dict[str, str]:
        """Hashes of weights, tokenizer, template and adapter, dtype and kind of device; library versions are the run's."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        device = str(self.model.device.type)
        return {**self._hashes, "dtype": dtype, "device": device, "template": self.chat.fingerprint(), "template_kind": self.chat.kind}

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [len(ids) for ids in self._encode([self.chat.render(prompt) for prompt in prompts])]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy answers. A prompt that leaves no room for `max_tokens` gets an error, and is not cut."""
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}")
        ids = self._encode([self.chat.render(prompt) for prompt in prompts])
        fitting = [i for i, tokens in enumerate(ids) if len(tokens) + max_tokens <= self.context_tokens]
        written = self._generator.generate([ids[i] for i in fitting], max_tokens=max_tokens, stop=stop)
        answers = dict(zip(fitting, written, strict=True))
        completions = []
        for place, tokens in enumerate(ids):
            if (answer := answers.get(place)) is None:
                reason = self._too_long(len(tokens), max_tokens)
                completions.append(Completion("", "error", len(tokens), 0, reason))
            else:
                completions.append(Completion(answer.text, answer.finish, len(tokens), answer.tokens))
        return completions

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        """Log-likelihoods; many prompts in one call are read faster, because what all share is read once.

        A prompt that does not fit the context with its longest continuation gets an error, and is not cut. UsageError
        for an empty continuation, or lists of different lengths.
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
                got = next(scored)
                results.append(OptionScores(got.logprobs, lengths, got.greedy, len(item.prompt)))
        return results

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
        return [list(map(int, ids)) for ids in encoded["input_ids"]]

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _too_long(self, prompt: int, answer: int) -> str:
        return (
            f"the prompt has {prompt} tokens and its answer up to {answer}: together more than the "
            f"{self.context_tokens} that '{self.name}' can read; give fewer passages or examples"
        )


def load_local(
    name: str, source: str | Path, *, revision: str = "", adapter: str = "", device: str = "auto", dtype: str = "auto"
) -> LocalModel:
    """>>> load_local("path:models/m", Path("models/m"))  # doctest: +SKIP

    `source`: a folder, or ORG/NAME for the hub (its local cache alone where HF_HUB_OFFLINE=1). `device`: auto, cpu,
    cuda, cuda:1 …; auto takes cuda where there is one. `dtype`: auto is float32 on a CPU, bfloat16 elsewhere.
    `adapter`: a folder with a LoRA adapter in safetensors. Raises ModelError, DataError, UsageError.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    device_, dtype_ = _device(device), _dtype(dtype, device)
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    if isinstance(source, Path):
        _check_folder(source)
    options: dict[str, Any] = {"trust_remote_code": False}
    if revision:
        options["revision"] = revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model = AutoModelForCausalLM.from_pretrained(source, use_safetensors=True, dtype=dtype_, **options)
    except (OSError, ValueError, KeyError, json.JSONDecodeError, RuntimeError) as error:
        raise ModelError(f"'{name}' could not be loaded: {_first_line(error)}{_hint(source)}") from error
    hashes = _hashes(source, model, tokenizer)
    if adapter:
        model, hashes["adapter"] = _with_adapter(model, Path(adapter).expanduser(), name, hashes["weights"])
    try:
        model = model.to(device_)
    except RuntimeError as error:
        raise ModelError(f"'{name}' does not fit on '{device_}': {_first_line(error)}") from error
    return LocalModel(name, model, tokenizer, hashes=hashes)


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device '{device}' was asked for, and torch sees no GPU here; use --device cpu")
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise UsageError(f"device '{device}' is not one that torch knows; use cpu, cuda or cuda:N") from error


def _dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype not in DTYPES:
        raise UsageError(f"dtype '{dtype}' is not one of {', '.join(DTYPES)}")
    if dtype == "auto":  # most CPUs compute bfloat16 slower than float32, and less exactly
        return torch.float32 if _device(device) == "cpu" else torch.bfloat16
    return getattr(torch, dtype)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"model folder '{folder}' does not exist")
    if not (folder / "config.json").is_file():
        raise DataError(f"model folder '{folder}' has no config.json; is it a transformers model?")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"model folder '{folder}' has no *.safetensors; other formats can hold code and are not read")


def _hint(source: str | Path) -> str:
    if isinstance(source, Path):
        return ""
    if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "True", "ON", "YES"):
        return " (HF_HUB_OFFLINE is set, so only models already in the local cache can be used)"
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _hashes(source: str | Path, model: Any, tokenizer: Any) -> dict[str, str]:
    """`weights`: hash over the names and hashes of all safetensors; `tokenizer`: of what turns text into ids."""
    hashes: dict[str, str] = {}
    if isinstance(source, Path):
        folder = source
    else:
        from huggingface_hub import snapshot_download

        revision = str(getattr(model.config, "_commit_hash", "") or "")
        hashes["revision"] = revision
        folder = Path(snapshot_download(source, revision=revision or None, local_files_only=True))
    hashes["weights"] = weights_hash(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    hashes["tokenizer"] = sha256_json(vocabulary)
    return hashes


def weights_hash(folder: Path) -> str:
    """>>> weights_hash(Path("models/m"))  # doctest: +SKIP

    One hash over the names and sha256 of a folder's safetensors. Read anew each time (about 1 s a gigabyte): a hash
    kept beside the weights could outlive a change of them. In the hub's cache a file is a link to a blob that the hub
    named after its sha256, and the name is taken.
    """
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        blob = path.resolve()
        named = path.is_symlink() and len(blob.name) == 64 and all(c in "0123456789abcdef" for c in blob.name)
        hashes[path.name] = blob.name if named else sha256_file(path)
    return sha256_json(hashes)


def _with_adapter(model: Any, folder: Path, name: str, base: str) -> tuple[Any, str]:
    """The model with the LoRA adapter, and the adapter's hash.

    In float32 the adapter is merged into the weights, exact to 1e-6 and as fast as no adapter. In 16 bits merging
    would round away small updates, so there it stays beside the weights, as it was trained.
    """
    import torch
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise DataError(f"adapter folder '{folder}' lacks adapter_config.json or adapter_model.safetensors")
    _check_base(folder, name, base)
    config = sha256_json(read_json(folder / "adapter_config.json", "adapter configuration"))
    digest = sha256_json([config, sha256_file(folder / "adapter_model.safetensors")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers 5 for a renamed attribute
            tuned = PeftModel.from_pretrained(model, str(folder), use_safetensors=True)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(
            f"the adapter '{folder}' does not fit '{name.partition('+')[0]}': {_first_line(error)}; "
            "load it on the model it was trained on"
        ) from error
    if model.dtype == torch.float32:
        return tuned.merge_and_unload(), digest
    return tuned.get_base_model(), digest


def _check_base(folder: Path, name: str, base: str) -> None:
    """An adapter trained here says in ragmed.json which weights it belongs to: {"base_weights": HASH}."""
    note = folder / "ragmed.json"
    if not note.is_file():
        return
    expected = read_json(note, "adapter note").get("base_weights")
    if expected and expected != base:
        raise ModelError(
            f"the adapter '{folder}' was trained on other weights than '{name.partition('+')[0]}' has "
            f"({str(expected)[:12]}…, not {base[:12]}…); load it on the model it was trained on"
        )


def _context(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    limits = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    known = [int(limit) for limit in (*limits, tokenizer.model_max_length) if limit and 0 < limit < _NO_LIMIT]
    if not known:
        raise ModelError("neither the model's config nor its tokenizer says how long a text the model can read")
    return min(known)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    found = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
    return frozenset(t for value in found for t in (value if isinstance(value, list) else [value]) if t is not None)
