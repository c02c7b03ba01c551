"""One engine's store with quotas, on a real server."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing, nullcontext

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, PartError, StoreError
from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.ledgers.scope import Scope, ScopeLimits
from kvtransfer.stores.ledgers.store import QuotaStore
from kvtransfer.stores.open import open_entries, open_ledger, open_tiers
from kvtransfer.stores.redis.ledger_commands import REGISTRY, names_of
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.testing import CHUNK, KEY, PAYLOAD
from tests.stores.ledgers.quotas import (
    MODEL,
    NBYTES,
    OTHER_TENANT,
    TENANT,
    get,
    held_bytes,
    key_of,
    opened_for,
    put,
)
from tests.stores.redis.servers import Server, redis_binary, until

SCOPE = Scope("tenant", TENANT)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    server = Server(redis_binary(), tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(running):
    with running.client() as client:
        client.flushall()
    return running


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture
def metrics():
    return Metrics()


def counted(client, scope=SCOPE):
    """Bytes that the ledger counts, leases too."""
    return int(client.hget(names_of(scope).state, "held") or 0)


def numbers_of(client, writer=1):
    keys = [key.decode() for key in client.scan_iter(f"*@{writer:02x}*") if b"_bytes" not in key]
    return sorted(int(key.rpartition("@")[2][2:], 16) for key in keys)


def test_the_oldest_of_a_tenant_give_way(server, client, metrics):
    with opened_for(server.url, each_bytes=3 * NBYTES, metrics=metrics) as store:
        for number in range(5):
            assert put(store, 1, number)
            assert put(store, 2, number, OTHER_TENANT)
    assert numbers_of(client, 1) == numbers_of(client, 2) == [2, 3, 4]
    assert metrics.take()["remote_quota_evicted_entries"] == 4


def test_an_entry_that_was_read_is_not_the_oldest(server, client):
    with opened_for(server.url, each_bytes=3 * NBYTES) as store:
        for number in range(3):
            put(store, 1, number)
        assert get(store, 1, 0)
        for number in range(3, 5):
            put(store, 1, number)
        assert numbers_of(client) == [0, 3, 4]
        assert store.renew(key_of(1, 0), lambda identity: True)
        for number in range(5, 7):
            put(store, 1, number)
        assert numbers_of(client) == [0, 5, 6]


def test_what_is_read_counts_though_nothing_is_put(server, client):
    """An engine that only decodes tells its reads by itself."""
    with opened_for(server.url, each_bytes=3 * NBYTES) as writer:
        for number in range(3):
            put(writer, 1, number)
    order = names_of(SCOPE).order
    with opened_for(server.url, each_bytes=3 * NBYTES) as reader:
        assert get(reader, 1, 0)
        until(lambda: client.zrevrange(order, 0, 0) == [f"{key_of(1, 0)}.{TENANT}".encode()])


def test_what_a_request_lets_live_for_a_while_counts_too(server, client):
    with opened_for(server.url, each_bytes=2 * NBYTES) as store:
        put(store, 1, 0)
        for number in (1, 2):
            assert put(store.living_for(100), 1, number)
        assert numbers_of(client) == [1, 2]
        assert 0 < client.ttl(key_of(1, 1)) <= 100
        assert counted(client) == 2 * NBYTES


def test_more_than_a_quota_is_not_put(server, client, metrics):
    with opened_for(server.url, each_bytes=NBYTES, metrics=metrics) as store:
        assert put(store, 1, 1)
        assert not put(store, 1, 2, nbytes=NBYTES + 1)
    assert numbers_of(client) == [1]
    assert client.hget(names_of(SCOPE).state, "refused") == b"1"
    assert metrics.take()["remote_quota_refused_entries"] == 1


def test_a_tenant_without_a_limit_has_no_ledger(server, client):
    with opened_for(server.url, named_bytes={TENANT: NBYTES}) as store:
        for number in range(3):
            assert put(store, 1, number, OTHER_TENANT)
            assert put(store, 2, number, "")
    assert not list(client.scan_iter("kvtransfer:*"))
    assert held_bytes(client) == 6 * NBYTES


def test_the_same_entry_counts_once_by_its_last_length(server, client):
    with opened_for(server.url, each_bytes=10 * NBYTES) as store:
        for nbytes in (NBYTES, 2 * NBYTES, NBYTES // 2):
            assert put(store, 1, 1, nbytes=nbytes)
            assert counted(client) == held_bytes(client) == nbytes


def test_models_and_namespaces_have_ledgers_too(server, client):
    limits = {"models_bytes": {MODEL: 3 * NBYTES}, "namespaces_bytes": {"prod": 2 * NBYTES}}
    with opened_for(server.url, namespace="prod", **limits) as store:
        for number in range(3):
            assert put(store, 1, number)
        assert put(store, 2, 1, model="other")
    # What gave way in the namespace counts in the model no longer.
    assert counted(client, Scope("model", MODEL)) == NBYTES
    assert counted(client, Scope("namespace", "prod")) == 2 * NBYTES
    assert held_bytes(client) == 2 * NBYTES


def test_a_lease_is_given_back_at_the_end(server, client):
    with opened_for(server.url, each_bytes=512 * 20 * NBYTES) as store:
        for number in range(30):
            assert put(store, 1, number)
        assert counted(client) >= held_bytes(client) == 30 * NBYTES
    assert counted(client) == 30 * NBYTES


def test_a_lease_ends_with_its_writer(server, client):
    """One that was killed gives nothing back; its lease goes where room is short."""
    state, quota = names_of(SCOPE).state, 512 * NBYTES
    with opened_for(server.url, each_bytes=quota) as store:
        put(store, 1, 0)
        ended_us = int(time.time() * 1_000_000) - 1
        client.hset(state, "lease:dead", f"{quota - 3 * NBYTES} {ended_us}")
        client.hincrby(state, "held", quota - 3 * NBYTES)
        for number in range(1, 10):
            assert put(store, 1, number)
    assert numbers_of(client) == list(range(10))
    assert counted(client) == 10 * NBYTES


def test_a_put_that_fails_is_not_counted(server, client):
    entries = SometimesFull(server.url, StoreSettings())
    limits = ScopeLimits(RemoteLimits(each_bytes=10 * NBYTES), "")
    ledger = open_ledger(server.url, StoreSettings())
    with closing(QuotaStore(entries, ledger, limits, Metrics())) as store:
        for number, entries.is_full in enumerate([False, True, False]):
            with pytest.raises(PartError, match="full") if entries.is_full else nullcontext():
                assert put(store, 1, number)
    assert numbers_of(client) == [0, 2]
    assert counted(client) == held_bytes(client) == 2 * NBYTES


class SometimesFull(RedisStore):
    """A server that takes no payload, as where its memory is full."""

    is_full = False

    def put(self, *arguments):
        if self.is_full:
            raise PartError("full")
        return super().put(*arguments)


def test_entries_whose_time_has_ended_give_way_first(server, client):
    with opened_for(server.url, each_bytes=3 * NBYTES) as store:
        for number in range(3):
            put(store, 1, number)
        for half in (key_of(1, 0), f"{key_of(1, 0)}_bytes"):
            client.delete(half)  # as the end of its time to live does
        put(store, 1, 3)
    assert numbers_of(client) == [1, 2, 3]


def test_what_was_there_before_is_counted(server, client):
    with closing(open_entries(server.url, StoreSettings())) as plain:
        for number in range(300):
            put(plain, 1, number)
    with opened_for(server.url, each_bytes=100 * NBYTES) as store:
        put(store, 2, 1)
        until(lambda: held_bytes(client) == counted(client) == 100 * NBYTES)
        until(lambda: client.sismember(REGISTRY, "counted"))
    assert numbers_of(client, 2) == [1]


@pytest.mark.parametrize("section", [None, "host: {each_tenant: 1}"])
def test_an_engine_without_remote_quotas_asks_the_same_as_ever(server, client, tmp_path, section):
    config = TransferConfig.of(remote_url=server.url, **quotas_file(tmp_path, section))
    client.config_resetstat()
    with closing(open_tiers(config, CHUNK)) as tiers:
        tiers.put(KEY, memoryview(PAYLOAD), TENANT)
        tiers.get_into(KEY, memoryview(bytearray(PAYLOAD)), TENANT)
    asked = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    on_connecting = {"hello", "ping", "info", "config|resetstat"}
    put, read = {"hgetall", "strlen", "multi", "unlink", "set", "hset", "exec"}, {"getrange"}
    assert asked - on_connecting == put | read


def quotas_file(folder, section):
    if section is None:
        return {}
    path = folder / "quotas.yaml"
    path.write_text(section)
    return {"quotas_file": str(path)}


def test_a_user_who_may_run_no_script_can_still_read(server, client):
    with opened_for(server.url, each_bytes=10 * NBYTES) as store:
        put(store, 1, 1)
    client.acl_setuser("reader", True, passwords=["+pw"], keys="*", commands=["+@all", "-eval"])
    url = server.url.replace("redis://:s3cret@", "redis://reader:pw@")
    with opened_for(url, each_bytes=10 * NBYTES) as store:
        for number in range(2, 8):
            with pytest.raises(PartError, match=r"a quota can't be kept.*eval"):
                put(store, 1, number)
        assert get(store, 1, 1)
    assert numbers_of(client) == [1]


def test_a_silent_server_is_given_up(tmp_path):
    server = Server(redis_binary(), tmp_path)
    with opened_for(server.url, each_bytes=10 * NBYTES, timeout_s=0.2) as store:
        put(store, 1, 1)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for call in (put, get):
                with pytest.raises(StoreError, match="Timeout"):
                    call(store, 1, 2)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert get(store, 1, 1)
    server.kill()


@pytest.mark.parametrize("url", ["disk:///somewhere?max_gib=1", "memory://"])
def test_other_stores_keep_no_quotas(tmp_path, url):
    config = TransferConfig.of(remote_url=url, **quotas_file(tmp_path, "remote: {each_tenant: 1}"))
    with pytest.raises(ConfigError, match="keeps no quotas: only Redis and Valkey do"):
        check_stores(config)
    with pytest.raises(ConfigError, match="keeps no quotas"):
        open_ledger(url, StoreSettings())


def test_a_file_of_quotas_is_read(server, client, tmp_path):
    section = f"remote: {{each_tenant: {1.5 * CHUNK.nbytes / 2**30}}}"
    config = TransferConfig.of(remote_url=server.url, **quotas_file(tmp_path, section))
    check_stores(config)
    with closing(open_tiers(config, CHUNK)) as tiers:
        for number in range(3):
            assert tiers.put(f"{KEY[:-1]}{number}", memoryview(PAYLOAD), TENANT)
    assert held_bytes(client) == CHUNK.nbytes


def test_a_url_alone_opens_no_quotas(server):
    with pytest.raises(ConfigError, match="set quotas_file"):
        QuotaStore.open(server.url, StoreSettings())


def test_listings_see_no_ledger(server, client):
    with opened_for(server.url, each_bytes=10 * NBYTES) as store:
        put(store, 1, 1)
        until(lambda: client.sismember(REGISTRY, "counted"))
        assert [entry.key for entry in store.entries()] == [key_of(1, 1)]
        assert store.stat(key_of(1, 1)).identity.tenant == TENANT
        store.remove(key_of(1, 1))
        assert list(store.orphans()) == []
