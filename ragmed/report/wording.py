"""Numbers and verdicts of results.json in, the words that the terminal, the page and the figures share out."""

from __future__ import annotations

from collections.abc import Mapping

from ragmed.comparison.rows import (
    Alike,
    AnyDifference,
    Baseline,
    Contrast,
    Factorial,
    Failure,
    Fit,
    MeasuredError,
    Overall,
)
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.metrics import POINTS
from ragmed.text_table import counted, verb

MISSING = "-"
CAUSES = {
    "form": "no readable answer",
    "missed": "no gold document shown",
    "misled": "gold document shown, right without passages",
    "ignored": "gold document shown, still wrong",
    "unknown": "gold documents unknown",
}
"""Why an answer with passages was wrong."""
FAILURES = {
    "false-answer": "false answers to items without one",
    "made-up-code": "codes that do not exist",
    "unsupported": "statements without support",
    "contradiction": "statements contradicted",
    "unparsed": "wrong form",
    "refused": "refused",
    "truncated": "cut off",
}
"""How answers fail, apart from being wrong."""
POLICIES = {"wrong": "counted as wrong", "drop": "left out"}
"""What becomes of answers that cannot be read."""


def fraction(value: float | None) -> str:
    """
    >>> fraction(0.6166)
    '0.617'
    """
    return MISSING if value is None else f"{value:.3f}"


def span(ci: Interval | None) -> str:
    return "" if ci is None else f"[{ci[0]:.3f}, {ci[1]:.3f}]"


def points(value: float | None) -> str:
    """
    >>> points(0.3666)
    '+36.7'

    A difference of fractions in percentage points, always with its sign.
    """
    return MISSING if value is None else f"{100 * value + 0.0:+.1f}".replace("-0.0", "+0.0")


def points_span(ci: Interval | None) -> str:
    return "" if ci is None else f"[{points(ci[0])}, {points(ci[1])}]"


def amount(value: float | None, unit: str) -> str:
    """
    >>> amount(0.3666, "points"), amount(-12.3, "words"), amount(None, "words")
    ('+36.7', '-12.30', '-')

    A difference in its metric's unit, always with its sign; without the unit's name.
    """
    if unit == POINTS or value is None:
        return points(value)
    text = f"{value:+.2f}"
    return "+0.00" if text == "-0.00" else text


def amount_span(ci: Interval | None, unit: str) -> str:
    return "" if ci is None else f"[{amount(ci[0], unit)}, {amount(ci[1], unit)}]"


def with_unit(value: float | None, unit: str) -> str:
    """
    >>> with_unit(0.3666, "points"), with_unit(-12.3, "words"), with_unit(0.25, "")
    ('+36.7 points', '-12.30 words', '+0.25')
    """
    return f"{amount(value, unit)} {unit}".rstrip()


def in_points(value: float | None, unit: str) -> str:
    """
    >>> in_points(0.3666, "points"), in_points(-12.3, "words"), in_points(0.25, "")
    ('+36.7', '-12.30 words', '+0.25 (own scale)')

    A cell of a column of percentage points; one that is in another unit names it.
    """
    return amount(value, unit) if unit == POINTS or value is None else f"{amount(value, unit)} {unit or '(own scale)'}"


def size(value: float, unit: str) -> str:
    """
    >>> size(-0.12, "points"), size(3, "words")
    ('12.0 points', '3.00 words')

    How large a difference is, without its sign.
    """
    return with_unit(abs(value), unit).lstrip("+")


def unit_head(unit: str) -> str:
    """What stands above a column of differences."""
    return unit or "own scale"


def p_value(p: float | None) -> str:
    """
    >>> p_value(0.00002), p_value(0.0456), p_value(1.0), p_value(None)
    ('<0.001', '0.046', '1.000', '-')

    None: not adjusted, because no verdict comes from it.
    """
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def too_few(row: Contrast, alpha: float) -> bool:
    """Whether so few answers differ that no p could have been below `alpha`, had all of them gone one way."""
    return row.attainable is not None and row.attainable >= alpha


def p_in_words(row: AnyDifference) -> str:
    """`adjusted p 0.020`, or `p 0.010, not adjusted`"""
    if row.p_adjusted is None:
        return f"p {p_value(row.p)}, not adjusted"
    return f"adjusted p {p_value(row.p_adjusted)}"


def count(value: int | None) -> str:
    return MISSING if value is None else str(value)


def verdict(row: AnyDifference) -> str:
    """One of: better, worse, equivalent within N points, cannot tell; higher and lower where neither is better.

    `secondary` of a row by a metric that is not its task's primary one: no verdict.
    """
    if row.verdict in ("better", "worse") and row.higher_is_better is None:
        return {"better": "higher", "worse": "lower"}[row.verdict]
    if row.verdict == "equivalent":
        return f"equivalent within {margin(row.margin, row.unit)}"
    return row.verdict.replace("-", " ")


def corpora_mark(row: Contrast | Factorial | Overall) -> str:
    """`different corpora`, `corpora not known to be the same`, or nothing.

    What must stand beside a difference of tuning and retrieving that is not known to be of the same references.
    """
    words = {"different": "different corpora", "unknown": "corpora not known to be the same"}
    return words.get(row.corpora, "")


