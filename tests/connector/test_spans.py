"""Real vLLM's traces show what became of a request's load."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from tests.connector.engine_process import Request
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


@pytest.fixture
def filled(v1_engines, model, server, entries):
    """A store that holds the chunks of ``PROMPT``."""
    with v1_engines.start(connected(model, server.url)) as engine:
        engine.generate(Request(PROMPT))
    entries.await_count(CHUNKS)
    return server


def by_name(spans):
    named = {span.name: span for span in spans}
    assert len(named) == len(spans)
    return named


def tracing(model, url, endpoint, **settings):
    return connected(model, url, options={"otlp_traces_endpoint": endpoint}, **settings)


def test_a_load_is_a_part_of_its_callers_trace(engines, model, filled, receiver):
    with engines.start(tracing(model, filled.url, receiver.endpoint), SOON) as engine:
        assert engine.generate(TRACED).external_tokens == TOKENS
        spans = by_name(receiver.of_caller([*OURS, VLLM]))
    assert set(spans) == {*OURS, VLLM}
    load, theirs = spans["kvtransfer.load"], spans[VLLM]
    assert load.parent_id == theirs.parent_id == CALLER
    assert load.is_in(theirs)
    assert {spans[name].parent_id for name in PARTS} == {load.span_id}
    assert all(spans[name].is_in(load) for name in PARTS)
    lookup, fetch, copy = (spans[name] for name in PARTS)
    assert lookup.ended_ns <= fetch.began_ns <= copy.began_ns <= copy.ended_ns
    assert fetch.ended_ns <= copy.ended_ns
    assert not any(span.error for span in spans.values())
    assert lookup.attributes == {
        "kvtransfer.matched_tokens": TOKENS,
        "kvtransfer.matched_tokens.remote": TOKENS,
    }
    assert fetch.attributes["kvtransfer.chunks.remote"] == CHUNKS
    assert copy.attributes["kvtransfer.bytes"] == fetch.attributes["kvtransfer.bytes"] > 0
    request = theirs.attributes["gen_ai.request.id"]
    assert load.attributes.pop("kvtransfer.request_id").startswith(request)
    assert load.attributes == {
        "kvtransfer.codec": "naive",
        "kvtransfer.local_tokens": 0,
        "kvtransfer.loaded_tokens": TOKENS,
        "kvtransfer.loaded_tokens.remote": TOKENS,
        "kvtransfer.given_up_tokens": 0,
    }


def test_engines_of_one_trace_give_out_different_ids(v1_engines, model, filled, receiver):
    """Though vLLM seeds the randomness of each alike."""
    for load in (1, 2):
        with v1_engines.start(tracing(model, filled.url, receiver.endpoint), SOON) as engine:
            engine.generate(TRACED)
            ours = [span for span in receiver.of_caller(OURS, load) if span.name != VLLM]
    assert len({span.span_id for span in ours}) == len(ours) == 2 * len(OURS)


def test_a_load_that_fails_says_so(v1_engines, model, filled, entries, receiver):
    entries.flip_a_bit_of_each_payload()
    with v1_engines.start(tracing(model, filled.url, receiver.endpoint), SOON) as engine:
        engine.generate(TRACED)
        spans = by_name(receiver.of_caller(["kvtransfer.load"]))
    load = spans["kvtransfer.load"]
    assert load.error == load.attributes["kvtransfer.given_up_reason"] == "a chunk did not arrive"
    assert load.attributes["kvtransfer.loaded_tokens"] == 0
    assert load.attributes["kvtransfer.given_up_tokens"] == TOKENS


def test_without_a_callers_context_a_load_is_a_trace_of_its_own(
    v1_engines, model, filled, receiver
):
    untraced = replace(TRACED, trace_headers=None)
    with v1_engines.start(tracing(model, filled.url, receiver.endpoint), SOON) as engine:
        engine.generate(untraced)
        load = receiver.first("kvtransfer.load")
    assert load.parent_id == ""
    assert load.attributes["kvtransfer.loaded_tokens"] == TOKENS


def test_a_dead_collector_does_no_harm(v1_engines, model, filled, receiver, plain):
    receiver.close()
    with v1_engines.start(tracing(model, filled.url, receiver.endpoint), SOON) as engine:
        for _ in range(3):
            outcome = engine.generate(TRACED, replace(TRACED, prompt_ids=PROMPT[:300]))
            assert outcome.answers == plain.generate(TRACED, replace(TRACED, prompt_ids=PROMPT[:300])).answers
            engine.reset()
    assert engine.log().count("kvtransfer") 
