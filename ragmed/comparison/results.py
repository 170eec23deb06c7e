"""The contents of results.json: what `compare` returns, what is written (`dump`) and read back (`read_results`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragmed.checked import parse
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.costs.rows import Cost, Economics
from ragmed.comparison.diagnosis.rows import (
    Calibration,
    Compliance,
    ComplianceContrast,
    Decomposition,
    Evidence,
    Followed,
    Leakage,
    LeakageContrast,
    Ledger,
    Order,
    Retrieval,
)
from ragmed.comparison.rows import (
    Alike,
    Baseline,
    Contrast,
    Factorial,
    Failure,
    FailureContrast,
    Fit,
    MeasuredError,
    NotRun,
    Overall,
    PolicyContrast,
    PolicyRanking,
    PolicyScore,
    Published,
    Score,
    StepRow,
    SuiteTotal,
)
from ragmed.errors import DamagedError
from ragmed.files import read_json

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Results:
    """The settings of a comparison, how many tests each family has (`family`: contrasts), its rows, and notes on what a
    reader must know."""

    schema: int
    run: str
    baseline: str
    policy: Mapping[str, str]
    correction: str
    proportions: str
    alpha: float
    margin: float
    seed: int
    resamples: int
    prices: Prices
    family: int
    overall_family: int
    factorial_family: int
    contrasts: tuple[Contrast, ...]
    factorials: tuple[Factorial, ...]
    costs: tuple[Cost, ...]
    economics: tuple[Economics, ...]
    overall: tuple[Overall, ...]
    policies: tuple[PolicyScore, ...]
    policy_contrasts: tuple[PolicyContrast, ...]
    policy_rankings: tuple[PolicyRanking, ...]
    scores: tuple[Score, ...]
    baselines: tuple[Baseline, ...]
    not_run: tuple[NotRun, ...]
    fits: tuple[Fit, ...]
    fitting_scores: tuple[Score, ...]
    fitting_contrasts: tuple[Contrast, ...]
    ledger: tuple[Ledger, ...]
    decomposition: tuple[Decomposition, ...]
    compliance: tuple[Compliance, ...]
    compliance_contrasts: tuple[ComplianceContrast, ...]
    order: tuple[Order, ...]
    calibration: tuple[Calibration, ...]
    retrieval: tuple[Retrieval, ...]
    evidence: tuple[Evidence, ...]
    leakage: tuple[Leakage, ...]
    leakage_contrasts: tuple[LeakageContrast, ...]
    published: tuple[Published, ...]
    suites: tuple[SuiteTotal, ...]
    alike: tuple[Alike, ...]
    corpora_notes: tuple[str, ...]
    notes: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    failure_contrasts: tuple[FailureContrast, ...] = ()
    measured_errors: tuple[MeasuredError, ...] = ()
    steps: tuple[StepRow, ...] = ()
    followed: tuple[Followed, ...] = ()


def read_results(path: Path) -> Results:
    """
        read_results(run.results_file).contrasts[0].verdict

    DamagedError where the file is not what `compare` makes; names of tasks may be private, so it quotes no value.
    """
    raw = read_json(path, "results file", finite=True)
    where, remedy = f"results file '{path}'", "run `ragmed report` to write it again"
    return parse(Results, raw, where, error=DamagedError, quote=False, remedy=remedy)
