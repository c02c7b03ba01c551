"""Emits spans by OpenTelemetry, as vLLM has set it up; imported only where vLLM traces."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Status, StatusCode, get_tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Tracer

    from kvtransfer.requests.tracing.spans import Span

_NS = 1_000_000_000


class SystemIds(IdGenerator):
    """Ids by the system's own randomness.

    OpenTelemetry's are by ``random``, which vLLM seeds: all engines would give out the same.
    """

    def generate_span_id(self) -> int:
        """See OpenTelemetry's interface; zero would be no id."""
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        """See OpenTelemetry's interface; zero would be no id."""
        return secrets.randbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """See OpenTelemetry's interface."""
        return True


class Telemetry:
    """Emits spans with ``tracer``."""

    @classmethod
    def open(cls) -> Telemetry:
        """With a tracer of the provider that vLLM has set up in this process, or a user before it."""
        tracer = get_tracer("kvtransfer")
        tracer.id_generator = SystemIds()  # type: ignore[attr-defined] # the SDK's tracers have it
        return cls(tracer)

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def emit(self, span: Span, caller: Mapping[str, str]) -> None:
        """Emit ``span`` and those inside it.

        Args:
            span: which has ended.
            caller: its trace context as HTTP headers; without one, a trace begins.
        """
        self._emit(span, TraceContextTextMapPropagator().extract(caller, Context()))

    def _emit(self, span: Span, context: Context) -> None:
        emitted = self._tracer.start_span(
            span.name, context, attributes=span.attributes, start_time=_ns(span.began_s)
        )
        inside = set_span_in_context(emitted, context)
        for child in span.children:
            self._emit(child, inside)
        if span.failure is not None:
            emitted.set_status(Status(StatusCode.ERROR, span.failure))
        emitted.end(_ns(span.ended_s))


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
