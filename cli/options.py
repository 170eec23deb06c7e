"""Options and arguments that several commands share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ragmed.text_table import UNSEEN, visible

if TYPE_CHECKING:
    from ragmed.comparison.results import Results

Command = TypeVar("Command", bound=Callable[..., Any])
_ENDLESS = re.compile(r"\d{61,}")
ACCESS = click.Choice(["open", "credentialed", "private"])


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """A line on the terminal. What comes from a file may hold escape codes: they are shown, never sent."""
    click.echo(visible(str(text)), err=err, nl=nl)


def complaint(text: object) -> str:
    """
    >>> complaint("embedder 'hashing:" + "9" * 5000 + "' is unknown")
    "embedder 'hashing:999999999999… (5000 digits)' is unknown"

    What an error says, with numbers that nobody would read to their end cut short.
    """
    return _ENDLESS.sub(lambda number: f"{number[0][:12]}… ({len(number[0])} digits)", str(text))


def say_json(value: object, *, indent: int | None = 1) -> None:
    """JSON on stdout. Signs that a terminal takes for commands, which JSON lets stand, are its own escapes."""
    click.echo(UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(value, ensure_ascii=False, indent=indent)))


class StoredRun(click.ParamType):
    """A name in runs/, or a folder -> the Run; `packed`: or a bundle's zip."""

    name = "run"

    def __init__(self, *, packed: bool = False) -> None:
        self.packed = packed

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        from ragmed.runs import find_run

        assert context
        return find_run(context.obj.runs, value, packed=self.packed)


RUN = click.argument("run", type=StoredRun())


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, listed by --help in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def exit_without_verdict(results: Results) -> None:
    """Exit code 1 where answers are missing for a verdict, or an arm could not retrieve: that is no result, and no
    script must take it for one.
    """
    from ragmed.report.verdict import no_verdicts

    if no_verdicts(results) or any(row.failed for row in results.not_run):
        click.get_current_context().exit(1)


def named(*flags: str, help: str) -> Callable[[Command], Command]:
    """An option that takes names, separated by commas."""
    return click.option(*flags, callback=_names, help=help)


_PRICE = click.FloatRange(min=0)
PRICES = together(
    click.option("--price-hour", "machine_hour", type=_PRICE, default=0.0, help="An hour of the machine."),
    click.option("--price-input", "million_input_tokens", type=_PRICE, default=0.0, help="A million input tokens."),
    click.option("--price-output", "million_output_tokens", type=_PRICE, default=0.0, help="A million output tokens."),
    click.option("--currency", default="", help="What the prices are in, such as EUR; prices unsaid are the config's."),
)
RULES = together(
    click.option("--baseline", help="The arm that the others are compared with; default: the run's."),
    click.option(
        "--margin", type=click.FloatRange(0, 1), help="Differences within it count as equivalent, as a fraction."
    ),
    click.option("--policy", help="What an answer that cannot be read counts as: wrong or drop (for all tasks)."),
    click.option(
        "--reader", help="Reads all answers by this reader instead of the tasks' own, such as mirage; stores nothing."
    ),
    click.option("--correction", help="What adjusts p for many contrasts: holm (the default) or benjamini-hochberg."),
)
