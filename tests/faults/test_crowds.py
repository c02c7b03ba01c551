from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
import redis

from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded import EmbeddedServer
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY
from tests.faults.arena import key_of

NBYTES = (256 << 10) + 3
SMALL = replace(CHUNK, shape=(NBYTES,), nbytes=NBYTES)
CLIENTS = 64
PATIENT = StoreSettings(timeout_s=30.0)


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


def test_64_threads_on_a_few_connections_wait_no_longer_than_allowed(server):
    timeout_s = 0.5
    with opened(server, StoreSettings(timeout_s=timeout_s, connections=2)) as store:

        def work(number):
            target, began_s = bytearray(NBYTES), time.monotonic()
            store.put(key_of(number % 8), memoryview(payload_of(number % 8)))
            hit = store.get_into(key_of(number % 8), memoryview(target))
            assert not hit or target == payload_of(number % 8)
            return time.monotonic() - began_s

        assert max(in_crowd(work)) < 4 * timeout_s  # two calls, and a crowded processor


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
