from __future__ import annotations

import time
from contextlib import closing

import pytest

from benchmarks.slow_line import Pace, SlowLine
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get

SETTINGS = StoreSettings(timeout_s=20)


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


def through(server, line):
    return open_store(server.url.replace(f":{server.port}/", f":{line.port}/"), CHUNK, SETTINGS)


@pytest.mark.parametrize("pace", [Pace(), Pace(delay_s=0.05), Pace(bytes_per_s=1e5)])
def test_what_passes_is_what_was_sent(server, pace):
    with SlowLine(server.port, pace) as line, closing(through(server, line)) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD
        assert get(store, OTHER_KEY) is None


@pytest.mark.parametrize("pace", [Pace(delay_s=0.1), Pace(bytes_per_s=10 * len(PAYLOAD))])
def test_it_takes_the_time_it_was_told(server, pace):
    with SlowLine(server.port, pace) as line, closing(through(server, line)) as store:
        store.put(KEY, memoryview(PAYLOAD))
        began_s = time.monotonic()
        assert get(store, KEY) == PAYLOAD
        assert time.monotonic() - began_s > 0.09
