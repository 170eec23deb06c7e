"""The border between files and frozen dataclasses: plain values in, checked dataclasses out (`parse`); back by `dump`.

The dataclass's own annotations say what is right; pydantic holds a value against them. It is imported when something is
parsed, never with this module, so that `--help` stays quick. What annotations cannot say alone, `Annotated` adds:
`Bounds`, `Shorthand`, `NamedByKey`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from ragmed.errors import RagmedError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema, SchemaValidator

T = TypeVar("T")
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number's bounds: at least, above, at most, below.

    k: Annotated[int, Bounds(ge=1)]
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = handler(source)
        bounds = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
        return typing.cast("CoreSchema", schema)


@dataclass(frozen=True, slots=True)
class Shorthand:
    """What a file may say instead: a value whose type is one of `kinds` is spelled out before it is checked.

    models: Mapping[str, Annotated[ModelSettings, Shorthand((str,), lambda name: {"name": name})]]
    """

    kinds: tuple[type, ...]
    spell_out: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def spelled(value: Any) -> Any:
            return self.spell_out(value) if type(value) in self.kinds else value

        return core_schema.no_info_before_validator_function(spelled, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = {str: "string", int: "integer", float: "number", types.NoneType: "null", list: "array"}
        return {"anyOf": [*({"type": names[kind]} for kind in self.kinds if kind in names), handler(schema)]}


@dataclass(frozen=True, slots=True)
class NamedByKey:
    """A mapping of dataclasses with a field `name`, which a file says once, as the key.

    arms: Annotated[Mapping[str, Arm], NamedByKey()]
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_named, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping: dict[str, Any] = handler(schema)
        entry = handler.resolve_ref_schema(mapping["additionalProperties"])
        entry["properties"].pop("name", None)
        entry["required"] = [name for name in entry.get("required", []) if name != "name"]
        return mapping


