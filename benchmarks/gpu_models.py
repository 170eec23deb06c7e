"""Parts of `gpu.py`: log-likelihoods, generation and training of a model of 8 billion parameters' shape, and a small
model with real weights on both devices."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_search import product_rate, timed

if TYPE_CHECKING:
    from gpu import Bench

ROOT = Path(__file__).resolve().parent.parent
TIE = 0.1  # nat: bfloat16 moves log-likelihoods by about half of this


def make_model(bench: Bench) -> Any:
    """The shape of Llama 3.1 8B (tiny where small), random weights in bfloat16, made on the card."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    full = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
    config = LlamaConfig(
        vocab_size=1_000 if bench.small else 128_256,
        num_key_value_heads=2 if bench.small else 8,
        max_position_embeddings=16_384,
        tie_word_embeddings=False,
        **(shape if bench.small else full),
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if bench.small else torch.bfloat16)
    try:
        torch.manual_seed(0)
        with torch.device(bench.device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def drawn_tokens(model: Any, count: int, seed: int) -> tuple[int, ...]:
    import numpy as np

    drawn = np.random.default_rng(seed).integers(10, model.config.vocab_size, count)
    return tuple(drawn.tolist())


def per_token(model: Any) -> float:
    """Operations that a token costs in the layers: twice their parameters; attention and head are left out."""
    return 2.0 * sum(weight.numel() for weight in model.base_model.layers.parameters())


def peak(bench: Bench, *, reset: bool = False) -> str:
    import torch

    if bench.device != "cuda":
        return ""
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return f", peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"


# --- log-likelihoods -------------------------------------------------------------------------------------------------


def scoring(bench: Bench) -> None:
    from ragmed.models.scoring import Scorer, TokenItem

    model = make_model(bench)
    ceiling = product_rate(bench.device, 256 if bench.small else 8192)
    letters = tuple((letter,) for letter in (5, 6, 7, 8))
    settings = (
        [("five-shot letters", 6, 60, 12, 3), ("with passages", 3, 8, 90, 3)]
        if bench.small
        else [("five-shot letters", 256, 1_050, 150, 24), ("with passages", 32, 60, 6_940, 8)]
    )
    scorer = Scorer(model)
    for number, (name, questions, shared, own, compared) in enumerate(settings):
        common = drawn_tokens(model, shared, 100 * number)
        items = [TokenItem(common + drawn_tokens(model, own, 7 + i), letters) for i in range(questions)]
        scorer.score(items[:2])
        peak(bench, reset=True)
        seconds, scores = timed(bench.device, lambda items=items: scorer.score(items))
        tokens = shared + questions * own
        share = tokens * per_token(model) / seconds / ceiling
        bench.say(
            f"ragmed, {name}: {questions} questions of {shared + own} tokens, {shared} of them shared",
            f"{questions / seconds:.2f} questions/s, {questions * (shared + own) / seconds:,.0f} tokens/s asked, "
            f"{tokens / seconds:,.0f} read, {share:.2f} of the product rate{peak(bench)}",
        )
        some = items[:compared]
        peers = {"transformers, whole prompts in a batch": _plain}
        harness = _harness(model)
        if isinstance(harness, str):
            bench.say("lm-eval", harness)
        else:
            peers["lm-eval"] = harness
        for peer, call in peers.items():
            call(model, some[:1])
            spent, theirs = timed(bench.device, lambda call=call, some=some: call(model, some))
            faster = (questions / seconds) / (len(some) / spent)
            bench.say(f"{peer}, {len(some)} of them", f"{len(some) / spent:.2f} questions/s; ragmed {faster:.2f} times")
            _compare(bench, f"choices of {peer}, {name}", [one.logprobs for one in scores[: len(some)]], theirs)


def _plain(model: Any, items: Sequence[Any]) -> list[list[float]]:
    """All prompts padded on the left to one length, the head at the last place alone: the simplest quick way."""
    import torch

    device = next(model.parameters()).device
    found: list[list[float]] = []
    with torch.inference_mode():
        for first in range(0, len(items), 8):
            some = items[first : first + 8]
            width = max(len(item.prompt) for item in some)
            ids = torch.tensor([[0] * (width - len(item.prompt)) + list(item.prompt) for item in some], device=device)
            mask = torch.tensor(
                [[0] * (width - len(item.prompt)) + [1] * len(item.prompt) for item in some], device=device
            )
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1).logits[:, -1]
            logprobs = logits.float().log_softmax(-1)
            found += [
                [float(line[token]) for (token,) in item.continuations]
                for line, item in zip(logprobs, some, strict=True)
            ]
    return found


