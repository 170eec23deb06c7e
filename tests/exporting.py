"""A small run of two closed-book and two retrieving arms, written to a folder: what the tests of exports start from."""

from pathlib import Path

import numpy as np

from ragmed.comparison.settings import ComparisonSettings
from ragmed.integrations.foreign import ForeignTask, write_run
from ragmed.records import Message, Sample
from ragmed.runs import Run

HOSTILE = [
    "=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "＝1", "a|b", "two\nlines\r\nthree", 'say "x", then y',
    "\\input{/etc/passwd} 5 % & $x_1^2$ #~ {}", "nul\0inside", "bidi \u202e back", "", "NA", "null", "1e5", "[1] *",
    "é≥漢", "<script>alert(1)</script>", "--", "?`", "  ",
]  # fmt: skip
ARMS = {"general": "none", "tuned": "none", "m/rag_32": "retrieved", "tuned+rag": "retrieved"}


def made(number: int, arm: str, task: str, *, text: str = "plain", **words) -> Sample:
    given = {
        "example": f"e{number:03d}", "arm": arm, "task": task, "status": "answered", "extracted": text, "gold": text,
        "scores": {"accuracy": float(number % 2)}, "group": f"g{number // 2}",
        "messages": (Message("system", text), Message("user", text)), "completion": text, "options": (text, "b"),
        "passages": tuple(
            {"id": f"books:d{(number + k) % 7}#{k}", "document": f"books:d{(number + k) % 7}", "rank": k + 1,
             "score": 0.5 - k / 10, "gold": k == number % 4, "citation": text}
            for k in range(3)
        ) if ARMS.get(arm) == "retrieved" else (),
        "option_logprobs": (-0.5, -1.25), "option_tokens": (1, 2), "input_tokens": 10 + number, "output_tokens": 2,
        "seconds": 0.1, "note": text, "thinking": text, "documents": (f"d{(number + number % 4) % 7}",),
    }  # fmt: skip
    return Sample(**{**given, **words})


def graded(arm: str, task: str, n: int, **words) -> list[Sample]:
    """Scores that every interval and test takes: 0 and 1, graded, some not answered; alike for equal names."""
    rng = np.random.default_rng([*f"{arm}/{task}".encode()])
    samples = []
    for number in range(n):
        status = "answered" if rng.random() < 0.9 else "unparsed"
        scores = {"accuracy": float(rng.random() < 0.6), "rouge": float(rng.random())}
        samples.append(made(number, arm, task, status=status, scores=scores if status == "answered" else {}, **words))
    return samples


def write(folder: Path, samples: dict[tuple[str, str], list[Sample]], *, access="open", **words) -> Run:
    arms = {arm: {"model": f"model of {arm}", "context": ARMS.get(arm, "none"), "k": 3} for arm, _ in samples}
    first = {task: given for (_, task), given in samples.items()}
    metrics = tuple(dict.fromkeys(m for given in samples.values() for s in given for m in s.scores))
    tasks = {
        task: ForeignTask([(s.example, "", s.gold) for s in given], metrics, source="made for a test")
        for task, given in first.items()
    }
    comparison = ComparisonSettings(baseline=next(iter(arms)), resamples=500, **words)
    origin = {"kind": "test", "files": [], "notes": []}
    return write_run(
        folder, samples=samples, arms=arms, tasks=tasks, comparison=comparison, origin=origin, access=access
    )


def trial(folder: Path, n: int = 60, **words) -> Run:
    keys = [(arm, task) for task in ("medqa", "names") for arm in ARMS]
    return write(folder, {key: graded(*key, n) for key in keys}, factorials=(tuple(ARMS),), **words)
