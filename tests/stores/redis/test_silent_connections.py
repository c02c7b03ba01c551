"""A firewall forgets idle connections and tells neither end."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import Barrier

import pytest
import redis

from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire.batch import Batch, command
from kvtransfer.stores.redis.wire.pool import ConnectionPool
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.faults.proxy import Proxy

CONNECTIONS = 14
LONG_S = 60.0
SHORT_S = 0.3


@pytest.fixture
def proxy(server):
    with closing(Proxy(server.port)) as running:
        yield running


@pytest.fixture
def url(server, proxy):
    return server.url.replace(f":{server.port}/", f":{proxy.port}/")


class Together(Batch):
    """Is answered while all that wait at a barrier hold a connection of their own."""

    barrier = None

    def read_replies(self, parser):
        self.barrier.wait(LONG_S)
        return super().read_replies(parser)


PING = Batch([command(b"PING")])


def soon(seconds):
    return time.monotonic() + seconds


def with_idle_connections(url):
    read = read_url(url, StoreSettings())
    pool = ConnectionPool(partial(read.open_connection, read.hosts[0]), CONNECTIONS)
    together = type("Together", (Together,), {"barrier": Barrier(CONNECTIONS)})(PING.commands)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        pings = [threads.submit(pool.execute, together, soon(LONG_S)) for _ in range(CONNECTIONS)]
        assert [ping.result() for ping in pings] == [[b"PONG"]] * CONNECTIONS
    return pool


def test_one_time_out_is_enough_to_trust_no_idle_connection(url, proxy):
    with closing(with_idle_connections(url)) as pool:
        proxy.forget_lines()
        with pytest.raises(redis.TimeoutError):
            pool.execute(PING, soon(SHORT_S))
        assert pool.execute(PING, soon(LONG_S)) == [b"PONG"]


def test_a_store_serves_again_after_one_miss(url, proxy):
    store = GuardedStore(open_store(url, CHUNK, StoreSettings(timeout_s=5.0)), url)
    with closing(store):
        store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD
        proxy.forget_lines()
        assert get(store, KEY) is None
        assert get(store, KEY) == PAYLOAD
    assert (store.failures, store.refused) == (1, 0)


def test_the_system_keeps_connections_alive(url):
    read = read_url(url, StoreSettings())
    connection = read.open_connection(read.hosts[0])
    connection.execute(PING, soon(LONG_S))
    kept = connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s = connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert (kept, idle_s) == (1, 30)
    connection.disconnect()


def test_a_url_may_turn_keepalive_off(url):
    read = read_url(f"{url}?socket_keepalive=no", StoreSettings())
    assert read.options["socket_keepalive"] is False
