"""The connections to one server."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError, TimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.redis.wire.batch import Batch
    from kvtransfer.stores.redis.wire.connection import StoreConnection


class ConnectionPool:
    """Executes at most ``connections`` batches at once, each over a connection of its own.

    A firewall may forget idle connections without telling either end, all at about the same time.
    So after a failure the idle ones are closed: the next batch, a breaker's probe say, connects.
    ``open_connection`` makes one that isn't connected yet; it connects for its first batch, within
    the same deadline. What a fork inherits is not used.
    """

    def __init__(self, open_connection: Callable[[], StoreConnection], connections: int) -> None:
        self._open_connection = open_connection
        self._free = BoundedSemaphore(connections)
        self._idle: list[StoreConnection] = []
        self._lock = Lock()
        self._pid = os.getpid()
        self.is_far = False
        """Whether its server is, by the last batch."""

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """Return the replies to ``batch``; sent again where an idle connection turns out dead.

        Raises:
            RedisError: no answer by ``deadline_s``, or one that makes no sense.
        """
        with self._place(deadline_s):
            if (idle := self._take_idle()) is not None:
                with suppress(ConnectionError):  # the server may have gone and come back meanwhile
                    return self._done(idle, idle.execute(batch, deadline_s))
            connection = self._open_connection()
            return self._done(connection, connection.execute(batch, deadline_s))

    def close(self) -> None:
        """Close what is idle."""
        while (idle := self._pop()) is not None:
            idle.disconnect()

    @contextmanager
    def _place(self, deadline_s: float) -> Iterator[None]:
        """One of the ``connections`` places; idle connections are closed after a failure."""
        if not self._free.acquire(timeout=max(deadline_s - time.monotonic(), 0)):
            raise TimeoutError("no connection free in time")
        try:
            yield
        except (ConnectionError, TimeoutError):
            self.close()
            raise
        finally:
            self._free.release()

    def _done(self, connection: StoreConnection, replies: list[object]) -> list[object]:
        """Keep ``connection``, which has brought ``replies``."""
        self.is_far = connection.is_far
        with self._lock:
            self._idle.append(connection)
        return replies

    def _take_idle(self) -> StoreConnection | None:
        while (idle := self._pop()) is not None:
            if idle.is_usable():
                return idle
            idle.disconnect()
        return None

    def _pop(self) -> StoreConnection | None:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None
