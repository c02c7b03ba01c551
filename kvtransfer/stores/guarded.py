"""Turns the failures of a store into misses, behind a circuit breaker."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.errors import PartError, StoreError
from kvtransfer.rare_log import RareLog
from kvtransfer.stores.circuit_breaker import CircuitBreaker
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.stores.interface import ChunkStore

_LOG = logging.getLogger("kvtransfer")


class GuardedStore:
    """Makes each failure of ``store`` a miss, counts it, and logs one a minute.

    While its :class:`CircuitBreaker` is open, calls are misses at once. An exception that isn't a
    :class:`StoreError` is a fault of ours: a miss too, with its traceback in the log. The breaker
    doesn't count it, because one entry may have caused it. Owns ``store`` and closes it. Safe to
    call from several threads. ``clock`` returns seconds.
    """

    failures: int
    """Calls that the store did not answer."""
    faults: int
    """Failures that were faults of ours."""
    refused: int
    """Calls that were misses without asking the store, as the breaker was open."""

    def __init__(
        self,
        store: ChunkStore,
        address: str,
        *,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self.faults = 0
        self.refused = 0
        self._store = store
        self._address = masked(address)
        self._breaker = CircuitBreaker() if breaker is None else breaker
        self._clock = clock
        self._lock = Lock()
        self._log = RareLog(clock)
        self._unexpected = RareLog(clock)
        self._unanswered = 0
        """Calls that were not answered since the store last answered one."""

    @property
    def parallelism(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return self._store.parallelism

    def open_breakers(self) -> int:
        """Count the breakers that are open: this one, and those of the store's parts."""
        return self._breaker.is_open + self._store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; all False when the store fails."""
        if self._allows():
            with self._noting_failures():
                return self._store.contains(keys)
        return [False] * len(keys)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; a miss when the store fails."""
        if self._allows():
            with self._noting_failures():
                return self._store.get_into(key, payload, tenant)
        return False

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; False when the store fails."""
        if self._allows():
            with self._noting_failures():
                return self._store.put(key, payload, tenant, ttl_s)
        return False

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`kvtransfer.stores.interface.Store`; nothing where the store fails."""
        if self._allows():
            with self._noting_failures():
                self._store.expect_puts(keys)

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        try:
            self._store.close()
        except Exception as error:  # noqa: BLE001 - the rest has to be closed, too
            self._note(error)

    def _allows(self) -> bool:
        with self._lock:
            is_allowed = self._breaker.allows(self._clock())
            self.refused += not is_allowed
            self._unanswered += not is_allowed
        return is_allowed

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """Swallow what the body raises, and tell the breaker how it ended."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a cache may not end a thread
            self._note(error)
        else:
            self._serves()

    def _serves(self) -> None:
        with self._lock:
            was_open, missed = self._breaker.is_open, self._unanswered
            self._breaker.succeeded()
            self._unanswered = 0
        if was_open:
            _LOG.warning("store %s serves again; %d calls were not answered", self._address, missed)

    def _note(self, error: Exception) -> None:
        is_ours = not isinstance(error, StoreError)
        with self._lock:
            self.failures += 1
            self._unanswered += 1
            self.faults += is_ours
            if not is_ours and not isinstance(error, PartError):
                self._breaker.failed(self._clock())
        if is_ours:
            told = f"store {self._address}: a fault of kvtransfer, please report it"
            self._unexpected.warn_unexpected(told, error)
        else:
            cause = str(error).removeprefix(f"{self._address}: ")
            self._log.warn(f"store {self._address} fails, its chunks are misses: {cause}")
