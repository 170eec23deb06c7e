"""Samples and results with every section of the page in them, for the tests of the page; `hostile` turns every text and
name into one that would run a script if anything took it for markup."""

from __future__ import annotations

import dataclasses
import html.parser
from dataclasses import replace
from functools import cache

from answers import answer, answers_of, changed, compared

from ragmed.comparison.compare import ComparisonSettings, Prices
from ragmed.comparison.costs.rows import (
    BreakEven,
    Computing,
    IndexCost,
    Latency,
    Line,
    QuestionCost,
    Reach,
    SearchCost,
    TrainingCost,
)
from ragmed.comparison.diagnosis.diagnose import RunFacts
from ragmed.comparison.diagnosis.rows import Bin, Cause, Examples, Repaired, Side
from ragmed.comparison.rows import UnderPolicy
from ragmed.comparison.sources import ArmSources
from ragmed.records import Answer, Message, ShownPassage

ARMS = ("general", "rag", "tuned", "both")
TASKS = ("handbook", "handbook-letters")
WARDS = ("elm", "oak", "ash", "yew")
INFO = {
    "experiment": {
        "question": "Is it better to tune, to retrieve, both, or neither?",
        "models": {"small": {"name": "packaged:tiny"}, "ours": {"name": "packaged:tiny+adapter:wards"}},
        "arms": {
            "general": {"model": "small", "context": "none", "index": "", "k": 0},
            "rag": {"model": "small", "context": "retrieved", "index": "wards", "k": 2},
        },
        "tasks": {"handbook": {"scoring": "option-text"}},
    },
    "tasks": {"handbook": {"examples": 60, "source": "written for tests", "license": "as this project"}},
    "software": {"ragmed": "0.1.0", "python": "3.11.7"},
    "hardware": {"machine": "x86_64", "cores": 2},
    "started": "2026-11-21T18:29:56Z",
    "references": {
        "adapters": {
            "ours": {
                "name": "wards", "corpora": [{"name": "wards", "sha256": "a" * 64}], "tokens": 4096, "steps": 8,
                "seconds": 90.0, "device": "cpu", "peak_memory_bytes": 2**30, "energy_joules": 7200.0,
                "losses": [{"tokens": 512 * n, "train": 2.5 - 0.2 * n, "held_out": 2.6 - 0.15 * n} for n in (1, 2, 4)],
                "search": {"seconds": 120, "chosen": 0, "trials": [{"rate": 0.001, "score": 0.5}]},
            }
        }
    },
}  # fmt: skip


def _right(arm: str, number: int) -> bool:
    return {"general": number % 3 == 0, "rag": number % 3 != 1, "tuned": number % 4 == 0, "both": number % 5 != 1}[arm]


def _sample(arm: str, task: str, number: int, text: str) -> Answer:
    ward = WARDS[number % 4]
    right, shown = _right(arm, number), arm in ("rag", "both")
    chosen = ward if right else WARDS[(number + 1) % 4]
    unread = task == "handbook-letters" and number % 9 == 0
    asked = f"On which ward is bed {number} of the annex, and who is told when it moves? {text}"
    passage = f"Wards > Beds\nBed {number} of the annex stands on ward {ward}. {text}\nThe night nurse is told first."
    second = "<passage 2>\nOther\nOther words.\n</passage 2>"
    block = f"<passages>\n<passage 1>\n{passage}\n</passage 1>\n{second}\n</passages>\n\n"
    return answer(
        f"{task[0]}{number:05d}{text}", arm, task, status="unparsed" if unread else "answered", question=asked,
        value="ABCD"[WARDS.index(chosen)], gold="ABCD"[number % 4], scores={"accuracy": float(right)},
        messages=(Message("system", f"Answer. {text}"), Message("user", f"{block if shown else ''}Question: {asked}")),
        passages=(
            ShownPassage(f"wards:{number}#0{text}", f"wards:{number}", 1, 0.5, True, f"Beds. 2031. {text}"),
            ShownPassage("wards:x#0", "wards:x", 2, 0.25, False, text or "Other."),
        ) if shown else (),
        completion=f"  It is  {chosen}.\n\tSurely. {text}" if task == "handbook-letters" else None,
        options=tuple(f"ward {one} {text}".strip() for one in WARDS),
        option_logprobs=(-1.5, -2.25, -3.0, -4.0) if task == "handbook" else (),
        input_tokens=100, output_tokens=5, seconds=0.25, note=text, thinking=text,
    )  # fmt: skip


def samples_of(count: int = 60, *, texts=("",), names=lambda name: name):
    """(arm, task) -> samples; the texts in turn go into everything that is free text."""
    return {
        (names(arm), names(task)): [
            changed(_sample(arm, task, number, texts[number % len(texts)]), arm=names(arm), task=names(task))
            for number in range(count)
        ]
        for task in TASKS
        for arm in ARMS
    }


