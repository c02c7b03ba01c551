from __future__ import annotations

import itertools
import logging
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, FlakyStore, SlowStore, get
from tests.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def guarded(clock, failures):
    inner = FlakyStore(open_store("memory://", CHUNK, StoreSettings()), failures)
    return inner, GuardedStore(inner, "flaky://u:t0ps3cret@h", clock=clock)


def test_each_failure_is_a_miss_and_counted(clock):
    _, store = guarded(clock, [True, False, True, True])
    assert store.contains([KEY, OTHER_KEY]) == [False, False]
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) is None
    assert not store.put(OTHER_KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD
    assert (store.failures, store.refused) == (3, 0)


def test_a_store_that_is_down_is_left_alone_and_found_again(clock):
    inner, store = guarded(clock, [True] * 4)
    assert store.open_breakers() == 0
    for _ in range(10):
        assert store.contains([KEY]) == [False]
    assert store.open_breakers() == 1
    assert (inner.calls, store.failures, store.refused) == (3, 3, 7)
    clock.now_s = 0.5
    assert not store.put(KEY, memoryview(PAYLOAD))  # the probe fails, the next rest is 1 s
    clock.now_s = 1.4
    assert not store.put(KEY, memoryview(PAYLOAD))
    assert (inner.calls, store.open_breakers()) == (4, 1)
    clock.now_s = 1.5
    assert store.put(KEY, memoryview(PAYLOAD))
    assert store.open_breakers() == 0
    assert get(store, KEY) == PAYLOAD


def test_a_part_that_is_down_leaves_the_rest_in_use(clock, caplog):
    class Half(FormattedStore):
        def get_into(self, key, payload, tenant=""):
            if key == KEY:
                raise PartError("half://: this part is down")
            return super().get_into(key, payload, tenant)

    store = GuardedStore(Half(MemoryStore(StoreSettings()), CHUNK), "half://", clock=clock)
    store.put(OTHER_KEY, memoryview(PAYLOAD))
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        assert [get(store, KEY) for _ in range(10)] == [None] * 10
        assert get(store, OTHER_KEY) == PAYLOAD
    assert (store.failures, store.refused) == (10, 0)
    assert "this part is down" in caplog.text


def test_logs_once_a_minute_with_address_and_cause_but_no_secret(clock, caplog):
    _, store = guarded(clock, itertools.repeat(True))
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        for second in range(0, 121, 1):
            clock.now_s = float(second)
            store.contains([KEY])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) in (2, 3)  # a probe need not fall on the full minute
    assert all("flaky://u:***@h" in text and "told to fail" in text for text in messages)
    assert "t0ps3cret" not in caplog.text + repr(store)


def test_a_fault_of_ours_is_a_miss_that_leaves_the_store_in_use(clock, caplog):
    class Faulty(FormattedStore):
        def get_into(self, key, payload, tenant=""):
            if key == KEY:
                raise RecursionError("one\r\nforged line \x1b[31m")
            return super().get_into(key, payload, tenant)

        def contains(self, keys):
            raise TypeError("'int' object is not iterable")

    store = GuardedStore(
        Faulty(MemoryStore(StoreSettings()), CHUNK), "faulty://u:t0ps3cret@h", clock=clock
    )
    store.put(OTHER_KEY, memoryview(PAYLOAD))
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        for second in range(130):
            clock.now_s = float(second)
            assert get(store, KEY) is None
            assert store.contains([KEY, OTHER_KEY]) == [False, False]
        assert not store.put(KEY, memoryview(b"short"))
        assert get(store, OTHER_KEY) == PAYLOAD
    assert (store.failures, store.faults, store.refused) == (261, 261, 0)
    assert store.open_breakers() == 0
    assert len(caplog.records) == 3  # one a minute, whatever it is
    assert "faulty://u:***@h" in caplog.text
    assert "in get_into" in caplog.text
    assert "RecursionError: one\\r\\nforged line \\x1b[31m" in caplog.text


def test_what_a_server_says_is_one_line_of_the_log(clock, caplog):
    class Rude(FormattedStore):
        def contains(self, keys):
            raise StoreError("rude://h: ERR \n2026-01-01 CRITICAL forged \x1b[31m" + "x" * 10_000)

    store = GuardedStore(Rude(MemoryStore(StoreSettings()), CHUNK), "rude://h", clock=clock)
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        store.contains([KEY])
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 700


def test_says_once_that_it_serves_again_and_what_was_missed(clock, caplog):
    _, store = guarded(clock, [True] * 3)
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        for _ in range(10):
            store.contains([KEY])
        clock.now_s = 1.0
        store.contains([KEY])
        store.contains([KEY])
    failing, serving = [record.getMessage() for record in caplog.records]
    assert "call 1 was told to fail" in failing
    assert serving == "store flaky://u:***@h serves again; 10 calls were not answered"


def test_close_never_fails_and_reaches_the_store(clock):
    class Broken:
        closes = 0

        def close(self):
            self.closes += 1
            raise [StoreError, TypeError][self.closes - 1]("broken://: it is")

    broken = Broken()
    store = GuardedStore(broken, "broken://", clock=clock)
    store.close()
    store.close()
    assert (broken.closes, store.failures) == (2, 2)


def test_many_threads_see_hits_or_misses_only():
    chance = random.Random(7)
    flaky = (chance.random() < 0.4 for _ in itertools.count())
    inner = FlakyStore(open_store("memory://", CHUNK, StoreSettings()), flaky)
    ticks = itertools.count()
    store = GuardedStore(inner, "flaky://", clock=lambda: next(ticks) * 0.1)

    def work(_):
        store.put(KEY, memoryview(PAYLOAD))
        return get(store, KEY)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(work, range(400)))
    assert answers == {None, PAYLOAD}
    assert store.refused + inner.calls == 800
    assert store.failures > 0


def test_a_real_server_that_dies_and_comes_back(server, clock):
    inner = open_store(server.url, CHUNK, StoreSettings(timeout_s=0.2))
    store = GuardedStore(inner, server.url, clock=clock)
    assert store.put(KEY, memoryview(PAYLOAD))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert [get(store, KEY) for _ in range(5)] == [None] * 5
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (store.failures, store.refused) == (3, 2)
    clock.now_s = 1.0
    assert get(store, KEY) == PAYLOAD
    store.close()


def test_a_real_server_that_is_full_still_serves(server, clock):
    store = GuardedStore(open_store(server.url, CHUNK, StoreSettings()), server.url, clock=clock)
    store.put(KEY, memoryview(PAYLOAD))
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    assert [store.put(OTHER_KEY, memoryview(PAYLOAD)) for _ in range(5)] == [False] * 5
    assert get(store, KEY) == PAYLOAD
    assert (store.failures, store.refused) == (5, 0)
    store.close()


def test_a_slow_store_waits_before_each_call():
    waits = []
    store = SlowStore(open_store("memory://", CHUNK, StoreSettings()), 0.25, waits.append)
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD
    assert store.contains([KEY]) == [True]
    store.close()
    assert waits == [0.25] * 3
