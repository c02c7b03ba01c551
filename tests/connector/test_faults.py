"""A store that fails, stalls or lies costs time, never a token, and never hangs a request."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.engines import Engine
from tests.connector.entries import Entries, stopped
from tests.connector.inputs import connected, prompt

pytestmark = pytest.mark.vllm

REQUEST = Request(prompt(600, seed=1))
OTHER = Request(prompt(300, seed=2))
SAVED_CHUNKS = 9
IMPATIENT = {"lookup_timeout_ms": 300, "load_timeout_ms": 600, "remote_timeout_ms": 300}
PASSWORD = "t0ps3cret"
SOON_S = 30.0
"""More than the ten seconds that puts are given, on a busy machine."""


@pytest.fixture(scope="module")
def forgetful(engines, model):
    """An engine that keeps nothing in host memory, with its store: each load is a fetch."""
    with (
        EmbeddedServer(64 << 20) as server,
        closing(Entries(server.url)) as entries,
        engines.start(connected(model, server.url, local_cpu=False)) as engine,
    ):
        yield engine, entries


@pytest.mark.parametrize(
    "damage",
    [
        Entries.flip_a_bit_of_each_payload,
        Entries.swap_payloads,
        Entries.copy_one_over_the_others,
        Entries.remove_every_second_payload,
        Entries.remove_records,
    ],
    ids=lambda damage: damage.__name__,
)
def test_damaged_entries_are_recomputed_and_mended(forgetful, plain, damage):
    engine, entries = forgetful
    right = plain.generate(REQUEST).answers
    engine.generate(REQUEST)
    entries.await_count(SAVED_CHUNKS)
    damage(entries)
    assert engine.reset()
    fetches = entries.calls("getrange")
    assert engine.generate(REQUEST).answers == right
    assert entries.calls("getrange") - fetches <= SAVED_CHUNKS  # what failed is not tried again
    entries.await_count(SAVED_CHUNKS)
    assert engine.reset()
    mended = engine.generate(REQUEST)
    assert (mended.external_tokens, mended.answers) == (576, right)
    assert engine.reset()
    entries.clear()


def test_a_store_that_is_not_there_and_then_is(engines, model, plain):
    with EmbeddedServer(64 << 20, password=PASSWORD) as server:
        port, url = server.port, server.url
    environment = {"KVTRANSFER_REMOTE_URL": url}
    with engines.start(connected(model, None), environment) as engine:
        assert engine.generate(REQUEST).answers == plain.generate(REQUEST).answers
        assert f"127.0.0.1:{port}" in engine.log()
        assert PASSWORD not in engine.log()
        with (
            EmbeddedServer(64 << 20, port=port, password=PASSWORD) as server,
            closing(Entries(server.url)) as entries,
        ):
            save_until_stored(engine, entries)


def save_until_stored(engine, entries):
    """Ask about new prompts until one of them has reached the store."""
    deadline_s = time.monotonic() + 60
    seed = 100
    while not entries.keys():
        assert time.monotonic() < deadline_s, "the store was not found again"
        engine.generate(Request(prompt(130, seed=seed), answer_tokens=1))
        seed += 1


def test_a_store_that_dies_between_save_and_load(engines, model, server, entries, plain):
    with engines.start(connected(model, server.url, local_cpu=False, **IMPATIENT)) as engine:
        engine.generate(REQUEST)
        entries.await_count(SAVED_CHUNKS)
        os.kill(server.pid, signal.SIGKILL)
        assert engine.reset()
        outcome = engine.generate(REQUEST)
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(REQUEST).answers


def test_a_store_that_stalls_before_the_lookup(engines, model, server, entries, plain):
    with engines.start(connected(model, server.url, local_cpu=False, **IMPATIENT)) as engine:
        engine.generate(REQUEST)
        entries.await_count(SAVED_CHUNKS)
        assert engine.reset()
        with stopped(server):
            outcome = engine.generate(REQUEST)
            assert engine.generate(OTHER).answers == plain.generate(OTHER).answers
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(REQUEST).answers


@pytest.fixture
def stalled(engines, model, server, entries):
    """An engine that is loading ``REQUEST`` from a store that answers no more."""
    with engines.start(connected(model, server.url)) as saving:
        saving.generate(REQUEST)
    patient_lookup = {**IMPATIENT, "lookup_timeout_ms": 60_000}
    with engines.start(connected(model, server.url, **patient_lookup)) as engine:
        engine.generate(Request(prompt(20)))  # from here on it knows its weights as a request comes
        lookups = entries.calls("exists")
        (name,) = engine.submit(REQUEST)
        entries.await_calls("exists", lookups + SAVED_CHUNKS)
        with stopped(server):
            while (state := engine.step()[name]) == "WAITING":
                pass  # the answer is on its way through the engine's thread
            assert state == "WAITING_FOR_REMOTE_KVS"
            yield engine, name


def test_a_store_that_stalls_between_lookup_and_load(stalled, plain):
    engine, _ = stalled
    outcome = engine.run()
    assert outcome.answers == plain.generate(REQUEST).answers
    assert outcome.steps < 500, "spun while it waited, or tried again and again"
    assert engine.reset(), "blocks were lost"


def test_a_request_aborted_while_it_loads(stalled, plain):
    engine, name = stalled
    engine.abort(name)
    outcome = engine.generate(OTHER)
    assert outcome.answers == [[], *plain.generate(OTHER).answers]
    assert engine.reset(), "blocks were lost"
    assert engine.generate(REQUEST).answers == plain.generate(REQUEST).answers


@pytest.mark.parametrize("connector", [False, True], ids=["cache", "connector"])
def test_a_reset_while_a_request_loads(stalled, server, plain, connector):
    engine, _ = stalled
    assert not engine.reset(connector=connector)
    os.kill(server.pid, signal.SIGCONT)
    outcome = engine.run()
    assert outcome.answers == plain.generate(REQUEST).answers
    assert engine.reset(), "blocks were lost"
    assert engine.generate(REQUEST).answers == outcome.answers


def test_an_engine_that_is_closed_while_it_loads(stalled):
    engine, _ = stalled
    began_s = time.monotonic()
    engine.close()
    assert time.monotonic() - began_s < SOON_S


def test_what_was_computed_is_in_the_store_when_an_engine_has_been_closed(
    engines, model, server, entries
):
    requests = [Request(prompt(600, seed=seed), answer_tokens=64) for seed in range(10, 14)]
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(*requests)
    assert len(entries.keys()) == 4 * 10  # of 600 + 63 tokens each


def test_an_engine_is_closed_soon_though_its_saves_cannot_be(engines, model, server):
    requests = [Request(prompt(600, seed=seed)) for seed in range(10, 14)]
    with engines.start(connected(model, server.url, **IMPATIENT)) as engine, stopped(server):
        engine.generate(*requests)
        began_s = time.monotonic()
        engine.close()
        assert time.monotonic() - began_s < SOON_S


@pytest.mark.parametrize("end", [Engine.close, Engine.kill], ids=["closed", "killed"])
def test_an_engine_that_ends_with_saves_under_way(engines, model, server, plain, end):
    requests = [Request(prompt(600, seed=seed), answer_tokens=64) for seed in range(10, 14)]
    with engines.start(connected(model, server.url)) as engine:
        engine.submit(*requests)
        for _ in range(20):
            engine.step()
        end(engine)
    with engines.start(connected(model, server.url)) as engine:
        assert engine.generate(*requests).answers == plain.generate(*requests).answers
