from __future__ import annotations

import time
from contextlib import closing

import pytest
import redis

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.address import free_port
from kvtransfer.stores.open import open_tiers
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.redis import sentinel as sentinels
from tests.stores.redis.servers import BINARIES, PASSWORD, redis_binary, until
from tests.stores.seals.seal_contract import SealContract

QUICK = StoreSettings(timeout_s=0.5)


def config_of(stack):
    return TransferConfig.of(remote_url=stack.url, remote_timeout_ms=500)


@pytest.fixture(scope="module", params=BINARIES)
def stack(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sentinel")
    with sentinels.running(BINARIES[request.param](), directory) as running:
        for each in running.sentinels:  # a busy machine is no reason for a failover here
            setting = ("down-after-milliseconds", 30_000)
            running.ask(each, "SENTINEL SET", sentinels.SERVICE, *setting)
        yield running


@pytest.fixture
def backing(stack):
    with redis.Redis(port=stack.current_master().port, password=PASSWORD) as client:
        client.flushall()
        yield RedisBacking(stack.url, client)


class TestRedisStoreBySentinel(StoreContract):
    pass


class TestSealsBySentinel(SealContract):
    pass


def test_another_database(stack):
    with closing(open_store(f"{stack.url}&db=3", CHUNK, QUICK)) as store:
        store.put(KEY, memoryview(PAYLOAD))
    with redis.Redis(port=stack.current_master().port, password=PASSWORD, db=3) as client:
        assert client.dbsize() == 2
        client.flushall()


def test_sentinels_password_is_not_the_servers(stack):
    url = stack.url.partition("?")[0]
    with closing(open_store(url, CHUNK, QUICK)) as store, pytest.raises(StoreError) as e:
        store.contains([KEY])
    assert "sentinel_password in the URL" in str(e.value)
    assert PASSWORD not in str(e.value)


def test_an_unknown_service_is_told(stack):
    url = stack.url.replace(sentinels.SERVICE, "another")
    with (
        closing(open_store(url, CHUNK, QUICK)) as store,
        pytest.raises(StoreError, match=r"no Sentinel names a master 'another'$"),
    ):
        store.contains([KEY])


def test_a_planned_failover_goes_unnoticed(stack):
    old = stack.current_master()
    with closing(open_store(stack.url, CHUNK, StoreSettings())) as store:
        store.put(KEY, memoryview(PAYLOAD))
        stack.failover()

        def moved():
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) in (PAYLOAD, None)
            return stack.current_master() is not old

        until(moved)
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD


def test_a_killed_master_is_followed_by_its_replica(tmp_path):
    with (
        sentinels.running(redis_binary(), tmp_path) as stack,
        closing(open_tiers(config_of(stack), CHUNK)) as store,
    ):
        store.put(KEY, memoryview(PAYLOAD))
        with stack.master.client() as client:
            client.wait(1, 5000)
        killed_s = time.monotonic()
        stack.master.kill()

        def hit():
            began_s = time.monotonic()
            got = get(store, KEY)
            assert time.monotonic() - began_s < QUICK.timeout_s + 0.5
            assert got in (PAYLOAD, None)
            return got

        assert hit() is None
        until(hit)
        assert time.monotonic() - killed_s < 5
        assert store.put(KEY, memoryview(PAYLOAD))
        assert stack.current_master() is stack.replica


def test_nobody_listens():
    url = f"redis-sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/mymaster"
    with (
        closing(open_store(url, CHUNK, StoreSettings(timeout_s=30.0))) as store,
        pytest.raises(StoreError, match="refused"),
    ):
        store.contains([KEY])


@pytest.mark.parametrize(
    "url",
    [
        "redis-sentinel://h:26379",
        "redis-sentinel://h:26379/",
        "redis-sentinel://h:port/mymaster",
        "redis-sentinel:///mymaster",
        "redis-sentinel://h,/mymaster",
        "redis-sentinel://h/mymaster?no_such_option=1",
        "redis-sentinel://h/mymaster/0",
    ],
)
def test_a_malformed_url_is_refused_at_once(url):
    with pytest.raises(ConfigError, match="redis-sentinel://user:password@host1:26379"):
        open_store(url, CHUNK, QUICK)
