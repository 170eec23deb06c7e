"""What an experiment may set for a model. In: the entry of a config. Out: a checked, frozen ModelSettings.

Settings that mean nothing for a kind of model are refused, so that no run seems to have been made with them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from ragmed.checked import Bounds, dump, parse
from ragmed.errors import UsageError
from ragmed.models.constraint import HeldBy
from ragmed.models.names import parse_model_name

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = ("auto", "float32", "bfloat16", "float16")
Quantization = Literal["none", "8bit", "4bit"]
LOCAL = ("packaged", "path", "hf")
REMOTE = ("endpoint", "chat")
SAMPLING = (*REMOTE, "vllm")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_KEY = 20


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """
    >>> ModelSettings("endpoint:http://127.0.0.1:8000/v1#medllama", concurrency=16).temperature
    0.0

    `name`: one string, see `ragmed.models.names`. For models that run here: `dtype`, `device` (auto, cpu, cuda,
    cuda:1, or `map` to spread the layers over all GPUs), `quantization` (needs bitsandbytes). For servers and
    providers: `concurrency` (requests at a time), `timeout` (seconds a request may take, whatever trickles in),
    `retries`, `key` (the environment variable that holds the key), `trusted` (restricted data may be sent there: you
    say that it lies within your walls), `tokenizer` (a `path:` or `hf:` name that counts tokens as the server does).
    `constrained_by`: how arms with `constrained: true` are held to the valid forms, in the words of the server (see
    `ragmed.models.constraint`); '' is `json_schema` for servers and providers, and the likelihood of each option for
    models that run here. `temperature`, `top_p` and the experiment's seed are sent with every request; models that run
    here decode greedily.
    `context_tokens` 0: what the model or its server reports. `thinking_tokens`: how many tokens a reasoning model may
    think, before and beside the answer's own; 0 asks it not to.

    For any model: `base`, the model of this experiment that it was fine-tuned from, and `tuned_by`, the adapter in
    adapters/ whose manifest says on what, where its name does not tell (a merged folder elsewhere, a server). Both are
    for the comparison and change no answer. `base_served`: of a tuned model behind a server, the name under which the
    same server has it without its adapter, so that the adapter can be shown to be in effect.
    """

    name: str
    dtype: Dtype = "auto"
    device: str = "auto"
    quantization: Quantization = "none"
    context_tokens: Annotated[int, Bounds(ge=0)] = 0
    thinking_tokens: Annotated[int, Bounds(ge=0)] = 0
    temperature: Annotated[float, Bounds(ge=0)] = 0.0
    top_p: Annotated[float, Bounds(gt=0, le=1)] = 1.0
    concurrency: Annotated[int, Bounds(ge=1)] = 8
    timeout: Annotated[float, Bounds(gt=0, lt=86_400)] = 120.0
    retries: Annotated[int, Bounds(ge=0)] = 5
    key: str = ""
    trusted: bool = False
    tokenizer: str = ""
    constrained_by: Literal["", HeldBy] = ""
    base: str = ""
    tuned_by: str = ""
    base_served: str = ""

    @property
    def scheme(self) -> str:
        return parse_model_name(self.name).scheme

    @property
    def holds_by(self) -> HeldBy:
        """How an arm of this model that is constrained is held to the valid forms."""
        return self.constrained_by or ("json_schema" if self.scheme in REMOTE else "likelihood")


FOR: dict[str, tuple[str, ...]] = {
    "dtype": (*LOCAL, "vllm"),
    "device": LOCAL,
    "quantization": LOCAL,
    "context_tokens": (*LOCAL, *REMOTE, "vllm"),
    "thinking_tokens": (*LOCAL, *REMOTE, "vllm"),
    "temperature": SAMPLING,
    "top_p": SAMPLING,
    "concurrency": REMOTE,
    "timeout": REMOTE,
    "retries": REMOTE,
    "key": ("endpoint",),
    "trusted": REMOTE,
    "tokenizer": REMOTE,
    "constrained_by": SAMPLING,
    "base_served": ("endpoint",),
}
"""Setting -> the schemes for which it means something."""
_HOLDS: dict[str, tuple[HeldBy, ...]] = {"chat": ("json_schema",), "vllm": ("likelihood", "structured_outputs")}


def check_settings(settings: ModelSettings, where: str) -> ModelSettings:
    """The settings, if they fit the model's kind; UsageError or UnknownNameError name the setting and the remedy."""
    if settings.name.startswith("endpoint:"):  # first of all: an address with a password must reach no message or file
        from ragmed.models.endpoint.names import parse_endpoint

        parse_endpoint(settings.name)
    _check_key(settings.key, where)
    parse(ModelSettings, dump(settings), where)  # which Python code may have made with any value
    scheme = settings.scheme
    defaults = {f.name: f.default for f in fields(ModelSettings)}
    for name, schemes in FOR.items():
        if scheme not in schemes and getattr(settings, name) != defaults[name]:
            raise UsageError(f"{where}.{name}: it means nothing for '{scheme}:' models; take it out")
    if settings.constrained_by and settings.constrained_by not in _HOLDS.get(scheme, (settings.constrained_by,)):
        known = " or ".join(_HOLDS[scheme])
        raise UsageError(f"{where}.constrained_by: '{scheme}:' models are held by {known}; write that, or leave it out")
    return settings


def _check_key(key: str, where: str) -> None:
    """UsageError for what may be the key itself; it is not repeated, since settings are recorded and messages kept.

    Whether the variable is set is asked where the model is loaded: a plan is also read on machines without the key.
    """
    if not key:
        return
    digits, small = any(c.isdigit() for c in key), any(c.islower() for c in key)
    like_a_key = len(key) >= _SHORTEST_KEY and digits and (small or "_" not in key)
    if not _VARIABLE.fullmatch(key) or (like_a_key and not os.environ.get(key)):
        raise UsageError(
            f"{where}.key: it names the environment variable that holds the key, such as WARD_LLM_KEY; "
            "what stands there is no such name, or no variable that is set (if it is a key, take it out of the file)"
        )
