from __future__ import annotations

import os
import signal
import socket
import socketserver
import traceback
from contextlib import closing
from dataclasses import replace
from threading import Thread

import pytest
import redis

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.life_contract import LifeContract
from tests.stores.seals.seal_contract import SealContract

QUICK = StoreSettings(timeout_s=0.2)


@pytest.fixture
def backing(server):
    with redis.Redis.from_url(server.url) as client:
        yield RedisBacking(server.url, client)


class TestRedisStore(StoreContract):
    pass


class TestLivesInRedis(LifeContract):
    pass


class TestEntriesInRedis(EntryContract):
    pass


class TestSealsInValkey(SealContract):
    pass


@pytest.fixture
def quick(server):
    with closing(open_store(server.url, CHUNK, QUICK)) as store:
        yield store


def port_without_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_two_values_of_an_entry_are_as_documented(store, backing):
    store.put(KEY, memoryview(PAYLOAD))
    assert set(backing.client.scan_iter()) == {KEY.encode(), f"{KEY}_bytes".encode()}
    expected = {"model_name": "org/model", "format": "naive", "world_size": "2", "worker_id": "1"}
    assert expected.items() <= backing.fields(KEY).items()


def test_greeting_the_server_takes_one_round_trip(backing):
    def greetings():
        stats = backing.client.info("commandstats")
        names = ("hello", "auth", "select", "client|setinfo", "client|setname")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)

    before = greetings()
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        store.put(KEY, memoryview(PAYLOAD))
    assert greetings() - before == 1


def test_both_halves_get_the_time_to_live(backing):
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        assert all(0 < backing.client.ttl(name) <= 100 for name in (KEY, f"{KEY}_bytes"))


@pytest.mark.parametrize("name", [KEY, f"{KEY}_bytes"])
def test_a_value_of_another_type_is_a_miss_and_is_replaced(store, backing, name):
    store.put(KEY, memoryview(PAYLOAD))
    backing.client.delete(name)
    backing.client.rpush(name, "somebody else's")
    assert get(store, KEY) is None
    assert backing.client.exists(KEY, f"{KEY}_bytes") == 0
    backing.client.rpush(name, "somebody else's")
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD


def test_strange_bytes_in_a_record_are_a_miss(store, backing):
    store.put(KEY, memoryview(PAYLOAD))
    backing.client.hset(KEY, b"model_name", b"\xff\xfe")
    assert get(store, KEY) is None


def test_large_payloads_survive(server):
    chunk = replace(CHUNK, shape=(5 << 20,), nbytes=5 << 20)
    sent, received = os.urandom(chunk.nbytes), bytearray(chunk.nbytes)
    with closing(open_store(server.url, chunk, StoreSettings())) as store:
        assert store.put(KEY, memoryview(sent))
        assert store.get_into(KEY, memoryview(received))
    assert received == sent


def test_a_lost_half_is_a_miss_when_the_server_evicts(server):
    chunk = replace(CHUNK, shape=(1 << 20,), nbytes=1 << 20)
    keys = [f"{KEY[:-3]}{i:03}" for i in range(120)]  # nearly twice what the server holds
    payload = bytearray(chunk.nbytes)
    with closing(open_store(server.url, chunk, StoreSettings())) as store:
        for i, key in enumerate(keys):
            assert store.put(key, memoryview(bytes([i]) * chunk.nbytes))
        held, hits = store.contains(keys), 0
        for i, key in enumerate(keys):
            hit = store.get_into(key, memoryview(payload))
            assert hit <= held[i]
            assert not hit or payload == bytes([i]) * chunk.nbytes
            hits += hit
        assert 0 < hits < len(keys)


def test_unix_socket_with_database_and_password(tmp_path):
    path = tmp_path / "socket"
    with EmbeddedServer(64 << 20, password="p@ss", extra_config=[f"unixsocket {path}"]):
        url = f"unix://:p%40ss@{path}?db=3"
        with closing(open_store(url, CHUNK, QUICK)) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 2


def test_wrong_password_is_told_but_not_shown(server):
    url = f"redis://:t0ps3cret@127.0.0.1:{server.port}/0"
    with (
        closing(open_store(url, CHUNK, QUICK)) as store,
        pytest.raises(StoreError, match=rf"redis://:\*\*\*@127.0.0.1:{server.port}/0: Auth") as e,
    ):
        store.contains([KEY])
    assert "t0ps3cret" not in "".join(traceback.format_exception(e.value)) + repr(store)


