from __future__ import annotations

import itertools
from contextlib import closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, PartError, StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.read_replica import ReplicatedStore
from kvtransfer.stores.shelf import Shelf
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.fake_clock import FakeClock


class Replica(MemoryStore):
    """Fails while a test says so."""

    def __init__(self, settings):
        super().__init__(settings)
        self.failures = iter(())
        self.reads = 0

    def contains(self, keys, length_of=None):
        self._maybe_fail()
        return super().contains(keys)

    def get_into(self, key, buffer, tenant=""):
        self._maybe_fail()
        return super().get_into(key, buffer, tenant)

    def put(self, *arguments):
        raise AssertionError("a replica takes no puts")

    def _maybe_fail(self):
        self.reads += 1
        if error := next(self.failures, None):
            raise error


class Pair:
    """A store over both, which hold the same while ``shelf`` is one."""

    def __init__(self, is_lagging=False):
        shelf = Shelf()
        self.clock = FakeClock()
        self.primary = MemoryStore(StoreSettings(shelf=shelf))
        self.replica = Replica(StoreSettings(shelf=Shelf() if is_lagging else shelf))
        self.both = ReplicatedStore(self.primary, self.replica, self.clock)
        self.chunks = FormattedStore(self.both, CHUNK)

    def down(self, error=StoreError):
        self.replica.failures = (error("gone") for _ in itertools.count())

    def up(self):
        self.replica.failures = iter(())


def test_puts_go_to_the_primary_and_reads_to_the_replica():
    pair = Pair()
    with closing(pair.chunks) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        assert store.contains([KEY, OTHER_KEY]) == [True, False]
        assert get(store, KEY) == PAYLOAD
    assert pair.replica.reads == 2


def test_what_is_not_replicated_yet_is_a_miss_and_is_not_sent_again():
    pair = Pair(is_lagging=True)
    store = pair.chunks
    assert store.put(KEY, memoryview(PAYLOAD))
    assert store.contains([KEY]) == [False]
    assert get(store, KEY) is None
    puts = []
    pair.primary.put = lambda *arguments: puts.append(arguments)
    assert store.put(KEY, memoryview(PAYLOAD))
    assert not puts


def test_a_replica_that_fails_is_a_part_and_then_the_primary_is_read(caplog):
    pair = Pair()
    store = pair.chunks
    store.put(KEY, memoryview(PAYLOAD))
    pair.down()
    for _ in range(3):
        with pytest.raises(PartError, match="read replica: gone"):
            store.contains([KEY])
    assert pair.both.open_breakers() == 1
    assert get(store, KEY) == PAYLOAD
    assert store.contains([KEY]) == [True]
    assert pair.replica.reads == 3
    assert "read from the primary" in caplog.text


def test_a_replica_that_answers_a_probe_is_read_again(caplog):
    pair = Pair()
    store = pair.chunks
    store.put(KEY, memoryview(PAYLOAD))
    pair.down()
    for _ in range(3):
        with pytest.raises(PartError):
            store.contains([KEY])
    pair.up()
    pair.clock.now_s += 1
    assert get(store, KEY) == PAYLOAD
    assert (pair.replica.reads, pair.both.open_breakers()) == (4, 0)
    assert "serves again" in caplog.text


def test_a_part_of_the_replica_that_fails_opens_no_breaker():
    pair = Pair()
    pair.down(PartError)
    for _ in range(5):
        with pytest.raises(PartError):
            pair.chunks.contains([KEY])
    assert pair.both.open_breakers() == 0


def test_the_guard_goes_on_putting_while_the_replica_fails():
    pair = Pair()
    guarded = GuardedStore(pair.chunks, "redis://primary", clock=pair.clock)
    pair.down()
    for _ in range(3):
        assert guarded.contains([KEY]) == [False]
    assert guarded.put(KEY, memoryview(PAYLOAD))
    assert guarded.contains([KEY]) == [True]
    assert guarded.failures == 3


def test_what_an_operator_asks_is_asked_of_the_primary():
    pair = Pair(is_lagging=True)
    pair.chunks.put(KEY, memoryview(PAYLOAD))
    assert [entry.key for entry in pair.both.entries()] == [KEY]
    assert pair.both.stat(KEY).identity.key == KEY
    pair.both.remove(KEY)
    assert pair.both.stat(KEY) is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "set remote_url"),
        ({"remote_url": "memory://"}, "only a Redis server"),
        ({"remote_url": "redis://h", "refresh_ttl": True}, "can't renew"),
    ],
)
def test_settings_that_a_replica_can_not_serve_are_refused(settings, sentence):
    config = TransferConfig.of(remote_read_url="redis://u:t0ps3cret@h:1/0", **settings)
    with pytest.raises(ConfigError, match=sentence) as e:
        open_tiers(config, CHUNK)
    assert "t0ps3cret" not in str(e.value)


def test_one_url_does_not_make_it():
    with pytest.raises(ConfigError, match="remote_read_url"):
        ReplicatedStore.open("redis://h", StoreSettings())


def test_a_life_is_the_primarys():
    pair = Pair()
    assert pair.chunks.put(KEY, memoryview(PAYLOAD), "", 40)
    assert KEY in pair.primary._shelf.expiries_s
    assert ReplicatedStore(NoLives(StoreSettings()), pair.replica).living_for(40) is None


class NoLives(MemoryStore):
    def living_for(self, ttl_s):
        return None