@cache
def made():
    """What `compare` makes of a few answers: at least one row of each kind."""
    few = samples_of(12)
    models = {"general": "m", "rag": "m", "tuned": "t", "both": "m"}
    arms = {arm: {"model": model, "context": "none"} for arm, model in models.items()}
    for arm, order in (("rag", "ranked"), ("both", "reversed")):
        arms[arm] |= {"context": "retrieved", "k": 2, "passage_order": order}
    tasks = {"handbook": {"scoring": "option-text"}, "handbook-letters": {"task": "handbook", "scoring": "generate"}}
    first = {"example": few["general", "handbook"][0].example.id, "findings": [{"counts": True}]}
    audit = {"tasks": [{"task": "handbook", "examples": [first]}]}
    corpus = frozenset({("wards", "aa")})
    sources = {arm: ArmSources() for arm in ARMS} | {
        "tuned": ArmSources(trained_on=corpus), "rag": ArmSources(shown=corpus, context="retrieved"),
    }  # fmt: skip
    settings = ComparisonSettings(baseline="general", resamples=100, factorials=(("general", "tuned", "rag", "both"),))
    results = compared(few, settings, facts=RunFacts(arms=arms, tasks=tasks, audit=audit), sources=sources)
    others = answers_of({"general": [0, 1], "rag": [1, 1]}) | answers_of({"general": [0, 1], "rag": [1, 1]}, task="t")
    pooled = compared(others, ComparisonSettings(baseline="general", resamples=100)).overall
    return replace(results, overall=pooled)


def row_of(kind, /, **fields):
    """A row of that kind, as `compare` makes it, with other values in some fields."""
    return replace(getattr(made(), kind)[0], **fields)


def nothing(**fields):
    """Results without any row but those that are given."""
    kinds = {field.name: () for field in dataclasses.fields(made()) if isinstance(getattr(made(), field.name), tuple)}
    return replace(made(), **kinds | fields)


def results_of(samples, *, names=lambda name: name):
    """What `compare` says, and rows with numbers chosen by hand for everything that lies behind a difference."""
    control, rag, tuned, both = (names(arm) for arm in ARMS)
    task, letters = (names(one) for one in TASKS)
    prices = Prices(currency="EUR", machine_hour=1.8)
    settings = ComparisonSettings(baseline=control, resamples=200, factorials=((control, tuned, rag, both),))
    results = compared(samples, settings, run=names("trial"))
    first, second, third, *others = results.contrasts
    ids = [given.example.id for given in samples[control, task]]
    written = [given.example.id for given in samples[control, letters]]
    here = {"task": task, "metric": "accuracy"}
    pair = here | {"baseline": control, "arm": rag}
    wide = {"difference": 0.12, "ci": (-0.05, 0.29), "p": 0.21}
    under = UnderPolicy(**wide, fixed=20, broke=10, n=60)
    bins = tuple(Bin(n / 10, n / 10 + 0.1, n, n / 10 + 0.05, n / 11 if n else None) for n in range(10))
    curve = tuple((n / 20, 0.1 + 0.02 * n) for n in range(1, 21))
    ranked = {"wrong": (rag, control), "drop": (control, rag)}
    return replace(
        results,
        prices=prices,
        contrasts=(
            replace(first, verdict="better"), replace(second, verdict="equivalent"), replace(third, verdict="worse"),
            *others,
        ),
        costs=tuple(
            replace(row, latency=Latency(0.2, 0.3, 0.5), latency_of="batch-mean", peak_memory_bytes=1_610_612_736,
                    peak_memory_of="process", price_per_1000=0.125)
            for row in results.costs
        ),
        overall=(
            row_of("overall", metric="accuracy", baseline=control, arm=rag, tasks=(task, letters), k=2, **wide,
                   prediction=(-0.3, 0.5), tau=0.04, i2=0.62, q=2.6, q_p=0.1, p_adjusted=0.4, margin=0.05,
                   verdict="cannot-tell", higher_is_better=True, corpora="", primary=True),
        ),
        overall_family=3,
        policies=tuple(
            row_of("policies", **here, arm=arm, values={"wrong": 0.5, "drop": 0.55}, n={"wrong": 60, "drop": 55})
            for arm in (control, rag)
        ),
        policy_contrasts=(
            row_of("policy_contrasts", **pair, by_policy={"wrong": under, "drop": under}, depends=True, primary=True),
        ),
        policy_rankings=(row_of("policy_rankings", **here, orders=ranked, depends=True),),
        ledger=(
            row_of("ledger", **pair, fixed=tuple(ids[2::3]), broke=tuple(ids[0:2])),
            row_of("ledger", **pair | {"task": letters}, fixed=tuple(written[2::3]), broke=()),
        ),
        decomposition=(_decomposition(here, rag, control, tuned, ids),),
        compliance=(
            row_of("compliance", arm=control, generate_task=letters, held_arm=control, held_task=task,
                   held_by="likelihood", n=60, generate=0.3,
                   held=0.4, difference=-0.1, ci=(-0.2, 0.0), p=0.04, by_form=-0.07,
                   by_form_ci=(-0.12, -0.02), by_answers=-0.03, by_answers_ci=(-0.1, 0.04), form_failures=7,
                   known_but_unreadable=3, examples=tuple(written[0:27:9]), said="compliance"),
        ),
        compliance_contrasts=(
            row_of("compliance_contrasts", baseline=control, arm=rag, generate_task=letters, held_baseline=control,
                   held_arm=rag, held_task=task, held_by="likelihood",
                   reading="form", generate_difference=0.1, generate_ci=(0.0, 0.2), held_difference=0.0,
                   held_ci=(-0.1, 0.1)),
        ),
        order=(
            row_of("order", kind="options", arm=control, task=task, other_arm=control, other_task=letters, n=60,
                   survived=41, share=0.683, ci=(0.55, 0.79), value=0.33, other_value=0.3),
        ),
        calibration=tuple(
            row_of("calibration", arm=arm, task=task, n=60, ece=0.11, ece_ci=(0.07, 0.2), brier=0.2, aurc=0.3,
                   aurc_ci=(0.2, 0.4), curve=curve, bins=bins)
            for arm in (control, rag)
        ),
        leakage=(
            row_of("leakage", **here, arm=rag, n=60, leaked=4, value=0.5, ci=(0.4, 0.6), value_without=0.48,
                   ci_without=(0.37, 0.58), value_leaked=0.75),
        ),
        leakage_contrasts=(
            row_of("leakage_contrasts", **pair, **wide, n_without=56, difference_without=0.1, ci_without=(-0.1, 0.3),
                   p_without=0.3),
        ),
        retrieval=(
            row_of("retrieval", **here, arm=rag, k=2, n=60, without_gold=3, ndcg=0.8, recall=0.9, mrr=0.7, hit=0.9,
                   found=Side(54, 0.7), missed=Side(6, 0.3), difference=0.4, ci=(0.0, 0.7), p=0.04, test="fisher"),
        ),
        economics=(_economics(task, control, tuned, rag, both),),
    )  # fmt: skip


