"""What a server says costs at most the call that asked: no thread, no other key, no memory."""

from __future__ import annotations

import tracemalloc
from contextlib import closing

import pytest
import redis

from kvtransfer.metrics import Metrics
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.tiered import Tier, TieredStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults.lying_server import LyingServer

SETTINGS = StoreSettings(timeout_s=10.0)
HUGE = 10**9

REPLIES = {
    "an empty push": b">0\r\n",
    "a null error": b"!-1\r\n",
    "a redirection to nowhere": b"-MOVED x\r\n",
    "a redirection to no port": b"-MOVED 1 127.0.0.1:99999\r\n",
    "an attribute": b"|1\r\n+a\r\n+b\r\n:1\r\n",
    "a deep array": b"*1\r\n" * 5000,
    "pushes without end": b">1\r\n+x\r\n" * 5000,
    "forged lines": b"-ERR \x1b[31m\rroot: all is well \x9b1m\r\n",
}
NODE = [b"127.0.0.1", 7000, b"id"]
SLOTS = {
    "a number": b":1\r\n",
    "a null": b"_\r\n",
    "no node": b"*1\r\n*2\r\n:0\r\n:16383\r\n",
    "a node without a port": b"*1\r\n*3\r\n:0\r\n:16383\r\n*1\r\n+h\r\n",
    "texts for numbers": b"*1\r\n*3\r\n+a\r\n+b\r\n*2\r\n+h\r\n+p\r\n",
    "a port out of range": b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n+h\r\n:99999\r\n",
    "a million slots": b"*1\r\n*3\r\n:0\r\n:%d\r\n*2\r\n+h\r\n:1\r\n" % HUGE,
    "slots twice": b"*2\r\n" + b"*3\r\n:0\r\n:16383\r\n*2\r\n+h\r\n:1\r\n" * 2,
    "an empty push": b">0\r\n",
    "a null error": b"!-1\r\n",
}
MASTERS = {
    "a number": b":1\r\n",
    "a null": b"_\r\n",
    "a list of numbers": b"*2\r\n:1\r\n:2\r\n",
    "no name": b"*1\r\n%1\r\n+ip\r\n+127.0.0.1\r\n",
    "no flags": b"*1\r\n%2\r\n+name\r\n+mymaster\r\n+port\r\n+1\r\n",
    "a port of letters": b"*1\r\n%4\r\n+name\r\n+mymaster\r\n+ip\r\n+h\r\n+port\r\n+x\r\n"
    b"+flags\r\n+master\r\n",
    "an empty push": b">0\r\n",
    "a null error": b"!-1\r\n",
}


def assert_only_misses(server, url, caplog):
    store = GuardedStore(open_store(url, CHUNK, SETTINGS), url)
    tiers = TieredStore([Tier("remote", store)], CHUNK, Metrics())
    with closing(server), closing(Lookup(tiers, lambda key: [key], 60)) as lookup:
        assert lookup.wait([KEY]) == set()
        assert get(store, KEY) is None
        assert not store.put(KEY, memoryview(PAYLOAD))
        assert lookup.wait([OTHER_KEY]) == set()  # its thread is alive
    assert (store.failures + store.refused, store.faults) == (4, 0)
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}", "redis-cluster://127.0.0.1:{}"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_that_makes_no_sense_is_a_miss(form, reply, caplog):
    server = LyingServer(lambda asked: reply)
    if "cluster" in form:
        right = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n+127.0.0.1\r\n:%d\r\n" % server.port
        server.answer = lambda asked: right if b"SLOTS" in asked else reply
    assert_only_misses(server, form.format(server.port), caplog)


@pytest.mark.parametrize("reply", SLOTS.values(), ids=SLOTS)
def test_a_slot_map_that_makes_no_sense_is_a_miss(reply, caplog):
    server = LyingServer(lambda asked: reply)
    assert_only_misses(server, f"redis-cluster://127.0.0.1:{server.port}", caplog)


@pytest.mark.parametrize("reply", MASTERS.values(), ids=MASTERS)
def test_a_master_that_makes_no_sense_is_a_miss(reply, caplog):
    server = LyingServer(lambda asked: reply)
    assert_only_misses(server, f"redis-sentinel://127.0.0.1:{server.port}/mymaster", caplog)


@pytest.mark.parametrize(
    "fields", [{"dtype": b"x" * (17 << 20)}, {f"field {i}": i for i in range(100_000)}]
)
def test_a_record_too_large_is_a_miss_of_its_key_and_goes(server, fields):
    store = GuardedStore(open_store(server.url, CHUNK, SETTINGS), server.url)
    with closing(store), redis.Redis.from_url(server.url) as client:
        for key in (KEY, OTHER_KEY):
            store.put(key, memoryview(PAYLOAD))
        client.hset(KEY, mapping=fields)
        tracemalloc.start()
        try:
            assert get(store, KEY) is None
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 4 << 20
        assert client.exists(KEY, f"{KEY}_bytes") == 0
        assert get(store, OTHER_KEY) == PAYLOAD
        assert (store.failures, store.refused) == (0, 0)
        client.hset(KEY, mapping=fields)
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD
