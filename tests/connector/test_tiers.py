"""Memory that is too small, with a disk and Redis behind it: every turn of many talks is right."""

from __future__ import annotations

import pytest

from kvtransfer.stores.embedded import EmbeddedServer
from tests.connector.conversation import hold, requests, small_host

pytestmark = pytest.mark.vllm

TALKS, TURNS = 8, 4
# A long request has twelve chunks, all talks together have seventy.
HOST_CHUNKS, DISK_CHUNKS = 18, 26
PLENTY = 200


@pytest.fixture(scope="module")
def asked(plain):
    return requests(plain, TALKS, TURNS, seed=2)


def test_each_tier_serves_and_every_turn_is_right(engines, model, asked, tmp_path):
    with EmbeddedServer(64 << 20) as server:
        setup = small_host(model, HOST_CHUNKS, tmp_path / "chunks", DISK_CHUNKS, server.url)
        with engines.start(setup) as engine:
            turns = hold(engine, asked)
            counted = engine.counted()
    assert turns.wrong == []
    assert counted["host_hit_tokens"] > 0
    assert counted["disk_fetched_tokens"] > 0
    assert counted["remote_fetched_tokens"] > 0
    assert counted["promoted_chunks"] > 0
    assert counted["host_hit_tokens"] + counted["store_hit_tokens"] == turns.external_tokens
    fetched_tokens = counted["disk_fetched_tokens"] + counted["remote_fetched_tokens"]
    assert fetched_tokens >= counted["store_hit_tokens"]


def test_a_restart_finds_what_the_disk_holds(engines, model, asked, tmp_path):
    last = asked[-1:]
    setup = small_host(model, HOST_CHUNKS, tmp_path / "chunks", PLENTY)
    with engines.start(setup) as engine:
        assert hold(engine, last).external_tokens == 0
    with engines.start(setup) as engine:
        turns = hold(engine, last)
        counted = engine.counted()
    assert turns.wrong == []
    chunks_tokens = turns.prompt_tokens // 64 * 64
    assert turns.external_tokens == counted["disk_fetched_tokens"] == chunks_tokens
