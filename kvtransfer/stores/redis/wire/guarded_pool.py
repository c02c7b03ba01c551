"""Guards the connections to one server by a circuit breaker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from kvtransfer.stores.circuit_breaker import BreakerSettings, CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.redis.wire.batch import Batch
    from kvtransfer.stores.redis.wire.pool import ConnectionPool

# A replica takes over within seconds, and to notice that shouldn't take much longer.
FAILOVER = BreakerSettings(longest_cooldown_s=1.0)
"""For servers that have a replica."""


class NodeDownError(ConnectionError):
    """A node that failed several times in a row is not asked until its cooldown is over."""


class GuardedPool:
    """``pool`` behind a circuit breaker of its own."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._breaker = CircuitBreaker(FAILOVER)
        self._lock = Lock()

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """See :class:`ConnectionPool`.

        Raises:
            NodeDownError: at once, while the breaker is open.
        """
        with self._counted():
            return self._pool.execute(batch, deadline_s)

    @property
    def is_far(self) -> bool:
        """See :class:`ConnectionPool`."""
        return self._pool.is_far

    @property
    def is_open(self) -> bool:
        """Whether its breaker is open."""
        return self._breaker.is_open

    def close(self) -> None:
        """See :class:`ConnectionPool`."""
        self._pool.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Tell the breaker how a call ends; an error that the server itself says is an answer."""
        with self._lock:
            if not self._breaker.allows(time.monotonic()):
                raise NodeDownError("left alone after failures in a row")
        try:
            yield
        except (ConnectionError, TimeoutError):
            with self._lock:
                self._breaker.failed(time.monotonic())
            raise
        except RedisError:
            self._succeeded()
            raise
        self._succeeded()

    def _succeeded(self) -> None:
        with self._lock:
            self._breaker.succeeded()
