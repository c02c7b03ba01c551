"""Exports spans of loads to where vLLM exports its own, with the tracer that vLLM has set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from kvtransfer.rare_log import RareLog
from kvtransfer.requests.tracing.load_record import LoadRecord
from kvtransfer.requests.tracing.spans import load_span
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer
    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.requests.step import EngineRequest
    from kvtransfer.requests.tracing.spans import Span

_MOST_WAITING = 1024
_DRAIN_S = 1.0
_NS = 1_000_000_000


class LoadSpans:
    """Implements :class:`kvtransfer.requests.tracing.load_record.LoadTracer`.

    Spans are made on a thread of its own: what a tracer does with them is up to its processors,
    and one that exports at once would hold up the scheduler.

    Args:
        tracer: makes the spans.
        codec: in which chunks are stored.
    """

    @classmethod
    def open(cls, vllm_config: VllmConfig, codec: str) -> LoadSpans | None:
        """Return one where vLLM traces; OpenTelemetry is imported, which vLLM requires, only then."""
        if vllm_config.observability_config.otlp_traces_endpoint is None:
            return None
        from opentelemetry.trace import get_tracer

        return cls(get_tracer("kvtransfer"), codec)

    def __init__(self, tracer: Tracer, codec: str) -> None:
        self._tracer = tracer
        self._codec = codec
        self._drops = RareLog()
        self._records: WriteBehind[LoadRecord] = WriteBehind(
            self._export, self._drop, _MOST_WAITING, "kvtransfer-spans"
        )

    def begin(self, request: EngineRequest) -> LoadRecord:
        """An empty record for a load of vLLM's ``request``, in the context of its caller."""
        caller = cast("Request", request).trace_headers
        return LoadRecord(request.request_id, self._codec, caller or {})

    def end(self, record: LoadRecord) -> None:
        """The load has ended; returns at once."""
        self._records.offer(record)

    def close(self) -> None:
        """Make the spans that still wait; vLLM's processor exports them as it does its own."""
        self._records.close(_DRAIN_S)

    def _export(self, record: LoadRecord) -> None:
        span = load_span(record)
        if span is not None:
            self._emit(span, _context_of(record))

    def _emit(self, span: Span, context: Context) -> None:
        """Emit ``span`` and those inside it, in the ``context`` of what is around it."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        emitted = self._tracer.start_span(
            span.name, context, attributes=span.attributes, start_time=_ns(span.began_s)
        )
        inside = set_span_in_context(emitted, context)
        for child in span.children:
            self._emit(child, inside)
        if span.failure is not None:
            emitted.set_status(Status(StatusCode.ERROR, span.failure))
        emitted.end(_ns(span.ended_s))

    def _drop(self, record: LoadRecord) -> None:
        self._drops.warn("spans of loads are dropped, because too many wait to be exported")


def _context_of(record: LoadRecord) -> Context:
    """The context that the caller has sent; an empty one begins a trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(record.caller, Context())


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
