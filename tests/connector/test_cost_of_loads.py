"""A store that is slower than computing is not loaded from, until it is fast again."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.entries import Entries
from tests.connector.inputs import connected, prompt
from tests.faults import proxy
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.vllm

REQUESTS = [Request(prompt(300, seed=seed)) for seed in range(100, 112)]
CHUNKS = 4


@pytest.fixture
def engines(v1_engines):
    """Where V2 is interpreted, computing is slower than any store."""
    return v1_engines


def test_a_slow_store_is_refused_for_computing(engines, model, plain):
    right = [plain.generate(request).answers for request in REQUESTS]
    with (
        EmbeddedServer(64 << 20) as server,
        closing(Entries(server.url)) as entries,
        closing(Proxy(server.port)) as line,
    ):
        with engines.start(connected(model, server.url)) as writer:
            for request in REQUESTS:
                writer.generate(request)
            entries.await_count(CHUNKS * len(REQUESTS))
        line.follow(proxy.delaying_replies(0.3))
        url = server.url.replace(f":{server.port}/", f":{line.port}/")
        patient = {"lookup_timeout_ms": 20_000, "remote_timeout_ms": 20_000}
        slow = connected(model, url, load_margin=1.0, save_decode=False, **patient)
        with engines.start(slow) as reader:
            outcomes = [reader.generate(request) for request in REQUESTS]
    assert [outcome.answers for outcome in outcomes] == right
    restored = [outcome.external_tokens for outcome in outcomes]
    assert restored[0] == CHUNKS * 64  # the first load is tried, to learn what it takes
    assert restored[-4:].count(0) >= 3  # but for a chunk that a probe may have brought