def test_an_echoed_password_is_not_shown():
    password = "t0p" + "s3cret"
    echo = f"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `{password}`\r\n"

    class Old(socketserver.BaseRequestHandler):  # as servers before Redis 6 do
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(echo.encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Old) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"redis://some:{password}@127.0.0.1:{server.server_address[1]}/0"
        with closing(open_store(url, CHUNK, QUICK)) as store, pytest.raises(StoreError) as e:
            store.contains([KEY])
        server.shutdown()
        thread.join()
    assert "`AUTH`, `***`" in str(e.value)
    assert password not in "".join(traceback.format_exception(e.value))


def test_nobody_listens():
    url = f"redis://127.0.0.1:{port_without_server()}"
    with closing(open_store(url, CHUNK, QUICK)) as store:
        for call in (store.put, store.get_into):
            with pytest.raises(StoreError, match="refused"):
                call(KEY, memoryview(bytearray(PAYLOAD)))
        with pytest.raises(StoreError, match="refused"):
            store.contains([KEY])


def test_a_full_server_that_may_not_evict_refuses_and_recovers():
    with (
        EmbeddedServer(64 << 20, extra_config=["maxmemory-policy noeviction"]) as server,
        closing(open_store(server.url, CHUNK, QUICK)) as store,
        redis.Redis.from_url(server.url) as client,
    ):
        store.put(KEY, memoryview(PAYLOAD))
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match="OutOfMemory"):
            store.put(OTHER_KEY, memoryview(PAYLOAD))
        assert store.contains([KEY, OTHER_KEY]) == [True, False]
        assert get(store, KEY) == PAYLOAD
        client.config_set("maxmemory", 64 << 20)
        assert store.put(OTHER_KEY, memoryview(PAYLOAD))
        assert get(store, OTHER_KEY) == PAYLOAD


def test_killed_and_restarted_without_a_new_store(server, quick):
    quick.put(KEY, memoryview(PAYLOAD))
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(StoreError):
        get(quick, KEY)
    with pytest.raises(StoreError):
        quick.contains([KEY])
    again = EmbeddedServer(64 << 20, port=server.port, password=password_of(server))
    with again:
        assert get(quick, KEY) is None
        assert quick.put(KEY, memoryview(PAYLOAD))
        assert get(quick, KEY) == PAYLOAD


def test_a_restart_between_two_calls_goes_unnoticed(server, quick):
    quick.put(KEY, memoryview(PAYLOAD))
    server.close()
    with EmbeddedServer(64 << 20, port=server.port, password=password_of(server)):
        assert quick.contains([KEY]) == [False]


def test_a_stopped_server_is_given_up(server, quick):
    quick.put(KEY, memoryview(PAYLOAD))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for _ in range(2):  # on an open connection, then on one it can't accept
            with pytest.raises(StoreError, match="Timeout"):
                get(quick, KEY)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert get(quick, KEY) == PAYLOAD


def password_of(server):
    return server.url.partition("://:")[2].partition("@")[0]


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:port",
        "redis://h/database",
        "redis://h/0?no_such_option=1",
        "redis://h/0?socket_timeout=soon",
        "redis://h/0?decode_responses=true",
        "redis://h/0?protocol=9",
        "redis://:t0p/s3cret@h:6379/0",
        "unix://?db=1",
    ],
)
def test_a_malformed_url_is_refused_at_once(url):
    with pytest.raises(ConfigError, match="malformed") as e:
        RedisStore(url, QUICK)
    text = "".join(traceback.format_exception(e.value))
    assert not {"t0p", "s3cret"} & set(text.replace("/", " ").replace(":", " ").split())


def test_where_entries_stay_one_may_still_have_a_life(store, backing):
    assert store.put(KEY, memoryview(PAYLOAD), "", 40)
    assert store.put(OTHER_KEY, memoryview(PAYLOAD))
    for half in (KEY, f"{KEY}_bytes"):
        assert 30_000 < backing.client.pttl(half) <= 40_000
    assert store.put(KEY, memoryview(PAYLOAD), "", 4000)
    assert backing.client.pttl(KEY) <= 40_000
    assert backing.client.pttl(OTHER_KEY) == -1
