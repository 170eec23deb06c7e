"""Where the environment sends a provider's requests. In: the environment. Out: names of variables with their hosts.

Providers' packages take another address from the environment; the answers may then be another model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

# The names that LangChain's packages and the clients beneath them read, and those after their pattern.
_NAMES = re.compile(
    r"(OPENAI|ANTHROPIC|AZURE_OPENAI|AZURE_AI|MISTRAL|GROQ|FIREWORKS|TOGETHER|DEEPSEEK|XAI|NVIDIA|PERPLEXITY|PPLX|COHERE"
    r"|UPSTAGE|OPENROUTER|GOOGLE_GEMINI|GOOGLE_VERTEX|GEMINI|HUGGINGFACE|HF|{provider})_"
    r"(BASE_URL|API_BASE|API_URL|API_BASE_URL|ENDPOINT|INFERENCE_ENDPOINT|API_ENDPOINT|PROXY|HOST|URL)"
    r"|CO_API_URL|OLLAMA_HOST|WATSONX_URL|AWS_ENDPOINT_URL(_BEDROCK(_RUNTIME)?)?|(HTTPS?|ALL)_PROXY"
)


def provider_addresses(environment: Mapping[str, str], provider: str) -> str:
    """
    >>> provider_addresses({"OPENAI_BASE_URL": "https://user:secret@proxy.example/v1?key=1"}, "openai")
    'OPENAI_BASE_URL=proxy.example'

    `provider`: its name, as in `chat:PROVIDER:MODEL`. Host and port alone: the rest of an address may be a secret.
    """
    names = re.compile(_NAMES.pattern.replace("{provider}", re.escape(provider.upper())))
    addresses = {name: value for name, value in environment.items() if value.strip() and names.fullmatch(name.upper())}
    return ", ".join(f"{name}={_host(value.strip())}" for name, value in sorted(addresses.items()))


def _host(address: str) -> str:
    """What follows `//`, or an address of numbers; anything else may be a key in the wrong place."""
    bare = re.fullmatch(r"(localhost|[0-9.]+)(:[0-9]+)?", address)
    try:
        parts = urlsplit(f"//{address}" if bare else address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        return "(no address)"
    return f"{host}:{port}" if port else host
