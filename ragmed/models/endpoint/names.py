"""An endpoint's name, taken apart. In: `endpoint:http://127.0.0.1:8000/v1#medllama`. Out: a frozen Endpoint.

Light on purpose: whoever must know where questions would go asks here, before anything is loaded or sent.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ragmed.errors import UsageError
from ragmed.models.names import MODEL_SCHEMES, parse_model_name

# What is left of an address after this is read alike by everybody: no library can take another host out of it.
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9._~/:+,=-]*")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url`: without a slash at its end, as it is recorded; `loopback`: the address is this machine's own."""

    url: str
    model: str
    host: str
    loopback: bool

    @property
    def root(self) -> str:
        """The address without the `/v1` at its end: where servers keep what OpenAI does not have."""
        return self.url.removesuffix("/v1")


def parse_endpoint(name: str) -> Endpoint:
    """
    >>> parse_endpoint("endpoint:http://127.0.0.1:8000/v1#medllama").loopback
    True

    Raises UsageError; where the address holds a user, a password or a query, the message does not repeat it.
    """
    form = f"write it as {MODEL_SCHEMES['endpoint']}"
    url, mark, model = parse_model_name(name).target.partition("#")
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(f"an endpoint's address cannot be read (its host or its port); {form}") from None
    if "@" in url or "?" in url:
        raise UsageError(
            "an endpoint's address holds a user, a password or a query, and would be recorded with every run; "
            "put the key into an environment variable and name it with key:"
        )
    if parts.scheme not in _PORTS or not host:
        raise UsageError(f"endpoint '{url}' is no http:// or https:// address; {form}")
    address = _address(host)
    if (address is None and not _HOST.fullmatch(host)) or not _PATH.fullmatch(parts.path):
        raise UsageError(f"endpoint '{url}' has a host or a path with characters that do not belong there; {form}")
    if not mark or not model.strip() or not model.isprintable():
        raise UsageError(f"endpoint '{url}' names no model after a #; {form}")
    shown = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else host
    place = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return Endpoint(f"{parts.scheme}://{place}{path}", model.strip(), host, is_loopback(f"{parts.scheme}://{place}"))


def is_loopback(url: str) -> bool:
    """
    >>> is_loopback("http://localhost:11434/v1"), is_loopback("http://10.0.0.7:8000")
    (True, False)

    True for `localhost` and for addresses written out in full (127.0.0.0/8, ::1); a name is never looked up.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost":
        return True
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def endpoint_host(name: str) -> str:
    """
    >>> endpoint_host("endpoint:https://llm.hospital.example/v1#m")
    'llm.hospital.example'
    """
    return parse_endpoint(name).host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
