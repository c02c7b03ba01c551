"""Says what a request can load, and begins that once the engine has given it blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.loading.match import Span

if TYPE_CHECKING:
    from kvtransfer.requests.basis import Basis
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
    ) -> None:
        self._basis = basis
        self._keying = keying
        self._matching = matching
        self._loads = loads
        self._requests = requests
        self._steps = steps

    def match(self, request: EngineRequest, local_tokens: int) -> tuple[Span, ...] | None:
        """See :meth:`kvtransfer.requests.scheduler.Scheduler.match`."""
        state = self._requests.reached(request)
        state.local_tokens = local_tokens
        if not (
            self._keying.renew(state) and state.note(self._basis.planner.index, self._basis.groups)
        ):
            return None
        if not self._basis.duties.loads or self._loads.has_failed(state.request_id):
            return ()
        tokens = self._worth(state)
        if tokens is None:
            return None
        return (Span(local_tokens, tokens),) if tokens else ()

    def admit(self, request: EngineRequest, block_ids: BlockIds, external_tokens: int) -> None:
        """See :meth:`kvtransfer.requests.scheduler.Scheduler.admit`."""
        self._steps.replace_blocks(request.request_id, block_ids)
        state = self._requests[request.request_id]
        if state.refused_tokens:
            self._basis.metrics.add("refused_tokens", state.refused_tokens)
            state.refused_tokens = 0
        if external_tokens:
            self._loads.begin(state, Span(state.local_tokens, external_tokens))
        else:
            self._steps.expect_writes(state)

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
        return worth