def _named(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    for key, value in given.items():
        if isinstance(value, Mapping) and value.get("name", key) != key:
            raise ValueError(f"the name of '{key}' is its key; take 'name' out")
    return {k: {**v, "name": k} if isinstance(v, Mapping) and isinstance(k, str) else v for k, v in given.items()}


def parse(
    kind: type[T], raw: Any, where: str, *, error: type[RagmedError] = UsageError, quote: bool = True, remedy: str = ""
) -> T:
    """
    >>> from ragmed.arms import Arm
    >>> parse(Arm, {"name": "rag", "model": "small", "k": 3, "tasks": ["medqa"]}, "config 'a.yaml'").tasks
    ('medqa',)

    `kind`: a dataclass, or a type made of some, such as `tuple[Arm, ...]`. Types are strict: `true` is no 1, "5" no 5,
    NaN no number; whole numbers pass for floats, and lists become tuples. A key that is absent takes its default, a key
    that nobody knows is refused. What is of type `Any` is neither checked nor copied.

    Raises `error`: UsageError and UnknownNameError, as for YAML that a user writes; DataError or DamagedError suit
    files that ragmed wrote. The message holds `where`, the path of keys, what was expected, what was found and the
    `remedy`. Without `quote` it holds no value, for files that not everybody may see.
    """
    from pydantic_core import ValidationError

    try:
        return typing.cast(T, _validator(typing.cast(Hashable, kind)).validate_python(raw))
    except ValidationError as failed:
        problems: list[Any] = failed.errors(include_url=False)
    except RagmedError as failed:  # of a __post_init__
        raise error(f"{where}: {failed}" + (f"; {remedy}" if remedy else "")) from None
    # An unknown key comes first, since a missing one may be what it was meant for. Raised outside of `except`, because
    # a traceback would show pydantic's message, which quotes.
    problem = min(problems, key=lambda p: p["type"] != "unexpected_keyword_argument")
    message = _message(kind, raw, problem, where, yaml=issubclass(error, UsageError), quote=quote)
    if remedy:
        raise error(f"{message}; {remedy}")
    raise message if isinstance(message, error) else error(str(message))


def dump(value: Any) -> Any:
    """
    >>> dump(Bounds(ge=1))
    {'ge': 1, 'gt': None, 'le': None, 'lt': None}

    A dataclass as JSON and YAML can hold it: mappings, lists, numbers and texts; sets become sorted lists. `parse`
    reads it back.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if dataclasses.is_dataclass(kind):
        return {name: dump(getattr(value, name)) for name in _field_names(kind)}
    if isinstance(value, Mapping):
        return {str(key): dump(inner) for key, inner in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [dump(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def schema(kind: type, title: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what `parse` takes for `kind`, for editors: each field is described by the
    sentences of its class's docstring that name it in backticks.

        schema(Experiment, "A config of ragmed")["properties"]["seed"]["minimum"]
    """
    from pydantic.json_schema import GenerateJsonSchema

    core = _core_schema(kind)
    made = {"$schema": GenerateJsonSchema.schema_dialect, **GenerateJsonSchema().generate(core), "title": title}
    prose = {node["cls"].__name__: _prose(node["cls"]) for node in _nodes(core) if node["type"] == "dataclass"}
    for name, entry in [(kind.__name__, made), *made["$defs"].items()]:
        entry["description"] = prose[name]
        for field, property_ in entry["properties"].items():
            property_.pop("title", None)
            sentences = [sentence for sentence in _SENTENCE_END.split(prose[name]) if f"`{field}`" in sentence]
            if sentences:
                property_["description"] = " ".join(sentences)
            if property_.get("uniqueItems"):  # a set, whose order differs between processes
                property_["default"] = sorted(property_["default"])
    return made


_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z`])")
_PLAIN = frozenset({str, int, float, bool, types.NoneType})


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


@functools.cache
def _validator(kind: Hashable) -> SchemaValidator:
    from pydantic_core import SchemaValidator

    core = _core_schema(kind)
    for node in _nodes(core):
        if node["type"] == "int":  # no further than what other programs can hold
            node["ge"], node["le"] = max(node.get("ge", -LARGEST), -LARGEST), min(node.get("le", LARGEST), LARGEST)
    return SchemaValidator(core)


def _core_schema(kind: Any) -> CoreSchema:
    """pydantic's schema of the type, with strict scalars and without unknown keys. Its own strict mode would take
    neither mappings for dataclasses nor lists for tuples, and its `extra` setting is refused for dataclasses.
    """
    from pydantic import TypeAdapter

    core = TypeAdapter(kind).core_schema
    for node in _nodes(core):
        if node["type"] in ("str", "int", "float", "bool"):
            node["strict"] = True
        if node["type"] == "float":
            node["allow_inf_nan"] = False
        if node["type"] == "dataclass":
            node["config"] = {**node.get("config", {}), "extra_fields_behavior": "forbid"}
    return core


def _nodes(core: Any) -> Iterator[dict[str, Any]]:
    if isinstance(core, dict):
        if isinstance(core.get("type"), str):
            yield core
        for key, inner in core.items():
            if key not in ("default", "expected", "metadata"):
                yield from _nodes(inner)
    elif isinstance(core, (list, tuple)):
        for inner in core:
            yield from _nodes(inner)


def _prose(kind: type) -> str:
    """A docstring without its example, in one line."""
    paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    return " ".join(" ".join(p for p in paragraphs if not p.startswith((">>>", "    "))).split())


def _message(kind: Any, raw: Any, problem: Any, where: str, *, yaml: bool, quote: bool) -> RagmedError:
    """pydantic's first problem in our words."""
    path, value = _followed(raw, problem["loc"])
    if problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        above = problem["loc"][: -1 if problem["type"] == "invalid_key" else -2]
        return UsageError(
            f"{_place(where, above)}: the key {_shown(problem['input'], quote)} is not text; put it in quotes"
        )
    match problem["type"]:
        case "unexpected_keyword_argument":
            kinds = [m for m in _members(_type_at(kind, path[:-1])) if _is_dataclass(m)]
            names = [name for member in kinds for name in _field_names(member)]
            return UnknownNameError("key", str(path[-1]), names, _place(where, path[:-1]))
        case "missing" | "missing_argument" if isinstance(problem["loc"][-1], str):
            return UsageError(f"{_place(where, path)}: '{problem['loc'][-1]}' is missing")
        case "value_error":
            return UsageError(f"{_place(where, path)}: {problem['ctx']['error']}")
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than" as name:
            ((_, bound),) = problem["ctx"].items()
            words = {"greater_than_equal": "at least", "less_than_equal": "at most", "greater_than": "above"}
            shown = f"it is {_shown(value, quote)}; " if quote else ""
            return UsageError(f"{_place(where, path)}: {shown}it must be {words.get(name, 'below')} {bound:g}")
    expected = _type_at(kind, path)
    if typing.get_origin(expected) is typing.Literal and type(value) is str and quote:
        named = [place for place, part in enumerate(path) if isinstance(part, str)]
        last = named[-1] if named else 0
        return UnknownNameError(str(path[last]), value, typing.get_args(expected), _place(where, path[:last]))
    hint = _yaml_remedy(expected, value) if yaml else ""
    return UsageError(f"{_place(where, path)}: {_words(expected)} was expected, found {_shown(value, quote)}{hint}")


def _place(where: str, path: Sequence[str | int]) -> str:
    return f"{where}, {'.'.join(map(str, path))}" if path else where


def _followed(raw: Any, location: Sequence[str | int]) -> tuple[list[str | int], Any]:
    """The part of pydantic's location that leads to something in the file, and what that is; the rest names the members
    of a union, or what is missing.
    """
    path: list[str | int] = []
    for part in location:
        listed = isinstance(raw, (list, tuple)) and isinstance(part, int) and part < len(raw)
        if not listed and not (isinstance(raw, Mapping) and part in raw):
            break
        raw = raw[part]
        path.append(part)
    return path, raw


def _type_at(kind: Any, path: Sequence[str | int]) -> Any:
    """The annotation of what stands at the path of keys, without `Annotated`."""
    for part in path:
        members = [m for m in _members(kind) if _is_dataclass(m) or typing.get_args(m)]
        kind = members[0] if members else Any
        if _is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(str(part), Any)
        else:
            arguments = [argument for argument in typing.get_args(kind) if argument is not Ellipsis]
            kind = arguments[-1] if arguments else Any
    return kind


def _members(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)


def _is_dataclass(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _words(kind: Any) -> str:
    """
    >>> _words(int | tuple[str, str])
    'a whole number or a list of 2'
    """
    members = _members(kind)
    if len(members) > 1:
        return " or ".join(map(_words, members))
    (kind,) = members
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (tuple, list, frozenset, set):
        return "a list" if origin is not tuple or Ellipsis in arguments else f"a list of {len(arguments)}"
    if _is_dataclass(kind) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "a mapping"
    return _NAMES.get(kind, "something else")


_NAMES = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path", bytes: "bytes",
    types.NoneType: "nothing",
}  # fmt: skip


def kind_found(value: Any) -> str:
    """
    >>> kind_found(5), kind_found([1, 2]), kind_found({}), kind_found(None)
    ('a whole number', 'a list of 2', 'a mapping', 'nothing')

    What kind of value was found, in the words of messages.
    """
    return _shown(value, quote=False)


def _shown(value: Any, quote: bool) -> str:
    """What was found, in a message: scalars as they are, or without `quote` their kind; of the rest the kind."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if not quote:
        return _NAMES.get(type(value), "something else")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**60:
        return "a number of more than 60 digits"  # which Python may refuse to write out
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _yaml_remedy(expected: Any, value: Any) -> str:
    """What YAML makes of bare words, and how the value is written instead."""
    wanted = set(_members(expected))
    if str in wanted and isinstance(value, bool):
        return "; put it in quotes, since YAML takes yes, no, on and off for true and false"
    if str in wanted and value is not None and not isinstance(value, (Mapping, list)):
        return "; put it in quotes"
    if wanted & {int, float} and isinstance(value, str):
        if int in wanted and re.fullmatch(r"[+-]?\d+", value):
            return "; take the quotes off"
        number = re.fullmatch(r"([+-]?\d+)(\.\d*)?(?:[eE]([+-]?)(\d+))?", value)
        if float in wanted and number:
            whole, fraction, sign, exponent = number.groups()
            return f"; write it as {whole}{fraction or '.0'}" + (f"e{sign or '+'}{exponent}" if exponent else "")
    return ""
