"""Stops writing to a disk that takes nothing, and logs that once a minute."""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.stores.circuit_breaker import BreakerSettings, CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("kvtransfer")
_LOG_EVERY_S = 60.0


class WriteGate:
    """A circuit breaker for writes, with a log; safe to call from several threads.

    Reads don't pass it: a full or read-only disk still serves what it holds.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._breaker = CircuitBreaker(BreakerSettings(failures_to_open=1))
        self._lock = Lock()
        self._logged_s: float | None = None

    def allows(self) -> bool:
        """Whether to write now; then report the outcome to ``succeeded`` or ``failed``."""
        with self._lock:
            return self._breaker.allows(self._clock())

    def succeeded(self) -> None:
        """Note that the disk took a write."""
        with self._lock:
            self._breaker.succeeded()

    def failed(self, cause: str) -> None:
        """Note that a write failed for a ``cause`` that concerns all writes, and log it."""
        with self._lock:
            self._breaker.failed(self._clock())
        self.refused(cause)

    def refused(self, cause: str) -> None:
        """Log that a write failed for a ``cause`` that concerns its path alone."""
        with self._lock:
            now_s = self._clock()
            if self._logged_s is not None and now_s < self._logged_s + _LOG_EVERY_S:
                return
            self._logged_s = now_s
            what = "takes no chunks for now" if self._breaker.is_open else "can't take every chunk"
        _LOG.warning("store %s %s: %s", self._address, what, cause)
