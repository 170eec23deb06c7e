"""Samples and results with every section of the page in them, for the tests of the page; `hostile` turns every text and
name into one that would run a script if anything took it for markup."""

from __future__ import annotations

import dataclasses
import html.parser

from ragmed.comparison.compare import ComparisonSettings, compare
from ragmed.records import Message, Sample

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


def _sample(arm: str, task: str, number: int, text: str) -> Sample:
    ward = WARDS[number % 4]
    right, shown = _right(arm, number), arm in ("rag", "both")
    chosen = ward if right else WARDS[(number + 1) % 4]
    unread = task == "handbook-letters" and number % 9 == 0
    asked = f"Question: On which ward is bed {number} of the annex, and who is told when it moves? {text}"
    passage = f"Wards > Beds\nBed {number} of the annex stands on ward {ward}. {text}\nThe night nurse is told first."
    second = "<passage 2>\nOther\nOther words.\n</passage 2>"
    block = f"<passages>\n<passage 1>\n{passage}\n</passage 1>\n{second}\n</passages>\n\n"
    return Sample(
        example=f"{task[0]}{number:05d}{text}", arm=arm, task=task, status="unparsed" if unread else "answered",
        extracted=None if unread else "ABCD"[WARDS.index(chosen)], gold="ABCD"[number % 4],
        scores={} if unread else {"accuracy": float(right)},
        messages=(Message("system", f"Answer. {text}"), Message("user", (block if shown else "") + asked)),
        passages=(
            {"id": f"wards:{number}#0{text}", "rank": 1, "score": 0.5, "gold": True, "citation": f"Beds. 2031. {text}"},
            {"id": "wards:x#0", "rank": 2, "score": 0.25, "gold": False, "citation": text or "Other."},
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
            _renamed(_sample(arm, task, number, texts[number % len(texts)]), names) for number in range(count)
        ]
        for task in TASKS
        for arm in ARMS
    }


def _renamed(sample, names):
    return dataclasses.replace(sample, arm=names(sample.arm), task=names(sample.task))


def results_of(samples, *, names=lambda name: name):
    """What `compare` says, and rows by hand for everything that lies behind a difference."""
    control, rag, tuned, both = (names(arm) for arm in ARMS)
    task, letters = (names(one) for one in TASKS)
    settings = ComparisonSettings(baseline=control, resamples=200, factorials=((control, tuned, rag, both),))
    found = compare(samples, run=names("trial"), settings=settings)
    found["contrasts"][0]["verdict"] = "better"
    found["contrasts"][1]["verdict"] = "equivalent"
    found["contrasts"][2]["verdict"] = "worse"
    ids = [sample.example for sample in samples[control, task]]
    written = [sample.example for sample in samples[control, letters]]
    here = {"task": task, "metric": "accuracy"}
    pair = here | {"baseline": control, "arm": rag}
    wide = {"difference": 0.12, "ci": [-0.05, 0.29], "p": 0.21}
    one = wide | {"fixed": 20, "broke": 10, "n": 60}
    found |= {
        "overall": [
            {"metric": "accuracy", "baseline": control, "arm": rag, "tasks": [task, letters], "k": 2, **wide}
            | {"interval": "hartung-knapp", "prediction": [-0.3, 0.5], "tau": 0.04, "i2": 0.62, "q": 2.6, "q_p": 0.1}
            | {"p_adjusted": 0.4, "margin": 0.05, "verdict": "cannot-tell", "higher_is_better": True, "corpora": ""}
        ],
        "overall_family": 3,
        "policies": [
            here | {"arm": arm, "values": {"wrong": 0.5, "drop": 0.55, "mirage": None}, "n": {"wrong": 60, "drop": 55}}
            for arm in (control, rag)
        ],
        "policy_contrasts": [pair | {"by_policy": {"wrong": one, "drop": one, "mirage": None}, "depends": True}],
        "policy_rankings": [here | {"orders": {"wrong": [rag, control], "drop": [control, rag]}, "depends": True}],
        "ledger": [
            pair | {"fixed": ids[2::3], "broke": ids[0:2]},
            pair | {"task": letters, "fixed": written[2::3], "broke": []},
        ],
        "decomposition": [_decomposition(here, rag, control, tuned, ids)],
        "compliance": [
            {"arm": control, "generate_task": letters, "likelihood_task": task, "n": 60, "generate": 0.3}
            | {"likelihood": 0.4, "difference": -0.1, "ci": [-0.2, 0.0], "p": 0.04, "form_failures": 7}
            | {"known_but_unreadable": 3, "examples": written[0:27:9], "said": "compliance"}
        ],
        "compliance_contrasts": [
            {"baseline": control, "arm": rag, "generate_task": letters, "likelihood_task": task, "reading": "form"}
            | {"generate_difference": 0.1, "generate_ci": [0.0, 0.2]}
            | {"likelihood_difference": 0.0, "likelihood_ci": [-0.1, 0.1]}
        ],
        "order": [
            {"kind": "options", "arm": control, "task": task, "other_arm": control, "other_task": letters, "n": 60}
            | {"survived": 41, "share": 0.683, "ci": [0.55, 0.79], "accuracy": 0.33, "other_accuracy": 0.3}
        ],
        "calibration": [
            {"arm": arm, "task": task, "n": 60, "ece": 0.11, "ece_ci": [0.07, 0.2], "brier": 0.2, "aurc": 0.3}
            | {"aurc_ci": [0.2, 0.4], "curve": [[n / 20, 0.1 + 0.02 * n] for n in range(1, 21)]}
            | {"bins": [{"low": n / 10, "high": n / 10 + 0.1, "n": n, "confidence": n / 10 + 0.05}
                        | {"accuracy": n / 11} for n in range(10)]}
            for arm in (control, rag)
        ],
        "leakage": [
            pair | {"n": 60, "leaked": 4, "value": 0.5, "ci": [0.4, 0.6], "value_without": 0.48}
            | {"ci_without": [0.37, 0.58], "value_leaked": 0.75}
        ],
        "leakage_contrasts": [
            pair | wide | {"n_without": 56, "difference_without": 0.1, "ci_without": [-0.1, 0.3], "p_without": 0.3}
        ],
        "retrieval": [
            here | {"arm": rag, "k": 2, "n": 60, "without_gold": 3, "ndcg": 0.8, "recall": 0.9, "mrr": 0.7, "hit": 0.9}
            | {"found": {"n": 54, "value": 0.7}, "missed": {"n": 6, "value": 0.3}, "difference": 0.4}
            | {"ci": [0.0, 0.7], "p": 0.04, "test": "fisher"}
        ],
        "economics": [_economics(task, control, tuned, rag, both)],
        "prices": {"currency": "EUR", "machine_hour": 1.8, "million_input_tokens": 0.0, "million_output_tokens": 0.0},
    }  # fmt: skip
    for row in found["costs"]:
        row |= {"latency": {"p50": 0.2, "p90": 0.3, "p99": 0.5}, "latency_of": "batch-mean"}
        row |= {"peak_memory_bytes": 1_610_612_736, "peak_memory_of": "process", "price_per_1000": 0.125}
    return found


