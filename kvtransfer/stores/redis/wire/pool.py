"""Pools the connections to one server."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError, TimeoutError

from kvtransfer.stores.redis.wire.read_gate import ReadGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.redis.wire.batch import Batch
    from kvtransfer.stores.redis.wire.connection import StoreConnection


class ConnectionPool:
    """Executes at most ``connections`` batches at once, each over a connection of its own.

    ``open_connection`` makes a connection; it connects for its first batch, within that batch's
    deadline. After a failure the idle connections are closed, because a firewall may have dropped
    all of them without telling either end. A forked process doesn't use those it inherits. Safe to
    use from several threads.
    """

    def __init__(self, open_connection: Callable[[], StoreConnection], connections: int) -> None:
        self._open_connection = open_connection
        self._free = BoundedSemaphore(connections)
        self._reads = ReadGate(connections)
        self._idle: list[StoreConnection] = []
        self._lock = Lock()
        self._pid = os.getpid()
        self.is_far = False
        """Whether the server is far away, by the connection of the last batch."""

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """Return the replies to ``batch``, which is sent again where an idle connection was dead.

        Batches with long values wait for their turn, see :class:`ReadGate`.

        Raises:
            RedisError: no reply by ``deadline_s`` of ``time.monotonic``, or one that makes no sense.
        """
        if batch.value is None:
            return self._execute(batch, deadline_s)
        with self._reads.passed(deadline_s) as read:
            replies = self._execute(batch, deadline_s)
            read.nbytes = batch.value.filled_bytes(replies)
            return replies

    def _execute(self, batch: Batch, deadline_s: float) -> list[object]:
        with self._place(deadline_s):
            if (idle := self._take_idle()) is not None:
                with suppress(ConnectionError):  # the server may have been restarted
                    return self._done(idle, batch, idle.execute(batch, deadline_s))
            connection = self._open_connection()
            return self._done(connection, batch, connection.execute(batch, deadline_s))

    def close(self) -> None:
        """Close the idle connections."""
        while (idle := self._pop()) is not None:
            idle.disconnect()

    @contextmanager
    def _place(self, deadline_s: float) -> Iterator[None]:
        """Hold one of the places for connections; close the idle ones after a failure."""
        if not self._free.acquire(timeout=max(deadline_s - time.monotonic(), 0)):
            raise TimeoutError("no connection free in time")
        try:
            yield
        except (ConnectionError, TimeoutError):
            self.close()
            raise
        finally:
            self._free.release()

    def _done(
        self, connection: StoreConnection, batch: Batch, replies: list[object]
    ) -> list[object]:
        """Keep ``connection`` for the next batch unless a reply is an error; return ``replies``.

        What else a server sends after an error would be taken for the reply to another batch.
        """
        self.is_far = connection.is_far
        if batch.has_failed(replies):
            connection.disconnect()
            return replies
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
