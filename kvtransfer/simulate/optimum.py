"""Computes the offline optimum: the most chunks that a cache of a size can serve (Belady, 1966)."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


def optimal_hits(requests: Sequence[Sequence[Hashable]], slots: int) -> int:
    """Chunks served when the cache always evicts the chunk whose next request is furthest away.

    Only the leading chunks of a request that are all cached count as hits. Among chunks of one
    request, later ones are evicted first, so that no chunk outlives its prefix.

    Args:
        requests: the keys of each request, in the order of their tokens.
        slots: chunks that the cache holds.
    """
    next_uses = _next_uses(requests)
    held: dict[Hashable, tuple[int, int]] = {}
    latest: list[tuple[int, int, Hashable]] = []
    hits = 0
    for keys, uses in zip(requests, next_uses, strict=True):
        hits += next((i for i, key in enumerate(keys) if key not in held), len(keys))
        for depth, (key, use) in enumerate(zip(keys, uses, strict=True)):
            if use == _NEVER:
                held.pop(key, None)
            else:
                held[key] = rank = (-use, -depth)
                heappush(latest, (*rank, key))
        while len(held) > slots:
            use, depth, key = heappop(latest)
            if held.get(key) == (use, depth):
                del held[key]
    return hits


_NEVER = -1


def _next_uses(requests: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """For each chunk of each request, the position of the next request that has it."""
    coming: dict[Hashable, int] = {}
    uses = []
    for number in range(len(requests) - 1, -1, -1):
        uses.append([coming.get(key, _NEVER) for key in requests[number]])
        coming.update(dict.fromkeys(requests[number], number))
    return uses[::-1]
