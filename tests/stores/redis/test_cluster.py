from __future__ import annotations

import os
import signal
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Event

import pytest
from redis.crc import key_slot

from kvtransfer.chunks.keys import base_key
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, PartError, StoreError
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.address import free_port
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.redis.nodes.cluster_nodes import ClusterNodes
from kvtransfer.stores.redis.store import servers_of
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire import connection
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.life_contract import LifeContract
from tests.stores.redis import cluster as clusters
from tests.stores.redis.servers import BINARIES, PASSWORD, Server, redis_binary, until
from tests.stores.seals.seal_contract import SealContract

QUICK = StoreSettings(timeout_s=0.5)


def config_of(cluster):
    return TransferConfig.of(remote_url=cluster.url, remote_timeout_ms=500)


@pytest.fixture(scope="module", params=BINARIES)
def cluster(request, tmp_path_factory):
    with clusters.running(BINARIES[request.param](), tmp_path_factory.mktemp("cluster")) as running:
        for server in running.servers:  # a busy machine is no reason for a failover here
            running.say(server, "CONFIG SET", "cluster-node-timeout", 30_000)
        yield running


@pytest.fixture
def backing(cluster):
    cluster.flush()
    with clusters.client_of(cluster) as client:
        yield RedisBacking(cluster.url, client)


class TestRedisClusterStore(StoreContract):
    pass


class TestLivesInACluster(LifeContract):
    pass


class TestEntriesInACluster(EntryContract):
    pass


class TestSealsInACluster(SealContract):
    pass


def keys_at(cluster, index, count=1):
    """Keys both halves of whose entries lie on one server."""
    keys = [base_key("org/model", 1, 0, f"{i:032x}") for i in range(300)]
    records = cluster.masters_of(keys)
    payloads = cluster.masters_of([f"{key}_bytes" for key in keys])
    places = zip(keys, records, payloads, strict=True)
    found = [key for key, *halves in places if halves == [index, index]]
    assert len(found) >= count
    return found[:count]


def payload_of(key):
    return bytes([zlib.crc32(key.encode()) % 255 + 1]) * CHUNK.nbytes


def put_all(store, keys):
    return [store.put(key, memoryview(payload_of(key))) for key in keys]


@pytest.fixture
def keys(cluster):
    """Many keys, on every server."""
    cluster.flush()
    return [base_key("org/model", 1, 0, f"{i:032x}") for i in range(60)]


def test_a_batch_of_lookups_is_split_by_node(store, cluster, keys):
    put_all(store, keys[::2])
    assert store.contains(keys) == [i % 2 == 0 for i in range(len(keys))]


@pytest.mark.parametrize("far_s", [0.0, 1e9])
def test_a_cluster_is_far_away_where_a_node_is(backing, monkeypatch, far_s):
    monkeypatch.setattr(connection, "_FAR_S", far_s)
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        store.contains(["a"])
        assert (store.parallelism > 1) is (far_s == 0)


def test_both_halves_get_the_time_to_live(backing):
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        assert all(0 < backing.client.ttl(name) <= 100 for name in (KEY, f"{KEY}_bytes"))


def test_large_payloads_survive(cluster):
    chunk = replace(CHUNK, shape=(5 << 20,), nbytes=5 << 20)
    sent, received = os.urandom(chunk.nbytes), bytearray(chunk.nbytes)
    with closing(open_store(cluster.url, chunk, StoreSettings())) as store:
        assert store.put(KEY, memoryview(sent))
        assert store.get_into(KEY, memoryview(received))
    assert received == sent


