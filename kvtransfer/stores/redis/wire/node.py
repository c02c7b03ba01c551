"""One server and the connections to it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from kvtransfer.stores.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.redis.wire.connection import Wire

T = TypeVar("T")

# A replica takes over within seconds, and to notice that shouldn't take much longer.
_LONGEST_REST_S = 1.0


class Node:
    """At most ``connections`` exchanges at once, each over a connection of its own.

    A firewall may forget idle connections without telling either end, all at about the same time.
    So after a failure the idle ones are closed: the next exchange, a breaker's probe say, connects.
    ``open_connection`` makes one that isn't connected yet; it connects in its first exchange,
    within the same deadline. What a fork inherits is not used.
    """

    def __init__(self, open_connection: Callable[[], Wire], connections: int) -> None:
        self._open_connection = open_connection
        self._free = BoundedSemaphore(connections)
        self._idle: list[Wire] = []
        self._lock = Lock()
        self._pid = os.getpid()
        self.is_far = False
        """Whether its server is, by the last exchange."""

    def exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """``talk`` over a connection, once more over a new one where an idle one turns out dead.

        Raises:
            RedisError: no answer by ``deadline_s``, or not the one that ``talk`` wants.
        """
        if not self._free.acquire(timeout=max(deadline_s - time.monotonic(), 0)):
            raise TimeoutError("no connection free in time")
        try:
            return self._use_any(talk, deadline_s)
        except (ConnectionError, TimeoutError):
            self.close()
            raise
        finally:
            self._free.release()

    def close(self) -> None:
        """Close what is idle."""
        while (idle := self._pop()) is not None:
            idle.disconnect()

    def _use_any(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        idle = self._take_idle()
        if idle is not None:
            with suppress(ConnectionError):  # the server may have gone and come back meanwhile
                return self._use(idle, talk, deadline_s)
        return self._use(self._open_connection(), talk, deadline_s)

    def _use(self, connection: Wire, talk: Callable[[Wire], T], deadline_s: float) -> T:
        answer = connection.exchange(talk, deadline_s)
        self.is_far = connection.is_far
        with self._lock:
            self._idle.append(connection)
        return answer

    def _take_idle(self) -> Wire | None:
        while (idle := self._pop()) is not None:
            if idle.is_usable():
                return idle
            idle.disconnect()
        return None

    def _pop(self) -> Wire | None:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None


class NodeDownError(ConnectionError):
    """A node that failed several times in a row is left alone for a while."""


class GuardedNode:
    """``node``, not asked for a while after several failures in a row."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._breaker = Breaker(longest_rest_s=_LONGEST_REST_S)
        self._lock = Lock()

    def exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """See :class:`Node`.

        Raises:
            NodeDownError: at once, while it is left alone.
        """
        with self._lock:
            if not self._breaker.allows(time.monotonic()):
                raise NodeDownError("left alone after failures in a row")
        try:
            answer = self._node.exchange(talk, deadline_s)
        except (ConnectionError, TimeoutError):
            with self._lock:
                self._breaker.failed(time.monotonic())
            raise
        except RedisError:
            self._succeeded()
            raise
        self._succeeded()
        return answer

    @property
    def is_far(self) -> bool:
        """See :class:`Node`."""
        return self._node.is_far

    @property
    def is_left_alone(self) -> bool:
        """Whether its breaker is open."""
        return self._breaker.is_open

    def close(self) -> None:
        """See :class:`Node`."""
        self._node.close()

    def _succeeded(self) -> None:
        with self._lock:
            self._breaker.succeeded()
