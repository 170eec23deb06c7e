"""results.json in, the verdict in words out: what the terminal, the page and the list of runs say first.

Plain text: whoever shows it escapes it. No sentence claims more than its row's verdict allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ragmed.comparison.designs import FACTORS
from ragmed.comparison.results import Results
from ragmed.comparison.rows import Contrast, Effect, Factorial, Overall
from ragmed.report import effects, wording
from ragmed.text_table import counted, plural, verb

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
    rows = [row for row in results.contrasts if row.primary and not _within(row, squares)]
    pairs = list(dict.fromkeys((row.baseline, row.arm) for row in rows))
    singles = [_pair([row for row in rows if (row.baseline, row.arm) == pair], results) for pair in pairs]
    answers = [*_designs(squares), *singles] or ["No two arms were compared."]
    return [*no_verdicts(results), *answers, *_warnings(results), *_too_few([*squares, *rows])]


def no_verdicts(results: Results) -> list[str]:
    """
        no_verdicts(results)
        # ['No verdict on medqa: 120 of 120 answers of rag did not come back (the first: ConnectError: refused).']

    Each task and reason for which there is no verdict by its primary metric, once; of arms that differ in nothing but
    their name one sentence.
    """
    rows = [(row.task, row.reason) for row in results.contrasts if row.primary]
    rows += [(row.task, effect.reason) for row in _squares(results) for effect in row.effects]
    rows += [
        (
            row.task,
            f"{row.status['error']} of {counted(sum(row.status.values()), 'answer')} of {row.arm} did not come back",
        )
        for row in results.scores
        if not results.contrasts and row.primary and not row.n and row.status.get("error")
    ]
    parts = dict.fromkeys((task, part) for task, reason in rows for part in reason.split("; ") if part)
    names = dict.fromkeys(row.arm for row in results.scores)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for task, part in parts:
        arm = next((name for name in names if f" of {name} " in part), "")
        before, _, after = part.partition(f" of {arm} ")
        alike.setdefault((task, before, after), []).append(arm)
    return [f"No verdict on {task}: {before}{_of(arms)}{after}." for (task, before, after), arms in alike.items()]


def _of(arms: Sequence[str]) -> str:
    """
    >>> _of(["rag"]), _of(["general", "rag"]), _of([""])
    (' of rag ', ' of each of general, rag ', '')
    """
    return f" of {arms[0]} " if len(arms) == 1 and arms[0] else f" of each of {', '.join(arms)} " if arms[0] else ""


def _within(row: Contrast, squares: Sequence[Factorial]) -> bool:
    """Whether both arms of a contrast are in one design on its task, which then speaks of them."""
    return any(row.task == square.task and {row.arm, row.baseline} <= {*square.arms} for square in squares)


def _squares(results: Results) -> list[Factorial]:
    """The rows of 2x2 designs by the primary metric of their task."""
    return [row for row in results.factorials if row.primary]


def _designs(rows: Sequence[Factorial]) -> Iterator[str]:
    designs = list(dict.fromkeys(row.design for row in rows))
    for design in designs:
        mine = [row for row in rows if row.design == design]
        first, *others = design.levels
        named = ["", "", "", ""]
        if len([other for other in designs if other.factor == design.factor]) > 1:
            arms = [one.closed_book for one in others], [one.with_passages for one in others]
            said = (", ".join(arms[0]), first.with_passages, ", ".join(arms[1]), first.closed_book)
            named = [f" ({arm})" for arm in said]
        way = FACTORS[design.factor].advice.capitalize()
        asked = f"{way}{named[0]}, retrieve{named[1]}, both{named[2]} or neither{named[3]}?"
        yield f"{asked} {_one(mine[0]) if len(mine) == 1 else _several(mine)}"


def advice(row: Factorial) -> str:
    """
        advice(row)
        # retrieve

    What the main effects of a design allow to be recommended: that which is shown to help, and nothing else, with the
    levels that do where there are several. `neither`: all are shown not to help (worse, or the same within the margin);
    `cannot be told` otherwise.
    """
    main = [effect for effect in row.effects if effect.effect in ("retrieval", row.factor)]
    if row.higher_is_better is None or any(effect.difference is None for effect in row.effects):
        return "cannot be told"
    helps = [effect for effect in main if effect.verdict == "better"]
    levels = [effect.level for effect in helps if effect.effect == row.factor]
    if levels:
        which = f" ({', '.join(levels)})" if len(row.levels) > 2 else ""
        return ("both" if len(levels) < len(helps) else FACTORS[row.factor].advice) + which
    if helps:
        return "retrieve"
    return "neither" if all(effect.verdict in ("worse", "equivalent") for effect in main) else "cannot be told"


def _rank(advised: str) -> int:
    """Where an advice stands among others: retrieve, the factor, both, neither, cannot be told."""
    words = ("retrieve", "", "both", "neither", "cannot be told")
    return next((place for place, word in enumerate(words) if word and advised.startswith(word)), 1)


def _one(row: Factorial) -> str:
    """`On medqa (n 400): retrieve. Retrieval helps, +12.0 points [...]; what tuning does cannot be told, ...`"""
    where = f"On {row.task} (n {row.n}): {advice(row)}."
    if any(effect.reason for effect in row.effects):
        return where
    if any(effect.difference is None for effect in row.effects):
        return f"{where} No example is left that all {len(row.arms)} arms have a score for."
    mark = wording.corpora_mark(row)
    parts = [
        f"{effects.short_sentence(row, effect)}, {wording.with_unit(effect.difference, row.unit)} "
        f"{wording.amount_span(effect.ci, row.unit)}"
        for effect in _told(row)
    ]
    text = "; ".join(parts)
    return f"{where} {text[:1].upper()}{text[1:]}{f' ({mark})' if mark else ''}."


def _told(row: Factorial) -> list[Effect]:
    """Retrieval, the factor, then either against the other. Of reasoning the interaction too, where there is a verdict
    on it: whether it adds to retrieval is what the two are crossed for.
    """
    order = ["retrieval", row.factor, f"{row.factor}-against-retrieval"]
    found = [effect for kind in order for effect in row.effects if effect.effect == kind]
    if row.factor == "tuning":
        return found
    return [*found, *(e for e in row.effects if e.effect == "interaction" and e.verdict != "cannot-tell")]


def _several(rows: Sequence[Factorial]) -> str:
    """`Retrieve on 1 of 6 tasks (medquad-names); cannot be told on 5 (medqa, medmcqa, mmlu, pubmedqa and 1 more).`"""
    advised = [advice(row) for row in rows]
    parts = [
        f"{name} on {advised.count(name)}{'' if number else f' of {len(rows)} tasks'} "
        f"({_listed([row.task for row, advice_ in zip(rows, advised, strict=True) if advice_ == name])})"
        for number, name in enumerate(sorted(dict.fromkeys(advised), key=_rank))
    ]
    marks = dict.fromkeys(mark for row in rows if (mark := wording.corpora_mark(row)))
    text = "; ".join([*parts, *marks])
    return f"{text[:1].upper()}{text[1:]}."


def _too_few(rows: Sequence[Factorial | Contrast]) -> Iterator[str]:
    """Where the best that can be said is that it cannot be told: what would help."""
    undecided = [row for row in rows if _open(row)]
    cases = [row.groups for row in undecided]  # what is independent: twenty questions on one patient are one case
    if min(cases, default=0):
        least, most = min(cases), max(cases)
        what = "example" if all(row.groups == row.n for row in undecided) else "group of examples"
        n = f"{least}" if least == most else f"{least} to {most}"
        yield f"What cannot be told needs more than {n} {plural(what, most)}: ragmed plan says how many."


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
    numbers = f"{_with_interval(row)}, {wording.p_in_words(row)}"
    return f"{text}, {numbers}{_depends(row)}."


def _with_interval(row: Contrast | Overall) -> str:
    return f"{wording.with_unit(row.difference, row.unit)} {wording.amount_span(row.ci, row.unit)}"


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
    return f"Over {row.k} tasks together {_with_interval(row)}: {wording.verdict(row)}{differ}."


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
    arm, control, within = row.arm, row.baseline, wording.margin(row.margin, row.unit)
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
    text = f"{values}{_with_interval(row)}, {wording.p_in_words(row)}, n {row.n}"
    if row.fixed is not None:
        text += f"; {row.arm} fixed {row.fixed} and broke {row.broke}"
    if row.missing:
        text += (
            f"; {counted(row.missing, 'answer')} {verb(row.missing, 'is', 'are')} missing, and interval and p "
            "hold whatever they would have been"
        )
    mark = wording.corpora_mark(row)
    return f"{text}; {mark}" if mark else text


def _warnings(results: Results) -> Iterator[str]:
    asked = Counter((row.baseline, row.arm) for row in results.contrasts if row.primary)
    squares = _squares(results)
    dependent = [
        row
        for row in results.contrasts
        if row.depends
        and row.primary
        and not row.reason
        and (asked[row.baseline, row.arm] > 1 or _within(row, squares))
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
