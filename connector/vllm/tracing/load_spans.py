"""Gets records of loads where vLLM traces, and has their spans exported beside vLLM's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from kvtransfer.rare_log import RareLog
from kvtransfer.requests.tracing.load_record import LoadRecord
from kvtransfer.requests.tracing.spans import load_span
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.requests.step import EngineRequest
    from kvtransfer.requests.tracing.spans import Span

_MOST_WAITING = 1024
_DRAIN_S = 1.0


class SpanExport(Protocol):
    """Takes spans; see :class:`kvtransfer.connector.vllm.tracing.telemetry.Telemetry`."""

    def emit(self, span: Span, caller: Mapping[str, str]) -> None:
        """Export ``span`` and those inside it as a part of the caller's trace."""


class LoadSpans:
    """Implements :class:`kvtransfer.requests.tracing.load_record.LoadTracer`.

    Spans are made on a thread of its own. What becomes of one that ends is up to the processors
    that a user may have set up, and one that exports at once would hold up the scheduler.

    Args:
        export: takes the spans.
        codec: in which chunks are stored.
        most_waiting: loads of which the spans may wait; one more drops those of the oldest.
    """

    @classmethod
    def open(cls, vllm_config: VllmConfig, codec: str) -> LoadSpans | None:
        """Return one where vLLM traces, and refuses to without OpenTelemetry; None elsewhere."""
        if vllm_config.observability_config.otlp_traces_endpoint is None:
            return None
        from kvtransfer.connector.vllm.tracing.telemetry import Telemetry

        return cls(Telemetry.open(), codec)

    def __init__(self, export: SpanExport, codec: str, most_waiting: int = _MOST_WAITING) -> None:
        self._export = export
        self._codec = codec
        self._drops = RareLog()
        self._records: WriteBehind[LoadRecord] = WriteBehind(
            self._emit, self._drop, most_waiting, "kvtransfer-spans"
        )

    def begin(self, request: EngineRequest) -> LoadRecord:
        """An empty record for a load of vLLM's ``request``, in the context of its caller."""
        caller = cast("Request", request).trace_headers
        return LoadRecord(request.request_id, self._codec, caller or {})

    def end(self, record: LoadRecord) -> None:
        """The load has ended; returns at once."""
        self._records.offer(record)

    def close(self) -> None:
        """Emit the spans that still wait, for a second at most."""
        self._records.close(_DRAIN_S)

    def _emit(self, record: LoadRecord) -> None:
        if (span := load_span(record)) is not None:
            self._export.emit(span, record.caller)

    def _drop(self, record: LoadRecord) -> None:
        self._drops.warn("the spans of a load are dropped, because too many wait to be exported")
