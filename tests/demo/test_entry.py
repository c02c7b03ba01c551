import pytest
from redis import Redis

from demo.entry import read_entry
from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer

CHUNK = ChunkFormat("split", "float32", (2, 2, 16, 1, 4), tokens=16, nbytes=1024)


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(32 << 20) as running:
        yield running


def test_an_empty_server_shows_nothing(server):
    assert read_entry(server.url) is None


def test_an_entry_is_what_the_store_has_put(server):
    keys = [base_key("model", 1, 0, digit * 32) for digit in "ba"]
    store = open_store(server.url, CHUNK, StoreSettings())
    for key in keys:
        store.put(key, memoryview(bytes(CHUNK.nbytes)))
    store.close()
    entry = read_entry(server.url)
    assert (entry.key, entry.payload_bytes, entry.entries) == (keys[1], 1024, 2)
    assert entry.fields["dtype"] == "float32"
    with Redis.from_url(server.url) as client:
        assert client.hlen(entry.key) == len(entry.fields)
