"""Numbers and verdicts of results.json in, the words that the terminal, the page and the figures share out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
MISSING = "-"


def fraction(value: float | None) -> str:
    """
    >>> fraction(0.6166)
    '0.617'
    """
    return MISSING if value is None else f"{value:.3f}"


def span(ci: list[float] | None) -> str:
    return "" if ci is None else f"[{ci[0]:.3f}, {ci[1]:.3f}]"


def points(value: float | None) -> str:
    """
    >>> points(0.3666)
    '+36.7'

    A difference of fractions in percentage points, always with its sign.
    """
    return MISSING if value is None else f"{100 * value + 0.0:+.1f}".replace("-0.0", "+0.0")


def points_span(ci: list[float] | None) -> str:
    return "" if ci is None else f"[{points(ci[0])}, {points(ci[1])}]"


def p_value(p: float) -> str:
    """
    >>> p_value(0.00002), p_value(0.0456), p_value(1.0)
    ('<0.001', '0.046', '1.000')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(value: int | None) -> str:
    return MISSING if value is None else str(value)


def verdict(row: Row) -> str:
    """One of: better, worse, equivalent within N points, cannot tell; higher and lower where neither is better."""
    found = str(row["verdict"])
    if found in ("better", "worse") and not row.get("higher_is_better", True):
        return {"better": "higher", "worse": "lower"}[found]
    if found == "equivalent":
        return f"equivalent within {margin(row['margin'])}"
    return found.replace("-", " ")


def corpora_mark(row: Row) -> str:
    """
    >>> corpora_mark({"corpora": "different"}), corpora_mark({"corpora": "unknown"}), corpora_mark({"corpora": "same"})
    ('different corpora', 'corpora not known to be the same', '')

    What must stand beside a difference of tuning and retrieving that is not known to be of the same references.
    """
    found = row.get("corpora", "")
    return {"different": "different corpora", "unknown": "corpora not known to be the same"}.get(found, "")


def marked(row: Row) -> str:
    """The verdict of a contrast, with its mark where it is not known to be of the same references."""
    return "; ".join(filter(None, (verdict(row), corpora_mark(row))))


def margin(value: float) -> str:
    return f"{100 * value:g} points"


def not_answered(status: Mapping[str, int]) -> str:
    """
    >>> not_answered({"answered": 57, "unparsed": 2, "error": 1})
    'unparsed 2, error 1'
    """
    return ", ".join(f"{name} {number}" for name, number in status.items() if name != "answered" and number) or MISSING


def policy(rules: Mapping[str, str]) -> str:
    """
    >>> policy({"unparsed": "wrong", "error": "drop"})
    'unparsed: wrong; error: drop'
    """
    return "; ".join(f"{status}: {rule}" for status, rule in rules.items())


def task_names(results: Row) -> list[str]:
    rows = [*results["scores"], *results["contrasts"], *results["baselines"]]
    return list(dict.fromkeys(row["task"] for row in rows))


def of_task(rows: list[Row], task: str) -> list[Row]:
    return [row for row in rows if row["task"] == task]


def baseline(row: Row) -> str:
    """
    >>> baseline({"name": "majority", "metric": "accuracy", "value": 0.3})
    'majority 0.300'
    """
    text = f"{row['name']} {fraction(row['value'])}"
    if row.get("ci"):
        text += f" {span(row['ci'])} n {row['n']}"
    if row.get("status") and not_answered(row["status"]) != MISSING:
        text += f" ({not_answered(row['status'])})"
    return text


SIGNS = {"better": "▲", "worse": "▼", "equivalent": "◆", "cannot-tell": "○"}
"""One sign for each verdict, in the page's tables and plots and in the figures."""


def sign(row: Row) -> str:
    """
    >>> sign({"verdict": "worse"})
    '▼'

    The verdict in one character, for those who tell no colours apart.
    """
    return SIGNS.get(str(row["verdict"]), "")


def reading(word: str) -> str:
    """
    >>> reading("form")
    'a loss or gain of form, not of knowledge'

    What a difference that was measured twice, by written answers and by log-likelihoods, is a difference of.
    """
    return {
        "form": "a loss or gain of form, not of knowledge",
        "knowledge": "a loss or gain of knowledge",
        "both": "of form and of knowledge",
        "cannot-tell": "cannot tell",
    }.get(word, word)


def test(name: str) -> str:
    """
    >>> test("mcnemar-exact"), test("none")
    ('exact McNemar test', '-')

    What a test is called where it is read. A permutation test turns whole groups of questions where they have groups.
    """
    return {
        "mcnemar-exact": "exact McNemar test",
        "sign-flip-permutation": "sign-flip permutation test by group",
        "fisher-exact": "exact Fisher test",
        "hartung-knapp-t": "Hartung-Knapp t-test",
        "cluster-robust-t": "cluster-robust t-test",
        "none": MISSING,
    }.get(name, name.replace("-", " "))


def correction(name: str) -> str:
    """
    >>> correction("holm")
    "Holm's"
    """
    return {"holm": "Holm's", "benjamini-hochberg": "Benjamini and Hochberg's"}.get(name, name)
