"""Year, month and day as publishers write them -> a date as exact as they are; of several dates, the first."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}


def iso_date(year: str, month: str = "", day: str = "") -> str:
    """
    >>> iso_date("2031", "Mar", "5"), iso_date("2031", "Summer"), iso_date("2031", "9", "31"), iso_date("n.d.")
    ('2031-03-05', '2031', '2031-09', '')

    YYYY, YYYY-MM or YYYY-MM-DD; a month as a number or an English name. Empty without a year of four digits.
    """
    if not re.fullmatch(r"[1-9]\d{3}", year, re.ASCII):
        return ""
    nth = _MONTHS.get(month[:3].lower(), 0) or (int(month) if re.fullmatch(r"\d{1,2}", month, re.ASCII) else 0)
    if not 1 <= nth <= 12:
        return year
    if not re.fullmatch(r"\d{1,2}", day, re.ASCII):
        return f"{year}-{nth:02}"
    try:
        return datetime.date(int(year), nth, int(day)).isoformat()
    except ValueError:
        return f"{year}-{nth:02}"


def earliest(dates: Iterable[str]) -> str:
    """
    >>> earliest(["2031-04-02", "2031", ""]), earliest(["2030", "2031-04-02"]), earliest([])
    ('2031-04-02', '2030', '')

    The first of them; of two that agree as far as they go, the one that says more.
    """
    known = sorted(date for date in dates if date)
    return max((date for date in known if date.startswith(known[0])), key=len, default="")
