"""What a broken Mooncake may do to its callers: misses in time, until it is well again."""

from __future__ import annotations

import os
import random
import signal
from contextlib import closing
from dataclasses import replace

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.mooncake.store import MooncakeStore
from kvtransfer.testing import CHUNK
from tests.faults.proxy import Proxy, delaying, passing
from tests.stores.client_process.watched import TIMEOUT_S, Watched, key_of
from tests.stores.mooncake.mooncake_backing import PATIENT_S, MooncakeBacking
from tests.stores.mooncake.servers import Mooncake, kill, stopped, wait_until

QUICK = StoreSettings(timeout_s=TIMEOUT_S)
LARGE = replace(CHUNK, shape=(6 << 20,), nbytes=6 << 20)


@pytest.fixture
def servers():
    with closing(Mooncake()) as running:
        yield running


@pytest.fixture
def watched(servers):
    with closing(Watched(MooncakeStore(servers.url, QUICK))) as store:
        store.wait_until_serving()
        yield store


def test_killed(servers, watched):
    kill(servers.master)
    assert watched.all_miss(0)
    servers.start_master()
    watched.wait_until_serving(1)


def test_not_started(servers):
    kill(servers.master)
    with closing(Watched(MooncakeStore(servers.url, QUICK))) as store:
        assert store.all_miss(0)
        servers.start_master()
        store.wait_until_serving()


def test_stopped(servers, watched):
    with stopped(servers.master):
        assert watched.all_miss(0)
    watched.wait_until_serving(1)


def test_stopped_before_the_client_joins(servers):
    with closing(Watched(MooncakeStore(servers.url, QUICK))) as store:
        with stopped(servers.master):
            assert store.all_miss(0)
        store.wait_until_serving()


def test_segment_killed(servers, watched):
    kill(servers.segment)
    assert not watched.get(0)  # a lookup finds it until the master misses the segment
    assert not watched.put(1)
    servers.mount()
    watched.wait_until_serving(2)


def test_segment_stopped(servers, watched):
    with stopped(servers.segment):
        assert not watched.get(0)
        assert not watched.put(1)
    watched.wait_until_serving(2)


def test_client_killed(watched):
    os.kill(watched.entries._channels._process.pid, signal.SIGKILL)
    watched.get(0)  # perhaps by a new client already
    watched.wait_until_serving(0)


def test_slow(servers):
    with closing(Proxy(servers.port)) as proxy:
        url = servers.url.replace(f":{servers.port}", f":{proxy.port}")
        with closing(Watched(MooncakeStore(url, QUICK))) as store:
            store.wait_until_serving()
            proxy.follow(delaying(3 * TIMEOUT_S))
            assert store.all_miss(0)
            proxy.follow(passing)
            store.wait_until_serving(1)


def test_full(servers):
    payload = random.Random(0).randbytes(LARGE.nbytes)
    servers.close()
    with closing(Mooncake(segment_bytes=16 << 20)) as small:
        huge = replace(LARGE, shape=(24 << 20,), nbytes=24 << 20)
        with (
            closing(Watched(MooncakeStore(small.url, QUICK), LARGE, payload)) as store,
            closing(Watched(MooncakeStore(small.url, QUICK), huge, payload * 4)) as too_large,
        ):
            store.wait_until_serving(0)
            too_large.lookup(0)  # its client has joined
            wait_until(lambda: refuses(too_large), "its client has joined")
            assert sorted(small.names()) == [key_of(0), f"{key_of(0)}_bytes"]
            assert store.get(0)
            assert too_large.guarded.open_breakers() == 0


def refuses(store):
    """Whether a put is refused without a failure."""
    before = store.guarded.failures
    assert not store.put(1)
    return store.guarded.failures == before


@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p[:-1] + bytes([p[-1] ^ 1])])
def test_damaged(servers, watched, side_door_of, damage):
    with side_door_of(servers) as side_door:
        name = f"{key_of(0)}_bytes"
        assert side_door.upsert(name, damage(side_door.get(name))) == 0
        assert not watched.get(0)
        watched.wait_until_serving(0)


def test_a_lease_that_ends_while_the_value_travels():
    huge = replace(LARGE, shape=(32 << 20,), nbytes=32 << 20)
    payload = random.Random(2).randbytes(huge.nbytes)
    patient = StoreSettings(timeout_s=PATIENT_S)
    with (
        closing(Mooncake(segment_bytes=128 << 20, lease_ms=1)) as servers,
        closing(MooncakeBacking(servers, None).open(huge, patient)) as store,
    ):
        assert store.put(key_of(0), memoryview(payload))
        with pytest.raises(StoreError, match="longer --default_kv_lease_ttl"):
            store.get_into(key_of(0), memoryview(bytearray(huge.nbytes)))


def test_a_late_answer_writes_nothing(servers):
    payload = random.Random(1).randbytes(LARGE.nbytes)
    with closing(Watched(MooncakeStore(servers.url, QUICK), LARGE, payload)) as store:
        store.wait_until_serving()
        target = bytearray(b"\xee" * LARGE.nbytes)
        with stopped(servers.segment):
            assert not store.guarded.get_into(key_of(0), memoryview(target))
        store.wait_until_serving(1)
        assert target == b"\xee" * LARGE.nbytes
