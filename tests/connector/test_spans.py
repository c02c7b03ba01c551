"""vLLM's traces show what became of a request's load."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import connected, prompt
from tests.connector.span_receiver import CALLER, HEADERS, SOON, SpanReceiver
from tests.stores.redis.servers import free_port

pytestmark = pytest.mark.vllm

PROMPT = prompt(600, seed=1)
PARTS = ("kvtransfer.lookup", "kvtransfer.fetch", "kvtransfer.copy")


@pytest.fixture
def receiver():
    with closing(SpanReceiver()) as running:
        yield running


def test_x(v1_engines, model, server, entries, receiver):
    setup = connected(model, server.url, options={"otlp_traces_endpoint": receiver.endpoint})
    with v1_engines.start(connected(model, server.url)) as engine:
        engine.generate(Request(PROMPT))
    entries.await_count(9)
    with v1_engines.start(setup, SOON) as engine:
        engine.generate(Request(PROMPT, trace_headers=HEADERS))
        spans = receiver.of_caller([*PARTS, "kvtransfer.load", "llm_request"])
    for s in spans:
        print(s)
    print({s.name for s in receiver.spans})
    assert 0
