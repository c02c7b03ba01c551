"""What is refused, or warned of, is said as the page quotes it."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import pytest
from vllm.config import KVTransferConfig

from kvtransfer.config import TransferConfig
from kvtransfer.connector.asked import asked_of
from kvtransfer.connector.opening import warnings
from kvtransfer.connector.vllm.config_check import refuse_block_size, warn_of_failing_requests
from kvtransfer.connector.vllm.vllm_version import refuse_older
from kvtransfer.errors import ConfigError
from kvtransfer.host_memory import require_installed
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.redis.server_info import ask_server
from kvtransfer.stores.seals.key_file import read_key
from kvtransfer.testing import CHUNK, KEY
from tests.fake_clock import FakeClock
from tests.troubleshooting.page import MESSAGES, agrees

MORE_THAN_ANY_GIB = 1e6
PREFIX = "kvtransfer.errors.ConfigError: "


def settings(**environment):
    return lambda _: TransferConfig.load({}, environment)


def a_folder_of_others(folder):
    (folder / "photos").mkdir()
    open_store(f"disk://{folder}?max_gib=1", CHUNK, StoreSettings())


def a_short_key(folder):
    (folder / "key").write_text("too short")
    (folder / "key").chmod(0o600)
    read_key(str(folder / "key"), "integrity_key_file")


REFUSED = {
    "A misspelt setting": settings(KVTRANSFER_CHUNK_SIZ="64"),
    "A value that is no such value": settings(KVTRANSFER_CHUNK_SIZE="many"),
    "A URL of no known kind": settings(KVTRANSFER_REMOTE_URL="reddis://HOST:6379"),
    "Chunks and blocks that don't fit": lambda _: refuse_block_size(16, 100),
    "More host memory than there is": lambda _: require_installed(MORE_THAN_ANY_GIB),
    "A folder that holds something else": a_folder_of_others,
    "A key file that is too short": a_short_key,
    "A vLLM that is too old": lambda _: refuse_older("0.30.1"),
    "A word that isn't known": lambda _: asked_of({"loads": False}),
}
STAND_INS = {"/mnt/nvme": "", "/etc/kvtransfer/key": "/key"}
"""Paths of the page, and where in the test's folder they are."""


@pytest.mark.parametrize("title", REFUSED)
def test_a_refusal_is_said_as_the_page_quotes_it(title, tmp_path):
    with pytest.raises(ConfigError) as refused:
        REFUSED[title](tmp_path)
    said = str(refused.value).replace(f"={MORE_THAN_ANY_GIB} GiB", "=64.0 GiB")
    for shown, ours in STAND_INS.items():
        said = said.replace(f"{tmp_path}{ours} ", f"{shown} ")
    assert agrees(said, MESSAGES[title].removeprefix(PREFIX))


def a_server_without_eviction(caplog):
    with EmbeddedServer(64 << 20, extra_config=["maxmemory-policy noeviction"]) as server:
        found = ask_server(server.url, StoreSettings(timeout_s=30.0))
    return f"store redis://HOST:6379/0: {next(iter(warnings(found)))}"


def a_server_without_password(caplog):
    with EmbeddedServer(64 << 20, extra_config=["user guest on nopass ~* +@all"]) as server:
        url = f"redis://guest@{server.url.rpartition('@')[2]}"
        found = ask_server(url, StoreSettings(timeout_s=30.0))
    return f"store redis://HOST:6379/0: {next(iter(warnings(found)))}"


def a_policy_that_fails_requests(caplog):
    transfer = KVTransferConfig(kv_connector="KVTransferConnector", kv_role="kv_both")
    warn_of_failing_requests(SimpleNamespace(kv_transfer_config=transfer))
    return caplog.messages[-1]


def a_store_that_comes_back(caplog):
    clock = FakeClock()
    with EmbeddedServer(64 << 20, password="s3cret") as server:
        port, url = server.port, server.url
    store = open_store(url, CHUNK, StoreSettings(timeout_s=30.0))
    with closing(GuardedStore(store, url, clock=clock)) as guarded:
        for _ in range(5):
            guarded.contains([KEY])
        clock.now_s += 1
        with EmbeddedServer(64 << 20, port=port, password="s3cret"):
            guarded.contains([KEY])
    return caplog.messages[-1].replace(f"127.0.0.1:{port}", "HOST:6379")


SAID = {
    "No eviction": a_server_without_eviction,
    "No password": a_server_without_password,
    "Requests that may fail": a_policy_that_fails_requests,
    "It serves again": a_store_that_comes_back,
}


@pytest.mark.parametrize("title", SAID)
def test_a_warning_is_said_as_the_page_quotes_it(title, caplog):
    assert agrees(SAID[title](caplog), MESSAGES[title])


def test_each_message_of_the_page_is_provoked():
    assert MESSAGES.keys() == REFUSED.keys() | SAID.keys()
