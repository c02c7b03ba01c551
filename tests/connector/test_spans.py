"""Real vLLM's traces show what became of a request's load."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.conversation import PATIENT
from tests.connector.engine_process import Request
from tests.connector.entries import Entries
from tests.connector.inputs import connected, prompt
from tests.connector.span_receiver import CALLER, HEADERS, SOON, SpanReceiver

pytestmark = pytest.mark.vllm

PROMPT = prompt(600, seed=1)
TRACED = Request(PROMPT, trace_headers=HEADERS)
PARTS = ["kvtransfer.lookup", "kvtransfer.fetch", "kvtransfer.copy"]
OURS = ["kvtransfer.load", *PARTS]
VLLM = "llm_request"
CHUNKS, TOKENS = 9, 576


@pytest.fixture
def receiver():
    with closing(SpanReceiver()) as running:
        yield running


@pytest.fixture(scope="module")
def filled(v1_engines, model):
    """The URL of a store that holds the chunks of ``PROMPT``."""
    with EmbeddedServer(64 << 20) as server, closing(Entries(server.url)) as entries:
        with v1_engines.start(connected(model, server.url)) as engine:
            engine.generate(Request(PROMPT))
        entries.await_count(CHUNKS)
        yield server.url


def by_name(spans):
    named = {span.name: span for span in spans}
    assert len(named) == len(spans)
    return named


def tracing(model, url, endpoint, **settings):
    options = {"otlp_traces_endpoint": endpoint}
    return connected(model, url, options=options, **PATIENT, **settings)


def test_a_load_is_a_part_of_its_callers_trace(engines, model, filled, receiver):
    with engines.start(tracing(model, filled, receiver.endpoint), SOON) as engine:
        assert engine.generate(TRACED).external_tokens == TOKENS
        spans = by_name(receiver.of_caller([*OURS, VLLM]))
    assert set(spans) == {*OURS, VLLM}
    load, theirs = spans["kvtransfer.load"], spans[VLLM]
    assert load.parent_id == theirs.parent_id == CALLER
    assert {spans[name].parent_id for name in PARTS} == {load.span_id}
    assert load.is_in(theirs)
    assert all(spans[name].is_in(load) for name in PARTS)
    lookup, fetch, copy = (spans[name] for name in PARTS)
    assert lookup.ended_ns <= fetch.began_ns <= copy.began_ns
    assert fetch.ended_ns <= copy.ended_ns
    assert not any(span.error for span in spans.values())
    request = theirs.attributes["gen_ai.request.id"]
    assert load.attributes["kvtransfer.request_id"].startswith(request)
    assert load.attributes["kvtransfer.loaded_tokens.remote"] == TOKENS
    assert lookup.attributes["kvtransfer.matched_tokens.remote"] == TOKENS
    assert fetch.attributes["kvtransfer.chunks.remote"] == CHUNKS
    assert copy.attributes["kvtransfer.bytes"] == fetch.attributes["kvtransfer.bytes"] > 0


def test_engines_of_one_trace_give_out_different_ids(v1_engines, model, filled, receiver):
    """Though vLLM seeds the randomness of each alike."""
    for load in (1, 2):
        with v1_engines.start(tracing(model, filled, receiver.endpoint), SOON) as engine:
            engine.generate(TRACED)
            ours = [span for span in receiver.of_caller(OURS, load) if span.name != VLLM]
    assert len({span.span_id for span in ours}) == len(ours) == 2 * len(OURS)


def test_a_load_that_fails_says_so_and_one_without_a_caller_is_its_own_trace(
    v1_engines, model, server, entries, receiver
):
    untraced = replace(TRACED, trace_headers=None)
    setup = tracing(model, server.url, receiver.endpoint, local_cpu=False)
    with v1_engines.start(setup, SOON) as engine:
        engine.generate(untraced)
        entries.await_count(CHUNKS)
        first = receiver.first("kvtransfer.load")
        entries.flip_a_bit_of_each_payload()
        assert engine.reset()
        engine.generate(TRACED)
        (load,) = (it for it in receiver.of_caller(OURS[:1]) if it.name == OURS[0])
    assert (first.parent_id, first.error) == ("", None)
    assert load.error == load.attributes["kvtransfer.given_up_reason"] == "a chunk did not arrive"
    assert load.attributes["kvtransfer.loaded_tokens"] == 0
    assert load.attributes["kvtransfer.given_up_tokens"] == TOKENS


def test_a_collector_that_is_dead_or_silent_does_no_harm(v1_engines, model, filled, plain):
    expected = plain.generate(TRACED).answers
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with v1_engines.start(tracing(model, filled, endpoint), SOON) as engine:
            assert engine.generate(TRACED).answers == expected
            silent.close()
            assert engine.reset()
            again = engine.generate(TRACED)
            assert (again.answers, again.external_tokens) == (expected, TOKENS)
