"""results.json in, the verdict in words out: what the terminal, the page and the list of runs say first.

Plain text: whoever shows it escapes it. No sentence claims more than its row's verdict allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ragmed.comparison.results import Results
from ragmed.comparison.rows import Contrast, Factorial, Overall
from ragmed.report import effects, wording

EFFECTS = ("retrieval", "tuning", "tuning-against-retrieval")
ADVICE = ("retrieve", "fine-tune", "both", "neither", "cannot be told")
ORDER = ("better", "worse", "equivalent", "cannot-tell", "no-verdict")
SHOWN = 4  # names of tasks in a headline before the rest is counted


def headline(results: Results) -> list[str]:
    """
        headline(results)[0]
        # Fine-tune, retrieve, both or neither? On medqa (n 400): retrieve. Retrieval helps, +12.0 points …

    First why there is no verdict, where there is none. Where there is a 2x2, then what it answers. Then a sentence for
    each two other arms that were compared; all by the primary metric of each task. Then what a reader must know before
    believing it: differences that depend on how unreadable answers count, leaked questions, too few examples.
    """
    squares = _squares(results)
    answered = {(row.task, arm) for row in squares for arm in row.arms}
    rows = [
        row
        for row in results.contrasts
        if row.primary and not {(row.task, row.arm), (row.task, row.baseline)} <= answered
    ]
    pairs = list(dict.fromkeys((row.baseline, row.arm) for row in rows))
    singles = [_pair([row for row in rows if (row.baseline, row.arm) == pair], results) for pair in pairs]
    answers = [*_designs(squares), *singles] or ["No two arms were compared."]
    return [*no_verdicts(results), *answers, *_warnings(results), *_too_few([*squares, *rows])]


def no_verdicts(results: Results) -> list[str]:
    """
        no_verdicts(results)
        # ['No verdict on medqa: 120 of 120 answers of rag did not come back (the first: ConnectError: refused).']

    Each task and reason for which there is no verdict by its primary metric, once.
    """
    rows = [(row.task, row.reason) for row in results.contrasts if row.primary]
    rows += [(row.task, effect.reason) for row in _squares(results) for effect in row.effects]
    rows += [
        (row.task, f"{row.status['error']} of {sum(row.status.values())} answers of {row.arm} did not come back")
        for row in results.scores
        if not results.contrasts and row.primary and not row.n and row.status.get("error")
    ]
    parts = dict.fromkeys((task, part) for task, reason in rows for part in reason.split("; ") if part)
    return [f"No verdict on {task}: {part}." for task, part in parts]


def _squares(results: Results) -> list[Factorial]:
    """The rows of 2x2 designs by the primary metric of their task."""
    return [row for row in results.factorials if row.primary]


def _designs(rows: Sequence[Factorial]) -> Iterator[str]:
    for design in dict.fromkeys(row.arms for row in rows):
        mine = [row for row in rows if row.arms == design]
        asked = "Fine-tune, retrieve, both or neither?"
        if len({row.arms for row in rows}) > 1:
            asked = f"Fine-tune ({design[1]}), retrieve ({design[2]}), both ({design[3]}) or neither ({design[0]})?"
        yield f"{asked} {_one(mine[0]) if len(mine) == 1 else _several(mine)}"


def advice(row: Factorial) -> str:
    """
        advice(row)
        # retrieve

    What the main effects of a 2x2 allow to be recommended: that which is shown to help, and nothing else. `neither`:
    both are shown not to help (worse, or the same within the margin); `cannot be told` otherwise.
    """
    verdicts = {effect.effect: effect.verdict for effect in row.effects}
    helps = {name for name in ("retrieval", "tuning") if verdicts.get(name) == "better"}
    if row.higher_is_better is None or any(effect.difference is None for effect in row.effects):
        return "cannot be told"
    if len(helps) == 2:
        return "both"
    if helps:
        return "retrieve" if "retrieval" in helps else "fine-tune"
    shown = all(verdicts.get(name) in ("worse", "equivalent") for name in ("retrieval", "tuning"))
    return "neither" if shown else "cannot be told"


def _one(row: Factorial) -> str:
    """`On medqa (n 400): retrieve. Retrieval helps, +12.0 points [...]; what tuning does cannot be told, ...`"""
    where = f"On {row.task} (n {row.n}): {advice(row)}."
    by_name = {effect.effect: effect for effect in row.effects}
    if any(effect.reason for effect in row.effects):
        return where
    if any(effect.difference is None for effect in row.effects):
        return f"{where} No example is left that all four arms have a score for."
    mark = wording.corpora_mark(row)
    parts = [
        f"{effects.short_sentence(row, by_name[name])}, {wording.points(by_name[name].difference)} points "
        f"{wording.points_span(by_name[name].ci)}"
        for name in EFFECTS
        if name in by_name
    ]
    text = "; ".join(parts)
    return f"{where} {text[:1].upper()}{text[1:]}{f' ({mark})' if mark else ''}."


def _several(rows: Sequence[Factorial]) -> str:
    """`Retrieve on 1 of 6 tasks (medquad-names); cannot be told on 5 (medqa, medmcqa, mmlu, pubmedqa and 1 more).`"""
    advised = [advice(row) for row in rows]
    parts = [
        f"{name} on {advised.count(name)}{'' if number else f' of {len(rows)} tasks'} "
        f"({_listed([row.task for row, advice_ in zip(rows, advised, strict=True) if advice_ == name])})"
        for number, name in enumerate(sorted(dict.fromkeys(advised), key=ADVICE.index))
    ]
    marks = dict.fromkeys(mark for row in rows if (mark := wording.corpora_mark(row)))
    text = "; ".join([*parts, *marks])
    return f"{text[:1].upper()}{text[1:]}."


def _too_few(rows: Sequence[Factorial | Contrast]) -> Iterator[str]:
    """Where the best that can be said is that it cannot be told: what would help."""
    cases = [row.n for row in rows if _open(row)]
    if min(cases, default=0):
        least, most = min(cases), max(cases)
        n = f"{least}" if least == most else f"{least} to {most}"
        yield f"What cannot be told needs more than {n} examples: ragmed plan says how many."


def _open(row: Factorial | Contrast) -> bool:
    if isinstance(row, Factorial):
        return advice(row) == "cannot be told" and not any(effect.reason for effect in row.effects)
    return row.verdict == "cannot-tell" and row.difference is not None


def _pair(rows: Sequence[Contrast], results: Results) -> str:
    arm, baseline = rows[0].arm, rows[0].baseline
    if len(rows) == 1:
        return _short(rows[0])
    text = f"{arm} against {baseline}: {_counted(rows)}."
    metrics = {row.metric for row in rows}
    for row in results.overall:
        if row.primary and (row.arm, row.baseline) == (arm, baseline) and row.metric in metrics:
            text += f" {overall(row)}" if len(metrics) == 1 else f" By {row.metric}: {_lower(overall(row))}"
    return text


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _counted(rows: Sequence[Contrast]) -> str:
    """`better on 1 of 6 tasks (medqa), cannot tell on 5 (mmlu, bioasq and 3 more)`"""
    parts: list[str] = []
    for verdict in ORDER:
        tasks = [row.task for row in rows if row.verdict == verdict]
        if tasks:
            of = f" of {len(rows)} tasks" if not parts else ""
            parts.append(f"{verdict.replace('-', ' ')} on {len(tasks)}{of} ({_listed(tasks)})")
    return ", ".join(parts)


def _short(row: Contrast) -> str:
    """`general+rag against general on medqa: better, +35.0 points [+16.0, +52.1], adjusted p 0.007.`"""
    text = f"{row.arm} against {row.baseline} on {row.task}: {wording.marked(row)}"
    if row.difference is None or row.reason:
        return f"{text}."
    numbers = f"{wording.points(row.difference)} points {wording.points_span(row.ci)}, {wording.p_in_words(row)}"
    return f"{text}, {numbers}{_depends(row)}."


def _depends(row: Contrast) -> str:
    return "; this depends on what unreadable answers count as" if row.depends else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def overall(row: Overall) -> str:
    """`Over 4 tasks together +4.8 points [-7.7, +17.3]: cannot tell (I2 96 %: tasks differ by more than chance …).`"""
    if row.difference is None:
        return f"Over {row.k} tasks together nothing can be told."
    differ = ""
    if row.q_p < 0.05:
        differ = f" (I2 {100 * row.i2:.0f} %: tasks differ by more than chance explains)"
    return (
        f"Over {row.k} tasks together {wording.points(row.difference)} points "
        f"{wording.points_span(row.ci)}: {wording.verdict(row)}{differ}."
    )


def sentence(row: Contrast) -> str:
    """
        sentence(results.contrasts[0])
        # On medqa (accuracy), rag and general are equivalent within 5 points: 0.656 vs 0.646, difference …

    One contrast, with its numbers: the difference and its interval first, then p.
    """
    where, arm, control = f"On {row.task} ({row.metric})", row.arm, row.baseline
    if row.reason and row.primary:
        return f"{where}, there is no verdict on {arm} and {control}: {row.reason}."
    if row.difference is None:
        return (
            f"{where}, nothing can be told of {arm} and {control}: no example is left that both arms have a score for."
        )
    return f"{where}, {_claim(row)}: {_numbers(row)}{_depends(row)}."


def _claim(row: Contrast) -> str:
    arm, control, within = row.arm, row.baseline, wording.margin(row.margin)
    verdict = row.verdict
    if verdict in ("better", "worse"):
        return f"{arm} is {wording.verdict(row)} than {control}"
    if verdict == "equivalent":
        return f"{arm} and {control} are {wording.verdict(row)}"
    if verdict == "secondary":
        return f"a secondary metric, there is no verdict on {arm} and {control}"
    if row.higher_is_better is not None and row.noninferiority.shown:
        return f"it cannot be told whether {arm} is better than {control}, but it is not worse by {within} or more"
    return f"it cannot be told whether {arm} and {control} differ, nor that they are the same within {within}"


def _numbers(row: Contrast) -> str:
    values = "" if row.arm_value is None else (
        f"{wording.fraction(row.arm_value)} vs {wording.fraction(row.baseline_value)}, difference "
    )  # fmt: skip
    text = (
        f"{values}{wording.points(row.difference)} points {wording.points_span(row.ci)}, "
        f"{wording.p_in_words(row)}, n {row.n}"
    )
    if row.fixed is not None:
        text += f"; {row.arm} fixed {row.fixed} and broke {row.broke}"
    if row.missing:
        text += f"; {row.missing} answers are missing, and interval and p hold whatever they would have been"
    mark = wording.corpora_mark(row)
    return f"{text}; {mark}" if mark else text


def _warnings(results: Results) -> Iterator[str]:
    asked = Counter((row.baseline, row.arm) for row in results.contrasts if row.primary)
    squares = {(row.task, arm) for row in _squares(results) for arm in row.arms}
    dependent = [
        row
        for row in results.contrasts
        if row.depends
        and row.primary
        and not row.reason
        and (asked[row.baseline, row.arm] > 1 or {(row.task, row.arm), (row.task, row.baseline)} <= squares)
    ]  # a pair on one task alone says so in its own sentence
    if dependent:
        named = dict.fromkeys(f"{row.arm} against {row.baseline} on {row.task}" for row in dependent)
        yield f"Depends on what unreadable answers count as: {_listed(list(named))}."
    leaked: dict[str, int] = {}
    for row in results.leakage:
        leaked[row.task] = max(leaked.get(row.task, 0), row.leaked)
    counts = [f"{count} of {task}" for task, count in leaked.items() if count]
    if counts:
        yield f"Questions that stand in what an arm was trained on or is shown: {_listed(counts)}."