def _harness(model: Any) -> Any:
    """lm-eval's way to score token ids, or why it is not there."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        return f"absent: {error}"
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    nothing = Tokenizer(WordLevel({"[UNK]": 0, "[EOS]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=nothing, unk_token="[UNK]", eos_token="[EOS]")
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, max_length=16_384)

    def scored(_: Any, items: Sequence[Any]) -> list[list[float]]:
        requests = [
            ((str(number), str(place)), list(item.prompt), list(option))
            for number, item in enumerate(items)
            for place, option in enumerate(item.continuations)
        ]
        flat = iter(harness._loglikelihood_tokens(requests, disable_tqdm=True))
        return [[float(next(flat)[0]) for _ in item.continuations] for item in items]

    return scored


def _compare(bench: Bench, what: str, ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> None:
    """The same choice for each question; another one only where the two options are a tie to either side."""
    different, ties = 0, 0
    for mine, other in zip(ours, theirs, strict=True):
        chosen, expected = list(mine).index(max(mine)), list(other).index(max(other))
        if chosen != expected:
            near = max(other) - other[chosen] <= TIE
            ties += near
            different += not near
    words = f"{len(ours) - different - ties} of {len(ours)} the same" + (f", {ties} ties" if ties else "")
    bench.same(what, words, met=not different)


# --- generation ------------------------------------------------------------------------------------------------------


def generation(bench: Bench) -> None:
    import torch
    from transformers import GenerationConfig

    from ragmed.models.generation import Generator

    model = make_model(bench)
    count, length, new = (4, 12, 8) if bench.small else (64, 256, 128)
    lengths = [length - (7 * i) % (length // 4) for i in range(count)]
    prompts = [list(drawn_tokens(model, own, i)) for i, own in enumerate(lengths)]
    writer = Generator(model, lambda ids: " ".join(map(str, ids)), eos=frozenset())
    writer.generate(prompts[:2], max_tokens=4)
    peak(bench, reset=True)
    seconds, written = timed(bench.device, lambda: writer.generate(prompts, max_tokens=new))
    bench.say(
        f"ragmed, {count} prompts of {min(lengths)} to {max(lengths)} tokens, {new} new ones each",
        f"{count * new / seconds:,.0f} tokens/s{peak(bench)}",
    )
    config = GenerationConfig(do_sample=False, max_new_tokens=new, pad_token_id=0)
    width = max(lengths)
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=bench.device)
    mask = torch.tensor([[0] * (width - own) + [1] * own for own in lengths], device=bench.device)

    def by_transformers() -> Any:
        with torch.inference_mode():
            return model.generate(input_ids=ids, attention_mask=mask, generation_config=config)

    spent, theirs = timed(bench.device, by_transformers)
    bench.say(
        "transformers, the same batch", f"{count * new / spent:,.0f} tokens/s; ragmed {spent / seconds:.2f} times"
    )
    expected = [tuple(row) for row in theirs[:, width:].tolist()]
    same = sum(one.ids == row for one, row in zip(written, expected, strict=True))
    bench.same("texts equal to transformers'", f"{same} of {count}", met=same == count)


# --- training --------------------------------------------------------------------------------------------------------


def training(bench: Bench) -> None:
    import numpy as np
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from ragmed.finetuning.lora import with_new_adapter
    from ragmed.finetuning.parallel import Team
    from ragmed.finetuning.recipe import AdapterRecipe, Lora, Training
    from ragmed.finetuning.sequences import Rows
    from ragmed.finetuning.training import Place, Trainer

    model = make_model(bench)
    length, batch, steps = (32, 2, 2) if bench.small else (2_048, 4, 3)
    ids = np.stack([drawn_tokens(model, length, seed) for seed in range(batch * steps)]).astype(np.int64)
    rows = Rows(
        ids=ids,
        positions=np.tile(np.arange(length // 2, dtype=np.int64), (len(ids), 2)),  # two texts a row
        trained=np.ones_like(ids, dtype=np.bool_),
        used=np.full(len(ids), length, dtype=np.int64),
        texts=tuple((f"text {number}",) for number in range(len(ids))),
        split=0,
    )
    settings = Training(
        batch=batch, micro_batch=batch, sequence_tokens=length, schedule="constant", warmup=0.0, learning_rate=1e-4
    )
    recipe = AdapterRecipe("bench", "packaged:none", ("none",), lora=Lora(rank=16), training=settings)

    def trainer(kind: AdapterRecipe, rows: Rows = rows) -> Any:
        tuned = with_new_adapter(model, kind)
        return Trainer(tuned, rows, None, training=kind.training, seed=0, team=Team())

    for checkpointing in (True, False):
        peak(bench, reset=True)
        own = trainer(replace(recipe, training=replace(settings, gradient_checkpointing=checkpointing)))
        own._step(own.steps[0])
        seconds, _ = timed(bench.device, lambda own=own: [own._step(step) for step in own.steps[1:]])
        notes = "".join(f"; {note}" for note in own.progress.notes)
        bench.say(
            f"ragmed, LoRA rank 16, {batch} rows of {length} tokens, gradient checkpointing "
            f"{'on' if checkpointing else 'off'}",
            f"{(steps - 1) * batch * length / seconds:,.0f} tokens/s{peak(bench)}{notes}",
        )
        own.model.gradient_checkpointing_disable()
        own.model.unload()
        del own
    kept = []
    short = Rows(*(part[:, : length // 4] for part in (rows.ids, rows.positions, rows.trained)),
                 used=rows.used // 4, texts=rows.texts, split=0)  # fmt: skip
    for stops in ((2,), (1, 2)):  # two steps in one sitting, and in two
        with tempfile.TemporaryDirectory() as folder:
            for stop in stops:
                own = trainer(replace(recipe, training=replace(settings, gradient_checkpointing=True)), short)
                own.steps = own.steps[:stop]
                # the backward pass of other kinds of attention adds in the order in which its parts end
                with sdpa_kernel(SDPBackend.MATH):
                    own.run(Place(Path(folder), {"bench": 1}, "start anew"))
                kept = [*kept[: stops != (2,)], {name: one.detach().cpu() for name, one in own.weights.items()}]
                own.model.gradient_checkpointing_disable()
                own.model.unload()
    apart = max(float((kept[0][name] - kept[1][name]).abs().max()) for name in kept[0])
    bench.same("two steps resumed after one against two at once", f"largest difference {apart:.1e}", met=apart == 0)


# --- a small model ---------------------------------------------------------------------------------------------------


def small_model(bench: Bench) -> None:
    from ragmed.errors import RagmedError
    from ragmed.models import ModelSettings, load_model
    from ragmed.records import Message
    from ragmed.workspace import Workspace

    lines = (ROOT / "ragmed" / "tasks" / "data" / "handbook-questions.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line) for line in lines if line.strip()][: 2 if bench.small else 40]
    prompts = [
        [Message("user", question["question"] + "\n\n" + "\n".join(map(". ".join, question["options"].items())))]
        for question in asked
    ]
    letters = [list(question["options"]) for question in asked]
    name = "packaged:smollm2-135m"
    scores = []
    for device in ("cpu", bench.device):
        try:
            model: Any = load_model(ModelSettings(name, device=device, dtype="float32"), workspace=Workspace(ROOT))
        except (RagmedError, ImportError) as error:
            bench.say(name, f"absent: {str(error).partition(chr(10))[0]}")
            return
        seconds, found = timed(device, lambda model=model: model.score(prompts, letters))
        scores.append([list(one.logprobs) for one in found])
        bench.say(f"{name} on {device}, {len(asked)} handbook questions", f"{len(asked) / seconds:.1f} questions/s")
    apart = max(abs(a - b) for one, two in zip(*scores, strict=True) for a, b in zip(one, two, strict=True))
    bench.say("largest difference of a log-likelihood", f"{apart:.1e} nat")
    different = [i for i, (a, b) in enumerate(zip(*scores, strict=True)) if a.index(max(a)) != b.index(max(b))]
    for i in different:
        on_cpu, on_card = (sorted(line[i], reverse=True) for line in scores)
        bench.say(
            f"question {asked[i]['id']}: another choice",
            f"the two best are {on_cpu[0] - on_cpu[1]:.1e} nat apart on the CPU, {on_card[0] - on_card[1]:.1e} there",
        )
    bench.same(
        "choices on the card and on the CPU", f"{len(asked) - len(different)} of {len(asked)}", met=not different
    )
