"""Restricted data stays where it is: access tier, models and environment in, a refusal (exit code 5) or nothing out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ragmed.errors import ProtectionError
from ragmed.models import ModelSettings
from ragmed.records import Access

TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
"""Each of these, when true, asks LangChain to send prompts and answers to its makers' service."""

_TRUE = ("1", "true", "yes", "on")


def leaves_this_machine(settings: ModelSettings) -> str:
    """The host that prompts are sent to, or an empty string for a model that is asked on this machine."""
    if settings.scheme == "chat":
        return f"the provider '{settings.name.split(':')[1]}'"
    if settings.scheme != "endpoint":
        return ""
    from ragmed.models.endpoint.names import parse_endpoint

    endpoint = parse_endpoint(settings.name)
    return "" if endpoint.loopback else endpoint.host


def tracing(environment: Mapping[str, str]) -> list[str]:
    """The tracing variables that are switched on."""
    return [name for name in TRACING if environment.get(name, "").strip().lower() in _TRUE]


def refuse_leaks(access: Access, models: Iterable[ModelSettings], environment: Mapping[str, str]) -> None:
    """
    >>> refuse_leaks("private", [ModelSettings("scripted:echo")], {})

    ProtectionError where tasks or references that are not open would be sent to another machine that the experiment
    does not call `trusted`, or where tracing is switched on.
    """
    if access == "open":
        return
    for settings in models:
        host = leaves_this_machine(settings)
        if host and not settings.trusted:
            raise ProtectionError(
                f"the questions or references are {access}, and '{settings.name}' would send them to {host}; use a "
                "model on this machine, or set `trusted: true` for it where that server lies within your walls"
            )
    switched_on = tracing(environment)
    if switched_on:
        raise ProtectionError(
            f"the questions or references are {access}, and {', '.join(switched_on)} is set, which makes libraries "
            "send prompts to others; unset it"
        )
