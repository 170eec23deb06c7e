"""Rows on what lies behind a difference in, one plain sentence each out, as the terminal shows them below a task."""

from __future__ import annotations

from collections.abc import Iterator

from ragmed.comparison.diagnosis.rows import (
    Calibration,
    Compliance,
    ComplianceContrast,
    Decomposition,
    Evidence,
    Followed,
    Leakage,
    Order,
    Retrieval,
)
from ragmed.comparison.results import Results
from ragmed.report import wording
from ragmed.report.grouping import in_groups, of_task
from ragmed.text_table import verb


def sentences(results: Results, task: str) -> Iterator[str]:
    """
        list(sentences(results, "medqa"))
        # ['calibration error (area under risk and coverage): rag 0.120 (0.300)']

    Nothing of a kind that has no row of this task.
    """
    yield from _policies(results, task)
    parts = of_task(results.decomposition, task)
    several = len({row.metric for row in parts}) > 1
    yield from (decomposition(row, by_metric=several) for row in parts)
    yield from (compliance(row) for row in results.compliance if row.generate_task == task)
    yield from (compliance_contrast(row) for row in results.compliance_contrasts if row.generate_task == task)
    yield from map(order, of_task(results.order, task))
    yield from map(retrieval, of_task(results.retrieval, task))
    yield from map(evidence, of_task(results.evidence, task))
    yield from map(followed, of_task(results.followed, task))
    rows = of_task(results.calibration, task)
    if rows:
        yield f"calibration error (area under risk and coverage): {', '.join(map(calibration, rows))}"
    yield from (leakage(row) for row in of_task(results.leakage, task) if row.leaked)


def _policies(results: Results, task: str) -> Iterator[str]:
    for (metric,), rows in in_groups(of_task(results.policies, task), "metric"):
        rules = [rule for rule in wording.POLICIES if any(row.values.get(rule) is not None for row in rows)]
        if all(len({row.values.get(rule) for rule in rules}) < 2 for row in rows):
            continue  # everything was answered, or nothing came back: the rules agree
        names = " / ".join(wording.POLICIES[rule] for rule in rules)
        values = ", ".join(
            f"{row.arm} {' / '.join(wording.fraction(row.values.get(rule)) for rule in rules)}" for row in rows
        )
        text = f"{metric} with answers that cannot be read {names}: {values}"
        rankings = of_task(results.policy_rankings, task)
        depends = any(row.metric == metric and row.depends for row in rankings)
        yield f"{text}; the order of the arms depends on it" if depends else text


def decomposition(row: Decomposition, *, by_metric: bool = False) -> str:
    """`general+rag, 35 wrong of 120: 20 no gold document shown; 15 gold document shown, still wrong`

    `by_metric`: with the name of the metric by which they are wrong, for a task that has several.
    """
    parts = "; ".join(f"{part.count} {wording.CAUSES[part.part]}" for part in row.parts if part.count)
    arm = f"{row.arm} ({row.metric})" if by_metric else row.arm
    text = f"{arm}, {row.wrong} wrong of {row.n}" + (f": {parts}" if parts else "")
    if row.distracted:
        text += f"; {row.distracted.count} right ones of {row.closed} lost to distractor passages"
    if row.beyond:
        text += f"; {row.beyond.count} wrong even with oracle passages"
    return text


def compliance(row: Compliance) -> str:
    """`general (accuracy): 0.325 as it writes, 0.410 by log-likelihood (...), -8.5 points [...]: -6.0 points [...] by
    form, ...; 12 of 20 that cannot be read are right by log-likelihood`"""
    how = wording.held(row.held_by)
    other = row.held_task if row.held_arm == row.arm else row.held_arm
    return (
        f"{row.arm} ({row.metric}): {wording.fraction(row.generate)} as it writes, {wording.fraction(row.held)} {how} "
        f"({other}), {wording.points(row.difference)} points {wording.points_span(row.ci)}: "
        f"{wording.points(row.by_form)} {wording.points_span(row.by_form_ci)} by form, "
        f"{wording.points(row.by_answers)} {wording.points_span(row.by_answers_ci)} by other answers; "
        f"{row.known_but_unreadable} of {row.form_failures} that cannot be read "
        f"{verb(row.known_but_unreadable, 'is', 'are')} right {how}"
    )


