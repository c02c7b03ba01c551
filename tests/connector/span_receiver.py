"""A collector of OpenTelemetry spans that takes them by OTLP over gRPC, vLLM's default."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.stores.redis.servers import until

if TYPE_CHECKING:
    from collections.abc import Collection

_DEADLINE_S = 60
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
"""What a caller sends that traces its requests."""
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
"""Has spans exported every 0.1 s."""


@dataclass(frozen=True)
class Seen:
    """A span that the receiver got."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    error: str | None
    """The message of its status; None: it has not failed."""

    def is_in(self, other: Seen) -> bool:
        """Whether all of it happened during ``other``."""
        return other.began_ns <= self.began_ns <= self.ended_ns <= other.ended_ns


class SpanReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a free port of loopback, from construction to ``close``."""

    def __init__(self) -> None:
        self._sent: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()

    def Export(self, request, context):
        """Keep what was sent."""
        self._sent.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Seen]:
        """All that have come."""
        return [
            _seen(span)
            for request in list(self._sent)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def of_caller(self, names: Collection[str], count: int = 1) -> list[Seen]:
        """The spans of the caller's trace, once there are ``count`` of each of ``names``."""
        deadline_s = time.monotonic() + _DEADLINE_S
        while True:
            found = [span for span in self.spans if span.trace_id == TRACE]
            counts = Counter(span.name for span in found)
            if all(counts[name] >= count for name in names):
                return found
            assert time.monotonic() < deadline_s, f"only {counts}"
            time.sleep(0.02)

    def first(self, name: str) -> Seen:
        """The first span called ``name``, once there is one."""
        return until(lambda: next((it for it in self.spans if it.name == name), None), 120)

    def close(self) -> None:
        """Take no more."""
        self._server.stop(None).wait()


def _seen(span) -> Seen:
    return Seen(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in span.attributes},
        span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
    )
