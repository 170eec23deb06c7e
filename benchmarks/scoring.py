"""Multiple-choice questions per CPU-second: ragmed's scoring against lm-evaluation-harness, on the same model object.

    python benchmarks/scoring.py --questions 64

In: MIRAGE questions under RAGMED_DATA (else the repository's handbook questions), and `packaged:smollm2-135m`, one
thread. Out: a Markdown table of best-of-three CPU and wall-clock rates, and their ratios. Both sides read the same
rendered prompts; lm-eval gets its best batch size from a sweep and its cache for one-token continuations. The two
must choose the same options, or the script fails.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.models import ModelSettings, load_model
from ragmed.records import Message
from ragmed.workspace import Workspace

SYSTEM = "You are a medical expert. Answer the multiple-choice question with the letter of the right option."
SYSTEM_TEXT = "You are a medical expert. Answer the question with the text of the right option, and nothing else."
BATCH_SIZES = (1, 2, 4, 8, 16)
# lm-eval's `auto` takes the largest batch that fits in memory, 64 here: the slowest on a CPU, where logits of every
# position of 64 prompts are tens of gigabytes. The sweep stops when a size is slower than the one before.
TARGETS = {"zero-shot letters": 1.2, "five-shot letters": 3.0, "five-shot texts": 6.0}
TIE = 1e-3  # nat: two options closer than this are the same to either side
HANDBOOK = Path(__file__).parent.parent / "ragmed" / "tasks" / "data" / "handbook-questions.jsonl"
HEADER = """\
| setting | ragmed q/CPU-s | lm-eval q/CPU-s | ratio | target | ragmed q/s | lm-eval q/s | ratio | largest difference |
|---|---|---|---|---|---|---|---|---|"""
Question = dict[str, Any]
Choices = list[list[float]]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    prompts: list[list[Message]]
    continuations: list[list[str]]


def questions(data: Path, wanted: int) -> tuple[list[Question], list[Question]]:
    """Few-shot examples (5) and questions, each {question, options, answer}."""
    file = data / "mirage" / "benchmark.json"
    if file.is_file():
        sets = json.loads(file.read_text(encoding="utf-8"))
        half = wanted // 2
        asked = [*list(sets["medmcqa"].values())[: wanted - half], *list(sets["mmlu"].values())[:half]]
        return list(sets["mmlu"].values())[-5:], asked
    if not HANDBOOK.is_file():
        raise SystemExit(f"there are no questions: neither '{file}' nor '{HANDBOOK}' exists; set RAGMED_DATA")
    own = [json.loads(line) for line in HANDBOOK.read_text(encoding="utf-8").splitlines() if line.strip()]
    return own[:5], own[5 : 5 + wanted]


def settings(shots: Sequence[Question], asked: Sequence[Question]) -> list[Setting]:
    letters = [list(question["options"]) for question in asked]
    texts = [list(question["options"].values()) for question in asked]
    return [
        Setting("zero-shot letters", [messages([], question, "letter") for question in asked], letters),
        Setting("five-shot letters", [messages(shots, question, "letter") for question in asked], letters),
        Setting("five-shot texts", [messages(shots, question, "text") for question in asked], texts),
    ]


def messages(shots: Sequence[Question], asked: Question, form: str) -> list[Message]:
    turns = [Message("system", SYSTEM if form == "letter" else SYSTEM_TEXT)]
    for shot in shots:
        answer = shot["answer"] if form == "letter" else shot["options"][shot["answer"]]
        turns += [Message("user", words(shot)), Message("assistant", answer)]
    return [*turns, Message("user", words(asked))]


def words(question: Question) -> str:
    options = "\n".join(f"{letter}. {text}" for letter, text in question["options"].items())
    return f"{question['question']}\n\n{options}"


def timed(call: Callable[[], Choices]) -> tuple[float, float, Choices]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def ours(model: Any, setting: Setting) -> Choices:
    return [list(scores.logprobs) for scores in model.score(setting.prompts, setting.continuations)]


def theirs(harness: Any, texts: Sequence[str], setting: Setting) -> Choices:
    from lm_eval.api.instance import Instance

    pairs = [(text, o) for text, options in zip(texts, setting.continuations, strict=True) for o in options]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=number) for number, pair in enumerate(pairs)
    ]
    flat = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [[float(next(flat)[0]) for _ in options] for options in setting.continuations]


def best_batch_size(make: Callable[[int], Any], texts: Sequence[str], setting: Setting) -> int:
    """The size with the least CPU time on every fourth question, up to sixteen of them."""
    part = Setting(setting.name, setting.prompts[::4][:16], setting.continuations[::4][:16])
    best, least = 0, float("inf")
    for size in BATCH_SIZES:
        harness = make(size)
        cost = timed(functools.partial(theirs, harness, texts[::4][:16], part))[0]
        if cost > least:
            break
        best, least = size, cost
    return best


def largest_difference(mine: Choices, other: Choices) -> float:
    """Between log-likelihoods relative to a question's first option: lm-eval counts a prompt's last line break to the
    continuation, which adds the same number to all options of a question. Fails where a choice differs.
    """
    largest = 0.0
    for number, (a, b) in enumerate(zip(mine, other, strict=True)):
        largest = max(largest, *(abs((x - a[0]) - (y - b[0])) for x, y in zip(a, b, strict=True)))
        chosen, expected = a.index(max(a)), b.index(max(b))
        if chosen != expected and max(b) - b[chosen] > TIE:
            raise SystemExit(f"question {number}: option {chosen} was chosen, lm-eval chooses {expected}")
    return largest


def measure(model: Any, setting: Setting, make: Callable[[int], Any], repeats: int) -> str:
    texts = [model.chat.render(prompt) for prompt in setting.prompts]
    size = best_batch_size(make, texts, setting)
    harness = make(size)
    rounds = []
    for _ in range(repeats):
        mine, other = timed(lambda: ours(model, setting)), timed(lambda: theirs(harness, texts, setting))
        difference = largest_difference(mine[2], other[2])
        rounds.append((mine[0], other[0], mine[1], other[1]))
    cpu, cpu_other, wall, wall_other = (min(column) for column in zip(*rounds, strict=True))
    n, ratio, target = len(setting.prompts), cpu_other / cpu, TARGETS[setting.name]
    return (
        f"| {setting.name} | {n / cpu:.2f} | {n / cpu_other:.2f} (batch {size}) | **{ratio:.2f}** | "
        f"{target} {'met' if ratio >= target else 'MISSED'} | {n / wall:.2f} | {n / wall_other:.2f} | "
        f"{wall_other / wall:.2f} | {difference:.1e} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="packaged:smollm2-135m")
    parser.add_argument("--only", choices=sorted(TARGETS), help="one setting instead of three")
    given = parser.parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(1)
    model: Any = load_model(ModelSettings(given.model, device="cpu", dtype="float32"), workspace=Workspace.find())

    def make(size: int) -> Any:
        return HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=size)

    shots, asked = questions(Workspace.find().data, given.questions)
    print(HEADER)
    for setting in settings(shots, asked):
        if given.only in (None, setting.name):
            print(measure(model, setting, make, given.repeats), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