def _decomposition(here, rag, control, tuned, ids):
    wrong = ids[1::3]
    parts = [
        ("form", wrong[:2]),
        ("missed", wrong[2:5]),
        ("misled", wrong[5:9]),
        ("ignored", wrong[9:]),
        ("unknown", []),
    ]
    return here | {
        "arm": rag, "closed": control, "oracle": tuned, "distractor": None, "n": len(ids),
        "value": 0.667, "closed_value": 0.333, "oracle_value": 0.8, "distractor_value": None,
        "right": len(ids) - len(wrong), "wrong": len(wrong),
        "parts": [{"part": p, "count": len(x), "examples": x, "broke": x if p == "misled" else []} for p, x in parts],
        "repaired": {"with_gold": 18, "without_gold": 2, "unknown": 0}, "distracted": None,
        "beyond": {"count": 2, "examples": wrong[:2]},
    }  # fmt: skip


def _economics(task, control, tuned, rag, both):
    each = {
        role: {"n": 60, "input_tokens": tokens, "output_tokens": 5.0, "seconds": seconds, "price": seconds * 1.8 / 3600}
        for role, tokens, seconds in (
            ("control", 50.0, 0.1), ("tuned", 50.0, 0.16), ("retrieved", 260.0, 0.42), ("both", 260.0, 0.67)
        )
    }  # fmt: skip
    after = {"outcome": "after", "questions": 10527, "unknown": []}
    return {
        "task": task, "control": control, "tuned": tuned, "retrieved": rag, "both": both, "per_question": each,
        "training": {"seconds": 526.5, "tokens": 29634, "energy_joules": None, "device": "cpu",
                     "search": {"seconds": 2638.0, "tokens": 205680}, "total_seconds": 3164.5, "total_tokens": 235314},
        "index": {"seconds": 52.0, "passages": 200, "search_seconds": 375.5, "total_seconds": 427.5, "device": "cpu"},
        "break_even": [{"unit": "seconds", **after}, {"unit": "EUR", **after}],
    }  # fmt: skip


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
