"""What a server refuses is told in words that say what to change."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.testing import CHUNK, KEY, PAYLOAD
from tests.stores.redis.cluster import Cluster
from tests.stores.redis.servers import BINARIES, PASSWORD, Server, redis_binary

PATIENT, QUICK = StoreSettings(timeout_s=30.0), StoreSettings(timeout_s=0.5)
NO_PASSWORD = r"it wants a password and was given none; write one into the URL .* remote_password_f"


@pytest.fixture(scope="module", params=BINARIES)
def server(request, tmp_path_factory):
    running = Server(BINARIES[request.param](), tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


def told(url, settings=PATIENT):
    """What a put is refused with."""
    with (
        closing(open_store(url, CHUNK, settings)) as store,
        pytest.raises(StoreError) as refused,
    ):
        store.put(KEY, memoryview(PAYLOAD))
    return refused


def test_no_password(server):
    assert told(f"redis://127.0.0.1:{server.port}").match(NO_PASSWORD)
    assert told(f"redis-cluster://127.0.0.1:{server.port}").match(NO_PASSWORD)
    assert told(f"redis-sentinel://127.0.0.1:{server.port}/mymaster").match(
        "no Sentinel names a master 'mymaster': they refuse the password; Sentinel's own is "
        "sentinel_password in the URL"
    )


@pytest.mark.parametrize("user", ["", "somebody"])
def test_a_wrong_password(server, user):
    refused = told(f"redis://{user}:wr0ng@127.0.0.1:{server.port}")
    assert refused.match("it knows no such user and password; mend those in the URL, or in remote")
    assert "wr0ng" not in str(refused.value)


def test_a_server_that_is_no_cluster(server):
    refused = told(f"redis-cluster://:{PASSWORD}@127.0.0.1:{server.port}")
    assert refused.match(
        "Cluster mode is not enabled there; write redis:// instead of redis-cluster"
    )


def test_a_full_server(server):
    with server.client() as control:
        control.config_set("maxmemory-policy", "noeviction")
        control.config_set("maxmemory", 1)
        assert told(server.url).match(
            "it is full and evicts nothing; set its maxmemory-policy to allkeys-lru, or raise its "
        )
        control.config_set("maxmemory", 0)


def test_a_user_with_too_few_rights(server):
    with server.client() as control:
        control.acl_setuser(
            "few", enabled=True, passwords=["+few"], keys=["*"], commands=["+hello"]
        )
    assert told(f"redis://few:few@127.0.0.1:{server.port}").match(
        "this user may not run the command (hgetall|select); allow it in the server's ACL"
    )


def test_a_replica(server, tmp_path):
    following = (f"replicaof 127.0.0.1 {server.port}", f"masterauth {PASSWORD}")
    replica = Server(redis_binary(), tmp_path, *following)
    try:
        assert told(replica.url).match("it is a replica, which takes no writes; name its master")
    finally:
        replica.kill()


def test_a_node_of_a_cluster(tmp_path):
    cluster = Cluster(redis_binary(), tmp_path)
    try:
        cluster.start()
        for node in cluster.servers[:3]:
            assert told(node.url).match("a cluster's node.*; write redis-cluster://")
    finally:
        cluster.close()


def test_a_plain_port_under_tls():
    with EmbeddedServer(64 << 20) as server:
        refused = told(f"rediss://127.0.0.1:{server.port}", QUICK)
        assert refused.match("if this port has no TLS, write redis:// instead of rediss://")
        assert "rediss" not in str(told("redis://127.0.0.1:1", QUICK).value)
