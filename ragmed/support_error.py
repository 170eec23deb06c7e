"""How far a support score can be trusted: the measure in, how often it errs on answers that are known to be so out.

    measure_support(MetricSettings(model="lexical"), workspace).sensitivity
    # 0.902

MedHallu's development half (Pandit et al. 2025, arXiv 2502.14302) holds a true and a hallucinated answer to each
question, and the abstract that both are judged by. An answer counts as flagged where it holds a statement without
support. True answers are the abstracts' conclusions, which what is shown of an abstract bears out without saying them:
that is harder than to check an answer against the passage it was taken from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ragmed.errors import DataError
from ragmed.files import sha256_file
from ragmed.metrics.resources import make_metric
from ragmed.metrics.settings import MetricSettings
from ragmed.metrics.support import UNSUPPORTED
from ragmed.records import Example
from ragmed.tasks.loading import data_file
from ragmed.tasks.medhallu import ANSWER, KNOWLEDGE, MEDHALLU, OPTIONS
from ragmed.workspace import Workspace

LABELLED = "MedHallu, development half"


@dataclass(frozen=True, slots=True)
class SupportError:
    """Of `hallucinated` answers `flagged`, of `true` ones `passed`. `data`: sha256 of the labelled answers."""

    labelled: str
    data: str
    hallucinated: int
    flagged: int
    true: int
    passed: int

    @property
    def sensitivity(self) -> float:
        """The share of hallucinated answers that are flagged."""
        return self.flagged / self.hallucinated

    @property
    def specificity(self) -> float:
        """The share of true answers that are not flagged."""
        return self.passed / self.true


def labelled_hash(workspace: Workspace) -> str:
    """sha256 of the labelled answers; DataError, with what to fetch, where they are not here."""
    return sha256_file(data_file(workspace, "medhallu", "pqa_labeled_dev.jsonl", of="MedHallu"))


def measure_support(settings: MetricSettings, workspace: Workspace) -> SupportError:
    """
        measure_support(MetricSettings(model="path:models/nli"), workspace).specificity

    Every labelled answer is measured, as answers of arms are. DataError where the labelled data are not here, or hold
    no answer of one kind; and what the measure's own factory raises.
    """
    data = labelled_hash(workspace)
    split = MEDHALLU.load(workspace)
    examples = (*split.examples, *split.shots)
    metric = make_metric(UNSUPPORTED, settings, workspace.root)
    found = np.array(metric.score([_judged(example) for example in examples]))[:, 0] > 0
    kinds = [OPTIONS[str(example.gold)] for example in examples]
    made_up, true = (found[[kind == one for kind in kinds]].tolist() for one in ("hallucinated", "factual"))
    if not made_up or not true:
        raise DataError("MedHallu's rows hold no answer of one of the two kinds; fetch the file again")
    return SupportError(LABELLED, data, len(made_up), sum(made_up), len(true), len(true) - sum(true))


def _judged(example: Example) -> tuple[Example, str]:
    """The question with what is known as its evidence, and the answer that is to be judged."""
    known = tuple(document for document in example.context if document.title == KNOWLEDGE)
    answer = next(document.text for document in example.context if document.title == ANSWER)
    return replace(example, context=known), answer
