"""Two real servers in two regions: a replica that is near, and a primary behind a slow line."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.testing import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults.proxy import Proxy, delaying, stalling
from tests.stores.redis import cluster as clusters
from tests.stores.redis.servers import BINARIES, PASSWORD, Server, redis_binary, until

OCEAN_S = 0.15


class Regions:
    """A primary, its replica, and the line between the regions, which engines and replica use."""

    def __init__(self, binary, directory, running):
        common = (f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0")
        self.primary = Server(binary, directory, *common)
        running.callback(self.primary.kill)
        self.ocean = running.enter_context(closing(Proxy(self.primary.port)))
        self.cable = running.enter_context(closing(Proxy(self.primary.port)))
        """The line by which the replica follows."""
        replica_of = f"replicaof 127.0.0.1 {self.cable.port}"
        self.replica = Server(binary, directory, *common, replica_of)
        running.callback(self.replica.kill)
        until(lambda: self._link() == "up")
        self.ocean.follow(delaying(OCEAN_S))

    def config(self, **more):
        far = f"redis://:{PASSWORD}@127.0.0.1:{self.ocean.port}/0"
        return TransferConfig.of(
            remote_url=far, remote_read_url=self.replica.url, remote_timeout_ms=20_000, **more
        )

    def _link(self):
        with self.replica.client() as client:
            return client.info("replication")["master_link_status"]


@pytest.fixture(params=BINARIES)
def regions(request, tmp_path):
    with ExitStack() as running:
        yield Regions(BINARIES[request.param](), tmp_path, running)


@pytest.fixture
def store(regions):
    with closing(open_tiers(regions.config(), CHUNK, Metrics())) as opened:
        yield opened


def test_a_chunk_put_far_away_is_read_nearby(regions, store):
    assert store.put(KEY, memoryview(PAYLOAD))
    until(lambda: store.contains([KEY]) == [True])
    regions.ocean.follow(stalling)  # nothing crosses any more
    assert get(store, KEY) == PAYLOAD
    assert store.contains([KEY, ABSENT_KEY]) == [True, False]


def test_what_the_replica_lags_behind_is_a_miss(regions, store):
    regions.cable.follow(stalling)
    assert store.put(KEY, memoryview(PAYLOAD))
    assert store.contains([KEY]) == [False]
    assert get(store, KEY) is None
    regions.cable.follow(lambda line, way, data: line.send(way, data))
    until(lambda: get(store, KEY) == PAYLOAD)


def test_a_replica_that_dies_costs_misses_until_the_primary_is_read(regions, store):
    assert store.put(KEY, memoryview(PAYLOAD))
    until(lambda: store.contains([KEY]) == [True])
    regions.replica.kill()
    found = [get(store, KEY) for _ in range(4)]
    assert found == [None, None, None, PAYLOAD]
    assert store.put(OTHER_KEY, memoryview(PAYLOAD))
    assert store.open_breakers() == 1


def test_a_primary_that_dies_leaves_what_was_replicated(regions, store):
    assert store.put(KEY, memoryview(PAYLOAD))
    until(lambda: store.contains([KEY]) == [True])
    regions.primary.kill()
    assert not store.put(OTHER_KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD


def test_damage_in_a_replica_is_a_miss_and_stays(regions):
    with closing(open_tiers(regions.config(), CHUNK, Metrics())) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        with regions.primary.client() as client:
            client.setrange(f"{KEY}_bytes", 0, b"\xff\xfe\xfd")
        name = f"{KEY}_bytes"
        with regions.replica.client() as client:
            until(lambda: (client.get(name) or b"").startswith(b"\xff\xfe\xfd"))
            assert get(store, KEY) is None
            assert client.exists(KEY, name) == 2
        assert store.open_breakers() == 0


def test_a_hit_renews_nothing_in_a_replica(regions, store):
    assert store.put(KEY, memoryview(PAYLOAD))
    until(lambda: store.contains([KEY]) == [True])
    settings = StoreSettings(ttl_s=100, refresh_ttl=True, timeout_s=20, only_reads=True)
    replica = RedisStore(regions.replica.url, settings)
    with closing(FormattedStore(replica, CHUNK)) as near:
        assert get(near, KEY) == PAYLOAD


def test_the_replica_may_be_a_cluster(tmp_path):
    with clusters.running(redis_binary(), tmp_path) as cluster:
        config = TransferConfig.of(remote_url=cluster.url, remote_read_url=cluster.url)
        with closing(open_tiers(config, CHUNK, Metrics())) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD
