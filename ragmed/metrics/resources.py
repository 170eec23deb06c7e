"""Metrics that need what a user must name first, a model or a file: settings in, the metric out.

    metrics:                                                    # in a config
      bertscore: {model: hf:allenai/scibert_scivocab_uncased@24f92d3…, layer: 8}
      concept_f1: {lexicon: lexicons/mesh.tsv}
      valid_codes: {table: shared/data/icd10cm/icd10cm2019.tsv.gz}
      unsupported: {model: lexical}                             # or a model of entailment: path:models/nli

A task says by `further` (or `metrics`) which of them it can be measured by. What answers are measured by changes none
of them: other settings, or another file under the same name, make scores stale, and refuse nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ragmed.checked import dump
from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import sha256_file, sha256_json, user_path
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.bertscore import make_bertscore
from ragmed.metrics.codes import valid_codes, valid_codes_document
from ragmed.metrics.concepts import make_concept_metric
from ragmed.metrics.corrections import make_correction_bertscore
from ragmed.metrics.entailment import entailment_metric, load_entailment
from ragmed.metrics.f1 import micro_precision
from ragmed.metrics.icd10 import CodeTable, load_table
from ragmed.metrics.sections import HEADINGS, of_division
from ragmed.metrics.settings import MODEL_FILES, MetricSettings, model_folder, named_file
from ragmed.metrics.support import LEXICAL, LexicalSupport, unsupported
from ragmed.records import Measure


@dataclass(frozen=True, slots=True)
class Resourced:
    """`facts` hold whatever is named; `needs`: the settings it must have; `make`: (settings, root) -> the metric.
    `total`: of a ratio, as of `Metric`.
    """

    facts: MetricFacts
    needs: tuple[str, ...]
    make: Callable[[MetricSettings, Path], Metric]
    total: Callable[[Any], Any] | None = None


def _entailment(name: str) -> Callable[[MetricSettings, Path], Metric]:
    return lambda settings, root: entailment_metric(name, load_entailment(model_folder(settings.model, root, name)))


def _concepts(name: str) -> Callable[[MetricSettings, Path], Metric]:
    return lambda settings, root: make_concept_metric(name, settings.lexicon, root)


def _unsupported(settings: MetricSettings, root: Path) -> Metric:
    if settings.model == LEXICAL:
        return unsupported(LexicalSupport())
    return unsupported(load_entailment(model_folder(settings.model, root, "unsupported")))


def _codes(name: str, make: Callable[[CodeTable], Metric]) -> Callable[[MetricSettings, Path], Metric]:
    return lambda settings, root: make(load_table(named_file(name, root / user_path(settings.table))))


def _by_division(resourced: Resourced) -> list[Resourced]:
    """The same metric of each division of a note."""

    def made(division: str) -> Callable[[MetricSettings, Path], Metric]:
        return lambda settings, root: of_division(resourced.make(settings, root), division)

    return [
        replace(
            resourced, facts=replace(resourced.facts, name=f"{resourced.facts.name}_{division}"), make=made(division)
        )
        for division in HEADINGS
    ]


_BERTSCORE = Resourced(MetricFacts("bertscore"), ("model", "layer"), make_bertscore)
_CONCEPTS = {
    name: Resourced(MetricFacts(name, version=2), ("lexicon",), _concepts(name))
    for name in ("concept_f1", "concept_precision", "concept_recall")
}
RESOURCED = {
    resourced.facts.name: resourced
    for resourced in (
        _BERTSCORE,
        Resourced(MetricFacts("correction_bertscore"), ("model", "layer"), make_correction_bertscore),
        Resourced(MetricFacts("completeness"), ("model",), _entailment("completeness")),
        Resourced(MetricFacts("contradiction", higher_is_better=False), ("model",), _entailment("contradiction")),
        Resourced(MetricFacts("valid_codes", "ratio"), ("table",), _codes("valid_codes", valid_codes), micro_precision),
        Resourced(
            MetricFacts("valid_codes_document"), ("table",), _codes("valid_codes_document", valid_codes_document)
        ),
        Resourced(
            MetricFacts("unsupported", "ratio", version=2, higher_is_better=False),
            ("model",),
            _unsupported,
            micro_precision,
        ),
        *_CONCEPTS.values(),
        *_by_division(_BERTSCORE),
        *_by_division(_CONCEPTS["concept_f1"]),
    )
}


def lacking(name: str) -> UsageError:
    """What to say where a metric is asked for whose model or file nobody named."""
    wanted = " and ".join(RESOURCED[name].needs)
    return UsageError(f"metric '{name}' needs {wanted}: name them under `metrics:` in the config, or to `ragmed score`")


def without_resource(name: str) -> Metric:
    """The metric as far as it is known without its model or file: facts and total, and no scores."""
    resourced = RESOURCED[name]

    def score(batch: Batch) -> list[Measure]:
        if not batch:
            return []
        if resourced.total and all(value is None for _, value in batch):
            return [(0.0, 0.0, 0.0)] * len(batch)  # the counts of no answer need nothing to be looked up
        raise lacking(name)

    return Metric(resourced.facts, score, resourced.total)


(
    BERTSCORE, CORRECTION_BERTSCORE, COMPLETENESS, CONTRADICTION, VALID_CODES, VALID_CODES_DOCUMENT, UNSUPPORTED,
    CONCEPT_F1, CONCEPT_PRECISION, CONCEPT_RECALL,
    BERTSCORE_SUBJECTIVE, BERTSCORE_OBJECTIVE_EXAM, BERTSCORE_OBJECTIVE_RESULTS, BERTSCORE_ASSESSMENT_AND_PLAN,
    CONCEPT_F1_SUBJECTIVE, CONCEPT_F1_OBJECTIVE_EXAM, CONCEPT_F1_OBJECTIVE_RESULTS, CONCEPT_F1_ASSESSMENT_AND_PLAN,
) = map(without_resource, RESOURCED)  # fmt: skip


def check_metrics(given: Mapping[str, MetricSettings], where: str) -> None:
    """UnknownNameError or UsageError, with the remedy, for a metric that needs nothing, and settings that it does not
    read or lacks.
    """
    for name, settings in given.items():
        if name not in RESOURCED:
            raise UnknownNameError("metric with settings", name, RESOURCED, where)
        needs = RESOURCED[name].needs
        for field in fields(MetricSettings):
            value = getattr(settings, field.name)
            if value != field.default and field.name not in needs:
                raise UsageError(f"{where}.{name}.{field.name}: it means nothing for this metric; take it out")
            if value == field.default and field.name in needs:
                raise UsageError(f"{where}.{name} needs {' and '.join(needs)}; add {field.name}")


def resource_hash(name: str, settings: MetricSettings, root: Path) -> str:
    """One hash of the settings and of the contents of what they name: equal hashes, equal numbers. A model of the hub
    is its pinned revision. DataError where a file is not there.
    """
    contents: dict[str, Any] = dump(settings)
    for key in ("lexicon", "table"):
        path = getattr(settings, key)
        if path and not path.startswith("scispacy:"):
            contents[key] = sha256_file(named_file(name, root / user_path(path)))
    if settings.model.startswith("path:"):
        folder = model_folder(settings.model, root, name)
        kept = sorted(path for pattern in MODEL_FILES for path in folder.glob(pattern))
        contents["model"] = {path.name: sha256_file(path) for path in kept}
    return sha256_json(contents)


def make_metric(name: str, settings: MetricSettings, root: Path) -> Metric:
    """
        make_metric("bertscore", MetricSettings(model="path:models/minilm", layer=6), workspace.root)

    Loaded once a process; relative paths are below `root`. Raises what the metric's factory raises.
    """
    return _made(name, settings, root, resource_hash(name, settings, root))


@lru_cache(maxsize=8)
def _made(name: str, settings: MetricSettings, root: Path, content: str) -> Metric:
    return RESOURCED[name].make(settings, root)
