"""Weights that change while an engine runs: keys follow what the model holds."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.connector.conversation import CHUNK_BYTES
from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import connected, prompt
from tests.connector.tiny_model import write_model
from tests.faults.proxy import REPLY, Proxy, passing, stalling

pytestmark = pytest.mark.vllm

REQUEST = Request(prompt(600, seed=1))
HELD_TOKENS = 576
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("other") / "tiny", seed=1))


@pytest.fixture(scope="module")
def right(engines, model, other):
    """The answers of each set of weights, by vLLM without connector."""
    answers = {}
    for folder in (model, other):
        with engines.start(Setup(folder)) as engine:
            answers[folder] = engine.generate(REQUEST).answers
    assert answers[model] != answers[other]
    return answers


def test_reloaded_weights_share_with_those_who_hold_the_same(engines, model, other, server, right):
    with engines.start(connected(model, server.url)) as first:
        assert first.generate(REQUEST).answers == right[model]
        first.call("reload_weights", weights_path=other)
        assert first.reset()
        outcome = first.generate(REQUEST)
        assert (outcome.external_tokens, outcome.answers) == (0, right[other])
    for folder in (model, other):  # each finds what its own weights have computed
        with engines.start(connected(folder, server.url)) as second:
            outcome = second.generate(REQUEST)
            assert (outcome.external_tokens, outcome.answers) == (HELD_TOKENS, right[folder])


def test_the_old_weights_reloaded_hit_what_they_computed(engines, model, other, right):
    with engines.start(connected(model, None)) as engine:
        assert engine.generate(REQUEST).external_tokens == 0
        for folder, external_tokens in ((other, 0), (model, HELD_TOKENS), (other, HELD_TOKENS)):
            engine.call("reload_weights", weights_path=folder)
            assert engine.reset()
            outcome = engine.generate(REQUEST)
            assert (outcome.external_tokens, outcome.answers) == (external_tokens, right[folder])


def test_dummy_weights_differ_from_those_synced_later(engines, model, server, right):
    dummy = connected(model, server.url, options={"load_format": "dummy"})
    with engines.start(dummy) as engine:
        engine.generate(REQUEST)
        engine.call("update_config", overrides={"load_config": {"load_format": "auto"}})
        engine.call("reload_weights")
        assert engine.reset()
        outcome = engine.generate(REQUEST)
        assert (outcome.external_tokens, outcome.answers) == (0, right[model])
    with engines.start(connected(model, server.url)) as engine:
        outcome = engine.generate(REQUEST)
        assert (outcome.external_tokens, outcome.answers) == (HELD_TOKENS, right[model])


def test_what_stale_blocks_of_vllm_lead_to_reaches_no_other_engine(
    engines, model, other, server, right
):
    """Without a reset vLLM goes on with blocks of the old weights; no other engine may."""
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(Request(REQUEST.prompt_ids[:320]))
        engine.call("reload_weights", weights_path=other)
        assert engine.generate(REQUEST).answers != right[other]
    with engines.start(connected(other, server.url)) as engine:
        assert engine.generate(REQUEST).answers == right[other]


@pytest.mark.parametrize("arrived_chunks", [0, 2], ids=["nothing-arrived", "partly-arrived"])
def test_a_load_under_way_when_the_weights_change_is_given_up(
    engines, model, other, server, right, arrived_chunks
):
    """Of four chunks under way at once the store stops in the midst of one."""
    sent_bytes = (2 * arrived_chunks) * CHUNK_BYTES + CHUNK_BYTES // 2
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(REQUEST)
    with closing(Proxy(server.port)) as proxy:
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        with engines.start(connected(model, url)) as engine:
            stalled = proxy.trip(REPLY, sent_bytes, lambda: proxy.follow(stalling))
            engine.submit(REQUEST)
            while "WAITING_FOR_REMOTE_KVS" not in engine.step().values():
                pass
            assert stalled.sprung.wait(LIMIT_S)
            while engine.counted()["to_device_bytes"] < arrived_chunks * CHUNK_BYTES:
                engine.step()
            engine.call("reload_weights", weights_path=other)
            proxy.follow(passing)
            assert engine.run().answers == right[other]
    with engines.start(connected(other, server.url)) as engine:
        assert engine.generate(REQUEST).answers == right[other]


def test_weights_loaded_behind_the_workers_methods_are_noticed(
    engines, model, other, server, right
):
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(REQUEST)
        for folder, external_tokens in ((model, HELD_TOKENS), (other, 0), (model, HELD_TOKENS)):
            engine.load_embedding(folder)
            assert engine.reset()
            outcome = engine.generate(REQUEST)
            assert outcome.external_tokens == external_tokens
            assert (outcome.answers == right[model]) is (folder == model)
    with engines.start(connected(model, server.url)) as engine:
        assert engine.generate(REQUEST).answers == right[model]


@pytest.mark.parametrize("method", ["sleep", "wake_up", "reset_mm_cache"])
def test_calls_that_change_no_weight_keep_sharing(engines, model, server, right, method):
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(REQUEST)
        engine.call(method)
        assert engine.reset(connector=True)
        outcome = engine.generate(REQUEST)
        assert (outcome.external_tokens, outcome.answers) == (HELD_TOKENS, right[model])
    with engines.start(connected(model, server.url)) as engine:
        assert engine.generate(REQUEST).external_tokens == HELD_TOKENS
