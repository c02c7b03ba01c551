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

FAILOVER = BreakerSettings(longest_cooldown_s=1.0)
"""Settings for a server with a replica, which takes over within seconds."""


class NodeDownError(ConnectionError):
    """A node isn't asked, as its circuit breaker is open."""


class GuardedPool:
    """Executes batches on ``pool`` while its circuit breaker allows it; safe to use from threads."""

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
        """Tell the breaker how a call ends; an error that the server answers is no failure."""
        with self._lock:
            if not self._breaker.allows(time.monotonic()):
                raise NodeDownError("not asked after failures in a row")
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
