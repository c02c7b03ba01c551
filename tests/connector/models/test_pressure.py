"""Answers of models with several groups stay right whatever becomes of their requests and loads."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.entries import Entries, stopped
from tests.connector.inputs import CHUNK_TOKENS, prompt
from tests.connector.models.alike import assert_alike

pytestmark = pytest.mark.vllm

IMPATIENT = {"lookup_timeout_ms": 60_000, "load_timeout_ms": 600, "remote_timeout_ms": 300}
CROWD = [Request(prompt(190, seed=seed), answer_tokens=70) for seed in range(1, 5)]
TIGHT_BLOCKS = {"gemma3": 72, "gpt-oss": 44, "granite4": 30}
"""Too few for the four of them at once; each has all groups' blocks."""
LONG = Request(prompt(5 * CHUNK_TOKENS + 2, seed=10), with_logprobs=True)
OTHER = Request(prompt(3 * CHUNK_TOKENS + 2, seed=11), with_logprobs=True)
RESTORED_TOKENS = 5 * CHUNK_TOKENS


@pytest.fixture(scope="module")
def filled(tiny, v1_engines):
    """A store with the pieces of ``LONG``, put there by an engine that is gone."""
    with EmbeddedServer(64 << 20) as server, closing(Entries(server.url)) as entries:
        with v1_engines.start(tiny.connected(server.url)) as saving:
            assert saving.caches().chunk_tokens(CHUNK_TOKENS) == CHUNK_TOKENS
            saving.generate(LONG)
        yield server, entries


@pytest.fixture
def loading(tiny, v1_engines, filled):
    """An engine that is loading ``LONG`` from a store that answers no more."""
    server, entries = filled
    setup = tiny.connected(server.url, role="kv_consumer", local_cpu=False, **IMPATIENT)
    with v1_engines.start(setup) as engine:
        engine.generate(Request(prompt(20)))  # from here on it knows its weights as a request comes
        lookups = entries.calls("exists")
        (name,) = engine.submit(LONG)
        entries.await_calls("exists", lookups + 1)
        with stopped(server):
            while (state := engine.step()[name]) == "WAITING":
                pass  # the answer is on its way through the engine's thread
            assert state == "WAITING_FOR_REMOTE_KVS"
            yield engine, name


def test_a_long_answer_is_continued_by_another_engine(tiny, v1_engines, server, right):
    """All that a window holds was computed one token at a time."""
    talk = Request(prompt(2 * CHUNK_TOKENS - 20, seed=20), 2 * CHUNK_TOKENS + 30)
    with v1_engines.start(tiny.connected(server.url)) as saving:
        (answer,) = saving.generate(talk).answers
    assert [answer] == right.generate(talk).answers
    turn = Request(talk.prompt_ids + answer + prompt(4, seed=21), with_logprobs=True)
    with v1_engines.start(tiny.connected(server.url)) as restoring:
        outcome = restoring.generate(turn)
    assert outcome.external_tokens == 4 * CHUNK_TOKENS
    assert_alike(outcome, right.generate(turn))


def test_preempted_requests_go_on_where_they_were(kind, tiny, v1_engines, server, right):
    expected = right.generate(*CROWD).answers
    tight = {"num_gpu_blocks_override": TIGHT_BLOCKS[kind.name], "max_model_len": 512}
    setup = tiny.connected(server.url, options=tight)
    for _ in ("saving", "restoring"):
        with v1_engines.start(setup) as engine:
            outcome = engine.generate(*CROWD)
            assert outcome.preemptions > 0
            assert outcome.answers == expected
            assert engine.reset(), "blocks were lost"
    assert outcome.external_tokens > 0


def test_requests_that_part_and_come_while_others_load(tiny, v1_engines, server, right):
    shared = prompt(4 * CHUNK_TOKENS, seed=30)
    requests = [Request(shared + prompt(40, seed=31 + i), answer_tokens=20) for i in range(6)]
    expected = [right.generate(request).answers[0] for request in requests]
    for _ in ("saving", "restoring"):
        with v1_engines.start(tiny.connected(server.url, local_cpu=False)) as engine:
            for request in requests:
                engine.submit(request)
                engine.step()
            outcome = engine.run()
            assert outcome.answers == expected
            assert engine.reset(), "blocks were lost"
    assert outcome.external_tokens > 0


def test_a_request_aborted_while_it_loads(loading, right):
    engine, name = loading
    engine.abort(name)
    outcome = engine.generate(OTHER)
    assert outcome.answers == [[], *right.generate(OTHER).answers]
    assert engine.reset(), "blocks were lost"
    assert_alike(engine.generate(LONG), right.generate(LONG))


def test_a_request_aborted_while_it_loads_from_a_store_that_answers_again(loading, filled, right):
    engine, name = loading
    engine.abort(name)
    os.kill(filled[0].pid, signal.SIGCONT)
    outcome = engine.generate(OTHER)
    assert outcome.answers == [[], *right.generate(OTHER).answers]
    assert engine.reset(), "blocks were lost"
    restored = engine.generate(LONG)
    assert_alike(restored, right.generate(LONG))


def test_a_store_that_stalls_between_lookup_and_load(loading, right):
    engine, _ = loading
    outcome = engine.run()
    assert_alike(outcome, right.generate(LONG))
    assert outcome.steps < 500, "spun while it waited, or tried again and again"
    assert engine.reset(), "blocks were lost"


@pytest.mark.parametrize(
    "harm",
    [Entries.flip_a_bit_of_each_payload, Entries.remove_every_second_payload, Entries.clear],
    ids=lambda harm: harm.__name__,
)
def test_what_can_not_be_loaded_is_computed_and_saved_again(
    tiny, v1_engines, server, entries, right, harm
):
    with v1_engines.start(tiny.connected(server.url, local_cpu=False)) as engine:
        engine.generate(LONG)
        entries.await_count(len(engine.caches().needed(5, CHUNK_TOKENS)))
        assert engine.reset()
        harm(entries)
        assert_alike(engine.generate(LONG), right.generate(LONG))
    with v1_engines.start(tiny.connected(server.url, role="kv_consumer")) as engine:
        outcome = engine.generate(LONG)
    assert outcome.cached_tokens == [RESTORED_TOKENS]
    assert_alike(outcome, right.generate(LONG))


def test_host_memory_alone(tiny, v1_engines, right):
    with v1_engines.start(tiny.connected(None)) as engine:
        engine.generate(LONG)
        assert engine.reset()
        outcome = engine.generate(LONG)
    assert outcome.external_tokens == RESTORED_TOKENS
    assert_alike(outcome, right.generate(LONG))
