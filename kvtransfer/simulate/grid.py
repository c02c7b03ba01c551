"""Sizes and policies to try, and what comes of each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from kvtransfer.simulate.optimum import optimal_hits
from kvtransfer.simulate.replay import Hierarchy, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.simulate.trace import Request


@dataclass(frozen=True)
class Machine:
    """What the model and the machine make of a chunk."""

    chunk_tokens: int
    token_bytes: int
    prefill_tokens_per_s: float
    """Computed, not restored."""
    tier_bytes_per_s: dict[str, float]
    """Of loads, by tier."""

    @property
    def chunk_bytes(self) -> int:
        """Of all layers."""
        return self.chunk_tokens * self.token_bytes

    def saved_s(self, hits: Counter[str], tokens: int) -> float:
        """By restoring ``hits`` of a prompt instead of computing them; not less than nothing."""
        load_s = sum(n * self.chunk_bytes / self.tier_bytes_per_s[tier] for tier, n in hits.items())
        return max(0.0, self.saved_tokens(hits, tokens) / self.prefill_tokens_per_s - load_s)

    def saved_tokens(self, hits: Counter[str], tokens: int) -> int:
        """The last chunk of a prompt may not be full."""
        return min(hits.total() * self.chunk_tokens, tokens)


@dataclass
class Outcome:
    """What one configuration makes of all requests."""

    sizes: Sizes
    policy: str
    requests: int = 0
    chunks: int = 0
    tokens: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    """Chunks, by tier."""
    written: Counter[str] = field(default_factory=Counter)
    """Chunks, by tier."""
    saved_tokens: int = 0
    saved_s: float = 0.0
    optimal_rate: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Chunks restored of those asked for."""
        return self.hits.total() / self.chunks

    def rate_of(self, tier: str) -> float:
        """Chunks that ``tier`` served of those asked for."""
        return self.hits[tier] / self.chunks


def replayed(
    requests: Sequence[Request],
    sizes: Sequence[Sizes],
    policies: Sequence[str],
    machine: Machine,
    advance: Callable[[], object] = lambda: None,
    admit_chance: float | None = None,
) -> Iterator[Outcome]:
    """Every size under every policy; ``advance`` is called once a request.

    ``admit_chance`` is that of :class:`kvtransfer.simulate.replay.Hierarchy`.
    """

    @cache
    def optimal_rate(slots: int) -> float:
        chains = [request.keys for request in requests]
        return optimal_hits(chains, slots) / sum(map(len, chains))

    distinct = len({key for request in requests for key in request.keys})
    for size in sizes:
        for policy in policies:
            outcome = Outcome(size, policy)
            tiers = Hierarchy(size.at_most(distinct), policy, admit_chance)
            _replay(requests, tiers, outcome, machine, advance)
            outcome.optimal_rate = optimal_rate(min(size.total, distinct))
            yield outcome


def _replay(
    requests: Sequence[Request],
    tiers: Hierarchy,
    outcome: Outcome,
    machine: Machine,
    advance: Callable[[], object],
) -> None:
    for request in requests:
        hits = tiers.serve(request.keys)
        outcome.requests += 1
        outcome.chunks += len(request.keys)
        outcome.tokens += request.tokens
        outcome.hits += hits
        outcome.saved_tokens += machine.saved_tokens(hits, request.tokens)
        outcome.saved_s += machine.saved_s(hits, request.tokens)
        advance()
    outcome.written = tiers.written


def grid(host: Sequence[int], disk: Sequence[int], remote: Sequence[int]) -> list[Sizes]:
    """Every combination."""
    return [Sizes(h, d, r) for d in disk for r in remote for h in host]


def chunks_in(text: str, distinct: int, chunk_bytes: int) -> int:
    """``5%`` of the ``distinct`` chunks of a trace, or so many GiB.

    Raises:
        ValueError: neither, less than nothing, or without end.
    """
    number = float(text.removesuffix("%"))
    if not 0 <= number < math.inf:
        raise ValueError(text)
    if text.endswith("%"):
        return round(distinct * number / 100)
    return int(number * 2**30 / chunk_bytes)
