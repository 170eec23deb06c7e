"""The border between files and frozen dataclasses: strict types, clear messages, nothing secret repeated."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from ragmed.checked import Bounds, NamedByKey, Shorthand, dump, parse, schema
from ragmed.errors import DamagedError, UnknownNameError, UsageError


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size: Annotated[float, Bounds(gt=0, lt=10)] = 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    """
        Whole("w")

    A thing. `number` counts what is there. `colours` are sorted, `number` is not.
    """

    title: str
    number: Annotated[int, Bounds(ge=0, le=5)] = 0
    sure: bool = False
    way: Literal["up", "down"] = "up"
    gold: str | tuple[str, ...] | None = None
    pairs: tuple[tuple[str, int], ...] = ()
    colours: frozenset[str] = frozenset()
    parts: Annotated[Mapping[str, Part], NamedByKey()] = field(default_factory=dict)
    first: Annotated[Part | None, Shorthand((str,), lambda name: {"name": name})] = None
    extra: Any = None

    def __post_init__(self) -> None:
        if self.title == "wrong":
            raise UsageError("a title is never 'wrong'")


WHOLE = {
    "title": "w", "number": 3, "sure": True, "way": "down", "gold": ["a", "b"], "pairs": [["x", 1]],
    "colours": ["red", "blue"], "parts": {"p": {"size": 2}}, "first": "q", "extra": {"deep": [1]},
}  # fmt: skip


def test_plain_values_become_dataclasses_and_go_back() -> None:
    whole = parse(Whole, WHOLE, "it")
    assert whole == Whole(
        "w", 3, True, "down", ("a", "b"), (("x", 1),), frozenset({"red", "blue"}), {"p": Part("p", 2.0)}, Part("q"),
        {"deep": [1]},
    )  # fmt: skip
    assert type(whole.parts["p"].size) is float
    assert whole.extra is WHOLE["extra"]
    plain = dump(whole)
    assert plain["colours"] == ["blue", "red"]
    assert parse(Whole, json.loads(json.dumps(plain)), "it") == whole
    assert parse(tuple[Part, ...], [{"name": "a"}, {"name": "b"}], "it") == (Part("a"), Part("b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"titel": 1},
            "unknown key 'titel' in it; did you mean 'title'? known: colours, extra, first, gold, number, pa",
        ),
        ({"number": True}, "it, number: a whole number was expected, found true"),
        ({"number": 2.0}, "it, number: a whole number was expected, found 2.0"),
        ({"number": "2"}, "it, number: a whole number was expected, found '2'; take the quotes off"),
        ({"number": 6}, "it, number: it is 6; it must be at most 5"),
        ({"number": 10**5000}, "it, number: it is a number of more than 60 digits; it must be at most 5"),
        ({"sure": 1}, "it, sure: true or false was expected, found 1"),
        ({"way": "dwn"}, "unknown way 'dwn' in it; did you mean 'down'? known: down, up"),
        ({"way": ["up"]}, "it, way: one of up, down was expected, found a list of 1"),
        ({"gold": {"a": 1}}, "it, gold: text or a list or nothing was expected, found a mapping"),
        ({"pairs": [["x", 1], ["y"]]}, "it, pairs.1: a list of 2 was expected, found a list of 1"),
        ({"pairs": [["x", "y"]]}, "it, pairs.0.1: a whole number was expected, found 'y'"),
        ({"colours": "red"}, "it, colours: a list was expected, found 'red'"),
        ({"parts": {"p": {"size": math.nan}}}, "it, parts.p.size: a number was expected, found nan"),
        ({"parts": {"p": {"size": 10}}}, "it, parts.p.size: it is 10; it must be below 10"),
        (
            {"parts": {"p": {"size": "1e-3"}}},
            "it, parts.p.size: a number was expected, found '1e-3'; write it as 1.0e-3",
        ),
        ({"parts": {"p": {"name": "r"}}}, "it, parts: the name of 'p' is its key; take 'name' out"),
        ({"parts": {"p": {"siz": 1}}}, "unknown key 'siz' in it, parts.p; did you mean 'size'? known: name, size"),
        ({"parts": {7: {}}}, "it, parts: the key 7 is not text; put it in quotes"),
        ({7: 7}, "it: the key 7 is not text; put it in quotes"),
        ({"first": {"size": 1}}, "it, first: 'name' is missing"),
        ({"first": {"nam": 1}}, "unknown key 'nam' in it, first; did you mean 'name'? known: name, size"),
        ({"title": False}, "it, title: text was expected, found false; put it in quotes, since YAML takes yes, no, on"),
        ({"title": "wrong"}, "it: a title is never 'wrong'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(Whole, {**WHOLE, **change}, "it")
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, UnknownNameError) == message.startswith("unknown")
    with pytest.raises(DamagedError, match=r"; restore it$"):
        parse(Whole, {**WHOLE, **change}, "it", error=DamagedError, remedy="restore it")


@pytest.mark.parametrize("change", [{"number": "secret"}, {"way": "secret"}, {"gold": {"a": "secret"}}])
def test_what_must_not_be_repeated_is_not(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedError, match=r"was expected, found (text|a mapping)$") as caught:
        parse(Whole, {**WHOLE, **change}, "it", error=DamagedError, quote=False)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_schema_says_what_parse_takes() -> None:
    made = schema(Whole, "Wholes")
    assert (made["title"], made["additionalProperties"], made["required"]) == ("Wholes", False, ["title"])
    assert made["properties"]["number"] == {
        "default": 0, "minimum": 0, "maximum": 5, "type": "integer",
        "description": "`number` counts what is there. `colours` are sorted, `number` is not.",
    }  # fmt: skip
    assert made["properties"]["first"]["anyOf"][0] == {"type": "string"}
    assert list(made["$defs"]["Part"]["properties"]) == ["size"]
