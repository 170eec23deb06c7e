"""A plan in, one plain ASCII table of at most 100 columns out: a block for each task, then what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.text_table import counted, table, wrapped

Row = Mapping[str, Any]
SOURCE = {
    "given": "given",
    "assumed": "assumed",
    "pilot": "pilot of {n}",
    "pilot-upper": "its upper bound",
}
NEARLY = 0.9
"""Of the examples that two arms differ on, the share from which on a difference leaves hardly any the other way."""

MARKS = {"pilot": "", "pilot-speed": "~", "speed": "~", "unknown": ""}


def render_plan(plan: Row) -> str:
    """
        print(render_plan(plan_examples(70, Assumptions(discordance=0.3))))
        # one task: 70 examples (right or wrong, exact McNemar test)

    Every number is one of the plan's; differences in percentage points.
    """
    lines = _head(plan)
    for row in plan["tasks"]:
        lines += ["", *_task(row, plan)]
    lines += [*_costs(plan), *_memory(plan), *_training(plan)]
    if plan["notes"]:
        lines.append("")
    for note in plan["notes"]:
        lines += wrapped(note)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(plan: Row) -> list[str]:
    named = f"plan of {plan['experiment']}: " if plan["experiment"] else ""
    alone = f"of one contrast, alpha {plan['alpha']:g}"
    family = plan["family"]
    if family > 1:
        alone = (
            f"alpha {plan['alpha']:g} over a family of {family} contrasts ({plan['correction']}: "
            f"{plan['alpha'] / family:.2g} for the first)"
        )
    said = (
        "detectable: the smallest true difference, in points, that is found with this power; n for "
        f"{_plain(plan['difference'])}: how many examples one of {_plain(plan['difference'])} points needs; "
        + ("alone: if the contrast were the only one; " if family > 1 else "")
        + "margin: within which two equal arms are shown to be equivalent"
    )
    if not plan["tasks"]:
        return wrapped(f"{named}no two arms are compared, so nothing can be shown")
    return [*wrapped(f"{named}power {100 * plan['power']:g} %, {alone}"), *wrapped(said)]


def _task(row: Row, plan: Row) -> list[str]:
    asked = _plain(plan["difference"])
    kind = "right or wrong, exact McNemar test" if row["kind"] == "right-or-wrong" else "graded, paired t test"
    if row["grouped"]:
        kind = f"{row['kind'].replace('-', ' ')}, sign flips by group"
    metric = f"{row['metric']}, " if row["metric"] else ""
    lines = wrapped(f"{row['task']}: {metric}{counted(row['n'], 'example')} ({kind})")
    if row["grouped"]:
        said = {"given": "as given", "pilot": "by the pilot", "assumed": "assumed"}[row["icc_source"]]
        lines += wrapped(
            f"in {counted(row['groups'], 'group')}, the largest of {row['largest_group']} (correlation within a group "
            f"{row['icc']:.2f}, {said}): simulated as the comparison tests them, to within 2 points of power",
            "  ",
        )
    family = plan["family"] > 1
    spread = "differ" if row["kind"] == "right-or-wrong" else "sd"
    heads = ["contrast", "", spread, "detectable", f"n for {asked}", "margin"]
    cells = [heads[:4] + (["alone"] if family else []) + heads[4:5] + (["alone"] if family else []) + heads[5:]]
    named = [_named(case, row) for case in row["cases"]]
    for place, (case, name) in enumerate(zip(row["cases"], named, strict=True)):
        name = "" if place and named[place - 1] == name else name
        cells.append([name, SOURCE[case["source"]].format(n=case["pilot_n"]), *_numbers(case, family=family)])
    lines += table(cells, right=range(2, len(cells[0])))
    for sentence in [*words(row, plan), *warnings(row, plan)]:
        lines += wrapped(sentence, "  ")
    return lines


def _named(case: Row, row: Row) -> str:
    if len(case["contrasts"]) == 1:
        return " - ".join(reversed(case["contrasts"][0]))
    every = len(row["cases"]) == 1
    return f"every contrast ({len(case['contrasts'])})" if every else f"{len(case['contrasts'])} others"


def _numbers(case: Row, *, family: bool) -> list[str]:
    at = case.get("discordance")
    found = [f"{100 * at:.1f} %" if at is not None else points(case["sd"]), points(case["detectable"])]
    found += [points(case["detectable_alone"])] if family else []
    found.append(_count(case["needed"]))
    found += [_count(case["needed_alone"])] if family else []
    return [*found, points(case["margin"])]


def words(row: Row, plan: Row) -> list[str]:
    """
        words(plan["tasks"][0], plan)
        # ['70 examples can show differences of 18.7 points or more; 5 points need 975; with 70 the chance ...']

    What the numbers of a task say: with several cases, from the most to the least favourable one.
    """
    examples = counted(row["n"], "example")
    shown = [case["detectable"] for case in row["cases"]]
    known = sorted(value for value in shown if value is not None)
    if known:
        some = "" if len(known) == len(shown) else " at best"
        reach = f"{examples} can show differences of {_range(known[0], known[-1])} points or more{some}"
    elif row["kind"] == "graded":
        reach = f"{examples} can show no difference"
    else:
        reach = (
            f"{examples} can show no difference with this power, not even if one arm were right wherever the two differ"
        )
    said = [f"{reach}; {_needed(row, plan)}."]
    if row["kind"] == "right-or-wrong" and any(
        value is not None and value > NEARLY * case["discordance"]
        for value, case in zip(shown, row["cases"], strict=True)
    ):
        said.append(
            "Such a difference is nearly all that the arms differ by: of the answers that change, nearly all must then "
            "change for the better."
        )
    return said


def _needed(row: Row, plan: Row) -> str:
    asked = f"{_plain(plan['difference'])} points"
    needed = [case["needed"] for case in row["cases"]]
    sizes = sorted(value for value in needed if value is not None)
    if not sizes:
        return f"{asked} cannot be shown: it is more than the arms differ by, or takes more than 10 million"
    span = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    more = "" if len(sizes) == len(needed) else " or more"
    chance = row["cases"][0]["power"] if len(row["cases"]) == 1 else None
    now = f"; with {row['n']:,} the chance to find them is {100 * chance:.0f} %" if chance is not None else ""
    return f"{asked} need {span}{more}{now}"


def warnings(row: Row, plan: Row) -> list[str]:
    """A sentence where equivalence within the declared margin cannot be shown, or a pilot saw nothing differ."""
    said = _too_few_groups(row, plan)
    margins = [case["margin"] for case in row["cases"]]
    worst = max((m for m in margins if m is not None), default=None)
    declared = plan["margin"]
    if None in margins or (worst is not None and worst > declared):
        known = [case["needed_for_margin"] for case in row["cases"] if case["needed_for_margin"] is not None]
        text = (
            f"WARNING: equivalence within {_plain(declared)} points cannot be shown with {counted(row['n'], 'example')}"
        )
        best = min((m for m in margins if m is not None), default=None)
        if best is not None and best <= declared:
            text += " for every contrast"
        text += f"; it needs {max(known):,}." if known else "."
        said.append(text)
    piloted = {tuple(map(tuple, case["contrasts"])): case for case in row["cases"] if case["source"] == "pilot-upper"}
    estimated = {tuple(map(tuple, case["contrasts"])) for case in row["cases"] if case["source"] == "pilot"}
    for key, case in piloted.items():
        if key not in estimated:
            said.append(
                f"{_named(case, row)}: the pilot of {case['pilot_n']} saw no difference; its upper bound is used."
            )
    return said


def _too_few_groups(row: Row, plan: Row) -> list[str]:
    """Where not even all groups on one side give a p under alpha."""
    least, alpha, family = row.get("least_p", 0.0), plan["alpha"], plan["family"]
    if least < alpha / family:
        return []
    shown = f"{alpha:g}" if least >= alpha or family == 1 else f"{alpha / family:.2g}, the first step of {family}"
    return [
        f"WARNING: {counted(row['groups'], 'group')} can show nothing at this alpha ({shown}): all of "
        "them on one side have "
        f"p = 2/2^{row['groups']} = {least:.3g}."
    ]


def _costs(plan: Row) -> list[str]:
    if not plan["costs"]:
        return []
    priced = any(row["price"] is not None for row in plan["costs"])
    unit = plan["prices"]["currency"] or "money"
    lines: list[str] = []
    for task in dict.fromkeys(row["task"] for row in plan["costs"]):
        cells = [[f"{task}, asked", "n", "passages", "input tokens", "output", "time", *([unit] if priced else [])]]
        for row in plan["costs"]:
            if row["task"] == task:
                cells.append([row["arm"], f"{row['n']:,}", *_cost(row, priced=priced)])
        lines += ["", *table(cells, right=range(1, len(cells[0])))]
    total = plan["totals"]
    bound = "at most " if any(row["output_source"] == "bound" for row in plan["costs"]) else ""
    said = f"total: {total['input_tokens']:,} input and {bound}{total['output_tokens']:,} output tokens"
    said += f", {duration(total['seconds'])}" if total["seconds"] is not None else ", time unknown"
    if priced:
        said += f", {_money(total['price'])} {unit}" if total["price"] is not None else f", {unit} unknown"
    lines += ["", *wrapped(said)]
    return lines + [line for sentence in _legend(plan["costs"]) for line in wrapped(sentence)]


def _cost(row: Row, *, priced: bool) -> list[str]:
    least = "<=" if row["output_source"] == "bound" else ""
    time = "unknown" if row["seconds"] is None else MARKS[row["seconds_source"]] + duration(row["seconds"])
    shown = f"{row['passages']:.1f}" if row["passages"] else "-"
    cells = [shown, f"{row['input_tokens']:,}", f"{least}{row['output_tokens']:,}", time]
    return cells + ([_money(row["price"]) if row["price"] is not None else "unknown"] if priced else [])


def _legend(costs: Sequence[Row]) -> list[str]:
    said = []
    outputs = {row["output_source"] for row in costs}
    if "bound" in outputs:
        said.append("<=: the most that may be written")
    if "options" in outputs:
        said.append("output of scored options: their tokens, which are read")
    times = {row["seconds_source"] for row in costs}
    if "pilot" in times:
        said.append("tokens and time by the pilot where it asked this, on its machine")
    if "pilot-speed" in times:
        said.append("~: by the pilot's speed with the same model")
    if "speed" in times:
        said.append("~: by the tokens a second that were given")
    if "unknown" in times:
        said.append("time is unknown without a pilot or --tokens-per-second")
    return ["; ".join(said) + "."] if said else []


def _memory(plan: Row) -> list[str]:
    models = [row for row in plan["memory"] if "model" in row]
    reading = [row for row in plan["memory"] if row.get("reads")]
    indexes = [row for row in plan["memory"] if "index" in row]
    lines: list[str] = []
    if models:
        cells = [["memory", "type", "weights", "keys and values", "together"]]
        for row in models:
            sizes = [size(row[key]) for key in ("weights_bytes", "cache_bytes", "total_bytes")]
            cells.append([row["model"], row["dtype"] or "-", *sizes])
        lines += ["", *table(cells, right=range(2, 5))]
    if reading:
        cells = [["finds passages", "type", "weights"]]
        cells += [[row["reads"], row["dtype"] or "-", size(row["weights_bytes"])] for row in reading]
        lines += ["", *table(cells, right=range(2, 3))]
    if indexes:
        cells = [["index", "on disk", "vectors in memory"]]
        cells += [[row["index"], size(row["disk_bytes"]), size(row["vectors_bytes"])] for row in indexes]
        lines += ["", *table(cells, right=range(1, 3))]
        lines += [line for row in indexes if not row["built"] for line in wrapped(_unbuilt(row), "  ")]
    return lines


def _unbuilt(row: Row) -> str:
    return f"{row['index']} is not built yet: ragmed build-index {row['index']}"


def _training(plan: Row) -> list[str]:
    lines = [""] if plan["training"] else []
    for row in plan["training"]:
        cells = f" in {row['cells']} trainings of its grid" if row["cells"] > 1 else ""
        read = f"{row['tokens']:,} tokens{cells}" if row["tokens"] is not None else f"tokens unknown: {row['unknown']}"
        lines += wrapped(f"adapter {row['adapter']} is trained first: {read}")
    return lines


def points(value: float | None) -> str:
    """
    >>> points(0.05), points(0.1869), points(None)
    ('5.0', '18.7', '-')
    """
    return "-" if value is None else f"{100 * value:.1f}"


def _plain(value: float) -> str:
    return f"{100 * value:.4g}"


def duration(seconds: float) -> str:
    """
    >>> duration(45), duration(400), duration(9000), duration(200000)
    ('45 s', '6.7 min', '2.5 h', '2.3 days')
    """
    for limit, unit, words_ in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if unit == 1 else 1}f} {words_}"
    return f"{seconds / 86_400:.1f} days"


def size(count: int | None) -> str:
    """
    >>> size(538_060_032), size(None)
    ('538 MB', 'unknown')
    """
    if count is None:
        return "unknown"
    for limit, unit, words_ in ((1e6, 1e3, "kB"), (1e9, 1e6, "MB")):
        if count < limit:
            return f"{count / unit:.0f} {words_}"
    return f"{count / 1e9:.1f} GB"


def _range(low: float, high: float) -> str:
    return points(low) if points(low) == points(high) else f"{points(low)} to {points(high)}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.01 or value == 0 else f"{value:.2g}"
