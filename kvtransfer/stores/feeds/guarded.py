"""Turns the failures of a feed into payloads that aren't carried, behind a circuit breaker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvtransfer.errors import PartError, StoreError
from kvtransfer.rare_log import RareLog
from kvtransfer.stores.circuit_breaker import CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.feeds.interface import Feed, FeedReader


class GuardedFeed:
    """Counts each failure of ``feed`` and logs one a minute; for one thread.

    An exception that isn't a :class:`StoreError` is a fault of ours: its traceback is logged. Owns
    ``feed`` and closes it. ``clock`` returns seconds.
    """

    failures: int
    """Calls that the feed did not answer."""
    refused: int
    """Calls that did nothing, as the breaker was open."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        self.refused = 0
        self._feed = feed
        self._clock = clock
        self._breaker = CircuitBreaker()
        self._log = RareLog(clock)
        self._unexpected = RareLog(clock)

    def append(self, topic: str, payload: bytes) -> bool:
        """See :class:`Feed`; return whether ``payload`` was appended."""
        if self._allows():
            with self._noting_failures():
                self._feed.append(topic, payload)
                return True
        return False

    def reader(self, topic: str) -> FeedReader:
        """See :class:`Feed`; pass the reader to ``read``."""
        return self._feed.reader(topic)

    def read(self, reader: FeedReader, most_bytes: int) -> list[bytes]:
        """See :class:`FeedReader`; nothing is read when the feed fails."""
        if self._allows():
            with self._noting_failures():
                return reader.read(most_bytes)
        return []

    def close(self) -> None:
        """See :class:`Feed`."""
        try:
            self._feed.close()
        except Exception as error:  # noqa: BLE001 - it may not end the caller
            self._note(error)

    def _allows(self) -> bool:
        is_allowed = self._breaker.allows(self._clock())
        self.refused += not is_allowed
        return is_allowed

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """Swallow what the body raises, and tell the breaker how it ended."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what isn't carried costs no request
            self._note(error)
        else:
            self._breaker.succeeded()

    def _note(self, error: Exception) -> None:
        self.failures += 1
        if not isinstance(error, StoreError):
            fault = "passages aren't exchanged: a fault of kvtransfer, please report it"
            self._unexpected.warn_unexpected(fault, error)
            return
        if not isinstance(error, PartError):
            self._breaker.failed(self._clock())
        self._log.warn(f"passages aren't exchanged with other processes: {error}")
