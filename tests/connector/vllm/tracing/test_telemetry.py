from __future__ import annotations

import random

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kvtransfer.connector.vllm.tracing.telemetry import SystemIds, Telemetry
from kvtransfer.requests.tracing.spans import Span
from tests.connector.span_receiver import CALLER, HEADERS, TRACE

PART = Span("part", 1.5, 2.0, {"bytes": 7})
LOAD = Span("load", 1.0, 3.0, {"request": "r"}, "it was late", (PART,))


def emitted(caller):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Telemetry(provider.get_tracer("kvtransfer")).emit(LOAD, caller)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_spans_have_times_attributes_and_a_status():
    spans = emitted(HEADERS)
    load, part = spans["load"], spans["part"]
    assert (load.start_time, load.end_time) == (1_000_000_000, 3_000_000_000)
    assert (part.start_time, part.end_time) == (1_500_000_000, 2_000_000_000)
    assert dict(part.attributes) == {"bytes": 7}
    assert (load.status.status_code, load.status.description) == (StatusCode.ERROR, "it was late")
    assert part.status.status_code == StatusCode.UNSET


def test_they_are_parts_of_the_callers_trace():
    spans = emitted(HEADERS)
    load, part = spans["load"], spans["part"]
    assert {load.context.trace_id, part.context.trace_id} == {int(TRACE, 16)}
    assert load.parent.span_id == int(CALLER, 16)
    assert part.parent.span_id == load.context.span_id


def test_without_a_caller_they_begin_a_trace():
    for headers in ({}, {"traceparent": "nonsense"}):
        spans = emitted(headers)
        assert spans["load"].parent is None
        assert spans["part"].parent.span_id == spans["load"].context.span_id


def test_a_caller_that_does_not_sample_is_obeyed():
    assert emitted({"traceparent": f"00-{TRACE}-{CALLER}-00"}) == {}


def test_ids_do_not_follow_the_seed():
    ids = SystemIds()
    seen = set()
    for _ in range(4):
        random.seed(0)
        seen |= {ids.generate_span_id(), ids.generate_trace_id()}
    assert len(seen) == 8
    assert ids.is_trace_id_random()
