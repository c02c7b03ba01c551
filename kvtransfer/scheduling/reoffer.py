"""Decides when chunks that host memory still holds are offered to the store again. Pure.

A store loses what it had (FLUSHALL, an expired TTL, eviction) and refuses what it is offered (when
full), and does not tell us later. Offering a chunk that it has costs one small question, so each
chunk that a request has again is offered again, at most once in ``EVERY_S``.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

from kvtransfer.scheduling.life import Offered, longer

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
        self._waiting: dict[int, Offered] = {}
        """The chunks that wait until they are due, by slot."""
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

    def touch(self, slot: int, key: str, ttl_s: int | None = None) -> None:
        """A request has ``key``, which ``slot`` holds, again: offer the chunk once it is due.

        It is to live for ``ttl_s``, or for as long as another request asks meanwhile.
        """
        waiting = self._waiting.get(slot)
        if waiting is None or waiting.key != key:
            self._waiting[slot] = Offered(slot, key, ttl_s)
            heapq.heappush(self._by_time, (self._due_s[slot], slot, key))
        else:
            self._waiting[slot] = waiting._replace(ttl_s=longer(waiting.ttl_s, ttl_s))

    def take(self, most: int) -> list[Offered]:
        """At most ``most`` chunks that are to be offered now."""
        now_s = self._clock()
        taken: list[Offered] = []
        while len(taken) < most and self._by_time and self._by_time[0][0] <= now_s:
            _, slot, key = heapq.heappop(self._by_time)
            waiting = self._waiting.get(slot)
            if waiting is not None and waiting.key == key:
                del self._waiting[slot]
                taken.append(waiting)
        for offered in taken:
            self._due_s[offered.slot] = now_s + EVERY_S
        return taken
