"""Plans the loads of requests in pieces: a long prompt has hundreds of chunks, a step little time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kvtransfer.requests.filled_blocks import FilledBlocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.plan import Load
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.busy_blocks import BusyBlocks
    from kvtransfer.requests.match import Matching, Span
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.scheduling.reservation import Reservation

# A request with at most this many chunks gets its jobs at once, a longer one in several steps.
_AT_ONCE = 16
# Chunks of longer requests that get their jobs in one step.
_A_STEP = 32


@dataclass
class _Rest:
    """The chunks of a request that have no jobs yet."""

    state: RequestState
    reservation: Reservation
    keys: Sequence[str]
    """Keys from the request's first chunk to the last one to load."""
    skip_tokens: int
    deadline_s: float


class Loads:
    """For the scheduler's thread; a request is received once no chunk of it is to be loaded."""

    def __init__(self, basis: Basis, matching: Matching, busy_blocks: BusyBlocks) -> None:
        self._planner = basis.planner
        self._timing = basis.timing
        self._tiling = basis.tiling
        self._metrics = basis.metrics
        self._matching = matching
        self._busy_blocks = busy_blocks
        self._rests: dict[str, _Rest] = {}
        self._owners: dict[int, RequestState] = {}
        self._filled = FilledBlocks()
        self._planned: list[Load] = []
        self._given_up: set[str] = set()
        """Requests that are received although no report says so."""

    def begin(self, state: RequestState, span: Span) -> None:
        """Load the tokens of ``span``, which ``Matching`` found behind those computed."""
        chunk_tokens = self._tiling.chunk_tokens
        first = span.first_token // chunk_tokens
        keys = state.keys[: -(-(span.first_token + span.tokens) // chunk_tokens)]
        reservation = self._planner.reserve(keys[first:])
        assert len(reservation.slots) == len(keys) - first, "a match exceeds what there is room for"
        self._note(state, reservation, span)
        deadline_s = self._timing.deadline_s(span.tokens, span.first_token)
        rest = _Rest(state, reservation, keys, span.first_token, deadline_s)
        self._rests[state.request_id] = rest
        if len(reservation.slots) <= _AT_ONCE:
            self._planned += self._advance(rest, _AT_ONCE)

    def plan(self) -> list[Load]:
        """The loads of the step: those of requests that have just come, and some of the others."""
        loads, self._planned = self._planned, []
        most = _A_STEP
        for rest in list(self._rests.values()):
            piece = self._advance(rest, most)
            most -= len(piece)
            loads += piece
            if not most:
                break
        return loads

    def end(self, job: int, *, failed: bool) -> RequestState | None:
        """A load has ended; returns its request if that has nothing left to load."""
        state = self._owners.pop(job)
        state.loading.discard(job)
        self._filled.end(job, failed=failed)
        if state.loading and not failed:
            return None
        if failed:
            state.loads = False
            self._matching.forget(state.request_id)  # what the store said is not so
            self._give_up(state)  # what is behind it is computed, too
        if self.is_loading(state):
            return None
        if state.load_timer is not None:
            self._timing.end_load(state.load_timer, failed=not state.loads)
            state.load_timer = None
        self._filled.forget(state.request_id)
        return state

    def void(self, state: RequestState) -> None:
        """What has arrived for the request is not what its model computes: it must not begin so."""
        job = self._filled.void(state.request_id)
        if job is not None:
            state.loading.add(job)
            self._owners[job] = state

    def take_voided(self) -> Mapping[int, tuple[int, ...]]:
        """Blocks that the next step reports as failed, by job."""
        return self._filled.take_voided()

    def owner(self, job: int) -> RequestState | None:
        """The request that the load ``job`` is for; None: it is for no request."""
        return self._owners.get(job)

    def owns(self, job: int) -> bool:
        """Whether a load that has not ended was planned here."""
        return job in self._owners

    def is_loading(self, state: RequestState) -> bool:
        """Whether the request is not received yet."""
        return bool(state.loading) or state.request_id in self._rests

    def abort(self, state: RequestState) -> None:
        """The request, which is loading, needs no more than is under way."""
        self._give_up(state)
        if not state.loading:
            self._given_up.add(state.request_id)

    @property
    def is_behind(self) -> bool:
        """Whether chunks wait for their jobs."""
        return bool(self._rests)

    @property
    def has_given_up(self) -> bool:
        """Whether ``take_given_up`` returns a request."""
        return bool(self._given_up)

    def take_given_up(self) -> set[str]:
        """Requests received since the last call, beside those that ``end`` returns."""
        taken, self._given_up = self._given_up, set()
        return taken

    def _note(self, state: RequestState, reservation: Reservation, span: Span) -> None:
        chunk_tokens = self._tiling.chunk_tokens
        fetched_tokens = reservation.fetches * chunk_tokens
        if reservation.slots[0] is None:
            fetched_tokens -= span.first_token % chunk_tokens
        fetched_tokens = min(fetched_tokens, span.tokens)
        state.host_tokens = span.tokens - fetched_tokens
        if (
            not reservation.is_shared
        ):  # the part of others tells nothing of how long the whole takes
            state.load_timer = self._timing.begin_load(
                state.host_tokens, fetched_tokens, span.first_token
            )
        self._metrics.add("store_hit_tokens", fetched_tokens)
        self._metrics.add("host_hit_tokens", state.host_tokens)

    def _advance(self, rest: _Rest, most: int) -> list[Load]:
        """Jobs for the next chunks of a request."""
        state = rest.state
        first = rest.skip_tokens // self._tiling.chunk_tokens + rest.reservation.begun
        keys = rest.keys[: first + most]
        placements = self._tiling.placements(keys, state.block_ids, rest.skip_tokens, first)
        loads = self._planner.load_next(
            rest.reservation, placements, self._timing.left_s(rest.deadline_s)
        )
        self._filled.begin(state.request_id, loads)
        for load in loads:
            state.loading.add(load.job)
            self._owners[load.job] = state
            self._busy_blocks.note_write(load.block_ids)
        if not rest.reservation.left:
            del self._rests[state.request_id]
        return loads

    def _give_up(self, state: RequestState) -> None:
        rest = self._rests.pop(state.request_id, None)
        if rest is None:
            return
        left_tokens = self._tiling.chunk_tokens * (
            rest.reservation.fetches or rest.reservation.left
        )
        if state.load_timer is not None:
            begun_tokens = state.load_timer.tokens - left_tokens
            state.load_timer = (
                replace(state.load_timer, tokens=begun_tokens) if begun_tokens > 0 else None
            )
        rest.reservation.release()
