"""Warns at most once a minute that puts are dropped, and says what to change."""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("kvtransfer")
_EVERY_S = 60.0


class DroppedPuts:
    """Counts dropped puts and warns; any thread may call.

    Args:
        limit: how many puts may wait, for the message.
        clock: returns seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._untold = 0
        self._told_s: float | None = None

    def note(self) -> None:
        """Count one dropped put, and warn unless this minute has had its warning."""
        with self._lock:
            self._untold += 1
            now_s = self._clock()
            if self._told_s is not None and now_s < self._told_s + _EVERY_S:
                return
            self._told_s = now_s
            untold, self._untold = self._untold, 0
        _LOG.warning(
            "the store takes less than is saved: %d puts dropped, because more than "
            "max_pending_puts=%d waited; raise it where bursts are short, else put less "
            "(write_policy: write_back, save_decode: false) or use a faster store",
            untold,
            self._limit,
        )
