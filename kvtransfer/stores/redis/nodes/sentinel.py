"""Executes batches on the master that Sentinel names."""

from __future__ import annotations

import time
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)
from redis.sentinel import MasterNotFoundError, Sentinel

from kvtransfer.stores.redis.nodes.topology import checked_masters
from kvtransfer.stores.redis.nodes.topology_cache import TopologyCache
from kvtransfer.stores.redis.wire.asking import asking
from kvtransfer.stores.redis.wire.pool import ConnectionPool

if TYPE_CHECKING:
    from kvtransfer.stores.redis.url import Host, RedisUrl
    from kvtransfer.stores.redis.wire.batch import Batch

_MASTERS = "SENTINEL MASTERS"


class SentinelPool:
    """The connections to the current master of a service; safe to use from several threads.

    It asks Sentinel again when the master fails.
    """

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._sentinel = Sentinel(list(url.hosts), sentinel_kwargs=url.asking_options)
        for client in self._sentinel.sentinels:
            read = asking(client).response_callbacks[_MASTERS]
            client.set_response_callback(_MASTERS, checked_masters(read))
        self._host: TopologyCache[Host] = TopologyCache(self._ask)
        self._lock = Lock()
        self._pools: dict[Host, ConnectionPool] = {}

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """See :class:`ConnectionPool`; tries once more where another server has become master.

        Raises:
            ReadOnlyError: the server is no longer the master, and no other one is known.
        """
        host = self._host.get(deadline_s)
        try:
            return _by_a_master(self._pool(host).execute(batch, deadline_s))
        except (ConnectionError, TimeoutError, ReadOnlyError):
            if time.monotonic() >= deadline_s:
                self._host.renew()  # for the next call
                raise
            now = self._host.renewed(deadline_s)
            if now == host:
                raise
            return self._pool(now).execute(batch, deadline_s)

    @property
    def is_far(self) -> bool:
        """See :class:`ConnectionPool`."""
        return any(pool.is_far for pool in list(self._pools.values()))

    def close(self) -> None:
        """See :class:`ConnectionPool`."""
        self._host.close()
        self._sentinel.close()
        for pool in self._pools.values():
            pool.close()

    def _ask(self) -> Host:
        try:
            host: Host = self._sentinel.discover_master(self._url.service)
        except MasterNotFoundError:  # its text is long, and doesn't say why
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
        except AuthenticationError:
            return ": they refuse the password; Sentinel's own is sentinel_password in the URL"
        except RedisError as error:
            return f": {error}"
        return ""

    def _pool(self, host: Host) -> ConnectionPool:
        with self._lock:
            if host not in self._pools:
                opened = partial(self._url.open_connection, host)
                self._pools[host] = ConnectionPool(opened, self._url.connections)
            return self._pools[host]


def _by_a_master(replies: list[object]) -> list[object]:
    for reply in replies:
        if isinstance(reply, ReadOnlyError):
            raise reply
    return replies
