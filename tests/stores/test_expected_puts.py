from __future__ import annotations

from contextlib import closing

import pytest
import redis

from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.expected_puts import ExpectedPuts
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD
from tests.fake_clock import FakeClock


def test_a_key_is_believed_missing_once_and_for_a_while():
    clock = FakeClock()
    expected = ExpectedPuts(clock)
    assert not expected.take("a")
    expected.learn(["a", "b", "c"])
    assert expected.take("a")
    assert not expected.take("a")
    clock.now_s += 4.9
    assert expected.take("b")
    clock.now_s += 0.2
    assert not expected.take("c")


def test_what_was_learned_before_is_forgotten():
    expected = ExpectedPuts()
    expected.learn(["a"])
    expected.learn(["b"])
    assert not expected.take("a")
    assert expected.take("b")


@pytest.fixture
def asked(server, monkeypatch):
    """Keys that a store looked for one by one, and the store."""
    keys = []
    with closing(open_store(server.url, CHUNK, StoreSettings(ttl_s=100))) as store:
        inner = store.store._servers.probe
        monkeypatch.setattr(
            store.store._servers,
            "probe",
            lambda key, *rest: (keys.append(key), inner(key, *rest))[1],
        )
        yield keys, store


def test_a_put_that_was_expected_and_is_missing_is_not_looked_for(asked):
    keys, store = asked
    store.expect_puts([KEY, OTHER_KEY])
    for key in (KEY, OTHER_KEY):
        assert store.put(key, memoryview(PAYLOAD))
    assert not keys
    target = bytearray(len(PAYLOAD))
    assert store.get_into(OTHER_KEY, memoryview(target))
    assert target == PAYLOAD


def test_what_is_there_is_kept_and_lives_on(asked, server):
    keys, store = asked
    store.put(KEY, memoryview(PAYLOAD))
    with redis.Redis.from_url(server.url) as client:
        client.persist(KEY)
        store.expect_puts([KEY, OTHER_KEY])
        assert store.put(KEY, memoryview(PAYLOAD))
        assert keys == [KEY, KEY]
        assert 0 < client.ttl(KEY) <= 100


def test_what_another_has_put_since_then_is_put_again_and_stays_readable(asked, server):
    _, store = asked
    store.expect_puts([KEY])
    with closing(open_store(server.url, CHUNK, StoreSettings())) as other:
        other.put(KEY, memoryview(PAYLOAD))
        store.put(KEY, memoryview(PAYLOAD))
        assert other.get_into(KEY, memoryview(bytearray(len(PAYLOAD))))
