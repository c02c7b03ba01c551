"""Bounds how fast a store is asked, so that it has time for those whom it serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

# A pause shorter than this is left for later: sleeping takes longer than asked anyway.
_LEAST_PAUSE_S = 0.002


class Pace:
    """Lets ``per_s`` units pass a second, on average; 0: as many as come.

    ``clock`` returns seconds, and ``sleep`` takes them.
    """

    def __init__(
        self,
        per_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_s = per_s
        self._clock = clock
        self._sleep = sleep
        self._free_s = clock()
        """When all that has passed may have passed."""

    def spend(self, units: float) -> None:
        """Let ``units`` pass: sleep until those before them may have passed."""
        if not self._per_s:
            return
        now_s = self._clock()
        if self._free_s - now_s >= _LEAST_PAUSE_S:
            self._sleep(self._free_s - now_s)
        self._free_s = max(self._free_s, now_s) + units / self._per_s

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``, each of which is one unit."""
        for item in items:
            self.spend(1)
            yield item