def _decomposition(here, rag, control, tuned, ids):
    wrong = tuple(ids[1::3])
    parts = [
        ("form", wrong[:2]),
        ("missed", wrong[2:5]),
        ("misled", wrong[5:9]),
        ("ignored", wrong[9:]),
        ("unknown", ()),
    ]
    return row_of(
        "decomposition", **here, arm=rag, closed=control, oracle=tuned, distractor=None, n=len(ids), value=0.667,
        closed_value=0.333, oracle_value=0.8, distractor_value=None, right=len(ids) - len(wrong), wrong=len(wrong),
        parts=tuple(Cause(part, len(x), x, broke=x if part == "misled" else ()) for part, x in parts),
        repaired=Repaired(18, 2, 0), distracted=None, beyond=Examples(2, wrong[:2]),
    )  # fmt: skip


def _economics(task, control, tuned, rag, both):
    each = {
        role: QuestionCost(
            60, tokens, 5.0, seconds, seconds * 1.8 / 3600, Computing(2 * seconds, "CPU"), Reach(0.01, tokens / 50, 0.1)
        )
        for role, tokens, seconds in (
            ("control", 50.0, 0.1), ("tuned", 50.0, 0.16), ("retrieved", 260.0, 0.42), ("both", 260.0, 0.67)
        )
    }  # fmt: skip
    after = {"outcome": "after", "questions": 10527, "between": (6500, 21000), "unknown": ()}
    open_ = Line(None, None)
    return row_of(
        "economics", task=task, control=control, tuned=tuned, retrieved=rag, both=both, per_question=each,
        training=TrainingCost(
            526.5, 29634, None, "cpu", SearchCost(2638.0, 205680), 3164.5, 235314, Computing(6000.0, "CPU")
        ),
        index=IndexCost(52.0, 200, 375.5, 427.5, "cpu", Computing(800.0, "CPU")),
        break_even=(BreakEven("CPU-seconds", open_, open_, **after), BreakEven("EUR", open_, open_, **after)),
        clock_unknown=(),
    )  # fmt: skip


class _Words(html.parser.HTMLParser):
    """Text of the elements; cells and lines apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag, attributes):
        self.depth += tag == "svg"
        if tag in ("td", "th"):
            self.found.append("|")

    def handle_endtag(self, tag):
        self.depth -= tag == "svg"
        if tag == "tr":
            self.found.append("|")

    def handle_data(self, text):
        if not self.depth:
            self.found.append(text)


def plain(page: str) -> str:
    """The words of a page as one line, its cells between bars."""
    words = _Words()
    words.feed(page)
    words.close()
    return " ".join(" ".join(words.found).replace("\u2212", "-").split()).replace("\xa0", " ")
