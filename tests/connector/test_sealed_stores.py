"""Engines that share a store whose entries are sealed by a key, or don't share it."""

from __future__ import annotations

import os

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm

SETTINGS = ["integrity_key_file", "encryption_key_file"]
PLAIN = Request(prompt(600, seed=1))  # 9 chunks
SALTED = Request(prompt(300, seed=2), cache_salt="ours")  # 4 chunks
REQUESTS = (PLAIN, SALTED)
HELD_TOKENS = (9 + 4) * CHUNK_TOKENS


@pytest.fixture
def key_file(tmp_path):
    """Makes a file with a secret of its own, by name."""

    def make(name):
        path = tmp_path / name
        path.touch(0o600)
        path.write_text(os.urandom(32).hex())
        return str(path)

    return make


def restored(engine, plain):
    """Tokens restored for all requests, each of which is answered right."""
    outcomes = [engine.generate(request) for request in REQUESTS]
    for outcome, request in zip(outcomes, REQUESTS, strict=True):
        assert outcome.answers == plain.generate(request).answers
    return sum(outcome.external_tokens for outcome in outcomes)


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_those_with_the_key_share(engines, model, server, entries, plain, key_file, setting):
    ours, theirs = key_file("ours"), key_file("theirs")
    with engines.start(connected(model, server.url, **{setting: ours})) as engine:
        assert restored(engine, plain) == 0
    entries.await_count(13)
    with engines.start(connected(model, server.url, **{setting: ours})) as engine:
        assert restored(engine, plain) == HELD_TOKENS
        assert "unverified_chunks" not in engine.counted()
    rotated = [theirs, ours]
    with engines.start(connected(model, server.url, **{setting: rotated})) as engine:
        assert restored(engine, plain) == HELD_TOKENS
    with engines.start(connected(model, server.url, **{setting: theirs})) as engine:
        assert restored(engine, plain) == 0
        assert engine.counted()["unverified_chunks"] > 0
        assert ours not in engine.log()
    with engines.start(connected(model, server.url)) as engine:
        assert restored(engine, plain) == 0


def test_the_server_sees_nothing_of_what_was_cached(engines, model, server, entries, key_file):
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(PLAIN)
    entries.await_count(9)
    windows = {payload[:64] for payload in entries.payloads()}
    entries.clear()
    encrypted = connected(model, server.url, encryption_key_file=key_file("ours"))
    with engines.start(encrypted) as engine:
        engine.generate(PLAIN)
    entries.await_count(9)
    assert len(windows) == 9
    for payload in entries.payloads():
        assert not any(window in payload for window in windows)


@pytest.mark.parametrize("write_policy", ["write_through", "write_back"])
def test_every_way_to_the_store_knows_the_tenant(
    engines, model, server, plain, key_file, tmp_path, write_policy
):
    """Host memory of twenty slots, a disk, and what leaves or is promoted between them."""
    requests = [Request(prompt(600, seed=i), cache_salt=f"tenant {i % 3}") for i in range(5)]
    setup = connected(
        model,
        server.url,
        encryption_key_file=key_file("ours"),
        write_policy=write_policy,
        max_local_cpu_size=0.01,
        local_storage=str(tmp_path / "chunks"),
        max_local_storage_size=0.01,
    )
    with engines.start(setup) as engine:
        for request in (*requests, *requests):
            assert engine.generate(request).answers == plain.generate(request).answers
            assert engine.reset()
        counted = engine.counted()
    assert counted["store_hit_tokens"] > 0
    assert "unverified_chunks" not in counted
    assert "load_failed_chunks" not in counted
