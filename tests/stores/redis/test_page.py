from __future__ import annotations

import re

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.stores.redis.page import block, text
from tests.stores.redis.servers import Server, redis_binary

MIB = 1 << 20


@pytest.fixture
def configured(tmp_path):
    """A server with the page's configuration and its user."""
    server = Server(redis_binary(), tmp_path, *block("redis.conf"), *block("users.acl"))
    yield server
    server.kill()


def test_the_servers_settings_are_as_the_page_says(configured):
    with configured.client() as client:
        assert client.info("memory")["maxmemory_policy"] == "allkeys-lru"
        assert client.config_get("repl-backlog-size") == {"repl-backlog-size": str(1 << 30)}
    url = f"redis://kv:PASSWORD@127.0.0.1:{configured.port}/0"
    store = open_store(url, CHUNK, StoreSettings(ttl_s=100))
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD
    store.close()


def test_the_sizing_example_adds_up(configured):
    token_bytes = 32 * 2 * 8 * 128 * 2
    assert f"{token_bytes:,} bytes" in text()
    assert 256 * token_bytes == 32 * MIB
    with configured.client() as client:
        client.set("chunk", bytes(32 * MIB))
        used_mib = client.memory_usage("chunk") / MIB
    assert round(used_mib) == 40
    assert f"{48 * 1024 // 40:,} chunks" in text()
    assert 48 * 1024 // 40 * 256 // 1000 == 314
    assert f"there are {48 * 1024 // 32:,}" in text()
    assert round(32 * MIB * 8 / 10e9 * 1000) == 27


def test_every_url_is_one_that_is_known():
    urls = re.findall(r"^(?:\| `|)([a-z-]+://[^`\s]+)", text(), re.MULTILINE)
    assert len(urls) >= 7
    for url in urls:
        assert TransferConfig.of(remote_url=url).remote_url == url