def marked(row: Contrast | Overall) -> str:
    """The verdict of a contrast, with its mark where it is not known to be of the same references."""
    return "; ".join(filter(None, (verdict(row), corpora_mark(row))))


def margin(value: float, unit: str = POINTS) -> str:
    """
    >>> margin(0.05), margin(0.05, "words")
    ('5 points', '0.05 words')
    """
    return f"{100 * value if unit == POINTS else value:g} {unit}".rstrip()


def not_answered(status: Mapping[str, int]) -> str:
    """
    >>> not_answered({"answered": 57, "unparsed": 2, "error": 1})
    'unparsed 2, error 1'
    """
    return ", ".join(f"{name} {number}" for name, number in status.items() if name != "answered" and number) or MISSING


def not_fitting(row: Fit) -> str:
    """
    >>> not_fitting(Fit("full", "charts", 60, unasked=2, cut=5))
    'full: 7 of 60 items did not fit: 2 could not be asked, 5 were asked without some documents of their record'
    """
    parts = [f"{row.unasked} could not be asked"] if row.unasked else []
    were, their = verb(row.cut, "was", "were"), verb(row.cut, "its", "their")
    parts += [f"{row.cut} {were} asked without some documents of {their} record"] if row.cut else []
    return f"{row.arm}: {row.unasked + row.cut} of {counted(row.n, 'item')} did not fit: {', '.join(parts)}"


def failing(row: Failure) -> str:
    """The count, and in how many answers, where that is another number."""
    answers = f"in {counted(len(row.examples), 'answer')}"
    return answers if row.count is None else str(row.count) + f" {answers}" * (row.count != len(row.examples))


def measured_error(row: MeasuredError) -> str:
    """What a measure of failures is worth, in a sentence."""
    found, left, youden = row.sensitivity, row.specificity, row.youden
    text = (
        f"{FAILURES[row.kind]}, measured by {row.measure}: of {row.positives} hallucinated answers of {row.labelled} "
        f"it flags {fraction(found.value)} {span(found.ci)}, of {row.negatives} true ones it leaves "
        f"{fraction(left.value)} {span(left.ci)} alone"
    )
    return text + ("; there it tells the two apart no better than a lot does" if youden.ci[0] <= 0 else "")


def policy(rules: Mapping[str, str]) -> str:
    """
    >>> policy({"unparsed": "wrong", "error": "drop"})
    'unparsed: wrong; error: drop'
    """
    return "; ".join(f"{status}: {rule}" for status, rule in rules.items())


def baseline(row: Baseline) -> str:
    """
    >>> baseline(Baseline("medqa", "accuracy", "majority", 0.3, 60))
    'majority 0.300'
    """
    text = f"{row.name} {fraction(row.value)}"
    if row.ci:
        text += f" {span(row.ci)} n {row.n}"
    if row.status and not_answered(row.status) != MISSING:
        text += f" ({not_answered(row.status)})"
    return text


SIGNS = {"better": "▲", "worse": "▼", "equivalent": "◆", "cannot-tell": "○", "secondary": "□", "no-verdict": "✕"}
"""One sign for each verdict, in the page's tables and plots and in the figures."""


def sign(row: AnyDifference) -> str:
    """`▼` for worse: the verdict in one character, for those who tell no colours apart."""
    return SIGNS[row.verdict]


def reading(word: str) -> str:
    """
    >>> reading("form")
    'a loss or gain of form, not of knowledge'

    What a difference that was measured twice, by answers written freely and held to the valid forms, is one of.
    """
    return {
        "form": "a loss or gain of form, not of knowledge",
        "knowledge": "a loss or gain of knowledge",
        "both": "of form and of knowledge",
        "cannot-tell": "cannot tell",
    }.get(word, word)


def held(how: str) -> str:
    """
    >>> held("likelihood"), held("json_schema")
    ('by log-likelihood', 'held to the form by its server')

    How answers that are held to the valid forms came about.
    """
    return "by log-likelihood" if how == "likelihood" else "held to the form by its server"


def significance_test(name: str) -> str:
    """
    >>> significance_test("mcnemar-exact"), significance_test("none")
    ('exact McNemar test', '-')

    What a test is called where it is read. A permutation test turns whole groups of questions where they have groups.
    """
    return {
        "mcnemar-exact": "exact McNemar test",
        "mcnemar-mid-p": "mid-p McNemar test",
        "sign-flip-permutation": "sign-flip permutation test by group",
        "fisher-exact": "exact Fisher test",
        "hartung-knapp-t": "Hartung-Knapp t-test",
        "cluster-robust-t": "cluster-robust t-test",
        "none": MISSING,
    }.get(name, name.replace("-", " "))


def alike(row: Alike) -> str:
    """
    >>> alike(Alike("medqa", "accuracy", (("rag", "both"), ("general",))))
    'accuracy, arms that cannot be told apart, the best first: (rag, both), (general)'
    """
    groups = ", ".join(f"({', '.join(group)})" for group in row.groups)
    return f"{row.metric}, arms that cannot be told apart, the best first: {groups}"


def correction(name: str) -> str:
    """
    >>> correction("holm")
    "Holm's"
    """
    return {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}.get(name, name)
