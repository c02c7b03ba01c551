from __future__ import annotations

from threading import Event
from types import SimpleNamespace

from kvtransfer.connector.vllm.tracing.load_spans import LoadSpans
from kvtransfer.requests.tracing.load_record import LookedUp
from tests.stores.redis.servers import until

CALLER = {"traceparent": f"00-{1:032x}-{2:016x}-01"}


class Export:
    """Takes spans, once it is allowed to."""

    def __init__(self):
        self.allowed, self.begun = Event(), Event()
        self.emitted = []

    def emit(self, span, caller):
        self.begun.set()
        self.allowed.wait()
        self.emitted.append((span.attributes["kvtransfer.request_id"], caller))


def end_load(spans, name, headers=None):
    record = spans.begin(SimpleNamespace(request_id=name, trace_headers=headers))
    record.lookup = LookedUp(1.0, 2.0, (), 0, 0)
    spans.end(record)


def test_spans_are_exported_in_the_context_of_the_caller():
    export = Export()
    export.allowed.set()
    spans = LoadSpans(export, "naive")
    end_load(spans, "a", CALLER)
    end_load(spans, "b")
    until(lambda: len(export.emitted) == 2)
    spans.close()
    assert export.emitted == [("a", CALLER), ("b", {})]


def test_an_export_that_hangs_costs_the_oldest_spans_and_no_time(caplog):
    export = Export()
    spans = LoadSpans(export, "naive", most_waiting=2)
    end_load(spans, "under way")
    assert export.begun.wait(60)
    for name in ("lost", "kept", "kept too"):
        end_load(spans, name)
    export.allowed.set()
    until(lambda: len(export.emitted) == 3)
    spans.close()
    assert [name for name, _ in export.emitted] == ["under way", "kept", "kept too"]
    assert "the spans of a load are dropped" in caplog.text


def test_where_vllm_does_not_trace_there_is_nothing():
    untraced = SimpleNamespace(observability_config=SimpleNamespace(otlp_traces_endpoint=None))
    assert LoadSpans.open(untraced, "naive") is None
