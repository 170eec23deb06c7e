"""Greedy answers against transformers' own batch of the same prompts, same tokens, same model object.

    OMP_NUM_THREADS=1 python benchmarks/generation.py --rounds 3

16 prompts of four lengths to `packaged:smollm2-135m` in float32, 32 tokens each: ragmed's `generate` (with the chat
template, sorting, cutting at the end of each answer), without and with a stop string that never comes, and
`model.generate` on one padded batch. The three take turns after a warm-up; reported are CPU-seconds of one thread, the
least of each. Exits with 1 where a text differs, or where ragmed takes more than 1.05 times as long.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import torch

from ragmed.models import ModelSettings
from ragmed.models.loading import load
from ragmed.records import Message
from ragmed.workspace import Workspace

TOKENS = 32
BOUND = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = load(ModelSettings("packaged:smollm2-135m", device="cpu"), workspace=Workspace.find(), seed=0)
    text = "the nurse keeps the keys of the ward on the upper floor. "
    prompts = [[Message("user", f"Ward {n}: {text * (1 + n % 4)}Who keeps them?")] for n in range(16)]
    tokenizer, ends = model.tokenizer, sorted(model._generator.eos)
    tokenizer.padding_side = "left"
    rendered = [model.chat.render(prompt) for prompt in prompts]

    def bare() -> list[str]:
        given = tokenizer(rendered, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.model.generate(
                **given, do_sample=False, max_new_tokens=TOKENS, eos_token_id=ends, pad_token_id=ends[0]
            )
        return [
            str(text)
            for text in tokenizer.batch_decode(out[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        ]

    jobs: dict[str, Callable[[], list[str]]] = {
        "ragmed": lambda: [one.text for one in model.generate(prompts, max_tokens=TOKENS)],
        "ragmed, a stop string": lambda: [one.text for one in model.generate(prompts, max_tokens=TOKENS, stop=["###"])],
        "transformers": bare,
    }
    texts = {name: [text.strip() for text in job()] for name, job in jobs.items()}
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.process_time()
            job()
            took[name].append(time.process_time() - began)
    least = {name: min(seconds) for name, seconds in took.items()}
    print(f"load {os.getloadavg()[0]:.1f}; {len(prompts)} prompts, {TOKENS} tokens each\n")
    print("| | CPU-s, least | of transformers | texts that differ |\n|---|---:|---:|---:|")
    differ = {name: sum(a != b for a, b in zip(texts[name], texts["transformers"], strict=True)) for name in jobs}
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.2f} | {seconds / least['transformers']:.3f} | {differ[name]} |")
    sys.exit(any(differ.values()) or max(least.values()) > BOUND * least["transformers"])


if __name__ == "__main__":
    main()
