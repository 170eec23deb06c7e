"""Errors found in a note and corrected, measured as in MEDIQA-CORR 2024 (github.com/abachaa/MEDIQA-CORR-2024).

An answer has three fields, as the shared task's submissions: `error_flag` (1 or 0), `error_sentence_id` (-1 without an
error) and `corrected_sentence` ("NA" without one). After the task's evaluation script:

    error_flag_accuracy       the flag is right
    error_sentence_accuracy   the id is right, over all notes: that of the wrong sentence, -1 where there is none
    correction_rouge_1        the composite score: 1 where answer and reference are both NA, 0 where one of them is,
                              else the ROUGE-1 F1 of the two sentences; the mean is over all notes
    correction_bertscore      the same with BERTScore, by a model that is named (the script takes DeBERTa's)

A flag of 0 makes the correction NA, as there, and an id that is not given -1. Fields that are not given otherwise, or
not to be understood, are wrong. ROUGE is that of the metric rouge_1 (with stemming), where the script takes another
package without. `error_flag_f1` is the F1 of the notes that are flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed.errors import UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.bertscore import pair_scorer
from ragmed.metrics.f1 import micro_f1, set_counts
from ragmed.metrics.overlap import rouge_1
from ragmed.metrics.settings import MetricSettings
from ragmed.records import Example, Value

FIELDS = ("error_flag", "error_sentence_id", "corrected_sentence")
NO_SENTENCE, NO_CORRECTION = "-1", "NA"
Fields = tuple[str, str, str]


def corrected_fields(value: Value) -> Fields:
    """
    >>> corrected_fields({"error_flag": 1, "error_sentence_id": "5", "corrected_sentence": "It is gout."})
    ('1', '5', 'It is gout.')
    >>> corrected_fields({"error_flag": False}), corrected_fields({"error_flag": "perhaps", "error_sentence_id": 2})
    (('0', '-1', 'NA'), ('', '2', ''))

    Flag, id and correction of an answer as texts, '' for what is not given or not to be understood.
    """
    fields = value if isinstance(value, Mapping) else {}
    flag, sentence = (_whole(fields.get(name)) for name in FIELDS[:2])
    correction = fields.get(FIELDS[2])
    if flag == "0":
        return flag, sentence or NO_SENTENCE, NO_CORRECTION
    return flag if flag == "1" else "", sentence, correction.strip() if isinstance(correction, str) else ""


def _whole(given: Any) -> str:
    """A whole number as text, however it was written: 1, "1", 1.0, true."""
    if isinstance(given, str):
        given = given.strip()
        return given if given.removeprefix("-").isdecimal() and given.isascii() else ""
    whole = isinstance(given, int | float) and abs(given) < 10**9 and given == int(given)  # no infinity, no NaN
    return str(int(given)) if whole else ""


def _both(batch: Batch) -> list[tuple[Fields, Fields]]:
    return [(corrected_fields(value), _gold(example)) for example, value in batch]


def _gold(example: Example) -> Fields:
    gold = example.gold
    if not isinstance(gold, Mapping) or any(len(gold.get(name, ())) != 1 for name in FIELDS):
        raise UsageError(f"example '{example.id}' has no gold {', '.join(FIELDS)}, which corrections are measured by")
    flag, sentence, correction = (gold[name][0] for name in FIELDS)
    return flag, sentence, correction


def flag_counts(batch: Batch) -> list[tuple[float, ...]]:
    """(tp, fp, fn) of the notes that are said to hold an error; no flag is a miss of an error that is there."""
    flagged = ((("1",) if fields[0] == "1" else () for fields in pair) for pair in _both(batch))
    return [tuple(map(float, set_counts(*flags))) for flags in flagged]


def correction(batch: Batch) -> list[float]:
    """
    >>> gold = {"error_flag": ("1",), "error_sentence_id": ("0",), "corrected_sentence": ("He has gout.",)}
    >>> note = Example("n1", "", gold=gold)
    >>> correction([(note, {"error_flag": 1, "error_sentence_id": 0, "corrected_sentence": "He has had gout."})])
    [0.8571428571428571]
    """
    return _composite(batch, lambda pairs: [rouge_1(answer, gold) for answer, gold in pairs])


def make_correction_bertscore(settings: MetricSettings, root: Path) -> Metric:
    """
        make_correction_bertscore(MetricSettings(model="path:models/minilm", layer=6), workspace.root)

    The metric `correction_bertscore`. Raises what `pair_scorer` raises.
    """
    scorer = pair_scorer(settings, root, "correction_bertscore")
    return Metric(MetricFacts("correction_bertscore"), lambda batch: _composite(batch, scorer))


def _composite(batch: Batch, scorer: Callable[[Sequence[tuple[str, str]]], list[float]]) -> list[float]:
    pairs = [(answer, gold) for (_, _, answer), (_, _, gold) in _both(batch)]
    found = iter(scorer([pair for pair in pairs if NO_CORRECTION not in pair]))
    return [float(pair[0] == pair[1]) if NO_CORRECTION in pair else next(found) for pair in pairs]


ERROR_FLAG_F1 = Metric(MetricFacts("error_flag_f1", "ratio"), flag_counts, micro_f1)
ERROR_FLAG_ACCURACY = Metric(
    MetricFacts("error_flag_accuracy", "binary"),
    lambda batch: [float(answer[0] == gold[0]) for answer, gold in _both(batch)],
)
ERROR_SENTENCE_ACCURACY = Metric(
    MetricFacts("error_sentence_accuracy", "binary"),
    lambda batch: [float(answer[1] == gold[1]) for answer, gold in _both(batch)],
)
CORRECTION_ROUGE_1 = Metric(MetricFacts("correction_rouge_1"), correction)
