"""The most that host memory of a size can yield, by knowing the future."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


def optimal_hits(requests: Sequence[Sequence[Hashable]], slots: int) -> int:
    """Chunks hit by leading runs when what is needed again last always goes first (Belady).

    Of a request, later chunks go before earlier ones, so that no chunk outlives its prefix.
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
    """For each chunk of each request, the next request that has it."""
    coming: dict[Hashable, int] = {}
    uses = []
    for number in range(len(requests) - 1, -1, -1):
        uses.append([coming.get(key, _NEVER) for key in requests[number]])
        coming.update(dict.fromkeys(requests[number], number))
    return uses[::-1]
