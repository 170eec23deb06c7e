"""YAML text in, plain values out: the one reader of every YAML that a user writes, configs and recipes alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml

from ragmed.checked import kind_found
from ragmed.errors import DataError, RagmedError
from ragmed.files import read_text

# PyYAML lets the constructors of ill-formed scalars (`!!int ""`, `2032-13-45`) raise whatever they run into.
_RAISES = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_MALFORMED = "a date, a number or a tagged value in it is malformed; put text in quotes"


class NotYAML(ValueError):
    """What is wrong with a text, in one line; `line` counts from 1, and is 0 where it is not known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def parse_yaml(text: str, *, aliases: bool = False) -> object:
    """
    >>> parse_yaml("k: [1, 2]")
    {'k': [1, 2]}

    What a YAML text holds, by the safe types alone. NotYAML where it holds none, where a mapping has a key twice (YAML
    libraries keep the last and drop the first without a word), or an alias: a few lines of those unfold to any size.
    `aliases`: they are taken, for files of the user's own.
    """
    try:
        loader = (_Loader if aliases else _PlainLoader)(text)
        try:
            return cast(object, loader.get_single_data())
        finally:
            loader.dispose()
    except RecursionError as error:
        raise NotYAML("it is nested too deeply") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        parts = (getattr(error, name, None) for name in ("context", "problem", "note"))
        said = "; ".join(filter(None, parts)) or str(error)
        raise NotYAML(" ".join(said.split())[:300], mark.line + 1 if mark else 0) from error
    except _RAISES as error:  # an escape that is no character, which has no place
        raise NotYAML(_MALFORMED) from error


def read_yaml(
    path: Path, what: str, *, aliases: bool = False, error: type[RagmedError] = DataError
) -> tuple[str, object]:
    """What a file holds, and how messages call the file; `error` where it is not YAML, see `parse_yaml`."""
    where = f"{what} '{path}'"
    try:
        return where, parse_yaml(read_text(path, what), aliases=aliases)
    except NotYAML as failed:
        line = f", line {failed.line}" if failed.line else ""
        raise error(f"{where}{line} is not YAML: {failed}") from failed


def read_mapping(
    path: Path, what: str, *, aliases: bool = False, error: type[RagmedError] = DataError
) -> tuple[str, dict[Any, Any]]:
    """As `read_yaml`, of a file that must hold a mapping."""
    where, values = read_yaml(path, what, aliases=aliases, error=error)
    if not isinstance(values, dict):
        raise error(f"{where}: a mapping of keys was expected, found {kind_found(values)}")
    return where, values


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return cast(Any, super()).construct_object(node, deep=deep)
        except RecursionError:
            raise
        except _RAISES as error:  # their own words are Python's, and say nothing to who wrote the YAML
            raise yaml.constructor.ConstructorError(None, None, _MALFORMED, node.start_mark) from error

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = cast(yaml.MappingNode, cast(Any, super()).compose_mapping_node(anchor))
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                line, again = seen[key.tag, key.value] + 1, key.start_mark.line + 1
                where = f"lines {line} and {again}" if line != again else f"line {line}"
                problem = f"the key '{key.value[:80]}' stands twice in one mapping ({where}); keep one of them"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen[key.tag, key.value] = key.start_mark.line
        return node


class _PlainLoader(_Loader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = cast(Any, self).peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken here; write it out", mark)
        return super().compose_node(parent, index)
