from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.scheme_aliases import is_alias, without_alias
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_store
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get

ALIASES = [
    ("resp://h:1/0", "redis://h:1/0"),
    ("valkey://u:p@h:1/0", "redis://u:p@h:1/0"),
    ("valkeys://h:1/0", "rediss://h:1/0"),
    ("valkey-sentinel://a:1,b:2/main", "redis-sentinel://a:1,b:2/main"),
    ("valkeys-sentinel://a:1/main", "rediss-sentinel://a:1/main"),
    ("valkey-cluster://a:1,b:2", "redis-cluster://a:1,b:2"),
    ("valkeys-cluster://a:1", "rediss-cluster://a:1"),
]


@pytest.mark.parametrize(("alias", "url"), ALIASES)
def test_an_alias_is_read_as_what_it_stands_for(alias, url):
    assert without_alias(alias) == url
    assert without_alias(url) == url
    assert is_alias(alias.partition("://")[0])
    assert scheme_of(alias).is_redis_server
    assert TransferConfig.of(remote_url=alias).remote_url == url
    check_stores(TransferConfig.of(remote_url=alias))
    read, other = read_url(alias, StoreSettings()), read_url(url, StoreSettings())
    assert (read.hosts, read.topology, read.service) == (other.hosts, other.topology, other.service)
    assert read.connection_class is other.connection_class


def test_a_password_may_look_like_a_scheme():
    assert without_alias("redis://:valkey://@h:1") == "redis://:valkey://@h:1"


def test_a_real_server_is_reached_by_its_own_name():
    with EmbeddedServer(64 << 20) as server:
        url = server.url.replace("redis://", "valkey://", 1)
        assert url.startswith("valkey://")
        with closing(open_store(url, CHUNK, StoreSettings(timeout_s=60))) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD
