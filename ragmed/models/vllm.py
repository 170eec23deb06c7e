"""Models that vLLM runs in this process. In: a folder or a hub name, perhaps an adapter. Out: a Model.

Prompts go to vLLM as token ids that our own chat template made, so that a model reads the same text here as through
transformers; thinking and its budget are the same too. It is tested against a double that has the interface of vLLM
0.33, and was never run on a GPU.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ragmed.errors import MissingDependencyError, ModelError, RagmedError, UsageError
from ragmed.files import read_json, user_path
from ragmed.models.constraint import Constraint
from ragmed.models.local import TokenModel, context_of, decoder, end_tokens
from ragmed.models.names import parse_model_name
from ragmed.models.settings import ModelSettings
from ragmed.records import Completion, Message
from ragmed.workspace import Workspace

if TYPE_CHECKING:
    from ragmed.models.generation import Written
    from ragmed.models.scoring import TokenItem, TokenScores


_ROUNDING = 1e-3  # nats: an adapter that adds nothing adds zeros, and changes no log-probability by more


class VllmWriter:
    """Token ids in, `Written` out, as `generation.Generator` does it; and the same for likelihoods (`score`).

    `llm`: vLLM's LLM. `request`: its LoRARequest, or None. `sampling`: temperature, top_p and seed of every request.
    `held`: the form that everything written is held to (see `Constraint.plain`), or None.
    """

    def __init__(
        self, llm: Any, tokenizer: Any, *, eos: frozenset[int], sampling: dict[str, Any], request: Any
    ) -> None:
        self.llm = llm
        self.eos = eos
        self.sampling = sampling
        self.request = request
        self.held: dict[str, Any] | None = None
        self._decode = decoder(tokenizer)

    def decode(self, ids: list[int]) -> str:
        return self._decode(ids)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        ends: frozenset[int] = frozenset(),
    ) -> list[Written]:
        """One Written for each prompt, in order; `ends`: tokens that end the text as an end-of-text token does."""
        marks = [mark for mark in stop if mark]
        given = {"max_tokens": max_tokens, "stop": marks, "stop_token_ids": sorted(self.eos | ends)}
        return [self._written(output, marks, self.eos | ends) for output in self._run(prompts, **given)]

    def finished(self, row: Sequence[int], stop: Sequence[str]) -> Written:
        """What tokens that are written already say, up to an end-of-text token or a stop string."""
        from ragmed.models.generation import Written

        end = next((place for place, token in enumerate(row) if token in self.eos), None)
        ids = tuple(row if end is None else row[: end + 1])
        text = self.decode(list(ids if end is None else ids[:-1]))
        cuts = [text.index(mark) for mark in stop if mark and mark in text]
        return Written(text[: min(cuts, default=None)], "length" if end is None and not cuts else "stop", len(ids), ids)

    def score(self, items: Sequence[TokenItem]) -> list[TokenScores]:
        """log P of every continuation, each read after its own prompt; vLLM keeps what prompts share by itself."""
        from ragmed.models.scoring import TokenScores

        texts = [[*item.prompt, *tail] for item in items for tail in item.continuations]
        outputs = iter(self._run(texts, max_tokens=1, prompt_logprobs=1))
        results = []
        for item in items:
            sums: list[float] = []
            greedy: list[bool] = []
            for tail in item.continuations:
                read = next(outputs).prompt_logprobs[len(item.prompt) :]
                tokens = [known[token] for known, token in zip(read, tail, strict=True)]
                sums.append(math.fsum(token.logprob for token in tokens))
                greedy.append(all(token.rank == 1 for token in tokens))
            results.append(TokenScores(tuple(sums), tuple(greedy)))
        return results

    def read(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of every token of each prompt, but for the first, which follows nothing."""
        outputs = self._run(prompts, max_tokens=1, prompt_logprobs=1)
        return [
            [float(known[token].logprob) for known, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
            for output, ids in zip(outputs, prompts, strict=True)
        ]

    def _written(self, output: Any, stop: Sequence[str], ends: frozenset[int]) -> Written:
        from ragmed.models.generation import Written

        (choice,) = output.outputs
        ids = tuple(map(int, choice.token_ids))
        if choice.finish_reason not in ("stop", "length"):
            raise ModelError(f"vLLM ended a request for the reason '{choice.finish_reason}'")
        finish: Literal["stop", "length"] = "length" if choice.finish_reason == "length" else "stop"
        text = self.decode(list(ids[:-1] if ids and ids[-1] in ends else ids))
        cuts = [text.index(mark) for mark in stop if mark in text]
        return Written(text[: min(cuts, default=None)], finish, len(ids), ids)

    def _run(self, prompts: Sequence[Sequence[int]], **given: Any) -> list[Any]:
        from vllm import SamplingParams  # type: ignore[import-not-found, unused-ignore]

        if not prompts:
            return []
        if self.held:
            from vllm.sampling_params import StructuredOutputsParams  # type: ignore[import-not-found, unused-ignore]

            given["structured_outputs"] = StructuredOutputsParams(**self.held)
        params = SamplingParams(**self.sampling, **given)
        inputs = [{"prompt_token_ids": list(ids)} for ids in prompts]
        outputs = self.llm.generate(inputs, params, use_tqdm=False, lora_request=self.request)
        if len(outputs) != len(inputs):
            raise ModelError(f"vLLM gave {len(outputs)} answers to {len(inputs)} prompts")
        return list(outputs)


class VllmModel(TokenModel):
    """A TokenModel whose writer is a VllmWriter, which can hold answers to a form while they are written, and be asked
    without its adapter.
    """

    @property
    def compared_by(self) -> str:
        return "log-probabilities of the prompt's tokens" if self._vllm.request else ""

    @property
    def _vllm(self) -> VllmWriter:
        return cast(VllmWriter, self._generator)

    def adapter_changes(self, prompts: Sequence[Sequence[Message]]) -> list[float]:
        """The largest change of a log-probability of a token of each prompt, in nats; what rounding may change is 0."""
        ids = self._encode([self.chat.render(prompt) for prompt in prompts])
        on = self._vllm.read(ids)
        request, self._vllm.request = self._vllm.request, None
        try:
            off = self._vllm.read(ids)
        finally:
            self._vllm.request = request
        pairs = zip(on, off, strict=True)
        changes = [max((abs(a - b) for a, b in zip(*pair, strict=True)), default=0.0) for pair in pairs]
        return [change if change > _ROUNDING else 0.0 for change in changes]

    def generate_within(
        self,
        prompts: Sequence[Sequence[Message]],
        constraints: Sequence[Constraint],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """As `generate`, each answer within its constraint. UsageError for a model that thinks: its thoughts would be
        held to the form of the answer.
        """
        if self.thinking_tokens:
            raise UsageError(f"'{self.name}': what is thought cannot be held to a form; take thinking_tokens out")
        done: dict[int, Completion] = {}
        for form in dict.fromkeys(constraints):
            places = [place for place, constraint in enumerate(constraints) if constraint == form]
            self._vllm.held = form.plain()
            try:
                answers = self.generate([prompts[place] for place in places], max_tokens=max_tokens)
            finally:
                self._vllm.held = None
            done |= zip(places, answers, strict=True)
            if each:
                for place in places:
                    each(place, done[place])
        return [done[place] for place in range(len(prompts))]


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> VllmModel:
    """The loader of `vllm:` names; a folder is taken as one, anything else is a repository of the hub.

    No code of the model's publisher is run and none of the publisher's sampling defaults are taken; weights come from
    safetensors alone. MissingDependencyError without vLLM; ModelError, DataError, UsageError as for other local models.
    """
    target = parse_model_name(settings.name).target
    if importlib.util.find_spec("vllm") is None:
        raise MissingDependencyError(f"'{settings.name}' needs vLLM and a GPU: pip install 'ragmed[vllm]'")
    os.environ["VLLM_NO_USAGE_STATS"] = "1"  # it would report each start to its makers
    from ragmed.models.loading import check_folder, hub_folder

    folder, repository = user_path(target), ""
    if not folder.is_dir():
        repository, at, revision = target.partition("@")
        if repository.count("/") != 1 or (at and not revision):
            raise UsageError(f"model name '{settings.name}': there is no folder '{folder}', and it names no repository")
        folder = hub_folder(repository, revision)
    check_folder(folder, repository)
    try:
        return _load(settings, folder, repository=repository, seed=seed, workspace=workspace)
    except RagmedError:
        raise
    except Exception as error:  # an engine of many parts: it can fail in any way
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"vLLM could not load '{settings.name}': {type(error).__name__}: {first}") from error


def _load(settings: ModelSettings, folder: Path, *, repository: str, seed: int, workspace: Workspace) -> VllmModel:
    from transformers import AutoConfig
    from vllm import LLM
    from vllm.lora.request import LoRARequest  # type: ignore[import-not-found, unused-ignore]

    from ragmed.adapters import adapter_hash, check_adapter
    from ragmed.models.adapted import use_template
    from ragmed.models.loading import file_hashes, read_tokenizer
    from ragmed.models.vocabulary import refuse_other_vocabulary

    name = parse_model_name(settings.name)
    tokenizer = read_tokenizer(folder, settings.name)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    limit = context_of(settings.name, config, tokenizer, settings.context_tokens)
    hashes = file_hashes(folder, tokenizer) | ({"revision": folder.name} if repository else {})
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "seed": seed}
    options: dict[str, Any] = {}
    request = None
    if name.adapter:
        adapter = workspace.adapter(name.adapter)
        lora = check_adapter(adapter, settings.name.partition("+adapter:")[0], hashes["weights"])
        hashes["adapter"] = adapter_hash(adapter, lora)
        refuse_other_vocabulary(adapter, tokenizer)
        use_template(tokenizer, adapter, settings.name)
        options = {"enable_lora": True, "max_lora_rank": _rank(lora)}
        request = LoRARequest("adapter", 1, str(adapter))
    llm = LLM(
        model=str(folder),
        dtype=settings.dtype,
        seed=seed,
        max_model_len=limit,
        load_format="safetensors",
        generation_config="vllm",
        trust_remote_code=False,
        **options,
    )
    named = config.eos_token_id
    if (folder / "generation_config.json").is_file():
        named = read_json(folder / "generation_config.json", "generation config").get("eos_token_id", named)
    eos = end_tokens(named, tokenizer)
    writer = VllmWriter(llm, tokenizer, eos=eos, sampling=sampling, request=request)
    hashes |= {"engine": f"vllm {_version()}", "dtype": settings.dtype}
    hashes |= {"sampling": ", ".join(f"{key}={value}" for key, value in sampling.items())}
    return VllmModel(
        settings.name,
        tokenizer,
        writer=writer,
        scorer=writer,
        context_tokens=limit - 1,  # to score a text, vLLM wants to write a token after it
        hashes=hashes,
        thinking_tokens=settings.thinking_tokens,
    )


def _rank(lora: dict[str, Any]) -> int:
    """The smallest of the ranks that vLLM knows that holds the adapter's."""
    rank = lora.get("r")
    if not isinstance(rank, int) or not 0 < rank <= 512:
        raise ModelError(f"the adapter has the rank {rank}; vLLM takes 1 to 512")
    return next(size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank)


def _version() -> str:
    import vllm

    return str(getattr(vllm, "__version__", "of unknown version"))
