"""What servers say of themselves."""

from __future__ import annotations

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.redis.server_info import ask_server
from tests.stores.redis.page import block

SETTINGS = StoreSettings(timeout_s=20)


def test_a_server_tells_its_version_its_memory_and_how_fast_it_is():
    with EmbeddedServer(3 << 30) as running:
        server = ask_server(running.url, SETTINGS)
    assert server.name.startswith("Valkey ")
    assert server.name[7].isdigit()
    assert server.memory == "3.0 GiB, allkeys-lru"
    assert server.answer_s > 0
    assert server.has_password
    assert running.url.split("@")[0].split(":")[-1] not in repr(server)


def test_without_a_limit_and_for_a_user_who_may_not_ask():
    lines = ["maxmemory-policy noeviction", "user guest on nopass ~* +@all -info"]
    with EmbeddedServer(0, extra_config=lines) as running:
        server = ask_server(running.url, SETTINGS)
        place = running.url.rpartition("@")[2]
        guest = ask_server(f"redis://guest:any@{place}", SETTINGS)
    assert server.memory == "no limit of memory, noeviction"
    assert (guest.name, guest.memory) == ("Redis of unknown version", "memory policy unknown")


def test_a_user_who_may_not_even_ping_is_answered():
    with EmbeddedServer(0, extra_config=block("users.acl")) as running:
        place = running.url.rpartition("@")[2]
        server = ask_server(f"redis://kv:PASSWORD@{place}", SETTINGS)
    assert server.answer_s > 0
    assert (server.name, server.memory) == ("Redis of unknown version", "memory policy unknown")


def test_no_answer_is_an_error_without_the_password():
    with pytest.raises(StoreError) as refused:
        ask_server("redis://:t0ps3cret@127.0.0.1:1/0", SETTINGS)
    assert "t0ps3cret" not in str(refused.value)
