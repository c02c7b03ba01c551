"""The requests that have not ended, or of which a load is still under way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.requests.control import NoControls
from kvtransfer.requests.request_state import RequestState
from kvtransfer.requests.served import Served
from kvtransfer.requests.tracing.load_record import REQUEST_ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, ValuesView

    from kvtransfer.requests.blending.outcome import Outcome
    from kvtransfer.requests.control import Controls
    from kvtransfer.requests.keys.keying import Keying
    from kvtransfer.requests.loading.loads import Loads
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.loading.prefetch import Prefetch
    from kvtransfer.requests.saving.saves import Saves
    from kvtransfer.requests.step import EngineRequest
    from kvtransfer.requests.trace_file import Trace
    from kvtransfer.requests.tracing.load_record import LoadTracer


class Requests:
    """Begins and ends requests; for the scheduler's thread.

    ``trace`` records those that end, ``tracer`` their loads; None: nothing does.
    """

    def __init__(
        self,
        keying: Keying,
        matching: Matching,
        prefetch: Prefetch,
        loads: Loads,
        saves: Saves,
        controls: Controls | None = None,
        trace: Trace | None = None,
        tracer: LoadTracer | None = None,
    ) -> None:
        self._keying = keying
        self._matching = matching
        self._prefetch = prefetch
        self._loads = loads
        self._saves = saves
        self._controls = controls or NoControls()
        self._trace = trace
        self._tracer = tracer
        self._states: dict[str, RequestState] = {}

    def __getitem__(self, request_id: str) -> RequestState:
        return self._states[request_id]

    def states(self) -> ValuesView[RequestState]:
        """All of them."""
        return self._states.values()

    def begin(self, request: EngineRequest) -> None:
        """A request has come: begin to find out what the store holds of it."""
        state = self._states[request.request_id] = RequestState(request, self._controls.of(request))
        if self._tracer is not None:
            state.record = self._tracer.begin(request)
        if state.control.loads:
            self._prefetch.enqueue(state)
        self._keying.begin(state)

    def reached(self, request: EngineRequest) -> RequestState:
        """The engine has come to ``request``, of which it may not have told before."""
        if request.request_id not in self._states:
            self.begin(request)
        self._prefetch.dequeue(request.request_id)
        return self._states[request.request_id]

    def served(self, request_id: str, blended: Outcome | None) -> Served:
        """What has come of the request, which is about to be finished; ``blended`` of its passages."""
        has_failed = self._loads.has_failed(request_id)
        return Served(
            self._loads.loaded_from(request_id),
            has_failed,
            self._saves.saved_tokens(self._states[request_id]),
            blended and replace(blended, has_failed=has_failed),
        )

    def finish(self, request_id: str, *, owns_blocks: bool) -> None:
        """The request is over; one that still loads is kept until it is received."""
        state = self._states[request_id]
        state.is_finished = True
        self._prefetch.dequeue(request_id)
        if self._trace is not None and state.is_hashed():
            self._trace.note(state.first_tokens, state.keys)
        if state.record is not None:
            state.record.give_up(REQUEST_ENDED, 0)
        if self._loads.is_loading(request_id):
            self._loads.abort(request_id)
        else:
            self.end_load(state)
            self._saves.finish(state, owns_blocks=owns_blocks)
            self._forget(request_id)

    def receive(self, request_ids: Iterable[str]) -> None:
        """All loads of these requests have ended."""
        for request_id in request_ids:
            state = self._states[request_id]
            self.end_load(state)
            if state.is_finished:
                self._forget(request_id)

    def end_load(self, state: RequestState) -> None:
        """The request has what it can get: its trace is told, once."""
        record = state.record
        if self._tracer is None or record is None or record.lookup is None:
            return
        record.ended_s = record.clock()
        self._tracer.end(record)
        state.record = self._tracer.begin(state.request)  # it may be preempted, and load again

    def close(self) -> None:
        """Trace no more."""
        if self._tracer is not None:
            self._tracer.close()

    def _forget(self, request_id: str) -> None:
        del self._states[request_id]
        self._keying.forget(request_id)
        self._matching.forget(request_id)
        self._loads.forget(request_id)
        self._saves.forget(request_id)
