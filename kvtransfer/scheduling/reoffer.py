"""Decides when chunks that host memory still holds are offered to the store again. Pure.

A store loses what it had (FLUSHALL, an expired TTL, eviction) and refuses what it is offered (when
full), and does not tell us later. Offering a chunk that it has costs one small question, so each
chunk that a request has again is offered again, at most once in ``EVERY_S``.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY_S = 60.0


class Reoffer:
    """When the chunk in each of ``slots`` slots is due to be offered again.

    Args:
        slots: how many there are.
        clock: seconds that never go back.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_s = [0.0] * slots
        """The earliest time at which the chunk in each slot may be offered again."""
        self._waiting: dict[int, str] = {}
        """Keys of the chunks that wait until they are due, by slot."""
        self._by_time: list[tuple[float, int, str]] = []
        """A heap of the same by due time; some entries no longer wait."""

    def saved(self, slots: Iterable[int]) -> None:
        """``slots`` hold chunks new to the store: a touch soon finds out whether it took them."""
        for slot in slots:
            self._due_s[slot] = 0.0

    def fetched(self, slots: Iterable[int]) -> None:
        """``slots`` hold chunks that came from the store, which need not be asked for a while."""
        due_s = self._clock() + EVERY_S
        for slot in slots:
            self._due_s[slot] = due_s

    def touch(self, slot: int, key: str) -> None:
        """A request has ``key``, which ``slot`` holds, again: offer the chunk once it is due."""
        if self._waiting.get(slot) != key:
            self._waiting[slot] = key
            heapq.heappush(self._by_time, (self._due_s[slot], slot, key))

    def take(self, most: int) -> list[tuple[int, str]]:
        """Slots and keys of at most ``most`` chunks that are to be offered now."""
        now_s = self._clock()
        taken: list[tuple[int, str]] = []
        while len(taken) < most and self._by_time and self._by_time[0][0] <= now_s:
            _, slot, key = heapq.heappop(self._by_time)
            if self._waiting.get(slot) == key:
                del self._waiting[slot]
                taken.append((slot, key))
        for slot, _ in taken:
            self._due_s[slot] = now_s + EVERY_S
        return taken
