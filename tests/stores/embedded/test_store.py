from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from threading import Thread

import pytest
import redis

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.store import EmbeddedStore
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.seals.seal_contract import SealContract

URL = "embedded://?max_gib=0.0625"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A folder in which no other test's server is found."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"kvtransfer-{os.getuid()}"


def opened(url=URL):
    return open_store(url, CHUNK, StoreSettings())


@pytest.fixture
def backing(folder):
    with closing(opened()), side_door(folder) as client:
        yield RedisBacking(URL, client)


def side_door(folder):
    password = (folder / "embedded.lock").read_text()
    return redis.Redis(unix_socket_path=str(folder / "embedded.sock"), password=password)


class TestEmbeddedStore(StoreContract):
    pass


class TestEntriesInTheEmbeddedServer(EntryContract):
    pass


class TestSealsInTheEmbeddedStore(SealContract):
    pass


def test_it_may_hold_what_the_url_says(backing):
    assert backing.client.info("memory")["maxmemory"] == 64 << 20


def test_another_process_finds_it():
    code = (
        "import sys; from contextlib import closing; from tests.stores.embedded.test_store import *\n"
        "with closing(opened()) as store: sys.exit(get(store, KEY) != PAYLOAD)"
    )
    with closing(opened()) as store:
        store.put(KEY, memoryview(PAYLOAD))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        assert get(store, KEY) == PAYLOAD  # and has not taken it down


def test_it_ends_with_who_has_started_it(folder):
    with closing(opened()) as first, closing(opened()) as second:
        first.put(KEY, memoryview(PAYLOAD))
        assert get(second, KEY) == PAYLOAD
        first.close()
        with pytest.raises(StoreError):
            get(second, KEY)
        with closing(opened()) as third:
            assert get(third, KEY) is None
            assert third.put(KEY, memoryview(PAYLOAD))
    assert (folder / "embedded.lock").read_text() == ""
    assert not (folder / "embedded.sock").exists()


def test_one_whose_owner_was_killed_is_replaced(folder):
    folder.mkdir(mode=0o700)
    (folder / "embedded.lock").write_text("gone")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(folder / "embedded.sock"))
    with closing(opened()) as store:
        assert store.put(KEY, memoryview(PAYLOAD))


def test_it_has_no_port_that_another_user_could_take_or_reach(folder):
    with closing(opened()), side_door(folder) as client:
        assert client.config_get("port")["port"] == "0"
        assert client.info("server")["tcp_port"] == 0
        pid = client.info("server")["process_id"]
        listening = subprocess.run(["cat", f"/proc/{pid}/net/unix"], capture_output=True, text=True)
        assert str(folder / "embedded.sock") in listening.stdout


def test_a_fork_does_not_keep_the_lock():
    first = opened()
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    try:
        first.close()
        with closing(opened()) as second:
            assert second.put(KEY, memoryview(PAYLOAD))
    finally:
        child.kill()
        child.join()


def test_a_fork_uses_the_server_and_ends_nothing_as_it_closes():
    with closing(opened()) as store:
        store.put(KEY, memoryview(PAYLOAD))

        def use_and_close():
            hit = get(store, KEY) == PAYLOAD
            store.close()
            os._exit(not hit)

        child = multiprocessing.get_context("fork").Process(target=use_and_close)
        child.start()
        child.join()
        assert child.exitcode == 0
        with closing(opened()) as second:
            assert get(second, KEY) == PAYLOAD


def test_what_is_executed_does_not_inherit_the_lock():
    first = opened()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        first.close()
        opened().close()
    finally:
        child.kill()
        child.wait()


def test_those_who_come_at_once_share_one():
    stores = []
    threads = [Thread(target=lambda: stores.append(opened())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[0].put(KEY, memoryview(PAYLOAD))
    assert [get(store, KEY) for store in stores] == [PAYLOAD] * 6
    for store in stores:
        store.close()


def test_nobody_else_can_read_its_password(folder):
    with closing(opened()):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "embedded.lock").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_can_write_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="must belong to this user alone"):
        opened()


@pytest.mark.parametrize("plant", ["file", "link"])
def test_what_is_no_folder_of_ours_is_refused(folder, tmp_path, plant):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.write_text("") if plant == "file" else folder.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="must be a folder: remove it"):
        opened()


def test_a_runtime_folder_that_is_not_there_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with closing(opened()) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
    assert (tmp_path / f"kvtransfer-{os.getuid()}").is_dir()


def test_a_path_that_no_socket_can_have_is_refused(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(ConfigError, match="set XDG_RUNTIME_DIR to a shorter path"):
        opened()


def test_without_the_wheel_it_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"embedded"):
        opened()


@pytest.mark.parametrize(
    "url", ["embedded://host", "embedded:///path", "embedded://?max_gib=many", "embedded://?max=1",
            "embedded://?max_gib=0", "embedded://?max_gib=inf", "embedded://?max_gib="],
)  # fmt: skip
def test_a_malformed_url_is_refused(url):
    with pytest.raises(ConfigError, match="write embedded://"):
        opened(url)


def test_feeds_are_carried_by_the_same_server(backing):
    settings = StoreSettings(timeout_s=30.0)
    with (
        closing(EmbeddedStore.open_feed(URL, settings)) as here,
        closing(EmbeddedStore.open_feed(URL, settings)) as there,
    ):
        here.append("ab", b"1")
        assert there.reader("ab").read(100) == [b"1"]
    assert backing.client.exists(b"kvtransfer:feed:ab")
