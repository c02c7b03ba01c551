from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
import redis

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY
from tests.faults.arena import key_of
from tests.own_clock import OwnClock

NBYTES = (256 << 10) + 3
SMALL = replace(CHUNK, shape=(NBYTES,), nbytes=NBYTES)
CLIENTS = 64
PATIENT = StoreSettings(timeout_s=240.0)


@pytest.fixture
def server():
    with EmbeddedServer(256 << 20) as running:
        yield running


def payload_of(number):
    return number.to_bytes(2) * (NBYTES // 2) + b"."


def opened(server, settings=PATIENT):
    return closing(GuardedStore(open_store(server.url, SMALL, settings), server.url))


def in_crowd(work):
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, range(CLIENTS)))


def test_64_clients_at_once_all_find_what_they_put(server):
    def work(number):
        target = bytearray(NBYTES)
        with opened(server) as store:
            assert store.put(key_of(number), memoryview(payload_of(number)))
            assert store.put(key_of(CLIENTS), memoryview(payload_of(CLIENTS)))
            for key in (number, CLIENTS):
                assert store.get_into(key_of(key), memoryview(target))
                assert target == payload_of(key)
            return store.contains([key_of(number), key_of(CLIENTS + 1)])

    assert in_crowd(work) == [[True, False]] * CLIENTS


def test_64_threads_wait_for_a_few_silent_connections_no_longer_than_allowed(server):
    timeout_s = 0.5
    settings = StoreSettings(timeout_s=timeout_s, connections=2)
    with closing(open_store(server.url, SMALL, settings)) as store:

        def work(number):
            clock = OwnClock()
            with pytest.raises(StoreError):
                store.get_into(key_of(number), memoryview(bytearray(NBYTES)))
            return clock.passed_s

        os.kill(server.pid, signal.SIGSTOP)
        try:
            # One after another they would take 32 times as long.
            assert max(in_crowd(work)) < 4 * timeout_s
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_two_writers_of_one_key_leave_the_bytes_of_one(server):
    """Equal keys mean equal bytes; should they not, a hit is still something that was put."""
    versions = [payload_of(number) for number in (1, 2)]

    def write(store, version):
        for _ in range(60):
            assert store.put(KEY, memoryview(version))
            control.unlink(KEY)  # else the first one would stay for good

    def read(store):
        target, found = bytearray(NBYTES), set()
        for _ in range(120):
            if store.get_into(KEY, memoryview(target)):
                found.add(bytes(target))
        return found

    with (
        opened(server) as one,
        opened(server) as other,
        redis.Redis.from_url(server.url) as control,
        ThreadPoolExecutor(4) as pool,
    ):
        readers = [pool.submit(read, store) for store in (one, other)]
        writers = [pool.submit(write, *work) for work in zip((one, other), versions, strict=True)]
        for writer in writers:
            writer.result()
        assert set().union(*(reader.result() for reader in readers)) <= set(versions)
        assert one.put(KEY, memoryview(versions[0]))
        target = bytearray(NBYTES)
        assert other.get_into(KEY, memoryview(target))
        assert target in versions
