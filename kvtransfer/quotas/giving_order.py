"""Finds the tenant that holds most, which is the first to give way. Pure."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.quotas.holding import Holding

# Entries that were replaced stay in the heap until there are this many times as many as tenants.
_MOST_STALE = 4
_LEAST_ENTRIES = 64


class GivingOrder:
    """Orders active tenants that have chunks to give, in O(log n) a change.

    A heap has an entry for each, at least as large as what it holds: one that shrinks is found to
    have shrunk only at the top. Among equals the one that was entered first gives way.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Holding]] = []
        self._numbers = count()
        self._entered = 0
        """Tenants that have an entry."""

    def note(self, holding: Holding) -> None:
        """``holding`` may have grown, or has something to give now."""
        if not holding.is_active or not holding.idle:
            return
        size = holding.size
        if holding.queued is None:
            self._entered += 1
        elif holding.queued >= size:
            return
        self._push(holding, size)

    def first(self) -> Holding | None:
        """The first to give way; None: no active tenant has anything to give."""
        heap = self._heap
        while heap:
            size, _, holding = heap[0]
            if holding.queued != -size:
                heapq.heappop(heap)  # another entry stands for it
            elif not holding.is_active or not holding.idle:
                heapq.heappop(heap)
                holding.queued = None
                self._entered -= 1
            elif holding.size < -size:
                heapq.heappop(heap)
                self._push(holding, holding.size)
            else:
                return holding
        return None

    def _push(self, holding: Holding, size: int) -> None:
        if len(self._heap) > max(_LEAST_ENTRIES, _MOST_STALE * self._entered):
            self._heap = [entry for entry in self._heap if entry[2].queued == -entry[0]]
            heapq.heapify(self._heap)
        holding.queued = size
        heapq.heappush(self._heap, (-size, next(self._numbers), holding))
