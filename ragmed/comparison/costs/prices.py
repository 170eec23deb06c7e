"""What a machine and its tokens cost: numbers in, a checked record out, and the price of seconds and tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ragmed.errors import UsageError


@dataclass(frozen=True, slots=True)
class Prices:
    """
    >>> Prices(currency="EUR", machine_hour=1.8).of_seconds(600)
    0.3

    `machine_hour`: an hour of the machine; `million_input_tokens`, `million_output_tokens`: what a provider takes for
    tokens. 0: not priced, which is not the same as free. Where tokens are priced, questions are paid by their tokens
    and machine hours pay for training and indexing alone, so that nothing is paid twice. Raises UsageError.
    """

    currency: str = ""
    machine_hour: float = 0.0
    million_input_tokens: float = 0.0
    million_output_tokens: float = 0.0

    def __post_init__(self) -> None:
        for name in ("machine_hour", "million_input_tokens", "million_output_tokens"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise UsageError(f"prices, {name}: it is {value!r}; give a number of at least 0 (0: not priced)")
        if not isinstance(self.currency, str):
            raise UsageError(f"prices, currency: it is {self.currency!r}; give its name, such as EUR")

    @property
    def given(self) -> bool:
        return self.machine_hour > 0 or self.by_token

    @property
    def by_token(self) -> bool:
        return self.million_input_tokens > 0 or self.million_output_tokens > 0

    def over(self, other: Prices) -> Prices:
        """These prices, and those of `other` where these say nothing."""
        return Prices(
            self.currency or other.currency,
            self.machine_hour or other.machine_hour,
            self.million_input_tokens or other.million_input_tokens,
            self.million_output_tokens or other.million_output_tokens,
        )

    def of_seconds(self, seconds: float) -> float | None:
        """None where a machine hour has no price."""
        return self.machine_hour * seconds / 3600 if self.machine_hour else None

    def of_question(self, *, seconds: float, input_tokens: float, output_tokens: float) -> float | None:
        """What one question costs, None where a part of it has no price."""
        if not self.by_token:
            return self.of_seconds(seconds)
        parts = ((self.million_input_tokens, input_tokens), (self.million_output_tokens, output_tokens))
        if any(tokens > 0 and not price for price, tokens in parts):
            return None
        return sum(price * tokens for price, tokens in parts) / 1e6
