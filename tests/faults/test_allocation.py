from __future__ import annotations

import os
import tracemalloc
from contextlib import closing

import pytest

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.testing import KEY, OTHER_KEY

NBYTES = 8 << 20
CHUNK = ChunkFormat("opaque:large", "uint8", (NBYTES,), 1, NBYTES)
MOST_BYTES = 2 * (64 << 10)
"""All that is held at once, so that no allocation comes near it: a few windows on the socket."""


@pytest.fixture
def store():
    with (
        EmbeddedServer(64 << 20) as server,
        closing(open_store(server.url, CHUNK, StoreSettings())) as opened,
    ):
        yield opened


def peak_bytes(work):
    """What ``work`` held at most at once, beyond what there was before."""
    tracemalloc.start()
    try:
        assert work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_payload_is_copied_nowhere_on_its_way(store):
    sent, received = os.urandom(NBYTES), bytearray(NBYTES)
    assert store.put(OTHER_KEY, memoryview(sent))  # connects, and fills whatever cache there is
    assert store.get_into(OTHER_KEY, memoryview(received))
    assert peak_bytes(lambda: store.put(KEY, memoryview(sent))) < MOST_BYTES
    assert peak_bytes(lambda: store.get_into(KEY, memoryview(received))) < MOST_BYTES
    assert received == sent


def test_a_copy_would_be_seen():
    assert peak_bytes(lambda: bytes(memoryview(bytearray(MOST_BYTES)))) > MOST_BYTES
