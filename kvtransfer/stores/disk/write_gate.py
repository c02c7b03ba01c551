"""A place that takes nothing for now is left alone, and somebody is told, once a minute."""

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
    """Lets writes through while they succeed, and after one that failed a probe now and then.

    Reads don't pass here: what a full or read-only place holds can still be had.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._breaker = CircuitBreaker(BreakerSettings(failures_to_open=1))
        self._lock = Lock()
        self._logged_s: float | None = None

    def allows(self) -> bool:
        """Whether to write now; the outcome is owed to ``succeeded`` or ``failed``."""
        with self._lock:
            return self._breaker.allows(self._clock())

    def succeeded(self) -> None:
        """The write was taken."""
        with self._lock:
            self._breaker.succeeded()

    def failed(self, cause: str) -> None:
        """The write was not taken, and others won't be."""
        with self._lock:
            self._breaker.failed(self._clock())
        self.refused(cause)

    def refused(self, cause: str) -> None:
        """The write was not taken, which says nothing about others."""
        with self._lock:
            now_s = self._clock()
            if self._logged_s is not None and now_s < self._logged_s + _LOG_EVERY_S:
                return
            self._logged_s = now_s
            what = "takes no chunks for now" if self._breaker.is_open else "can't take every chunk"
        _LOG.warning("store %s %s: %s", self._address, what, cause)