@pytest.mark.parametrize("ttl_s", [None, 100])
def test_a_slot_moves_while_it_is_read_and_written(cluster, keys, ttl_s):
    (held, new), others = keys_at(cluster, 0, 2), keys[:20]
    source, target = cluster.servers[0], cluster.servers[2]
    names = [name for key in (held, new) for name in (key, f"{key}_bytes")]
    slots = {key_slot(name.encode()) for name in names}
    with closing(open_store(cluster.url, CHUNK, StoreSettings(ttl_s=ttl_s))) as store:

        def all_is_well():
            assert store.contains([held, new, *others]) == [True] * 22
            assert [get(store, key) for key in (held, new)] == [payload_of(held), payload_of(new)]
            assert all(put_all(store, [held, new, *others]))

        put_all(store, [held, *others])
        with redirections() as seen:
            for slot in slots:
                cluster.begin_move(slot, source, target)
            assert store.contains([held, new]) == [True, False]
            assert get(store, new) is None
            put_all(store, [new])  # straight to where its slot is going
            assert cluster.say(target, "DBSIZE") > 0
            all_is_well()
            for slot in slots:
                cluster.move_names(slot, source, target)
            all_is_well()
            for slot in slots:
                cluster.end_move(slot, source, target)
            all_is_well()
        assert seen == {"AskError", "MovedError"}
        for slot in slots:
            cluster.begin_move(slot, target, source)
            cluster.move_names(slot, target, source)
            cluster.end_move(slot, target, source)
        all_is_well()


@contextmanager
def redirections():
    """Names of the redirections that are followed meanwhile."""
    seen = set()
    follow = ClusterNodes.follow

    def noted(self, moved, place):
        seen.add(type(moved).__name__)
        return follow(self, moved, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterNodes, "follow", noted)
        yield seen


def test_a_dead_masters_keys_are_misses_until_its_replica_follows(tmp_path):
    with (
        clusters.running(redis_binary(), tmp_path) as cluster,
        closing(open_tiers(config_of(cluster), CHUNK)) as store,
    ):
        lost, elsewhere = keys_at(cluster, 0, 3), keys_at(cluster, 1, 3)
        put_all(store, [*lost, *elsewhere])
        with cluster.servers[0].client() as client:
            client.wait(1, 5000)
        cluster.servers[0].kill()

        def back():
            assert store.contains(elsewhere) == [True] * 3
            assert [get(store, key) for key in elsewhere] == [payload_of(k) for k in elsewhere]
            assert all(put_all(store, elsewhere))
            there = store.contains(lost)
            assert there in ([True] * 3, [False] * 3)
            return there[0]

        assert get(store, lost[0]) is None
        until(back)
        assert [get(store, key) for key in lost] == [payload_of(key) for key in lost]
        assert all(put_all(store, lost))


def test_without_a_replica_the_others_go_on(tmp_path):
    metrics = Metrics()
    with (
        clusters.running(redis_binary(), tmp_path) as cluster,
        closing(open_tiers(config_of(cluster), CHUNK, metrics)) as store,
    ):
        lost, elsewhere = keys_at(cluster, 2, 3), keys_at(cluster, 1, 3)
        put_all(store, [*lost, *elsewhere])
        cluster.servers[2].kill()
        for _ in range(5):  # more than open any breaker
            assert store.contains([*lost, *elsewhere]) == [False] * 3 + [True] * 3
            assert [get(store, key) for key in lost] == [None] * 3
            assert put_all(store, lost) == [False] * 3
            assert [get(store, key) for key in elsewhere] == [payload_of(k) for k in elsewhere]
        assert metrics.take()["open_breakers"] == 1  # the node's, not the cluster's


def is_not_asked(store, key):
    with pytest.raises(PartError) as e:
        get(store, key)
    return "not asked" in str(e.value)


def test_a_stopped_master_holds_up_nobody_beyond_the_deadline(cluster, keys):
    (lost,), (elsewhere,) = keys_at(cluster, 2), keys_at(cluster, 1)
    with closing(open_store(cluster.url, CHUNK, QUICK)) as store:
        put_all(store, [lost, elsewhere])
        os.kill(cluster.servers[2].pid, signal.SIGSTOP)
        try:
            for _ in range(5):
                began_s = time.monotonic()
                assert store.contains([lost, elsewhere]) == [False, True]
                assert time.monotonic() - began_s < QUICK.timeout_s + 0.5
            until(lambda: is_not_asked(store, lost))  # when it isn't just probed
            assert get(store, elsewhere) == payload_of(elsewhere)
        finally:
            os.kill(cluster.servers[2].pid, signal.SIGCONT)
        until(lambda: all(store.contains([lost, elsewhere])))
        cluster.settle()


