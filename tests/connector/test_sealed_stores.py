"""Engines that share a store whose entries are sealed by a key, or don't share it."""

from __future__ import annotations

import os

import pytest

from tests.connector.conversation import small_host
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
    """Tokens whose load began for all requests, each of which is answered right."""
    outcomes = [engine.generate(request) for request in REQUESTS]
    for outcome, request in zip(outcomes, REQUESTS, strict=True):
        assert outcome.answers == plain.generate(request).answers
    return sum(outcome.external_tokens for outcome in outcomes)


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_those_with_the_key_share(
    v1_engines, model, server, entries, plain, key_file, setting
):
    ours, theirs = key_file("ours"), key_file("theirs")
    with v1_engines.start(connected(model, server.url, **{setting: ours})) as engine:
        assert restored(engine, plain) == 0
    entries.await_count(13)
    with v1_engines.start(connected(model, server.url, **{setting: ours})) as engine:
        assert restored(engine, plain) == HELD_TOKENS
        assert engine.counted()["unverified_chunks"] == 0
    rotated = [theirs, ours]
    with v1_engines.start(connected(model, server.url, **{setting: rotated})) as engine:
        assert restored(engine, plain) == HELD_TOKENS
    for others in ({setting: theirs}, {}):
        with v1_engines.start(connected(model, server.url, **others)) as engine:
            restored(engine, plain)  # begun, for lookups see names only, and then refused
            counted = engine.counted()
            assert counted["fetched_bytes"] == 0
            assert counted["unverified_chunks"] > 0


def test_the_server_sees_nothing_of_what_was_cached(v1_engines, model, server, entries, key_file):
    with v1_engines.start(connected(model, server.url)) as engine:
        engine.generate(PLAIN)
    entries.await_count(9)
    windows = {payload[:64] for payload in entries.payloads()}
    entries.clear()
    encrypted = connected(model, server.url, encryption_key_file=key_file("ours"))
    with v1_engines.start(encrypted) as engine:
        engine.generate(PLAIN)
    entries.await_count(9)
    assert len(windows) == 9
    for payload in entries.payloads():
        assert not any(window in payload for window in windows)


def test_every_tier_knows_the_tenant(v1_engines, model, server, plain, key_file, tmp_path):
    """Memory and disk are small, so chunks are fetched from Redis and promoted."""
    requests = [Request(prompt(600, seed=i), cache_salt=f"tenant {i % 3}") for i in range(5)]
    sealed = {"encryption_key_file": key_file("ours")}
    setup = small_host(model, 18, tmp_path / "chunks", 20, server.url, **sealed)
    with v1_engines.start(setup) as engine:
        for request in (*requests, *requests):
            assert engine.generate(request).answers == plain.generate(request).answers
        counted = engine.counted()
    assert counted["remote_fetched_tokens"] > 0
    assert counted["promoted_chunks"] > 0
    assert counted["unverified_chunks"] == 0
