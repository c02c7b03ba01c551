"""Says what a request can load, and begins that once the engine has given it blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.loading.match import Span

if TYPE_CHECKING:
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.blending.blending import Blending
    from kvtransfer.requests.blending.found import Found
    from kvtransfer.requests.keys.keying import Keying
    from kvtransfer.requests.loading.loads import Loads
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.requests import Requests
    from kvtransfer.requests.step import BlockIds, EngineRequest
    from kvtransfer.requests.step_reader import StepReader


class Admission:
    """For the scheduler's thread."""

    def __init__(
        self,
        basis: Basis,
        keying: Keying,
        matching: Matching,
        loads: Loads,
        requests: Requests,
        steps: StepReader,
        blending: Blending,
    ) -> None:
        self._basis = basis
        self._keying = keying
        self._matching = matching
        self._loads = loads
        self._requests = requests
        self._steps = steps
        self._blending = blending
        self._found: dict[str, Found] = {}
        """What requests that wait for their admission can reuse at other positions."""

    def match(self, request: EngineRequest, local_tokens: int) -> tuple[Span, ...] | None:
        """See :meth:`kvtransfer.requests.scheduler.Scheduler.match`."""
        state = self._requests.reached(request)
        state.local_tokens = local_tokens
        if not (
            self._keying.renew(state) and state.note(self._basis.planner.index, self._basis.groups)
        ):
            return None
        may_load = self._basis.duties.loads and state.control.loads
        if not may_load or self._loads.has_failed(state.request_id):
            return ()
        tokens = self._worth(state)
        if tokens is None:
            return None
        found = self._blending.find(state, local_tokens + tokens)
        if found is None:
            return None
        self._found[state.request_id] = found
        exact = (Span(local_tokens, tokens),) if tokens else ()
        if not found.blend.copies:
            return exact
        start, end = found.blend.start, found.blend.end
        return (*exact, Span(start, end - start, is_exact=False))

    def admit(self, request: EngineRequest, block_ids: BlockIds, external_tokens: int) -> None:
        """See :meth:`kvtransfer.requests.scheduler.Scheduler.admit`."""
        self._steps.replace_blocks(request.request_id, block_ids)
        state = self._requests[request.request_id]
        if state.refused_tokens:
            self._basis.metrics.add("refused_tokens", state.refused_tokens)
            state.refused_tokens = 0
        found = self._found.pop(state.request_id, None)
        span = Span(state.local_tokens, external_tokens)
        if found is not None and external_tokens > found.blend.start - state.local_tokens:
            self._blend(state, span, found)
            return
        if found is not None:
            self._blending.begin_saving(state, found)
        self._blending.expect_saved(state)
        if external_tokens:
            self._loads.begin(state, span)
        else:
            self._requests.end_load(state)
            self._steps.expect_writes(state)

    def end(self, request_id: str) -> None:
        """The request is over: learn what it has saved."""
        self._found.pop(request_id, None)
        self._blending.end(self._requests[request_id])

    def _blend(self, state: RequestState, span: Span, found: Found) -> None:
        moved = self._loads.begin_blend(state, span, found)
        self._blending.begin(state, found, moved)
        self._keying.end_caching(state)

    def _worth(self, state: RequestState) -> int | None:
        """How many tokens to load for the request; None: ask again."""
        match = self._matching.make(state, state.local_tokens)
        if match is None:
            return None
        timing = self._basis.timing
        timing.decide(match.judged, state.local_tokens)
        worth = match.worth_tokens
        if not worth and match.host_tokens and timing.take_trial():
            worth = match.host_tokens
        state.refused_tokens = match.tokens - worth
        if state.record is not None:
            times_s = self._matching.answer_times_s(state.request_id)
            state.record.look_up(*times_s, match, worth, state.local_tokens)
        return worth
