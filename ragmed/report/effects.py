"""Rows of `factorials` and `economics` in, the words that the terminal and the page share out. No name is in them."""

from __future__ import annotations

from ragmed.comparison.costs.rows import BreakEven, Computing
from ragmed.comparison.designs import FACTORS
from ragmed.comparison.rows import Effect, Factorial
from ragmed.report import wording


def name(row: Factorial, effect: Effect) -> str:
    """
        name(row, row.effects[2])
        # interaction (retrieval, tuned less untuned)

    What an effect is called in a table.
    """
    first, *others = (level.name for level in row.levels)
    which = _which(row, effect)
    kind = effect.effect
    if kind == "retrieval":
        return f"retrieval (averaged over {', '.join([first, *others[:-1]])} and {others[-1]})"
    if kind == "interaction":
        return f"interaction (retrieval, {effect.level} less {first})"
    if kind == row.factor:
        return f"{kind}{which} (averaged over closed book and with passages)"
    return f"{row.factor} against retrieval ({effect.level} - retrieved)"


def _which(row: Factorial, effect: Effect) -> str:
    """The level, where there are several that it could be."""
    return f" ({effect.level})" if effect.level and len(row.levels) > 2 else ""


def _what(row: Factorial, effect: Effect) -> str:
    return effect.effect.replace("-", " ") + _which(row, effect)


def _averaged(row: Factorial, effect: Effect) -> str:
    if effect.effect == row.factor:
        return "averaged over closed book and with passages"
    levels = FACTORS[row.factor].both if len(row.levels) == 2 else f"all levels of {row.factor}"
    return f"averaged over {levels}"


def sentence(row: Factorial, effect: Effect) -> str:
    """
        sentence(row, row.effects[2])
        # retrieval helps the tuned model less than the untuned one, by 12.0 points

    What an effect's verdict allows to be claimed, and no more.
    """
    what, verdict, within = _what(row, effect), effect.verdict, wording.margin(effect.margin, row.unit)
    if verdict == "no-verdict":
        return f"there is no verdict on {what}: {effect.reason}"
    if effect.difference is None:
        many = {4: "four", 6: "six"}.get(len(row.arms), str(len(row.arms)))
        return f"nothing can be told of {what}: no example is left that all {many} arms have a score for"
    if verdict == "secondary":
        return f"{what} by {row.metric}, a secondary metric: no verdict"
    if effect.effect == "interaction":
        return _interaction(row, effect)
    if effect.effect not in ("retrieval", row.factor):
        more, less = ("higher", "lower") if row.higher_is_better is None else ("better", "worse")
        alone = row.factor + _which(row, effect)
        return {
            "better": f"{alone} is {more} than retrieving",
            "worse": f"{alone} is {less} than retrieving",
            "equivalent": f"{alone} and retrieving are equivalent within {within}",
            "cannot-tell": f"it cannot be told whether {alone} and retrieving differ, nor that they are the same "
            f"within {within}",
        }[verdict]
    (up, down), averaged = _verbs(row), _averaged(row, effect)
    return {
        "better": f"{what} {up}, {averaged}",
        "worse": f"{what} {down}, {averaged}",
        "equivalent": f"{what} changes nothing beyond {within}, {averaged}",
        "cannot-tell": f"it cannot be told what {what} does, {averaged}",
    }[verdict]


def short_sentence(row: Factorial, effect: Effect) -> str:
    """
        short_sentence(row, row.effects[1])
        # retrieval helps

    The same for an effect by the primary metric, in as few words as can be.
    """
    what, verdict = _what(row, effect), effect.verdict
    if verdict == "no-verdict":
        return f"there is no verdict on {what}"
    if effect.effect == "interaction":
        return _interaction(row, effect)
    if effect.effect not in ("retrieval", row.factor):
        more, less = ("higher", "lower") if row.higher_is_better is None else ("better", "worse")
        alone = row.factor + _which(row, effect)
        return {
            "better": f"{alone} is {more} than retrieving",
            "worse": f"{alone} is {less} than retrieving",
            "equivalent": f"{alone} and retrieving are equivalent",
            "cannot-tell": f"which of the two is {more} cannot be told",
        }[verdict]
    up, down = _verbs(row)
    return {
        "better": f"{what} {up}",
        "worse": f"{what} {down}",
        "equivalent": f"{what} changes nothing beyond {wording.margin(effect.margin, row.unit)}",
        "cannot-tell": f"what {what} does cannot be told",
    }[verdict]


