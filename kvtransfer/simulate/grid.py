"""Replays a trace for every combination of sizes and policies."""

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
    """The size of a chunk and the speeds of the machine, to convert hits into time."""

    chunk_tokens: int
    token_bytes: int
    prefill_tokens_per_s: float
    """Tokens that the model computes each second."""
    tier_bytes_per_s: dict[str, float]
    """Load speed of each tier."""

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk, in all layers."""
        return self.chunk_tokens * self.token_bytes

    def saved_s(self, hits: Counter[str], tokens: int) -> float:
        """Seconds saved by loading ``hits``, chunks by tier, of a prompt of ``tokens``; never negative."""
        load_s = sum(n * self.chunk_bytes / self.tier_bytes_per_s[tier] for tier, n in hits.items())
        return max(0.0, self.saved_tokens(hits, tokens) / self.prefill_tokens_per_s - load_s)

    def saved_tokens(self, hits: Counter[str], tokens: int) -> int:
        """Tokens in ``hits`` of a prompt of ``tokens``, whose last chunk may not be full."""
        return min(hits.total() * self.chunk_tokens, tokens)


@dataclass
class Outcome:
    """The totals of one configuration over all requests."""

    sizes: Sizes
    policy: str
    requests: int = 0
    chunks: int = 0
    tokens: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    """Chunks by tier."""
    written: Counter[str] = field(default_factory=Counter)
    """Chunks by tier."""
    saved_tokens: int = 0
    saved_s: float = 0.0
    optimal_rate: float = 0.0

    @property
    def hit_rate(self) -> float:
        """The share of requested chunks that any tier served."""
        return self.hits.total() / self.chunks

    def rate_of(self, tier: str) -> float:
        """The share of requested chunks that ``tier`` served."""
        return self.hits[tier] / self.chunks


def replayed(
    requests: Sequence[Request],
    sizes: Sequence[Sizes],
    policies: Sequence[str],
    machine: Machine,
    advance: Callable[[], object] = lambda: None,
    admit_chance: float | None = None,
) -> Iterator[Outcome]:
    """The outcome of every size under every policy.

    Args:
        requests: the trace.
        sizes: of the tiers, in chunks.
        policies: names of eviction policies.
        machine: what converts hits into time.
        advance: is called after each request.
        admit_chance: see :class:`kvtransfer.simulate.replay.Hierarchy`.
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
    """Every combination of sizes, in chunks."""
    return [Sizes(h, d, r) for d in disk for r in remote for h in host]


def chunks_in(text: str, distinct: int, chunk_bytes: int) -> int:
    """The chunks that a tier of the size ``text`` holds.

    Args:
        text: a share of the ``distinct`` chunks of a trace, as in ``5%``, or GiB.
        distinct: number of different chunks.
        chunk_bytes: size of one.

    Raises:
        ValueError: ``text`` is neither, is negative or not finite.
    """
    number = float(text.removesuffix("%"))
    if not 0 <= number < math.inf:
        raise ValueError(text)
    if text.endswith("%"):
        return round(distinct * number / 100)
    return int(number * 2**30 / chunk_bytes)
