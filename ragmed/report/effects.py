"""Rows of `factorials` and `economics` in, the words that the terminal and the page share out. No name is in them."""

from __future__ import annotations

from ragmed.comparison.costs.rows import BreakEven, Computing
from ragmed.comparison.rows import Effect, Factorial
from ragmed.report import wording

NAMES = {
    "tuning": "tuning (averaged over closed book and with passages)",
    "retrieval": "retrieval (averaged over untuned and tuned)",
    "interaction": "interaction (retrieval, tuned less untuned)",
    "tuning-against-retrieval": "tuning against retrieval (tuned - retrieved)",
}
_AVERAGED = {
    "tuning": "averaged over closed book and with passages",
    "retrieval": "averaged over the untuned and the tuned model",
}


def sentence(row: Factorial, effect: Effect) -> str:
    """
        sentence(row, row.effects[2])
        # retrieval helps the tuned model less than the untuned one, by 12.0 points

    What an effect's verdict allows to be claimed, and no more.
    """
    name, verdict = effect.effect, effect.verdict
    if verdict == "no-verdict":
        return f"there is no verdict on {name.replace('-', ' ')}: {effect.reason}"
    if effect.difference is None:
        return f"nothing can be told of {name}: no example is left that all four arms have a score for"
    if verdict == "secondary":
        return f"{name.replace('-', ' ')} by {row.metric}, a secondary metric: no verdict"
    if name == "interaction":
        return _interaction(row, effect)
    if name == "tuning-against-retrieval":
        more, less = ("higher", "lower") if row.higher_is_better is None else ("better", "worse")
        return {
            "better": f"tuning is {more} than retrieving",
            "worse": f"tuning is {less} than retrieving",
            "equivalent": f"tuning and retrieving are equivalent within {wording.margin(effect.margin)}",
            "cannot-tell": "it cannot be told whether tuning and retrieving differ, nor that they are the same within "
            f"{wording.margin(effect.margin)}",
        }[verdict]
    up, down = _verbs(row)
    return {
        "better": f"{name} {up}, {_AVERAGED[name]}",
        "worse": f"{name} {down}, {_AVERAGED[name]}",
        "equivalent": f"{name} changes nothing beyond {wording.margin(effect.margin)}, {_AVERAGED[name]}",
        "cannot-tell": f"it cannot be told what {name} does, {_AVERAGED[name]}",
    }[verdict]


def short_sentence(row: Factorial, effect: Effect) -> str:
    """
        short_sentence(row, row.effects[1])
        # retrieval helps

    The same for a main effect, or for tuning against retrieval, by the primary metric, in as few words as can be.
    """
    name, verdict = effect.effect, effect.verdict
    if verdict == "no-verdict":
        return f"there is no verdict on {name.replace('-', ' ')}"
    if name == "tuning-against-retrieval":
        more, less = ("higher", "lower") if row.higher_is_better is None else ("better", "worse")
        return {
            "better": f"tuning is {more} than retrieving",
            "worse": f"tuning is {less} than retrieving",
            "equivalent": "tuning and retrieving are equivalent",
            "cannot-tell": f"which of the two is {more} cannot be told",
        }[verdict]
    up, down = _verbs(row)
    return {
        "better": f"{name} {up}",
        "worse": f"{name} {down}",
        "equivalent": f"{name} changes nothing beyond {wording.margin(effect.margin)}",
        "cannot-tell": f"what {name} does cannot be told",
    }[verdict]


def _verbs(row: Factorial) -> tuple[str, str]:
    return ("raises it", "lowers it") if row.higher_is_better is None else ("helps", "harms")


def _interaction(row: Factorial, effect: Effect) -> str:
    verdict, size = effect.verdict, f"{abs(100 * (effect.difference or 0.0)):.1f} points"
    if verdict == "cannot-tell":
        return "it cannot be told whether retrieval does more or less for the tuned model than for the untuned one"
    if verdict == "equivalent":
        within = wording.margin(effect.margin)
        return f"retrieval does the same for the tuned model as for the untuned one, within {within}"
    return f"{_direction(row, effect)} than the untuned one, by {size}"


def _direction(row: Factorial, effect: Effect) -> str:
    """Which way retrieval goes is read off the model for which it does more."""
    up, down = _verbs(row)
    if row.higher_is_better is None:
        up, down = "raises the metric of", "lowers the metric of"
    does, positive = row.simple["retrieval"], effect.verdict == "better"
    gain = does["tuned"] if positive else does["untuned"]
    helps = (-gain if row.higher_is_better is False else gain) > 0
    verb, much = (up, "more" if positive else "less") if helps else (down, "less" if positive else "more")
    return f"retrieval {verb} the tuned model {much}"


def numbers(row: Factorial, effect: Effect) -> str:
    """`-12.0 points [-20.0, -4.0], adjusted p 0.003 (retrieval: +3.0 points when tuned, +15.0 when not)`"""
    if effect.difference is None:
        return ""
    text = f"{wording.points(effect.difference)} points {wording.points_span(effect.ci)}, {wording.p_in_words(effect)}"
    if effect.effect == "interaction":
        does = row.simple["retrieval"]
        text += (
            f" (retrieval: {wording.points(does['tuned'])} points when tuned, "
            f"{wording.points(does['untuned'])} when not)"
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
