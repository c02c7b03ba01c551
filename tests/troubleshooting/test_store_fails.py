"""Each cause for which a store fails is logged as the page's table quotes it."""

from __future__ import annotations

import os
import signal
from contextlib import closing, contextmanager

import pytest

from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD
from tests.stores.redis.certificates import Authority
from tests.stores.redis.cluster import Cluster
from tests.stores.redis.sentinel import Stack
from tests.stores.redis.servers import PASSWORD, Server, redis_binary
from tests.stores.redis.test_tls import start
from tests.troubleshooting.page import CAUSES, TEXT, agrees

FEW_RIGHTS = "user few on >few ~* +hello +select +exists"
SOON_S = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(redis_binary(), tmp_path_factory.mktemp("server"), FEW_RIGHTS)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    running, found = start(authority, tmp_path_factory.mktemp("tls"), "optional")
    yield found
    running.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Cluster(redis_binary(), tmp_path_factory.mktemp("cluster"))
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def causes(caplog):
    """Says why a put to a URL fails, with the page's host."""

    def told(url, timeout_s=30.0, key=KEY):
        caplog.clear()
        store = open_store(url, CHUNK, StoreSettings(timeout_s=timeout_s))
        with closing(GuardedStore(store, url)) as guarded:
            assert guarded.put(key, memoryview(PAYLOAD)) is False
        (said,) = caplog.messages
        frame, _, cause = said.partition(", its chunks are misses: ")
        assert frame.startswith("store redi")
        assert frame.endswith(" fails")
        assert cause.endswith(" (1 so far)")
        return cause.removesuffix(" (1 so far)")

    return told


def quoted(words):
    """The page's only cause that has ``words``."""
    (found,) = [cause for cause in CAUSES if words in cause]
    return found


@contextmanager
def stopped(server):
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def on_page(cause, port):
    return cause.replace(f"127.0.0.1:{port}", "HOST:6379")


def test_passwords_and_rights(server, causes):
    at = f"127.0.0.1:{server.port}/0"
    assert causes(f"redis://:wrong@{at}") == quoted("no such user and password")
    assert causes(f"redis://{at}") == quoted("was given none")
    assert causes(f"redis://few:few@{at}") == quoted("may not run the command")


def test_a_full_server(server, causes):
    with server.client() as control:
        control.config_set("maxmemory-policy", "noeviction")
        control.config_set("maxmemory", 1)
        assert causes(server.url) == quoted("evicts nothing")
        control.config_set("maxmemory", 0)


def test_a_server_that_is_not_there(causes, tmp_path):
    gone = Server(redis_binary(), tmp_path)
    with stopped(gone):
        assert on_page(causes(gone.url, SOON_S), gone.port) == quoted("Timeout reading")
    gone.kill()
    assert on_page(causes(gone.url), gone.port) == quoted("Connection refused")
    assert causes("redis://no-such-host.invalid:6379/0").startswith(
        quoted("no-such-host").partition(" -2 ")[0]
    )


def test_tls_on_one_side_only(server, tls, causes):
    plain = f"127.0.0.1:{server.port}/0"
    assert causes(f"rediss://:{PASSWORD}@{plain}", SOON_S) == quoted("this port has no TLS")
    closed = causes(f"redis://:{PASSWORD}@127.0.0.1:{tls.port}/0")
    assert on_page(closed, tls.port) == quoted("reset by peer")


def test_a_certificate_of_an_unknown_authority(tls, causes):
    assert agrees(on_page(causes(tls.url()), tls.port), quoted("CERTIFICATE_VERIFY_FAILED"))


def test_a_replica(server, causes, tmp_path):
    following = (f"replicaof 127.0.0.1 {server.port}", f"masterauth {PASSWORD}")
    replica = Server(redis_binary(), tmp_path, *following)
    try:
        assert causes(replica.url) == quoted("it is a replica")
    finally:
        replica.kill()


def test_a_node_of_a_cluster(cluster, server, causes):
    said = {causes(node.url, key=key) for node in cluster.servers[:3] for key in (KEY, OTHER_KEY)}
    assert said == {quoted("a cluster's node; write"), quoted("CrossSlot")}
    at = f"127.0.0.1:{server.port}"
    assert causes(f"redis-cluster://:{PASSWORD}@{at}") == quoted("Cluster mode is not enabled")


def test_sentinels_with_a_password_of_their_own(causes, tmp_path):
    stack = Stack(redis_binary(), tmp_path)
    try:
        stack.start()
        assert causes(stack.url.partition("?")[0]) == quoted("no Sentinel names")
    finally:
        stack.close()


def test_the_frame_of_these_lines_is_quoted():
    frame = "store redis://:***@HOST:6379/0 fails, its chunks are misses: CAUSE (1 so far)"
    assert frame in TEXT
    assert len(CAUSES) == 15