def compliance_contrast(row: ComplianceContrast) -> str:
    """`rag against general (accuracy): +10.0 points [...] as they write, +2.0 points [...] by log-likelihood: ...`"""
    return (
        f"{row.arm} against {row.baseline} ({row.metric}): {wording.points(row.generate_difference)} points "
        f"{wording.points_span(row.generate_ci)} as they write, {wording.points(row.held_difference)} points "
        f"{wording.points_span(row.held_ci)} {wording.held(row.held_by)}: {wording.reading(row.reading)}"
    )


def order(row: Order) -> str:
    """`general: 61 % of 120 answers survive other options ...`"""
    other = row.other_task if row.kind == "options" else row.other_arm
    if row.share is None or row.ci is None:
        return f"{row.arm}: no answer was asked again in another order of the {row.kind} ({other})"
    return (
        f"{row.arm}: {100 * row.share:.0f} % [{100 * row.ci[0]:.0f}, {100 * row.ci[1]:.0f}] of "
        f"{row.n} answers survive another order of the {row.kind} ({other})"
    )


def retrieval(row: Retrieval) -> str:
    """`general+rag, first 3: nDCG 0.612, recall 0.700, MRR 0.580 (n 120); right 0.810 where a gold ...`"""
    text = (
        f"{row.arm}, first {row.k}: nDCG {wording.fraction(row.ndcg)}, recall "
        f"{wording.fraction(row.recall)}, MRR {wording.fraction(row.mrr)} (n {row.n})"
    )
    found, missed = row.found, row.missed
    if found.n and missed.n:
        text += (
            f"; right {wording.fraction(found.value)} where a gold document is shown (n {found.n}), "
            f"{wording.fraction(missed.value)} where none is (n {missed.n})"
        )
    return text


def evidence(row: Evidence) -> str:
    """`rag (accuracy): right 50 with a gold passage shown, 8 without ...; 0.138 [...] of right ones without it`"""
    text = (
        f"{row.arm} ({row.metric}): right {row.right_with.count} with a gold passage shown, {row.right_without.count} "
        f"without; wrong {row.wrong_with.count} with, {row.wrong_without.count} without (n {row.n})"
    )
    share = row.unsupported.share
    if share is not None:
        text += f"; of right ones {wording.fraction(share)} {wording.span(row.unsupported.ci)} without the evidence"
    return text


def followed(row: Followed) -> str:
    """`general+poisoned: 51 of 120 answers, 0.425 [...], are what planted passages claim; general+rag ... 0.100 ...`"""
    text = (
        f"{row.arm}: {row.count} of {row.n} answers, {wording.fraction(row.share)} {wording.span(row.ci)}, are what "
        f"{row.role} passages claim"
    )
    if row.beside is None:
        return text
    return (
        f"{text}; {row.beside} answers so without them: {wording.fraction(row.beside_share)}, difference "
        f"{wording.points(row.difference)} points {wording.points_span(row.difference_ci)}, p {wording.p_value(row.p)}"
    )


def calibration(row: Calibration) -> str:
    """`general 0.120 (0.310)`; the intervals are on the page."""
    return f"{row.arm} {wording.fraction(row.ece)} ({wording.fraction(row.aurc)})"


def leakage(row: Leakage) -> str:
    """`general: 12 of 100 leaked; 0.400 with them, 0.380 [0.280, 0.480] without`"""
    return (
        f"{row.arm} ({row.metric}): {row.leaked} of {row.n} leaked; {wording.fraction(row.value)} with "
        f"them, {wording.fraction(row.value_without)} {wording.span(row.ci_without)} without"
    )
