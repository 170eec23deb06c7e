"""Metrics by section of a note: a note in, its four divisions out, each compared with the reference's.

The divisions are those of ACI-Bench (Yim et al. 2023, arXiv 2306.02022): subjective, objective exam, objective results,
assessment and plan. A heading stands on a line of its own, or before a colon at the start of a line, whatever its case
and the marks of Markdown around it. What stands under another heading belongs to the division before it; what stands
before all headings belongs to none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from ragmed.metrics import Batch, Metric
from ragmed.metrics.gold import accepted
from ragmed.metrics.overlap import ROUGE_L, has_words
from ragmed.records import Example

HEADINGS = {
    "subjective": (
        "subjective", "chief complaint", "cc", "hpi", "history of present illness", "history", "review of systems",
        "review of symptoms", "ros", "past history", "medical history", "past medical history", "surgical history",
        "past surgical history", "social history", "family history", "birth history", "medications",
        "current medications", "allergies",
    ),
    "objective_exam": (
        "objective", "exam", "physical exam", "physical examination", "examination", "vitals", "vital signs",
        "vitals reviewed",
    ),
    "objective_results": ("results", "laboratory results", "imaging", "labs", "ekg", "diagnostic results"),
    "assessment_and_plan": (
        "assessment", "plan", "assessment and plan", "assessment & plan", "assessment/plan", "impression",
        "impression and plan", "instructions", "recommendations",
    ),
}  # fmt: skip
"""Division -> the headings that open it."""

_DIVISION = {heading: division for division, headings in HEADINGS.items() for heading in headings}
_MARKS = " \t#*_"


def note_sections(note: str) -> dict[str, str]:
    """
    >>> note_sections("CHIEF COMPLAINT\\n\\nKnee pain.\\n\\n**Plan:** Rest.")
    {'subjective': 'Knee pain.', 'assessment_and_plan': 'Rest.'}

    The text of each division that is there, without its headings.
    """
    found: dict[str, list[str]] = {}
    division = ""
    for line in note.splitlines():
        before, colon, after = line.partition(":")
        heading = " ".join(before.strip(_MARKS).casefold().split())
        if heading in _DIVISION and (colon or not after):
            division, line = _DIVISION[heading], after.strip(_MARKS)
            found.setdefault(division, [])
        if division:
            found[division].append(line)
    texts = {name: re.sub(r"\n\s*\n+", "\n", "\n".join(lines)).strip() for name, lines in found.items()}
    return {name: text for name, text in texts.items() if has_words(text)}


def of_division(base: Metric, division: str) -> Metric:
    """
    >>> from ragmed.records import Example
    >>> note = Example("n1", "?", gold="PLAN\\nRest the knee.")
    >>> of_division(ROUGE_L, "assessment_and_plan").score([(note, "Plan: rest the knee")])
    [1.0]

    A graded metric of texts, of one division of the note: `rouge_l_assessment_and_plan`. Where the reference lacks it,
    1 for an answer that lacks it too and 0 for one that has it; where the answer alone lacks it, 0.
    """

    def score(batch: Batch) -> list[float]:
        best = [0.0] * len(batch)
        places: list[int] = []
        both: list[tuple[Example, str]] = []
        for place, (example, value) in enumerate(batch):
            written = note_sections(str(value)).get(division, "")
            for note in accepted(example.gold):
                wanted = note_sections(note).get(division, "")
                if written and wanted:
                    places.append(place)
                    both.append((replace(example, gold=wanted), written))
                else:
                    best[place] = max(best[place], float(written == wanted))
        for place, found in zip(places, base.score(both), strict=True):
            best[place] = max(best[place], cast(float, found))  # graded
        return best

    return Metric(replace(base.facts, name=f"{base.facts.name}_{division}"), score)


ROUGE_L_SUBJECTIVE, ROUGE_L_OBJECTIVE_EXAM, ROUGE_L_OBJECTIVE_RESULTS, ROUGE_L_ASSESSMENT_AND_PLAN = (
    of_division(ROUGE_L, division) for division in HEADINGS
)
