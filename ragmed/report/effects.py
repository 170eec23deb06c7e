"""Rows of `factorials` and `economics` in, the words that the terminal and the page share out. No name is in them."""

from __future__ import annotations

from ragmed.report import wording
from ragmed.report.wording import Row

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


def said(row: Row, effect: Row) -> str:
    """
    >>> said(row, row["effects"][2])  # doctest: +SKIP
    'retrieval helps the tuned model less than the untuned one, by 12.0 points'

    What an effect's verdict allows to be said, and no more.
    """
    name, verdict = effect["effect"], effect["verdict"]
    if effect["difference"] is None:
        return f"nothing can be told of {name}: no example is left that all four arms have a score for"
    if name == "interaction":
        return _interaction(row, effect)
    if name == "tuning-against-retrieval":
        more, less = ("better", "worse") if row.get("higher_is_better", True) else ("higher", "lower")
        return {
            "better": f"tuning is {more} than retrieving",
            "worse": f"tuning is {less} than retrieving",
            "equivalent": f"tuning and retrieving are equivalent within {wording.margin(effect['margin'])}",
            "cannot-tell": "it cannot be told whether tuning and retrieving differ, nor that they are the same within "
            f"{wording.margin(effect['margin'])}",
        }[verdict]
    up, down = _verbs(row)
    return {
        "better": f"{name} {up}, {_AVERAGED[name]}",
        "worse": f"{name} {down}, {_AVERAGED[name]}",
        "equivalent": f"{name} changes nothing beyond {wording.margin(effect['margin'])}, {_AVERAGED[name]}",
        "cannot-tell": f"it cannot be told what {name} does, {_AVERAGED[name]}",
    }[verdict]


def brief(row: Row, effect: Row) -> str:
    """
    >>> brief(row, row["effects"][1])  # doctest: +SKIP
    'retrieval helps'

    The same for a main effect, or for tuning against retrieval, in as few words as can be.
    """
    name, verdict = effect["effect"], effect["verdict"]
    if name == "tuning-against-retrieval":
        more, less = ("better", "worse") if row.get("higher_is_better", True) else ("higher", "lower")
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
        "equivalent": f"{name} changes nothing beyond {wording.margin(effect['margin'])}",
        "cannot-tell": f"what {name} does cannot be told",
    }[verdict]


def _verbs(row: Row) -> tuple[str, str]:
    return ("helps", "harms") if row.get("higher_is_better", True) else ("raises it", "lowers it")


def _interaction(row: Row, effect: Row) -> str:
    verdict, size = effect["verdict"], f"{abs(100 * effect['difference']):.1f} points"
    if verdict == "cannot-tell":
        return "it cannot be told whether retrieval does more or less for the tuned model than for the untuned one"
    if verdict == "equivalent":
        within = wording.margin(effect["margin"])
        return f"retrieval does the same for the tuned model as for the untuned one, within {within}"
    return f"{_direction(row, effect)} than the untuned one, by {size}"


def _direction(row: Row, effect: Row) -> str:
    """Which way retrieval goes is read off the model for which it does more."""
    up, down = _verbs(row)
    if not row.get("higher_is_better", True):
        up, down = "raises the metric of", "lowers the metric of"
    does, positive = row["simple"]["retrieval"], effect["verdict"] == "better"
    helps = (does["tuned"] if positive else does["untuned"]) > 0
    verb, much = (up, "more" if positive else "less") if helps else (down, "less" if positive else "more")
    return f"retrieval {verb} the tuned model {much}"


def numbers(row: Row, effect: Row) -> str:
    """`-12.0 points [-20.0, -4.0], adjusted p 0.003 (retrieval: +3.0 points when tuned, +15.0 when not)`"""
    if effect["difference"] is None:
        return ""
    text = (
        f"{wording.points(effect['difference'])} points {wording.points_span(effect['ci'])}, "
        f"adjusted p {wording.p_value(effect['p_adjusted'])}"
    )
    if effect["effect"] == "interaction":
        does = row["simple"]["retrieval"]
        text += (
            f" (retrieval: {wording.points(does['tuned'])} points when tuned, "
            f"{wording.points(does['untuned'])} when not)"
        )
    return text


def verdict(row: Row, effect: Row) -> str:
    """The verdict in a table's cell: of an interaction, its sign and what that means."""
    if effect["effect"] != "interaction":
        return wording.verdict({**effect, "higher_is_better": row.get("higher_is_better", True)})
    if effect["verdict"] not in ("better", "worse"):
        return wording.verdict(effect)
    sign = "positive" if effect["verdict"] == "better" else "negative"
    return f"{sign}: {_direction(row, effect)}"


def break_even(row: Row) -> str:
    """
    >>> break_even({"unit": "seconds", "outcome": "after", "questions": 2360, "unknown": []})
    'in seconds, tuning costs less than retrieving from about 2,360 questions on'
    """
    number = "" if row["questions"] is None else f"{row['questions']:,}"
    told = {
        "after": f"tuning costs less than retrieving from about {number} questions on",
        "until": f"tuning costs less than retrieving up to about {number} questions, and more beyond",
        "from-the-first": "tuning costs less than retrieving from the first question on",
        "never": "tuning never costs less than retrieving",
        "equal": "tuning and retrieving cost the same",
        "unknown": f"the break-even is unknown: {'; '.join(row['unknown']) or 'a part is missing'}",
    }[row["outcome"]]
    return f"in {row['unit']}, {told}"


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


def whole(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