def test_nobody_listens():
    url = f"redis-cluster://127.0.0.1:{free_port()}"
    with closing(open_store(url, CHUNK, QUICK)) as store:
        for call in (store.put, store.get_into):
            with pytest.raises(StoreError, match="refused"):
                call(KEY, memoryview(bytearray(PAYLOAD)))
        with pytest.raises(StoreError, match="refused"):
            store.contains([KEY])


def test_a_cluster_without_slots_is_told(tmp_path):
    bus = f"cluster-port {free_port()}"
    server = Server(redis_binary(), tmp_path, "cluster-enabled yes", bus)
    try:
        url = server.url.replace("redis://", "redis-cluster://").removesuffix("/0")
        with closing(open_store(url, CHUNK, QUICK)) as store, pytest.raises(StoreError) as e:
            store.contains([KEY])
        assert "none of its nodes has slots" in str(e.value)
    finally:
        server.kill()


def test_a_node_whose_url_says_nothing_of_a_cluster_is_told(cluster):
    (owner,) = cluster.masters_of([KEY])
    port = cluster.servers[owner - 1].port
    with (
        closing(open_store(f"redis://:{PASSWORD}@127.0.0.1:{port}", CHUNK, QUICK)) as store,
        pytest.raises(StoreError, match="write redis-cluster://"),
    ):
        get(store, KEY)


def test_a_server_that_is_no_cluster_is_told(server):
    url = server.url.replace("redis://", "redis-cluster://").removesuffix("/0")
    with closing(open_store(url, CHUNK, QUICK)) as store, pytest.raises(StoreError) as e:
        store.contains([KEY])
    assert "Cluster mode is not enabled" in str(e.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis-cluster://",
        "redis-cluster://h:port",
        "redis-cluster://h,",
        "redis-cluster://h/0",
        "redis-cluster://h?db=1",
        "redis-cluster://h?no_such_option=1",
        "redis-cluster://:t0p#s3cret@h",
    ],
)
def test_a_malformed_url_is_refused_at_once(url):
    with pytest.raises(ConfigError, match="redis-cluster://user:password@host1:6379") as e:
        open_store(url, CHUNK, QUICK)
    assert "s3cret" not in str(e.value)


def test_slots_move_under_readers_and_writers(cluster):
    cluster.flush()
    keys = keys_at(cluster, 1, 4)
    source, target = cluster.servers[1], cluster.servers[2]
    slots = {key_slot(name.encode()) for key in keys for name in (key, f"{key}_bytes")}
    over = Event()
    with closing(open_store(cluster.url, CHUNK, StoreSettings())) as store:

        def work():
            hits = 0
            while not over.is_set():
                for key in keys:
                    assert store.put(key, memoryview(payload_of(key)))
                    got = get(store, key)
                    assert got in (payload_of(key), None)
                    hits += got is not None
                store.contains(keys)
            return hits

        with ThreadPoolExecutor(4) as threads:
            workers = [threads.submit(work) for _ in range(4)]
            try:
                for giver, taker in ((source, target), (target, source)):
                    for slot in slots:
                        cluster.begin_move(slot, giver, taker)
                        cluster.move_names(slot, giver, taker)
                        cluster.end_move(slot, giver, taker)
            finally:
                over.set()
            assert all(worker.result() > 0 for worker in workers)
        assert put_all(store, keys) == [True] * 4
        assert [get(store, key) for key in keys] == [payload_of(key) for key in keys]


def test_each_master_says_info_with_its_address(cluster):
    with closing(servers_of(read_url(cluster.url, StoreSettings()))) as servers:
        infos = servers.infos()
    masters = {f"127.0.0.1:{server.port}" for server in cluster.servers[: clusters.MASTERS]}
    assert set(infos) == masters
    assert all(int(fields["used_memory"]) > 0 for fields in infos.values())
