from __future__ import annotations

import os
import re
import tracemalloc
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
import redis

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.address import free_port
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.redis import cluster as clusters
from tests.stores.redis import page
from tests.stores.redis import sentinel as sentinels
from tests.stores.redis.certificates import Authority, Signed
from tests.stores.redis.servers import PASSWORD, Server, redis_binary

QUICK = StoreSettings(timeout_s=1.0)
PATIENT = StoreSettings(timeout_s=30.0)


@dataclass
class Tls:
    authority: Authority
    client: Signed
    port: int

    def url(self, **options):
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss://:{PASSWORD}@127.0.0.1:{self.port}/0?{query}"

    @property
    def trusted(self):
        return {"ssl_ca_certs": self.authority.certificate}


def config_of(authority, port, clients, signed=None):
    signed = signed or authority.sign("server")
    changes = {
        "tls-port 6380": f"tls-port {port}",
        "/etc/redis/server.crt": signed.certificate,
        "/etc/redis/server.key": signed.key,
        "/etc/redis/ca.crt": authority.certificate,
        "clients yes": f"clients {clients}",
    }
    return page.block("tls.conf", changes)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def start(authority, directory, clients):
    port = free_port()
    server = Server(redis_binary(), directory, *config_of(authority, port, clients))
    return server, Tls(authority, authority.sign("client"), port)


@pytest.fixture(scope="module")
def tls(authority, tmp_path_factory):
    server, running = start(authority, tmp_path_factory.mktemp("tls"), "optional")
    yield running
    server.kill()


@pytest.fixture(scope="module")
def strict(authority, tmp_path_factory):
    """A server that lets in only who has a certificate."""
    server, running = start(authority, tmp_path_factory.mktemp("strict"), "yes")
    yield running
    server.kill()


@pytest.fixture
def backing(tls):
    url = tls.url(**tls.trusted)
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield RedisBacking(url, client)


class TestRedisStoreOverTls(StoreContract):
    pass


def put_and_get(url, settings=QUICK):
    with closing(open_store(url, CHUNK, settings)) as store:
        store.put(KEY, memoryview(PAYLOAD))
        return get(store, KEY)


def test_an_unknown_authority_is_refused(tls, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    for options in ({}, {"ssl_ca_certs": stranger.certificate}):
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            put_and_get(tls.url(**options))


def test_a_certificate_for_another_host_is_refused(authority, tmp_path):
    port, other = free_port(), authority.sign("other", "DNS:elsewhere.example")
    config = config_of(authority, port, "no", other)
    server = Server(redis_binary(), tmp_path, *config)
    try:
        tls = Tls(authority, other, port)
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            put_and_get(tls.url(**tls.trusted))
    finally:
        server.kill()


def test_nothing_is_verified_only_where_that_is_asked_for(tls):
    assert put_and_get(tls.url(ssl_cert_reqs="none")) == PAYLOAD


@pytest.mark.parametrize("options", [{}, {"ssl_cert_reqs": "none"}])
def test_who_has_no_certificate_is_not_let_in(strict, options):
    with pytest.raises(StoreError):
        put_and_get(strict.url(**strict.trusted, **options))


def test_who_has_a_certificate_is_let_in(strict):
    changes = {
        "kv:PASSWORD": f":{PASSWORD}",
        "10.0.0.1:6380": f"127.0.0.1:{strict.port}",
        "/etc/redis/ca.crt": strict.authority.certificate,
        "/etc/redis/client.crt": strict.client.certificate,
        "/etc/redis/client.key": strict.client.key,
    }
    (example,) = re.findall(r"^rediss://.*", page.text(), re.MULTILINE)
    assert put_and_get(page.filled(example, changes)) == PAYLOAD


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_not_there_is_told_at_once(name):
    url = f"rediss://:t0ps3cret@h:6379/0?{name}=/no/such/file"
    with pytest.raises(ConfigError, match=f"{name}=/no/such/file: No such file") as e:
        open_store(url, CHUNK, QUICK)
    assert "t0ps3cret" not in str(e.value)


@pytest.mark.parametrize("value", ["non", "false", "0"])
def test_verification_is_not_turned_off_by_mistake(value):
    with pytest.raises(ConfigError, match="malformed"):
        open_store(f"rediss://h/0?ssl_cert_reqs={value}", CHUNK, QUICK)


def test_a_server_that_speaks_no_tls_is_given_up(server):
    url = server.url.replace("redis://", "rediss://")
    with closing(open_store(url, CHUNK, QUICK)) as store, pytest.raises(StoreError):
        store.contains([KEY])


def test_no_copy_of_a_payload_is_made(tls):
    chunk = replace(CHUNK, shape=(8 << 20,), nbytes=8 << 20)
    sent, received = os.urandom(chunk.nbytes), bytearray(chunk.nbytes)
    with closing(open_store(tls.url(**tls.trusted), chunk, StoreSettings())) as store:
        assert store.put(OTHER_KEY, memoryview(sent))  # connects, and imports what is needed
        assert store.get_into(OTHER_KEY, memoryview(received))
        tracemalloc.start()
        try:
            assert store.put(KEY, memoryview(sent))
            assert store.get_into(KEY, memoryview(received))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 256 << 10  # a few windows of 16 KiB
    assert received == sent


def test_a_cluster_over_tls(authority, tmp_path):
    def config(tls_port):
        return ["tls-cluster yes", "tls-replication yes", *config_of(authority, tls_port, "no")]

    with clusters.running(redis_binary(), tmp_path, tls=config) as cluster:
        url = f"{cluster.tls_url}?ssl_ca_certs={authority.certificate}"
        assert put_and_get(url) == PAYLOAD


def test_sentinel_over_tls(authority, tmp_path):
    def config(tls_port):
        return config_of(authority, tls_port, "no")

    with sentinels.running(redis_binary(), tmp_path, tls=config) as stack:
        assert (
            put_and_get(f"{stack.tls_url}&ssl_ca_certs={authority.certificate}", PATIENT) == PAYLOAD
        )
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            put_and_get(stack.tls_url, PATIENT)
