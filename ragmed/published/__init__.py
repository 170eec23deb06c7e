"""Published numbers and the models behind them: a suite's name in, its figures, its totals and its pairs of models out.

`clue.csv`, `jamia.csv`: scores as published, in percent, by the names that tasks and metrics have here.
`clue_totals.csv`: the level totals of CLUE. `models.yaml`: the models. Sources: Dada et al., CLUE, arXiv 2404.04067;
Dorfner et al., JAMIA 2025, ocaf045, abstract.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ragmed.checked import parse
from ragmed.errors import UnknownNameError, UsageError
from ragmed.yaml_files import read_mapping

FOLDER = Path(__file__).parent
_SIZES = re.compile(r"(\d+)b(?:-(\d+)b)?\Z")
WITH_RECORD = ("longhealth_1", "longhealth_2", "longhealth_3")
"""Tasks whose published figures are of models that were shown the whole record; all others are closed book."""
Figures = Mapping[tuple[str, str], float]
"""(task, metric) -> a fraction."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """`hub`: where its weights are published. `base`: the model of the same suite it was made from. `size`: billions of
    parameters, as `8b`. `context`: tokens. `doubt`: what sources disagree on."""

    hub: str
    kind: str
    size: str
    instruct: bool
    context: int
    base: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """
    >>> suite = find_suite("clue")
    >>> len(suite.models), len(suite.pairs("7b-8b"))
    (25, 9)

    `levels`: name -> the groups of tasks whose mean it is; a group's score is the mean of its metrics, over its tasks
    (CLUE's LongHealth is three tasks here).
    """

    name: str
    title: str
    models: Mapping[str, PublishedModel]
    levels: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]

    def figures(self, model: str) -> Figures:
        """What was published of a model; UnknownNameError with near names."""
        if model not in self.models:
            raise UnknownNameError("model", model, self.models, f"suite '{self.name}'")
        return _figures(self.name).get(model, {})

    def totals(self, scores: Figures) -> dict[str, float | None]:
        """Level -> the mean of its groups' scores, None where a score of it is missing (never a mean of what is there).

        >>> find_suite("clue").totals(find_suite("clue").figures("BioMistral-7B"))["level 1"]
        0.4057...
        """
        found: dict[str, float | None] = {}
        for level, groups in self.levels.items():
            means = [_mean([scores.get(key) for key in keys]) for keys in groups.values()]
            found[level] = _mean(means)
        return found

    def missing(self, scores: Figures, level: str) -> tuple[tuple[str, str], ...]:
        """(task, metric) of what a level's total still needs."""
        return tuple(key for keys in self.levels[level].values() for key in keys if key not in scores)

    def pairs(self, sizes: str = "") -> list[tuple[str, str]]:
        """(general, biomedical) names, in the suite's order; `sizes`: `8b`, or `7b-8b` for all from 7 to 8 billion.

        Raises UsageError where sizes cannot be read, or leave no pair.
        """
        low, high = _range(sizes) if sizes else (0, 10**6)
        found = [
            (model.base, name)
            for name, model in self.models.items()
            if model.base and low <= int(model.size.removesuffix("b")) <= high
        ]
        if not found:
            known = ", ".join(dict.fromkeys(m.size for m in self.models.values() if m.base))
            raise UsageError(f"suite '{self.name}' has no pair of {sizes}; sizes with pairs: {known}")
        return found

    def model_of(self, full_name: str) -> str:
        """The suite's name of a model by a config's (`hf:ORG/NAME@REVISION`, `endpoint:URL#ORG/NAME`); '' for others.

        >>> find_suite("clue").model_of("hf:BioMistral/BioMistral-7B@main")
        'BioMistral-7B'
        """
        if "+adapter:" in full_name:
            return ""
        bare = re.sub(r"\A(hf:|vllm:|endpoint:[^#]*#)|@[^@/]*\Z", "", full_name)
        return next(
            (name for name, model in self.models.items() if bare.lower() in (model.hub.lower(), name.lower())), ""
        )


_ROUGE = ("rouge_l", "rouge_1", "rouge_2")


def _all(task: str, *metrics: str) -> tuple[tuple[str, str], ...]:
    return tuple((task, metric) for metric in metrics)


LEVELS: dict[str, dict[str, dict[str, tuple[tuple[str, str], ...]]]] = {
    "clue": {
        "level 1": {
            "mednli": _all("mednli", "accuracy"),
            "meqsum": _all("meqsum", *_ROUGE, "bertscore"),
            "problem_summary": _all("problem_summary", *_ROUGE, "bertscore", "concept_f1"),
        },
        "level 2": {
            "longhealth": tuple((f"longhealth_{number}", "accuracy") for number in (1, 2, 3)),
            "medisumqa": _all("medisumqa", *_ROUGE, "bertscore", "concept_f1"),
            "medisumcode": _all("medisumcode", "code_f1_document", "code_f1_3_document", "valid_codes_document"),
        },
    },
    "jamia": {},
}


def suite_names() -> list[str]:
    return list(LEVELS)


@cache
def find_suite(name: str) -> Suite:
    """Raises UnknownNameError with near names."""
    if name not in LEVELS:
        raise UnknownNameError("suite", name, LEVELS)
    where, raw = read_mapping(FOLDER / "models.yaml", "list of models")
    models = {
        model: parse(PublishedModel, given, f"{where}, {name}.{model}") for model, given in raw[name]["models"].items()
    }
    return Suite(name, raw[name]["title"], models, LEVELS[name])


@cache
def _figures(suite: str) -> dict[str, dict[tuple[str, str], float]]:
    found: dict[str, dict[tuple[str, str], float]] = {}
    with (FOLDER / f"{suite}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["model"], {})[row["task"], row["metric"]] = float(row["percent"]) / 100
    return found


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _range(sizes: str) -> tuple[int, int]:
    match = _SIZES.match(sizes)
    if match is None:
        raise UsageError(f"sizes '{sizes}' cannot be read; write 8b, or 7b-8b")
    return int(match[1]), int(match[2] or match[1])


def describe_pairs(name: str = "") -> str:
    """The pairs of a suite, or of all, with their hub ids, what is in doubt, and what was published of both."""
    lines: list[str] = []
    for suite in [find_suite(name)] if name else map(find_suite, suite_names()):
        lines += ["", f"{suite.name}: {suite.title}"] if lines else [f"{suite.name}: {suite.title}"]
        for base, tuned in suite.pairs():
            lines.append(f"  {tuned} (hf:{suite.models[tuned].hub}) from {base} (hf:{suite.models[base].hub})")
            both = {key: (suite.figures(base)[key], value) for key, value in suite.figures(tuned).items()
                    if key in suite.figures(base)}  # fmt: skip
            totals = [(level, suite.totals(suite.figures(base))[level], total)
                      for level, total in suite.totals(suite.figures(tuned)).items()]  # fmt: skip
            shown = [
                f"{level} {100 * a:.2f} -> {100 * b:.2f}" for level, a, b in totals if a is not None and b is not None
            ]
            if not totals:
                shown = [f"{task} {100 * a:.1f} -> {100 * b:.1f}" for (task, _), (a, b) in both.items()]
            if shown:
                lines.append(f"    published: {'; '.join(shown)}")
            if suite.models[tuned].doubt:
                lines.append(f"    in doubt: {suite.models[tuned].doubt}")
    return "\n".join(lines)
