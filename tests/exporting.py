"""A small run of two closed-book and two retrieving arms, written to a folder: what the tests of exports start from."""

from pathlib import Path

import numpy as np

from ragmed.comparison.settings import ComparisonSettings
from ragmed.integrations.foreign import ForeignTask, write_run
from ragmed.metrics import METRICS, MetricFacts, find_metric
from ragmed.records import Answer, Example, Message, Sample, Score, ShownPassage
from ragmed.runs import Run

HOSTILE = [
    "=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "＝1", "a|b", "two\nlines\r\nthree", 'say "x", then y',
    "\\input{/etc/passwd} 5 % & $x_1^2$ #~ {}", "nul\0inside", "bidi \u202e back", "", "NA", "null", "1e5", "[1] *",
    "é≥漢", "<script>alert(1)</script>", "--", "?`", "  ",
]  # fmt: skip
ARMS = {"general": "none", "tuned": "none", "m/rag_32": "retrieved", "tuned+rag": "retrieved"}


FINISHES = {"refused": "refused", "truncated": "length", "error": "error"}


def shown_passages(number: int, text: str) -> tuple[ShownPassage, ...]:
    documents = [f"books:d{(number + k) % 7}" for k in range(3)]
    return tuple(
        ShownPassage(f"{document}#{k}", document, k + 1, 0.5 - k / 10, gold=k == number % 4, citation=text)
        for k, document in enumerate(documents)
    )


def made(
    number: int, arm: str, task: str, *, text: str = "plain", status="answered", metrics=None, id_="", gold=None,
    passages=None, documents=None,
) -> Answer:  # fmt: skip
    """An answer with something in every field. `metrics`: its numbers; else accuracy, 1 for every second one."""
    example = Example(
        id_ or f"e{number:03d}", text, options={"A": text, "B": "b"}, gold=text if gold is None else gold,
        documents=(f"d{(number + number % 4) % 7}",) if documents is None else documents, group=f"g{number // 2}",
    )  # fmt: skip
    if passages is None:
        passages = shown_passages(number, text) if ARMS.get(arm) == "retrieved" else ()
    sample = Sample(
        arm, task, example, messages=(Message("system", text), Message("user", text)), passages=passages,
        completion=text, finish=FINISHES.get(status, "stop"), continuations=("A", "B"), option_logprobs=(-0.5, -1.25),
        option_tokens=(1, 2), thinking=text, input_tokens=10 + number, output_tokens=2, seconds=0.1, note=text,
    )  # fmt: skip
    measured = {"accuracy": float(number % 2)} if metrics is None else metrics
    answered = status == "answered"
    return Answer(sample, Score(example.id, status, text if answered else None, measured if answered else {}))


def graded(arm: str, task: str, n: int, **words) -> list[Answer]:
    """Scores that every interval and test takes: 0 and 1, graded, some not answered; alike for equal names."""
    rng = np.random.default_rng([*f"{arm}/{task}".encode()])
    answers = []
    for number in range(n):
        status = "answered" if rng.random() < 0.9 else "unparsed"
        metrics = {"accuracy": float(rng.random() < 0.6), "overlap": float(rng.random())}
        answers.append(made(number, arm, task, status=status, metrics=metrics, **words))
    return answers


def write(
    folder: Path, answers: dict[tuple[str, str], list[Answer]], *, access="open", scoring="generate", **words
) -> Run:
    """A run whose scores are as given. `words`: settings of the comparison."""
    arms = {arm: {"model": f"model of {arm}", "context": ARMS.get(arm, "none"), "k": 3} for arm, _ in answers}
    names = dict.fromkeys(m for given in answers.values() for answer in given for m in answer.score.metrics)
    metrics = tuple(find_metric(name).facts if name in METRICS else MetricFacts(name) for name in names)
    tasks = {
        task: ForeignTask([answer.example for answer in given], "recorded", metrics, "made for a test", scoring=scoring)
        for (_, task), given in answers.items()
    }
    return write_run(
        folder,
        samples={key: [answer.sample for answer in given] for key, given in answers.items()},
        scores={key: [answer.score for answer in given] for key, given in answers.items()},
        arms=arms,
        tasks=tasks,
        comparison=ComparisonSettings(baseline=next(iter(arms)), resamples=500, **words),
        origin={"kind": "test", "files": [], "notes": []},
        access=access,
    )


def trial(folder: Path, n: int = 60, **words) -> Run:
    keys = [(arm, task) for task in ("medqa", "names") for arm in ARMS]
    return write(folder, {key: graded(*key, n) for key in keys}, factorials=(tuple(ARMS),), **words)


def everything_once(folder: Path) -> Run:
    """Everything that an answer can hold, names with slashes and dots, samples without answers, text that is quoted."""
    return write(folder, {(arm, task): _everything(arm, task) for arm in ("../up", "a/b") for task in ("t/1", "t_1")})


def _everything(arm: str, task: str) -> list[Answer]:
    quoted = Example("q/..", "W\u2028?", options={"A": "no", "B": "yes"}, gold="B", documents=("77",), group="case")
    letters = Example("10", "Which?", options={"A": "a", "B": "b"}, gold="A")
    return [
        Answer(
            Sample(
                arm, task, quoted,
                messages=(Message("system", "Be brief."), Message("user", "W\u2028?"), Message("assistant", "So")),
                passages=(ShownPassage("x#1", "x", 1, 0.5, citation="<script>"),), dropped=("y#2",), completion='B\n"',
                thinking="hm", thinking_tokens=1, input_tokens=3, output_tokens=2, seconds=0.5,
            ),
            Score("q/..", "answered", "B", {"accuracy": 1.0, "overlap": 0.25}),
        ),
        Answer(
            Sample(arm, task, Example("7", "Why?", gold="x"), completion=""),
            Score("7", "answered", None, {"accuracy": 0.0}),
        ),
        Answer(
            Sample(arm, task, Example("8", "How?", gold="A"), completion="it is", finish="length"),
            Score("8", "truncated"),
        ),
        Answer(
            Sample(arm, task, Example("9", "Who?", gold="A"), finish="error", error="the server said no"),
            Score("9", "error"),
        ),
        Answer(
            Sample(arm, task, letters, messages=(Message("user", "[{?"),), continuations=("a", "b"),
                   option_logprobs=(-0.5, -1.5), option_tokens=(1, 2)),
            Score("10", "answered", "A", {"accuracy": 1.0}),
        ),
    ]  # fmt: skip
