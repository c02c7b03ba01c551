"""vLLM's own offloading with our stores behind it: a real engine, a real Redis, and its faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.engines import EngineError
from tests.connector.entries import stopped
from tests.connector.inputs import prompt
from tests.connector.offloading_setups import BLOCK_TOKENS, FAILED_LOADS, READ_BYTES, offloading
from tests.connector.tiny_model import write_model

pytestmark = [pytest.mark.vllm, pytest.mark.cpu]

LONG = Request(prompt(600, seed=1))
BLOCKS = 600 // BLOCK_TOKENS


def store(engines, setup, entries):
    """Have an engine compute ``LONG`` and end once all of its blocks are in the store."""
    with engines.start(setup) as storing:
        outcome = storing.generate(LONG)
        entries.await_count(BLOCKS)
    assert outcome.external_tokens == 0
    return outcome


def test_what_one_process_has_stored_another_restores(engines, model, server, entries, plain):
    stored = store(engines, offloading(model, server.url), entries)
    with engines.start(offloading(model, server.url)) as restoring:
        restored = restoring.generate(LONG)
        assert restoring.metric(READ_BYTES) > 0
    assert restored.external_tokens == BLOCKS * BLOCK_TOKENS
    assert stored.answers == restored.answers == plain.generate(LONG).answers


def test_compressed_and_encrypted(v1_engines, model, server, entries, plain, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    settings = {"remote_serde": "lossless", "encryption_key_file": str(key), "ttl_s": 600}
    store(v1_engines, offloading(model, server.url, **settings), entries)
    with v1_engines.start(offloading(model, server.url, **settings)) as restoring:
        restored = restoring.generate(LONG)
    assert restored.external_tokens == BLOCKS * BLOCK_TOKENS
    assert restored.answers == plain.generate(LONG).answers


def test_damaged_entries_are_computed(v1_engines, model, server, entries, plain):
    setup = offloading(model, server.url)
    store(v1_engines, setup, entries)
    entries.flip_a_bit_of_each_payload()
    with v1_engines.start(setup) as restoring:
        outcome = restoring.generate(LONG)
        assert restoring.metric(FAILED_LOADS) > 0
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(LONG).answers


def test_entries_of_other_keys_are_computed(v1_engines, model, server, entries, plain):
    setup = offloading(model, server.url)
    store(v1_engines, setup, entries)
    entries.copy_one_over_the_others()
    with v1_engines.start(setup) as restoring:
        outcome = restoring.generate(LONG)
        again = restoring.generate(LONG)
    assert outcome.external_tokens <= BLOCK_TOKENS
    assert outcome.answers == again.answers == plain.generate(LONG).answers


def test_a_store_that_dies_meanwhile(v1_engines, model, plain):
    with (
        EmbeddedServer(64 << 20) as server,
        v1_engines.start(offloading(model, server.url)) as engine,
    ):
        first = engine.generate(LONG)
        server.close()
        others = [engine.generate(Request(prompt(400, seed=seed))) for seed in (2, 3)]
        assert engine.reset(), "blocks were lost"
        again = engine.generate(LONG)
    right = [plain.generate(Request(prompt(400, seed=seed))).answers for seed in (2, 3)]
    assert first.answers == again.answers == plain.generate(LONG).answers
    assert [other.answers for other in others] == right


def test_a_store_that_answers_nothing_when_an_engine_starts(
    v1_engines, model, server, entries, plain
):
    store(v1_engines, offloading(model, server.url), entries)
    impatient = {"lookup_timeout_ms": 100, "remote_timeout_ms": 100, "load_timeout_ms": 100}
    with stopped(server), v1_engines.start(offloading(model, server.url, **impatient)) as restoring:
        outcome = restoring.generate(LONG)
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(LONG).answers


def test_a_full_host_memory_that_evicts_by_what_was_learned(
    v1_engines, model, server, entries, plain
):
    extra = {
        "eviction_policy": "LearnedPolicy",
        "cache_policy_module_path": "kvtransfer.connector.vllm.offloading.policy",
        "cpu_bytes_to_use": 1 << 20,  # about one prompt
    }
    requests = [Request(prompt(600, seed=seed)) for seed in (1, 2, 3)]
    with v1_engines.start(offloading(model, server.url, extra=extra)) as engine:
        for request in (*requests, *requests[::-1]):
            assert engine.generate(request).answers == plain.generate(request).answers
            assert engine.reset(), "blocks were lost"
        assert engine.metric(READ_BYTES) > 0


def test_other_weights_in_the_same_folder_share_nothing(
    v1_engines, server, entries, plain, tmp_path
):
    folder = write_model(tmp_path / "model", seed=7)
    setup = offloading(str(folder), server.url)
    store(v1_engines, setup, entries)
    shutil.rmtree(folder)
    assert write_model(Path(folder)) == folder
    with v1_engines.start(setup) as other:
        outcome = other.generate(LONG)
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(LONG).answers


def test_a_reset_shares_nothing_until_the_engine_starts_again(
    v1_engines, model, server, entries, plain
):
    setup = offloading(model, server.url)
    store(v1_engines, setup, entries)
    with v1_engines.start(setup) as engine:
        assert engine.reset(connector=True), "blocks were lost"
        first = engine.generate(LONG)
        entries.await_count(2 * BLOCKS)
        assert engine.reset(connector=True), "blocks were lost"
        second = engine.generate(LONG)
    assert (first.external_tokens, second.external_tokens) == (0, 0)
    assert first.answers == second.answers == plain.generate(LONG).answers


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        ({"remote_ulr": "x"}, {}, "did you mean remote_url"),
        ({"chunk_size": 64}, {}, "chunk_size=64 means nothing in vLLM's offloading"),
        ({"remote_serde": "int8"}, {}, "remote_serde=int8 is not for vLLM's offloading"),
        ({}, {"prefix_caching_hash_algo": "xxhash"}, "prefix_caching_hash_algo=xxhash"),
        ({}, {"enable_lora": True}, "LoRA adapter by name and path"),
        ({}, {"load_format": "dummy"}, "load_format=dummy reads no files"),
    ],
    ids=["typo", "useless", "approximate", "hash", "adapters", "weights"],
)
def test_what_can_not_work_is_refused_before_the_model_is_loaded(
    v1_engines, model, settings, options, says
):
    setup = offloading(model, "redis://:t0ps3cret@127.0.0.1:1/0", options=options, **settings)
    with pytest.raises(EngineError, match=says) as refused:
        v1_engines.start(setup)
    assert "Starting to load model" not in refused.value.log


def test_without_our_plug_in_nothing_is_stored(v1_engines, model, server):
    setup = offloading(model, server.url)
    with pytest.raises(EngineError, match="plug-in has not seen this configuration"):
        v1_engines.start_afresh(setup, {"VLLM_PLUGINS": "", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"})
