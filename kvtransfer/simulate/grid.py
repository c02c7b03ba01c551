"""Replays a trace for every combination of sizes and policies."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.reach import Everything
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.simulate.optimum import optimal_hits
from kvtransfer.simulate.replay import Sizes, fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.chunks.reach import Reach
    from kvtransfer.simulate.replay import Hierarchy, Served
    from kvtransfer.simulate.request import Request


@dataclass(frozen=True)
class Machine:
    """The size of a chunk, its pieces and the speeds of the machine, to convert hits into time."""

    chunk_tokens: int
    token_bytes: float
    prefill_tokens_per_s: float
    """Tokens that the model computes each second."""
    tier_bytes_per_s: dict[str, float]
    """Load speed of each tier."""
    reaches: tuple[Reach, ...] = (Everything(),)
    """How far back each of the model's cache groups reads; all have as many bytes a token."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """How many times smaller a tier holds a piece than it is computed; not at all where none is named."""

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk as it is computed, in all layers."""
        return int(self.chunk_tokens * self.token_bytes)

    def piece_bytes(self, tier: str) -> int:
        """Bytes of what one cache group keeps of a chunk, as ``tier`` holds it."""
        return int(self.chunk_bytes / len(self.reaches) / self.ratios.get(tier, 1.0))

    @property
    def groups(self) -> Groups:
        """The model's cache groups."""
        size = self.chunk_tokens
        return Groups(tuple(Tiling(size, size, reach) for reach in self.reaches))

    def saved_s(self, served: Served, tokens: int) -> float:
        """Seconds saved by what was ``served`` of a prompt of ``tokens``; never negative."""
        speeds = self.tier_bytes_per_s
        load_s = sum(n * self.piece_bytes(tier) / speeds[tier] for tier, n in served.pieces.items())
        return max(0.0, self.saved_tokens(served.hits, tokens) / self.prefill_tokens_per_s - load_s)

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
    """Pieces by tier."""
    saved_tokens: int = 0
    saved_s: float = 0.0
    optimal_rate: float = 0.0
    """NaN where the model has several cache groups: the optimum of those isn't known."""

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
    instances: int = 1,
) -> Iterator[Outcome]:
    """The outcome of every size under every policy.

    Args:
        requests: the trace.
        sizes: of the tiers, in pieces.
        policies: names of eviction policies.
        machine: what converts hits into time.
        advance: is called after each request.
        admit_chance: see :class:`kvtransfer.simulate.replay.Hierarchy`.
        instances: get the requests in turn, and share the remote store.
    """

    @cache
    def optimal_rate(slots: int) -> float:
        if len(machine.reaches) > 1:
            return math.nan
        chains = [request.keys for request in requests]
        return optimal_hits(chains, slots) / sum(map(len, chains))

    distinct = len(machine.reaches) * len({key for request in requests for key in request.keys})
    for size in sizes:
        for policy in policies:
            outcome = Outcome(size, policy)
            fitting = size.at_most(distinct)
            tiers = fleet(fitting, policy, machine.groups, admit_chance, instances)
            _replay(requests, tiers, outcome, machine, advance)
            together = instances * (fitting.host + fitting.disk) + fitting.remote
            outcome.optimal_rate = optimal_rate(min(together, distinct))
            yield outcome


def _replay(
    requests: Sequence[Request],
    tiers: Sequence[Hierarchy],
    outcome: Outcome,
    machine: Machine,
    advance: Callable[[], object],
) -> None:
    for request, engine in zip(requests, cycle(tiers), strict=False):
        served = engine.serve(request.keys, request.tokens)
        outcome.requests += 1
        outcome.chunks += len(request.keys)
        outcome.tokens += request.tokens
        outcome.hits += served.hits
        outcome.saved_tokens += machine.saved_tokens(served.hits, request.tokens)
        outcome.saved_s += machine.saved_s(served, request.tokens)
        advance()
    outcome.written = sum((engine.written for engine in tiers), Counter())


def grid(host: Sequence[int], disk: Sequence[int], remote: Sequence[int]) -> list[Sizes]:
    """Every combination of sizes, in pieces."""
    return [Sizes(h, d, r) for d in disk for r in remote for h in host]


def pieces_in(text: str, distinct: int, piece_bytes: int) -> int:
    """The pieces that a tier of the size ``text`` holds.

    Args:
        text: a share of the ``distinct`` pieces of a trace, as in ``5%``, or GiB.
        distinct: number of different pieces.
        piece_bytes: size of one.

    Raises:
        ValueError: ``text`` is neither, is negative or not finite.
    """
    number = float(text.removesuffix("%"))
    if not 0 <= number < math.inf:
        raise ValueError(text)
    if text.endswith("%"):
        return round(distinct * number / 100)
    return int(number * 2**30 / piece_bytes)
