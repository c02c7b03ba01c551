"""The master of a service, whichever server that is now."""

from __future__ import annotations

import time
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import ConnectionError, ReadOnlyError, RedisError, TimeoutError
from redis.sentinel import MasterNotFoundError, Sentinel

from kvtransfer.stores.redis.latest import Latest
from kvtransfer.stores.redis.topology import checked_masters
from kvtransfer.stores.redis.wire.asking import asking
from kvtransfer.stores.redis.wire.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.redis.url import Host, RedisUrl
    from kvtransfer.stores.redis.wire.connection import Wire

T = TypeVar("T")
_MASTERS = "SENTINEL MASTERS"


class Master:
    """Stands for the :class:`Node` that Sentinel names; asks again when that one fails."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._sentinel = Sentinel(list(url.hosts), sentinel_kwargs=url.asking_options)
        for client in self._sentinel.sentinels:
            read = asking(client).response_callbacks[_MASTERS]
            client.set_response_callback(_MASTERS, checked_masters(read))
        self._host: Latest[Host] = Latest(self._ask)
        self._lock = Lock()
        self._nodes: dict[Host, Node] = {}

    def exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """See :class:`Node`; once more with another master, if there is one by now."""
        host = self._host.get(deadline_s)
        try:
            return self._node(host).exchange(talk, deadline_s)
        except (ConnectionError, TimeoutError, ReadOnlyError):
            if time.monotonic() >= deadline_s:
                self._host.renew()  # for the next one
                raise
            now = self._host.renewed(deadline_s)
            if now == host:
                raise
            return self._node(now).exchange(talk, deadline_s)

    @property
    def is_far(self) -> bool:
        """See :class:`Node`."""
        return any(node.is_far for node in list(self._nodes.values()))

    def close(self) -> None:
        """See :class:`Node`."""
        self._host.close()
        self._sentinel.close()
        for node in self._nodes.values():
            node.close()

    def _ask(self) -> Host:
        try:
            host: Host = self._sentinel.discover_master(self._url.service)
        except MasterNotFoundError:  # whose text is long, and doesn't say why
            raise ConnectionError(
                f"no Sentinel names a master {self._url.service!r}{self._why()}"
            ) from None
        except RedisError:
            raise
        except Exception as error:
            raise ConnectionError("what the Sentinels say makes no sense") from error
        return host

    def _why(self) -> str:
        try:
            self._sentinel.sentinels[0].sentinel_masters()
        except RedisError as error:
            return f": {error}"
        return ""

    def _node(self, host: Host) -> Node:
        with self._lock:
            if host not in self._nodes:
                opened = partial(self._url.open_connection, host)
                self._nodes[host] = Node(opened, self._url.connections)
            return self._nodes[host]
