"""Says how long computing a prompt takes, and reading bytes over a link. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Prefill:
    """Seconds of computing tokens, in the form in which the cost model learns them.

    A token takes a constant, and a part that grows with the tokens before it: attention.
    """

    token_s: float
    context_token_s: float = 0.0
    """What each token before it adds."""

    def seconds(self, tokens: int, context_tokens: int = 0) -> float:
        """How long ``tokens`` behind ``context_tokens`` take."""
        return tokens * (self.token_s + self.context_token_s * (context_tokens + tokens / 2))


def prefill_through(rates: Sequence[tuple[float, int]]) -> Prefill:
    """The prefill that computes whole prompts at these rates.

    Args:
        rates: tokens a second, and how long the prompts were; one, or two of different lengths. One
            rate holds for every length.

    Raises:
        ConfigError: the longer prompt is computed faster, or so slowly that nothing would be left
            for the shorter one.
    """
    times = sorted((tokens, 1 / rate) for rate, tokens in rates)
    (short, short_s), (long, long_s) = times[0], times[-1]
    if short == long:
        return Prefill(short_s)
    # Over a whole prompt a token has half the prompt before it, on average.
    context_token_s = (long_s - short_s) / (long - short) * 2
    token_s = short_s - context_token_s * short / 2
    if context_token_s < 0 or token_s <= 0:
        raise ConfigError(
            f"--prefill-tokens-per-s: {1 / long_s:,.0f} tokens/s at {long:,} tokens don't fit "
            f"{1 / short_s:,.0f} at {short:,}; longer prompts take a little longer for each token"
        )
    return Prefill(token_s, context_token_s)


@dataclass(frozen=True)
class Link:
    """The way from a tier to the engine."""

    tier: str
    bytes_per_s: float
    round_trip_s: float = 0.0

    def seconds(self, nbytes: int) -> float:
        """How long ``nbytes`` take, without a round trip."""
        return nbytes / self.bytes_per_s