def _verbs(row: Factorial) -> tuple[str, str]:
    return ("raises it", "lowers it") if row.higher_is_better is None else ("helps", "harms")


def _interaction(row: Factorial, effect: Effect) -> str:
    verdict, size = effect.verdict, wording.size(effect.difference or 0.0, row.unit)
    words = FACTORS[row.factor]
    if verdict == "cannot-tell":
        return (
            f"it cannot be told whether retrieval does more or less for {words.of(effect.level)} than for {words.than}"
        )
    if verdict == "equivalent":
        within = wording.margin(effect.margin, row.unit)
        return f"retrieval does the same for {words.of(effect.level)} as for {words.than}, within {within}"
    return f"{_direction(row, effect)} than {words.than}, by {size}"


def _direction(row: Factorial, effect: Effect) -> str:
    """Which way retrieval goes is read off the level for which it does more."""
    up, down = _verbs(row)
    if row.higher_is_better is None:
        up, down = "raises the metric of", "lowers the metric of"
    does, positive = row.simple["retrieval"], effect.verdict == "better"
    gain = does[effect.level] if positive else does[row.levels[0].name]
    helps = (-gain if row.higher_is_better is False else gain) > 0
    verb, much = (up, "more" if positive else "less") if helps else (down, "less" if positive else "more")
    return f"retrieval {verb} {FACTORS[row.factor].of(effect.level)} {much}"


def numbers(row: Factorial, effect: Effect) -> str:
    """`-12.0 points [-20.0, -4.0], adjusted p 0.003 (retrieval: +3.0 points when tuned, +15.0 when not)`"""
    if effect.difference is None:
        return ""
    span = wording.amount_span(effect.ci, row.unit)
    text = f"{wording.with_unit(effect.difference, row.unit)} {span}, {wording.p_in_words(effect)}"
    if effect.effect == "interaction":
        does, words = row.simple["retrieval"], FACTORS[row.factor]
        text += (
            f" (retrieval: {wording.with_unit(does[effect.level], row.unit)} {words.when.format(effect.level)}, "
            f"{wording.amount(does[row.levels[0].name], row.unit)} {words.when_first})"
        )
    return text


def verdict(row: Factorial, effect: Effect) -> str:
    """The verdict in a table's cell: of an interaction, its sign and what that means."""
    if effect.effect != "interaction":
        return wording.verdict(effect)
    if effect.verdict not in ("better", "worse"):
        return wording.verdict(effect)
    sign = "positive" if (effect.difference or 0.0) > 0 else "negative"
    return f"{sign}: {_direction(row, effect)}"


def break_even(row: BreakEven) -> str:
    """
    >>> from ragmed.comparison.costs.rows import Line
    >>> lines = Line(3600, 0.5, 0.0), Line(60, 2.0, 0.0)
    >>> break_even(BreakEven("CPU-seconds", *lines, "after", 2360, (1750, 2970), ()))
    'in CPU-seconds, tuning costs less than retrieving from about 2,360 (1,750 to 2,970) questions on'
    """
    number = "" if row.questions is None else f"{row.questions:,}"
    if row.between is not None:
        number += f" ({row.between[0]:,} to {row.between[1]:,})"
    outcome = {
        "after": f"tuning costs less than retrieving from about {number} questions on",
        "until": f"tuning costs less than retrieving up to about {number} questions, and more beyond",
        "from-the-first": "tuning costs less than retrieving from the first question on",
        "never": "tuning never costs less than retrieving",
        "equal": "tuning and retrieving cost the same",
        "unknown": f"the break-even is unknown: {'; '.join(row.unknown) or 'a part is missing'}",
    }[row.outcome]
    return f"in {row.unit}, {outcome}"


def duration(seconds: float | None) -> str:
    """
    >>> duration(90), duration(45.26), duration(9000), duration(None)
    ('1.5 min', '45.3 s', '2.5 h', 'unknown')
    """
    if seconds is None:
        return "unknown"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def computing(spent: Computing | None) -> str:
    """
    >>> computing(Computing(90.0, "CPU")), computing(None)
    ('1.5 min of CPU', 'unknown')
    """
    return "unknown" if spent is None else f"{duration(spent.seconds)} of {spent.of}"


def whole(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
