"""When chunks that host memory still holds are offered to the store again. Pure.

A store loses what it had (FLUSHALL, an expired TTL, eviction) and refuses what it is offered (when
full) without telling us later. To offer a chunk that it has costs one small question, so each
chunk that a request has again is offered again, once in ``EVERY_S``.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY_S = 60.0


class PutAgain:
    """For the chunks in ``slots`` slots.

    Args:
        slots: how many there are.
        clock: seconds that never go back.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_s = [0.0] * slots
        """From when on the chunk in a slot may be offered again."""
        self._waiting: dict[int, str] = {}
        """Chunks to be offered when they are due, by slot."""
        self._line: list[tuple[float, int, str]] = []
        """The same by time, with some that no longer wait."""

    def saved(self, slots: Iterable[int]) -> None:
        """What ``slots`` hold now is new to the store: whether it took it is seen when touched."""
        for slot in slots:
            self._due_s[slot] = 0.0

    def fetched(self, slots: Iterable[int]) -> None:
        """What ``slots`` hold now comes from the store, so that is not asked for a while."""
        due_s = self._clock() + EVERY_S
        for slot in slots:
            self._due_s[slot] = due_s

    def touch(self, slot: int, key: str) -> None:
        """A request has ``key``, which ``slot`` holds, again: offer it once it is due."""
        if self._waiting.get(slot) != key:
            self._waiting[slot] = key
            heapq.heappush(self._line, (self._due_s[slot], slot, key))

    def take(self, most: int) -> list[tuple[int, str]]:
        """At most that many slots with their chunks, which are to be offered now."""
        now_s = self._clock()
        taken: list[tuple[int, str]] = []
        while len(taken) < most and self._line and self._line[0][0] <= now_s:
            _, slot, key = heapq.heappop(self._line)
            if self._waiting.get(slot) == key:
                del self._waiting[slot]
                taken.append((slot, key))
        for slot, _ in taken:
            self._due_s[slot] = now_s + EVERY_S
        return taken
